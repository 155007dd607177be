/** Units, shingles and hashes against sets of strings made another way, on ugly text above all. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shinglesOf, unitsOf } from '../../../bench/data/dedup-oracle.ts';
import { compose, hashText, Shingles, shared, Units } from './units.ts';

const units = new Units();
const shingles = new Shingles();
function setOf(text: string, words = 5, characters = 3): Float64Array {
  units.read(compose(text));
  shingles.read(units, { words, characters });
  return shingles.set();
}

const UGLY = [
  '',
  ' ',
  'a',
  '山',
  '…!?',
  '\u0000',
  '\ud800',
  'a\udc00b',
  'x\u00ady\u200bz',
  'ﬁne ＡＢＣ ①②',
  'İstanbul ΣΑΣ',
  '👩‍👩‍👧 fam❤️ily',
  '𠮷野家で牛丼',
  'ภาษาไทยไม่มีช่องว่าง',
  '한국어 띄어쓰기',
  'e\u0301te\u0301 été',
  '使用 useState 钩子 state=1',
  'ー々〆ヶ 〇',
  '\u0301\u0301',
  'a'.repeat(20_000),
  '山'.repeat(9_000),
];

/** Text of a few letters, so that shingles repeat and are shared. */
const alphabet = fc.constantFrom('a', 'b', 'Ab', ' ', ' ', '\n', '，', '.', '山', '水', 'か', 'ท', '1', '\u0301', '\u200d', '\ud842\udfb7', '\ud800', '가');
const text = fc.array(alphabet, { maxLength: 60 }).map((parts) => parts.join(''));

describe('units and shingles', () => {
  it.each(UGLY.map((t, i) => [i, t] as const))('ugly text %i has the shingles of its definition', (_, t) => {
    expect(setOf(t).length).toBe(shinglesOf(t).size);
    expect(units.count).toBe(unitsOf(t).length);
  });

  it('shares what sets of strings share', () => {
    fc.assert(
      fc.property(text, text, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), (x, y, words, characters) => {
        const [u, v] = [setOf(x, words, characters), setOf(y, words, characters)];
        const [s, t] = [shinglesOf(x, words, characters), shinglesOf(y, words, characters)];
        expect([u.length, v.length]).toEqual([s.size, t.size]);
        expect(shared(u, v)).toBe([...s].filter((shingle) => t.has(shingle)).length);
      }),
      { numRuns: 2000, seed: 4 },
    );
  });

  it('does not see case, width, punctuation, white space or invisible characters', () => {
    expect(setOf('Ｔｈｅ quick, brown\nfox jumps — over')).toEqual(setOf('the QUICK brown fox ju\u00admps over'));
    expect(setOf('牀前明月光，疑是地上霜。')).toEqual(setOf('牀前明月光 疑是地上霜'));
  });

  it('sees order and every word', () => {
    expect(setOf('a b c d e f')).not.toEqual(setOf('f e d c b a'));
    expect(setOf('ab c')).not.toEqual(setOf('a bc'));
  });
});

describe('hashText', () => {
  const hash = (t: string, raw = false) => [...hashText(compose(t), raw, new Int32Array(4))].join();

  it('is equal where texts are equal but for white space, and nowhere else', () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they count as white space
    const space = /[\u0000-\u0020\u3000\u2028\u2029\u0085]+/g;
    const seen = new Map<string, string>();
    const check = (t: string) => {
      const normal = t.normalize('NFKC').replace(space, ' ').replace(/^ | $/g, '');
      const h = hash(t);
      expect(seen.get(h) ?? normal).toBe(normal);
      seen.set(h, normal);
    };
    for (const t of UGLY) check(t);
    fc.assert(fc.property(text, check), { numRuns: 3000, seed: 5 });
    expect(new Set(seen.values()).size).toBe(seen.size);
    expect(seen.size).toBeGreaterThan(1000);
  });

  it('raw, tells all texts apart', () => {
    expect(hash('a  b', true)).not.toBe(hash('a b', true));
    expect(hash('a  b\n')).toBe(hash(' a b'));
    expect(hash('a b')).not.toBe(hash('ab'));
  });

  it('spreads over all four words', () => {
    for (let w = 0; w < 4; w++) {
      const words = new Set(Array.from({ length: 2000 }, (_, i) => hashText(`text ${i}`, false, new Int32Array(4))[w]));
      expect(words.size).toBe(2000);
    }
  });
});
