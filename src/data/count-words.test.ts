/**
 * Counting over workers: the same counts and the same learnt pieces for any number of them, the budget, the holdout.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { host, siblingModule } from '../host/index.ts';
import type { HostFiles, HostWorker } from '../host/types.ts';
import { SentencePieceBase } from '../text/learn/base.ts';
import { BaseWords } from '../text/learn/base-words.ts';
import { categoryWeights, weighWords } from '../text/learn/counts.ts';
import { PLAIN_CUTTER } from '../text/learn/cutter.ts';
import { learnOnBase } from '../text/learn/extend.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { ScriptFilter } from '../text/learn/scripts.ts';
import { type CountOptions, countWords, isHeldOut } from './count-words.ts';
import { streamDocuments } from './documents.ts';
import { sampleCorpus } from './sample/index.ts';

let folder = '';
let files: HostFiles;
const patterns = (): string[] => [join(folder, '*.jsonl')];
/** The worker as a checkout loads it; the package test loads the built one. */
const spawn = async (): Promise<() => HostWorker> => {
  const machine = await host();
  return () => machine.worker(siblingModule(import.meta.url, './count-worker'));
};

beforeAll(async () => {
  files = (await host()).files;
  folder = mkdtempSync(join(tmpdir(), 'scion-count-'));
  const documents = sampleCorpus({ documents: 1500 });
  const line = (part: number): string =>
    documents
      .filter((_, i) => i % 2 === part)
      .map((document) => `${JSON.stringify(document)}\n`)
      .join('');
  writeFileSync(join(folder, 'a.jsonl'), line(0));
  writeFileSync(join(folder, 'b.jsonl'), `${line(1)}{"id":"empty","text":"  "}\n`);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const count = async (options: Partial<CountOptions> = {}) => countWords(files, patterns(), { cutter: PLAIN_CUTTER, ...options });

describe('countWords', () => {
  it('gives the same counts and the same pieces for 1, 2 and 4 workers', async () => {
    const base = new SentencePieceBase(learnBpe(['the small boat 小船'], { size: 300 }));
    const found = [];
    for (const workers of [1, 2, 4]) {
      const { counts, ...figures } = await count({ cutter: base.cutter, workers, spawn: await spawn() });
      const sorted = [...counts.categories]
        .map(([name, { words, units, texts }]) => [name, units, texts, [...words].sort(([a], [b]) => (a < b ? -1 : 1))] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1));
      const words = new BaseWords(base, weighWords(counts, categoryWeights(counts, {})));
      found.push({ figures, counts: JSON.stringify(sorted), pieces: learnOnBase(words, { count: 700, targets: new ScriptFilter(['Han']) }).pieces });
    }
    expect(found[0].figures).toMatchObject({ documents: 1500, countedDocuments: 1500, heldOut: 0 });
    expect(found[0].pieces.length).toBe(700);
    expect(found[1]).toEqual(found[0]);
    expect(found[2]).toEqual(found[0]);
  });

  it('keeps to a budget by documents that depend on their ids alone', async () => {
    const all = await count();
    const budget = Math.floor(all.characters / 3);
    const some = await count({ budget });
    expect(some.countedCharacters).toBeLessThanOrEqual(budget);
    expect(some.countedCharacters).toBeGreaterThan(budget * 0.9);
    expect(some.characters).toBe(all.characters);
    expect(some.counts.units).toBe(some.countedCharacters);
    const twice = await count({ budget, workers: 2, spawn: await spawn() });
    expect(twice.countedDocuments).toBe(some.countedDocuments);
    expect(twice.counts.units).toBe(some.counts.units);
    await expect(count({ budget: 10 })).rejects.toThrow(/a budget of 10 characters holds none of the 1500 documents/);
  });

  it('leaves out the documents that are held out', async () => {
    const some = await count({ holdout: 0.1 });
    let held = 0;
    for await (const document of streamDocuments(files, patterns())) if (document.text.trim() !== '' && isHeldOut(document, 0.1)) held++;
    expect(some.heldOut).toBe(held);
    expect(some.countedDocuments).toBe(1500 - held);
    expect(held).toBeGreaterThan(100);
    expect(held).toBeLessThan(200);
  });

  it('says when there is nothing to count, and when a worker breaks', async () => {
    writeFileSync(join(folder, 'none.txt'), ' \n');
    await expect(countWords(files, [join(folder, 'none.txt')], { cutter: PLAIN_CUTTER })).rejects.toThrow(/no text was found/);
    const machine = await host();
    const broken = () => machine.worker(siblingModule(import.meta.url, './no-such-module'));
    await expect(count({ workers: 2, spawn: broken })).rejects.toMatchObject({ kind: 'internal' });
    const unfit = { ...PLAIN_CUTTER, kind: 'byte-level', normalizer: { type: 'Odd' }, preTokenizer: null } as const;
    await expect(count({ cutter: unfit, workers: 2, spawn: await spawn() })).rejects.toThrow(/Odd/);
  });
});
