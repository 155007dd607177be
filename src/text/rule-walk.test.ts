/**
 * The short way over replacement rules against the walk over bytes, which the golden tests hold to the library: real
 * rules, damaged ones, all characters, and every handling of spaces.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { type NormalizerSpec, parseSentencePiece } from '../formats/sentencepiece.ts';
import { Normalizer } from './normalizer.ts';
import { UnitBuffer, unitsToString } from './units.ts';

const golden = join(import.meta.dirname, '../../test/golden/text');
const spec = (name: string): NormalizerSpec => parseSentencePiece(new Uint8Array(readFileSync(join(golden, `${name}.model`))), name).normalizer;
const models = ['sp-unigram-rules', 'sp-bpe-nmt-nfkc'];

const buffer = new UnitBuffer();
function short(normalizer: Normalizer, text: string, prefix = true): string {
  const count = normalizer.into(buffer, text, prefix);
  return unitsToString(buffer.units, 0, count);
}

const parts = [
  ...['a', 'e', 'I', ' ', '  ', '\u3000', '\t', '\n', '\0', '\u2581', '\ufeff', '\u200b', '\u00ad', '中', '，', '。', 'Ａ', 'ｶ', 'ﾞ', 'が', 'か', '\u3099'],
  ...[
    '\u0301',
    '\u0308',
    '\u0323',
    '\u0338',
    'é',
    'ﬁ',
    '㍿',
    '\ufdfa',
    '½',
    '①',
    '\u1100',
    '\u1161',
    '\u11a8',
    '한',
    '\u0f71',
    '\u0f72',
    '😀',
    '𝐀',
    '\u{1d15e}',
  ],
  ...['\u{2f800}', '\ud800', '\udc00', '\ufffd', '\u007f', '\u0085', '\u00a0', '\u2028', '\u202e', '\ue000', '\uffff', '\u{10ffff}'],
];
const write = (random: Random, size: number): string => Array.from({ length: size }, () => parts[random.below(parts.length)]).join('');

describe('normalising by rules', () => {
  it.for(models)('%s: every character, alone and before others', (name) => {
    const normalizer = new Normalizer(spec(name), false, []);
    const wrong: number[] = [];
    // All where rules are dense, elsewhere (ideographs, Hangul, other planes) every seventh.
    for (let point = 0; point < 0x30000; point += point < 0x3400 || (point >= 0xd7f0 && point < 0x10000) ? 1 : 7) {
      const char = String.fromCodePoint(point);
      const text = `${char}${char}a${char} ${char}\u0301${char}中${char}\u3099b${char}`;
      if (short(normalizer, text) !== normalizer.run(text)) wrong.push(point);
    }
    expect(wrong).toEqual([]);
  });

  it.for(models)('%s: any mixture, with every handling of spaces', (name) => {
    const random = new Random(11);
    for (let kind = 0; kind < 16; kind++) {
      const flags = { addDummyPrefix: (kind & 1) > 0, removeExtraWhitespaces: (kind & 2) > 0, escapeWhitespaces: (kind & 4) > 0 };
      const normalizer = new Normalizer({ ...spec(name), ...flags }, (kind & 8) > 0, []);
      for (let n = 0; n < 1000; n++) {
        const text = write(random, random.below(30));
        expect(short(normalizer, text, n % 5 > 0)).toBe(normalizer.run(text, n % 5 > 0));
      }
      for (const text of ['', ' ', '   ', '\u3000 ', '\u200b', ' \u200b ', '\u2581', '  \u2581  ']) expect(short(normalizer, text)).toBe(normalizer.run(text));
    }
  });

  it('makes room for replacements longer than the text', () => {
    const normalizer = new Normalizer(spec('sp-bpe-nmt-nfkc'), false, []);
    const text = '\ufdfa'.repeat(10_000);
    expect(short(normalizer, text)).toBe(normalizer.run(text));
    expect(short(normalizer, text).length).toBeGreaterThan(text.length * 10);
  });

  it('a damaged map gives what the walk over bytes gives', () => {
    const whole = spec('sp-unigram-rules');
    const random = new Random(12);
    let differs = 0;
    for (let round = 0; round < 150; round++) {
      const blob = whole.precompiledCharsmap.slice();
      // The first four bytes say how long the trie is.
      for (let n = 1 + random.below(2000); n > 0; n--) blob[4 + random.below(blob.length - 4)] = random.below(256);
      const damaged = new Normalizer({ ...whole, precompiledCharsmap: blob }, false, []);
      for (let n = 0; n < 40; n++) {
        const text = write(random, random.below(40));
        const wanted = damaged.run(text);
        expect(short(damaged, text)).toBe(wanted);
        if (wanted !== new Normalizer(whole, false, []).run(text)) differs++;
      }
    }
    expect(differs).toBeGreaterThan(0);
  });
});
