/**
 * Encoding and decoding against the answers of SentencePiece and tokenizers, committed in test/golden/text
 * (made by make.py there). SCION_TEXT_GOLDEN names another folder, made with more texts.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseSentencePiece } from '../formats/sentencepiece.ts';
import { JsonTokenizer } from './bpe-json.ts';
import { SentencePieceTokenizer } from './sentencepiece.ts';
import type { Tokenizer } from './types.ts';

const folder = process.env.SCION_TEXT_GOLDEN ?? join(import.meta.dirname, '../../test/golden/text');

interface Cases {
  vocabSize: number;
  ids: number[][];
  decoded: string[];
  idLists: number[][];
  listsDecoded: string[];
}
interface SpCases extends Cases {
  marks: number[];
}
interface JsonCases extends Cases {
  allowed: Record<string, number[]>;
  withMarks: number[][];
  listsDecodedAll: string[];
}

const load = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));
const { texts } = load('texts.json') as { texts: string[] };
const names = readdirSync(folder);

/** The first three differences, each with its input, so that a failure can be read. */
function differences<I, O>(inputs: readonly I[], wanted: readonly O[], run: (input: I, index: number) => O): unknown[] {
  const found: unknown[] = [];
  inputs.forEach((input, i) => {
    const got = run(input, i);
    if (JSON.stringify(got) !== JSON.stringify(wanted[i]) && found.length < 3) found.push({ input, got, wanted: wanted[i] });
  });
  return found;
}

function streamed(tokenizer: Tokenizer, ids: readonly number[]): string {
  const stream = tokenizer.decoder();
  return ids.map((id) => stream.push(id)).join('') + stream.end();
}

describe.each(names.filter((name) => name.endsWith('.model')).map((name) => name.slice(0, -6)))('%s', (name) => {
  const bytes = new Uint8Array(readFileSync(join(folder, `${name}.model`)));
  const tokenizer = new SentencePieceTokenizer(parseSentencePiece(bytes, name), { source: { name: 'tokenizer.model', bytes } });
  const cases = load(`${name}.json`) as SpCases;

  it('has the same size and marks', () => {
    expect(tokenizer.vocabSize).toBe(cases.vocabSize);
    expect([tokenizer.unkId, tokenizer.bosId ?? -1, tokenizer.eosId ?? -1, tokenizer.padId ?? -1]).toEqual(cases.marks);
  });

  it('encodes as SentencePiece does', () => {
    expect(differences(texts, cases.ids, (text) => tokenizer.encode(text))).toEqual([]);
  });

  it('decodes as SentencePiece does, at once and in a stream', () => {
    expect(differences(cases.ids, cases.decoded, (ids) => tokenizer.decode(ids))).toEqual([]);
    expect(differences(cases.idLists, cases.listsDecoded, (ids) => tokenizer.decode(ids))).toEqual([]);
    expect(differences(cases.idLists, cases.listsDecoded, (ids) => streamed(tokenizer, ids))).toEqual([]);
  });
});

describe.each(names.filter((name) => name.endsWith('.tokenizer.json')).map((name) => name.slice(0, -15)))('%s', (name) => {
  const bytes = new Uint8Array(readFileSync(join(folder, `${name}.tokenizer.json`)));
  const tokenizer = new JsonTokenizer(JSON.parse(new TextDecoder().decode(bytes)), { source: { name: 'tokenizer.json', bytes } });
  const cases = load(`${name}.json`) as JsonCases;

  it('has the same size', () => {
    expect(tokenizer.vocabSize).toBe(cases.vocabSize);
  });

  it('encodes as tokenizers does, with marks in the text plain or allowed', () => {
    expect(differences(texts, cases.ids, (text) => tokenizer.encode(text))).toEqual([]);
    const allowed = texts.map((_, i) => cases.allowed[i] ?? cases.ids[i]);
    expect(differences(texts, allowed, (text) => tokenizer.encode(text, { allowSpecial: true }))).toEqual([]);
    const { bos, eos } = tokenizer.adds;
    expect(differences(texts.slice(0, cases.withMarks.length), cases.withMarks, (text) => tokenizer.encode(text, { bos, eos }))).toEqual([]);
  });

  it('decodes as tokenizers does', () => {
    const allowed = texts.map((_, i) => cases.allowed[i] ?? cases.ids[i]);
    expect(differences(allowed, cases.decoded, (ids) => tokenizer.decode(ids))).toEqual([]);
    expect(differences(cases.idLists, cases.listsDecoded, (ids) => tokenizer.decode(ids))).toEqual([]);
    expect(differences(cases.idLists, cases.listsDecodedAll, (ids) => tokenizer.decode(ids, { skipSpecial: false }))).toEqual([]);
  });

  it('decodes its own encodings in a stream as at once', () => {
    expect(differences(cases.ids, cases.decoded, (ids, i) => (cases.allowed[i] === undefined ? streamed(tokenizer, ids) : cases.decoded[i]))).toEqual([]);
  });
});
