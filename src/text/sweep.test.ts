/**
 * Counts against a count done the plain way, the order of pieces against a closed list, estimates of rare rows
 * against an urn with known contents, and the advice on curves whose answer is known.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { makeSentencePiece, PIECE, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { addTallies, ratesOf, TokenizerTally, unreachableIds } from './compare.ts';
import { bareTokenizer, findUnreachable } from './expand/reachable.ts';
import { headModel, rankedPieces } from './ranked-pieces.ts';
import { correctedCounts, rareRows } from './rare-rows.ts';
import { adviseSize, computePerCharacter, type SweepPoint, sweepSizes, sweepVocabulary } from './sweep.ts';
import { measureText } from './utf8.ts';

const NORMAL = (text: string, score: number) => ({ text, score, type: PIECE.NORMAL });
const bytes = Array.from({ length: 256 }, (_, b) => ({ text: `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, score: 0, type: PIECE.BYTE }));
const BASE = makeSentencePiece(
  [{ text: '<unk>', score: 0, type: PIECE.UNKNOWN }, ...bytes, ...['▁', 'a', 'b', '中', '文'].map((text, i) => NORMAL(text, -10 - i)), NORMAL('ab', -1)],
  { modelType: 2, byteFallback: true },
  { removeExtraWhitespaces: false },
);
const withNew = (pieces: readonly (readonly [string, number])[]): SentencePieceModel => ({
  ...BASE,
  pieces: [...BASE.pieces, ...pieces.map(([text, score]) => NORMAL(text, score))],
});
/** 国 and 家 are bytes in the base; the longest piece stands before its steps in rows, and 文国中 has none. */
const WHOLE = withNew([
  ['中文国家', -25],
  ['国', -20],
  ['中文', -21],
  ['家', -22],
  ['国家', -23],
  ['文国中', -24],
]);
const TEXTS = ['中文国家 ab', 'a 😀 家\ud800', '', '国家国家ab\n'];

describe('TokenizerTally', () => {
  it('counts what a plain count counts', () => {
    const tokenizer = bareTokenizer(WHOLE);
    const tally = new TokenizerTally(tokenizer);
    TEXTS.forEach((text, i) => {
      tally.add(i < 2 ? 'one' : 'two', text);
    });
    for (const [category, texts] of [
      ['one', TEXTS.slice(0, 2)],
      ['two', TEXTS.slice(2)],
    ] as const) {
      const ids = texts.flatMap((text) => tokenizer.encode(text));
      expect(tally.categories().get(category)).toEqual({
        documents: 2,
        characters: texts.reduce((n, text) => n + [...text].length, 0),
        bytes: texts.reduce((n, text) => n + Buffer.byteLength(text), 0),
        tokens: ids.length,
        byteFallbackTokens: ids.filter((id) => tokenizer.pieceOf(id).startsWith('<0x')).length,
        unknownTokens: 0,
      });
    }
    const all = TEXTS.flatMap((text) => tokenizer.encode(text));
    expect(tally.total().tokens).toBe(all.length);
    expect(tally.total().byteFallbackTokens).toBeGreaterThan(4);
    expect([...tally.uses]).toEqual(Array.from({ length: tokenizer.vocabSize }, (_, id) => all.filter((one) => one === id).length));
    expect(ratesOf(tally.total()).tokensPerByte).toBe(all.length / TEXTS.reduce((n, text) => n + Buffer.byteLength(text), 0));
    expect(ratesOf(addTallies([])).byteFallbackRate).toBeNull();
    expect(measureText('a¢€😀\udc00')).toEqual({ characters: 5, bytes: 1 + 2 + 3 + 4 + 3 });
  });

  it('names the entries that no text becomes', () => {
    expect(unreachableIds(bareTokenizer(WHOLE))).toEqual([WHOLE.pieces.length - 1]);
  });
});

describe('rankedPieces', () => {
  it('puts steps first and leaves out what is not reached', () => {
    expect(rankedPieces(BASE, WHOLE).map(({ text }) => text)).toEqual(['国', '中文', '家', '国家', '中文国家']);
  });

  it('makes every head a vocabulary without unreachable pieces', () => {
    // Any strings over four characters: most lack their steps, so that leaving out and reordering both happen.
    const random = new Random(7);
    for (let round = 0; round < 30; round++) {
      const texts = new Set<string>();
      while (texts.size < 40) texts.add(Array.from({ length: 1 + random.below(5) }, () => '中文国家'[random.below(4)]).join(''));
      for (const one of ['中', '文']) texts.delete(one);
      const whole = withNew([...texts].map((text) => [text, -20 - random.below(15)] as const));
      const ranked = rankedPieces(BASE, whole);
      const dead = new Set([...findUnreachable(whole).keys()].map((id) => whole.pieces[id].text));
      expect(new Set(ranked.map(({ text }) => text))).toEqual(new Set([...texts].filter((text) => !dead.has(text))));
      for (let n = 0; n <= ranked.length; n++) expect([...findUnreachable(headModel(BASE, ranked, BASE.pieces.length + n)).keys()]).toEqual([]);
    }
  });

  it('refuses a model on another base', () => {
    const other = { ...WHOLE, pieces: WHOLE.pieces.map((piece, id) => (id === 258 ? { ...piece, text: 'z' } : piece)) };
    expect(() => rankedPieces(BASE, other)).toThrow(/row 258 is "a" in the base and "z" in it/);
  });
});

describe('rareRows', () => {
  it('corrects small counts as Good and Turing do', () => {
    const counts = [...Array(10).fill(0), ...Array(6).fill(1), ...Array(2).fill(2), 3, 50];
    expect(correctedCounts(counts).slice(0, 3)).toEqual([6 / 10, (2 * 2) / 6, (3 * 1) / 2]);
  });

  it('estimates an urn: what unseen rows weigh together', () => {
    // 2,000 rows of weight 1 / (rank + 20); 4,000 draws leave several hundred unseen.
    const weights = Array.from({ length: 2000 }, (_, i) => 1 / (i + 20));
    const sum = weights.reduce((a, b) => a + b, 0);
    let running = 0;
    const ends = weights.map((w) => {
      running += w / sum;
      return running;
    });
    const random = new Random(3);
    const counts = new Float64Array(2000);
    for (let n = 0; n < 4000; n++) {
      const u = random.uniform();
      let low = 0;
      for (let high = ends.length - 1; low < high; ) {
        const middle = (low + high) >> 1;
        if (ends[middle] < u) low = middle + 1;
        else high = middle;
      }
      counts[low]++;
    }
    const found = rareRows(counts, 4000, 1_000_000, 100);
    const unseen = weights.filter((_, i) => counts[i] === 0);
    expect(found.unseen).toBe(unseen.length);
    expect(found.unseen).toBeGreaterThan(300);
    const truth = (unseen.reduce((a, b) => a + b, 0) / sum / unseen.length) * 1_000_000;
    // N1 is about 600, so its own spread is 4 %; 15 % are more than three of them.
    expect(Math.abs(found.p1 / truth - 1)).toBeLessThan(0.15);
    expect(found.p10).toBeGreaterThanOrEqual(found.p1);
    expect(found.median).toBeGreaterThan(found.p10);
  });
});

describe('sweepVocabulary and adviseSize', () => {
  const ranked = rankedPieces(BASE, WHOLE);
  const size = BASE.pieces.length;

  it('counts each size as a tokenizer of that size does', () => {
    const texts = TEXTS.map((text, i) => ({ category: `c${i % 2}`, text }));
    const sizes = [size, size + 2, size + 5];
    for (const point of sweepVocabulary(BASE, ranked, sizes, texts, { tokenBudget: 1000, minOccurrences: 10 })) {
      const tokenizer = bareTokenizer(headModel(BASE, ranked, point.size));
      const ids = TEXTS.map((text) => tokenizer.encode(text));
      expect(point.total.tokens).toBe(ids.flat().length);
      expect(point.categories.get('c0')?.tokens).toBe(ids[0].length + ids[2].length);
      expect(point.rare === null).toBe(point.size === size);
      if (point.rare) expect(point.rare.unseen).toBe(Array.from({ length: point.added }, (_, i) => size + i).filter((id) => !ids.flat().includes(id)).length);
    }
  });

  it('tries sizes from the base to the largest, even in between', () => {
    const sizes = sweepSizes(32000, 69104);
    expect([sizes[0], sizes[sizes.length - 1], sizes.length]).toEqual([32000, 69104, 13]);
    expect(sizes.slice(1, -1).every((one) => one % 64 === 0)).toBe(true);
    expect(sweepSizes(100, 101)).toEqual([100, 101]);
  });

  const point = (rows: number, tokens: number, below: number | null): SweepPoint => ({
    size: rows,
    added: rows - 1000,
    total: { documents: 1, characters: 1000, bytes: 3000, tokens, byteFallbackTokens: 0, unknownTokens: 0 },
    categories: new Map(),
    rare: below === null ? null : { rows: rows - 1000, unseen: 0, p1: 1, p10: 1, median: 1, below },
  });
  const cost = (flopsPerToken: number) => ({ parameters: 1, embeddingParameters: 1, flopsPerToken });

  it('takes the cheapest size, the smaller of nearly equal ones', () => {
    const points = [point(1000, 1000, null), point(2000, 600, 0), point(3000, 598, 0), point(4000, 500, 0)];
    // 600 x 11 / (1000 x 10) and so on, to the rounding of one division.
    computePerCharacter(points, [10, 11, 12, 20].map(cost)).forEach((found, i) => {
      expect(found).toBeCloseTo([1, 0.66, 0.7176, 1][i], 12);
    });
    expect(adviseSize(points, [10, 11, 12, 20].map(cost)).size).toBe(2000);
    expect(adviseSize(points, [10, 10, 10, 10].map(cost)).size).toBe(4000);
    expect(adviseSize(points.slice(0, 3), [10, 10, 10].map(cost)).size).toBe(2000);
  });

  it('stops where too many rows would not be trained, and where size no longer pays', () => {
    const budget = { tokenBudget: 1e6 };
    const points = [point(1000, 1000, null), point(2000, 600, 50), point(3000, 500, 500)];
    const advice = adviseSize(points, [10, 10, 10].map(cost), budget);
    expect(advice.size).toBe(2000);
    expect(advice.reason).toContain('950 of its 1,000 new rows are met at least 1,000 times in 1,000,000 tokens');
    expect(advice.reason).toContain('at 3,000 already 500 new rows are met less often');
    expect(adviseSize([point(1000, 1000, null), point(2000, 600, 900)], null, budget).size).toBe(1000);
    expect(adviseSize([point(1000, 1000, null), point(2000, 600, 0), point(4000, 595, 0)], null).size).toBe(2000);
  });
});
