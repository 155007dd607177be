/**
 * Collective moves made of messages between pairs. Every transport is this one class over a carrier that brings only `put` and `take`, so what
 * is tested on one is tested on all. Exchanges are direct (each rank to each other at once): the bytes on the wire are the least there can be,
 * at the price of size - 1 messages a rank, which is what all-to-all costs anyway. A group that was split off shares its world's carrier and
 * tells its messages from others' by a number in their key, which costs no call that blocks.
 */
import { invariant, ScionError } from '../base/errors.ts';
import type { SharedHeap } from './shared.ts';
import { type Meeting, TAG_LIMIT, type Transport } from './types.ts';

/** Messages between pairs of a world. Those of one pair and one key keep their order; other keys may overtake. Never to the rank itself. */
export interface Carrier {
  readonly kind: Transport['kind'];
  /** This rank's number in the world. */
  readonly rank: number;
  readonly size: number;
  /** Sends one message; resolves when `bytes` may be written again. Keys are below KEY_LIMIT. */
  put(to: number, key: number, bytes: Uint8Array): Promise<void>;
  /** Fills `bytes` with the next message of this pair and key; a `lengthError` if it is not exactly as long. */
  take(from: number, key: number, bytes: Uint8Array): Promise<void>;
  /** Memory that all ranks see, where there is such. */
  readonly heap?: SharedHeap;
  close(): Promise<void>;
}

/** Keys of one context: those of `send`, then those of collective calls. */
const KEYS = 2 * TAG_LIMIT;
/** Keys end here: MPI's tags do, in MPICH. */
export const KEY_LIMIT = 2 ** 28;
/** Groups that a world may have, at once or one after another. The last one's keys are left to carriers. */
const MAX_CONTEXTS = KEY_LIMIT / KEYS - 1;

/** Contexts that this rank has seen in a world; shared by all groups of it. */
interface Contexts {
  next: number;
}

/** What a transport and its views for operations share. */
interface Counters {
  turn: number;
  sent: number;
}

class PairTransport implements Transport {
  readonly rank: number;
  readonly size: number;
  readonly kind: Transport['kind'];
  readonly #carrier: Carrier;
  /** World numbers of the ranks. */
  readonly #members: readonly number[];
  readonly #context: number;
  readonly #contexts: Contexts;
  readonly #counters: Counters;
  /** The one tag of a view for an operation. */
  readonly #tag: number | null;

  constructor(carrier: Carrier, members: readonly number[], context: number, contexts: Contexts, counters = { turn: 0, sent: 0 }, tag: number | null = null) {
    this.#carrier = carrier;
    this.#members = members;
    this.#context = context;
    this.#contexts = contexts;
    this.#counters = counters;
    this.#tag = tag;
    this.kind = carrier.kind;
    this.size = members.length;
    this.rank = members.indexOf(carrier.rank);
    invariant(this.rank >= 0, `rank ${carrier.rank} is not among the ranks it is grouped with`);
  }

  get bytesSent(): number {
    return this.#counters.sent;
  }

  operation(): Transport {
    return new PairTransport(this.#carrier, this.#members, this.#context, this.#contexts, this.#counters, this.#collectiveTag());
  }

  /** Collective calls begin in the same order everywhere, so a count of them is a tag that all ranks agree on. */
  #collectiveTag(): number {
    if (this.#tag !== null) return this.#tag;
    this.#counters.turn = (this.#counters.turn + 1) % TAG_LIMIT;
    return TAG_LIMIT + this.#counters.turn;
  }

  #put(to: number, tag: number, bytes: Uint8Array): Promise<void> {
    this.#counters.sent += bytes.byteLength;
    return this.#carrier.put(this.#members[to], this.#context * KEYS + tag, bytes);
  }

  #take(from: number, tag: number, bytes: Uint8Array): Promise<void> {
    return this.#carrier.take(this.#members[from], this.#context * KEYS + tag, bytes);
  }

  stage(count: number): Float32Array {
    return this.#carrier.heap?.stage(count) ?? new Float32Array(count);
  }

  async meet(values: Float32Array): Promise<Meeting | null> {
    const { heap } = this.#carrier;
    if (heap === undefined) return null;
    const tag = this.#collectiveTag();
    const places = Array.from({ length: this.size }, () => new Float64Array(2));
    places[this.rank].set([heap.locate(values), values.length]);
    const bytes = (words: Float64Array): Uint8Array => new Uint8Array(words.buffer);
    // Where things lie is no payload, so it goes uncounted.
    const others = this.#members.map((member, rank) => ({ member, rank })).filter(({ rank }) => rank !== this.rank);
    await Promise.all([
      ...others.map(({ member, rank }) => this.#carrier.take(member, this.#context * KEYS + tag, bytes(places[rank]))),
      ...others.map(({ member }) => this.#carrier.put(member, this.#context * KEYS + tag, bytes(places[this.rank]))),
    ]);
    const other = places.findIndex(([, length]) => length !== values.length);
    if (other >= 0) throw lengthError(this.rank, this.#members[other], tag, 4 * places[other][1], 4 * values.length);
    if (places.some(([from]) => from < 0)) return null;
    return {
      views: places.map(([from], rank) => (rank === this.rank ? values : heap.view(from, values.length))),
      sum: (first, end, ranks) => {
        const at = places.map(([from]) => from + 4 * first);
        heap.sum(
          at,
          ranks.map((rank) => at[rank]),
          end - first,
        );
      },
      count: (sent) => {
        this.#counters.sent += sent;
      },
    };
  }

  #checkPeer(what: string, peer: number, tag: number): void {
    if (!Number.isInteger(peer) || peer < 0 || peer >= this.size || peer === this.rank) {
      throw new ScionError('usage', `${what} ${peer} on rank ${this.rank} of ${this.size}: name another rank, 0 to ${this.size - 1}`, { peer });
    }
    if (!Number.isInteger(tag) || tag < 0 || tag >= TAG_LIMIT) {
      throw new ScionError('usage', `tag ${tag}: a whole number from 0 to ${TAG_LIMIT - 1}`, { tag });
    }
  }

  async send(to: number, tag: number, bytes: Uint8Array): Promise<void> {
    this.#checkPeer('send to', to, tag);
    await this.#put(to, this.#tag ?? tag, bytes);
  }

  async recv(from: number, tag: number, bytes: Uint8Array): Promise<void> {
    this.#checkPeer('recv from', from, tag);
    await this.#take(from, this.#tag ?? tag, bytes);
  }

  async allToAll(send: readonly Uint8Array[], recv: readonly Uint8Array[]): Promise<void> {
    const { rank, size } = this;
    invariant(send.length === size && recv.length === size, `all-to-all over ${size} ranks got ${send.length} and ${recv.length} buffers`);
    invariant(send[rank].length === recv[rank].length, `rank ${rank} sends itself ${send[rank].length} bytes and expects ${recv[rank].length}`);
    const tag = this.#collectiveTag();
    const moves: Promise<void>[] = [];
    for (let step = 1; step < size; step++) moves.push(this.#take((rank + size - step) % size, tag, recv[(rank + size - step) % size]));
    // Everybody starts with the rank after its own, so that no rank is everybody's first.
    for (let step = 1; step < size; step++) moves.push(this.#put((rank + step) % size, tag, send[(rank + step) % size]));
    recv[rank].set(send[rank]);
    await Promise.all(moves);
  }

  async allGather(send: Uint8Array, recv: readonly Uint8Array[]): Promise<void> {
    await this.allToAll(
      recv.map(() => send),
      recv,
    );
  }

  /** Dissemination (Hensgen, Finkel and Manber 1988): in round k each rank tells the one 2^k ahead; after log2(size) rounds all have heard of all. */
  async barrier(): Promise<void> {
    const { rank, size } = this;
    const tag = this.#collectiveTag();
    const nothing = new Uint8Array(0);
    for (let ahead = 1; ahead < size; ahead *= 2) {
      await Promise.all([this.#put((rank + ahead) % size, tag, nothing), this.#take((rank + size - ahead) % size, tag, nothing)]);
    }
  }

  async split(color: number, key: number): Promise<Transport> {
    const all = Array.from({ length: this.size }, () => new Int32Array(3));
    const bytes = (words: Int32Array): Uint8Array => new Uint8Array(words.buffer);
    await this.allGather(bytes(Int32Array.of(color, key, this.#contexts.next)), all.map(bytes));
    // Members of other groups may have been split before: the first number that none of them has used.
    const context = Math.max(...all.map(([, , next]) => next));
    if (context >= MAX_CONTEXTS) throw new ScionError('usage', `more than ${MAX_CONTEXTS - 1} groups of ranks: keep and use those that were split off`);
    this.#contexts.next = context + 1;
    const group = all.map(([c, k], rank) => ({ c, k, rank })).filter(({ c }) => c === color);
    group.sort((a, b) => a.k - b.k || a.rank - b.rank);
    return new PairTransport(
      this.#carrier,
      group.map(({ rank }) => this.#members[rank]),
      context,
      this.#contexts,
    );
  }

  async close(): Promise<void> {
    if (this.#context !== 0) return;
    // Nobody goes while others still have something to say to it.
    await this.barrier();
    await this.#carrier.close();
  }
}

/** The transport of a whole world over its carrier. */
export function worldTransport(carrier: Carrier): Transport {
  const members = Array.from({ length: carrier.size }, (_, rank) => rank);
  return new PairTransport(carrier, members, 0, { next: 1 });
}

/** The error of two ranks that disagree on the length of a message. */
export function lengthError(rank: number, from: number, key: number, came: number, asked: number): ScionError {
  const details = { rank, from, tag: key % KEYS, came, asked };
  return new ScionError('internal', `rank ${rank} expected ${asked} bytes from rank ${from} and ${came} came: the ranks do not run the same plan`, details);
}
