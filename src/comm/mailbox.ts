/**
 * One way between two threads: a ring of bytes in shared memory with one writer and one reader, and a counter at each end. A message is a header
 * of two words (key, length) and its bytes, padded to eight, so a header never wraps. Small rings stay in the cache of the two cores; a long
 * message flows through in pieces, so the ring's size bounds memory and never the message. Two copies a byte is the price of leaving senders free.
 */

/** Ints of the control block a rank, spread so that no two threads write one cache line (64 bytes). */
const LINE = 16;
/** Bytes copied before the other end is told: large enough to copy well, small enough that both ends work at once. */
const PIECE = 128 << 10;
const HEADER = 8;

const padded = (length: number): number => (length + 7) & ~7;

/** Where things lie in the shared memory of `size` ranks. */
export interface MailLayout {
  readonly size: number;
  /** Bytes of one ring, a power of two. */
  readonly ring: number;
}

/** Rings share 64 MiB at most, each between 64 KiB and 1 MiB. */
export function mailLayout(size: number): MailLayout {
  const share = (64 << 20) / Math.max(1, size * (size - 1));
  return { size, ring: 2 ** Math.min(20, Math.max(16, Math.floor(Math.log2(share)))) };
}

const controlInts = (size: number): number => LINE * (1 + 2 * size + 2 * size * size);

/** Bytes of shared memory that a layout takes. */
export function mailBytes({ size, ring }: MailLayout): number {
  return controlInts(size) * 4 + size * (size - 1) * ring;
}

/** Shared memory of all ranks as one of them sees it. */
export class Mailboxes {
  readonly layout: MailLayout;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly #memory: SharedArrayBuffer;

  constructor({ buffer }: WebAssembly.Memory, layout: MailLayout) {
    // Types know no shared ones here. Growing makes new buffers over the same memory; this one stays good for what lies in it.
    this.#memory = buffer as ArrayBufferLike as SharedArrayBuffer;
    this.layout = layout;
    this.control = new Int32Array(this.#memory, 0, controlInts(layout.size));
  }

  /** Index of the counter that is raised whenever something changed for this rank; what it waits on. */
  doorbell(rank: number): number {
    return LINE * rank;
  }

  /** Index of the counter that a rank raises as long as it lives. */
  beat(rank: number): number {
    return LINE * (this.layout.size + rank);
  }

  /** Index of the count of lines (64 bytes) of the shared memory that are taken; begins behind the rings. */
  get top(): number {
    const { size } = this.layout;
    return LINE * (2 * size + 2 * size * size);
  }

  /** Once, before any rank begins. */
  begin(): void {
    Atomics.store(this.control, this.top, mailBytes(this.layout) / (4 * LINE));
  }

  ring(rank: number): void {
    Atomics.add(this.control, this.doorbell(rank), 1);
    Atomics.notify(this.control, this.doorbell(rank));
  }

  #ends(from: number, to: number): { written: number; taken: number; ring: Uint8Array } {
    const { size, ring } = this.layout;
    const pair = LINE * (2 * size + 2 * (from * size + to));
    const place = from * (size - 1) + (to > from ? to - 1 : to);
    return { written: pair, taken: pair + LINE, ring: new Uint8Array(this.#memory, controlInts(size) * 4 + place * ring, ring) };
  }

  writer(from: number, to: number): MailWriter {
    return new MailWriter(this, to, this.#ends(from, to));
  }

  reader(from: number, to: number): MailReader {
    return new MailReader(this, from, this.#ends(from, to));
  }
}

interface Outgoing {
  readonly key: number;
  readonly bytes: Uint8Array;
  /** Bytes of it that are in the ring; -1 before its header. */
  sent: number;
  readonly done: () => void;
}

/** The writing end: a queue of messages that goes into the ring as room appears. */
export class MailWriter {
  readonly #mail: Mailboxes;
  readonly #to: number;
  readonly #written: number;
  readonly #taken: number;
  readonly #ring: Uint8Array;
  readonly #header = new Uint32Array(2);
  readonly #queue: Outgoing[] = [];

  constructor(mail: Mailboxes, to: number, { written, taken, ring }: { written: number; taken: number; ring: Uint8Array }) {
    this.#mail = mail;
    this.#to = to;
    this.#written = written;
    this.#taken = taken;
    this.#ring = ring;
  }

  get idle(): boolean {
    return this.#queue.length === 0;
  }

  push(key: number, bytes: Uint8Array, done: () => void): void {
    this.#queue.push({ key, bytes, sent: -1, done });
  }

  /** Moves at most one piece; true if anything moved. */
  advance(): boolean {
    const message = this.#queue[0];
    if (message === undefined) return false;
    const { control } = this.#mail;
    const size = this.#ring.length;
    let at = control[this.#written];
    let room = size - ((at - Atomics.load(control, this.#taken)) | 0);
    const before = at;
    if (message.sent < 0 && room >= HEADER) {
      this.#header[0] = message.key;
      this.#header[1] = message.bytes.length;
      this.#ring.set(new Uint8Array(this.#header.buffer), at & (size - 1));
      message.sent = 0;
      at = (at + HEADER) | 0;
      room -= HEADER;
    }
    if (message.sent >= 0) {
      const { bytes, sent } = message;
      const length = Math.min(room, PIECE, bytes.length - sent);
      const place = at & (size - 1);
      const first = Math.min(length, size - place);
      this.#ring.set(bytes.subarray(sent, sent + first), place);
      if (first < length) this.#ring.set(bytes.subarray(sent + first, sent + length), 0);
      message.sent += length;
      at = (at + (message.sent === bytes.length ? padded(bytes.length) - bytes.length + length : length)) | 0;
    }
    if (at === before) return false;
    Atomics.store(control, this.#written, at);
    this.#mail.ring(this.#to);
    if (message.sent === message.bytes.length) {
      this.#queue.shift();
      message.done();
    }
    return true;
  }
}

/** A message that came before anybody asked, or is coming. */
interface Incoming {
  readonly key: number;
  readonly length: number;
  bytes: Uint8Array;
  got: number;
  /** Set once somebody waits for it. */
  done: (() => void) | null;
}

interface Wanted {
  readonly key: number;
  readonly bytes: Uint8Array;
  readonly done: () => void;
  readonly fail: (came: number) => void;
}

/** The reading end. A message nobody waits for stays in the ring unless another one is waited for; then it is put aside. */
export class MailReader {
  readonly #mail: Mailboxes;
  readonly #from: number;
  readonly #written: number;
  readonly #taken: number;
  readonly #ring: Uint8Array;
  readonly #header = new Uint32Array(2);
  readonly #wanted: Wanted[] = [];
  readonly #aside: Incoming[] = [];
  #current: Incoming | null = null;
  /** The header of the message at the front, read but not yet given a place. */
  #front: { key: number; length: number } | null = null;

  constructor(mail: Mailboxes, from: number, { written, taken, ring }: { written: number; taken: number; ring: Uint8Array }) {
    this.#mail = mail;
    this.#from = from;
    this.#written = written;
    this.#taken = taken;
    this.#ring = ring;
  }

  get idle(): boolean {
    return this.#wanted.length === 0 && (this.#current?.done ?? null) === null;
  }

  /** Asks for the next message of a key. */
  want(wanted: Wanted): void {
    const known = this.#aside.findIndex(({ key }) => key === wanted.key);
    const current = this.#current;
    if (known >= 0) {
      const [message] = this.#aside.splice(known, 1);
      if (message.length !== wanted.bytes.length) wanted.fail(message.length);
      else {
        wanted.bytes.set(message.bytes);
        wanted.done();
      }
    } else if (current !== null && current.done === null && current.key === wanted.key) {
      if (current.length !== wanted.bytes.length) wanted.fail(current.length);
      else {
        // It is half here: the rest goes straight to its place.
        wanted.bytes.set(current.bytes.subarray(0, current.got));
        current.bytes = wanted.bytes;
        current.done = wanted.done;
      }
    } else this.#wanted.push(wanted);
  }

  /** Gives the message at the front a place to go; null if it may stay where it is. */
  #place(front: { key: number; length: number }): Incoming | null {
    const at = this.#wanted.findIndex(({ key }) => key === front.key);
    if (at < 0) return this.#wanted.length === 0 ? null : { ...front, bytes: new Uint8Array(front.length), got: 0, done: null };
    const [wanted] = this.#wanted.splice(at, 1);
    if (wanted.bytes.length === front.length) return { ...front, bytes: wanted.bytes, got: 0, done: wanted.done };
    wanted.fail(front.length);
    return { ...front, bytes: new Uint8Array(front.length), got: 0, done: () => {} };
  }

  /** Moves at most one piece; true if anything moved. */
  advance(): boolean {
    const { control } = this.#mail;
    const size = this.#ring.length;
    let at = control[this.#taken];
    let ready = (Atomics.load(control, this.#written) - at) | 0;
    const before = at;
    if (this.#current === null) {
      if (this.#front === null && ready >= HEADER) {
        const place = at & (size - 1);
        new Uint8Array(this.#header.buffer).set(this.#ring.subarray(place, place + HEADER));
        this.#front = { key: this.#header[0], length: this.#header[1] };
        at = (at + HEADER) | 0;
        ready -= HEADER;
      }
      if (this.#front !== null) this.#current = this.#place(this.#front);
      if (this.#current !== null) this.#front = null;
    }
    const current = this.#current;
    if (current !== null) {
      const length = Math.min(ready, PIECE, current.length - current.got);
      const place = at & (size - 1);
      const first = Math.min(length, size - place);
      current.bytes.set(this.#ring.subarray(place, place + first), current.got);
      if (first < length) current.bytes.set(this.#ring.subarray(0, length - first), current.got + first);
      current.got += length;
      at = (at + (current.got === current.length ? padded(current.length) - current.length + length : length)) | 0;
    }
    const moved = at !== before;
    if (moved) {
      Atomics.store(control, this.#taken, at);
      this.#mail.ring(this.#from);
    }
    if (current !== null && current.got === current.length) {
      this.#current = null;
      if (current.done === null) this.#aside.push(current);
      else current.done();
      return true;
    }
    return moved;
  }
}
