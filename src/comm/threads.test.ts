/**
 * Ranks over shared memory against ranks that pass messages in one thread: the same program must leave the same bits, with rings so small that every message
 * goes through in pieces, and with real workers. Then the ways a rank goes wrong: each ends all ranks and is named.
 */
import { describe, expect, it } from 'vitest';
import { program } from '../../test/comm/program.ts';
import { host } from '../host/index.ts';
import { spawnRanks } from './launch.ts';
import { localRanks } from './local.ts';
import { Mailboxes, mailBytes, mailLayout } from './mailbox.ts';
import { growingMemory } from './shared.ts';
import { threadTransport } from './threads.ts';
import type { Transport } from './types.ts';

const WORKER = new URL('../../test/comm/worker.ts', import.meta.url);

async function digests(ranks: readonly Transport[], counts: readonly number[]): Promise<string[]> {
  return (await Promise.all(ranks.map((t) => program(t, { seed: 5, counts })))).map(({ digest }) => digest);
}

async function ringRanks(size: number, ring: number): Promise<Transport[]> {
  const layout = { size, ring };
  const memory = growingMemory(mailBytes(layout));
  new Mailboxes(memory, layout).begin();
  const machine = await host();
  return Array.from({ length: size }, (_, rank) => threadTransport({ memory, layout, rank }, machine));
}

describe('threads', { timeout: 240_000 }, () => {
  it.each([
    [2, 64, [1, 301]],
    [3, 1024, [1, 5003]],
    [4, 65536, [1, 20_011]],
  ])('%i ranks through rings of %i bytes leave the bits of messages in one thread', async (size, ring, counts) => {
    const ranks = await ringRanks(size, ring);
    expect(await digests(ranks, counts)).toEqual(await digests(localRanks(size), counts));
    await Promise.all(ranks.map((t) => t.close()));
  });

  it('workers leave the same bits, and count the same bytes', async () => {
    for (const size of [1, 3]) {
      const run = await spawnRanks(size, WORKER, { seed: 6 });
      const wanted = await Promise.all(localRanks(size).map((t) => program(t, { seed: 6 })));
      expect(await run.results).toEqual(wanted);
    }
  });

  it('messages go between a rank and whoever started it', async () => {
    const heard: string[] = [];
    const run = await spawnRanks(2, WORKER, { seed: 1, fault: 'echo' }, { onMessage: (rank, message) => heard.push(`${rank}: ${message}`) });
    run.post(0, 'a');
    run.post(1, 'b');
    expect(await run.results).toEqual([0, 1]);
    expect(heard.sort()).toEqual(['0: rank 0 heard a', '1: rank 1 heard b']);
  });

  it('lengths that differ are refused on the receiving end, and later messages arrive', async () => {
    for (const ranks of [localRanks(2), await ringRanks(2, 4096)]) {
      const wrong = ranks[1].recv(0, 1, new Uint8Array(5));
      await ranks[0].send(1, 1, new Uint8Array(7));
      await expect(wrong).rejects.toThrow('rank 1 expected 5 bytes from rank 0 and 7 came');
      const right = new Uint8Array(2);
      await Promise.all([ranks[0].send(1, 1, Uint8Array.of(3, 4)), ranks[1].recv(0, 1, right)]);
      expect([...right]).toEqual([3, 4]);
      await Promise.all(ranks.map((t) => t.close()));
    }
  });

  it('peers and tags out of range are refused', async () => {
    const [t] = localRanks(2);
    for (const peer of [0, 2, -1, 0.5]) await expect(t.send(peer, 0, new Uint8Array(1))).rejects.toThrow(`send to ${peer} on rank 0 of 2`);
    for (const tag of [-1, 16384, 0.5]) await expect(t.recv(1, tag, new Uint8Array(1))).rejects.toThrow(`tag ${tag}: a whole number from 0 to 16383`);
  });

  it('rings share what memory there is for them', () => {
    expect(mailLayout(2).ring).toBe(1 << 20);
    expect(mailLayout(64).ring).toBe(1 << 16);
    expect(mailBytes(mailLayout(8))).toBeLessThan(72 << 20);
  });
});

describe('ranks that go wrong', { timeout: 240_000 }, () => {
  it.each([
    ['throws', 'throw', 'rank 1 of 3: told to fail'],
    ['ends its thread', 'exit', /rank 1 of 3: the worker worker.ts ended: code 3/],
    ['has another setting', 'settings', /rank \d of 3: .*seed is 7 on rank 0, rank 1 has 8/],
  ] as const)('one that %s ends all and is named', async (_, fault, message) => {
    const run = await spawnRanks(3, WORKER, { seed: 1, fault, rank: 1 });
    await expect(run.results).rejects.toThrow(message);
  });

  it('one in an endless loop is found by its silence', async () => {
    const start = performance.now();
    const run = await spawnRanks(3, WORKER, { seed: 1, fault: 'loop', rank: 2 }, { silenceMs: 5000 });
    await expect(run.results).rejects.toThrow(/rank 2 of 3 is stuck: no sign of life for \d+ s/);
    // The silence, and what the start and the end of three workers take on a busy machine.
    expect(performance.now() - start).toBeLessThan(60_000);
  });

  it('ranks that were started are ended on request', async () => {
    const run = await spawnRanks(2, WORKER, { seed: 1, fault: 'echo' });
    await run.end();
    await expect(run.results).rejects.toThrow('ended');
  });
});
