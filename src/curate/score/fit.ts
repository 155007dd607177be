/**
 * Logistic regression on sparse rows, fitted on the device by scion's own graph: an embedding bag (weight rows gathered
 * by place, a batched product with the values), cross-entropy, automatic differentiation, and SGD with momentum. It
 * takes whole-batch steps from zero on a convex problem: no seed and no order of rows enters. The host watches the
 * true gradient in float64 and stops when it is small, so the result is the minimum, not wherever time ran out.
 *
 * The problem is that of scikit-learn's LogisticRegression: minimise C * sum of losses + |w|^2 / 2, the bias free. Two
 * classes share one weight vector; more have one each, under a softmax.
 */
import { invariant, ScionError } from '../../base/errors.ts';
import { Random } from '../../base/random.ts';
import type { GpuDevice } from '../../gpu/device.ts';
import { differentiate } from '../../tensor/autodiff.ts';
import { Graph, type Value, view } from '../../tensor/graph.ts';
import { sgd } from '../../tensor/ops/adamw.ts';
import { bias as addBias } from '../../tensor/ops/bias.ts';
import { mul } from '../../tensor/ops/elementwise.ts';
import { embed } from '../../tensor/ops/embed.ts';
import { fusedLoss, linearCrossEntropy } from '../../tensor/ops/linear_cross_entropy.ts';
import { matmul } from '../../tensor/ops/matmul.ts';
import { sum } from '../../tensor/ops/reduce.ts';
import { addLosses, biasTable, finishStep, freshStepState, lossSeed, STEP_RING, STEP_WORDS } from '../../tensor/ops/step_state.ts';
import { zero } from '../../tensor/ops/zero.ts';
import { type Plan, planGraph } from '../../tensor/plan.ts';
import { type Feeds, Session } from '../../tensor/session.ts';
import { States } from '../../tensor/states.ts';

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
  readonly maxSteps?: number;
  /** Largest component of the mean objective's gradient at which it stops. Default 1e-4, as scikit-learn's. */
  readonly tolerance?: number;
  readonly onProgress?: (step: number, objective: number, gradient: number) => void;
}

export interface FitResult extends LinearWeights {
  readonly steps: number;
  /** Mean loss plus penalty, float64, and the largest component of its gradient. */
  readonly objective: number;
  readonly gradient: number;
  readonly converged: boolean;
}

/** Slots (row, place) of one run of the device. */
const SLOTS = 2 ** 17;
const SMALLEST_ROW = 64;
/** Steps between two looks at the gradient; under what the step state records. */
const LOOK = Math.min(25, STEP_RING - 1);

/** Rows of like length, made ready to be sent again and again. */
interface Micro {
  readonly program: string;
  readonly feeds: Feeds;
  readonly segments: number;
}

const outputsOf = (classes: number): number => (classes === 2 ? 1 : classes);

/** Slots of a row with n places: four sizes to each doubling, so that little is padding and few programs are made. */
export function slotsOf(n: number): number {
  if (n <= SMALLEST_ROW) return SMALLEST_ROW;
  const quarter = 2 ** Math.max(4, Math.floor(Math.log2(n - 1)) - 2);
  return Math.ceil(n / quarter) * quarter;
}

/** Rows by their number of slots. */
function rowClasses(rows: SparseRows): Map<number, number[]> {
  const byWidth = new Map<number, number[]>();
  for (let i = 0; i < rows.labels.length; i++) {
    const K = slotsOf(rows.starts[i + 1] - rows.starts[i]);
    const list = byWidth.get(K);
    if (list) list.push(i);
    else byWidth.set(K, [i]);
  }
  return new Map([...byWidth].sort(([a], [b]) => a - b));
}

/** The slots of real places sorted by place, for the gradient of the embedding; padding has no segment. */
function sortSlots(ids: Uint32Array, width: number): { order: Uint32Array; starts: Uint32Array; segmentIds: Uint32Array; segments: number } {
  const real: number[] = [];
  for (let i = 0; i < ids.length; i++) if (ids[i] < width) real.push(i);
  const sorted = Float64Array.from(real, (i) => ids[i] * 2 ** 20 + i).sort();
  const order = new Uint32Array(ids.length);
  const starts = new Uint32Array(ids.length + 1);
  const segmentIds = new Uint32Array(ids.length);
  let segments = 0;
  sorted.forEach((key, k) => {
    const slot = key % 2 ** 20;
    order[k] = slot;
    if (k > 0 && ids[slot] === segmentIds[segments - 1]) return;
    starts[segments] = k;
    segmentIds[segments++] = ids[slot];
  });
  starts.fill(real.length, segments);
  return { order, starts, segmentIds, segments };
}

function makeMicros(rows: SparseRows, byWidth: ReadonlyMap<number, readonly number[]>): Micro[] {
  const micros: Micro[] = [];
  for (const [K, list] of byWidth) {
    const B = batchOf(K, list.length);
    for (let at = 0; at < list.length; at += B) {
      const ids = new Uint32Array(B * K).fill(rows.width);
      const values = new Float32Array(B * K);
      const labels = new Int32Array(B).fill(-100);
      list.slice(at, at + B).forEach((row, b) => {
        ids.set(rows.ids.subarray(rows.starts[row], rows.starts[row + 1]), b * K);
        values.set(rows.values.subarray(rows.starts[row], rows.starts[row + 1]), b * K);
        labels[b] = rows.labels[row];
      });
      const { segments, ...tables } = sortSlots(ids, rows.width);
      micros.push({ program: `rows${K}`, feeds: { ids, values, labels, ...tables }, segments });
    }
  }
  return micros;
}

const batchOf = (K: number, rows: number): number => Math.max(1, Math.min(rows, Math.floor(SLOTS / K)));

/** Forward and backward of B rows of K slots; gradients add up in their states. Step scalars `weight` and `segments`. */
function traceRows(states: States, classes: number, B: number, K: number): Graph {
  const g = new Graph(states);
  const O = outputsOf(classes);
  const N = B * K;
  const ids = g.data('ids', [B, K], 'u32');
  const values = g.data('values', [B, K], 'f32');
  const labels = g.data('labels', [B], 'i32');
  const sort = { order: g.data('order', [N], 'u32'), starts: g.data('starts', [N + 1], 'u32'), segmentIds: g.data('segmentIds', [N], 'u32') };
  // A column of logits for each output; with several, each goes to its place by a product with a row of the identity.
  let product: Value | null = null;
  for (let o = 0; o < O; o++) {
    const gathered = embed(g.state(`weights${o}`), ids, { ...sort, segments: 'segments' });
    const column = view(sum(mul(values, view(gathered, [B, K])), 'last'), [B, 1]);
    if (O === 1) product = column;
    else product = matmul(column, g.constant(`place${o}of${O}`, [1, O], unitRow(o, O)), product ? { add: product } : {});
  }
  invariant(product, 'a classifier has an output');
  const logits = addBias(product, g.state('bias'));
  // One logit z stands for the pair (0, z); several are themselves.
  const head = classes === 2 ? g.constant('head2', [2, 1], Float32Array.of(0, 1)) : g.constant(`head${classes}`, [classes, classes], identity(classes));
  const losses = linearCrossEntropy(logits, head, labels);
  const step = g.state('step');
  const seed = lossSeed(step, B, { step: 'weight' });
  const targets = [...weightNames(O), 'bias'].map((name) => ({ by: g.state(name), into: g.state(`${name}.grad`) }));
  differentiate(g, [{ value: losses.loss, adjoint: seed }], targets);
  addLosses(fusedLoss(g, losses).nll, labels, step, classes);
  return g;
}

const weightNames = (outputs: number): string[] => Array.from({ length: outputs }, (_, o) => `weights${o}`);

function unitRow(at: number, n: number): Float32Array {
  const row = new Float32Array(n);
  row[at] = 1;
  return row;
}

function identity(n: number): Float32Array {
  const m = new Float32Array(n * n);
  for (let i = 0; i < n; i++) m[i * n + i] = 1;
  return m;
}

function traceUpdate(states: States, momentum: number, decay: number): Graph {
  const g = new Graph(states);
  return g.phase('update', () => {
    const params = states.buffers().filter((b) => b.kind === 'param');
    const of = (kind: string, key: string) => g.stateBuffer(key.replace(/^param/, kind));
    const grads = params.map((b) => of('grad', b.key));
    const table = g.data('bias', [2], 'f32');
    const step = finishStep(g.state('step'), table, grads, {
      clip: 0,
      lr: { step: 'lr' },
      biasBase: 1,
      dynamicScale: false,
      growthInterval: 1,
      maxScale: 1,
    });
    params.forEach((b, i) => {
      sgd(g.stateBuffer(b.key), grads[i], of('moment1', b.key), step, null, { momentum, decay: b.group === 'decay' ? decay : 0 });
    });
    for (const grad of grads) zero(grad);
    return g;
  });
}

/** Largest eigenvalue of X'X / n with a column of ones for the bias, by power iteration; bounds the curvature. */
function largestCurvature(rows: SparseRows): number {
  const n = rows.labels.length;
  const random = new Random(1);
  const v = Float64Array.from({ length: rows.width + 1 }, () => random.uniform());
  let norm = 0;
  for (let round = 0; round < 12; round++) {
    const next = new Float64Array(v.length);
    let length = 0;
    for (const x of v) length += x * x;
    length = Math.sqrt(length);
    for (let i = 0; i < n; i++) {
      let dot = v[rows.width];
      for (let k = rows.starts[i]; k < rows.starts[i + 1]; k++) dot += rows.values[k] * v[rows.ids[k]];
      dot /= length * n;
      for (let k = rows.starts[i]; k < rows.starts[i + 1]; k++) next[rows.ids[k]] += rows.values[k] * dot;
      next[rows.width] += dot;
    }
    norm = Math.sqrt(next.reduce((s, x) => s + x * x, 0));
    v.set(next);
  }
  return 1.1 * norm;
}

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

/** The weights of all outputs, side by side at each place. */
async function readWeights(session: Session, width: number, outputs: number): Promise<Float32Array> {
  const all = new Float32Array(width * outputs);
  for (const [o, name] of weightNames(outputs).entries()) {
    const column = await session.readState(name);
    for (let i = 0; i < width; i++) all[i * outputs + o] = column[i];
  }
  return all;
}

/** Fits on an open device. @throws ScionError `input` where a class has no rows, `numeric` where the numbers break. */
export async function fitLinear(device: GpuDevice, rows: SparseRows, options: FitOptions = {}): Promise<FitResult> {
  const { C = 10, maxSteps = 3000, tolerance = 1e-4, onProgress } = options;
  const n = rows.labels.length;
  const perClass = new Uint32Array(rows.classes);
  for (const label of rows.labels) perClass[label]++;
  if (rows.classes < 2 || perClass.includes(0))
    throw new ScionError('input', `a classifier needs examples of each class; there are ${[...perClass].join(', ')} of ${rows.classes} classes`);
  const decay = 1 / (C * n);
  const curvature = (rows.classes === 2 ? 0.25 : 0.5) * largestCurvature(rows) + decay;
  // Heavy ball (Polyak 1964) as it is best between the least and the greatest curvature.
  const [low, high] = [Math.sqrt(decay), Math.sqrt(curvature)];
  const momentum = ((high - low) / (high + low)) ** 2;
  const lr = (2 / (high + low)) ** 2;
  const O = outputsOf(rows.classes);
  const states = new States();
  for (const name of weightNames(O)) states.declare(name, 'param', 'decay', [rows.width, 1]);
  states.declare('bias', 'param', 'plain', [O]);
  for (const kind of ['grad', 'moment1'] as const) {
    for (const name of weightNames(O)) states.declare(`${name}.${kind}`, kind, 'decay', [rows.width, 1]);
    states.declare(`bias.${kind}`, kind, 'plain', [O]);
  }
  states.declare('step', 'step', 'step', [STEP_WORDS], 'u32');
  states.freeze(device.facts);
  const byWidth = rowClasses(rows);
  const plans: Record<string, Plan> = { update: planGraph(traceUpdate(states, momentum, decay), { name: 'update', facts: device.facts }) };
  for (const [K, list] of byWidth) {
    const graph = traceRows(states, rows.classes, batchOf(K, list.length), K);
    plans[`rows${K}`] = planGraph(graph, { name: `rows${K}`, facts: device.facts });
  }
  const micros = makeMicros(rows, byWidth);
  const session = new Session(device, plans, { states });
  try {
    session.writeState('step', freshStepState());
    const table = biasTable(1, 1, 0, 0);
    for (let step = 0; ; ) {
      for (let k = 0; k < LOOK && step < maxSteps; k++, step++) {
        for (const micro of micros) session.programs[micro.program].run(micro.feeds, { weight: 1 / n, segments: micro.segments });
        session.programs.update.run({ bias: table }, { lr });
      }
      const model = { weights: await readWeights(session, rows.width, O), bias: (await session.readState('bias')) as Float32Array };
      const { objective, gradient } = exactObjective(rows, model, decay);
      if (!Number.isFinite(objective)) throw new ScionError('numeric', `fitting a classifier: the loss is ${objective} after ${step} steps`, { step });
      onProgress?.(step, objective, gradient);
      const converged = gradient <= tolerance;
      if (converged || step >= maxSteps) return { ...model, steps: step, objective, gradient, converged };
    }
  } finally {
    session.destroy();
  }
}
