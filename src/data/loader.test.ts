/**
 * The loader: every pack once an epoch, and a resume that gives exactly the batches that an undisturbed
 * run would have given, wherever it was stopped.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { collate, type LoaderState, PackLoader, sequentialBatches, splitByHash } from './loader.ts';
import { type Pack, packDocuments } from './pack.ts';

const T = 16;
function somePacks(documents: number, seed = 1): Pack[] {
  const random = new Random(seed);
  const docs = Array.from({ length: documents }, () => Array.from({ length: 1 + random.below(30) }, () => 3 + random.below(50)));
  return packDocuments(docs, { T, bos: 1, eos: 2, pad: 0 }).packs;
}

describe('PackLoader', () => {
  it('continues exactly after a stop at 50 random places, across epochs and through JSON', () => {
    const packs = somePacks(37);
    const total = Math.ceil((4 * packs.length) / 3);
    const whole = new PackLoader(packs, { B: 3, seed: 5 });
    const all = Array.from({ length: total }, () => whole.next());
    expect(all[all.length - 1].epoch).toBeGreaterThanOrEqual(3);
    const random = new Random(11);
    for (let i = 0; i < 50; i++) {
      const k = random.below(total);
      const first = new PackLoader(packs, { B: 3, seed: 5 });
      for (let n = 0; n < k; n++) first.next();
      const saved = JSON.parse(JSON.stringify(first.state())) as LoaderState;
      const second = new PackLoader(packs, { B: 3, seed: 5 });
      // A loader that has already run must come to the same place.
      for (let n = 0; n < i % 4; n++) second.next();
      second.restore(saved);
      for (let n = k; n < total; n++) expect(second.next()).toEqual(all[n]);
    }
  });

  it('gives every pack once an epoch, in another order each time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 7 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }), (documents, B, seed) => {
        const packs = somePacks(documents, documents);
        const loader = new PackLoader(packs, { B, seed });
        const rows: string[] = [];
        while (rows.length < 2 * packs.length) {
          const { ids } = loader.next();
          for (let b = 0; b < B; b++) rows.push([...ids.subarray(b * T, b * T + T)].join());
        }
        const expected = packs.map((p) => [...p.ids].join()).sort();
        expect(rows.slice(0, packs.length).sort()).toEqual(expected);
        expect(rows.slice(packs.length, 2 * packs.length).sort()).toEqual(expected);
      }),
      { numRuns: 60 },
    );
    const packs = somePacks(60);
    const order = (seed: number, epochs: number, shuffle = true) => {
      const loader = new PackLoader(packs, { B: packs.length, seed, shuffle });
      let batch = loader.next();
      for (let e = 1; e < epochs; e++) batch = loader.next();
      return [...batch.ids].join();
    };
    expect(order(1, 1)).not.toBe(order(1, 2));
    expect(order(1, 1)).not.toBe(order(2, 1));
    expect(order(1, 1)).toBe(order(1, 1));
    expect(order(1, 2, false)).toBe(packs.map((p) => [...p.ids].join()).join());
  });

  it('counts the labels that count', () => {
    const packs = somePacks(20);
    const loader = new PackLoader(packs, { B: 4 });
    for (let i = 0; i < 10; i++) {
      const batch = loader.next();
      expect(batch.tokens).toBe([...batch.labels].filter((x) => x !== -100).length);
      expect(batch.labels.length).toBe(4 * T);
      expect(batch.ranges.length).toBe(16 * T);
    }
    expect(loader.batchesPerEpoch).toBe(Math.ceil(packs.length / 4));
  });

  it('refuses a state of other data, another seed, or an impossible place', () => {
    const packs = somePacks(20);
    const state = new PackLoader(packs, { B: 2, seed: 3 }).state();
    const target = () => new PackLoader(packs, { B: 2, seed: 3 });
    expect(() => new PackLoader(somePacks(20, 2), { B: 2, seed: 3 }).restore(state)).toThrow(/resume: the data loader had (packs|fingerprint)/);
    expect(() => new PackLoader(packs, { B: 2, seed: 4 }).restore(state)).toThrow(/had seed 3, now it has 4/);
    for (const bad of [{ cursor: packs.length }, { cursor: -1 }, { cursor: 0.5 }, { epoch: -1 }])
      expect(() => target().restore({ ...state, ...bad })).toThrow(/impossible/);
    expect(() => new PackLoader([], { B: 2 })).toThrow(/0 packs/);
    expect(() => new PackLoader(packs, { B: 0 })).toThrow(/got 0/);
    const other = packDocuments([[5]], { T: 8, bos: 1, eos: 2, pad: 0 }).packs;
    expect(() => new PackLoader([...packs, ...other], { B: 2 })).toThrow(/has 8 tokens, the first has 16/);
  });
});

describe('sequentialBatches', () => {
  it('gives each pack once and fills the last batch with rows that count nothing', () => {
    const packs = somePacks(23);
    const batches = [...sequentialBatches(packs, 4, 0)];
    expect(batches.length).toBe(Math.ceil(packs.length / 4));
    expect(batches.reduce((n, b) => n + b.tokens, 0)).toBe(packs.reduce((n, p) => n + p.labelCount, 0));
    expect(batches.every((b) => b.ids.length === 4 * T)).toBe(true);
    expect(batches[0]).toEqual(collate(packs.slice(0, 4)));
  });
});

describe('splitByHash', () => {
  it('is stable, keeps equal texts together, and leaves neither side empty', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 8 }), { minLength: 2, maxLength: 50 }), (texts) => {
        const { train, validation } = splitByHash(texts, (t) => t, 0.2);
        expect([...train, ...validation].sort()).toEqual([...texts].sort());
        expect(train.some((t) => validation.includes(t))).toBe(false);
        if (new Set(texts).size > 1) {
          expect(train.length).toBeGreaterThan(0);
          expect(validation.length).toBeGreaterThan(0);
        } else expect(validation.length).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it('comes near the fraction asked for', () => {
    const texts = Array.from({ length: 20_000 }, (_, i) => `document ${i}`);
    const share = splitByHash(texts, (t) => t, 0.05).validation.length / texts.length;
    // Four standard deviations of a fair draw: sqrt(0.05 * 0.95 / 20000) = 0.0015.
    expect(Math.abs(share - 0.05)).toBeLessThan(0.0062);
    const some = new Set(splitByHash(texts.slice(0, 5000), (t) => t, 0.05).validation);
    expect(splitByHash(texts, (t) => t, 0.05).validation.filter((_, i) => i < some.size)).toEqual([...some]);
    expect(splitByHash(texts, (t) => t, 0).validation).toEqual([]);
    expect(() => splitByHash(texts, (t) => t, 1)).toThrow(/got 1/);
  });
});
