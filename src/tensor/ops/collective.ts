/**
 * Collectives as pairs of graph nodes, start and wait, so that the planner can put work between them and
 * differentiation gives each its adjoint. On a mesh axis of size 1 they are the identity and share memory with
 * their input. On larger axes sums (`allReduce`, and the adjoint of `enter`) are carried by the program's exchange.
 */

import { ScionError } from '../../base/errors.ts';
import type { Node, Value } from '../graph.ts';
import type { GradContext, Lowering, Op } from '../op.ts';
import { byteSize, require_, type TensorType } from '../types.ts';
import { COPY } from './copy.ts';

/**
 * What ranks of an axis do: add up (`allReduce`), pass on what all hold alike (`enter`), join parts along a
 * dimension (`allGather`), add up and keep one part (`reduceScatter`).
 */
export type Collective = 'allReduce' | 'enter' | 'allGather' | 'reduceScatter';

/** Each collective's adjoint: what is alike on all ranks has an adjoint that must be added up, and so on. */
export const ADJOINT: Readonly<Record<Collective, Collective>> = {
  allReduce: 'enter',
  enter: 'allReduce',
  allGather: 'reduceScatter',
  reduceScatter: 'allGather',
};

/** A mesh axis: its name (dp, tp, sp, pp) and how many ranks it has. */
export interface MeshAxis {
  readonly axis: string;
  readonly ranks: number;
}

function typeAfter(x: TensorType, attrs: Node['attrs']): TensorType {
  const { kind, ranks, dim } = attrs as { kind: Collective; ranks: number; dim: number };
  require_(kind, Number.isInteger(ranks) && ranks >= 1, 'an axis has at least one rank', String(ranks));
  if (kind === 'allReduce' || kind === 'enter') return { shape: x.shape, dtype: x.dtype };
  require_(kind, dim >= 0 && dim < x.shape.length, `needs dimension ${dim}`, [x]);
  require_(kind, kind === 'allGather' || x.shape[dim] % ranks === 0, `dimension ${dim} must split over ${ranks} ranks`, [x]);
  const size = kind === 'allGather' ? x.shape[dim] * ranks : x.shape[dim] / ranks;
  return { shape: x.shape.map((d, i) => (i === dim ? size : d)), dtype: x.dtype };
}

/** Sums go to the program's exchange; on one rank, and on entering, there is nothing to do: the output is the input's memory. */
function lowerStart(l: Lowering, node: Node): void {
  const { kind, axis, ranks } = node.attrs as { kind: Collective; axis: string; ranks: number };
  if (ranks === 1 || kind === 'enter') return;
  if (kind !== 'allReduce')
    throw new ScionError('plan', `${node.op.name}: ${kind} along a dimension over axis "${axis}" of ${ranks} ranks is not built; plan with 1 rank`);
  const [y] = node.outputs;
  require_('allReduce', y.dtype === 'f32' || y.dtype === 'f16', 'sums are of f32 or f16', [y]);
  l.begin(y, l.exchange({ how: 'sum', axis, of: [{ of: y, offset: 0, bytes: byteSize(y) }], dtype: y.dtype === 'f16' ? 'f16' : 'f32' }));
}

function lowerWait(l: Lowering, node: Node): void {
  const { kind, ranks } = node.attrs as { kind: Collective; ranks: number };
  if (ranks > 1 && kind === 'allReduce') l.end(node.inputs[0]);
}

/** Starts a collective; its output is a handle that only the matching wait may read. */
export const COLLECTIVE_START: Op = {
  name: 'collective_start',
  inPlace: [[0, 0]],
  infer: ([x], attrs) => [typeAfter(x, attrs)],
  grad(g, node) {
    // The adjoint of the handle is the handle of the adjoint collective: wait for it here.
    const handle = g.adjoint(0);
    if (handle) contribute(g, node, node.graph.apply1(COLLECTIVE_WAIT, [handle], { ...node.attrs, kind: ADJOINT[node.attrs.kind as Collective] }));
  },
  lower: lowerStart,
  cost: () => ({ flops: 0, bytes: 0 }),
  place: { rule: 'collective' },
  reference: ([x]) => [x.data.slice()],
};

/** Waits for a started collective and gives its result. */
export const COLLECTIVE_WAIT: Op = {
  name: 'collective_wait',
  inPlace: [[0, 0]],
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  grad(g, node) {
    const dy = g.adjoint(0);
    if (dy) contribute(g, node, node.graph.apply1(COLLECTIVE_START, [dy], { ...node.attrs, kind: ADJOINT[node.attrs.kind as Collective] }));
  },
  lower: lowerWait,
  cost: () => ({ flops: 0, bytes: 0 }),
  place: { rule: 'collective' },
  reference: ([x]) => [x.data.slice()],
};

function contribute(g: GradContext, node: Node, dx: Value): void {
  g.contribute([0], ([into]) => [into ? node.graph.apply1(COPY, [dx], { scale: 1 }, into) : dx]);
}

/** A collective under way. */
export interface Pending {
  readonly handle: Value;
  readonly kind: Collective;
  readonly mesh: MeshAxis;
  readonly dim: number;
}

function start(kind: Collective, x: Value, mesh: MeshAxis, dim = 0): Pending {
  return { handle: x.node.graph.apply1(COLLECTIVE_START, [x], { kind, axis: mesh.axis, ranks: mesh.ranks, dim }), kind, mesh, dim };
}

function wait(kind: Collective, pending: Pending): Value {
  if (pending.kind !== kind) throw new ScionError('internal', `${kind}Wait was given a handle of ${pending.kind}`);
  const { handle, mesh, dim } = pending;
  return handle.node.graph.apply1(COLLECTIVE_WAIT, [handle], { kind, axis: mesh.axis, ranks: mesh.ranks, dim });
}

/** Starts the sum over all ranks of an axis. Its adjoint is the identity. */
export const allReduceStart = (x: Value, mesh: MeshAxis): Pending => start('allReduce', x, mesh);
/** The sum over all ranks. */
export const allReduceWait = (pending: Pending): Value => wait('allReduce', pending);
/** Starts the identity on a value that all ranks hold alike. Its adjoint is the sum over all ranks. */
export const enterStart = (x: Value, mesh: MeshAxis): Pending => start('enter', x, mesh);
/** The value unchanged. */
export const enterWait = (pending: Pending): Value => wait('enter', pending);
/** Starts joining the ranks' parts along dimension `dim`. Its adjoint is reduce-scatter. */
export const allGatherStart = (x: Value, mesh: MeshAxis, dim: number): Pending => start('allGather', x, mesh, dim);
/** All parts joined. */
export const allGatherWait = (pending: Pending): Value => wait('allGather', pending);
/** Starts a sum over all ranks of which each keeps its part along `dim`. Its adjoint is all-gather. */
export const reduceScatterStart = (x: Value, mesh: MeshAxis, dim: number): Pending => start('reduceScatter', x, mesh, dim);
/** This rank's part of the sum. */
export const reduceScatterWait = (pending: Pending): Value => wait('reduceScatter', pending);
