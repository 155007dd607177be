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
/** MAGIC, VERSION, documents, sections, byte offset of the ids. */
const HEADER = 5;
const FILED = 3;
const RANGES = 256;
/** Words a document: byte offset, bytes, units, start of its id, rank (two words of a double). */
export const FACT_WORDS = 6;
/** Records that are read at once, about. */
export const PART_RECORDS = 2 ** 15;

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
  out.set([MAGIC, VERSION, documents, sections.length, idsAt]);
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

/** The words in front of the facts. */
async function header(reader: FileReader): Promise<{ documents: number; sections: number; idsAt: number }> {
  const [magic, version, documents, sections, idsAt] = await words(reader, 0, HEADER);
  if (magic !== MAGIC || version !== VERSION) {
    throw new ScionError('format', 'a sketch file has another form than this version writes; delete the work folder and run again', { magic, version });
  }
  return { documents, sections, idsAt };
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

  private constructor(documents: number, facts: Uint32Array<ArrayBuffer>) {
    this.documents = documents;
    this.#words = facts;
    this.#doubles = new DataView(facts.buffer, facts.byteOffset, facts.byteLength);
  }

  static async read(reader: FileReader): Promise<Facts> {
    const { documents, sections } = await header(reader);
    return new Facts(documents, await words(reader, HEADER + FILED * sections, documents * FACT_WORDS));
  }

  static async of(files: HostFiles, path: string): Promise<Facts> {
    return withFile(files, path, (reader) => Facts.read(reader));
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
}

/** Ids of some documents of a shard, in small reads. */
export async function idsOf(files: HostFiles, path: string, indexes: readonly number[]): Promise<string[]> {
  return withFile(files, path, async (reader) => {
    const { documents, sections, idsAt } = await header(reader);
    const ids: string[] = [];
    for (const index of indexes) {
      // Behind the last document's facts stands the end of its id, where the next one's would start.
      const last = index + 1 === documents;
      const row = await words(reader, HEADER + FILED * sections + index * FACT_WORDS, FACT_WORDS + (last ? 1 : 4));
      const end = row[last ? FACT_WORDS : FACT_WORDS + 3];
      ids.push(new TextDecoder().decode(await reader.read(idsAt + row[3], end - row[3])));
    }
    return ids;
  });
}

/** Records of one range of hashes from all shards; the last word of each is the document's number over all shards. The words are used again for the next part. */
export interface Part {
  readonly width: number;
  readonly count: number;
  readonly words: Uint32Array;
}

/** Sketch files that are open at once while a section is read; of more, each is opened for each read. */
const OPEN_FILES = 256;

/** A run of ranges: first, and behind the last. */
export type Run = readonly [from: number, to: number];

/** One section of some sketch files, while it is read. */
export class Section {
  /** Words a record; 0 where there are no files. */
  readonly width: number;
  readonly #files: HostFiles;
  readonly #paths: readonly string[];
  readonly #open: FileReader[];
  readonly #starts: Float64Array;
  /** Records of each file before each range. */
  readonly #indexes: Uint32Array;

  private constructor(files: HostFiles, paths: readonly string[], open: FileReader[], found: { width: number; starts: Float64Array; indexes: Uint32Array }) {
    this.#files = files;
    this.#paths = paths;
    this.#open = open;
    this.width = found.width;
    this.#starts = found.starts;
    this.#indexes = found.indexes;
  }

  /** `filed`: the filed words of each file, kept from section to section. */
  static async open(files: HostFiles, paths: readonly string[], section: number, filed: Uint32Array[] = []): Promise<Section> {
    const open: FileReader[] = [];
    const found = { width: 0, starts: new Float64Array(paths.length), indexes: new Uint32Array(paths.length * (RANGES + 1)) };
    const opened = (): Section => new Section(files, paths, open, found);
    try {
      for (let s = 0; s < paths.length; s++) {
        if (paths.length <= OPEN_FILES) open.push(await files.open(paths[s]));
        await opened().#use(s, async (reader) => {
          filed[s] ??= await words(reader, HEADER, FILED * (await header(reader)).sections);
          found.width = filed[s][FILED * section];
          found.starts[s] = filed[s][FILED * section + 2] + RANGES + 1;
          found.indexes.set(await words(reader, found.starts[s] - RANGES - 1, RANGES + 1), s * (RANGES + 1));
        });
      }
      return opened();
    } catch (error) {
      await opened().close();
      throw error;
    }
  }

  #use<T>(s: number, work: (reader: FileReader) => Promise<T>): Promise<T> {
    return this.#open.length > s ? work(this.#open[s]) : withFile(this.#files, this.#paths[s], work);
  }

  /** Records of a file in a run of ranges. */
  count(s: number, [from, to]: Run): number {
    return this.#indexes[s * (RANGES + 1) + to] - this.#indexes[s * (RANGES + 1) + from];
  }

  /** These records, documents numbered from `base` on. */
  async read(s: number, run: Run, base: number): Promise<Uint32Array> {
    const many = this.count(s, run) * this.width;
    if (many === 0) return new Uint32Array();
    const low = this.#indexes[s * (RANGES + 1) + run[0]];
    const found = await this.#use(s, (reader) => words(reader, this.#starts[s] + low * this.width, many));
    for (let i = this.width - 1; i < many; i += this.width) found[i] += base;
    return found;
  }

  /** Runs of about PART_RECORDS records; those of none are left out. */
  runs(): Run[] {
    const before = new Float64Array(RANGES + 1);
    for (let i = 0; i < this.#indexes.length; i++) before[i % (RANGES + 1)] += this.#indexes[i];
    const runs: Run[] = [];
    for (let from = 0; from < RANGES; ) {
      let to = from + 1;
      while (to < RANGES && before[to + 1] - before[from] <= PART_RECORDS) to++;
      if (before[to] > before[from]) runs.push([from, to]);
      from = to;
    }
    return runs;
  }

  async close(): Promise<void> {
    for (const reader of this.#open.splice(0)) await reader.close();
  }
}

/** Who else reads sections: gives the parts of runs without records that share their hash with none. */
export interface SectionSource {
  parts(section: number, width: number, runs: readonly Run[], count: (shard: number, run: Run) => number): AsyncGenerator<Part>;
}

/** The sketches of all shards. */
export class Sketches {
  readonly #files: HostFiles;
  readonly #paths: readonly string[];
  readonly #source: SectionSource | undefined;
  /** The filed words of each, read once: where its sections stand. */
  readonly #filed: Uint32Array[] = [];

  constructor(files: HostFiles, paths: readonly string[], source?: SectionSource) {
    this.#files = files;
    this.#paths = paths;
    this.#source = source;
  }

  /** Facts of every shard in turn. */
  async eachFacts(use: (facts: Facts, shard: number) => void): Promise<void> {
    for (let shard = 0; shard < this.#paths.length; shard++) {
      await withFile(this.#files, this.#paths[shard], async (reader) => use(await Facts.read(reader), shard));
    }
  }

  /** A section, range after range of the hash. `bases[s]`: number of the first document of shard s. */
  async *parts(section: number, bases: ArrayLike<number>): AsyncGenerator<Part> {
    const opened = await Section.open(this.#files, this.#paths, section, this.#filed);
    const { width } = opened;
    try {
      const runs = opened.runs();
      if (this.#source) {
        yield* this.#source.parts(section, width, runs, (shard, run) => opened.count(shard, run));
        return;
      }
      let out = new Uint32Array();
      for (const run of runs) {
        let count = 0;
        for (let s = 0; s < this.#paths.length; s++) count += opened.count(s, run);
        if (out.length < count * width) out = new Uint32Array(count * width);
        let at = 0;
        for (let s = 0; s < this.#paths.length; s++) {
          const found = await opened.read(s, run, bases[s]);
          out.set(found, at);
          at += found.length;
        }
        yield { width, count, words: out };
      }
    } finally {
      await opened.close();
    }
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
