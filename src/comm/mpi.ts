/**
 * Ranks as processes of an MPI job: `mpiexec`, `srun` and their like start them, end them all when one dies, and carry the bytes. Calls that return at once,
 * tested from the event loop: MPI moves large messages only inside its calls, so tests come thick while anything moved lately and thin out while a rank only
 * waits (others need the core to compute). A ring of heartbeats tells a stuck rank: each rank listens to the one before it and, when that one falls silent,
 * names it and ends the job.
 */
import { ScionError } from '../base/errors.ts';
import type { Host } from '../host/index.ts';
import { type MpiLibrary, type MpiSlot, openMpi } from './mpi-library.ts';
import { type Carrier, KEY_LIMIT, lengthError, worldTransport } from './pairs.ts';
import { nextTurn } from './turn.ts';
import type { Transport } from './types.ts';

/** Bytes of one MPI message: counts are 32-bit. Messages of one pair and tag keep their order, so longer ones go in pieces. */
const MOST_BYTES = 1 << 30;
/**
 * After the last progress tests follow each other for EAGER_MS and for as long as the outstanding bytes would take at EAGER_RATE (bytes a millisecond), where every rank
 * of this machine has a core: MPI moves long messages piece by piece, in tests of both ends. Then LAZY_TEST_MS of tests between pauses of LAZY_MS.
 */
const EAGER_MS = 2;
const EAGER_RATE = 200_000;
const LAZY_MS = 1;
const LAZY_TEST_MS = 0.2;
/** What launchers call the number of ranks on this machine. */
const LOCAL_SIZE_VARIABLES = ['OMPI_COMM_WORLD_LOCAL_SIZE', 'MPI_LOCALNRANKS'];
/** Ranks on this machine, where the launcher says so. */
export function ranksHere(host: Host): number | undefined {
  const said = LOCAL_SIZE_VARIABLES.map((name) => host.env(name)).find((value) => value !== undefined);
  return said === undefined ? undefined : Number(said);
}

const BEAT_KEY = KEY_LIMIT - 1;
const BEAT_MS = 1000;
/** The byte of the last beat. */
const LEAVING = 1;

export interface MpiOptions {
  /** Silence after which the rank before this one counts as stuck, in milliseconds. */
  readonly silenceMs?: number;
  /** What is said before the job is ended for a stuck rank; the process does not live to say more. */
  readonly onStuck?: (error: ScionError) => void;
}

interface Pending {
  readonly slot: MpiSlot;
  /** Referenced while MPI has its address. */
  readonly bytes: Uint8Array;
  readonly receives: boolean;
  readonly done: (count: number) => void;
  readonly fail: (error: unknown) => void;
}

class MpiCarrier implements Carrier {
  readonly kind = 'mpi';
  readonly rank: number;
  readonly size: number;
  readonly #library: MpiLibrary;
  readonly #host: Host;
  /** True where every rank of this machine has a core of its own. */
  readonly #ownCores: boolean;
  #pending: Pending[] = [];
  #polling = false;
  #closed = false;
  #leave: () => Promise<void> = async () => {};

  constructor(library: MpiLibrary, host: Host, { silenceMs = 45_000, onStuck = () => {} }: MpiOptions) {
    this.#library = library;
    this.#host = host;
    this.rank = library.rank;
    this.size = library.size;
    this.#ownCores = (ranksHere(host) ?? this.size) <= host.cores;
    if (this.size > 1) this.#watch(silenceMs, onStuck);
  }

  /** Beats towards the next rank and listens to the one before. These requests are not among the pending ones: waiting for a beat is no reason to poll. */
  #watch(silenceMs: number, onStuck: (error: ScionError) => void): void {
    const { rank, size } = this;
    const library = this.#library;
    const next = (rank + 1) % size;
    const before = (rank + size - 1) % size;
    const said = new Uint8Array(1);
    const heard = new Uint8Array(1);
    let beating = library.isend(next, BEAT_KEY, said);
    let listening: MpiSlot | null = library.irecv(before, BEAT_KEY, heard);
    let at = this.#host.now();
    let last = at;
    /** Takes all beats that came; the last one of a rank that leaves says so. */
    const listen = (): void => {
      while (listening !== null && library.test(listening, true) >= 0) {
        at = this.#host.now();
        listening = heard[0] === LEAVING ? null : library.irecv(before, BEAT_KEY, heard);
      }
    };
    const timer = setInterval(() => {
      const now = this.#host.now();
      // Time in which this very process was stopped is nobody else's silence.
      if (now - last > 10 * BEAT_MS) at = now;
      last = now;
      if (library.test(beating, false) >= 0) beating = library.isend(next, BEAT_KEY, said);
      listen();
      if (listening === null || now - at <= silenceMs) return;
      const seconds = Math.round((now - at) / 1000);
      onStuck(new ScionError('lost', `rank ${before} of ${size} is stuck: no sign of life for ${seconds} s; the job is ended`, { rank: before, seconds }));
      library.abort(1);
    }, BEAT_MS);
    this.#leave = async () => {
      clearInterval(timer);
      // MPI wants every request complete before its end, so the ring of beats is taken down in order.
      while (library.test(beating, false) < 0) await nextTurn();
      said[0] = LEAVING;
      beating = library.isend(next, BEAT_KEY, said);
      for (listen(); listening !== null; listen()) await nextTurn();
      while (library.test(beating, false) < 0) await nextTurn();
    };
  }

  #begin(slot: MpiSlot, bytes: Uint8Array, receives: boolean): Promise<number> {
    const count = new Promise<number>((done, fail) => this.#pending.push({ slot, bytes, receives, done, fail }));
    if (!this.#polling) {
      this.#polling = true;
      queueMicrotask(() => void this.#poll());
    }
    return count;
  }

  async #poll(): Promise<void> {
    const { now } = this.#host;
    let last = now();
    while (this.#pending.length > 0 && !this.#closed) {
      const bytes = this.#ownCores ? this.#pending.reduce((sum, pending) => sum + pending.bytes.length, 0) : 0;
      if (this.#testAll()) last = now();
      else if (now() - last > EAGER_MS + bytes / EAGER_RATE) {
        await this.#host.sleep(LAZY_MS);
        for (const start = now(); now() - start < LAZY_TEST_MS; ) if (this.#testAll()) last = now();
        continue;
      }
      await nextTurn();
    }
    this.#polling = false;
  }

  /** True if any request is complete. */
  #testAll(): boolean {
    const before = this.#pending;
    const left: Pending[] = [];
    this.#pending = left;
    for (const pending of before) {
      try {
        const count = this.#library.test(pending.slot, pending.receives);
        if (count < 0) left.push(pending);
        else pending.done(count);
      } catch (error) {
        pending.fail(error);
      }
    }
    return left.length < before.length;
  }

  async put(to: number, key: number, bytes: Uint8Array): Promise<void> {
    const pieces = [];
    for (let at = 0; at === 0 || at < bytes.length; at += MOST_BYTES) {
      const piece = bytes.subarray(at, at + MOST_BYTES);
      pieces.push(this.#begin(this.#library.isend(to, key, piece), piece, false));
    }
    await Promise.all(pieces);
  }

  async take(from: number, key: number, bytes: Uint8Array): Promise<void> {
    const pieces = [];
    for (let at = 0; at === 0 || at < bytes.length; at += MOST_BYTES) {
      const piece = bytes.subarray(at, at + MOST_BYTES);
      pieces.push(this.#begin(this.#library.irecv(from, key, piece), piece, true));
    }
    const came = (await Promise.all(pieces)).reduce((a, b) => a + b, 0);
    if (came !== bytes.length) throw lengthError(this.rank, from, key, came, bytes.length);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#leave();
    this.#closed = true;
    this.#library.finalize();
  }
}

/** This process's transport in the MPI job that it belongs to. Once a process, on its main thread. */
export async function mpiTransport(host: Host, options: MpiOptions = {}): Promise<Transport & { readonly library: string }> {
  const library = await openMpi(host);
  return Object.assign(worldTransport(new MpiCarrier(library, host, options)), { library: library.version.split('\n')[0] });
}
