/**
 * AdamW and SGD over flat runs of parameters (a whole state buffer), reading rate, clip factor and
 * found-inf from the step state. f32 masters are updated; a 16-bit copy is written in the same pass.
 */
import type { Node, Value } from '../graph.ts';
import { foldGrid, type Lowering, type Op, type RefTensor, type Slice } from '../op.ts';
import { require_, sizeOf, type TensorType } from '../types.ts';
import { STEP } from './step_state.ts';

/** Runs of elements that learn, as from, to, from, to, …; absent: all. */
type Runs = readonly number[];

/** Hyper-parameters of AdamW; `rate` multiplies the step's learning rate for this group. */
export interface AdamWAttrs {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly decay: number;
  readonly rate?: number;
  readonly runs?: Runs;
}

/** Hyper-parameters of SGD with momentum and coupled decay. */
export interface SgdAttrs {
  readonly momentum: number;
  readonly decay: number;
  readonly rate?: number;
  readonly runs?: Runs;
}

function checkFlat(name: string, inputs: readonly TensorType[], moments: number, runs: Runs | undefined): void {
  const [p] = inputs;
  const bounds = [0, ...(runs ?? []), sizeOf(p.shape)];
  const inOrder = bounds.every((x, i) => Number.isInteger(x) && (i === 0 || x >= bounds[i - 1]));
  require_(name, (runs ?? []).length % 2 === 0 && inOrder, `runs must be ascending pairs inside ${sizeOf(p.shape)} elements`, `${runs}`);
  const flat = inputs.slice(0, 2 + moments).every((t) => t.dtype === 'f32' && sizeOf(t.shape) === sizeOf(p.shape));
  require_(name, flat, 'parameter, gradient and moments must be f32 of one size', inputs);
  const half = inputs[3 + moments];
  require_(name, !half || (half.dtype === 'f16' && sizeOf(half.shape) === sizeOf(p.shape)), 'the 16-bit copy must be f16 of the same size', inputs);
}

/** A launch for each window of the flat run, or for each run of elements in each window. */
function lowerFlat(l: Lowering, node: Node, kernel: string, names: readonly string[], params: Readonly<Record<string, number>>): void {
  const moments = names.length - 2;
  const half = node.inputs[3 + moments];
  const windows = l.windows(node.inputs[0]);
  for (const w of windows) {
    const part = (v: Value, bytes: number): Value | Slice => (windows.length === 1 ? v : l.rows(v, bytes, w.row, w.rows));
    const bind = Object.fromEntries(names.map((name, i) => [name, part(node.inputs[i], 4)]));
    const n4 = Math.ceil(w.rows / 4);
    for (const run of runsIn(node.attrs.runs as Runs | undefined, w.row, w.rows)) {
      const vectors = run ? Math.ceil(run.to / 4) - Math.floor(run.from / 4) : n4;
      l.dispatch({
        kernel,
        switches: run ? { HALF: half !== undefined, RUN: true } : { HALF: half !== undefined },
        bind: { ...bind, STEP: node.inputs[2 + moments], ...(half ? { H: part(half, 2) } : {}) },
        params: { n4, ...params, ...(run && { run0: run.from, run1: run.to }) },
        grid: foldGrid(Math.ceil(vectors / 64)),
      });
    }
  }
}

/** The runs that fall into a window, counted from its start; null stands for all of it. */
function runsIn(runs: Runs | undefined, row: number, rows: number): ({ from: number; to: number } | null)[] {
  if (!runs) return [null];
  const out: { from: number; to: number }[] = [];
  for (let i = 0; i < runs.length; i += 2) {
    const from = Math.max(0, runs[i] - row);
    const to = Math.min(rows, runs[i + 1] - row);
    if (from < to) out.push({ from, to });
  }
  return out;
}

/** Visits the elements that learn. */
function eachLearning(runs: Runs | undefined, n: number, visit: (i: number) => void): void {
  const pairs = runs ?? [0, n];
  for (let k = 0; k < pairs.length; k += 2) for (let i = pairs[k]; i < pairs[k + 1]; i++) visit(i);
}

const float = (bits: number): number => new Float32Array(new Uint32Array([bits]).buffer)[0];

/** Inputs: parameter, gradient, m, v, step[, 16-bit copy]; outputs: parameter, m, v[, copy], each updated in place. */
export const ADAMW: Op = {
  name: 'adamw',
  updates: [
    [0, 0],
    [1, 2],
    [2, 3],
    [3, 5],
  ],
  infer(inputs, attrs) {
    checkFlat('adamw', inputs, 2, attrs.runs as Runs | undefined);
    return [inputs[0], inputs[2], inputs[3], ...(inputs[5] ? [inputs[5]] : [])];
  },
  lower(l, node) {
    const { beta1, beta2, epsilon, decay, rate } = node.attrs as unknown as Required<AdamWAttrs>;
    lowerFlat(l, node, 'optim/adamw', ['W', 'G', 'M', 'V'], { beta1, beta2, epsilon, decay, rate });
  },
  cost(node) {
    const n = sizeOf(node.inputs[0].shape);
    return { flops: 14 * n, bytes: 28 * n + (node.inputs[5] ? 2 * n : 0) };
  },
  place: { rule: 'elementwise' },
  reference([p, g, m, v, step, half], a) {
    if (step.data[STEP.foundInf] !== 0) return [p.data.slice(), m.data.slice(), v.data.slice(), ...(half ? [half.data.slice()] : [])];
    const { beta1, beta2, epsilon, decay, rate } = a as unknown as Required<AdamWAttrs>;
    const lr = float(step.data[STEP.lr]) * rate;
    const scale = float(step.data[STEP.gradScale]);
    const out = [p.data.slice(), m.data.slice(), v.data.slice()];
    eachLearning(a.runs as Runs | undefined, p.data.length, (i) => {
      const grad = g.data[i] * scale;
      out[1][i] = beta1 * m.data[i] + (1 - beta1) * grad;
      out[2][i] = beta2 * v.data[i] + (1 - beta2) * grad * grad;
      const update = (out[1][i] * float(step.data[STEP.bc1])) / (Math.sqrt(out[2][i] * float(step.data[STEP.bc2])) + epsilon);
      out[0][i] = p.data[i] - lr * (update + decay * p.data[i]);
    });
    return half ? [...out, out[0].slice()] : out;
  },
};

/** Inputs: parameter, gradient, momentum, step[, 16-bit copy]; outputs: parameter, momentum[, copy], in place. */
export const SGD: Op = {
  name: 'sgd',
  updates: [
    [0, 0],
    [1, 2],
    [2, 4],
  ],
  infer(inputs, attrs) {
    checkFlat('sgd', inputs, 1, attrs.runs as Runs | undefined);
    return [inputs[0], inputs[2], ...(inputs[4] ? [inputs[4]] : [])];
  },
  lower(l, node) {
    const { momentum, decay, rate } = node.attrs as unknown as Required<SgdAttrs>;
    lowerFlat(l, node, 'optim/sgd', ['W', 'G', 'M'], { momentum, decay, rate });
  },
  cost(node) {
    const n = sizeOf(node.inputs[0].shape);
    return { flops: 6 * n, bytes: 20 * n + (node.inputs[4] ? 2 * n : 0) };
  },
  place: { rule: 'elementwise' },
  reference([p, g, m, step, half]: readonly RefTensor[], a) {
    if (step.data[STEP.foundInf] !== 0) return [p.data.slice(), m.data.slice(), ...(half ? [half.data.slice()] : [])];
    const { momentum, decay, rate } = a as unknown as Required<SgdAttrs>;
    const lr = float(step.data[STEP.lr]) * rate;
    const scale = float(step.data[STEP.gradScale]);
    const out = [p.data.slice(), m.data.slice()];
    eachLearning(a.runs as Runs | undefined, p.data.length, (i) => {
      out[1][i] = momentum * m.data[i] + g.data[i] * scale + decay * p.data[i];
      out[0][i] = p.data[i] - lr * out[1][i];
    });
    return half ? [...out, out[0].slice()] : out;
  },
};

/** Updates a flat run of parameters in place. */
export function adamw(p: Value, grad: Value, m: Value, v: Value, step: Value, half: Value | null, attrs: AdamWAttrs): Value[] {
  return p.node.graph.apply(ADAMW, [p, grad, m, v, step, ...(half ? [half] : [])], { rate: 1, ...attrs });
}

/** Updates a flat run of parameters in place. */
export function sgd(p: Value, grad: Value, momentum: Value, step: Value, half: Value | null, attrs: SgdAttrs): Value[] {
  return p.node.graph.apply(SGD, [p, grad, momentum, step, ...(half ? [half] : [])], { rate: 1, ...attrs });
}
