/**
 * One tensor of which every rank holds a part: joined for as long as it is used, and the sum of its gradient handed out again.
 * Pairs of start and wait, so that other work may stand between them. The parts are runs of the flattened tensor
 * (`ZeRO`, Rajbhandari et al. 2020, with bounds on fixed blocks); a rank may hold none of it.
 */
import type { Value } from '../graph.ts';
import { foldGrid, type Op, type Slice } from '../op.ts';
import { byteSize, type DType, dtypeBytes, require_, type Shape, sizeOf, type TensorType } from '../types.ts';
import { type OwnedRun, packRuns, type RankAxis, runsByRank } from './exchange.ts';

type ShardAttrs = RankAxis & { readonly runs: readonly number[]; readonly shape: readonly number[]; readonly dtype: DType };

const endOf = (type: TensorType, element: number): number => Math.min(byteSize(type), Math.ceil((element * dtypeBytes(type.dtype)) / 4) * 4);

/** The runs of each rank as byte ranges of a whole tensor. */
function slices(of: Value, runs: readonly number[], ranks: number): Slice[][] {
  const size = dtypeBytes(of.dtype);
  return runsByRank(runs, ranks).map((list) => list.map(({ from, to }) => ({ of, offset: from * size, bytes: endOf(of, to) - from * size })));
}

const lengthOf = (list: readonly Slice[]): number => list.reduce((n, s) => n + s.bytes, 0);

/** Elements that a rank holds. */
const heldBy = (runs: readonly number[], ranks: number, rank: number): number => runsByRank(runs, ranks)[rank].reduce((n, r) => n + r.to - r.from, 0);

/**
 * Input: this rank's part (none where it holds none). Output: the whole tensor, to be read through its wait alone. Where nobody waits for it (on all ranks
 * alike) it is dropped: what arrives unawaited would be written over what its memory serves by then.
 */
export const SHARD_GATHER: Op = {
  name: 'shard_gather',
  infer(inputs, attrs) {
    const { runs, ranks, rank, shape, dtype } = attrs as unknown as ShardAttrs;
    const held = heldBy(runs, ranks, rank);
    require_('shard_gather', held === 0 ? inputs.length === 0 : inputs.length === 1 && inputs[0].dtype === dtype, 'the part that this rank holds', inputs);
    return [{ shape, dtype }];
  },
  lower(l, node) {
    const { axis, ranks, rank, runs } = node.attrs as unknown as ShardAttrs;
    const parts = slices(node.outputs[0], runs, ranks);
    const [part] = node.inputs;
    const own = part ? [{ of: part, offset: 0, bytes: lengthOf(parts[rank]) }] : [];
    l.begin(node.outputs[0], l.exchange({ how: 'gather', axis, own, parts, lengths: parts.map(lengthOf) }));
  },
  cost: () => ({ flops: 0, bytes: 0 }),
  place: { rule: 'collective' },
  reference: ([x]) => [x.data.slice()],
};

/** Inputs: the tensor under way, and the part that this rank gives, if any. Output: the whole tensor, once it has arrived. */
export const SHARD_GATHERED: Op = {
  name: 'shard_gathered',
  inPlace: [[0, 0]],
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  lower: (l, node) => l.end(node.inputs[0]),
  cost: () => ({ flops: 0, bytes: 0 }),
  place: { rule: 'collective' },
  reference: ([x]) => [x.data.slice()],
};

/** Input: a whole gradient f32. Output: the part of its sum over all ranks that is this rank's, to be read through its wait alone. */
export const SHARD_REDUCE: Op = {
  name: 'shard_reduce',
  effects: true,
  infer([x], attrs) {
    const { runs, ranks, rank } = attrs as unknown as ShardAttrs;
    require_('shard_reduce', x.dtype === 'f32', 'gradients are summed in f32', [x]);
    return [{ shape: [heldBy(runs, ranks, rank)], dtype: 'f32' }];
  },
  lower(l, node) {
    const { axis, ranks, rank, runs } = node.attrs as unknown as ShardAttrs;
    const [out] = node.outputs;
    const parts = slices(node.inputs[0], runs, ranks);
    const bytes = lengthOf(parts[rank]);
    // It is added up in whole vectors, and what follows it among the states must stay zero: the norm counts it.
    if (bytes % 16 !== 0) l.clear(out, { offset: bytes, bytes: 16 - (bytes % 16) });
    const own = bytes > 0 ? [{ of: out, offset: 0, bytes }] : [];
    l.begin(out, l.exchange({ how: 'scatter', axis, own, parts }));
  },
  cost: () => ({ flops: 0, bytes: 0 }),
  place: { rule: 'collective' },
  reference: ([x]) => [x.data.slice()],
};

/** Inputs: the part under way, and the gradient it is made of (which must stay until then). Output: the part, added to its state. A rank without one only waits. */
export const SHARD_REDUCED: Op = {
  name: 'shard_reduced',
  accumulates: [true],
  effects: true,
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  lower(l, node) {
    const [x] = node.inputs;
    l.end(x);
    const n = sizeOf(x.shape);
    if (n === 0) return;
    const n4 = Math.ceil(n / 4);
    l.dispatch({
      kernel: 'elementwise/copy',
      bind: { X: x, Y: node.outputs[0] },
      params: { n4, scale: 1, accumulate: l.accumulates(0) ? 1 : 0 },
      grid: foldGrid(Math.ceil(n4 / 64)),
    });
  },
  cost: (node) => ({ flops: sizeOf(node.inputs[0].shape), bytes: 12 * sizeOf(node.inputs[0].shape) }),
  place: { rule: 'collective' },
  reference: ([x]) => [x.data.slice()],
};

/** A tensor joined from the ranks' parts. `part` is this rank's, null where it has none. */
export function shardGather(
  graph: Value['node']['graph'],
  part: Value | null,
  type: { shape: Shape; dtype: DType },
  at: RankAxis,
  runs: readonly OwnedRun[],
): Value {
  const { axis, ranks, rank } = at;
  const started = graph.apply1(SHARD_GATHER, part ? [part] : [], { axis, ranks, rank, runs: packRuns(runs), shape: type.shape, dtype: type.dtype });
  // The part must stay as it is until it has left.
  return graph.apply1(SHARD_GATHERED, part ? [started, part] : [started]);
}

/** Adds this rank's part of the sum of `gradient` over all ranks to `into` (null: this rank has none). */
export function shardReduce(gradient: Value, into: Value | null, { axis, ranks, rank }: RankAxis, runs: readonly OwnedRun[]): Value {
  const graph = gradient.node.graph;
  const started = graph.apply1(SHARD_REDUCE, [gradient], { axis, ranks, rank, runs: packRuns(runs) });
  return graph.apply1(SHARD_REDUCED, [started, gradient], {}, into);
}
