/**
 * A passage as sparse numbers: hashed n-grams of units (Weinberger et al. 2009, "Feature Hashing for Large Scale
 * Multitask Learning", without signs), hashed n-grams of its skeleton (`skeleton.ts`), and a few facts of its shape. A
 * document is cut into passages of a fixed number of units, so that a page of three lines and a book are judged by the
 * same measure; a document's score is the mean over its passages.
 *
 * Precisely: the units of a passage are u_1 … u_m. For n from 1 to `maxN` each run of n units is hashed to one of `buckets`
 * places. A place hit c times gets 1 + ln c (or c, or 1: `counts`); the vector is divided by its Euclidean length. Behind it
 * stands the same of the skeleton, runs of 1 to 4, in `SKELETON_BUCKETS` places with length `skeletonWeight`. Behind that the
 * shape facts, each as one of `SHAPE_BINS` places with value `shapeWeight`, and the gap histogram: the square roots of the
 * shares of its bins, times `shapeWeight`.
 */
import { z } from 'zod';
import { mix32 } from '../../base/mix.ts';
import { Skeleton } from './skeleton.ts';
import { UNIT, UnitScanner } from './units.ts';

export const featureSchema = z.strictObject({
  /** Places for n-grams; a power of two. */
  buckets: z
    .int()
    .min(2 ** 8)
    .max(2 ** 22)
    .refine((n) => (n & (n - 1)) === 0, 'must be a power of two')
    .default(2 ** 18),
  /** Longest n-gram, in units (words; characters in scripts without spaces; marks). */
  maxN: z.int().min(1).max(4).default(3),
  /** What a count becomes. */
  counts: z.enum(['log', 'raw', 'binary']).default('log'),
  /** Units of a passage. */
  passageUnits: z.int().min(16).max(65536).default(512),
  /** Length of the skeleton's part; 0 leaves it out. */
  skeletonWeight: z.number().min(0).max(10).default(1),
  /** Value of each shape fact; 0 leaves them out. */
  shapeWeight: z.number().min(0).max(10).default(0.5),
});
export type FeatureConfig = z.output<typeof featureSchema>;

/** The facts of shape, in order; each falls into one of `SHAPE_BINS` bins. */
export const SHAPE_FACTS = ['repeatedPairs', 'commonestUnit', 'repeatedRuns', 'sentenceUnits', 'marks', 'wordLength', 'commonestPairs'] as const;
export const SHAPE_BINS = 10;
/** Places of the skeleton's n-grams; there are far fewer kinds of them. */
export const SKELETON_BUCKETS = 2 ** 15;
/** Longest n-gram of the skeleton. */
const SKELETON_N = 4;
/** Bins of the gap histogram: how long ago a content word (or pair of characters) was last there, by powers of two; the last: never. */
export const GAP_BINS = 12;
/** Pairs that `commonestPairs` adds up. */
const TOP = 5;
/** Letters that make a word one of content; shorter ones come back all the time. */
const CONTENT_LETTERS = 5;
/** Units of the runs that `repeatedRuns` looks for. */
const RUN = 6;
const RUN_BITS = 18;
const GAP_BITS = 16;

/** How many places a passage's numbers may lie in. */
export function featureCount(config: FeatureConfig): number {
  return config.buckets + SKELETON_BUCKETS + SHAPE_FACTS.length * SHAPE_BINS + GAP_BINS;
}

/** Bin of a share from 0 to 1 by powers of two: bin 0 is more than a half, the last is next to nothing. */
export function shareBin(share: number): number {
  return Math.min(SHAPE_BINS - 1, Math.max(0, Math.floor(-Math.log2(share + 2 ** -SHAPE_BINS))));
}

/** Where the passages of `units` units begin; a last one of less than half a passage belongs to the one before it. */
export function passageStarts(units: number, size: number): number[] {
  const passages = Math.max(1, Math.floor(units / size + 0.5));
  return Array.from({ length: passages }, (_, i) => i * size);
}

/** Takes passages apart; keeps its tables between them. One a worker. */
export class FeatureExtractor {
  readonly config: FeatureConfig;
  /** Places and values of the last passage; `count` of them are valid. Places come in order of first sight. */
  ids = new Uint32Array(4096);
  values = new Float32Array(4096);
  count = 0;
  readonly #counts: Uint32Array;
  readonly #skeleton = new Skeleton();
  readonly #runs = new Uint8Array(2 ** RUN_BITS);
  readonly #lastSeen = new Int32Array(2 ** GAP_BITS);
  readonly #gaps = new Uint32Array(GAP_BINS);
  #touched = new Uint32Array(1024);

  constructor(config: FeatureConfig) {
    this.config = config;
    this.#counts = new Uint32Array(config.buckets + SKELETON_BUCKETS);
  }

  /**
   * Calls `visit` after each passage is in `ids` and `values`. The scanner holds `text`, with marks and with digits
   * as shapes; a text without units has one passage without n-grams.
   */
  each(text: string, scanner: UnitScanner, visit: (passage: number, passages: number) => void): void {
    const { count } = scanner;
    const starts = passageStarts(count, this.config.passageUnits);
    starts.forEach((start, i) => {
      this.#extract(text, scanner, start, i + 1 < starts.length ? starts[i + 1] : count);
      visit(i, starts.length);
    });
  }

  #extract(text: string, scanner: UnitScanner, from: number, to: number): void {
    const { buckets, maxN, skeletonWeight, shapeWeight } = this.config;
    const units = to - from;
    const most = units * (maxN + SKELETON_N) + SHAPE_FACTS.length + GAP_BINS;
    if (this.ids.length < most) {
      this.ids = new Uint32Array(most * 2);
      this.values = new Float32Array(most * 2);
    }
    this.count = 0;
    const pairs = this.#grams(scanner.hashes, from, to, maxN, 0, buckets, 1);
    const plain = this.count;
    if (skeletonWeight > 0 && units > 0) {
      const length = this.#skeleton.read(text, scanner, from, to);
      this.#grams(this.#skeleton.hashes, 0, length, SKELETON_N, buckets, SKELETON_BUCKETS, skeletonWeight);
    }
    const grams = this.count;
    if (shapeWeight > 0 && units > 0) this.#shape(scanner, from, to, pairs, plain, shapeWeight);
    for (let k = 0; k < grams; k++) this.#counts[this.ids[k]] = 0;
  }

  /** Appends the n-grams of `hashes` in places from `base` on, scaled to `length`; the counts stay. Gives the number of different pairs. */
  #grams(hashes: Uint32Array, from: number, to: number, maxN: number, base: number, buckets: number, length: number): number {
    const { ids, values } = this;
    const counts = this.#counts;
    const mask = buckets - 1;
    const how = this.config.counts;
    const first = this.count;
    let found = first;
    let pairs = 0;
    for (let i = from; i < to; i++) {
      let gram = 0;
      const longest = Math.min(maxN, i - from + 1);
      // The n-grams that end at unit i, shortest first.
      for (let n = 1; n <= longest; n++) {
        gram = (Math.imul(gram, 0x9e3779b1) + hashes[i + 1 - n]) | 0;
        const place = base + (mix32(gram + n) & mask);
        if (counts[place]++ === 0) {
          ids[found++] = place;
          if (n === 2) pairs++;
        }
      }
    }
    let squares = 0;
    for (let k = first; k < found; k++) {
      const c = counts[ids[k]];
      const value = how === 'log' ? 1 + Math.log(c) : how === 'raw' ? c : 1;
      values[k] = value;
      squares += value * value;
    }
    if (found > first) {
      const scale = length / Math.sqrt(squares);
      for (let k = first; k < found; k++) values[k] *= scale;
    }
    this.count = found;
    return pairs;
  }

  /** The facts of shape; the counts of the passage still stand. `plain`: how many of `ids` are n-grams of units. */
  #shape(scanner: UnitScanner, from: number, to: number, pairs: number, plain: number, weight: number): void {
    const { hashes, kinds, starts, ends } = scanner;
    const { buckets } = this.config;
    const counts = this.#counts;
    const units = to - from;
    let commonest = 0;
    let marks = 0;
    let words = 0;
    let letters = 0;
    let sentences = 0;
    let repeated = 0;
    let touched = 0;
    let run = 0;
    let content = 0;
    let drop = 1;
    for (let k = 0; k < RUN; k++) drop = Math.imul(drop, 0x9e3779b1);
    if (this.#touched.length < 2 * units) this.#touched = new Uint32Array(units * 4);
    const gaps = this.#gaps.fill(0);
    const seen = this.#lastSeen;
    for (let i = from; i < to; i++) {
      if (kinds[i] === UNIT.mark) {
        marks++;
        if (SENTENCE_ENDS.has(hashes[i])) sentences++;
      } else {
        const c = counts[mix32(hashes[i] + 1) & (buckets - 1)];
        if (c > commonest) commonest = c;
        if (kinds[i] === UNIT.word) {
          words++;
          letters += ends[i] - starts[i];
        }
        // Content: a long word, or two characters that stand together.
        const pair = kinds[i] === UNIT.character && i > from && kinds[i - 1] === UNIT.character;
        if (pair || (kinds[i] === UNIT.word && ends[i] - starts[i] >= CONTENT_LETTERS)) {
          const place = mix32(pair ? Math.imul(hashes[i - 1], 0x9e3779b1) + hashes[i] : hashes[i]) >>> (32 - GAP_BITS);
          // Places hold the unit's number + 1, counted from the passage's start; 0 is never.
          const last = seen[place];
          const now = i - from + 1;
          gaps[last === 0 ? GAP_BINS - 1 : Math.min(GAP_BINS - 2, 31 - Math.clz32(now - last))]++;
          seen[place] = now;
          content++;
        }
      }
      run = (Math.imul(run, 0x9e3779b1) + hashes[i]) | 0;
      if (i - from >= RUN) run = (run - Math.imul(hashes[i - RUN], drop)) | 0;
      if (i - from >= RUN - 1) {
        const place = mix32(run) >>> (32 - RUN_BITS);
        if (this.#runs[place] === 1) repeated++;
        else {
          this.#runs[place] = 1;
          this.#touched[touched++] = place;
        }
      }
    }
    for (let k = 0; k < touched; k++) this.#runs[this.#touched[k]] = 0;
    seen.fill(0);
    // The counts of the commonest n-grams of content, whichever they are.
    const top = new Uint32Array(TOP);
    for (let k = 0; k < plain; k++) {
      const c = counts[this.ids[k]];
      if (c <= top[0]) continue;
      let at = 0;
      while (at + 1 < TOP && top[at + 1] < c) {
        top[at] = top[at + 1];
        at++;
      }
      top[at] = c;
    }
    const linear = (x: number): number => Math.min(SHAPE_BINS - 1, Math.max(0, Math.floor(x)));
    const bins = [
      shareBin(units > 1 ? 1 - pairs / (units - 1) : 0),
      // Twice as fine as the others: commonest units have shares between 1/64 and 1/4.
      linear(-2 * Math.log2(commonest / units + 2 ** -SHAPE_BINS)),
      shareBin(repeated / Math.max(1, units - RUN + 1)),
      linear(2 * Math.log2(units / (sentences + 1)) - 4),
      linear(-2 * Math.log2(marks / units + 2 ** -SHAPE_BINS)),
      words === 0 ? 0 : linear(letters / words),
      linear(-2 * Math.log2(top.reduce((a, b) => a + b, 0) / units + 2 ** -SHAPE_BINS)),
    ];
    const base = buckets + SKELETON_BUCKETS;
    bins.forEach((bin, fact) => {
      this.ids[this.count] = base + fact * SHAPE_BINS + bin;
      this.values[this.count++] = weight;
    });
    for (let bin = 0; bin < GAP_BINS; bin++) {
      if (gaps[bin] === 0) continue;
      this.ids[this.count] = base + bins.length * SHAPE_BINS + bin;
      this.values[this.count++] = weight * Math.sqrt(gaps[bin] / content);
    }
  }
}

/** Hashes of the marks that end a sentence. */
export const SENTENCE_ENDS: ReadonlySet<number> = (() => {
  const scanner = new UnitScanner({ marks: true, digits: 'shape' });
  const set = new Set<number>();
  for (const mark of '.!?。！？…;；') {
    scanner.scan(mark);
    for (let i = 0; i < scanner.count; i++) set.add(scanner.hashes[i]);
  }
  return set;
})();
