/**
 * Files made to break `vocab expand`: every prefix and many mutants of a model, of the lists, of a byte-level `tokenizer.json` and of the small
 * files beside it; lists and options that contradict each other. Each ends in a typed refusal or in an expansion that keeps its promises.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isScionError } from '../../src/base/errors.ts';
import { MODEL, makeSentencePiece, PIECE, parseSentencePiece, type SentencePiece, writeSentencePiece } from '../../src/formats/sentencepiece.ts';
import { expandFolder, expandSentencePiece, findUnreachable, readPieceLists } from '../../src/text/expand/index.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';
import { MemoryFiles } from '../faults/memory-files.ts';
import { FUZZ_COUNT, fuzz, isRefusal } from './mutate.ts';

/** A tenth of 200,000 by default. */
const count = Math.ceil(FUZZ_COUNT / 2.5);
const timeout = { timeout: 120_000 + 10 * count };
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const GOLDEN = join(import.meta.dirname, '../golden');

const IDENTITY = { name: 'identity', addDummyPrefix: true, removeExtraWhitespaces: false, escapeWhitespaces: true };
const normal = (text: string, score: number): SentencePiece => ({ text, score, type: PIECE.NORMAL });
const base = makeSentencePiece(
  [
    { text: '<unk>', score: 0, type: PIECE.UNKNOWN },
    { text: '<s>', score: 0, type: PIECE.CONTROL },
    { text: '</s>', score: 0, type: PIECE.CONTROL },
    ...['▁a', 'ab', '中国', '▁', 'a', 'b', '中', '国'].map((text, i) => normal(text, -i)),
    { text: '<user>', score: 0, type: PIECE.USER_DEFINED },
    { text: '[UNUSED]', score: 0, type: PIECE.UNUSED },
  ],
  { modelType: MODEL.BPE },
  IDENTITY,
);
const model = writeSentencePiece(base);
const list = ['人', '国人', '中国人', '人中国人', 'abc', '中a'].map((text) => ({ text }));

/** A folder with these files. */
async function folder(contents: Readonly<Record<string, Uint8Array>>): Promise<MemoryFiles> {
  const files = new MemoryFiles();
  await files.makeDir('/base');
  for (const [name, bytes] of Object.entries(contents)) await files.write(`/base/${name}`, bytes);
  return files;
}

/** Expands a folder and checks what came out. */
async function expandAndCheck(files: MemoryFiles): Promise<void> {
  const { contents, report } = await expandFolder(files, '/base', list, { specials: ['<|x|>'], padTo: 8 });
  expect(report.size % 8).toBe(0);
  const bytes = contents.get('tokenizer.model');
  for (const [name, content] of contents) await files.write(`/base/${name}`, content);
  // What was written is a tokenizer again, of the size that was reported, every new piece reached.
  expect((await loadTokenizer(files, '/base')).vocabSize).toBe(report.size);
  if (bytes === undefined) return;
  const written = parseSentencePiece(bytes, 'written');
  expect(written.pieces.length).toBe(report.size);
  expect(findUnreachable(written, report.baseSize).size).toBe(0);
}

const refusal = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    await work();
    return null;
  } catch (error) {
    return error;
  }
};

describe('tokenizer.model', () => {
  it('every prefix of a small model is refused', { timeout: 120_000 }, async () => {
    const whole = new Uint8Array(readFileSync(join(GOLDEN, 'vocab/small.model')));
    for (let n = 0; n < whole.length; n++) {
      const error = await refusal(async () => expandAndCheck(await folder({ 'tokenizer.model': whole.subarray(0, n) })));
      expect(isRefusal(error), `prefix of ${n} bytes: ${String(error)}`).toBe(true);
    }
    await expandAndCheck(await folder({ 'tokenizer.model': whole }));
  });

  it(`${count} mutants: refused, or expanded with every promise kept`, timeout, async () => {
    const { loaded } = await fuzz('vocab expand', count, [model], async (bytes) => expandAndCheck(await folder({ 'tokenizer.model': bytes })));
    expect(loaded).toBeGreaterThan(0);
  });

  it('a model that repeats a piece is refused by its number', async () => {
    const bytes = writeSentencePiece({ ...base, pieces: [...base.pieces, normal('ab', -99)] });
    await expect(expandFolder(await folder({ 'tokenizer.model': bytes }), '/base', list, {})).rejects.toThrow(/piece 13 repeats the text "ab"/);
  });
});

describe('the files beside it', () => {
  const config = encode(
    JSON.stringify({ bos_token: '<s>', added_tokens_decoder: { 13: { content: '<pad>', special: true }, 14: { content: 'x', special: false } } }),
  );

  it(`${Math.ceil(count / 10)} mutants of tokenizer_config.json`, timeout, async () => {
    await fuzz('tokenizer_config.json', Math.ceil(count / 10), [config], async (bytes) => {
      await expandAndCheck(await folder({ 'tokenizer.model': model, 'tokenizer_config.json': bytes }));
    });
  });

  it('an added token far behind the model is refused with its id, not filled up to', async () => {
    const far = encode(JSON.stringify({ added_tokens_decoder: { 2000000000: { content: '<pad>', special: true } } }));
    const files = await folder({ 'tokenizer.model': model, 'tokenizer_config.json': far });
    await expect(expandFolder(files, '/base', list, {})).rejects.toThrow(/id 2000000000, but the model has 13 pieces/);
  });

  it('added tokens keep their ids, and new rows come behind them', async () => {
    const files = await folder({ 'tokenizer.model': model, 'tokenizer_config.json': config });
    const { report } = await expandFolder(files, '/base', list, {});
    expect(report.baseSize).toBe(15);
    await expandAndCheck(files);
    const tokenizer = await loadTokenizer(files, '/base/tokenizer.model');
    expect([tokenizer.idOf('<pad>'), tokenizer.idOf('x')]).toEqual([13, 14]);
  });
});

describe('byte-level tokenizer.json', () => {
  const bytes = new Uint8Array(readFileSync(join(GOLDEN, 'text/hf-llama3.tokenizer.json')));
  const some = Math.ceil(count / 20);

  it(`${some} mutants`, timeout, async () => {
    await fuzz('byte-level', some, [bytes], async (mutant) => expandAndCheck(await folder({ 'tokenizer.json': mutant })));
  });
});

describe('lists', () => {
  const lines = encode('{"piece":"中国","count":3}\n{"piece":"人"}\n\n{"piece":"▁国人","note":{"a":[1]}}\n');

  it(`${Math.ceil(count / 4)} mutants of a list`, timeout, async () => {
    await fuzz('pieces.jsonl', Math.ceil(count / 4), [lines], async (bytes) => {
      const { pieces } = await readPieceLists(await folder({ 'list.jsonl': bytes }), ['/base/list.jsonl']);
      const { model: grown, report } = expandSentencePiece(base, pieces);
      expect(findUnreachable(grown, report.baseSize).size).toBe(0);
      const { dropped } = report;
      expect(report.added - report.intermediates + Object.values(dropped).reduce((sum, n) => sum + n, 0)).toBe(report.listed);
    });
  });

  it.each([
    ['{"piece":"人"}\n{"piece":3}\n', /list\.jsonl:2: wanted an object with a text "piece", found/],
    ['{"piece":"人"}\n["人"]\n', /list\.jsonl:2: wanted an object/],
    ['{"piece":"人"}\n\n{"text":"人"}\n', /list\.jsonl:3: wanted an object/],
    ['{"piece":"人"\n', /list\.jsonl:1: not JSON/],
    [`{"piece":"${'a'.repeat(1 << 17)}"}\n`, /list\.jsonl:1: a line of more than 65536 bytes/],
    ['null\n', /list\.jsonl:1: wanted an object/],
  ])('%j is refused by its line', async (text, message) => {
    const error = await refusal(async () => readPieceLists(await folder({ 'list.jsonl': encode(text) }), ['/base/list.jsonl']));
    expect(isScionError(error, 'format')).toBe(true);
    expect(String(error)).toMatch(message);
  });

  it('bytes that are no UTF-8, a file of another kind, no file', async () => {
    const files = await folder({ 'list.jsonl': Uint8Array.of(0x7b, 0xff, 0x0a), 'list.csv': encode('a'), 'list.model': encode('no model') });
    for (const [name, message] of [
      ['list.jsonl', /list\.jsonl:1/],
      ['list.csv', /is no list of pieces by its name/],
      ['list.model', /list\.model/],
      ['none.txt', /there is no such file/],
      ['', /it is a folder/],
    ] as const) {
      const error = await refusal(() => readPieceLists(files, [`/base/${name}`]));
      expect(isRefusal(error), `${name}: ${String(error)}`).toBe(true);
      expect(String(error)).toMatch(message);
    }
  });

  it('a target below the base is refused with both numbers', () => {
    expect(() => expandSentencePiece(base, list, { size: 12 })).toThrow(/12 rows was asked for, but the base and the special tokens have 13 already/);
  });

  it('a hostile list costs no more than its size: pieces of 512 characters, steps and all', () => {
    const started = process.threadCpuUsage();
    const long = Array.from({ length: 20 }, (_, i) => ({ text: `${'中国'.repeat(200)}${'人'.repeat(i + 1)}` }));
    const { model: grown, report } = expandSentencePiece(base, long);
    expect(findUnreachable(grown, report.baseSize).size).toBe(0);
    const { user, system } = process.threadCpuUsage(started);
    // 20 pieces of 400 characters; a closure that took steps one piece at a time would need minutes.
    expect((user + system) / 1e6).toBeLessThan(20);
  });
});
