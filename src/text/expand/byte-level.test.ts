/**
 * Byte-level expansion: ids, parts of characters, and old text, held to their promises on generated lists.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonTokenizer } from '../bpe-json.ts';
import { textToByteLetters } from '../byte-level.ts';
import type { JsonObject } from '../json-read.ts';
import { isNewScript } from './byte-level.ts';
import { expandByteLevel, expandByteLevelPieces, hasNewScript, type NewMerge } from './index.ts';

const source = { source: { name: 'tokenizer.json' as const, bytes: new Uint8Array() } };
const json = JSON.parse(readFileSync(join(import.meta.dirname, '../../../test/golden/text/hf-llama3.tokenizer.json'), 'utf8')) as JsonObject;
const open = (parsed: JsonObject): JsonTokenizer => new JsonTokenizer(JSON.parse(JSON.stringify(parsed)), source);
const before = open(json);
const list = (...texts: string[]) => texts.map((text) => ({ text }));
/** The merges of a text's bytes from the left. */
const chain = (text: string): NewMerge[] => {
  const letters = [...textToByteLetters(text)];
  return letters.slice(1).map((letter, i) => [letters.slice(0, i + 1).join(''), letter]);
};

describe('byte-level bases', () => {
  it('new ids follow the greatest of all, added tokens keep theirs, and both stand in the vocabulary', () => {
    const { json: out, report } = expandByteLevelPieces(json, list('中国', '▁中国人', '人'), { specials: ['<|x|>'], padTo: 64 });
    const after = open(out);
    expect(report.baseSize).toBe(before.vocabSize);
    for (let id = 0; id < before.vocabSize; id++) expect(after.pieceOf(id)).toBe(before.pieceOf(id));
    for (const token of [...(out.added_tokens as { id: number; content: string }[])]) {
      // A reader that numbers added tokens itself looks here first.
      expect((out.model as { vocab: Record<string, number> }).vocab[token.content]).toBe(token.id);
    }
    for (const text of ['中国', ' 中国人', '人']) expect(after.encode(text)).toHaveLength(1);
    expect(after.encode('a<|x|>b', { allowSpecial: true })).toContain(report.specials[0].id);
    expect(report.size % 64).toBe(0);
    for (let id = report.size - report.padding; id < report.size; id++) expect(after.encode(after.pieceOf(id))).not.toContain(id);
  });

  it('learnt merges in rank order; what builds on a merge that is left out goes too', () => {
    const merges = [...chain('中国'), ['ðŁ', 'ĺ'], ...chain('abq'), ['nothing', 'here']] as NewMerge[];
    const { report } = expandByteLevel(json, merges);
    expect(report.added).toBeGreaterThan(0);
    expect(report.added + Object.values(report.dropped).reduce((sum, n) => sum + n, 0)).toBe(merges.length);
    expect(report.dropped.unreachable).toBeGreaterThan(0);
  });

  it('a part of a character is new only if every character that begins so is', () => {
    const part = (...bytes: number[]) => {
      const letters = [...textToByteLetters('中')];
      return isNewScript(bytes.map((byte) => (byte === 0xe4 ? letters[0] : byte === 0xb8 ? letters[1] : letters[2])).join(''));
    };
    // E4 B8 .. is U+4E00 to U+4E3F, all Han; its tail alone may belong to any character.
    expect(part(0xe4, 0xb8)).toBe(true);
    expect(part(0xb8, 0xad)).toBe(false);
    // E2 80 .. is general punctuation, F0 9F .. emoji.
    expect(isNewScript(textToByteLetters('“').slice(0, 2))).toBe(false);
    expect(isNewScript(textToByteLetters('😀').slice(0, 2))).toBe(false);
    expect(isNewScript(textToByteLetters('ing'))).toBe(false);
  });

  it('text without a new script keeps its ids; listed pieces are reached', () => {
    const word = fc.array(fc.constantFrom('中', '国', '人', '学', '▁', 'a', 'ж', '한', '𠀀'), { minLength: 1, maxLength: 4 }).map((units) => units.join(''));
    const text = fc.string({ unit: fc.constantFrom(...'abc he“…é1 \n.', '😀', '中', 'ö'), maxLength: 30 });
    void fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 8 }), fc.array(text, { maxLength: 8 }), (words, texts) => {
        const { json: out, report } = expandByteLevelPieces(json, list(...words));
        const after = open(out);
        for (const one of texts) if (!hasNewScript(one)) expect(after.encode(one)).toEqual(before.encode(one));
        expect(report.added - report.intermediates + Object.values(report.dropped).reduce((sum, n) => sum + n, 0)).toBe(words.length);
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    [{ size: 10 }, /10 rows was asked for/],
    [{ size: 1_000_000 }, /needs \d+ new pieces, but the list of/],
    [{ padTo: -1 }, /multiple of -1/],
    [{ specials: ['<|x|>', '<|x|>'] }, /asked for twice/],
  ])('refuses %j', (options, message) => {
    expect(() => expandByteLevelPieces(json, list('中国'), options)).toThrow(message);
  });

  it('refuses a tokenizer.json of another kind', () => {
    expect(() => expandByteLevel({ model: { type: 'Unigram' } }, [])).toThrow(/not byte-level BPE/);
  });
});
