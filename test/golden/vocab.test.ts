/**
 * Expanded tokenizers against SentencePiece, tokenizers and transformers: scion expands again, its files must be those that the others opened,
 * and its ids theirs. Fixtures hold hashes of ids (made by vocab/make.py); the LLaMA-2 case needs the data folder.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseSentencePiece } from '../../src/formats/sentencepiece.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { JsonTokenizer } from '../../src/text/bpe-json.ts';
import { expandFolder, findUnreachable, readPieceLists } from '../../src/text/expand/index.ts';
import { SentencePieceTokenizer } from '../../src/text/sentencepiece.ts';
import type { Tokenizer } from '../../src/text/types.ts';
import { type Characters, text } from './vocab/texts.ts';

const FOLDER = join(import.meta.dirname, 'vocab');
const DATA = process.env.SCION_DATA ?? join(import.meta.dirname, '../../../shared/data');
const SPECIALS = ['<|im_start|>', '<|im_end|>'];
const MARKS = ['<s>', '</s>', '<unk>', ...SPECIALS];
const HASH = 10;

interface Fixture {
  readonly files: Readonly<Record<string, string>>;
  readonly counts: Readonly<Record<string, unknown>>;
  readonly number: number;
  readonly texts: string;
  readonly marked: string;
  readonly plain?: string;
}

const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');
const hashOf = (content: string): string => sha256(content).slice(0, HASH);

/** Numbers of the first texts whose ids are not those of the fixture. */
function differing(texts: readonly string[], hashes: string, encode: (one: string, index: number) => readonly number[]): number[] {
  expect(hashes.length).toBe(HASH * texts.length);
  const found: number[] = [];
  texts.forEach((one, i) => {
    if (hashOf(encode(one, i).join()) !== hashes.slice(HASH * i, HASH * (i + 1))) found.push(i);
  });
  return found.slice(0, 5);
}

async function check(name: string, base: string, list: string, padTo: number, documents: readonly (readonly Characters[])[]): Promise<void> {
  const fixture = JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as Fixture;
  const { pieces } = await readPieceLists(posixFiles, [list]);
  const { contents, report } = await expandFolder(posixFiles, base, pieces, { specials: SPECIALS, padTo });
  const file = (one: string): Uint8Array => contents.get(one) ?? new Uint8Array();
  for (const [one, hash] of Object.entries(fixture.files)) expect(sha256(file(one)), one).toBe(hash);
  expect(report).toMatchObject(fixture.counts);

  const json = new JsonTokenizer(JSON.parse(new TextDecoder().decode(file('tokenizer.json'))), { source: { name: 'tokenizer.json', bytes: new Uint8Array() } });
  const tokenizers: Tokenizer[] = [json];
  const bytes = file('tokenizer.model');
  if (bytes.length > 0) {
    const model = parseSentencePiece(bytes, 'tokenizer.model');
    expect(findUnreachable(model, report.baseSize)).toEqual(new Map());
    tokenizers.push(new SentencePieceTokenizer(model, { source: { name: 'tokenizer.model', bytes } }));
  }
  const known = name === 'bytes' ? await smallPieces() : Array.from({ length: report.size - 259 }, (_, i) => json.pieceOf(259 + i));
  const texts = Array.from({ length: fixture.number }, (_, i) => text(i, known, documents));
  expect(hashOf(texts.join('\x01'))).toBe(fixture.texts);
  for (const tokenizer of tokenizers) {
    // Marks in text count only where they are let in; SentencePiece never lets them in, and makes nothing else of the rest.
    expect(differing(texts, fixture.marked, (one) => tokenizer.encode(one, { allowSpecial: true }))).toEqual([]);
    if (fixture.plain !== undefined) expect(differing(texts, fixture.plain, (one) => tokenizer.encode(one))).toEqual([]);
  }
  expect(texts.filter((one) => MARKS.some((mark) => one.includes(mark))).length).toBeGreaterThan(fixture.number / 100);
}

/** The pieces that the texts of the small cases are drawn from. */
async function smallPieces(): Promise<string[]> {
  const { pieces } = await readPieceLists(posixFiles, [join(FOLDER, 'small.jsonl')]);
  const { contents } = await expandFolder(posixFiles, join(FOLDER, 'small.model'), pieces, { specials: SPECIALS, padTo: 64 });
  return parseSentencePiece(contents.get('tokenizer.model') ?? new Uint8Array(), 'small')
    .pieces.slice(259)
    .map((piece) => piece.text);
}

describe('expanded tokenizers as other programs read them', () => {
  it('a small SentencePiece model: 2,000 texts', async () => {
    await check('small', join(FOLDER, 'small.model'), join(FOLDER, 'small.jsonl'), 64, []);
  });

  it('a small byte-level model: 2,000 texts', async () => {
    await check('bytes', join(FOLDER, '../text/hf-llama3.tokenizer.json'), join(FOLDER, 'small.jsonl'), 64, []);
  });

  it.skipIf(!existsSync(join(DATA, 'tokenizers/llama2')))('LLaMA-2 with a Chinese model of 20,000 pieces: 5,000 texts', { timeout: 120_000 }, async () => {
    const corpora = readdirSync(join(DATA, 'corpora'))
      .filter((file) => file.endsWith('.jsonl'))
      .sort();
    const documents = corpora.map((file) =>
      readFileSync(join(DATA, 'corpora', file), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => [...(JSON.parse(line) as { target: string }).target]),
    );
    await check('llama2', join(DATA, 'tokenizers/llama2'), join(DATA, 'tokenizers/chinese_sp_20k/chinese_sp.model'), 128, documents);
  });
});
