/** The grid of ranks: how it is written, who stands where, and which groups it cuts a world into. */
import { describe, expect, it } from 'vitest';
import { onRanks } from '../../test/shard/on-ranks.ts';
import { AXES, coordinatesOf, meshName, meshSize, ONE_RANK, openMesh, parseMesh, rankAt } from './mesh.ts';

describe('parseMesh', () => {
  it('reads axes in any order and leaves the others at one rank', () => {
    expect(parseMesh('dp=2,tp=4')).toEqual({ dp: 2, pp: 1, sp: 1, tp: 4 });
    expect(parseMesh(' tp=3 , dp=1 ')).toEqual({ ...ONE_RANK, tp: 3 });
    expect(meshSize(parseMesh('dp=2,tp=4,pp=3'))).toBe(24);
    expect(meshName(parseMesh('tp=4,dp=2'))).toBe('dp=2,tp=4');
    expect(meshName(ONE_RANK)).toBe('dp=1');
  });

  it.each(['', 'dp', 'dp=0', 'dp=-1', 'dp=1.5', 'ep=2', 'dp=2;tp=2', 'dp=2,,tp=2'])('refuses "%s" with an example', (text) => {
    expect(() => parseMesh(text)).toThrow(/is no axis with a number of ranks; write for example dp=2,tp=2/);
  });

  it('refuses an axis named twice', () => {
    expect(() => parseMesh('dp=2,dp=2')).toThrow(/names an axis twice/);
  });
});

describe('coordinates', () => {
  it('go round in tp first and come back to the same rank', () => {
    const shape = { dp: 2, pp: 3, sp: 1, tp: 4 };
    expect(coordinatesOf(shape, 1)).toEqual({ dp: 0, pp: 0, sp: 0, tp: 1 });
    expect(coordinatesOf(shape, 4)).toEqual({ dp: 0, pp: 1, sp: 0, tp: 0 });
    expect(coordinatesOf(shape, 12)).toEqual({ dp: 1, pp: 0, sp: 0, tp: 0 });
    for (let rank = 0; rank < 24; rank++) expect(rankAt(shape, coordinatesOf(shape, rank))).toBe(rank);
  });
});

describe('openMesh', () => {
  it('gives each rank the group of each axis, in the order of its coordinates', async () => {
    const shape = parseMesh('dp=2,pp=3,tp=2');
    const seen = await onRanks(12, async (world) => {
      const mesh = await openMesh(shape, world);
      const groups: Record<string, number[]> = {};
      for (const axis of AXES) {
        const group = mesh.along[axis];
        expect([group.rank, group.size]).toEqual([mesh.at[axis], shape[axis]]);
        const got = Array.from({ length: group.size }, () => new Uint8Array(1));
        await group.allGather(Uint8Array.of(world.rank), got);
        groups[axis] = got.map(([r]) => r);
      }
      return groups;
    });
    for (const [rank, groups] of seen.entries()) {
      const at = coordinatesOf(shape, rank);
      for (const axis of AXES) expect(groups[axis]).toEqual(Array.from({ length: shape[axis] }, (_, i) => rankAt(shape, { ...at, [axis]: i })));
    }
  });

  it('refuses a world of another size, with both numbers', async () => {
    await expect(onRanks(3, (world) => openMesh(parseMesh('dp=2'), world))).rejects.toThrow(/the mesh dp=2 has 2 ranks, 3 were started/);
  });
});
