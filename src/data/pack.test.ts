/**
 * Packing held to its definition: a slow recount of every token, label, position and range from the
 * documents themselves, on random documents, plus fixed cases that a reader can check by eye.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isScionError } from '../base/errors.ts';
import { batchTables, emptyPack, IGNORE_LABEL, Packer, packDocuments } from './pack.ts';

const BOS = 1;
const EOS = 2;
const PAD = 0;
const documents = fc.array(fc.array(fc.integer({ min: 3, max: 60 }), { maxLength: 50 }), { maxLength: 60 });
const shape = fc.record({
  T: fc.integer({ min: 2, max: 40 }),
  window: fc.integer({ min: 0, max: 12 }),
  lookahead: fc.integer({ min: 1, max: 20 }),
  openPacks: fc.integer({ min: 1, max: 5 }),
});

/** Splits a pack back into its pieces by the positions, which restart at 0. */
function piecesOf(pack: ReturnType<typeof packDocuments>['packs'][number]): { start: number; end: number }[] {
  const pieces: { start: number; end: number }[] = [];
  for (let t = 0; t < pack.used; t++) {
    if (pack.positions[t] === 0) pieces.push({ start: t, end: t + 1 });
    else pieces[pieces.length - 1].end = t + 1;
  }
  return pieces;
}

describe('packDocuments', () => {
  it('packs a case that can be read by eye', () => {
    const { packs, statistics } = packDocuments([[10, 11, 12], [20], [30, 31, 32, 33, 34, 35, 36]], { T: 8, bos: BOS, eos: EOS, pad: PAD });
    expect(packs.map((p) => [...p.ids])).toEqual([
      [1, 30, 31, 32, 33, 34, 35, 36],
      [1, 10, 11, 12, 2, 1, 20, 2],
      [2, 0, 0, 0, 0, 0, 0, 0],
    ]);
    expect([...packs[0].labels]).toEqual([30, 31, 32, 33, 34, 35, 36, 2]);
    expect([...packs[1].labels]).toEqual([10, 11, 12, 2, -100, 20, 2, -100]);
    expect([...packs[1].positions]).toEqual([0, 1, 2, 3, 4, 0, 1, 2]);
    expect([...packs[1].ranges.subarray(6 * 4, 7 * 4)]).toEqual([5, 7, 6, 8]);
    expect([...packs[2].ranges]).toEqual([0, 1, 0, 1, ...new Array<number>(28).fill(0)]);
    expect(statistics).toEqual({ documents: 3, cut: 1, pieces: 4, packs: 3, tokensIn: 17, tokensKept: 17, labels: 14, fill: 17 / 24 });
  });

  it('applies a sliding window to both sides of the attention', () => {
    const [pack] = packDocuments([[10, 11, 12, 13]], { T: 8, bos: BOS, eos: EOS, pad: PAD, window: 3 }).packs;
    const row = (t: number) => [...pack.ranges.subarray(t * 4, t * 4 + 4)];
    expect([0, 1, 2, 3, 4, 5, 6].map(row)).toEqual([
      [0, 1, 0, 3],
      [0, 2, 1, 4],
      [0, 3, 2, 5],
      [1, 4, 3, 6],
      [2, 5, 4, 6],
      [3, 6, 5, 6],
      [0, 0, 0, 0],
    ]);
  });

  it('keeps every token and every label of any documents exactly once', () => {
    fc.assert(
      fc.property(documents, shape, (docs, options) => {
        const { packs, statistics } = packDocuments(docs, { ...options, bos: BOS, eos: EOS, pad: PAD });
        const { T } = options;
        const expected: string[] = [];
        for (const doc of docs) {
          const all = [BOS, ...doc, EOS];
          for (let at = 0; at < all.length; at += T) {
            const ids = all.slice(at, at + T);
            const labels = ids.map((_, i) => all[at + i + 1] ?? IGNORE_LABEL);
            expected.push(JSON.stringify([ids, labels]));
          }
        }
        const found: string[] = [];
        for (const pack of packs) {
          for (const { start, end } of piecesOf(pack)) found.push(JSON.stringify([[...pack.ids.subarray(start, end)], [...pack.labels.subarray(start, end)]]));
          for (let t = pack.used; t < T; t++) {
            expect([pack.ids[t], pack.labels[t], pack.positions[t], ...pack.ranges.subarray(t * 4, t * 4 + 4)]).toEqual([PAD, IGNORE_LABEL, 0, 0, 0, 0, 0]);
          }
        }
        expect(found.sort()).toEqual(expected.sort());
        expect(statistics.tokensKept).toBe(statistics.tokensIn);
        expect(statistics.labels).toBe(docs.reduce((n, doc) => n + doc.length + 1, 0));
        expect(statistics.pieces).toBe(expected.length);
      }),
      { numRuns: 150 },
    );
  });

  it('gives ranges that equal the pairwise definition of who sees whom', () => {
    fc.assert(
      fc.property(documents, shape, (docs, options) => {
        const { T, window } = options;
        for (const pack of packDocuments(docs, { ...options, bos: BOS, eos: EOS, pad: PAD }).packs) {
          const owner = new Array<number>(T).fill(-1);
          for (const [i, { start, end }] of piecesOf(pack).entries()) owner.fill(i, start, end);
          for (let q = 0; q < T; q++) {
            for (let k = 0; k < T; k++) {
              const sees = owner[q] >= 0 && owner[q] === owner[k] && k <= q && (window === 0 || q - k < window);
              const forward = pack.ranges[q * 4] <= k && k < pack.ranges[q * 4 + 1];
              const backward = pack.ranges[k * 4 + 2] <= q && q < pack.ranges[k * 4 + 3];
              if (forward !== sees || backward !== sees) expect({ q, k, forward, backward }).toEqual({ q, k, forward: sees, backward: sees });
            }
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('is deterministic, streams the same packs, and fills rows well', () => {
    const lengths = Array.from({ length: 3000 }, (_, i) => 5 + ((i * 7919) % 97));
    const docs = lengths.map((n, i) => Array.from({ length: n }, (_, j) => 3 + ((i + j) % 50)));
    const options = { T: 128, bos: BOS, eos: EOS, pad: PAD };
    const once = packDocuments(docs, options);
    const packer = new Packer(options);
    const streamed = docs.flatMap((doc) => packer.push(doc)).concat(packer.finish());
    expect(streamed).toEqual(once.packs);
    expect(packer.statistics()).toEqual(once.statistics);
    expect(once.statistics.fill).toBeGreaterThan(0.98);
  });

  it('refuses impossible options with their values', () => {
    for (const bad of [{ T: 1 }, { T: 2.5 }, { window: -1 }, { lookahead: 0 }, { bos: -1 }]) {
      let caught: unknown;
      try {
        packDocuments([], { T: 8, bos: BOS, eos: EOS, pad: PAD, ...bad });
      } catch (error) {
        caught = error;
      }
      expect(isScionError(caught, 'usage')).toBe(true);
      expect(String(caught)).toContain(String(Object.values(bad)[0]));
    }
  });

  it('has an empty pack that counts nothing', () => {
    const pack = emptyPack(4, 9);
    expect([pack.used, pack.labelCount, ...pack.ids, ...pack.labels]).toEqual([0, 0, 9, 9, 9, 9, -100, -100, -100, -100]);
  });
});

describe('batchTables', () => {
  it('equals a stable sort by id with its runs', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 200 }), (list) => {
        const ids = Uint32Array.from(list);
        const { order, segments, starts, segmentIds } = batchTables(ids, 31);
        const sorted = list.map((id, i) => ({ id, i })).sort((a, b) => a.id - b.id || a.i - b.i);
        expect([...order]).toEqual(sorted.map((x) => x.i));
        const distinct = [...new Set(sorted.map((x) => x.id))];
        expect(segments).toBe(distinct.length);
        expect([...segmentIds.subarray(0, segments)]).toEqual(distinct);
        expect([...starts]).toEqual([
          ...distinct.map((id) => sorted.findIndex((x) => x.id === id)),
          ...new Array<number>(list.length + 1 - segments).fill(list.length),
        ]);
        expect(segmentIds.subarray(segments).every((x) => x === 0)).toBe(true);
      }),
    );
  });

  it('names the first id outside the vocabulary', () => {
    expect(() => batchTables(Uint32Array.of(1, 2, 9), 9)).toThrow(/token id 9 at position 2 .* vocabulary of 9/);
  });
});
