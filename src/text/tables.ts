/**
 * Two lookup tables for the inner loops of encoding: pairs of small integers to an integer, and code
 * points to an integer. Typed arrays instead of `Map`: about five times faster and a tenth of the memory.
 */

/** Open-addressing map from (a, b), both >= 0, to a value >= 0. Grows by doubling. */
export class PairTable {
  /** a, b, value, and one unused, so that a slot lies in one cache line; a is -1 where it is free. */
  #slots: Int32Array;
  #mask: number;
  #count = 0;

  constructor(expected = 16) {
    let size = 16;
    while (size < expected * 2) size *= 2;
    this.#slots = new Int32Array(size * 4).fill(-1);
    this.#mask = size - 1;
  }

  get size(): number {
    return this.#count;
  }

  /** The value of (a, b), or -1. */
  get(a: number, b: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    for (let i = hash(a, b) & mask; ; i = (i + 1) & mask) {
      const key = slots[4 * i];
      if (key === a && slots[4 * i + 1] === b) return slots[4 * i + 2];
      if (key === -1) return -1;
    }
  }

  /** Sets (a, b); a later value replaces an earlier one. */
  set(a: number, b: number, value: number): void {
    if (this.#count * 2 >= this.#mask) this.#grow();
    const slots = this.#slots;
    const mask = this.#mask;
    let i = hash(a, b) & mask;
    while (slots[4 * i] !== -1) {
      if (slots[4 * i] === a && slots[4 * i + 1] === b) {
        slots[4 * i + 2] = value;
        return;
      }
      i = (i + 1) & mask;
    }
    slots[4 * i] = a;
    slots[4 * i + 1] = b;
    slots[4 * i + 2] = value;
    this.#count++;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(old.length * 2).fill(-1);
    this.#mask = this.#mask * 2 + 1;
    this.#count = 0;
    for (let i = 0; i < old.length; i += 4) if (old[i] !== -1) this.set(old[i], old[i + 1], old[i + 2]);
  }
}

function hash(a: number, b: number): number {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
}

/** Code points (0 to 0x10FFFF) to integers >= 0, in pages of 256 made when first needed. */
export class CodePointTable {
  readonly #pages: (Int32Array | undefined)[] = new Array<Int32Array | undefined>(0x1100).fill(undefined);

  /** The value of a code point, or -1. */
  get(codePoint: number): number {
    const page = this.#pages[codePoint >> 8];
    return page === undefined ? -1 : page[codePoint & 255];
  }

  set(codePoint: number, value: number): void {
    let page = this.#pages[codePoint >> 8];
    if (page === undefined) {
      page = new Int32Array(256).fill(-1);
      this.#pages[codePoint >> 8] = page;
    }
    page[codePoint & 255] = value;
  }
}

/**
 * A prefix tree over UTF-16 code units, for longest-prefix and all-prefix search. Values are >= 0.
 */
export class Trie {
  readonly #edges: PairTable;
  #values: Int32Array = new Int32Array(64).fill(-1);
  #nodes = 1;
  /** By the low byte of a unit: 1 if some key starts with such a unit. */
  readonly #starts = new Uint8Array(256);

  constructor(expectedUnits = 16) {
    this.#edges = new PairTable(expectedUnits);
  }

  /** Adds a non-empty key; a later value replaces an earlier one. */
  add(key: string, value: number): void {
    let node = 0;
    this.#starts[key.charCodeAt(0) & 255] = 1;
    for (let i = 0; i < key.length; i++) {
      const unit = key.charCodeAt(i);
      let next = this.#edges.get(node, unit);
      if (next < 0) {
        next = this.#nodes++;
        if (next >= this.#values.length) {
          const larger = new Int32Array(this.#values.length * 2).fill(-1);
          larger.set(this.#values);
          this.#values = larger;
        }
        this.#edges.set(node, unit, next);
      }
      node = next;
    }
    this.#values[node] = value;
  }

  /** False if surely no key starts with this unit. */
  mayStart(unit: number): boolean {
    return this.#starts[unit & 255] === 1;
  }

  /** The node reached from `node` by a code unit, or -1. The root is 0. */
  step(node: number, unit: number): number {
    return this.#edges.get(node, unit);
  }

  /** The value at a node, or -1. */
  value(node: number): number {
    return this.#values[node];
  }

  /** Length in code units of the longest key that `text` has at `from`; 0 if none. */
  longest(text: string, from: number): number {
    let node = 0;
    let best = 0;
    for (let i = from; i < text.length; i++) {
      node = this.step(node, text.charCodeAt(i));
      if (node < 0) break;
      if (this.#values[node] >= 0) best = i + 1 - from;
    }
    return best;
  }
}
