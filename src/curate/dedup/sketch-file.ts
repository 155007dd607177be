/**
 * Sketch files: what is known of the documents of one shard, as little-endian 32-bit words. Records (a hash, then where
 * it was found) stand in sections, one for each kind of hash, ordered by the top byte of their hash. So all records of a
 * range of hashes can be read from all shards without reading the rest, and deciding needs the memory of one range,
 * whatever the size of the input.
 */
import { ScionError } from '../../base/errors.ts';
import type { FileReader, HostFiles } from '../../host/types.ts';

const MAGIC = 0x4b534344;
const VERSION = 1;
const HEADER = 4;
const FILED = 3;
const RANGES = 256;
/** Words a document: byte offset, bytes, units, start of its id, rank (two words of a double). */
export const FACT_WORDS = 6;
/** Records that are read at once, about. */
export const PART_RECORDS = 2 ** 16;

/** Records of `width` words, the first of which is the top of their hash, the last the document's index in its shard. */
export class Records {
  count = 0;
  readonly width: number;
  words: Uint32Array;

  constructor(width: number) {
    this.width = width;
    this.words = new Uint32Array(width * 256);
  }

  /** Room for one more; gives the place of its first word. */
  add(): number {
    const at = this.count++ * this.width;
    if (at + this.width > this.words.length) {
      const larger = new Uint32Array(2 * this.words.length);
      larger.set(this.words);
      this.words = larger;
    }
    return at;
  }
}

/** What a shard's sketch holds, before it is written. */
export interface Sketch {
  readonly documents: number;
  /** FACT_WORDS a document. */
  readonly facts: Uint32Array;
  /** UTF-8 of all ids, one behind the other. */
  readonly ids: Uint8Array;
  readonly sections: readonly Records[];
}

/** The bytes of a sketch file; in the space of `room` if they fit there, which its caller then may not use until it is done with them. */
export function sketchBytes({ documents, facts, ids, sections }: Sketch, room = new Uint8Array()): Uint8Array<ArrayBuffer> {
  const filed = HEADER + FILED * sections.length;
  const factsAt = filed;
  let words = filed + documents * FACT_WORDS + 1;
  const starts = sections.map((section) => {
    const at = words;
    words += RANGES + 1 + section.count * section.width;
    return at;
  });
  const idsAt = words * 4;
  const size = idsAt + Math.ceil(ids.length / 4) * 4;
  const bytes = room.length < size ? new Uint8Array(size) : room.subarray(0, size).fill(0);
  const out = new Uint32Array(bytes.buffer, bytes.byteOffset, size / 4);
  out.set([MAGIC, VERSION, documents, sections.length]);
  out.set(facts.subarray(0, documents * FACT_WORDS), factsAt);
  out[factsAt + documents * FACT_WORDS] = ids.length;
  sections.forEach((section, s) => {
    const at = starts[s];
    const { width, count, words: from } = section;
    out.set([width, count, at], HEADER + FILED * s);
    const index = out.subarray(at, at + RANGES + 1);
    for (let i = 0; i < count; i++) index[(from[i * width] >>> 24) + 1]++;
    for (let r = 0; r < RANGES; r++) index[r + 1] += index[r];
    const next = index.slice();
    for (let i = 0; i < count; i++) {
      const to = at + RANGES + 1 + next[from[i * width] >>> 24]++ * width;
      for (let w = 0; w < width; w++) out[to + w] = from[i * width + w];
    }
  });
  bytes.set(ids, idsAt);
  return bytes;
}

/** A file of words, opened for a few reads. */
async function words(reader: FileReader, at: number, count: number): Promise<Uint32Array<ArrayBuffer>> {
  const bytes = await reader.read(4 * at, 4 * count);
  if (bytes.length !== 4 * count)
    throw new ScionError('format', `a sketch file ends after ${reader.size} bytes; delete the work folder and run again`, { at, count });
  return new Uint32Array(bytes.byteOffset % 4 === 0 ? bytes.buffer : bytes.slice().buffer, bytes.byteOffset % 4 === 0 ? bytes.byteOffset : 0, count);
}

async function header(reader: FileReader): Promise<{ documents: number; filed: Uint32Array }> {
  const first = await words(reader, 0, HEADER);
  if (first[0] !== MAGIC || first[1] !== VERSION) {
    throw new ScionError('format', 'a sketch file has another form than this version writes; delete the work folder and run again', { magic: first[0] });
  }
  return { documents: first[2], filed: await words(reader, HEADER, FILED * first[3]) };
}

async function withFile<T>(files: HostFiles, path: string, work: (reader: FileReader) => Promise<T>): Promise<T> {
  const reader = await files.open(path);
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}

/** Documents of a sketch file, or null where there is none. */
export async function sketchedDocuments(files: HostFiles, path: string): Promise<number | null> {
  if ((await files.stat(path)) === null) return null;
  return withFile(files, path, async (reader) => (await header(reader)).documents);
}

/** Facts on the documents of a shard. */
export class Facts {
  readonly documents: number;
  readonly #words: Uint32Array;
  readonly #doubles: DataView;
  readonly #reader: FileReader;
  readonly #idsAt: number;

  private constructor(documents: number, facts: Uint32Array<ArrayBuffer>, reader: FileReader, idsAt: number) {
    this.documents = documents;
    this.#words = facts;
    this.#doubles = new DataView(facts.buffer, facts.byteOffset, facts.byteLength);
    this.#reader = reader;
    this.#idsAt = idsAt;
  }

  /** Of an open sketch file, which must stay open while ids are asked. */
  static async read(reader: FileReader): Promise<Facts> {
    const { documents, filed } = await header(reader);
    let end = HEADER + filed.length + documents * FACT_WORDS + 1;
    for (let s = 0; s < filed.length; s += FILED) end = filed[s + 2] + RANGES + 1 + filed[s] * filed[s + 1];
    return new Facts(documents, await words(reader, HEADER + filed.length, documents * FACT_WORDS + 1), reader, 4 * end);
  }

  /** Where the document's line stands in its shard. */
  place(index: number): { offset: number; bytes: number } {
    return { offset: this.#words[index * FACT_WORDS], bytes: this.#words[index * FACT_WORDS + 1] };
  }

  units(index: number): number {
    return this.#words[index * FACT_WORDS + 2];
  }

  /** By this the document that stays is chosen: the highest. */
  rank(index: number): number {
    return this.#doubles.getFloat64(4 * (index * FACT_WORDS + 4), true);
  }

  async id(index: number): Promise<string> {
    const start = this.#words[index * FACT_WORDS + 3];
    const end = index + 1 < this.documents ? this.#words[(index + 1) * FACT_WORDS + 3] : this.#words[this.documents * FACT_WORDS];
    return new TextDecoder().decode(await this.#reader.read(this.#idsAt + start, end - start));
  }
}

/** Facts of every shard in turn. */
export async function eachFacts(files: HostFiles, paths: readonly string[], use: (facts: Facts, shard: number) => void): Promise<void> {
  for (let shard = 0; shard < paths.length; shard++) {
    await withFile(files, paths[shard], async (reader) => use(await Facts.read(reader), shard));
  }
}

/** Records of one range of hashes from all shards; the last word of each is the document's number over all shards. */
export interface Part {
  readonly width: number;
  readonly count: number;
  readonly words: Uint32Array;
}

/** A section of all sketch files, range after range of the hash. `bases[s]`: number of the first document of shard s. */
export async function* parts(files: HostFiles, paths: readonly string[], bases: ArrayLike<number>, section: number): AsyncGenerator<Part> {
  const indexes = new Uint32Array(paths.length * (RANGES + 1));
  const starts = new Float64Array(paths.length);
  let width = 0;
  for (let s = 0; s < paths.length; s++) {
    await withFile(files, paths[s], async (reader) => {
      const { filed } = await header(reader);
      width = filed[FILED * section];
      starts[s] = filed[FILED * section + 2] + RANGES + 1;
      indexes.set(await words(reader, starts[s] - RANGES - 1, RANGES + 1), s * (RANGES + 1));
    });
  }
  const before = (range: number): number => {
    let sum = 0;
    for (let s = 0; s < paths.length; s++) sum += indexes[s * (RANGES + 1) + range];
    return sum;
  };
  for (let from = 0; from < RANGES; ) {
    let to = from + 1;
    const first = before(from);
    while (to < RANGES && before(to + 1) - first <= PART_RECORDS) to++;
    const count = before(to) - first;
    const out = new Uint32Array(count * width);
    let at = 0;
    for (let s = 0; s < paths.length && count > 0; s++) {
      const low = indexes[s * (RANGES + 1) + from];
      const many = (indexes[s * (RANGES + 1) + to] - low) * width;
      if (many === 0) continue;
      const found = await withFile(files, paths[s], (reader) => words(reader, starts[s] + low * width, many));
      for (let i = width - 1; i < many; i += width) found[i] += bases[s];
      out.set(found, at);
      at += many;
    }
    if (count > 0) yield { width, count, words: out };
    from = to;
  }
}

/** Groups of two and more records whose first `key` words are equal, in the order of their first record; the numbers of the records, ascending. */
export function* groups({ width, count, words: all }: Part, key: number): Generator<number[]> {
  let size = 1024;
  while (size < 2 * count) size *= 2;
  // Open addressing: a place holds the first record of its key (from 1), `next` leads on to the others.
  const table = new Uint32Array(size);
  const next = new Uint32Array(count + 1);
  const last = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) {
    let place = (all[i * width + 1] ^ Math.imul(all[i * width], 0x9e3779b1)) & (size - 1);
    for (; ; place = (place + 1) & (size - 1)) {
      const head = table[place];
      if (head === 0) {
        table[place] = i + 1;
        last[i + 1] = i + 1;
        break;
      }
      let k = 0;
      while (k < key && all[(head - 1) * width + k] === all[i * width + k]) k++;
      if (k === key) {
        next[last[head]] = i + 1;
        last[head] = i + 1;
        break;
      }
    }
  }
  for (let head = 1; head <= count; head++) {
    if (last[head] === 0 || last[head] === head) continue;
    const group: number[] = [];
    for (let i = head; i !== 0; i = next[i]) group.push(i - 1);
    yield group;
  }
}
