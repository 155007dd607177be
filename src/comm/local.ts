/**
 * Ranks in one thread: a single rank that needs no other, and several ranks for tests, which then take turns at each `await`. Messages are
 * copied once into a queue, so a send never waits; no rank is ever stuck for want of room.
 */
import { type Carrier, lengthError, worldTransport } from './pairs.ts';
import type { Transport } from './types.ts';

interface Waiter {
  readonly bytes: Uint8Array;
  readonly done: (error?: Error) => void;
}

/** What is on its way between one pair under one key: messages, or receivers that wait, never both. */
interface Line {
  readonly came: Uint8Array[];
  readonly waiting: Waiter[];
}

type Lines = Map<string, Line>;

function localCarrier(lines: Lines, rank: number, size: number): Carrier {
  const line = (from: number, to: number, key: number): Line => {
    const name = `${from} ${to} ${key}`;
    const known = lines.get(name) ?? { came: [], waiting: [] };
    lines.set(name, known);
    return known;
  };
  return {
    kind: 'local',
    rank,
    size,
    async put(to, key, bytes) {
      const { came, waiting } = line(rank, to, key);
      const waiter = waiting.shift();
      if (waiter === undefined) came.push(bytes.slice());
      else if (waiter.bytes.length !== bytes.length) waiter.done(lengthError(to, rank, key, bytes.length, waiter.bytes.length));
      else {
        waiter.bytes.set(bytes);
        waiter.done();
      }
    },
    async take(from, key, bytes) {
      const { came, waiting } = line(from, rank, key);
      const message = came.shift();
      if (message === undefined) {
        await new Promise<void>((resolve, reject) => {
          waiting.push({ bytes, done: (error) => (error === undefined ? resolve() : reject(error)) });
        });
      } else if (message.length !== bytes.length) throw lengthError(rank, from, key, message.length, bytes.length);
      else bytes.set(message);
    },
    async close() {},
  };
}

/** The ranks of a world in this thread, for tests: begin each one's part and await them together. */
export function localRanks(size: number): Transport[] {
  const lines: Lines = new Map();
  return Array.from({ length: size }, (_, rank) => worldTransport(localCarrier(lines, rank, size)));
}

/** The transport of a process that is alone. */
export function localTransport(): Transport {
  return localRanks(1)[0];
}
