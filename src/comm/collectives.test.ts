/**
 * Collective arithmetic against sums written out in float64 and rounded at each step, on ranks of one thread: sizes that do not divide, empty shards, both wires,
 * and the bytes that transports count against the formulas.
 */
import { describe, expect, it } from 'vitest';
import { fromBfloatBits, toBfloatBits } from '../base/half.ts';
import { Random } from '../base/random.ts';
import { allGather, allReduceSum, broadcast, bytesSentBy, reduceScatterSum, shardBounds, type Wire } from './collectives.ts';
import { localRanks } from './local.ts';
import type { Transport } from './types.ts';

const SIZES = [1, 2, 3, 4, 5, 7];
const COUNTS = [0, 1, 4095, 4097, 30_011];

/** Values whose sums round at nearly every addition. */
function contribution(rank: number, count: number): Float32Array {
  const random = new Random(17, rank);
  return Float32Array.from({ length: count }, () => (random.uniform() - 0.5) * 2 ** Math.floor(random.uniform() * 12));
}

const bf16 = (value: number): number => fromBfloatBits(toBfloatBits(value));

/** ((x0 + x1) + x2) + …, each step in float64 and rounded to f32: exact, since float64 holds the sum of two f32 well enough to round it once. */
function expectedSum(inputs: readonly Float32Array[], wire: Wire): Float32Array {
  const given = wire === 'bf16' ? inputs.map((values) => values.map(bf16)) : inputs;
  const out = given[0].slice();
  for (const values of given.slice(1)) for (let i = 0; i < out.length; i++) out[i] = Math.fround(out[i] + values[i]);
  return out;
}

/** Index of the first element whose bits differ (so that -0 and NaN count), -1 if none does; lengths count as element -2. */
function difference(found: Float32Array, wanted: Float32Array): number {
  const [a, b] = [found, wanted].map((values) => new Uint32Array(values.slice().buffer));
  return a.length === b.length ? a.findIndex((word, i) => word !== b[i]) : -2;
}

const together = <T>(ranks: readonly Transport[], part: (t: Transport) => Promise<T>): Promise<T[]> => Promise.all(ranks.map(part));

describe('sums in rank order', () => {
  for (const wire of ['f32', 'bf16'] as const) {
    it(`all-reduce and reduce-scatter, wire ${wire}`, async () => {
      for (const size of SIZES) {
        for (const count of COUNTS) {
          const inputs = Array.from({ length: size }, (_, rank) => contribution(rank, count));
          const sum = expectedSum(inputs, wire);
          const bounds = shardBounds(count, size);
          const ranks = localRanks(size);
          const shards = await together(ranks, async (t) => {
            const out = new Float32Array(bounds[t.rank + 1] - bounds[t.rank]);
            await reduceScatterSum(t, inputs[t.rank].slice(), out, { bounds, wire });
            return out;
          });
          expect(ranks.map((t) => t.bytesSent)).toEqual(ranks.map((t) => bytesSentBy.reduceScatterSum(bounds, t.rank, wire)));
          for (const [rank, shard] of shards.entries()) expect(difference(shard, sum.subarray(bounds[rank], bounds[rank + 1]))).toBe(-1);
          const before = ranks.map((t) => t.bytesSent);
          const all = await together(ranks, async (t) => {
            const values = inputs[t.rank].slice();
            await allReduceSum(t, values, { wire });
            return values;
          });
          const wanted = wire === 'bf16' ? sum.map(bf16) : sum;
          for (const values of all) expect(difference(values, wanted)).toBe(-1);
          expect(ranks.map((t, i) => t.bytesSent - before[i])).toEqual(ranks.map((t) => bytesSentBy.allReduceSum(count, size, t.rank, wire)));
        }
      }
    });
  }

  it('keeps infinities, NaN and the sign of zero', async () => {
    const special = [Number.POSITIVE_INFINITY, Number.NaN, -0, 3e38, 1e-45];
    const all = await together(localRanks(3), async (t) => {
      const values = Float32Array.from(special);
      await allReduceSum(t, values);
      return values;
    });
    for (const values of all) {
      expect(values[0]).toBe(Number.POSITIVE_INFINITY);
      expect(values[1]).toBeNaN();
      expect(Object.is(values[2], -0)).toBe(true);
      expect(values[3]).toBe(Number.POSITIVE_INFINITY);
      expect(values[4]).toBe(Math.fround(3 * Math.fround(1e-45)));
    }
  });

  it('uneven bounds of the caller, with an empty shard', async () => {
    const bounds = [0, 5, 5, 12];
    const inputs = [0, 1, 2].map((rank) => contribution(rank, 12));
    const gathered = await together(localRanks(3), async (t) => {
      const out = new Float32Array(12);
      await reduceScatterSum(t, inputs[t.rank], out.subarray(bounds[t.rank], bounds[t.rank + 1]), { bounds });
      await allGather(t, out, { bounds });
      return out;
    });
    for (const out of gathered) expect(difference(out, expectedSum(inputs, 'f32'))).toBe(-1);
  });

  it('refuses bounds and lengths that do not fit', async () => {
    const [t] = localRanks(1);
    await expect(reduceScatterSum(t, new Float32Array(4), new Float32Array(4), { bounds: [0, 3] })).rejects.toThrow('bounds [0, 3] do not share 4 elements');
    await expect(reduceScatterSum(t, new Float32Array(4), new Float32Array(3))).rejects.toThrow('out has 3 elements where this rank');
  });
});

describe('broadcast', () => {
  it('from every root, both wires', async () => {
    for (const size of SIZES) {
      for (let root = 0; root < size; root++) {
        for (const wire of ['f32', 'bf16'] as const) {
          const values = contribution(root, 37);
          const ranks = localRanks(size);
          const all = await together(ranks, async (t) => {
            const own = t.rank === root ? values.slice() : new Float32Array(37);
            await broadcast(t, own, { root, wire });
            return own;
          });
          for (const own of all) expect(difference(own, wire === 'bf16' ? values.map(bf16) : values)).toBe(-1);
          expect(ranks.map((t) => t.bytesSent)).toEqual(ranks.map((t) => bytesSentBy.broadcast(37, size, t.rank, root, wire)));
        }
      }
    }
  });
});

describe('shard bounds', () => {
  it('share whole blocks, longest first, all of them', () => {
    expect(shardBounds(10 * 4096 + 7, 4)).toEqual([0, 3 * 4096, 6 * 4096, 9 * 4096, 10 * 4096 + 7]);
    expect(shardBounds(5, 3)).toEqual([0, 5, 5, 5]);
    expect(shardBounds(0, 2)).toEqual([0, 0, 0]);
    expect(shardBounds(12, 3, 2)).toEqual([0, 4, 8, 12]);
  });
});
