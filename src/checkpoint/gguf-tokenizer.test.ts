/** A tokenizer out to GGUF's keys and in again: the golden texts get the ids that SentencePiece gave them. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GgufValue } from '../formats/gguf.ts';
import { parseSentencePiece } from '../formats/sentencepiece.ts';
import { tokenizerFromModel } from '../text/tokenizer.ts';
import { ggufTokenizer } from './gguf.ts';
import { tokenizerFromGguf } from './gguf-tokenizer.ts';

const TEXT = resolve(import.meta.dirname, '../../test/golden/text');
const model = parseSentencePiece(new Uint8Array(readFileSync(join(TEXT, 'sp-llama.model'))), 'sp-llama.model');
const golden = JSON.parse(readFileSync(join(TEXT, 'sp-llama.json'), 'utf8')) as { ids: number[][] };
const { texts } = JSON.parse(readFileSync(join(TEXT, 'texts.json'), 'utf8')) as { texts: string[] };
const keys = () => new Map<string, GgufValue>(ggufTokenizer(model));

describe('tokenizerFromGguf', () => {
  it('gives the ids that SentencePiece gave', () => {
    const again = tokenizerFromGguf(keys());
    if (!again) throw new Error('no tokenizer');
    const tokenizer = tokenizerFromModel(again);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.unkId]).toEqual([1, 2, 0]);
    expect(tokenizer.vocabSize).toBe(model.pieces.length);
    const { ids } = golden;
    expect(ids).toHaveLength(texts.length);
    texts.forEach((text, i) => {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids[i]);
    });
  });

  it('takes no other kind', () => {
    expect(tokenizerFromGguf(new Map())).toBeNull();
    expect(tokenizerFromGguf(new Map([...keys(), ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }]]))).toBeNull();
  });

  it.each([
    ['a missing list', 'tokenizer.ggml.scores', null, 'no list tokenizer.ggml.scores'],
    ['lists of unequal length', 'tokenizer.ggml.scores', { type: 'array', element: 'f32', value: [0] }, '1 scores'],
    ['an unknown type', 'tokenizer.ggml.token_type', { type: 'array', element: 'i32', value: [9] }, 'token_type[0] is 9'],
    ['a text that is none', 'tokenizer.ggml.tokens', { type: 'array', element: 'i32', value: [9] }, 'tokens[0] is 9'],
  ] as [string, string, GgufValue | null, string][])('refuses %s', (_, key, value, message) => {
    const changed = keys();
    if (value) changed.set(key, value);
    else changed.delete(key);
    expect(() => tokenizerFromGguf(changed)).toThrow(message);
  });
});
