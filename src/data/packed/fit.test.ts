/**
 * Sharing over bins and fitting into rows: nothing lost or doubled, bounds kept, and for few pieces never worse than
 * what exhaustive search shows to be needed by more than the method's known weakness.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { bucketWeights, type DistributeOptions, distribute, type Entries } from './distribute.ts';
import { type FitPiece, fitPieces } from './fit.ts';

/** Every token of every piece in exactly one row. */
function checkCover(pieces: readonly FitPiece[], rows: readonly (readonly { piece: number; from: number; length: number }[])[], T: number): void {
  const chunks = rows.flat().toSorted((a, b) => a.piece - b.piece || a.from - b.from);
  let at = 0;
  pieces.forEach(({ length }, piece) => {
    let from = 0;
    for (; chunks[at]?.piece === piece; from += chunks[at++].length) {
      expect(chunks[at].from).toBe(from);
      expect(chunks[at].length).toBeGreaterThan(0);
    }
    expect(from).toBe(length);
  });
  expect(at).toBe(chunks.length);
  for (const row of rows) {
    expect(row.length).toBeGreaterThan(0);
    expect(row.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(T);
  }
}

/** Fewest rows for these lengths, by trying everything. */
function fewest(lengths: readonly number[], T: number): number {
  const sorted = lengths.toSorted((a, b) => b - a);
  let best = sorted.length;
  const rooms: number[] = [];
  const place = (i: number): void => {
    if (rooms.length >= best) return;
    if (i === sorted.length) {
      best = rooms.length;
      return;
    }
    const tried = new Set<number>();
    for (let r = 0; r < rooms.length; r++) {
      if (rooms[r] < sorted[i] || tried.has(rooms[r])) continue;
      tried.add(rooms[r]);
      rooms[r] -= sorted[i];
      place(i + 1);
      rooms[r] += sorted[i];
    }
    rooms.push(T - sorted[i]);
    place(i + 1);
    rooms.pop();
  };
  place(0);
  return best;
}

interface Share {
  readonly entry: number;
  readonly from: number;
  readonly length: number;
  readonly bin: number;
}

function sharesOf(entries: Entries, options: DistributeOptions): Share[] {
  const shares: Share[] = [];
  distribute(entries, options, (entry, from, length, bin) => shares.push({ entry, from, length, bin }));
  return shares;
}

const piece = (T: number) =>
  fc
    .record({ length: fc.integer({ min: 1, max: 4 * T }), topic: fc.integer({ min: 0, max: 3 }) })
    .map(({ length, topic }) => ({ length, topic, long: length > T }));

describe('fitPieces', () => {
  it('holds every token once, in rows of at most T', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 90 }).chain((T) => fc.tuple(fc.constant(T), fc.array(piece(T), { maxLength: 60 }), fc.integer({ min: 1, max: T >> 1 || 1 }))),
        ([T, pieces, minChunk]) => {
          checkCover(pieces, fitPieces(pieces, T, minChunk), T);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('takes at most one row more than the fewest possible, for documents that are not cut', () => {
    let worse = 0;
    const random = new Random(3);
    for (let run = 0; run < 300; run++) {
      const T = 20 + random.below(100);
      const pieces = Array.from({ length: 1 + random.below(11) }, () => ({ length: 1 + random.below(T), topic: random.below(2), long: false }));
      const rows = fitPieces(pieces, T, 1).length;
      const best = fewest(
        pieces.map(({ length }) => length),
        T,
      );
      expect(rows).toBeLessThanOrEqual(best + 1);
      if (rows > best) worse++;
    }
    expect(worse).toBeLessThan(30);
  });

  it('fills rows of documents that do not fit together with chunks of long ones', () => {
    const short = Array.from({ length: 40 }, () => ({ length: 700, topic: 0, long: false }));
    const long = Array.from({ length: 10 }, () => ({ length: 3000, topic: 1, long: true }));
    const rows = fitPieces([...short, ...long], 1000, 60);
    checkCover([...short, ...long], rows, 1000);
    // 58,000 tokens; without the cuts it would be 40 rows of 700 and 30 full ones.
    expect(rows.length).toBe(58);
    for (const row of rows) for (const { piece: p, length } of row) if (p >= 40) expect(length).toBeGreaterThanOrEqual(60);
  });

  it('keeps topics apart but for their tails', () => {
    const random = new Random(9);
    const pieces = Array.from({ length: 3000 }, (_, i) => ({ length: 20 + random.below(200), topic: i % 4, long: false }));
    const rows = fitPieces(pieces, 512, 32);
    checkCover(pieces, rows, 512);
    const mixed = rows.filter((row) => new Set(row.map(({ piece: p }) => pieces[p].topic)).size > 1).length;
    expect(mixed).toBeLessThanOrEqual(0.05 * rows.length);
    const tokens = pieces.reduce((sum, { length }) => sum + length, 0);
    expect(rows.length).toBeLessThanOrEqual(Math.ceil((tokens / 512) * 1.002));
  });

  it('is quick where all lengths are equal, which no search can use', () => {
    const pieces = Array.from({ length: 50_000 }, () => ({ length: 100, topic: 0, long: false }));
    const start = performance.now();
    expect(fitPieces(pieces, 4096, 256).length).toBe(Math.ceil(50_000 / 40));
    // 0.1 s here; a search over all pieces for each row would take minutes.
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe('distribute', () => {
  it('gives every token to one bin, copies to different ones, and cuts only long documents', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 4 })), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        (documents, n, seed) => {
          const entries = documents.flatMap(([length, copies], document) => Array.from({ length: copies }, (_, copy) => ({ document, copy, length })));
          const columns = { document: entries.map((e) => e.document), copy: entries.map((e) => e.copy), length: entries.map((e) => e.length) };
          const shares = sharesOf(columns, { weights: new Array<number>(n).fill(1 / n), T: 100, minChunk: 10, seed });
          const bins = new Map<string, Set<number>>();
          entries.forEach((entry, i) => {
            const own = shares.filter((share) => share.entry === i).toSorted((a, b) => a.from - b.from);
            let from = 0;
            for (const share of own) {
              expect(share.from).toBe(from);
              from += share.length;
            }
            expect(from).toBe(entry.length);
            if (entry.length <= 100) expect(own.length).toBe(1);
            else for (const share of own) expect(share.length).toBeGreaterThanOrEqual(10);
            if (own.length === 1) bins.set(`${entry.document}/${entry.copy}`, new Set(own.map((share) => share.bin)));
          });
          documents.forEach(([length, copies], document) => {
            if (length > 100 || copies > n) return;
            expect(new Set(Array.from({ length: copies }, (_, copy) => [...(bins.get(`${document}/${copy}`) ?? [])][0])).size).toBe(copies);
          });
        },
      ),
      { numRuns: 200 },
    );
  });

  it('bins come out equal to within a short document, and the seed decides which documents', () => {
    const random = new Random(2);
    const length = Array.from({ length: 2000 }, () => Math.max(5, Math.round(300 * Math.exp(random.normal()))));
    const columns = { document: length.map((_, i) => i), copy: length.map(() => 0), length };
    const weights = new Array<number>(10).fill(0.1);
    const run = (seed: number) => sharesOf(columns, { weights, T: 512, minChunk: 32, seed });
    const bins = new Array<number>(10).fill(0);
    for (const share of run(1)) bins[share.bin] += share.length;
    expect(Math.max(...bins) - Math.min(...bins)).toBeLessThanOrEqual(40);
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });
});

describe('bucketWeights', () => {
  it('sums to 1 and rounds to whole packs where there are many', () => {
    for (const [tokens, T, n] of [
      [10, 512, 10],
      [1_000_000, 512, 10],
      [1_234_567, 4096, 7],
    ]) {
      const weights = bucketWeights(tokens, T, n);
      expect(weights.length).toBe(n);
      expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      expect(Math.max(...weights) / Math.min(...weights)).toBeLessThanOrEqual(1 + 1 / 16);
    }
    expect(bucketWeights(10, 512, 4)).toEqual([0.25, 0.25, 0.25, 0.25]);
  });
});
