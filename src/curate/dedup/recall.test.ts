/**
 * Near-duplicates of real text against all pairs compared by definition (strings in sets): two editions of poems and of
 * chapters, and documents of the corpora with planted edits. Needs SCION_DATA.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allPairs, edited, seeded, shinglesOf } from '../../../bench/data/dedup-oracle.ts';
import { host } from '../../host/index.ts';
import { TaskPool } from '../pipeline/pool.ts';
import { type DedupInput, dedupShards, readVerdict } from './index.ts';

const data = process.env.SCION_DATA;
let root = '';
let number = 0;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'scion-recall-'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const lines = (path: string): Record<string, string>[] =>
  readFileSync(join(data ?? '', path), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>);

/** Pairs that deduplication finds: with `keep: first` and `chains: keep`, every drop names a document it is like. Groups by keeper. */
async function found(texts: readonly string[], config: DedupInput): Promise<{ keeper: number[]; compared: number }> {
  const shard = join(root, `shard-${number}.jsonl`);
  writeFileSync(shard, texts.map((target, id) => `${JSON.stringify({ id: String(id), category: 'c', target })}\n`).join(''));
  const machine = await host();
  const result = await dedupShards({ host: machine, pool: new TaskPool(machine, 1), scratch: join(root, `work-${number++}`) }, [shard], {
    exact: 'off',
    paragraphs: null,
    keep: 'first',
    ...config,
  });
  const keeper = texts.map((_, i) => i);
  for (const { index, keeper: kept } of (await readVerdict(machine.files, result.verdicts[0])).drops) keeper[index] = kept?.index ?? index;
  return { keeper, compared: result.stats.pairsVerified };
}

interface Score {
  /** Pairs of the threshold and more, and how many of them ended in one group. */
  readonly pairs: number;
  readonly together: number;
  /** Documents dropped, and how many of them have a pair of the threshold and more. */
  readonly dropped: number;
  readonly rightly: number;
}

async function score(texts: readonly string[], threshold: number, sizes = { words: 5, characters: 3 }): Promise<Score> {
  const { keeper } = await found(texts, { threshold, ...sizes });
  const truth = allPairs(
    texts.map((text) => shinglesOf(text, sizes.words, sizes.characters)),
    threshold,
  );
  const alike = new Set(truth.flatMap(({ a, b }) => [a, b]));
  const dropped = keeper.flatMap((kept, i) => (kept === i ? [] : [i]));
  return {
    pairs: truth.length,
    together: truth.filter(({ a, b }) => keeper[a] === keeper[b]).length,
    dropped: dropped.length,
    rightly: dropped.filter((i) => alike.has(i)).length,
  };
}

function expectGood({ pairs, together, dropped, rightly }: Score): void {
  expect(together).toBeGreaterThanOrEqual(0.98 * pairs);
  expect(rightly).toBeGreaterThanOrEqual(0.995 * dropped);
}

describe.skipIf(!data)('near-duplicates in real text', () => {
  it('poems in two editions', async () => {
    const texts = lines('dedup/zh_tang300_two_editions.jsonl').flatMap(({ a, b }) => [a, b]);
    const result = await score(texts, 0.8);
    expect(result.pairs).toBeGreaterThan(170);
    expectGood(result);
  });

  it('chapters in two editions, at a threshold that they reach', async () => {
    const texts = lines('dedup/en_rust_book_two_editions.jsonl').flatMap(({ a, b }) => [a, b]);
    // Two of them reach 0.8, six do not.
    expect(await score(texts, 0.8)).toEqual({ pairs: 2, together: 2, dropped: 2, rightly: 2 });
    const result = await score(texts, 0.65);
    expect(result).toEqual({ pairs: 8, together: 8, dropped: 8, rightly: 8 });
  });

  it.each([1, 8, 40])('planted edits in runs of about %i characters, 5 to 30 in 100', async (run) => {
    const random = seeded(run);
    const files = readdirSync(join(data ?? '', 'corpora')).filter((name) => name.endsWith('.jsonl'));
    const originals = files.flatMap((name) =>
      lines(`corpora/${name}`)
        .filter((_, i) => i % 29 === 0)
        .map(({ target }) => target.slice(0, 3000)),
    );
    const texts = originals.flatMap((text) => [text, ...[0.05, 0.1, 0.2, 0.3].map((share) => edited(text, share, run, random))]);
    const result = await score(texts, 0.8);
    if (run > 1) expect(result.pairs).toBeGreaterThan(run > 8 ? 150 : 50);
    expectGood(result);
    // Scattered single edits leave few shingles whole: hardly any pair is left at 0.8, but many at 0.5.
    if (run === 1) {
      const low = await score(texts, 0.5);
      expect(low.pairs).toBeGreaterThan(100);
      expectGood(low);
    }
  });
});
