/**
 * Windows of n units as 64-bit rolling hashes, and the table that finds them. Two polynomials over the 32-bit unit
 * hashes, each modulo 2^32: among a billion windows of other text and a million entries a false match is expected in
 * one of some ten thousand runs. Open addressing on typed arrays, at most half full.
 */
import { mix32 } from '../../base/mix.ts';

const BASE_LOW = 0x9e3779b1;
const BASE_HIGH = 0x85ebca77;

/** Rolls over units; `low` and `high` are the hash of the last `n` of them. */
export class Rolling {
  readonly n: number;
  low = 0;
  high = 0;
  readonly #dropLow: number;
  readonly #dropHigh: number;

  constructor(n: number) {
    this.n = n;
    let low = 1;
    let high = 1;
    for (let i = 0; i < n; i++) {
      low = Math.imul(low, BASE_LOW);
      high = Math.imul(high, BASE_HIGH);
    }
    this.#dropLow = low;
    this.#dropHigh = high;
  }

  reset(): void {
    this.low = 0;
    this.high = 0;
  }

  /** Takes unit `i` in, and the one that stood n before it out. Valid from i = n - 1 on. */
  push(hashes: Uint32Array, i: number): void {
    const u = hashes[i];
    let low = (Math.imul(this.low, BASE_LOW) + u) | 0;
    let high = (Math.imul(this.high, BASE_HIGH) + (u ^ 0x5bd1e995)) | 0;
    if (i >= this.n) {
      const old = hashes[i - this.n];
      low = (low - Math.imul(old, this.#dropLow)) | 0;
      high = (high - Math.imul(old ^ 0x5bd1e995, this.#dropHigh)) | 0;
    }
    this.low = low;
    this.high = high;
  }
}

/** Hash of units `from` to `to`, as `Rolling` makes it. */
export function windowHash(hashes: Uint32Array, from: number, to: number): readonly [low: number, high: number] {
  let low = 0;
  let high = 0;
  for (let i = from; i < to; i++) {
    low = (Math.imul(low, BASE_LOW) + hashes[i]) | 0;
    high = (Math.imul(high, BASE_HIGH) + (hashes[i] ^ 0x5bd1e995)) | 0;
  }
  return [low, high];
}

/** Keys of 64 bits to numbers from 0 to 2^31 - 1. Grows. */
export class GramTable {
  #mask = 1023;
  #low = new Int32Array(1024);
  #high = new Int32Array(1024);
  /** Value + 1; 0 where the slot is free. */
  #value = new Int32Array(1024);
  /** Eight bits a slot, one set for each key: nearly every key that is not there is told by a bit that lies in the cache. */
  #filter = new Uint8Array(1024);
  size = 0;

  #slot(low: number, high: number): number {
    let at = mix32(low ^ Math.imul(high, 0x27d4eb2f)) & this.#mask;
    while (this.#value[at] !== 0 && (this.#low[at] !== low || this.#high[at] !== high)) at = (at + 1) & this.#mask;
    return at;
  }

  /** -1 where the key is not there. */
  get(low: number, high: number): number {
    const hash = mix32(high);
    if ((this.#filter[(hash >>> 3) & this.#mask] & (1 << (hash & 7))) === 0) return -1;
    return this.#value[this.#slot(low, high)] - 1;
  }

  set(low: number, high: number, value: number): void {
    const at = this.#slot(low, high);
    if (this.#value[at] === 0) {
      this.#low[at] = low;
      this.#high[at] = high;
      this.#mark(high);
      this.size++;
    }
    this.#value[at] = value + 1;
    if (2 * this.size > this.#mask) this.#grow();
  }

  #mark(high: number): void {
    const hash = mix32(high);
    this.#filter[(hash >>> 3) & this.#mask] |= 1 << (hash & 7);
  }

  #grow(): void {
    const [low, high, value] = [this.#low, this.#high, this.#value];
    const size = value.length * 2;
    this.#mask = size - 1;
    this.#low = new Int32Array(size);
    this.#high = new Int32Array(size);
    this.#value = new Int32Array(size);
    this.#filter = new Uint8Array(size);
    for (let i = 0; i < value.length; i++) {
      if (value[i] === 0) continue;
      const at = this.#slot(low[i], high[i]);
      this.#low[at] = low[i];
      this.#high[at] = high[i];
      this.#value[at] = value[i];
      this.#mark(high[i]);
    }
  }
}
