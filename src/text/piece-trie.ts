/**
 * A prefix tree over code units for walking pieces from every place of a text. The first unit needs an
 * array, the second one probe of a small table, only what goes deeper the general table: in most places no
 * piece has more than one character, and the walk ends at the second unit.
 */

import { PairTable } from './tables.ts';

/** Pieces to values >= 0. Nodes are positive numbers. */
export class PieceTrie {
  /** The value of the piece that is this one unit, or -1. */
  readonly single = new Int32Array(0x10000).fill(-1);
  /** Open addressing: (first unit << 16 | second unit), node; node 0 is free. */
  #pairs = new Int32Array(2 << 8);
  #pairMask = 255;
  #pairCount = 0;
  readonly #deeper: PairTable;
  #values = new Int32Array(256).fill(-1);
  #nodes = 1;

  constructor(expectedPieces = 16) {
    this.#deeper = new PairTable(expectedPieces);
  }

  /** Adds a non-empty piece; a later value replaces an earlier one. */
  add(piece: string, value: number): void {
    if (piece.length === 1) {
      this.single[piece.charCodeAt(0)] = value;
      return;
    }
    let node = this.#pair(piece.charCodeAt(0), piece.charCodeAt(1));
    for (let i = 2; i < piece.length; i++) {
      const unit = piece.charCodeAt(i);
      let next = this.#deeper.get(node, unit);
      if (next < 0) {
        next = this.#makeNode();
        this.#deeper.set(node, unit, next);
      }
      node = next;
    }
    this.#values[node] = value;
  }

  /** The node of two units, or 0. */
  start(first: number, second: number): number {
    const pairs = this.#pairs;
    const key = (first << 16) | second;
    for (let i = slotOf(key, this.#pairMask); ; i = (i + 1) & this.#pairMask) {
      const node = pairs[2 * i + 1];
      if (node === 0 || pairs[2 * i] === key) return node;
    }
  }

  /** The node behind `node` by a unit, or -1. */
  step(node: number, unit: number): number {
    return this.#deeper.get(node, unit);
  }

  /** The value at a node, or -1. */
  value(node: number): number {
    return this.#values[node];
  }

  /**
   * Where the longest piece of two units or more that starts at `at` ends, 0 if there is none, looking no further than
   * `to`. If pieces go on behind `to`, the answer is `beyond` (where it is given).
   */
  longestEnd(units: Uint16Array, at: number, to: number, beyond = 0): number {
    if (at + 1 >= to) return 0;
    let node = this.start(units[at], units[at + 1]);
    if (node === 0) return 0;
    const values = this.#values;
    let best = values[node] >= 0 ? at + 2 : 0;
    for (let i = at + 2; i < to; ) {
      node = this.#deeper.get(node, units[i++]);
      if (node < 0) return best;
      if (values[node] >= 0) best = i;
    }
    return beyond > to ? beyond : best;
  }

  #pair(first: number, second: number): number {
    const found = this.start(first, second);
    if (found !== 0) return found;
    if (this.#pairCount * 2 > this.#pairMask) {
      const old = this.#pairs;
      this.#pairMask = this.#pairMask * 2 + 1;
      this.#pairs = new Int32Array(old.length * 2);
      for (let i = 0; i < old.length; i += 2) if (old[i + 1] !== 0) this.#put(old[i], old[i + 1]);
    }
    const node = this.#makeNode();
    this.#put((first << 16) | second, node);
    this.#pairCount++;
    return node;
  }

  #put(key: number, node: number): void {
    let i = slotOf(key, this.#pairMask);
    while (this.#pairs[2 * i + 1] !== 0) i = (i + 1) & this.#pairMask;
    this.#pairs[2 * i] = key;
    this.#pairs[2 * i + 1] = node;
  }

  #makeNode(): number {
    const node = this.#nodes++;
    if (node >= this.#values.length) {
      const larger = new Int32Array(this.#values.length * 2).fill(-1);
      larger.set(this.#values);
      this.#values = larger;
    }
    return node;
  }
}

function slotOf(key: number, mask: number): number {
  const h = Math.imul(key, 0x9e3779b1);
  return (h ^ (h >>> 15)) & mask;
}
