/**
 * Logistic regression on sparse rows, fitted on the device by scion's own graph: the device gives the loss and its
 * gradient by automatic differentiation (`fit-programs.ts`), the host takes quasi-Newton steps in float64 by them
 * (`lbfgs.ts`). Whole batches from zero on a convex problem: no seed and no order of rows enters. When the device
 * calls its gradient small, the host looks at the true one in float64, so the result is the minimum, not wherever time ran out.
 *
 * The problem is that of scikit-learn's LogisticRegression: minimise C * sum of losses + |w|^2 / 2, the bias free. Two
 * classes share one weight vector; more have one each, under a softmax.
 */
import { ScionError } from '../../base/errors.ts';
import type { GpuDevice } from '../../gpu/device.ts';
import { RowPrograms } from './fit-programs.ts';
import { lbfgs } from './lbfgs.ts';

/** Rows in compressed form: row i has places `ids` and `values` from `starts[i]` to `starts[i + 1]`. */
export interface SparseRows {
  readonly starts: Uint32Array;
  readonly ids: Uint32Array;
  readonly values: Float32Array;
  /** Class of each row, from 0. */
  readonly labels: Int32Array;
  /** Places there are. */
  readonly width: number;
  readonly classes: number;
}

/** A fitted model: logits are `bias + weights * x`; with two classes one logit, that of class 1. */
export interface LinearWeights {
  /** f32 [width, outputs]. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

export interface FitOptions {
  /** Strength of the data against the penalty, as scikit-learn's C. Default 10. */
  readonly C?: number;
  /** Quasi-Newton steps; 1,000 by default. */
  readonly maxSteps?: number;
  /** Largest component of the mean objective's gradient at which it stops. Default 1e-4, as scikit-learn's. */
  readonly tolerance?: number;
  readonly onProgress?: (step: number, objective: number, gradient: number) => void;
}

export interface FitResult extends LinearWeights {
  /** Quasi-Newton steps taken. */
  readonly steps: number;
  /** Mean loss plus penalty, float64, and the largest component of its gradient. */
  readonly objective: number;
  readonly gradient: number;
  readonly converged: boolean;
}

/** Bytes that the minimiser's memory of steps may take; many classes have long vectors, and do with fewer. */
const HISTORY_BYTES = 2 ** 28;
/** Steps between two words of progress. */
const TELL = 10;

/** Logits that so many classes need: two share one. */
export const outputsOf = (classes: number): number => (classes === 2 ? 1 : classes);

/** Mean objective and the largest component of its gradient, in float64. The oracle that decides when to stop. */
export function exactObjective(rows: SparseRows, model: LinearWeights, decay: number): { objective: number; gradient: number } {
  const n = rows.labels.length;
  const O = outputsOf(rows.classes);
  const gradient = new Float64Array(rows.width * O);
  const biasGradient = new Float64Array(O);
  const logits = new Float64Array(O);
  let loss = 0;
  let penalty = 0;
  for (let i = 0; i < gradient.length; i++) {
    gradient[i] = decay * model.weights[i];
    penalty += model.weights[i] * model.weights[i];
  }
  for (let i = 0; i < n; i++) {
    rowLogits(rows.ids, rows.values, rows.starts[i], rows.starts[i + 1], model, logits);
    const label = rows.labels[i];
    if (O === 1) {
      const z = logits[0];
      loss += Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - label * z;
      logits[0] = 1 / (1 + Math.exp(-z)) - label;
    } else {
      const max = Math.max(...logits);
      const sum = logits.reduce((s, z) => s + Math.exp(z - max), 0);
      loss += max + Math.log(sum) - logits[label];
      for (let o = 0; o < O; o++) logits[o] = Math.exp(logits[o] - max) / sum - (o === label ? 1 : 0);
    }
    for (let o = 0; o < O; o++) {
      const d = logits[o] / n;
      biasGradient[o] += d;
      for (let k = rows.starts[i]; k < rows.starts[i + 1]; k++) gradient[rows.ids[k] * O + o] += d * rows.values[k];
    }
  }
  let largest = 0;
  for (const x of gradient) largest = Math.max(largest, Math.abs(x));
  for (const x of biasGradient) largest = Math.max(largest, Math.abs(x));
  return { objective: loss / n + (decay * penalty) / 2, gradient: largest };
}

/** Logits of one row into `out`. */
export function rowLogits(ids: Uint32Array, values: Float32Array, from: number, to: number, model: LinearWeights, out: Float64Array): void {
  const O = model.bias.length;
  for (let o = 0; o < O; o++) out[o] = model.bias[o];
  if (O === 1) {
    let z = model.bias[0];
    for (let k = from; k < to; k++) z += values[k] * model.weights[ids[k]];
    out[0] = z;
    return;
  }
  for (let k = from; k < to; k++) for (let o = 0; o < O; o++) out[o] += values[k] * model.weights[ids[k] * O + o];
}

/** What the minimiser holds (the weights of one output after the other, then the biases) as a model in f32. */
function modelOf(x: Float64Array, width: number, outputs: number): LinearWeights {
  const weights = new Float32Array(width * outputs);
  for (let o = 0; o < outputs; o++) for (let i = 0; i < width; i++) weights[i * outputs + o] = x[o * width + i];
  return { weights, bias: Float32Array.from(x.subarray(width * outputs)) };
}

/** Fits on an open device. @throws ScionError `input` where a class has no rows, `numeric` where the numbers break. */
export async function fitLinear(device: GpuDevice, rows: SparseRows, options: FitOptions = {}): Promise<FitResult> {
  const { C = 10, maxSteps = 1000, tolerance = 1e-4, onProgress } = options;
  const n = rows.labels.length;
  const perClass = new Uint32Array(rows.classes);
  for (const label of rows.labels) perClass[label]++;
  if (rows.classes < 2 || perClass.includes(0))
    throw new ScionError('input', `a classifier needs examples of each class; there are ${[...perClass].join(', ')} of ${rows.classes} classes`);
  const decay = 1 / (C * n);
  const O = outputsOf(rows.classes);
  const penalised = rows.width * O;
  const programs = new RowPrograms(device, rows, O);
  try {
    const found = await lbfgs(
      async (x) => {
        // The device sees f32: the step is taken to where it really looks.
        for (let i = 0; i < x.length; i++) x[i] = Math.fround(x[i]);
        const { loss, gradient } = await programs.evaluate(x);
        let squares = 0;
        for (let i = 0; i < penalised; i++) {
          squares += x[i] * x[i];
          gradient[i] += decay * x[i];
        }
        return { value: loss + (decay * squares) / 2, gradient };
      },
      new Float64Array(penalised + O),
      {
        maxSteps,
        history: Math.max(3, Math.min(10, Math.floor(HISTORY_BYTES / (16 * (penalised + O))))),
        done: ({ x, value, gradient }, step) => {
          const largest = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
          if (step % TELL === 0) onProgress?.(step, value, largest);
          return largest <= tolerance && exactObjective(rows, modelOf(x, rows.width, O), decay).gradient <= tolerance;
        },
      },
    );
    const model = modelOf(found.x, rows.width, O);
    const { objective, gradient } = exactObjective(rows, model, decay);
    if (!Number.isFinite(objective)) throw new ScionError('numeric', `fitting a classifier: the loss is ${objective} after ${found.steps} steps`);
    onProgress?.(found.steps, objective, gradient);
    return { ...model, steps: found.steps, objective, gradient, converged: gradient <= tolerance };
  } finally {
    programs.destroy();
  }
}
