/**
 * Rows of a fit on the device: uploaded once as states, so that an evaluation only writes the weights, runs programs and reads a
 * gradient. A row's logit is an embedding bag (weight rows gathered by place, a product with the values, a sum), its loss
 * cross-entropy, its gradient the graph's own. Rows of like length share a program, padded to a common number of slots;
 * padding has no segment in the gradient and weighs nothing.
 *
 * It trades memory (20 bytes a slot for as long as the fit lasts) for time: no upload and few launches an evaluation.
 */
import { invariant } from '../../base/errors.ts';
import type { GpuDevice } from '../../gpu/device.ts';
import { differentiate } from '../../tensor/autodiff.ts';
import { Graph, type Value, view } from '../../tensor/graph.ts';
import { bias as addBias } from '../../tensor/ops/bias.ts';
import { mul } from '../../tensor/ops/elementwise.ts';
import { embed } from '../../tensor/ops/embed.ts';
import { fusedLoss, linearCrossEntropy } from '../../tensor/ops/linear_cross_entropy.ts';
import { matmul } from '../../tensor/ops/matmul.ts';
import { sum } from '../../tensor/ops/reduce.ts';
import { type Plan, planGraph } from '../../tensor/plan.ts';
import { Session } from '../../tensor/session.ts';
import { States } from '../../tensor/states.ts';
import type { SparseRows } from './fit.ts';

/** Slots (row, place) of one program at most; the device may bind fewer. */
const SLOTS = 2 ** 22;
const SMALLEST_ROW = 64;

/** Slots of a row with n places: four sizes to each doubling, so that little is padding and few programs are made. */
export function slotsOf(n: number): number {
  if (n <= SMALLEST_ROW) return SMALLEST_ROW;
  const quarter = 2 ** Math.max(4, Math.floor(Math.log2(n - 1)) - 2);
  return Math.ceil(n / quarter) * quarter;
}

/** Rows that one program takes: their numbers, and the slots of each. */
interface Part {
  readonly slots: number;
  readonly rows: readonly number[];
}

/** Rows by their number of slots, in parts of at most `most` slots. */
export function partsOf(rows: SparseRows, most: number): Part[] {
  const bySlots = new Map<number, number[]>();
  for (let i = 0; i < rows.labels.length; i++) {
    const slots = slotsOf(rows.starts[i + 1] - rows.starts[i]);
    const list = bySlots.get(slots);
    if (list) list.push(i);
    else bySlots.set(slots, [i]);
  }
  const parts: Part[] = [];
  for (const [slots, list] of [...bySlots].sort(([a], [b]) => a - b)) {
    const B = Math.max(1, Math.floor(most / slots));
    for (let at = 0; at < list.length; at += B) parts.push({ slots, rows: list.slice(at, at + B) });
  }
  return parts;
}

/** The slots of real places sorted by place and, within one, by position, for the gradient of the embedding; padding has no segment. */
export function sortSlots(ids: Uint32Array, width: number): { order: Uint32Array; starts: Uint32Array; segmentIds: Uint32Array; segments: number } {
  const next = new Uint32Array(width + 1);
  for (const id of ids) if (id < width) next[id + 1]++;
  const starts = new Uint32Array(ids.length + 1);
  const segmentIds = new Uint32Array(ids.length);
  let segments = 0;
  for (let place = 0; place < width; place++) {
    if (next[place + 1] > 0) {
      starts[segments] = next[place];
      segmentIds[segments++] = place;
    }
    next[place + 1] += next[place];
  }
  starts.fill(next[width], segments);
  const order = new Uint32Array(ids.length);
  for (let slot = 0; slot < ids.length; slot++) if (ids[slot] < width) order[next[ids[slot]]++] = slot;
  return { order, starts, segmentIds, segments };
}

/** The numbers of a part as the device holds them. */
function fillPart(rows: SparseRows, { slots, rows: list }: Part) {
  const ids = new Uint32Array(list.length * slots).fill(rows.width);
  const values = new Float32Array(list.length * slots);
  list.forEach((row, b) => {
    ids.set(rows.ids.subarray(rows.starts[row], rows.starts[row + 1]), b * slots);
    values.set(rows.values.subarray(rows.starts[row], rows.starts[row + 1]), b * slots);
  });
  const { segments, ...tables } = sortSlots(ids, rows.width);
  return { segments, states: { ids, values, labels: Int32Array.from(list, (row) => rows.labels[row]), ...tables } };
}

function declarePart(states: States, p: number, B: number, K: number): void {
  states.declare(`ids.${p}`, 'other', 'places', [B, K], 'u32');
  states.declare(`order.${p}`, 'other', 'places', [B * K], 'u32');
  states.declare(`starts.${p}`, 'other', 'places', [B * K + 1], 'u32');
  states.declare(`segmentIds.${p}`, 'other', 'places', [B * K], 'u32');
  states.declare(`values.${p}`, 'other', 'values', [B, K]);
  states.declare(`labels.${p}`, 'other', 'labels', [B], 'i32');
}

/** Forward and backward of the rows of part p; gradients of the mean over all n rows add up in their states. Step scalar `segments`. */
function tracePart(states: States, p: number, n: number, outputs: number): { graph: Graph; loss: Value } {
  const g = new Graph(states);
  const [ids, values, labels] = [g.state(`ids.${p}`), g.state(`values.${p}`), g.state(`labels.${p}`)];
  const [B, K] = ids.shape;
  const sort = { order: g.state(`order.${p}`), starts: g.state(`starts.${p}`), segmentIds: g.state(`segmentIds.${p}`) };
  // A column of logits for each output; with several, each goes to its place by a product with a row of the identity.
  let product: Value | null = null;
  for (let o = 0; o < outputs; o++) {
    const gathered = embed(g.state(weightsName(o)), ids, { ...sort, segments: 'segments' });
    const column = view(sum(mul(values, view(gathered, [B, K])), 'last'), [B, 1]);
    if (outputs === 1) product = column;
    else product = matmul(column, g.constant(`place${o}of${outputs}`, [1, outputs], unitRow(o, outputs)), product ? { add: product } : {});
  }
  invariant(product, 'a classifier has an output');
  const logits = addBias(product, g.state('bias'));
  // One logit z stands for the pair (0, z); several are themselves.
  const head = outputs === 1 ? g.constant('head2', [2, 1], Float32Array.of(0, 1)) : g.constant(`head${outputs}`, [outputs, outputs], identity(outputs));
  const losses = linearCrossEntropy(logits, head, labels);
  const adjoint = g.constant(`mean${B}`, [B], new Float32Array(B).fill(1 / n));
  const targets = [...Array.from({ length: outputs }, (_, o) => weightsName(o)), 'bias'].map((name) => ({ by: g.state(name), into: g.state(gradName(name)) }));
  differentiate(g, [{ value: losses.loss, adjoint }], targets);
  return { graph: g, loss: fusedLoss(g, losses).nll };
}

const weightsName = (output: number): string => `weights${output}`;
const gradName = (name: string): string => `${name}.grad`;

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

/** The rows of a fit on a device, ready to be evaluated again and again; `destroy` it. */
export class RowPrograms {
  readonly #session: Session;
  readonly #segments: number[] = [];
  readonly #width: number;
  readonly #outputs: number;
  readonly #rows: number;

  /** @throws ScionError `memory` where the device cannot hold the rows. */
  constructor(device: GpuDevice, rows: SparseRows, outputs: number) {
    this.#width = rows.width;
    this.#outputs = outputs;
    this.#rows = rows.labels.length;
    const { maxStorageBufferBindingSize, maxBufferSize } = device.facts.limits;
    // A table has a number more than there are slots, hence half of what can be bound.
    const parts = partsOf(rows, Math.min(SLOTS, maxStorageBufferBindingSize / 8, maxBufferSize / 8));
    const states = new States();
    for (let o = 0; o < outputs; o++) states.declare(weightsName(o), 'param', 'weights', [rows.width, 1]);
    states.declare('bias', 'param', 'bias', [outputs]);
    for (let o = 0; o < outputs; o++) states.declare(gradName(weightsName(o)), 'grad', 'weights', [rows.width, 1]);
    states.declare(gradName('bias'), 'grad', 'bias', [outputs]);
    for (const [p, part] of parts.entries()) declarePart(states, p, part.rows.length, part.slots);
    states.freeze(device.facts);
    const plans: Record<string, Plan> = {};
    for (const p of parts.keys()) {
      const { graph, loss } = tracePart(states, p, this.#rows, outputs);
      plans[`part${p}`] = planGraph(graph, { name: `part${p}`, facts: device.facts, outputs: { loss } });
    }
    this.#session = new Session(device, plans, { states });
    for (const [p, part] of parts.entries()) {
      const { segments, states: tables } = fillPart(rows, part);
      for (const [name, numbers] of Object.entries(tables)) this.#session.writeState(`${name}.${p}`, numbers);
      this.#segments.push(segments);
    }
  }

  /**
   * Mean loss of all rows and its gradient at x: the weights of one output after the other, then the biases; f32 on the device,
   * losses added up in float64.
   */
  async evaluate(x: Float64Array): Promise<{ loss: number; gradient: Float64Array }> {
    const session = this.#session;
    const [width, outputs] = [this.#width, this.#outputs];
    const places = [...Array.from({ length: outputs }, (_, o) => ({ name: weightsName(o), from: o * width, to: (o + 1) * width }))];
    places.push({ name: 'bias', from: outputs * width, to: outputs * width + outputs });
    for (const { name, from, to } of places) session.writeState(name, x.subarray(from, to));
    session.clearKind('grad');
    for (const [p, segments] of this.#segments.entries()) session.programs[`part${p}`].run({}, { segments });
    let loss = 0;
    for (const p of this.#segments.keys()) for (const row of (await session.programs[`part${p}`].read()).loss) loss += row;
    const gradient = new Float64Array(x.length);
    for (const { name, from } of places) gradient.set(await session.readState(gradName(name)), from);
    return { loss: loss / this.#rows, gradient };
  }

  destroy(): void {
    this.#session.destroy();
  }
}
