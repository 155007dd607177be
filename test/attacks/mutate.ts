/**
 * What the attack suites share: a seeded mutator of bytes, a FileReader that records what a parser
 * asks of it, and the loop that feeds a parser mutants. A parser passes if every mutant is either
 * refused with a ScionError of kind `format` or `input`, fast, or loads and is consistent.
 */
import { expect } from 'vitest';
import { isScionError } from '../../src/base/errors.ts';
import { bytesReader } from '../../src/formats/bytes.ts';
import type { FileReader } from '../../src/host/types.ts';

/** Mutants a safetensors fuzz runs; other parsers take a part of it. By the tier, or `SCION_FUZZ` sets it. */
export const FUZZ_COUNT = Number(process.env.SCION_FUZZ ?? (process.env.SCION_TIER === 'full' ? 500_000 : 50_000));
/** Chosen once a run and printed, so that a failure can be repeated. */
export const FUZZ_SEED = Number(process.env.SCION_FUZZ_SEED ?? Date.now() % 2 ** 31);

/** A small, fast, seeded generator (mulberry32); numbers from 0 to n - 1. */
export function seeded(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

/** Byte values and strings that parsers trip over. */
const SPICE = [
  [0],
  [0xff],
  [0x7f],
  [0x80],
  [0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
  [0, 0, 0, 0, 0, 0, 0, 0x80],
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    '\\',
    '-',
    '.',
    '0',
    '9',
    'e',
    ' ',
    '\n',
    '\\u0000',
    '\\ud800',
    '9007199254740993',
    '-1',
    '1e999',
    'null',
    '{}',
    '[]',
    '"__proto__":',
    '"a":{}',
  ].map((text) => [...new TextEncoder().encode(text)]),
];

/** One to four random edits: a bit flipped, bytes replaced, inserted, removed, repeated or cut off. */
export function mutate(seed: Uint8Array, next: (n: number) => number): Uint8Array {
  let bytes = seed.slice();
  for (let edits = 1 + next(4); edits > 0; edits--) {
    // Half of the edits go to the first 64 bytes, where headers are.
    const at = next(2) === 0 ? next(Math.min(64, bytes.length + 1)) : next(bytes.length + 1);
    const spice = SPICE[next(SPICE.length)];
    switch (next(8)) {
      case 0:
      case 1:
        if (at < bytes.length) bytes[at] ^= 1 << next(8);
        break;
      case 2:
        if (at < bytes.length) bytes[at] = next(256);
        break;
      case 3:
        bytes.set(spice.slice(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
        break;
      case 4:
        bytes = splice(bytes, at, 0, Uint8Array.from(spice));
        break;
      case 5:
        bytes = splice(bytes, at, 1 + next(16), new Uint8Array());
        break;
      case 6:
        bytes = splice(bytes, at, 0, bytes.slice(at, at + 1 + next(64)));
        break;
      default:
        bytes = next(4) === 0 ? bytes.slice(0, at) : splice(bytes, at, 0, new Uint8Array(next(9)));
    }
  }
  return bytes;
}

function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array<ArrayBuffer> {
  const tail = bytes.subarray(Math.min(bytes.length, at + remove));
  const out = new Uint8Array(at + insert.length + tail.length);
  out.set(bytes.subarray(0, at));
  out.set(insert, at);
  out.set(tail, at + insert.length);
  return out;
}

/** A reader that sums up what it was asked for, which bounds what a parser can have allocated for it. */
export class CountingReader implements FileReader {
  readonly size: number;
  asked = 0;
  private readonly inner: FileReader;

  constructor(bytes: Uint8Array, size = bytes.length) {
    this.inner = bytesReader(bytes);
    this.size = size;
  }

  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.asked += length;
    return this.inner.read(offset, length);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}

/** True for the only kinds of error a parser may give for a bad file. */
export function isRefusal(error: unknown): boolean {
  return isScionError(error, 'format') || isScionError(error, 'input');
}

/**
 * Most CPU time of this thread for one input, milliseconds. CPU time, not wall time: it does not
 * depend on who else uses the machine. Garbage collection is in it.
 */
export const REJECT_MS = 50;

/** CPU milliseconds of this thread. */
export function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** Counts of a fuzz run. */
export interface FuzzResult {
  readonly inputs: number;
  readonly loaded: number;
  readonly refused: number;
  readonly slowestMs: number;
}

/**
 * Feeds `count` mutants of the seeds to `load`, which must throw a refusal or resolve after
 * checking what it got. Any other error fails with the mutant in base64, for a fixture.
 */
export async function fuzz(what: string, count: number, seeds: readonly Uint8Array[], load: (bytes: Uint8Array) => Promise<void> | void): Promise<FuzzResult> {
  const next = seeded(FUZZ_SEED);
  let loaded = 0;
  let refused = 0;
  let slowestMs = 0;
  // Whole files first: the time in which the engine compiles the parser is none of a mutant's.
  for (let round = 0; round < 5; round++) for (const seed of seeds) await load(seed);
  for (let i = 0; i < count; i++) {
    const bytes = mutate(seeds[next(seeds.length)], next);
    const start = cpuMs();
    try {
      await load(bytes);
      loaded++;
    } catch (error) {
      if (!isRefusal(error)) {
        throw new Error(`${what}: mutant ${i} of seed ${FUZZ_SEED} gave ${String(error)}; input ${Buffer.from(bytes).toString('base64')}`, { cause: error });
      }
      refused++;
    }
    const ms = cpuMs() - start;
    if (ms > REJECT_MS) throw new Error(`${what}: mutant ${i} of seed ${FUZZ_SEED} took ${ms} ms of CPU; input ${Buffer.from(bytes).toString('base64')}`);
    slowestMs = Math.max(slowestMs, ms);
  }
  console.log(`${what}: ${count} mutants of seed ${FUZZ_SEED}: ${refused} refused, ${loaded} loaded, slowest ${slowestMs.toFixed(1)} ms`);
  // A mutator that never breaks a file, or a parser that loads nothing, would prove nothing.
  expect(refused).toBeGreaterThan(0);
  return { inputs: count, loaded, refused, slowestMs };
}
