/**
 * `scion vocab stats` as it is typed: its JSON against a plain count, packed and Parquet data included, the sweep with its
 * page, and what it refuses.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { nodeHost, nodeTerminal } from '../../host/node.ts';
import { learnBpe } from '../../text/learn/scratch.ts';
import { loadTokenizer, saveTokenizer, tokenizerFromModel } from '../../text/tokenizer.ts';
import { runCommandLine } from '../run.ts';

const CONFIG = resolve(import.meta.dirname, '../../../test/golden/llama/llama-gqa/config.json');
const SP = resolve(import.meta.dirname, '../../../test/golden/text/sp-llama.model');
let folder = '';
let out = '';
let err = '';

/** Words of a made-up script: syllables of Georgian letters, so that the base has no piece for them. */
const word = (i: number): string => Array.from({ length: 1 + (i % 4) }, (_, k) => 'აბგდევზთი'[(i * 7 + k * 3 + ((i * k) % 5)) % 9]).join('');
const TEXTS = Array.from({ length: 60 }, (_, i) => Array.from({ length: 40 }, (_, k) => (k % 5 === 0 ? 'the words' : word((i * k) % 97))).join(' '));

async function json(args: string[]): Promise<Record<string, never>> {
  out = '';
  err = '';
  expect(await runCommandLine([...args, '--json']), err).toBe(0);
  return JSON.parse(out.trim().split('\n').at(-1) ?? '');
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-vocab-stats-'));
  const base = learnBpe(['the words that the base knows are these words, the very words'], { size: 285 });
  await saveTokenizer(nodeHost.files, tokenizerFromModel(base), join(folder, 'base'));
  writeFileSync(
    join(folder, 'one.jsonl.gz'),
    gzipSync(
      TEXTS.slice(0, 30)
        .map((text) => JSON.stringify({ body: text, kind: 'first' }))
        .join('\n'),
    ),
  );
  writeFileSync(join(folder, 'two.csv'), ['body', ...TEXTS.slice(30)].join('\n'));
  const pieces = new Set(TEXTS.flatMap((text) => text.split(' ')).filter((one) => /^[ა-ი]+$/.test(one)));
  const letters = [...new Set([...pieces].join(''))];
  writeFileSync(join(folder, 'pieces.jsonl'), [...new Set([...letters, ...pieces])].map((piece) => JSON.stringify({ piece })).join('\n'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
  vi.spyOn(nodeTerminal, 'out').mockImplementation((text) => {
    out += text;
  });
  vi.spyOn(nodeTerminal, 'err').mockImplementation((text) => {
    err += text;
  });
});
afterEach(() => vi.restoreAllMocks());

const data = () => ['--data', join(folder, 'one.jsonl.gz'), join(folder, 'two.csv'), '--columns', 'text=body'];

describe('scion vocab stats', () => {
  test('counts what a plain count counts, by category, for every tokenizer', async () => {
    const paths = [join(folder, 'base'), SP];
    const found = (await json(['vocab', 'stats', '--tokenizer', ...paths, ...data()])) as unknown as {
      documents: number;
      tokenizers: Record<string, number | string | Record<string, { tokens: number }>>[];
    };
    expect(found.documents).toBe(60);
    for (const [i, path] of paths.entries()) {
      const tokenizer = await loadTokenizer(nodeHost.files, path);
      const ids = TEXTS.map((text) => tokenizer.encode(text));
      expect(found.tokenizers[i]).toMatchObject({
        path,
        size: tokenizer.vocabSize,
        tokens: ids.flat().length,
        characters: TEXTS.reduce((n, text) => n + [...text].length, 0),
        bytes: TEXTS.reduce((n, text) => n + Buffer.byteLength(text), 0),
        byteFallbackTokens: ids.flat().filter((id) => tokenizer.pieceOf(id).startsWith('<0x')).length,
        unreachable: 0,
        categories: { one: { tokens: ids.slice(0, 30).flat().length }, two: { tokens: ids.slice(30).flat().length } },
      });
    }
  });

  test('--sweep: fewer tokens with more rows, an advice, a page without scripts', async () => {
    const page = join(folder, 'sizes.html');
    const found = (await json([
      ...['vocab', 'stats', '--sweep', '--base', join(folder, 'base'), '--pieces', join(folder, 'pieces.jsonl'), ...data()],
      ...['--config', CONFIG, '--token-budget', '1e6', '--min-occurrences', '100', '--gflops', '10', '--html', page],
    ])) as unknown as {
      advice: { size: number; reason: string };
      baseSize: number;
      largest: number;
      sizes: { size: number; tokens: number; computePerCharacter: number }[];
    };
    const tokens = found.sizes.map((one) => one.tokens);
    expect(tokens.length).toBeGreaterThan(1);
    expect(tokens.at(-1)).toBeLessThan(tokens[0] / 2);
    expect(found.sizes[0]).toMatchObject({ size: found.baseSize, computePerCharacter: 1 });
    expect(found.sizes.map(({ size }) => size)).toContain(found.advice.size);
    const html = readFileSync(page, 'utf8');
    expect(html).not.toMatch(/<script|https?:|<link|@import/);
    expect(html.match(/<svg/g)?.length).toBe(3);
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
    expect(html).toContain(`${found.advice.size} rows.`);
  });

  test.each([
    ['no data', ['--tokenizer', SP], 'needs --data FILE'],
    ['no tokenizer', ['--data', 'x'], 'needs --tokenizer DIR'],
    ['a sweep of nothing', ['--sweep', '--data', 'x', '--base', SP], 'needs one expanded --tokenizer DIR, or --pieces FILE'],
    ['a tokenizer without more rows', ['--sweep', '--data', 'x', '--base', SP, '--tokenizer', SP], 'adds no piece that can be reached'],
    ['a field that is none', ['--data', SP, '--tokenizer', SP, '--columns', 'txt=body'], 'FIELD=COLUMN'],
  ])('%s', async (_, args, message) => {
    out = '';
    err = '';
    expect(await runCommandLine(['vocab', 'stats', ...args])).toBe(2);
    expect(err).toContain(message);
  });
});
