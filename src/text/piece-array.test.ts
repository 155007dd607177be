/** The double array against a plain map of all stretches. */

import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { CELL, PieceArray } from './piece-array.ts';

/** All pieces that a text starts with: length and value. */
function walk({ cells, codes }: PieceArray, text: string): string[] {
  const found: string[] = [];
  for (let i = 0, base = 0; i < text.length; i++) {
    const cell = CELL * (base + codes[text.charCodeAt(i)]);
    if (i > 0 && (base === 0 || cells[cell + 1] !== base)) break;
    if (cells[cell + 2] >= 0) found.push(`${i + 1}:${cells[cell + 2]}`);
    base = cells[cell];
  }
  return found;
}

describe('PieceArray', () => {
  it('finds just the pieces that a text starts with', () => {
    const random = new Random(3);
    for (let round = 0; round < 100; round++) {
      const alphabet = 1 + random.below(round % 3 === 0 ? 3000 : 6);
      const write = (most: number): string =>
        Array.from({ length: 1 + random.below(most) }, () => String.fromCharCode(random.below(alphabet) * (round % 2 === 0 ? 1 : 21))).join('');
      const pieces = new Map<string, number>();
      for (let n = random.below(round % 10 === 0 ? 3000 : 60); n > 0; n--) pieces.set(write(round % 7 === 0 ? 60 : 4), n);
      const array = new PieceArray([...pieces.keys()], [...pieces.values()]);
      const texts = [...[...pieces.keys()].map((piece) => piece + write(3)), ...Array.from({ length: 50 }, () => write(8)), '\uffff', '\0\0'];
      for (const text of texts) {
        const wanted: string[] = [];
        for (let end = 1; end <= text.length; end++) {
          const value = pieces.get(text.slice(0, end));
          if (value !== undefined) wanted.push(`${end}:${value}`);
        }
        expect(walk(array, text)).toEqual(wanted);
        expect(array.single(text.charCodeAt(0))).toBe(pieces.get(text[0]) ?? -1);
      }
    }
  });

  it('takes no pieces, every unit there is, and chains of hundreds', () => {
    expect(walk(new PieceArray([], []), 'a')).toEqual([]);
    const units = Array.from({ length: 0x10000 }, (_, unit) => String.fromCharCode(unit));
    const chain = 'ab'.repeat(256);
    const array = new PieceArray([...units, chain], [...units.keys(), 70_000]);
    expect(array.single(0xffff)).toBe(0xffff);
    expect(array.single(0)).toBe(0);
    expect(walk(array, `${chain}a`)).toEqual(['1:97', '512:70000']);
  });

  it('stays small', () => {
    const random = new Random(4);
    const pieces = new Map<string, number>();
    // 20,000 pieces over 5,000 signs, the frequent ones far more often.
    for (let n = 0; n < 20_000; n++) {
      const size = 1 + random.below(4);
      pieces.set(Array.from({ length: size }, () => String.fromCharCode(0x4e00 + Math.floor(5000 * random.uniform() ** 4))).join(''), n);
    }
    const prefixes = new Set([...pieces.keys()].flatMap((piece) => Array.from(piece, (_, i) => piece.slice(0, i + 1))));
    expect(new PieceArray([...pieces.keys()], [...pieces.values()]).cells.length / CELL).toBeLessThan(prefixes.size + 3 * 5000);
  });
});
