/**
 * Ranks as workers of one process, over shared memory: Node, Deno and browser workers alike. Each rank has one doorbell, which others raise when they
 * wrote to it or made room for it; a rank with nothing to move waits on it with `Atomics.waitAsync`, so its event loop stays free. The timer that counts
 * the rank's heartbeats also keeps the loop alive: no host counts a `waitAsync` as work to wait for.
 */
import type { Host } from '../host/index.ts';
import { Mailboxes, type MailLayout } from './mailbox.ts';
import { type Carrier, lengthError, worldTransport } from './pairs.ts';
import { nextTurn } from './turn.ts';
import type { Transport } from './types.ts';

/** What a rank of a world of threads is told; goes by message. */
export interface ThreadWorld {
  readonly memory: SharedArrayBuffer;
  readonly layout: MailLayout;
  readonly rank: number;
}

/** Milliseconds between two beats of a rank. */
export const BEAT_MS = 500;
/** Looks at all rings before a rank goes to sleep: what a neighbour is just writing is often there sooner than a wake-up is. */
const LOOKS = 100;
/** Milliseconds of copying without a break, at most: timers and GPU callbacks of this thread wait as long. */
const COPY_MS = 5;
/** Where a host has no waitAsync, the doorbell is looked at this often. */
const POLL_MS = 1;

/** Resolves when the counter is no longer `seen`; at once if it is not. */
function rung(control: Int32Array<SharedArrayBuffer>, index: number, seen: number, sleep: (ms: number) => Promise<void>): Promise<unknown> | null {
  if (typeof Atomics.waitAsync !== 'function') return Atomics.load(control, index) === seen ? sleep(POLL_MS) : null;
  const wait = Atomics.waitAsync(control, index, seen);
  return wait.async ? wait.value : null;
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
  let pumping = false;

  const moveAll = (): boolean => {
    let moved = false;
    for (const end of ends) if (end.advance()) moved = true;
    return moved;
  };

  async function pump(): Promise<void> {
    pumping = true;
    try {
      while (ends.some((end) => !end.idle)) {
        const seen = Atomics.load(mail.control, bell);
        const start = host.now();
        let still = 0;
        while (still < LOOKS && host.now() - start < COPY_MS) still = moveAll() ? 0 : still + 1;
        if (still < LOOKS) await nextTurn();
        else await (rung(mail.control, bell, seen, host.sleep) ?? undefined);
      }
    } finally {
      pumping = false;
    }
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
