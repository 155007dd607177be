/**
 * Ranks as workers of one process, over shared memory: Node, Deno and browser workers alike. Each rank has one doorbell, which others raise when they
 * wrote to it or made room for it; a rank with nothing to move waits on it with `Atomics.waitAsync`, so its event loop stays free. The timer that counts
 * the rank's heartbeats also keeps the loop alive: no host counts a `waitAsync` as work to wait for.
 */
import type { Host } from '../host/index.ts';
import { Mailboxes, type MailLayout } from './mailbox.ts';
import { type Carrier, lengthError, worldTransport } from './pairs.ts';
import { SharedHeap } from './shared.ts';
import { nextTurn } from './turn.ts';
import type { Transport } from './types.ts';

/** What a rank of a world of threads is told; goes by message. */
export interface ThreadWorld {
  readonly memory: WebAssembly.Memory;
  readonly layout: MailLayout;
  readonly rank: number;
}

/** Milliseconds between two beats of a rank. */
export const BEAT_MS = 500;
/**
 * Milliseconds that a rank looks at its rings before it goes to sleep, where every rank has a core of its own: what a neighbour is just writing or adding is there sooner
 * than a wake-up (some 0.1 ms). Timers and GPU callbacks of this thread come between. Where ranks share cores the other one needs the core: a few looks, then sleep.
 */
const LOOK_MS = 1;
const LOOKS = 20;
/** Milliseconds of moving bytes without a break, at most: timers and GPU callbacks of this thread wait as long. */
const MOVE_MS = 2;
/** Where a host has no waitAsync, the doorbell is looked at this often. */
const POLL_MS = 1;

/** Resolves when the counter is no longer `seen`; at once if it is not. */
async function rung(control: Int32Array<SharedArrayBuffer>, index: number, seen: number, sleep: (ms: number) => Promise<void>): Promise<void> {
  if (typeof Atomics.waitAsync === 'function') await Atomics.waitAsync(control, index, seen).value;
  else if (Atomics.load(control, index) === seen) await sleep(POLL_MS);
}

function threadCarrier({ memory, layout, rank }: ThreadWorld, host: Host): Carrier {
  const mail = new Mailboxes(memory, layout);
  const others = Array.from({ length: layout.size }, (_, other) => other).filter((other) => other !== rank);
  const writers = new Map(others.map((other) => [other, mail.writer(rank, other)]));
  const readers = new Map(others.map((other) => [other, mail.reader(other, rank)]));
  const ends = [...readers.values(), ...writers.values()];
  const bell = mail.doorbell(rank);
  const beat = (): void => void Atomics.add(mail.control, mail.beat(rank), 1);
  beat();
  const timer = setInterval(beat, BEAT_MS);
  const ownCores = layout.size <= host.cores;
  let pumping = false;

  const moveAll = (): boolean => {
    let moved = false;
    for (const end of ends) if (end.advance()) moved = true;
    return moved;
  };

  /** Moves until nothing moves, or for so long; true if anything moved. */
  const moveSome = (): boolean => {
    const start = host.now();
    if (!moveAll()) return false;
    while (host.now() - start < MOVE_MS && moveAll());
    return true;
  };

  async function pump(): Promise<void> {
    let last = host.now();
    while (ends.some((end) => !end.idle)) {
      const seen = Atomics.load(mail.control, bell);
      let moved = moveSome();
      for (let look = 1; !moved && look < LOOKS; look++) moved = moveSome();
      if (moved) last = host.now();
      // Calls that were answered go on first, and often ask for more.
      if (moved || (ownCores && host.now() - last < LOOK_MS)) await nextTurn();
      else {
        await rung(mail.control, bell, seen, host.sleep);
        last = host.now();
      }
    }
    pumping = false;
  }

  /** Calls made in one turn are moved together. */
  const wake = (): void => {
    if (pumping) mail.ring(rank);
    else {
      pumping = true;
      queueMicrotask(() => void pump());
    }
  };

  return {
    kind: 'threads',
    rank,
    size: layout.size,
    heap: new SharedHeap(memory, mail.control, mail.top),
    put: (to, key, bytes) =>
      new Promise((resolve) => {
        writers.get(to)?.push(key, bytes, resolve);
        wake();
      }),
    take: (from, key, bytes) =>
      new Promise((resolve, reject) => {
        readers.get(from)?.want({ key, bytes, done: resolve, fail: (came) => reject(lengthError(rank, from, key, came, bytes.length)) });
        wake();
      }),
    async close() {
      clearInterval(timer);
    },
  };
}

/** This worker's transport in a world that `spawnRanks` made. */
export function threadTransport(world: ThreadWorld, host: Host): Transport {
  return worldTransport(threadCarrier(world, host));
}
