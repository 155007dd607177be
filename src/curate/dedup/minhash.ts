/**
 * MinHash signatures (Broder 1997) and their bands (locality-sensitive hashing, Indyk and Motwani 1998). A
 * permutation is `(x xor c) * odd` on well-mixed 32-bit hashes: two cheap operations, and good enough because the input
 * is mixed already. Signed minima, so that no result has to be made unsigned. Theory and measurement: docs/data-dedup.md.
 */
import { ScionError } from '../../base/errors.ts';
import { mix32 } from '../../base/mix.ts';
import { Random } from '../../base/random.ts';

/** Shingles that stay in the first cache while all permutations pass over them. */
const BLOCK = 2048;
/** Permutations that pass together: their minima stay in registers. */
const LANES = 4;

/** The share of pairs of similarity `s` that fall together in one of `bands` bands of `rows` hashes. */
export function candidateShare(s: number, bands: number, rows: number): number {
  return 1 - (1 - s ** rows) ** bands;
}

/**
 * Bands and rows for a threshold: the most rows (fewest needless candidates) with which pairs right at the threshold
 * come together with `recall`, using at most `permutations` hashes.
 */
export function planBands(threshold: number, recall: number, permutations: number): { bands: number; rows: number } {
  for (let rows = Math.min(64, permutations); rows >= 1; rows--) {
    const bands = Math.min(256, Math.floor(permutations / rows));
    if (candidateShare(threshold, bands, rows) >= recall) return { bands, rows };
  }
  throw new ScionError(
    'usage',
    `${permutations} permutations cannot bring ${100 * recall} % of pairs at similarity ${threshold} together; raise permutations or the threshold, or lower recall`,
    { threshold, recall, permutations },
  );
}

/** Signatures of one text after the other. */
export class MinHash {
  readonly bands: number;
  readonly rows: number;
  /** Minima of the last text. */
  readonly minima: Int32Array;
  readonly #xor: Int32Array;
  readonly #odd: Int32Array;

  constructor(bands: number, rows: number, seed: number) {
    this.bands = bands;
    this.rows = rows;
    const lanes = Math.ceil((bands * rows) / LANES) * LANES;
    const random = new Random(seed);
    this.minima = new Int32Array(lanes);
    this.#xor = Int32Array.from({ length: lanes }, () => random.u32() | 0);
    this.#odd = Int32Array.from({ length: lanes }, () => random.u32() | 1);
  }

  /** Reads the first `count` hashes; `minima` holds the signature afterwards. */
  read(hashes: Int32Array, count: number): void {
    const { minima } = this;
    minima.fill(0x7fffffff);
    for (let from = 0; from < count; from += BLOCK) this.#block(hashes, from, Math.min(count, from + BLOCK));
  }

  #block(hashes: Int32Array, from: number, to: number): void {
    const minima = this.minima;
    const xor = this.#xor;
    const odd = this.#odd;
    for (let p = 0; p < minima.length; p += LANES) {
      const c0 = xor[p];
      const c1 = xor[p + 1];
      const c2 = xor[p + 2];
      const c3 = xor[p + 3];
      const o0 = odd[p];
      const o1 = odd[p + 1];
      const o2 = odd[p + 2];
      const o3 = odd[p + 3];
      let m0 = minima[p];
      let m1 = minima[p + 1];
      let m2 = minima[p + 2];
      let m3 = minima[p + 3];
      for (let i = from; i < to; i++) {
        const x = hashes[i];
        const h0 = Math.imul(x ^ c0, o0);
        const h1 = Math.imul(x ^ c1, o1);
        const h2 = Math.imul(x ^ c2, o2);
        const h3 = Math.imul(x ^ c3, o3);
        if (h0 < m0) m0 = h0;
        if (h1 < m1) m1 = h1;
        if (h2 < m2) m2 = h2;
        if (h3 < m3) m3 = h3;
      }
      minima[p] = m0;
      minima[p + 1] = m1;
      minima[p + 2] = m2;
      minima[p + 3] = m3;
    }
  }

  /** 64 bits of band `band` of the last signature into out[at], out[at + 1]. */
  band(band: number, out: Uint32Array, at: number): void {
    let a = 0x3c6ef372;
    let b = 0x1f83d9ab;
    for (let i = band * this.rows; i < (band + 1) * this.rows; i++) {
      a = Math.imul(a ^ this.minima[i], 0x9e3779b1);
      a = (a << 15) | (a >>> 17);
      b = Math.imul(b ^ this.minima[i], 0x85ebca77);
      b = (b << 13) | (b >>> 19);
    }
    out[at] = mix32(a);
    out[at + 1] = mix32(b ^ a);
  }
}
