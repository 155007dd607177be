/**
 * From logits to the next token, on the host and in float64: repetition penalty, temperature, top-k and
 * top-p in that order (as transformers applies them), then one draw from a seeded stream. Equal logits are told
 * apart by the lower id, so a seed gives the same tokens wherever it gives the same logits.
 */
import { ScionError } from '../base/errors.ts';
import { Random } from '../base/random.ts';

/** How a token is chosen. All optional: without any, the likeliest token is taken. */
export interface SamplingOptions {
  /** Logits are divided by it; 0 (the default) takes the likeliest token. */
  readonly temperature?: number;
  /** Only the k likeliest tokens; 0 (the default) for all. */
  readonly topK?: number;
  /** The fewest likeliest tokens whose probabilities reach p together (Holtzman et al. 2020); 1 (the default) for all. */
  readonly topP?: number;
  /** Logits of tokens seen before are divided by it if positive, else multiplied (Keskar et al. 2019); 1 (the default) for none. */
  readonly repetitionPenalty?: number;
  /** Of the random stream; 0 by default. */
  readonly seed?: number;
}

/** Candidates with their probabilities, which sum to 1. */
export interface Distribution {
  readonly ids: Uint32Array;
  readonly probabilities: Float64Array;
}

/** Fills in defaults; an impossible value is a `usage` error that names it. */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  const { temperature = 0, topK = 0, topP = 1, repetitionPenalty = 1, seed = 0 } = options;
  const refuse = (name: string, rule: string, value: number): never => {
    throw new ScionError('usage', `${name} must be ${rule}, got ${value}`, { name, value });
  };
  if (!(temperature >= 0 && Number.isFinite(temperature))) refuse('temperature', 'a number from 0', temperature);
  if (!(Number.isInteger(topK) && topK >= 0)) refuse('top-k', 'an integer from 0 (0: all tokens)', topK);
  if (!(topP > 0 && topP <= 1)) refuse('top-p', 'above 0 and at most 1', topP);
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty))) refuse('repetition penalty', 'a number above 0 (1: none)', repetitionPenalty);
  if (!Number.isInteger(seed)) refuse('seed', 'an integer', seed);
  return { temperature, topK, topP, repetitionPenalty, seed };
}

/** True where the choice is the largest logit as it is, which the device finds by itself. */
export function isPlainGreedy(options: SamplingOptions): boolean {
  const { temperature, repetitionPenalty, topK } = checkSampling(options);
  return (temperature === 0 || topK === 1) && repetitionPenalty === 1;
}

/** The index of the largest number, the least of equals. @throws ScionError `numeric` for NaN or +infinity. */
function largest(scores: ArrayLike<number>): number {
  let best = 0;
  for (let i = 0; i < scores.length; i++) {
    const x = scores[i];
    if (Number.isNaN(x) || x === Number.POSITIVE_INFINITY)
      throw new ScionError('numeric', `the logit of token ${i} is ${x}: the weights or the run that made them are broken`, { id: i });
    if (x > scores[best]) best = i;
  }
  if (scores.length === 0 || scores[best] === Number.NEGATIVE_INFINITY) throw new ScionError('numeric', `no token of ${scores.length} has a finite logit`);
  return best;
}

function penalised(logits: ArrayLike<number>, penalty: number, seen: Iterable<number>): Float64Array {
  const scores = Float64Array.from(logits);
  if (penalty === 1) return scores;
  for (const id of new Set(seen)) if (id < scores.length) scores[id] = scores[id] > 0 ? scores[id] / penalty : scores[id] * penalty;
  return scores;
}

/** Ids of the k largest scores, of equals the lower ids; ascending. */
function largestK(scores: Float64Array, k: number): number[] {
  const kth = scores.slice().sort()[scores.length - k];
  const ids: number[] = [];
  let above = 0;
  for (const x of scores) if (x > kth) above++;
  let equal = k - above;
  scores.forEach((x, id) => {
    if (x > kth || (x === kth && equal-- > 0)) ids.push(id);
  });
  return ids;
}

/**
 * The distribution that a token is drawn from. Temperature must be above 0.
 * @param seen ids that the repetition penalty counts: prompt and answer so far.
 */
export function distribution(logits: ArrayLike<number>, options: SamplingOptions, seen: Iterable<number> = []): Distribution {
  const { temperature, topK, topP, repetitionPenalty } = checkSampling(options);
  const scores = penalised(logits, repetitionPenalty, seen);
  const top = scores[largest(scores)];
  let ids: ArrayLike<number> = topK > 0 && topK < scores.length ? largestK(scores, topK) : Uint32Array.from(scores, (_, i) => i);
  let weights = Float64Array.from(ids, (id) => Math.exp((scores[id] - top) / temperature));
  let total = weights.reduce((a, b) => a + b, 0);
  if (topP < 1) {
    // Tokens below this bound cannot reach 1 - p even together, so the nucleus lies among the others: few are sorted.
    const bound = ((1 - topP) * total) / weights.length;
    const kept: number[] = [];
    weights.forEach((w, i) => {
      if (w >= bound) kept.push(i);
    });
    kept.sort((a, b) => weights[b] - weights[a] || ids[a] - ids[b]);
    let sum = 0;
    let count = 0;
    while (count < kept.length && sum < topP * total) sum += weights[kept[count++]];
    const nucleus = kept.slice(0, count);
    const [all, before] = [ids, weights];
    ids = nucleus.map((i) => all[i]);
    weights = Float64Array.from(nucleus, (i) => before[i]);
    total = sum;
  }
  return { ids: Uint32Array.from(ids), probabilities: weights.map((w) => w / total) };
}

/** Draws from a distribution by a uniform number in [0, 1). */
export function draw({ ids, probabilities }: Distribution, uniform: number): number {
  let sum = 0;
  let last = 0;
  for (let i = 0; i < ids.length; i++) {
    sum += probabilities[i];
    if (probabilities[i] > 0) last = i;
    if (uniform < sum) return ids[i];
  }
  // Rounding left the sum a little below 1.
  return ids[last];
}

/** Chooses tokens one after another; one object a generated sequence. */
export class Sampler {
  readonly options: Required<SamplingOptions>;
  private readonly random: Random;

  /** @param stream tells sequences of one seed apart. */
  constructor(options: SamplingOptions, stream = 0) {
    this.options = checkSampling(options);
    this.random = new Random(this.options.seed, stream);
  }

  /** The next token after these logits; `seen` as in `distribution`. */
  next(logits: ArrayLike<number>, seen: Iterable<number> = []): number {
    if (this.options.temperature === 0) return largest(penalised(logits, this.options.repetitionPenalty, seen));
    return draw(distribution(logits, this.options, seen), this.random.uniform());
  }
}
