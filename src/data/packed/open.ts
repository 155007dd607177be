/**
 * Reading packed data in place: the manifest first, then any pack of any bucket by range, from files on disk or in a
 * browser. No bucket is ever loaded whole; an open one keeps its tables (some dozens of bytes a segment).
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { openSafetensors, type SafetensorsFile } from '../../formats/safetensors.ts';
import { type HasherMaker, hashFile } from '../../host/hashing.ts';
import type { HostFiles } from '../../host/types.ts';
import { fillPack, IGNORE_LABEL, type Pack, type Piece } from '../pack.ts';
import { bitAt, bitBytes, halvesOf, type TokenDtype, type Tokens, tokensOf, wordsOf } from './bits.ts';
import { type HeldOutTexts, readHeldOut } from './held-out.ts';
import { type BucketFacts, type PackedManifest, packedFingerprint, readPackedManifest } from './manifest.ts';

/** What the data must be to be of use; each part that is given is checked. */
export interface PackedExpectation {
  /** Tokens a pack. */
  readonly T?: number;
  /** `tokenizerHash` of the tokenizer in use. */
  readonly tokenizer?: string;
  /** Rows of the model's embedding: no id may lie beyond. */
  readonly vocabSize?: number;
}

/** A run of one document in a pack. */
export interface Segment {
  /** First token in the pack, and how many. */
  readonly start: number;
  readonly length: number;
  /** The document's number, which copy of it, and the first token's place in it. */
  readonly document: number;
  readonly copy: number;
  readonly from: number;
  readonly category: string;
  /** The category's place in the manifest. */
  readonly type: number;
  /** The label of its last token, or -100. */
  readonly next: number;
}

/** A pack as it is stored. */
export interface StoredPack {
  /** T ids, padding behind `used`. */
  readonly tokens: Tokens;
  /** 1 for each of the T tokens that is learnt. */
  readonly learnt: Uint8Array;
  readonly used: number;
  readonly segments: readonly Segment[];
}

/** Column names and types of the tables; `packs` and `segments` say how long they are. */
const TABLES = {
  pack_segments: 'U32',
  pack_used: 'U32',
  pack_labels: 'U32',
  segment_start: 'U32',
  segment_document: 'U32',
  segment_from: 'U32',
  segment_next: 'I32',
  segment_copy: 'U16',
  segment_category: 'U16',
} as const;

/** An open bucket. */
export class PackedBucket {
  readonly facts: BucketFacts;
  readonly manifest: PackedManifest;
  /** Labels of each pack. */
  readonly packLabels: Uint32Array<ArrayBuffer>;
  readonly #file: SafetensorsFile;
  readonly #segments: Uint32Array<ArrayBuffer>;
  readonly #used: Uint32Array<ArrayBuffer>;
  readonly #start: Uint32Array<ArrayBuffer>;
  readonly #document: Uint32Array<ArrayBuffer>;
  readonly #from: Uint32Array<ArrayBuffer>;
  readonly #next: Int32Array<ArrayBuffer>;
  readonly #copy: Uint16Array<ArrayBuffer>;
  readonly #category: Uint16Array<ArrayBuffer>;

  private constructor(manifest: PackedManifest, facts: BucketFacts, file: SafetensorsFile, tables: ReadonlyMap<string, Uint8Array<ArrayBuffer>>) {
    this.manifest = manifest;
    this.facts = facts;
    this.#file = file;
    const table = (name: keyof typeof TABLES): Uint8Array<ArrayBuffer> => tables.get(name) ?? new Uint8Array(0);
    this.packLabels = wordsOf(table('pack_labels'));
    this.#segments = wordsOf(table('pack_segments'));
    this.#used = wordsOf(table('pack_used'));
    this.#start = wordsOf(table('segment_start'));
    this.#document = wordsOf(table('segment_document'));
    this.#from = wordsOf(table('segment_from'));
    this.#next = new Int32Array(wordsOf(table('segment_next')).buffer);
    this.#copy = halvesOf(table('segment_copy'));
    this.#category = halvesOf(table('segment_category'));
  }

  /** Opens and checks one bucket; called by `PackedFolder`. */
  static async open(files: HostFiles, path: string, manifest: PackedManifest, facts: BucketFacts): Promise<PackedBucket> {
    const { T, dtype } = manifest;
    const refuse = (what: string): never => {
      throw new ScionError('format', `${path}: ${what}; the file does not belong to its manifest or is damaged: build the data again`, { path });
    };
    const reader = await files.open(path);
    try {
      const file = await openSafetensors(reader, path);
      const shapeOf: Record<string, { dtype: string; shape: number[] }> = {
        tokens: { dtype, shape: [facts.packs, T] },
        learnt: { dtype: 'U8', shape: [facts.packs, bitBytes(T)] },
      };
      for (const [name, type] of Object.entries(TABLES)) {
        const rows = name === 'pack_segments' ? facts.packs + 1 : name.startsWith('pack_') ? facts.packs : facts.segments;
        shapeOf[name] = { dtype: type, shape: [rows] };
      }
      for (const [name, { dtype: type, shape }] of Object.entries(shapeOf)) {
        const info = file.tensors.get(name);
        if (info === undefined) refuse(`has no tensor ${name}`);
        else if (info.dtype !== type || info.shape.join() !== shape.join()) {
          refuse(`${name} should be ${type} [${shape.join(', ')}] and is ${info.dtype} [${info.shape.join(', ')}]`);
        }
      }
      const tables = new Map<string, Uint8Array<ArrayBuffer>>();
      for (const name of Object.keys(TABLES)) tables.set(name, await file.read(name));
      const bucket = new PackedBucket(manifest, facts, file, tables);
      bucket.#check(refuse);
      return bucket;
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /** Tables that contradict each other must not lead to a read outside a pack. */
  #check(refuse: (what: string) => never): void {
    const { T, categories } = this.manifest;
    let at = 0;
    for (let pack = 0; pack < this.facts.packs; pack++) {
      const end = this.#segments[pack + 1];
      if (this.#segments[pack] !== at || end < at || end > this.facts.segments || this.#used[pack] > T)
        refuse(`the tables of pack ${pack} contradict each other`);
      for (; at < end; at++) {
        const stop = at + 1 < end ? this.#start[at + 1] : this.#used[pack];
        const first = at === this.#segments[pack];
        if (this.#start[at] >= stop || (first && this.#start[at] !== 0) || this.#category[at] >= categories.length)
          refuse(`segment ${at} lies outside its pack`);
      }
    }
    if (at !== this.facts.segments) refuse(`${this.facts.segments} segments, of which its packs have ${at}`);
  }

  get packs(): number {
    return this.facts.packs;
  }

  /** The segments of a pack, from the tables alone. */
  segments(pack: number): Segment[] {
    const out: Segment[] = [];
    for (let s = this.#segments[pack]; s < this.#segments[pack + 1]; s++) {
      const end = s + 1 < this.#segments[pack + 1] ? this.#start[s + 1] : this.#used[pack];
      out.push({
        start: this.#start[s],
        length: end - this.#start[s],
        document: this.#document[s],
        copy: this.#copy[s],
        from: this.#from[s],
        category: this.manifest.categories[this.#category[s]].category,
        type: this.#category[s],
        next: this.#next[s],
      });
    }
    return out;
  }

  /** Reads `count` packs from `first` on; two reads, whatever the count. `input` outside the bucket. */
  async read(first: number, count = 1): Promise<StoredPack[]> {
    const { T } = this.manifest;
    const rowBytes = bitBytes(T);
    const tokens = tokensOf(await this.#file.readRows('tokens', first, count), this.manifest.dtype as TokenDtype);
    const bits = await this.#file.readRows('learnt', first, count);
    return Array.from({ length: count }, (_, i) => {
      const row = bits.subarray(i * rowBytes, (i + 1) * rowBytes);
      const learnt = new Uint8Array(T);
      for (let t = 0; t < T; t++) learnt[t] = bitAt(row, t);
      return { tokens: tokens.subarray(i * T, (i + 1) * T), learnt, used: this.#used[first + i], segments: this.segments(first + i) };
    });
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/**
 * A stored pack as a training row: labels, positions that restart, attention that ends with each segment. `window` as in `PackOptions`;
 * `types` numbers the categories of the manifest, if tokens are to carry their type of data.
 */
export function trainingPack(stored: StoredPack, T: number, pad: number, window = 0, types?: readonly number[]): Pack {
  const pieces = stored.segments.map(({ start, length, next, type }): Piece => {
    const tokens = new Uint32Array(length);
    for (let i = 0; i < length; i++) tokens[i] = stored.tokens[start + i];
    return { tokens, next, learnt: stored.learnt.subarray(start, start + length), ...(types && { type: types[type] }) };
  });
  return fillPack(pieces, T, pad, window);
}

/**
 * A stored pack in the layout of Hugging Face trainers, which shift by themselves: the id where it is learnt, else -100. The first token of
 * each segment is -100, since what stands before it in the row is another document; so a cut document loses one label a cut.
 */
export function hfLabels(stored: StoredPack): Int32Array {
  const labels = new Int32Array(stored.tokens.length).fill(IGNORE_LABEL);
  for (const { start, length } of stored.segments) {
    for (let t = start + 1; t < start + length; t++) if (stored.learnt[t] === 1) labels[t] = stored.tokens[t];
  }
  return labels;
}

/** An open folder of packed data. */
export class PackedFolder {
  readonly dir: string;
  readonly manifest: PackedManifest;
  readonly fingerprint: number;
  readonly #files: HostFiles;

  constructor(files: HostFiles, dir: string, manifest: PackedManifest) {
    this.#files = files;
    this.dir = dir;
    this.manifest = manifest;
    this.fingerprint = packedFingerprint(manifest);
  }

  pathOf(bucket: number): string {
    const facts = this.manifest.buckets[bucket];
    if (facts === undefined)
      throw new ScionError('input', `${this.dir} has ${this.manifest.buckets.length} buckets; number ${bucket} was asked for`, { bucket });
    return joinPath(this.dir, facts.file);
  }

  /** Opens a bucket; close it when done. */
  bucket(bucket: number): Promise<PackedBucket> {
    return PackedBucket.open(this.#files, this.pathOf(bucket), this.manifest, this.manifest.buckets[bucket]);
  }

  /**
   * The documents that the build held out, by category; none where it held out nothing. They are read only when asked for, since training with
   * texts of one's own needs none. Throws `format` for a file that is missing or damaged.
   */
  heldOut(sha256: HasherMaker): Promise<HeldOutTexts[]> {
    return readHeldOut(this.#files, this.dir, this.manifest.validation, sha256);
  }

  /** Reads every bucket and holds its SHA-256 against the manifest. Throws `format` naming the first that differs. */
  async verify(sha256: HasherMaker): Promise<void> {
    for (const [k, facts] of this.manifest.buckets.entries()) {
      const { sha256: found } = await hashFile(this.#files, this.pathOf(k), sha256);
      if (found === facts.sha256) continue;
      throw new ScionError('format', `${this.pathOf(k)}: its SHA-256 should be ${facts.sha256} and is ${found}; the file is damaged: build the data again`, {
        expected: facts.sha256,
        found,
      });
    }
  }
}

/**
 * Opens a folder: reads the manifest, holds it against what is expected, and checks that every bucket is there in full length.
 * @throws ScionError `input` for no packed data, another T or another tokenizer; `format` for a damaged manifest or a bucket that is cut.
 */
export async function openPacked(files: HostFiles, dir: string, expect: PackedExpectation = {}): Promise<PackedFolder> {
  const manifest = await readPackedManifest(files, dir);
  if (expect.T !== undefined && expect.T !== manifest.T) {
    throw new ScionError(
      'input',
      `${dir} holds packs of ${manifest.T} tokens, ${expect.T} were asked for; build it again with that length, or train with ${manifest.T}`,
      {
        T: manifest.T,
        asked: expect.T,
      },
    );
  }
  if (expect.tokenizer !== undefined && expect.tokenizer !== manifest.tokenizer) {
    throw new ScionError(
      'input',
      `${dir} was packed with another tokenizer (${manifest.tokenizer.slice(0, 12)}…) than the one in use (${expect.tokenizer.slice(0, 12)}…): its ids mean other pieces; use the tokenizer beside it, or build the data again`,
      { packed: manifest.tokenizer, inUse: expect.tokenizer },
    );
  }
  if (expect.vocabSize !== undefined && expect.vocabSize < manifest.vocabSize) {
    throw new ScionError(
      'input',
      `${dir} has ids of a vocabulary of ${manifest.vocabSize}, the model has ${expect.vocabSize} rows; they do not belong together`,
      {
        vocabSize: manifest.vocabSize,
      },
    );
  }
  for (const { file, bytes } of manifest.buckets) {
    const path = joinPath(dir, file);
    const stat = await files.stat(path);
    if (stat === null) throw new ScionError('format', `${path} is missing, though the manifest lists it; build the data again`, { path });
    if (stat.size !== bytes) {
      throw new ScionError('format', `${path} has ${stat.size} bytes, the manifest says ${bytes}; the file is cut or damaged: build the data again`, {
        path,
        bytes,
        found: stat.size,
      });
    }
  }
  return new PackedFolder(files, dir, manifest);
}
