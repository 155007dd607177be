/**
 * Candidates are compared for real: both texts are read again and the Jaccard similarity of their shingle sets is
 * counted, on 53-bit hashes (two distinct shingles of a pair of texts of a million shingles fall together with a chance of 1 in 10,000).
 * Sets are kept within a budget, the least recently used go first; what is dropped is only read again.
 */
import { type Doc, docText } from '../../data/doc.ts';
import type { FileReader, HostFiles } from '../../host/types.ts';
import type { TaskContext } from '../pipeline/tasks.ts';
import { Facts } from './sketch-file.ts';
import { compose, type ShingleSize, Shingles, shared, Units } from './units.ts';

export interface VerifyInput {
  /** Tells runs apart whose sets a worker may still hold. */
  readonly key: string;
  readonly size: ShingleSize;
  /** Shards that are touched. */
  readonly shards: readonly { readonly path: string; readonly sketch: string; readonly number: number }[];
  /** Two words a document: place in `shards`, index there. */
  readonly documents: Uint32Array;
  /** Two words a pair: places in `documents`. */
  readonly pairs: Uint32Array;
  /** A pair whose two are linked already by pairs of this similarity is passed over; above 1: none is. */
  readonly link: number;
}

/** Bytes of sets that a worker keeps. */
const SET_BYTES = 2 ** 21;
/** Shards that are open at once. */
const OPEN_SHARDS = 64;

/** Shingle sets of documents, read from their shards. `close` it. */
class SetReader {
  readonly #files: HostFiles;
  readonly #input: VerifyInput;
  readonly #sets: Map<string, Float64Array>;
  readonly #open = new Map<number, FileReader>();
  /** Offset and bytes of each document. */
  readonly #places: Float64Array;
  readonly #units = new Units();
  readonly #shingles = new Shingles();
  #bytes = 0;

  constructor(input: VerifyInput, { host, cache }: TaskContext) {
    this.#files = host.files;
    this.#places = new Float64Array(input.documents.length);
    this.#input = input;
    const held = cache.get('dedup.sets') as { key: string; sets: Map<string, Float64Array> } | undefined;
    this.#sets = held?.key === input.key ? held.sets : new Map();
    cache.set('dedup.sets', { key: input.key, sets: this.#sets });
    for (const set of this.#sets.values()) this.#bytes += set.byteLength;
  }

  async read(document: number): Promise<Float64Array> {
    const { documents, shards } = this.#input;
    const shard = documents[2 * document];
    const index = documents[2 * document + 1];
    const name = `${shards[shard].number}:${index}`;
    let set = this.#sets.get(name);
    if (set === undefined) {
      const reader = await this.#shard(shard);
      const doc = JSON.parse(new TextDecoder().decode(await reader.read(this.#places[2 * document], this.#places[2 * document + 1]))) as Doc;
      this.#units.read(compose(docText(doc)));
      this.#shingles.read(this.#units, this.#input.size);
      set = this.#shingles.set();
      this.#bytes += set.byteLength;
    } else this.#sets.delete(name);
    this.#sets.set(name, set);
    for (const [oldest, old] of this.#sets) {
      if (this.#bytes <= SET_BYTES || oldest === name) break;
      this.#sets.delete(oldest);
      this.#bytes -= old.byteLength;
    }
    return set;
  }

  /** Finds where documents stand, shard after shard, so that no sketch is opened twice. */
  async locate(): Promise<void> {
    const { documents, shards } = this.#input;
    const byShard: number[][] = shards.map(() => []);
    for (let d = 0; d < documents.length / 2; d++) byShard[documents[2 * d]].push(d);
    for (let s = 0; s < shards.length; s++) {
      const facts = await Facts.of(this.#files, shards[s].sketch);
      for (const d of byShard[s]) {
        const { offset, bytes } = facts.place(documents[2 * d + 1]);
        this.#places[2 * d] = offset;
        this.#places[2 * d + 1] = bytes;
      }
    }
  }

  async #shard(place: number): Promise<FileReader> {
    let reader = this.#open.get(place);
    if (reader === undefined) {
      for (const [oldest, old] of this.#open) {
        if (this.#open.size < OPEN_SHARDS) break;
        this.#open.delete(oldest);
        await old.close();
      }
      reader = await this.#files.open(this.#input.shards[place].path);
    } else this.#open.delete(place);
    this.#open.set(place, reader);
    return reader;
  }

  async close(): Promise<void> {
    for (const reader of this.#open.values()) await reader.close();
    this.#open.clear();
  }
}

/** Groups of a few numbers; the least stands for its group. */
export class Groups {
  readonly parents: Uint32Array;

  constructor(size: number) {
    this.parents = Uint32Array.from({ length: size }, (_, i) => i);
  }

  root(i: number): number {
    const { parents } = this;
    let at = i;
    while (parents[at] !== at) {
      parents[at] = parents[parents[at]];
      at = parents[at];
    }
    return at;
  }

  join(i: number, j: number): void {
    const [x, y] = [this.root(i), this.root(j)];
    if (x < y) this.parents[y] = x;
    else this.parents[x] = y;
  }
}

/**
 * The task `dedup.verify`. Three numbers a pair: similarity (Jaccard; NaN where the pair was passed over), and the sizes of both sets.
 * With sizes x, y and similarity s the texts share s (x + y) / (1 + s) shingles.
 */
export async function verifyTask(input: VerifyInput, context: TaskContext): Promise<Float64Array> {
  const { pairs, link } = input;
  const found = new Float64Array((pairs.length / 2) * 3);
  const linked = new Groups(input.documents.length / 2);
  const sets = new SetReader(input, context);
  try {
    await sets.locate();
    for (let p = 0; p < pairs.length / 2; p++) {
      const [i, j] = [pairs[2 * p], pairs[2 * p + 1]];
      if (link <= 1 && linked.root(i) === linked.root(j)) {
        found[3 * p] = Number.NaN;
        continue;
      }
      const x = await sets.read(i);
      const y = await sets.read(j);
      const both = shared(x, y);
      // Two texts without any unit have nothing in common that could be counted.
      const similarity = both === 0 ? 0 : both / (x.length + y.length - both);
      found[3 * p] = similarity;
      found[3 * p + 1] = x.length;
      found[3 * p + 2] = y.length;
      if (similarity >= link) linked.join(i, j);
    }
  } finally {
    await sets.close();
  }
  return found;
}
