/**
 * A build on several ranks, here in one thread: the bytes of one process for any number of ranks, more than there are shards among them; signatures come from all of
 * them; a stop on one is everybody's; what fails in a task of another rank is told with its number.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { localRanks } from '../../comm/local.ts';
import type { Transport } from '../../comm/types.ts';
import { nodeHost } from '../../host/node.ts';
import { SectionMember } from '../dedup/section-ranks.ts';
import { type BuildOptions, type BuildResult, buildData } from './build.ts';
import { TaskPool } from './pool.ts';
import { followBuild, leadBuild } from './ranks.ts';
import { parseBuild } from './recipe.ts';
import { outputHashes, testCorpus } from './testing.ts';

const MODEL = join(import.meta.dirname, '../../../test/golden/text/sp-llama.model');
let folder = '';
const at = (name: string): string => join(folder, name);
let alone: BuildResult;
let wanted: Record<string, string> = {};

/** All kinds of signatures; anchors of every shingle fill several runs of ranges. */
const CONFIG = () =>
  parseBuild({
    data: [at('one.jsonl'), at('two.jsonl')],
    read: { shardBytes: 64 * 1024 },
    dedup: { containment: { every: 1 }, paragraphs: { minUnits: 8 }, lines: { minUnits: 8 }, minLeft: 8 },
    sample: { categories: { news: { epochs: 1.5 }, books: { epochs: 0.5 } } },
    tokenizer: MODEL,
    pack: { length: 256, buckets: 4 },
  });

/** Every rank's part at once. `threads`: of each rank. */
async function onRanks(out: string, threads: readonly number[], more: Partial<BuildOptions> = {}, followerStop = { requested: false }): Promise<BuildResult> {
  const [first, ...others] = localRanks(threads.length) as [Transport, ...Transport[]];
  const stop = (more.stop as { requested: boolean } | undefined) ?? { requested: false };
  const followers = others.map((rank, i) => followBuild(nodeHost, rank, { workers: threads[i + 1], stop: followerStop }));
  const lead = await leadBuild(nodeHost, first, { workers: threads[0], stop });
  const { workers, spawn, sections } = lead;
  const result = await buildData(nodeHost, { config: CONFIG(), out: at(out), version: 'test', ...more, stop, workers, spawn, sections })
    .finally(() => lead.end())
    .catch((error: unknown) => error);
  // Whatever became of the build, nobody is left behind.
  await Promise.all(followers);
  if (result instanceof Error) throw result;
  return result as BuildResult;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-build-ranks-'));
  writeFileSync(at('one.jsonl'), testCorpus(1, 400));
  writeFileSync(at('two.jsonl'), testCorpus(2, 200));
  alone = await buildData(nodeHost, { config: CONFIG(), out: at('alone'), version: 'test', workers: 1 });
  wanted = await outputHashes(nodeHost, at('alone'));
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([[[1, 1]], [[2, 0, 1]], [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]])(
  'threads %j by rank: the bytes of one process',
  { timeout: 120_000 },
  async (threads) => {
    const exchanges = vi.spyOn(SectionMember.prototype, 'exchange');
    const out = `ranks-${threads.length}`;
    const { documentsOut } = await onRanks(out, threads);
    expect(await outputHashes(nodeHost, at(out))).toEqual(wanted);
    expect(documentsOut).toBe(alone.documentsOut);
    // Each window is read by every rank; several ranks had runs to look at, and there was something to find.
    const windows = exchanges.mock.calls.map(([window]) => window);
    expect(windows.length % threads.length).toBe(0);
    expect(Math.max(...windows.map(({ runs }) => runs.length))).toBeGreaterThan(1);
    expect(Object.keys(alone.drops).filter((reason) => reason.startsWith('dedup.')).length).toBeGreaterThan(1);
    exchanges.mockRestore();
  },
);

it('stopped on another rank, it stops on the first, and goes on to the same bytes', { timeout: 120_000 }, async () => {
  const told = { requested: false };
  const onProgress = ({ step, done }: { step: string; done: number }): void => {
    if (step.startsWith('deduplicate') && done > 1) told.requested = true;
  };
  await expect(onRanks('stopped', [1, 1, 1], { onProgress }, told)).rejects.toThrow('stopped; the same command goes on from here');
  await onRanks('stopped', [1, 1]);
  expect(await outputHashes(nodeHost, at('stopped'))).toEqual(wanted);
});

it('a task that fails on another rank is told with that rank’s number, and the rank goes on', { timeout: 60_000 }, async () => {
  const [first, second] = localRanks(2);
  const stop = { requested: false };
  const follower = followBuild(nodeHost, second, { workers: 2, stop });
  // No thread of the first rank: all work is done elsewhere.
  const lead = await leadBuild(nodeHost, first, { workers: 0, stop });
  const pool = new TaskPool(nodeHost, lead.workers, lead.spawn);
  await expect(pool.map('no such task', [1])).rejects.toThrow(/on rank 1: "no such task" failed in a worker/);
  const values = [new Uint32Array(3), Number.NaN, { a: undefined }, 'x', -0];
  expect(await pool.map('echo', values)).toEqual(values);
  await pool.renew();
  expect(await pool.map('echo', values)).toEqual(values);
  await pool.end();
  await lead.end();
  await follower;
});
