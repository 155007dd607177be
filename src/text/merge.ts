/**
 * The merge loop both kinds of BPE share: always the best pair first (least rank, then leftmost).
 * Short sequences are scanned, long ones use a heap of plain numbers, so a megabyte of one character
 * costs O(n log n). Ranks below 2^21 and sequences below 2^31 symbols.
 */

import type { PairTable } from './tables.ts';

/** Below this many symbols a scan beats the heap (measured on words of 2 to 100 characters: they cross near 40). */
const SCAN_LIMIT = 40;

/** Called for each pair that could merge, in the order the library looks at them. */
export type PairTrace = (merge: number, left: number, right: number) => void;

/** Merges symbol sequences in place. */
export class Merger {
  readonly #pairs: PairTable;
  readonly #rankOf: Int32Array;
  readonly #resultOf: Int32Array;
  readonly #scanRanks = new Int32Array(SCAN_LIMIT);
  #heap = new Float64Array(0);
  #heapSize = 0;

  /** `pairs` maps two symbols to a merge; `rankOf` and `resultOf` say its order and the symbol it makes. */
  constructor(pairs: PairTable, rankOf: Int32Array, resultOf: Int32Array) {
    this.#pairs = pairs;
    this.#rankOf = rankOf;
    this.#resultOf = resultOf;
  }

  /** Merges `symbols[0..count)` and gives the new count. Negative symbols never merge. */
  run(symbols: Int32Array, count: number, trace?: PairTrace): number {
    if (count < 2) return count;
    if (count <= SCAN_LIMIT && trace === undefined) return this.#scan(symbols, count);
    return this.#agenda(symbols, count, trace);
  }

  #rank(left: number, right: number): number {
    if (left < 0 || right < 0) return 0x7fffffff;
    const merge = this.#pairs.get(left, right);
    return merge < 0 ? 0x7fffffff : this.#rankOf[merge];
  }

  #scan(symbols: Int32Array, count: number): number {
    const ranks = this.#scanRanks;
    for (let i = 0; i + 1 < count; i++) ranks[i] = this.#rank(symbols[i], symbols[i + 1]);
    for (;;) {
      let best = 0x7fffffff;
      let at = -1;
      for (let i = 0; i + 1 < count; i++) {
        if (ranks[i] < best) {
          best = ranks[i];
          at = i;
        }
      }
      if (at < 0) return count;
      symbols[at] = this.#resultOf[this.#pairs.get(symbols[at], symbols[at + 1])];
      symbols.copyWithin(at + 1, at + 2, count);
      ranks.copyWithin(at + 1, at + 2, count);
      count--;
      if (at > 0) ranks[at - 1] = this.#rank(symbols[at - 1], symbols[at]);
      if (at + 1 < count) ranks[at] = this.#rank(symbols[at], symbols[at + 1]);
    }
  }

  #agenda(symbols: Int32Array, count: number, trace?: PairTrace): number {
    const next = new Int32Array(count);
    const prev = new Int32Array(count);
    const gone = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      next[i] = i + 1 < count ? i + 1 : -1;
      prev[i] = i - 1;
    }
    this.#heapSize = 0;
    const consider = (left: number, right: number): void => {
      if (left < 0 || right < 0 || symbols[left] < 0 || symbols[right] < 0) return;
      const merge = this.#pairs.get(symbols[left], symbols[right]);
      if (merge < 0) return;
      trace?.(merge, symbols[left], symbols[right]);
      // The key alone is enough: a stale entry finds another rank (or nothing) at its place and is dropped.
      this.#push(this.#rankOf[merge] * 0x80000000 + left);
    };
    for (let i = 1; i < count; i++) consider(i - 1, i);
    let left = count;
    while (this.#heapSize > 0) {
      const key = this.#pop();
      const rank = Math.floor(key / 0x80000000);
      const at = key - rank * 0x80000000;
      const right = next[at];
      if (gone[at] === 1 || right < 0 || symbols[at] < 0 || symbols[right] < 0) continue;
      const merge = this.#pairs.get(symbols[at], symbols[right]);
      if (merge < 0 || this.#rankOf[merge] !== rank) continue;
      symbols[at] = this.#resultOf[merge];
      gone[right] = 1;
      next[at] = next[right];
      if (next[at] >= 0) prev[next[at]] = at;
      left--;
      consider(prev[at], at);
      consider(at, next[at]);
    }
    // A heap of a huge text is not worth keeping.
    if (this.#heap.length > 1 << 18) this.#heap = new Float64Array(0);
    for (let i = 0, out = 0; i >= 0 && out < left; i = next[i]) symbols[out++] = symbols[i];
    return left;
  }

  #push(key: number): void {
    if (this.#heapSize === this.#heap.length) {
      const larger = new Float64Array(Math.max(256, this.#heap.length * 2));
      larger.set(this.#heap);
      this.#heap = larger;
    }
    const heap = this.#heap;
    let i = this.#heapSize++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent] <= key) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = key;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0];
    const size = --this.#heapSize;
    const last = heap[size];
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1] < heap[child]) child++;
      if (heap[child] >= last) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
    return top;
  }
}
