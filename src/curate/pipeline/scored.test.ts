/**
 * Scores that a build makes things for: a classifier and an n-gram model trained on the way, perplexity under a model on the device.
 * The texts are drawn from two lists of words, so what is good is known; a model whose weights are all zero holds every piece for
 * equally likely, so its perplexity is the size of its vocabulary.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { exportHf } from '../../checkpoint/hf.ts';
import type { Doc } from '../../data/doc.ts';
import { ByteNgram } from '../../data/ngram.ts';
import { nodeHost } from '../../host/node.ts';
import { makeConfig } from '../../nn/config.ts';
import { listParameters } from '../../nn/parameters.ts';
import { sizeOf } from '../../tensor/types.ts';
import { loadTokenizer, saveTokenizer } from '../../text/tokenizer.ts';
import { readReport } from '../report/read.ts';
import { type BuildOptions, type BuildResult, buildData } from './build.ts';
import { parseBuild } from './recipe.ts';

const TOKENIZER = join(import.meta.dirname, '../../../test/golden/text/sp-llama.model');
const GOOD = 'the of and in a river mountain city people history water light year world name house'.split(' ');
const BAD = 'buy now cheap click here free offer win prize deal sale shop best price order fast'.split(' ');
let folder = '';
let vocabulary = 0;
const at = (name: string): string => join(folder, name);

const random = new Random(23);
const text = (words: readonly string[]): string => {
  const sentence = (): string => Array.from({ length: 12 }, () => words[random.below(words.length)]).join(' ');
  return `${Array.from({ length: 6 }, sentence).join('. ')}.`;
};
const write = (name: string, texts: readonly string[]): void =>
  writeFileSync(at(name), texts.map((target, i) => JSON.stringify({ id: `${name}-${i}`, category: name.slice(0, -6), target })).join('\n'));

/** A model of this tokenizer whose weights are all `value`. */
async function writeModel(name: string, value: number): Promise<void> {
  const tokenizer = await loadTokenizer(nodeHost.files, TOKENIZER);
  vocabulary = tokenizer.vocabSize;
  const config = makeConfig({ vocabSize: vocabulary, hiddenSize: 16, intermediateSize: 24, numLayers: 1, numHeads: 2, maxPositions: 64 });
  const shapes = new Map(listParameters(config).map((p) => [p.name, sizeOf(p.shape)]));
  const weights = new Random(3);
  await exportHf(nodeHost.files, at(name), config, async (p) => Float32Array.from({ length: shapes.get(p) ?? 0 }, () => value * weights.normal()), {
    dtype: 'f32',
  });
  await saveTokenizer(nodeHost.files, tokenizer, at(name));
}

const likeGood = Array.from({ length: 30 }, () => text(GOOD));
const good = Array.from({ length: 12 }, () => text(GOOD));
const build = (out: string, config: Record<string, unknown>, more: Partial<BuildOptions> = {}): Promise<BuildResult> =>
  buildData(nodeHost, { config: parseBuild(config), out: at(out), workers: 1, version: 'test', ...more });
const records = (out: string, step: string): Doc[] =>
  readdirSync(join(at(out), 'work', step))
    .filter((name) => /^shard-\d+\.jsonl$/.test(name))
    .flatMap((name) =>
      readFileSync(join(at(out), 'work', step, name), 'utf8')
        .trim()
        .split('\n'),
    )
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Doc);
const CONFIG = () => ({
  data: [at('good.jsonl'), at('bad.jsonl')],
  clean: 'none',
  score: {
    readability: false,
    train: [{ name: 'quality', positives: [at('like-good.jsonl')], negatives: [at('like-bad.jsonl')] }],
    ngram: { train: [at('like-good.jsonl')], order: 3 },
    perplexity: { model: at('model'), window: 32, maxTokens: 40 },
    drop: { quality: { below: 0.5 } },
  },
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-scored-'));
  write('like-good.jsonl', likeGood);
  write(
    'like-bad.jsonl',
    Array.from({ length: 30 }, () => text(BAD)),
  );
  write('good.jsonl', good);
  write(
    'bad.jsonl',
    Array.from({ length: 12 }, () => text(BAD)),
  );
  await writeModel('model', 0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('a classifier and an n-gram model are trained, texts are scored by them and by a model, and go by their scores', { timeout: 120_000 }, async () => {
  const steps = new Set<string>();
  const result = await build('out', CONFIG(), { keepWork: true, onProgress: ({ step }) => steps.add(step.split(':')[0]) });
  expect(result).toMatchObject({ documentsIn: 24, documentsOut: 12, drops: { 'score.below-quality': 12 } });
  expect([...steps]).toEqual(expect.arrayContaining(['train quality', 'train ngram', 'perplexity']));
  const docs = records('out', 'score');
  expect(docs.map(({ category }) => category)).toEqual(new Array(12).fill('good'));
  const plain = ByteNgram.train(likeGood, 3);
  for (const { target, scores } of docs) {
    const { bits, bytes } = plain.bitsPerByte([target], { end: false });
    // Six digits are kept of a score.
    expect(scores?.ngram).toBeCloseTo(2 ** (bits / bytes), 4);
    expect(Math.abs((scores?.perplexity ?? 0) - vocabulary)).toBeLessThan(1e-3 * vocabulary);
    expect(scores?.quality).toBeGreaterThan(0.5);
  }
  const report = await readReport(nodeHost.files, join(at('out'), 'report.json'));
  expect(Object.keys(report?.histograms.scores ?? {}).sort()).toEqual(['ngram', 'perplexity', 'quality']);
  expect(report?.seconds).toMatchObject({ train: expect.any(Number), perplexity: expect.any(Number) });
  expect(existsSync(join(at('out'), 'scorers/ngram/ngram.safetensors'))).toBe(true);

  // The same again is there already; another model under the same path is noticed, and only what hangs on it is done again.
  expect((await build('out', CONFIG(), { keepWork: true })).unchanged).toBe(true);
  rmSync(at('model'), { recursive: true });
  await writeModel('model', 1);
  steps.clear();
  expect((await build('out', CONFIG(), { keepWork: true, onProgress: ({ step }) => steps.add(step.split(':')[0]) })).unchanged).toBe(false);
  expect([...steps]).not.toEqual(expect.arrayContaining(['train ngram']));
  for (const { scores } of records('out', 'score')) expect(Math.abs((scores?.perplexity ?? 0) - vocabulary)).toBeGreaterThan(0.01 * vocabulary);
});

it('where the best of near-duplicates is kept, all scores come before, and sampling knows them', { timeout: 120_000 }, async () => {
  const { data, score } = CONFIG();
  write('near.jsonl', [`${good[0]} And one more.`, `${good[1]} And another one.`]);
  const config = {
    data: [...data, at('near.jsonl')],
    clean: 'none',
    dedup: { keep: 'best:perplexity' },
    score: { ...score, drop: { quality: { below: 0.5 }, perplexity: { above: 1e6 } } },
    sample: { others: { atMost: { perplexity: 1 } } },
  };
  const result = await build('early', config, { keepWork: true });
  // Everything that is left is less likely than certain, so sampling by perplexity takes nothing.
  expect(result).toMatchObject({ documentsIn: 26, documentsOut: 0 });
  expect(result.drops['dedup.near']).toBe(2);
  const kept = records('early', 'dedup');
  expect(kept).toHaveLength(12);
  for (const doc of kept) for (const name of ['quality', 'ngram', 'perplexity']) expect(doc.scores?.[name]).toBeGreaterThan(0);
  const [pair] = [0, 1].map((i) => records('early', 'score').filter(({ target }) => target.startsWith(good[i])));
  const best = pair.reduce((a, b) => ((a.scores?.perplexity ?? 0) >= (b.scores?.perplexity ?? 0) ? a : b));
  expect(kept.map(({ target }) => target)).toContain(best.target);
});

it('what does not go together is told', () => {
  const score = (more: Record<string, unknown>) => () => parseBuild({ data: ['x'], score: more });
  expect(score({ ngram: { path: 'a', train: ['b'] } })).toThrow(/give path or train/);
  expect(score({ ngram: {} })).toThrow(/give path or train/);
  expect(score({ train: [{ name: 'ngram', positives: ['a'], negatives: ['b'] }] })).toThrow(/scores of their own/);
});
