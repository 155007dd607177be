/**
 * Which documents are near-duplicates: band after band, documents of one bucket are compared and joined. A round (a
 * band) ends in a file with every pair it compared, so a run that was cut off goes on with the next band and comes to
 * the same end. Memory: 4 bytes a document for the groups, one part of a band, and a fixed table of pairs that failed.
 */

import type { Host } from '../../host/types.ts';
import { fillWhole } from '../../host/whole-file.ts';
import type { TaskPool } from '../pipeline/pool.ts';
import { bandsOf, type DedupConfig } from './config.ts';
import { SECTION } from './sketch.ts';
import { groups, type Sketches } from './sketch-file.ts';
import { Groups, type VerifyInput } from './verify.ts';

/** What all passes over the sketches know. */
export interface Work {
  readonly host: Host;
  readonly pool: TaskPool;
  readonly scratch: string;
  readonly key: string;
  readonly config: DedupConfig;
  readonly shards: readonly string[];
  readonly sketchPaths: readonly string[];
  readonly sketches: Sketches;
  /** Number of the first document of each shard, and of all documents. */
  readonly bases: Uint32Array;
  progress(stage: string, done: number, total: number): void;
}

/** The shard of a document. */
export function shardOf(bases: Uint32Array, document: number): number {
  let [low, high] = [0, bases.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (bases[middle] <= document) low = middle;
    else high = middle;
  }
  return low;
}

/** A pair that was compared. */
export interface Compared {
  readonly a: number;
  readonly b: number;
  readonly similarity: number;
  /** Sizes of the shingle sets. */
  readonly sizeA: number;
  readonly sizeB: number;
}

/** Pairs of one task, and of all tasks under way. Fixed, so that what is passed over does not depend on the number of workers. */
const TASK_PAIRS = 2048;
export const BATCH_PAIRS = 16384;

/** Compares pairs (two numbers each) in the pool; those passed over (see VerifyInput.link) are left out. Order is kept. */
export async function comparePairs(work: Work, pairs: readonly number[], link: number): Promise<Compared[]> {
  const inputs: VerifyInput[] = [];
  for (let from = 0; from < pairs.length; from += 2 * TASK_PAIRS) {
    const shards: { path: string; sketch: string; number: number }[] = [];
    const shardPlaces = new Map<number, number>();
    const places = new Map<number, number>();
    const documents: number[] = [];
    const placed = pairs.slice(from, from + 2 * TASK_PAIRS).map((document) => {
      let place = places.get(document);
      if (place === undefined) {
        const shard = shardOf(work.bases, document);
        let shardPlace = shardPlaces.get(shard);
        if (shardPlace === undefined) {
          shardPlace = shards.push({ path: work.shards[shard], sketch: work.sketchPaths[shard], number: shard }) - 1;
          shardPlaces.set(shard, shardPlace);
        }
        place = documents.push(shardPlace, document - work.bases[shard]) / 2 - 1;
        places.set(document, place);
      }
      return place;
    });
    const { words, characters } = work.config;
    inputs.push({ key: work.key, size: { words, characters }, shards, documents: Uint32Array.from(documents), pairs: Uint32Array.from(placed), link });
  }
  const outputs = await work.pool.map<VerifyInput, Float64Array>('dedup.verify', inputs);
  const compared: Compared[] = [];
  outputs.forEach((output, t) => {
    for (let p = 0; p < output.length / 3; p++) {
      if (Number.isNaN(output[3 * p])) continue;
      const at = 2 * (t * TASK_PAIRS + p);
      compared.push({ a: pairs[at], b: pairs[at + 1], similarity: output[3 * p], sizeA: output[3 * p + 1], sizeB: output[3 * p + 2] });
    }
  });
  return compared;
}

/** Pairs that were compared, as far as a table of fixed size remembers them. Forgetting costs time, not correctness. */
export class Seen {
  readonly #table = new Float64Array(2 ** 18).fill(-1);
  readonly #documents: number;

  constructor(documents: number) {
    this.#documents = documents;
  }

  #place(a: number, b: number): number {
    return ((Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77)) >>> 14) & (this.#table.length - 1);
  }

  add(a: number, b: number): void {
    this.#table[this.#place(a, b)] = a * this.#documents + b;
  }

  has(a: number, b: number): boolean {
    // Beyond 2^53 two pairs could have one number.
    return this.#documents < 9e7 && this.#table[this.#place(a, b)] === a * this.#documents + b;
  }
}

const ROUND_FIELDS = 5;
const CHUNK = ROUND_FIELDS * 8 * 8192;

/** Pairs of a round file, as they were compared. */
export async function readRound(work: Work, path: string, use: (pair: Compared) => void): Promise<void> {
  const reader = await work.host.files.open(path);
  try {
    for (let at = 0; at < reader.size; at += CHUNK) {
      const bytes = await reader.read(at, CHUNK);
      const fields = new Float64Array(bytes.slice().buffer);
      for (let i = 0; i < fields.length; i += ROUND_FIELDS) {
        use({ a: fields[i], b: fields[i + 1], similarity: fields[i + 2], sizeA: fields[i + 3], sizeB: fields[i + 4] });
      }
    }
  } finally {
    await reader.close();
  }
}

export interface NearPairs {
  /** Documents that are linked by near-duplicates have one root. */
  readonly groups: Groups;
  /** Files with all pairs compared. */
  readonly rounds: string[];
  readonly compared: number;
}

/** Joins near-duplicates. `gone[d]` is not 0 for documents that are not looked at. */
export async function nearPairs(work: Work, gone: Uint8Array): Promise<NearPairs> {
  const { config, bases, host } = work;
  const { bands } = bandsOf(config);
  const total = bases[bases.length - 1];
  const joined = new Groups(total);
  const failed = new Seen(total);
  const rounds: string[] = [];
  let count = 0;
  const note = ({ a, b, similarity }: Compared): void => {
    count++;
    if (similarity >= config.threshold) joined.join(a, b);
    else failed.add(a, b);
  };
  const open = (a: number, b: number): boolean => joined.root(a) !== joined.root(b) && !failed.has(a, b);

  for (let band = 0; band < bands; band++) {
    const path = `${work.scratch}/round-${String(band).padStart(3, '0')}.bin`;
    rounds.push(path);
    if ((await host.files.stat(path)) !== null) await readRound(work, path, note);
    else {
      await fillWhole(host.files, path, async (writer) => {
        const compare = async (pairs: number[]): Promise<void> => {
          if (pairs.length === 0) return;
          const results = await comparePairs(work, pairs, config.threshold);
          const fields = new Float64Array(results.length * ROUND_FIELDS);
          results.forEach((pair, i) => {
            note(pair);
            fields.set([pair.a, pair.b, pair.similarity, pair.sizeA, pair.sizeB], i * ROUND_FIELDS);
          });
          await writer.write(new Uint8Array(fields.buffer));
          pairs.length = 0;
        };
        await compareBand(work, band, gone, joined, open, compare);
      });
    }
    work.progress('near', band + 1, bands);
  }
  return { groups: joined, rounds, compared: count };
}

/** The buckets of one band: all pairs of small ones; in large ones, representatives with the rest. */
async function compareBand(
  work: Work,
  band: number,
  gone: Uint8Array,
  joined: Groups,
  open: (a: number, b: number) => boolean,
  compare: (pairs: number[]) => Promise<void>,
): Promise<void> {
  const { maxGroup, representatives } = work.config;
  const pairs: number[] = [];
  const want = async (a: number, b: number): Promise<void> => {
    if (open(a, b)) pairs.push(a, b);
    if (pairs.length >= 2 * BATCH_PAIRS) await compare(pairs);
  };
  for await (const part of work.sketches.parts(SECTION.band + band, work.bases)) {
    let large: number[][] = [];
    for (const group of groups(part, 2)) {
      const documents = group.map((i) => part.words[i * part.width + 2]).filter((document) => gone[document] === 0);
      if (documents.length > maxGroup) large.push(documents);
      else {
        for (let j = 1; j < documents.length; j++) for (let i = 0; i < j; i++) await want(documents[i], documents[j]);
      }
    }
    await compare(pairs);
    for (let round = 0; round < representatives && large.length > 0; round++) {
      // Another representative in each band: what one of them misses, another may find.
      const chosen = large.map((documents) => documents[round === 0 ? (band * 7919) % documents.length : 0]);
      for (let g = 0; g < large.length; g++) {
        for (const document of large[g]) if (document !== chosen[g]) await want(Math.min(chosen[g], document), Math.max(chosen[g], document));
      }
      await compare(pairs);
      large = large.map((documents, g) => documents.filter((document) => joined.root(document) !== joined.root(chosen[g]))).filter(({ length }) => length > 1);
    }
  }
}
