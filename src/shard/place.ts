/**
 * What one rank of a mesh holds: which states are cut over the data-parallel ranks (ZeRO, Rajbhandari et al. 2020), and which
 * elements are whose. Plain data, so that every rank of any mesh can be planned on any machine.
 */
import { ScionError } from '../base/errors.ts';
import { shardBounds } from '../comm/collectives.ts';
import { FROZEN } from '../nn/parameters.ts';
import type { OwnedRun, RankAxis } from '../tensor/ops/exchange.ts';
import type { Sharding, StateBuffer, StateKind, States } from '../tensor/states.ts';
import { type Axis, coordinatesOf, type MeshShape } from './mesh.ts';
import type { SequenceKind } from './sequence.ts';

/**
 * How much ranks that share parameters (dp and sp) share out: 0 nothing, 1 moments and moving averages (with 16-bit weights the f32 masters too),
 * 2 gradients as well, 3 parameters as well.
 */
export type ZeroStage = 0 | 1 | 2 | 3;

/** One rank's place. */
export interface Place {
  readonly shape: MeshShape;
  readonly rank: number;
  readonly zero: ZeroStage;
  /** How sp ranks split packs; by default by heads where they divide, else on the ring. */
  readonly sequence?: SequenceKind;
}

/** @throws ScionError `usage` for what this build cannot spread over ranks. */
export function checkPlace({ shape, zero }: Place): void {
  if (shape.pp > 1) throw new ScionError('usage', `the mesh has pp=${shape.pp}; this version spreads training over dp, sp and tp`, { axis: 'pp' });
  if (![0, 1, 2, 3].includes(zero)) throw new ScionError('usage', `ZeRO stage ${zero}: 0, 1, 2 or 3`, { zero });
}

/** Where a rank stands on an axis. */
export function axisOf({ shape, rank }: Place, axis: Axis): RankAxis {
  return { axis, ranks: shape[axis], rank: coordinatesOf(shape, rank)[axis] };
}

/** dp and sp together: ranks that have the same parameters and different data, whose gradients are summed and whose states ZeRO cuts. */
export function dataAxis(place: Place): RankAxis {
  const [dp, sp] = [axisOf(place, 'dp'), axisOf(place, 'sp')];
  return { axis: 'data', ranks: dp.ranks * sp.ranks, rank: dp.rank * sp.ranks + sp.rank };
}

/** The states that a stage cuts over the ranks that share parameters; null where it cuts none. */
export function zeroSharding(place: Place): Sharding | null {
  const { zero } = place;
  const { axis, ranks, rank } = dataAxis(place);
  if (zero === 0 || ranks === 1) return null;
  const cuts = (kind: StateKind, group: string, half: boolean): boolean => {
    if (kind === 'moment1' || kind === 'moment2' || kind === 'ema') return true;
    if (kind === 'grad') return zero >= 2;
    if (kind === 'weight') return zero === 3;
    // Masters behind 16-bit weights are the optimizer's alone.
    return kind === 'param' && (zero === 3 || (half && group !== FROZEN));
  };
  return { axis, ranks, rank, cuts };
}

/** Whose each element of a flat buffer is. */
export function ownedRuns(elements: number, ranks: number): OwnedRun[] {
  const bounds = shardBounds(elements, ranks);
  return Array.from({ length: ranks }, (_, rank) => ({ rank, from: bounds[rank], to: bounds[rank + 1] }));
}

/** Elements of one state in a flat buffer, and whose they are, counted from the state's first. 16-bit runs end on whole words. */
export interface StateCut {
  readonly buffer: StateBuffer;
  /** First element in the buffer's layout. */
  readonly at: number;
  readonly runs: readonly OwnedRun[];
}

/** How a state would lie cut over so many ranks, whether it is or not. */
export function cutOf(states: States, name: string, ranks: number): StateCut {
  const spec = states.get(name);
  const { buffer: key, offset } = states.place(name);
  const buffer = states.buffer(key);
  if (!spec || !buffer) throw new ScionError('internal', `state "${name}" has no place`);
  const width = buffer.bytes > 0 ? buffer.bytes / buffer.elements : spec.dtype === 'f16' ? 2 : 4;
  const at = offset / width;
  const size = spec.shape.reduce((n, d) => n * d, 1);
  const end = at + (width === 2 ? Math.ceil(size / 2) * 2 : size);
  const runs = ownedRuns(buffer.whole, ranks).map(({ rank, from, to }) => ({ rank, from: Math.max(from, at) - at, to: Math.min(to, end) - at }));
  return { buffer, at, runs: runs.filter((r) => r.from < r.to) };
}
