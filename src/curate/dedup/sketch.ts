/**
 * The first pass: one shard in, one sketch file out. Everything that later passes need to know of a document without
 * reading it again: where it stands, how long it is, its hash, those of its paragraphs, and its bands. One shard is in
 * memory a line at a time; the sketch of a shard is about a quarter of its size and is held until it is written.
 */
import { type Doc, docText } from '../../data/doc.ts';
import { readLines } from '../../formats/jsonl.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { TaskContext } from '../pipeline/tasks.ts';
import { bandsOf, type DedupConfig } from './config.ts';
import { MinHash } from './minhash.ts';
import { piecesOf } from './pieces.ts';
import { FACT_WORDS, Records, sketchBytes, sketchedDocuments } from './sketch-file.ts';
import { compose, hashText, Shingles, Units } from './units.ts';

export interface SketchInput {
  readonly shard: string;
  readonly out: string;
  readonly config: DedupConfig;
}

/** Sections of a sketch file. Bands follow from `BAND` on. */
export const SECTION = { document: 0, paragraph: 1, line: 2, anchor: 3, band: 4 } as const;

/** Longest line of a shard. Readers cap documents far below. */
const MAX_LINE_BYTES = 2 ** 28;

/** By what the document that stays is chosen. */
function rankOf(doc: Doc, text: string, keep: string): number {
  if (keep === 'longest') return text.length;
  if (keep === 'first') return 0;
  return doc.scores?.[keep.slice('best:'.length)] ?? -Infinity;
}

/** Sketches documents one after the other; `bytes` gives the file. */
export class Sketcher {
  readonly #config: DedupConfig;
  readonly #units = new Units();
  readonly #shingles = new Shingles();
  readonly #minhash: MinHash;
  readonly #hash = new Int32Array(4);
  readonly #encoder = new TextEncoder();
  readonly #sections: readonly Records[];
  #documents = 0;
  #facts = new Uint32Array(FACT_WORDS * 256);
  #ids = new Uint8Array(4096);
  #idBytes = 0;
  #out = new Uint8Array();

  constructor(config: DedupConfig) {
    this.#config = config;
    const { bands, rows } = bandsOf(config);
    this.#minhash = new MinHash(bands, rows, config.seed);
    this.#sections = [new Records(5), new Records(4), new Records(4), new Records(3), ...Array.from({ length: config.near ? bands : 0 }, () => new Records(3))];
  }

  /** `offset`, `bytes`: where its line stands. */
  add(doc: Doc, offset: number, bytes: number): void {
    const config = this.#config;
    const text = docText(doc);
    const composed = compose(text);
    const index = this.#documents++;
    if (config.exact !== 'off') {
      const raw = config.exact === 'text';
      const hash = hashText(raw ? text : composed, raw, this.#hash);
      const section = this.#sections[SECTION.document];
      const at = section.add();
      section.words.set(hash, at);
      section.words[at + 4] = index;
    }
    this.#units.read(composed);
    this.#fact(doc, text, index, offset, bytes);
    if (config.near || config.containment) {
      this.#shingles.read(this.#units, config);
      if (config.near && this.#shingles.count > 0) this.#bands(index);
      if (config.containment) this.#anchors(index, config.containment.every);
    }
    // Turns of a chat stay whole, and a source is not learnt: pieces are those of the target.
    if (config.paragraphs) this.#pieces(doc.target, 'paragraph', config.paragraphs.minUnits, index);
    if (config.lines) this.#pieces(doc.target, 'line', config.lines.minUnits, index);
  }

  #fact(doc: Doc, text: string, index: number, offset: number, bytes: number): void {
    const at = index * FACT_WORDS;
    if (at + FACT_WORDS >= this.#facts.length) {
      const larger = new Uint32Array(2 * this.#facts.length);
      larger.set(this.#facts);
      this.#facts = larger;
    }
    this.#facts.set([offset, bytes, this.#units.count, this.#idBytes], at);
    new DataView(this.#facts.buffer).setFloat64(4 * (at + 4), rankOf(doc, text, this.#config.keep), true);
    const id = String(doc.id);
    if (this.#idBytes + 3 * id.length > this.#ids.length) {
      const larger = new Uint8Array(2 * (this.#idBytes + 3 * id.length));
      larger.set(this.#ids);
      this.#ids = larger;
    }
    this.#idBytes += this.#encoder.encodeInto(id, this.#ids.subarray(this.#idBytes)).written;
  }

  #bands(index: number): void {
    this.#minhash.read(this.#shingles.a, this.#shingles.count);
    for (let band = 0; band < this.#minhash.bands; band++) {
      const section = this.#sections[SECTION.band + band];
      const at = section.add();
      this.#minhash.band(band, section.words, at);
      section.words[at + 2] = index;
    }
  }

  #anchors(index: number, every: number): void {
    const section = this.#sections[SECTION.anchor];
    const { a, b, count } = this.#shingles;
    const seen = new Set<number>();
    for (let i = 0; i < count; i++) {
      if ((a[i] >>> 0) % every !== 0 || seen.has(a[i])) continue;
      seen.add(a[i]);
      const at = section.add();
      section.words[at] = b[i];
      section.words[at + 1] = a[i];
      section.words[at + 2] = index;
    }
  }

  #pieces(text: string, kind: 'paragraph' | 'line', minUnits: number, index: number): void {
    const section = this.#sections[SECTION[kind]];
    const spans = piecesOf(text, kind);
    for (let p = 0; p < spans.length; p += 3) {
      // There are no more units than characters.
      if (spans[p + 1] - spans[p] < minUnits) continue;
      const piece = compose(text.slice(spans[p], spans[p + 1]));
      this.#units.read(piece);
      if (this.#units.count < minUnits) continue;
      const hash = hashText(piece, false, this.#hash);
      const at = section.add();
      section.words[at] = hash[0];
      section.words[at + 1] = hash[1];
      section.words[at + 2] = p / 3;
      section.words[at + 3] = index;
    }
  }

  /** The file of what was added, and a fresh start. The bytes hold until the next call. */
  bytes(): Uint8Array<ArrayBuffer> {
    const ids = this.#ids.subarray(0, this.#idBytes);
    const bytes = sketchBytes({ documents: this.#documents, facts: this.#facts, ids, sections: this.#sections }, this.#out);
    // A larger one gets room for a shard that is a little larger still.
    if (bytes.buffer !== this.#out.buffer) this.#out = new Uint8Array(Math.ceil(bytes.length / 2) * 3);
    this.clear();
    return bytes;
  }

  /** Forgets what was added. Arrays are kept: growing them anew for every shard would leave much garbage. */
  clear(): void {
    this.#documents = 0;
    this.#idBytes = 0;
    for (const section of this.#sections) section.count = 0;
  }
}

/** The sketcher of this worker. */
function sketcherOf(config: DedupConfig, cache: Map<string, unknown>): Sketcher {
  const key = JSON.stringify(config);
  const held = cache.get('dedup.sketcher') as { key: string; sketcher: Sketcher } | undefined;
  const sketcher = held?.key === key ? held.sketcher : new Sketcher(config);
  sketcher.clear();
  cache.set('dedup.sketcher', { key, sketcher });
  return sketcher;
}

/** The task `dedup.sketch`: gives the number of documents. A sketch that is there is not made again. */
export async function sketchTask({ shard, out, config }: SketchInput, { host, cache }: TaskContext): Promise<number> {
  const done = await sketchedDocuments(host.files, out);
  if (done !== null) return done;
  const sketcher = sketcherOf(config, cache);
  const reader = await host.files.open(shard);
  let documents = 0;
  try {
    for await (const { text, offset, next } of readLines(reader, { name: shard, maxLineBytes: MAX_LINE_BYTES })) {
      if (text === '') continue;
      sketcher.add(JSON.parse(text) as Doc, offset, next - offset);
      documents++;
    }
  } finally {
    await reader.close();
  }
  await writeWhole(host.files, out, sketcher.bytes());
  return documents;
}
