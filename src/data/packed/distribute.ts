/**
 * Shares the documents of one category over n bins that shall hold their parts of its tokens. Long documents first, each
 * into the bin with most room (the LPT rule of Graham 1969); among documents of like length the seed decides. So
 * every bin gets its part of the tokens to within a short document, and long and short ones alike. A document
 * longer than a pack may be cut where its bin is full, since packing cuts it anyway; a shorter one never is.
 */
import { philox } from '../../base/random.ts';

/** Takes a run of an entry's tokens that goes into one bin; runs of an entry come in order. */
export type TakeShare = (entry: number, from: number, length: number, bin: number) => void;

/** Documents of one category, with each copy an entry of its own. */
export interface Entries {
  /** The document an entry is a copy of, for telling copies apart and for the seed. */
  readonly document: ArrayLike<number>;
  readonly copy: ArrayLike<number>;
  readonly length: ArrayLike<number>;
}

export interface DistributeOptions {
  /** Part of the tokens that each bin shall hold; sums to 1. */
  readonly weights: readonly number[];
  /** Documents longer than this may be cut. */
  readonly T: number;
  /** No cut leaves less than this on either side. */
  readonly minChunk: number;
  readonly seed: number;
}

/** Philox key word of this use of the seed. */
const STREAM = 0x62696e73;
/** Lengths within a factor of 2^(1/4) are of like length. */
const CLASSES_PER_OCTAVE = 4;

/** Gives every token of every entry to one bin. Copies of one document go to different bins as long as there are any. */
export function distribute(entries: Entries, options: DistributeOptions, take: TakeShare): void {
  const { weights, T, minChunk, seed } = options;
  const { document, copy, length } = entries;
  const n = weights.length;
  const count = length.length;
  let total = 0;
  const rank = new Int32Array(count);
  const key = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    total += length[i];
    rank[i] = length[i] > 0 ? Math.floor(Math.log2(length[i]) * CLASSES_PER_OCTAVE) : -1;
    key[i] = philox(document[i], 0, 0, 0, seed >>> 0, STREAM)[0];
  }
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => rank[b] - rank[a] || key[a] - key[b] || document[a] - document[b] || copy[a] - copy[b],
  );
  const room = weights.map((weight) => weight * total);
  // Which bin is the first of equal ones depends on the seed and the category's first document, so that no bin always gets the longest.
  const turn = count > 0 ? philox(document[order[0]], 1, 0, 0, seed >>> 0, STREAM)[0] % n : 0;
  const taken = new Set<number>();
  let last = -1;
  for (const entry of order) {
    if (document[entry] !== last) taken.clear();
    last = document[entry];
    if (taken.size === n) taken.clear();
    const others = new Set(taken);
    let from = 0;
    while (from < length[entry]) {
      let bin = -1;
      for (let i = 0; i < n; i++) {
        const candidate = (turn + i) % n;
        if (!others.has(candidate) && (bin < 0 || room[candidate] > room[bin])) bin = candidate;
      }
      const rest = length[entry] - from;
      const fits = Math.floor(room[bin]);
      const cut = length[entry] > T && fits >= minChunk && rest - fits >= minChunk;
      const run = cut ? fits : rest;
      take(entry, from, run, bin);
      room[bin] -= run;
      taken.add(bin);
      from += run;
    }
  }
}

/**
 * The part of the tokens that each of n buckets shall hold: equal, but for the rounding to whole packs where a bucket has
 * at least 16, so that not every bucket ends in a pack half empty.
 */
export function bucketWeights(tokens: number, T: number, n: number): number[] {
  // Bins come out a few tokens over or under; a little room in each keeps them from opening a pack for those.
  const packs = Math.ceil(tokens / T + n / 32);
  const each = Math.floor(packs / n);
  if (each < 16) return new Array<number>(n).fill(1 / n);
  return Array.from({ length: n }, (_, k) => (each + (k < packs % n ? 1 : 0)) / packs);
}
