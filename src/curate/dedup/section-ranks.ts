/**
 * Signatures of documents among ranks: every rank reads the records of its own stretch of shards and sends them by all-to-all, range of hashes by range of
 * hashes, to the rank that looks for equal ones there. Only records that share their hash go on to the first rank, which decides. Ranges, their bounds and
 * the order of records are those of one process, so its decisions are too.
 */
import { invariant } from '../../base/errors.ts';
import { receiveMessage, sendMessage } from '../../comm/message.ts';
import { TAG_LIMIT, type Transport } from '../../comm/types.ts';
import type { HostFiles } from '../../host/types.ts';
import { groups, type Part, type Run, Section } from './sketch-file.ts';

/** The tag by which the first rank tells the others what to do together. */
export const CONTROL_TAG = TAG_LIMIT - 1;
/** Words of a hash by which records are looked for; what shares them and differs behind is told apart by the first rank. */
const KEY_WORDS = 2;

/** As many runs of ranges as there are ranks, or fewer: run i is rank i's. */
export interface Window {
  readonly section: number;
  readonly width: number;
  readonly runs: readonly Run[];
  /** Records by run and rank. */
  readonly counts: readonly (readonly number[])[];
}

export type SectionCommand =
  | { readonly kind: 'sketches'; readonly paths: readonly string[]; readonly bases: Uint32Array }
  | ({ readonly kind: 'window' } & Window);

/** First shard of each rank's stretch, and of none. */
export const stretches = (shards: number, ranks: number): number[] => Array.from({ length: ranks + 1 }, (_, rank) => Math.floor((rank * shards) / ranks));

const bytesOf = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

/** The records that share their hash with another one, in their order. */
export function sharing(part: Part): Part {
  const places: number[] = [];
  for (const group of groups(part, KEY_WORDS)) places.push(...group);
  places.sort((a, b) => a - b);
  const { width } = part;
  const words = new Uint32Array(places.length * width);
  places.forEach((place, i) => {
    words.set(part.words.subarray(place * width, (place + 1) * width), i * width);
  });
  return { width, count: places.length, words };
}

/** What each rank has of a build's sketches, the first one too. */
export class SectionMember {
  readonly #files: HostFiles;
  readonly #transport: Transport;
  #paths: readonly string[] = [];
  #bases: ArrayLike<number> = [];
  #open: { readonly number: number; readonly section: Section } | null = null;

  constructor(files: HostFiles, transport: Transport) {
    this.#files = files;
    this.#transport = transport;
  }

  /** Takes this rank's stretch of the shards. */
  async sketches(paths: readonly string[], bases: Uint32Array): Promise<void> {
    await this.close();
    const { rank, size } = this.#transport;
    const from = stretches(paths.length, size);
    this.#paths = paths.slice(from[rank], from[rank + 1]);
    this.#bases = bases.subarray(from[rank], from[rank + 1]);
  }

  async #section(number: number): Promise<Section> {
    if (this.#open?.number !== number) {
      await this.close();
      this.#open = { number, section: await Section.open(this.#files, this.#paths, number) };
    }
    return this.#open.section;
  }

  /** Collective: gives what is shared in this rank's run; nothing where it has none. */
  async exchange({ section: number, width, runs, counts }: Window): Promise<Part> {
    const { rank, size } = this.#transport;
    const section = await this.#section(number);
    const send: Uint8Array[] = [];
    for (let to = 0; to < size; to++) {
      const words = new Uint32Array(to < runs.length ? counts[to][rank] * width : 0);
      let at = 0;
      for (let s = 0; to < runs.length && s < this.#paths.length; s++) {
        const found = await section.read(s, runs[to], this.#bases[s]);
        words.set(found, at);
        at += found.length;
      }
      invariant(at === words.length, `rank ${rank} has ${at} words of a run, the first rank counted ${words.length}`);
      send.push(bytesOf(words));
    }
    const own = rank < runs.length ? counts[rank] : new Array<number>(size).fill(0);
    const words = new Uint32Array(own.reduce((sum, n) => sum + n, 0) * width);
    const starts = [0];
    for (const count of own) starts.push(starts[starts.length - 1] + count * width);
    // Stretches follow each other as ranks do, so what comes is in the order of shards.
    const recv = own.map((_, from) => bytesOf(words.subarray(starts[from], starts[from + 1])));
    await this.#transport.allToAll(send, recv);
    return sharing({ width, count: words.length / width, words });
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    await open?.section.close();
  }
}

/** The first rank's way to the records of all. */
export class SectionLead {
  readonly #transport: Transport;
  readonly #own: SectionMember;
  #from: readonly number[] = [];

  constructor(files: HostFiles, transport: Transport) {
    this.#transport = transport;
    this.#own = new SectionMember(files, transport);
  }

  async #tell(command: SectionCommand): Promise<void> {
    for (let rank = 1; rank < this.#transport.size; rank++) await sendMessage(this.#transport, rank, CONTROL_TAG, command);
  }

  /** Shares out the shards. `bases[s]`: number of the first document of shard s. */
  async sketches(paths: readonly string[], bases: Uint32Array): Promise<void> {
    this.#from = stretches(paths.length, this.#transport.size);
    await this.#tell({ kind: 'sketches', paths, bases });
    await this.#own.sketches(paths, bases);
  }

  /** Parts of these runs in their order, without the records that share their hash with none. `count(shard, run)`: records of a shard in a run. */
  async *parts(section: number, width: number, runs: readonly Run[], count: (shard: number, run: Run) => number): AsyncGenerator<Part> {
    const { size } = this.#transport;
    const countOf = (rank: number, run: Run): number => {
      let sum = 0;
      for (let shard = this.#from[rank]; shard < this.#from[rank + 1]; shard++) sum += count(shard, run);
      return sum;
    };
    for (let first = 0; first < runs.length; first += size) {
      const some = runs.slice(first, first + size);
      const window = { section, width, runs: some, counts: some.map((run) => Array.from({ length: size }, (_, rank) => countOf(rank, run))) };
      await this.#tell({ kind: 'window', ...window });
      const own = await this.#own.exchange(window);
      // All of a window come before any is looked at: a reader that stops here leaves nothing on its way.
      const others: Part[] = [];
      for (let rank = 1; rank < some.length; rank++) others.push((await receiveMessage(this.#transport, rank, CONTROL_TAG)) as Part);
      for (const part of [own, ...others]) if (part.count > 0) yield part;
    }
  }

  close(): Promise<void> {
    return this.#own.close();
  }
}

/** The other ranks' answer to a command. */
export async function followSection(transport: Transport, member: SectionMember, command: SectionCommand): Promise<void> {
  if (command.kind === 'sketches') await member.sketches(command.paths, command.bases);
  else {
    const part = await member.exchange(command);
    if (transport.rank < command.runs.length) await sendMessage(transport, 0, CONTROL_TAG, part);
  }
}
