/**
 * How sure a score is, and whether two models differ: bootstrap percentile intervals (Efron 1979), paired bootstrap of a difference, sign-flip permutation tests and McNemar's exact
 * test. All random draws are seeded. Questions are taken as independent draws; several on one passage are not quite that, so read an interval as the least that chance explains.
 */
import { ScionError } from '../../base/errors.ts';
import { philox } from '../../base/random.ts';

/** Settings of what is drawn. */
export interface DrawOptions {
  readonly seed?: number;
  /** Resamples of a bootstrap, or random sign flips of a test. */
  readonly resamples?: number;
  /** Coverage of intervals. */
  readonly level?: number;
}

const DEFAULTS = { seed: 0, resamples: 2000, level: 0.95 } as const;

/**
 * Uniform 32-bit numbers for resampling: xoshiro128** (Blackman and Vigna 2021), seeded from Philox. A bootstrap of a large task draws a hundred million of them, at which Philox would take
 * minutes; nothing here needs to be addressed by counter.
 */
class Draws {
  readonly #state: [number, number, number, number];
  constructor(seed: number) {
    this.#state = philox(0, 0, 0, 0, seed, 0xe7a1);
  }
  /** Fills `out` up to `count`; the state is in local variables meanwhile, which makes it several times faster. */
  fill(out: Uint32Array, count: number): void {
    let [a, b, c, d] = this.#state;
    for (let i = 0; i < count; i++) {
      const five = Math.imul(b, 5);
      out[i] = Math.imul((five << 7) | (five >>> 25), 9);
      const shifted = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= shifted;
      d = (d << 11) | (d >>> 21);
    }
    this.#state.splice(0, 4, a, b, c, d);
  }
}

/** Quantile of sorted values with linear interpolation (numpy's default). */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  // Infinite ends (a perplexity that overflows) must not become NaN.
  return sorted[low] === sorted[high] ? sorted[low] : sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** What is bootstrapped: sums over sums of each stratum, a function of the quotient, and the mean of strata. */
export interface BootstrapOptions extends DrawOptions {
  /** What each value is divided by in sum (nats over tokens); 1 by default: the mean. */
  readonly over?: readonly number[];
  /** Function of the quotient, such as exp. */
  readonly of?: (rate: number) => number;
  /** A label for each value. Values are redrawn within their stratum and the statistic is the mean over strata (a macro average). */
  readonly strata?: readonly string[];
}

/** A value and its interval. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly n: number;
}

/**
 * The statistic of `values` with a percentile interval over seeded resamples. Where all values are alike the interval has no width: the bootstrap cannot see what did not occur
 * (shares at 0 or 1 want Wilson's interval, as `aggregate` does).
 * @throws ScionError `input` without values, or where lengths differ.
 */
export function bootstrap(values: readonly number[], options: BootstrapOptions = {}): Estimate {
  const { seed, resamples, level } = { ...DEFAULTS, ...options };
  const { over, strata, of = (x: number) => x } = options;
  const n = values.length;
  if (n === 0) throw new ScionError('input', 'bootstrap of no values: nothing was scored', {});
  if ((over && over.length !== n) || (strata && strata.length !== n))
    throw new ScionError('input', `bootstrap of ${n} values with ${over?.length ?? n} weights and ${strata?.length ?? n} strata; their numbers must agree`, {
      n,
    });
  // Values of a stratum side by side, so that a draw is an offset.
  const groups = new Map<string, number[]>();
  for (let i = 0; i < n; i++) {
    const label = strata?.[i] ?? '';
    const group = groups.get(label);
    if (group) group.push(i);
    else groups.set(label, [i]);
  }
  const order = [...groups.values()].flat();
  const tops = Float64Array.from(order, (i) => values[i]);
  const bottoms = over ? Float64Array.from(order, (i) => over[i]) : null;
  const sizes = [...groups.values()].map((group) => group.length);
  const draws = new Draws(seed);
  const random = new Uint32Array(sizes.reduce((a, b) => Math.max(a, b), 0));
  const statistic = (drawn: boolean): number => {
    let total = 0;
    let start = 0;
    for (const size of sizes) {
      let sum = 0;
      let weight = 0;
      if (drawn) draws.fill(random, size);
      for (let k = 0; k < size; k++) {
        // The bias of a draw is below size / 2^32, far under what a resample can show.
        const i = start + (drawn ? Math.floor((random[k] / 0x100000000) * size) : k);
        sum += tops[i];
        if (bottoms) weight += bottoms[i];
      }
      total += of(sum / (bottoms ? weight : size));
      start += size;
    }
    return total / sizes.length;
  };
  const value = statistic(false);
  const found = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) found[r] = statistic(true);
  found.sort();
  return { value, low: quantile(found, (1 - level) / 2), high: quantile(found, (1 + level) / 2), n };
}

/** ln(n!) by sums, remembered. */
const logFactorials: number[] = [0];
function logFactorial(n: number): number {
  for (let i = logFactorials.length; i <= n; i++) logFactorials.push(logFactorials[i - 1] + Math.log(i));
  return logFactorials[n];
}

/** Two-sided exact binomial test of `k` of `n` at one half: twice the smaller tail, at most 1 (scipy's binomtest gives the same at 0.5). */
export function signTest(k: number, n: number): number {
  let tail = 0;
  for (let i = 0; i <= Math.min(k, n - k); i++) tail += Math.exp(logFactorial(n) - logFactorial(i) - logFactorial(n - i) - n * Math.LN2);
  return Math.min(1, 2 * tail);
}

/** How two models compare on the same questions. */
export interface PairedTest {
  readonly n: number;
  readonly meanA: number;
  readonly meanB: number;
  /** meanA - meanB, with the interval of a paired bootstrap. */
  readonly difference: number;
  readonly low: number;
  readonly high: number;
  /** Two-sided p of "which model gave which score does not matter" (sign flips of the differences); exact where all flips could be counted. */
  readonly p: number;
  readonly exact: boolean;
  /** For scores of 0 and 1: questions only A, and only B, got right, and the exact test of McNemar (1947). */
  readonly mcnemar: { readonly onlyA: number; readonly onlyB: number; readonly p: number } | null;
}

/** Up to so many differing questions all sign flips are counted out. */
const ENUMERATED = 16;

/** Two-sided p of the sum of differences under random signs. */
function signFlips(differences: readonly number[], seed: number, resamples: number): { p: number; exact: boolean } {
  const moved = differences.filter((d) => d !== 0);
  const size = Math.abs(moved[0] ?? 0);
  if (moved.length === 0) return { p: 1, exact: true };
  // Differences of one size: how many point one way is binomial.
  if (moved.every((d) => Math.abs(d) === size)) return { p: signTest(moved.filter((d) => d > 0).length, moved.length), exact: true };
  const seen = Math.abs(moved.reduce((a, b) => a + b, 0));
  // Sums in another order may differ by rounding: equal ones must count as equal.
  const reach = seen - 1e-9 * moved.reduce((a, d) => a + Math.abs(d), 0);
  if (moved.length <= ENUMERATED) {
    let hits = 0;
    for (let mask = 0; mask < 2 ** moved.length; mask++) {
      let sum = 0;
      for (let i = 0; i < moved.length; i++) sum += mask & (1 << i) ? -moved[i] : moved[i];
      if (Math.abs(sum) >= reach) hits++;
    }
    return { p: hits / 2 ** moved.length, exact: true };
  }
  const draws = new Draws(seed ^ 0x51ab);
  const bits = new Uint32Array(Math.ceil(moved.length / 32));
  let hits = 0;
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    draws.fill(bits, bits.length);
    for (let i = 0; i < moved.length; i++) sum += (bits[i >>> 5] >>> (i & 31)) & 1 ? -moved[i] : moved[i];
    if (Math.abs(sum) >= reach) hits++;
  }
  return { p: (hits + 1) / (resamples + 1), exact: false };
}

/**
 * Compares two models' scores of the same questions, in the same order (`pairUp` aligns them).
 * @throws ScionError `input` where the numbers differ or there are none.
 */
export function pairedTest(a: readonly number[], b: readonly number[], options: DrawOptions = {}): PairedTest {
  const { seed, resamples, level } = { ...DEFAULTS, ...options };
  if (a.length !== b.length || a.length === 0)
    throw new ScionError('input', `a paired test wants the same questions of both models; there are ${a.length} and ${b.length} scores`, {
      a: a.length,
      b: b.length,
    });
  const differences = a.map((x, i) => x - b[i]);
  const { value, low, high } = bootstrap(differences, { seed, resamples, level });
  const { p, exact } = signFlips(differences, seed, Math.max(resamples, 9999));
  const binary = [...a, ...b].every((x) => x === 0 || x === 1);
  const onlyA = differences.filter((d) => d > 0).length;
  const onlyB = differences.filter((d) => d < 0).length;
  return {
    n: a.length,
    meanA: mean(a),
    meanB: mean(b),
    difference: value,
    low,
    high,
    p,
    exact,
    mcnemar: binary ? { onlyA, onlyB, p: signTest(onlyA, onlyA + onlyB) } : null,
  };
}

/** Holm's correction (1979) of several p values, in their order: what each says once all were looked at. */
export function holm(ps: readonly number[]): number[] {
  const order = ps.map((_, i) => i).sort((i, j) => ps[i] - ps[j]);
  const out = new Array<number>(ps.length);
  let most = 0;
  for (const [rank, i] of order.entries()) {
    most = Math.max(most, Math.min(1, (ps.length - rank) * ps[i]));
    out[i] = most;
  }
  return out;
}
