/**
 * What the plan of a rank promises of collectives under way: each is awaited, and until then no launch and no other collective touches memory that
 * it writes, nor writes memory that it reads. Plans alone, over meshes, stages and policies.
 */
import { expect, it } from 'vitest';
import { assumedFacts } from '../../src/gpu/facts.ts';
import { ONE_RANK } from '../../src/shard/mesh.ts';
import { type Move, sentRanges } from '../../src/tensor/exchange.ts';
import type { BufferRef, Plan } from '../../src/tensor/plan.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { SHARD_MODEL, SHARD_SETUP } from './ranks.ts';

const overlap = (a: BufferRef, b: BufferRef): boolean => a.buffer === b.buffer && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;

/** The ranges that a move writes on this rank. */
function written(move: Move<BufferRef>): readonly BufferRef[] {
  if (move.how === 'sum') return move.of;
  if (move.how === 'gather') return move.parts.flat();
  return move.how === 'swap' ? move.into.flat() : move.own;
}

/** What a plan does wrong, in words. */
function faults(plan: Plan): string[] {
  const found: string[] = [];
  const flying = new Map<number, { reads: readonly BufferRef[]; writes: readonly BufferRef[]; node: string }>();
  for (const [i, c] of plan.commands.entries()) {
    if (c.kind === 'await') {
      flying.delete(c.id);
      continue;
    }
    const touched = c.kind === 'dispatch' ? Object.values(c.bind) : c.kind === 'clear' ? [c.ref] : written(c.move);
    const read = c.kind === 'exchange' ? sentRanges(c.move) : [];
    const what = `${plan.name} ${i} ${c.kind} ${c.kind === 'clear' ? '' : c.node}`;
    for (const [id, flight] of flying) {
      if ([...touched, ...read].some((r) => flight.writes.some((w) => overlap(r, w)))) found.push(`${what} touches what ${id} ${flight.node} writes`);
      // Launches may read what is being sent; they bind it as they bind what they write, so only collectives are held to this.
      if (c.kind === 'exchange' && touched.some((r) => flight.reads.some((w) => overlap(r, w)))) found.push(`${what} writes what ${id} ${flight.node} sends`);
    }
    if (c.kind === 'exchange') flying.set(c.id, { reads: sentRanges(c.move), writes: written(c.move), node: c.node });
  }
  for (const [id, { node }] of flying) found.push(`${plan.name}: nobody waits for ${id} ${node}`);
  return found;
}

const FOUR_HEADS: TrainSetup = { ...SHARD_SETUP, model: { ...SHARD_MODEL, numKvHeads: 4 } };

it.each([
  [{ dp: 2 }, 2, undefined],
  [{ dp: 3 }, 3, undefined],
  [{ dp: 2, tp: 2 }, 3, undefined],
  [{ sp: 2 }, 3, 'heads'],
  [{ sp: 4 }, 0, 'ring'],
  [{ dp: 2, sp: 2 }, 3, 'ring'],
  [{ tp: 2, sp: 2 }, 2, 'ring'],
] as const)('%j, ZeRO %i, by %s', (mesh, zero, sequence) => {
  for (const recompute of ['none', 'layer'] as const) {
    for (const tied of [false, true]) {
      const setup = { ...FOUR_HEADS, recompute, model: { ...FOUR_HEADS.model, tied } };
      const { plans } = planTraining(setup, assumedFacts(), { shape: { ...ONE_RANK, ...mesh }, rank: 1, zero, sequence });
      for (const plan of Object.values(plans)) expect(faults(plan)).toEqual([]);
    }
  }
});
