/**
 * The strings that could become the next piece: every joined text of two adjacent symbols, counted over all the ways
 * in which it is cut (SentencePiece merges any two symbols whose joined text is a piece). A hash table by
 * text and a heap by count, both of plain numbers; the heap holds what is frequent enough to come next. Counts that fall are put right only when they reach the top of
 * the heap; nothing is allocated a merge.
 */

import { grown, type SymbolStore } from './symbols.ts';

/** States of a candidate; from 0 on, the symbol it has become. */
export const OPEN = -1;
export const BANNED = -2;

const NO_SYMBOL = -1;
/** The heap's floor falls by this factor when nothing above it is left. */
const FLOOR_STEP = 4;

function grownDoubles(array: Float64Array, size: number): Float64Array<ArrayBuffer> {
  const out = new Float64Array(size);
  out.set(array);
  return out;
}

/** Candidates by number. */
export class CandidateTable {
  count = 0;
  /** By candidate: a pair that makes its text (the right one -1 where a single symbol does). */
  left = new Int32Array(1 << 10);
  right = new Int32Array(1 << 10);
  /** By candidate: the symbol it became, `OPEN` or `BANNED`. */
  state = new Int32Array(1 << 10);
  /** By candidate: the first position of its pairs, or -1. Kept by the engine. */
  head = new Int32Array(1 << 10);
  /** By candidate: how often its pairs stand in the words now, in weight. Kept by the engine. */
  weight = new Float64Array(1 << 10);
  readonly #symbols: SymbolStore;
  readonly #least: number;
  readonly #byPair: boolean;
  /** By candidate: its place in the heap or -1, the weight it has there, and its first three units as a number. */
  #place = new Int32Array(1 << 10);
  #key = new Float64Array(1 << 10);
  #prefix = new Float64Array(1 << 10);
  #slots = new Int32Array(1 << 12).fill(-1);
  /** The heap holds every open candidate of at least `#floor`; most candidates never weigh enough to get in. */
  #heap = new Int32Array(1 << 10);
  #heapSize = 0;
  #floor = 0;

  /** `least`: candidates of less weight never come to the top. `byPair`: another pair with the same text is another candidate. */
  constructor(symbols: SymbolStore, least: number, byPair = false) {
    this.#byPair = byPair;
    this.#symbols = symbols;
    this.#least = least;
  }

  /** The candidate with the joined text of two symbols; made if `make` and there is none. Else -1. */
  find(left: number, right: number, make: boolean): number {
    const hash = this.#hash(left, right);
    const mask = this.#slots.length - 1;
    let slot = spread(hash) & mask;
    for (;;) {
      const candidate = this.#slots[slot];
      if (candidate < 0) break;
      if ((this.left[candidate] === left && this.right[candidate] === right) || this.#sameText(candidate, left, right, hash)) return candidate;
      slot = (slot + 1) & mask;
    }
    if (!make) return -1;
    const candidate = this.#add(left, right);
    this.#slots[slot] = candidate;
    if (this.count * 2 > this.#slots.length) this.#rehash();
    return candidate;
  }

  /** The joined text. */
  text(candidate: number): string {
    const right = this.right[candidate];
    return this.#symbols.text(this.left[candidate]) + (right === NO_SYMBOL ? '' : this.#symbols.text(right));
  }

  /** Makes the heap from the candidates as they are. */
  start(): void {
    let most = this.#least;
    for (let candidate = 0; candidate < this.count; candidate++) if (this.weight[candidate] > most) most = this.weight[candidate];
    this.#fill(Math.max(this.#least, most / FLOOR_STEP));
  }

  /** Tells the heap that a weight may have grown. */
  raise(candidate: number): void {
    const weight = this.weight[candidate];
    if (this.state[candidate] !== OPEN || weight < this.#floor) return;
    const place = this.#place[candidate];
    if (place >= 0) {
      if (weight <= this.#key[candidate]) return;
      this.#key[candidate] = weight;
      this.#rise(place);
      return;
    }
    this.#key[candidate] = weight;
    if (this.#heapSize === this.#heap.length) this.#heap = grown(this.#heap, this.#heapSize * 2);
    this.#put(this.#heapSize, candidate);
    this.#rise(this.#heapSize++);
  }

  /** The open candidate of greatest weight, the least text first among equals; -1 if none has enough. */
  best(): number {
    for (;;) {
      const top = this.#top();
      if (top >= 0 || this.#floor <= this.#least) return top;
      this.#fill(Math.max(this.#least, this.#floor / FLOOR_STEP));
    }
  }

  /** The best of those in the heap, put right; -1 if none is left. */
  #top(): number {
    while (this.#heapSize > 0) {
      const top = this.#heap[0];
      const weight = this.weight[top];
      const open = this.state[top] === OPEN;
      if (open && weight === this.#key[top]) return top;
      if (open && weight >= this.#floor) {
        this.#key[top] = weight;
        this.#sink(0);
        continue;
      }
      this.#place[top] = -1;
      const last = this.#heap[--this.#heapSize];
      if (this.#heapSize > 0) {
        this.#put(0, last);
        this.#sink(0);
      }
    }
    return -1;
  }

  /** Fills the heap with all open candidates of at least `floor`. */
  #fill(floor: number): void {
    this.#floor = floor;
    this.#heapSize = 0;
    this.#place.fill(-1);
    for (let candidate = 0; candidate < this.count; candidate++) {
      if (this.state[candidate] !== OPEN || this.weight[candidate] < floor) continue;
      this.#key[candidate] = this.weight[candidate];
      if (this.#heapSize === this.#heap.length) this.#heap = grown(this.#heap, this.#heapSize * 2);
      this.#put(this.#heapSize++, candidate);
    }
    for (let i = (this.#heapSize >> 1) - 1; i >= 0; i--) this.#sink(i);
  }

  #add(left: number, right: number): number {
    if (this.count === this.left.length) this.#grow();
    const candidate = this.count++;
    this.left[candidate] = left;
    this.right[candidate] = right;
    this.state[candidate] = OPEN;
    this.head[candidate] = -1;
    this.#place[candidate] = -1;
    const prefix = this.#unit(candidate, 0) * 2 ** 32 + this.#unit(candidate, 1) * 2 ** 16 + this.#unit(candidate, 2);
    this.#prefix[candidate] = prefix;
    return candidate;
  }

  #grow(): void {
    const size = this.count * 2;
    this.left = grown(this.left, size);
    this.right = grown(this.right, size);
    this.state = grown(this.state, size);
    this.head = grown(this.head, size);
    this.#place = grown(this.#place, size);
    this.weight = grownDoubles(this.weight, size);
    this.#key = grownDoubles(this.#key, size);
    this.#prefix = grownDoubles(this.#prefix, size);
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 4).fill(-1);
    const mask = slots.length - 1;
    for (let candidate = 0; candidate < this.count; candidate++) {
      let slot = spread(this.#hash(this.left[candidate], this.right[candidate])) & mask;
      while (slots[slot] >= 0) slot = (slot + 1) & mask;
      slots[slot] = candidate;
    }
    this.#slots = slots;
  }

  #hash(left: number, right: number): number {
    if (this.#byPair) return (Math.imul(left, 0x9e3779b1) + right) | 0;
    return right === NO_SYMBOL ? this.#symbols.hash[left] : this.#symbols.joinedHash(left, right);
  }

  /** Units of the whole text. */
  #length(left: number, right: number): number {
    return this.#symbols.units[left] + (right === NO_SYMBOL ? 0 : this.#symbols.units[right]);
  }

  /** A unit of a candidate's text; 0 beyond its end. */
  #unit(candidate: number, index: number): number {
    return this.#unitOf(this.left[candidate], this.right[candidate], index);
  }

  #unitOf(left: number, right: number, index: number): number {
    const { units, start, pool } = this.#symbols;
    if (index < units[left]) return pool[start[left] + index];
    const rest = index - units[left];
    return right === NO_SYMBOL || rest >= units[right] ? 0 : pool[start[right] + rest];
  }

  #sameText(candidate: number, left: number, right: number, hash: number): boolean {
    const [ownLeft, ownRight] = [this.left[candidate], this.right[candidate]];
    const length = this.#length(left, right);
    if (this.#byPair || this.#hash(ownLeft, ownRight) !== hash || this.#length(ownLeft, ownRight) !== length) return false;
    for (let i = 0; i < length; i++) if (this.#unit(candidate, i) !== this.#unitOf(left, right, i)) return false;
    return true;
  }

  /** True if `a` comes before `b`: more weight, then the lesser text by UTF-16 units. */
  #before(a: number, b: number): boolean {
    if (this.#key[a] !== this.#key[b]) return this.#key[a] > this.#key[b];
    if (this.#prefix[a] !== this.#prefix[b]) return this.#prefix[a] < this.#prefix[b];
    const [first, second] = [this.#length(this.left[a], this.right[a]), this.#length(this.left[b], this.right[b])];
    for (let i = 0; i < first && i < second; i++) {
      const difference = this.#unit(a, i) - this.#unit(b, i);
      if (difference !== 0) return difference < 0;
    }
    // Only pairs can have the same text: then the shorter left one.
    return first === second ? this.#symbols.units[this.left[a]] < this.#symbols.units[this.left[b]] : first < second;
  }

  #put(place: number, candidate: number): void {
    this.#heap[place] = candidate;
    this.#place[candidate] = place;
  }

  #rise(from: number): void {
    const candidate = this.#heap[from];
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.#before(candidate, this.#heap[parent])) break;
      this.#put(place, this.#heap[parent]);
      place = parent;
    }
    this.#put(place, candidate);
  }

  #sink(from: number): void {
    const candidate = this.#heap[from];
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#heapSize) break;
      if (child + 1 < this.#heapSize && this.#before(this.#heap[child + 1], this.#heap[child])) child++;
      if (!this.#before(this.#heap[child], candidate)) break;
      this.#put(place, this.#heap[child]);
      place = child;
    }
    this.#put(place, candidate);
  }
}

function spread(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 13), 0x297a2d39);
  return h ^ (h >>> 15);
}
