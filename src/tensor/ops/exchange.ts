/**
 * What ranks of an axis do to one tensor in place: add it up, hand out its sum in parts, or join its parts. The tensor lies
 * whole on every rank; `runs` say which elements are whose. No kernel: a pair of commands that the program's `Exchange` carries out.
 */
import type { Value } from '../graph.ts';
import type { Op, Slice } from '../op.ts';
import { byteSize, dtypeBytes, require_, sizeOf } from '../types.ts';

/** An axis, and where this rank stands on it. */
export interface RankAxis {
  readonly axis: string;
  readonly ranks: number;
  readonly rank: number;
}

/** Elements from <= i < to of a tensor that a rank holds. */
export interface OwnedRun {
  readonly rank: number;
  readonly from: number;
  readonly to: number;
}

/** Runs as an attribute holds them. */
export const packRuns = (runs: readonly OwnedRun[]): readonly number[] => runs.filter((r) => r.from < r.to).flatMap(({ rank, from, to }) => [rank, from, to]);

/** The runs of an attribute, by rank. */
export function runsByRank(packed: readonly number[], ranks: number): { from: number; to: number }[][] {
  const out: { from: number; to: number }[][] = Array.from({ length: ranks }, () => []);
  for (let i = 0; i < packed.length; i += 3) out[packed[i]].push({ from: packed[i + 1], to: packed[i + 2] });
  return out;
}

export const EXCHANGE: Op = {
  name: 'exchange',
  updates: [[0, 0]],
  effects: true,
  infer([x], attrs) {
    const { how, ranks, rank, runs } = attrs as { how: string; ranks: number; rank: number; runs: readonly number[] };
    require_('exchange', Number.isInteger(ranks) && ranks >= 1 && rank >= 0 && rank < ranks, 'a rank of an axis', `${rank} of ${ranks}`);
    require_('exchange', how === 'gather' || (how === 'sum' && (x.dtype === 'f32' || x.dtype === 'u32')) || x.dtype === 'f32', 'sums are of f32 (or u32)', [x]);
    const size = sizeOf(x.shape);
    for (let i = 0; i < runs.length; i += 3) {
      const [owner, from, to] = runs.slice(i, i + 3);
      require_(
        'exchange',
        owner >= 0 && owner < ranks && from >= 0 && from < to && to <= size,
        `runs inside ${size} elements, of ranks below ${ranks}`,
        `${runs}`,
      );
    }
    return [x];
  },
  lower(l, node) {
    const [x] = node.inputs;
    const { how, axis, ranks, rank, runs, sum } = node.attrs as {
      how: 'sum' | 'gather' | 'scatter';
      axis: string;
      ranks: number;
      rank: number;
      runs: readonly number[];
      sum?: 'f32' | 'u32';
    };
    if (ranks === 1) return;
    const size = dtypeBytes(x.dtype);
    // A tensor's last word may be half used; it moves whole.
    const end = (i: number): number => Math.min(byteSize(x), Math.ceil((i * size) / 4) * 4);
    const slice = ({ from, to }: { from: number; to: number }): Slice => ({ of: x, offset: from * size, bytes: end(to) - from * size });
    const parts = runsByRank(runs, ranks).map((list) => list.map(slice));
    if (how === 'sum') l.await(l.exchange({ how, axis, of: parts.flat(), dtype: sum ?? 'f32' }));
    else if (how === 'scatter') l.await(l.exchange({ how, axis, own: parts[rank], parts }));
    else {
      const lengths = parts.map((list) => list.reduce((n, s) => n + s.bytes, 0));
      l.await(l.exchange({ how, axis, own: parts[rank], parts: parts.map((list, r) => (r === rank ? [] : list)), lengths }));
    }
  },
  cost: () => ({ flops: 0, bytes: 0 }),
  place: { rule: 'collective' },
  reference: ([x]) => [x.data.slice()],
};

/** The tensor (or its elements `runs`, whoever's they are) summed over all ranks, in place. `as`: how the words of a u32 state are read. */
export function exchangeSum(x: Value, { axis, ranks, rank }: RankAxis, runs?: readonly { from: number; to: number }[], as?: 'f32' | 'u32'): Value {
  const packed = packRuns((runs ?? [{ from: 0, to: sizeOf(x.shape) }]).map((r) => ({ ...r, rank: 0 })));
  return x.node.graph.apply1(EXCHANGE, [x], { how: 'sum', axis, ranks, rank, runs: packed, ...(as && { sum: as }) });
}

/** The sum over all ranks of those elements that are this rank's; the others are left as they were. */
export function exchangeScatter(x: Value, { axis, ranks, rank }: RankAxis, runs: readonly OwnedRun[]): Value {
  return x.node.graph.apply1(EXCHANGE, [x], { how: 'scatter', axis, ranks, rank, runs: packRuns(runs) });
}

/** Every rank's elements from the rank whose they are. */
export function exchangeGather(x: Value, { axis, ranks, rank }: RankAxis, runs: readonly OwnedRun[]): Value {
  return x.node.graph.apply1(EXCHANGE, [x], { how: 'gather', axis, ranks, rank, runs: packRuns(runs) });
}
