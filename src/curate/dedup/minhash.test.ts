/** Signatures against the exact similarity they estimate; bands against the formula. */
import { describe, expect, it } from 'vitest';
import { seeded } from '../../../bench/data/dedup-oracle.ts';
import { mix32 } from '../../base/mix.ts';
import { candidateShare, MinHash, planBands } from './minhash.ts';

/** Two sets of hashes that share `both` of `size` each. */
function pair(size: number, both: number, random: () => number): [Int32Array, Int32Array] {
  const fresh = () => mix32((random() * 0x100000000) | 0);
  const common = Array.from({ length: both }, fresh);
  const one = () => Int32Array.from([...common, ...Array.from({ length: size - both }, fresh)]);
  return [one(), one()];
}

describe('MinHash', () => {
  it.each([
    [20, 18],
    [60, 30],
    [400, 356],
    [5000, 4000],
  ])('sets of %i that share %i: minima are equal as often as the Jaccard similarity says', (size, both) => {
    const random = seeded(size);
    const minhash = new MinHash(16, 8, 1);
    const expected = both / (2 * size - both);
    const rounds = size > 1000 ? 40 : 400;
    let equal = 0;
    for (let r = 0; r < rounds; r++) {
      const [x, y] = pair(size, both, random);
      minhash.read(x, size);
      const first = minhash.minima.slice();
      minhash.read(y, size);
      equal += first.reduce((sum, m, i) => sum + (m === minhash.minima[i] ? 1 : 0), 0) / first.length;
    }
    // Of a pair, permutations err together a little; four deviations of independent ones leave room for it.
    const deviation = Math.sqrt((expected * (1 - expected)) / (rounds * 128));
    expect(Math.abs(equal / rounds - expected)).toBeLessThan(4 * deviation);
  });

  it('brings pairs together as often as the curve says', () => {
    const [bands, rows] = [21, 6];
    const minhash = new MinHash(bands, rows, 3);
    const random = seeded(9);
    for (const both of [40, 60, 70, 80, 90]) {
      const s = both / (200 - both);
      let together = 0;
      const rounds = 600;
      const hashes = [new Uint32Array(2 * bands), new Uint32Array(2 * bands)];
      for (let r = 0; r < rounds; r++) {
        pair(100, both, random).forEach((set, i) => {
          minhash.read(set, 100);
          for (let band = 0; band < bands; band++) minhash.band(band, hashes[i], 2 * band);
        });
        let any = false;
        for (let band = 0; band < bands; band++) any ||= hashes[0][2 * band] === hashes[1][2 * band] && hashes[0][2 * band + 1] === hashes[1][2 * band + 1];
        if (any) together++;
      }
      const share = candidateShare(s, bands, rows);
      expect(Math.abs(together / rounds - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / rounds) + 0.01);
    }
  });

  it('does not mind order, repeats or the block in which a hash stands', () => {
    const random = seeded(2);
    const [x] = pair(5000, 0, random);
    const minhash = new MinHash(5, 5, 1);
    minhash.read(x, x.length);
    const minima = minhash.minima.slice();
    const shuffled = Int32Array.from([...x.toReversed(), ...x.subarray(0, 77)]);
    minhash.read(shuffled, shuffled.length);
    expect(minhash.minima).toEqual(minima);
    minhash.read(x, 1);
    expect(minhash.minima).not.toEqual(minima);
  });
});

describe('planBands', () => {
  it.each([
    [0.8, 0.995, 128],
    [0.65, 0.995, 128],
    [0.9, 0.99, 256],
    [1, 0.999, 16],
  ])('threshold %d, recall %d, %i permutations: reaches it, and one row more would not', (threshold, recall, permutations) => {
    const { bands, rows } = planBands(threshold, recall, permutations);
    expect(bands * rows).toBeLessThanOrEqual(permutations);
    expect(1 - (1 - threshold ** rows) ** bands).toBeGreaterThanOrEqual(recall);
    if (rows < permutations) expect(threshold === 1 || 1 - (1 - threshold ** (rows + 1)) ** Math.floor(permutations / (rows + 1)) < recall).toBe(true);
  });

  it('says so where permutations do not suffice', () => {
    expect(() => planBands(0.05, 0.99, 16)).toThrow(/16 permutations/);
  });
});
