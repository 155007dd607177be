/** The difference of two texts: both can be put together again, and what is common is a longest common subsequence (by exact dynamic programming). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commonPlaces, type DiffPart, diffTexts, unitsOf } from './diff.ts';

const side = (parts: readonly DiffPart[], kind: 'a' | 'b') =>
  parts
    .filter((part) => part.kind === kind || part.kind === 'both')
    .map(({ text }) => text)
    .join('');

/** Length of a longest common subsequence, by the table. */
function lcs(a: readonly string[], b: readonly string[]): number {
  let row = new Array<number>(b.length + 1).fill(0);
  for (const x of a) {
    const next = [0];
    for (let j = 1; j <= b.length; j++) next[j] = x === b[j - 1] ? row[j - 1] + 1 : Math.max(row[j], next[j - 1]);
    row = next;
  }
  return row[b.length];
}

describe('units', () => {
  it('are words, blanks and single characters of scripts without spaces', () => {
    expect(unitsOf('The cat’s 2nd\n nap.')).toEqual(['The', ' ', 'cat', '’', 's', ' ', '2nd', '\n ', 'nap', '.']);
    expect(unitsOf('这is中文ab3，好')).toEqual(['这', 'is', '中', '文', 'ab3', '，', '好']);
    expect(unitsOf('𠀀a\ud800')).toEqual(['𠀀', 'a', '\ud800']);
    expect(unitsOf('')).toEqual([]);
  });

  it('join to the text, whatever it holds', () => {
    const text = fc
      .array(fc.oneof(fc.integer({ min: 0, max: 0x10ffff }), fc.integer({ min: 0, max: 0x3000 })))
      .map((points) => String.fromCodePoint(...points));
    fc.assert(fc.property(text, (one) => unitsOf(one).join('') === one));
  });
});

describe('difference', () => {
  it('says what only one has', () => {
    expect(diffTexts('the old cat sat', 'the new cat sat down')).toEqual([
      { kind: 'both', text: 'the ' },
      { kind: 'a', text: 'old' },
      { kind: 'b', text: 'new' },
      { kind: 'both', text: ' cat sat' },
      { kind: 'b', text: ' down' },
    ]);
    expect(diffTexts('', '')).toEqual([]);
    expect(diffTexts('', 'x')).toEqual([{ kind: 'b', text: 'x' }]);
    expect(diffTexts('x', 'x')).toEqual([{ kind: 'both', text: 'x' }]);
  });

  it('finds a longest common subsequence', () => {
    const words = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 14 });
    fc.assert(
      fc.property(words, words, (a, b) => {
        const places = commonPlaces(a, b, 100) ?? [];
        expect(places.length).toBe(lcs(a, b));
        for (const [x, y] of places) expect(a[x]).toBe(b[y]);
        for (let i = 1; i < places.length; i++) {
          expect(places[i][0]).toBeGreaterThan(places[i - 1][0]);
          expect(places[i][1]).toBeGreaterThan(places[i - 1][1]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('gives both texts back', () => {
    const text = fc.array(fc.constantFrom('cat ', 'sat', ' ', '中', '文', '\ud800', '.\n'), { maxLength: 40 }).map((list) => list.join(''));
    fc.assert(
      fc.property(text, text, (a, b) => {
        const parts = diffTexts(a, b);
        expect(side(parts, 'a')).toBe(a);
        expect(side(parts, 'b')).toBe(b);
      }),
      { numRuns: 500 },
    );
  });

  it('stays bounded where nothing is alike', () => {
    const a = `same ${Array.from({ length: 200_000 }, (_, i) => `a${i}`).join(' ')} end`;
    const b = `same ${Array.from({ length: 200_000 }, (_, i) => `b${i}`).join(' ')} end`;
    const parts = diffTexts(a, b);
    expect(parts.map(({ kind }) => kind)).toEqual(['both', 'a', 'b', 'both']);
    expect(side(parts, 'a')).toBe(a);
    expect(commonPlaces(a.slice(0, 9000).split(''), 'zy'.repeat(3000).split(''), 50)).toBe(null);
  });
});
