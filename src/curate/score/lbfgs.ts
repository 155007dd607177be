/**
 * L-BFGS in float64 on the host, for a function whose value and gradient come from somewhere slow and less exact (the
 * device, in f32). Few evaluations are what counts; the vectors held (twice `history` of them) are the price.
 *
 * Source: Nocedal and Wright, "Numerical Optimization" (2006), algorithms 7.4 and 7.5; the step length by bisection to the
 * weak Wolfe conditions (Lewis and Overton 2013, "Nonsmooth optimization via quasi-Newton methods"), and near the minimum,
 * where differences of values drown in rounding, to the approximate ones (Hager and Zhang 2005, eq. 4.1), which look at slopes.
 */
import { ScionError } from '../../base/errors.ts';

export interface Evaluation {
  readonly value: number;
  readonly gradient: Float64Array;
}

export interface LbfgsPoint extends Evaluation {
  readonly x: Float64Array;
}

export interface LbfgsOptions {
  readonly maxSteps: number;
  /** Asked before each step, and once more behind the last: true ends it. */
  readonly done: (point: LbfgsPoint, step: number) => boolean;
  /** Pairs of steps and changes of gradient that the curvature is guessed from. Default 10. */
  readonly history?: number;
}

export interface LbfgsResult extends LbfgsPoint {
  readonly steps: number;
  readonly evaluations: number;
}

/** Least share of the promised descent, and most of the slope that may be left: the usual pair for quasi-Newton steps. */
const DESCENT = 1e-4;
const SLOPE = 0.9;
/** Relative difference of two values that says nothing: sums of f32 losses. */
const NOISE = 1e-6;
/** Halvings until a direction counts as one of no descent. */
const TRIALS = 30;

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/** y += scale * x. */
const addScaled = (y: Float64Array, scale: number, x: Float64Array): void => {
  for (let i = 0; i < y.length; i++) y[i] += scale * x[i];
};

interface Pair {
  readonly s: Float64Array;
  readonly y: Float64Array;
  readonly sy: number;
}

/** The two loops: minus the guessed inverse curvature times the gradient. */
function direction(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const d = gradient.map((g) => -g);
  const alphas: number[] = [];
  for (const { s, y, sy } of pairs.toReversed()) {
    const alpha = dot(s, d) / sy;
    alphas.push(alpha);
    addScaled(d, -alpha, y);
  }
  const last = pairs.at(-1);
  // Without a pair the first step has length 1 at most.
  const scale = last ? last.sy / dot(last.y, last.y) : 1 / Math.max(1, Math.sqrt(dot(d, d)));
  for (let i = 0; i < d.length; i++) d[i] *= scale;
  for (const { s, y, sy } of pairs) addScaled(d, (alphas.pop() ?? 0) - dot(y, d) / sy, s);
  return d;
}

/**
 * Minimises from `start`, which is left as it is. `evaluate` may move the point it is given to the nearest one that it can tell
 * of (rounding to f32). Ends where `done` says so, after `maxSteps`, or where no step goes down any more, which is as good as
 * the numbers are; the caller judges the result. @throws ScionError `numeric` where the start has no finite value.
 */
export async function lbfgs(evaluate: (x: Float64Array) => Promise<Evaluation>, start: Float64Array, options: LbfgsOptions): Promise<LbfgsResult> {
  const { maxSteps, done, history = 10 } = options;
  const origin = start.slice();
  let at: LbfgsPoint = { x: origin, ...(await evaluate(origin)) };
  let evaluations = 1;
  if (!Number.isFinite(at.value)) throw new ScionError('numeric', `minimising: the value at the start is ${at.value}`);
  let pairs: Pair[] = [];
  let steps = 0;

  const search = async (d: Float64Array): Promise<LbfgsPoint | null> => {
    const slope = dot(at.gradient, d);
    if (!(slope < 0)) return null;
    let low = 0;
    let high = Number.POSITIVE_INFINITY;
    let t = 1;
    for (let trial = 0; trial < TRIALS; trial++) {
      const x = at.x.slice();
      addScaled(x, t, d);
      const next = { x, ...(await evaluate(x)) };
      evaluations++;
      const now = dot(next.gradient, d);
      const noise = NOISE * Math.abs(at.value);
      const falls = next.value <= at.value + DESCENT * t * slope || (next.value <= at.value + noise && now <= (2 * DESCENT - 1) * slope);
      // A value that is not a number falls nowhere.
      if (!falls) high = t;
      else if (now < SLOPE * slope) low = t;
      else return next;
      t = high === Number.POSITIVE_INFINITY ? 2 * t : (low + high) / 2;
    }
    return null;
  };

  while (!done(at, steps) && steps < maxSteps) {
    let next = await search(direction(at.gradient, pairs));
    if (next === null && pairs.length > 0) {
      pairs = [];
      next = await search(direction(at.gradient, pairs));
    }
    if (next === null) break;
    const { x, gradient } = at;
    const s = next.x.map((v, i) => v - x[i]);
    const y = next.gradient.map((v, i) => v - gradient[i]);
    const sy = dot(s, y);
    // A pair without curvature would turn directions uphill.
    if (sy > 1e-12 * dot(y, y)) pairs = [...pairs, { s, y, sy }].slice(-history);
    at = next;
    steps++;
  }
  return { ...at, steps, evaluations };
}
