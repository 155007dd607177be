/**
 * Memory that ranks share: what it hands out overlaps nowhere and grows, sums from it are those of messages for any length and start, and values that are staged
 * on some ranks only go by message.
 */
import { describe, expect, it } from 'vitest';
import { contribution } from '../../test/comm/program.ts';
import { host } from '../host/index.ts';
import { allGather, allReduceSum, reduceScatterSum, shardBounds, sumInOrder } from './collectives.ts';
import { Mailboxes, mailBytes } from './mailbox.ts';
import { growingMemory } from './shared.ts';
import { threadTransport } from './threads.ts';
import type { Transport } from './types.ts';

async function world(size: number): Promise<Transport[]> {
  const layout = { size, ring: 4096 };
  const memory = growingMemory(mailBytes(layout));
  new Mailboxes(memory, layout).begin();
  const machine = await host();
  return Array.from({ length: size }, (_, rank) => threadTransport({ memory, layout, rank }, machine));
}

const stage = (t: Transport, values: Float32Array, skip = 0): Float32Array => {
  const staged = t.stage?.(values.length + skip).subarray(skip) as Float32Array;
  staged.set(values);
  return staged;
};

const end = (ranks: readonly Transport[]): Promise<unknown> => Promise.all(ranks.map((t) => t.close()));

describe('staged values', () => {
  it('overlap nowhere, begin on cache lines, are zero, and make the memory grow', async () => {
    const ranks = await world(2);
    const taken = [1, 16, 17, 100_000, 3, 1_000_000].flatMap((count) => ranks.map((t) => t.stage?.(count) as Float32Array));
    for (const [i, values] of taken.entries()) {
      expect(values.byteOffset % 64).toBe(0);
      expect(values.every((value) => value === 0)).toBe(true);
      values.fill(i + 1);
    }
    for (const [i, values] of taken.entries()) expect(values.every((value) => value === i + 1)).toBe(true);
    await end(ranks);
  });

  it.each([1, 2, 3, 5])('sums, scatters and gathers over %i ranks have the bits of sums in order', async (size) => {
    for (const [count, skip] of [
      [1, 0],
      [15, 3],
      [4096, 0],
      [9001, 1],
      [20_000, 17],
    ]) {
      const ranks = await world(size);
      const inputs = ranks.map((t) => contribution(3, t.rank, count));
      const sum = new Float32Array(count);
      sumInOrder(inputs, sum);
      const bounds = shardBounds(count, size, 16);
      const all = await Promise.all(
        ranks.map(async (t) => {
          const values = stage(t, inputs[t.rank], skip);
          const shard = new Float32Array(bounds[t.rank + 1] - bounds[t.rank]);
          await reduceScatterSum(t, values, shard, { bounds });
          expect(Buffer.compare(Buffer.from(values.slice().buffer), Buffer.from(inputs[t.rank].buffer))).toBe(0);
          await allReduceSum(t, values);
          const gathered = stage(t, new Float32Array(count), skip);
          gathered.set(shard, bounds[t.rank]);
          await allGather(t, gathered, { bounds });
          return [values.slice(), gathered.slice()];
        }),
      );
      for (const values of all.flat()) expect(Buffer.compare(Buffer.from(values.buffer), Buffer.from(sum.buffer))).toBe(0);
      await end(ranks);
    }
  });

  it('goes by message where one rank has its values elsewhere', async () => {
    const ranks = await world(3);
    const inputs = ranks.map((t) => contribution(4, t.rank, 5003));
    const sum = new Float32Array(5003);
    sumInOrder(inputs, sum);
    const all = await Promise.all(
      ranks.map(async (t) => {
        const values = t.rank === 1 ? inputs[1].slice() : stage(t, inputs[t.rank]);
        await allReduceSum(t, values);
        return values.slice();
      }),
    );
    for (const values of all) expect(values).toEqual(sum);
    await end(ranks);
  });

  it('groups of ranks meet among themselves', async () => {
    const ranks = await world(4);
    const all = await Promise.all(
      ranks.map(async (t) => {
        const axis = await t.split(t.rank % 2, 0);
        const values = stage(t, Float32Array.of(t.rank + 1));
        await allReduceSum(axis, values);
        return values[0];
      }),
    );
    expect(all).toEqual([4, 6, 4, 6]);
    await end(ranks);
  });

  it('more than there can be is refused with the size', async () => {
    const ranks = await world(1);
    expect(() => ranks[0].stage?.(2 ** 30)).toThrow(/the ranks' shared memory cannot grow to 40\d\d MiB/);
    await end(ranks);
  });
});
