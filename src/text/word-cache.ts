/**
 * A bounded memory of words and the ids they became. Keys are stretches of code units and are compared in full, so a
 * look-up needs no substring and a hash collision cannot give another word's ids. When it is full it
 * forgets everything and starts anew, which never changes a result, only its time.
 */

/** Most words held at once. */
const MAX_WORDS = 1 << 16;
/** Most code units and ids held at once: 4 MiB and 4 MiB. */
const MAX_KEY_UNITS = 1 << 21;
const MAX_VALUES = 1 << 20;
/** Int32s of a slot: hash, start of the key, length of the key (0: free), start of the ids, their number. */
const SLOT = 5;

/** Hash of no units; extend it with `hashUnit`. */
export const HASH_START = 0x811c9dc5 | 0;

/** Hash of a stretch with one more unit. */
export function hashUnit(hash: number, unit: number): number {
  return Math.imul(hash ^ unit, 0x5bd1e995) ^ (hash >>> 15);
}

/** Hash of `units[from..to)`. */
export function hashUnits(units: Uint16Array, from: number, to: number): number {
  let hash = HASH_START;
  for (let i = from; i < to; i++) hash = hashUnit(hash, units[i]);
  return hash;
}

/** Words to ids. */
export class WordCache {
  readonly #maxWords: number;
  #slots = new Int32Array(SLOT << 8);
  #mask = 255;
  #count = 0;
  #keys = new Uint16Array(1 << 11);
  #keyEnd = 0;
  #values = new Int32Array(1 << 10);
  #valueEnd = 0;
  /** Of the last `find` that found: where its ids start in `values`, and how many there are. */
  start = 0;
  count = 0;

  /** `maxWords`: words held at once, at least 1. */
  constructor(maxWords = MAX_WORDS) {
    this.#maxWords = maxWords;
  }

  /** Words held now. */
  get size(): number {
    return this.#count;
  }

  /** Bytes held now, whatever was encoded before. */
  get bytes(): number {
    return this.#slots.byteLength + this.#keys.byteLength + this.#values.byteLength;
  }

  /** The array that `start` and `count` point into. Valid until the next `add`. */
  get values(): Int32Array {
    return this.#values;
  }

  /** Looks for `units[from..to)`, not empty, whose hash is `hash`; sets `start` and `count` if it is there. */
  find(units: Uint16Array, from: number, to: number, hash: number): boolean {
    const slots = this.#slots;
    const keys = this.#keys;
    const mask = this.#mask;
    const length = to - from;
    for (let i = mix(hash) & mask; ; i = (i + 1) & mask) {
      const slot = i * SLOT;
      const size = slots[slot + 2];
      if (size === 0) return false;
      if (slots[slot] !== hash || size !== length) continue;
      const key = slots[slot + 1];
      let same = 0;
      while (same < length && keys[key + same] === units[from + same]) same++;
      if (same < length) continue;
      this.start = slots[slot + 3];
      this.count = slots[slot + 4];
      return true;
    }
  }

  /** Remembers `ids[0..count)` for a stretch that `find` did not find. */
  add(units: Uint16Array, from: number, to: number, hash: number, ids: Int32Array, count: number): void {
    const length = to - from;
    if (length > MAX_KEY_UNITS || count > MAX_VALUES) return;
    if (this.#count >= this.#maxWords || this.#keyEnd + length > MAX_KEY_UNITS || this.#valueEnd + count > MAX_VALUES) this.#forget();
    if (this.#count * 2 > this.#mask) this.#widen();
    if (this.#keyEnd + length > this.#keys.length) {
      const larger = new Uint16Array(Math.max(this.#keys.length * 2, this.#keyEnd + length));
      larger.set(this.#keys);
      this.#keys = larger;
    }
    if (this.#valueEnd + count > this.#values.length) {
      const larger = new Int32Array(Math.max(this.#values.length * 2, this.#valueEnd + count));
      larger.set(this.#values);
      this.#values = larger;
    }
    const slot = this.#free(hash);
    this.#slots[slot] = hash;
    this.#slots[slot + 1] = this.#keyEnd;
    this.#slots[slot + 2] = length;
    this.#slots[slot + 3] = this.#valueEnd;
    this.#slots[slot + 4] = count;
    for (let i = 0; i < length; i++) this.#keys[this.#keyEnd + i] = units[from + i];
    for (let i = 0; i < count; i++) this.#values[this.#valueEnd + i] = ids[i];
    this.#keyEnd += length;
    this.#valueEnd += count;
    this.#count++;
  }

  #free(hash: number): number {
    let i = mix(hash) & this.#mask;
    while (this.#slots[i * SLOT + 2] !== 0) i = (i + 1) & this.#mask;
    return i * SLOT;
  }

  #widen(): void {
    const old = this.#slots;
    this.#mask = this.#mask * 2 + 1;
    this.#slots = new Int32Array(old.length * 2);
    for (let from = 0; from < old.length; from += SLOT) {
      if (old[from + 2] === 0) continue;
      const to = this.#free(old[from]);
      for (let i = 0; i < SLOT; i++) this.#slots[to + i] = old[from + i];
    }
  }

  #forget(): void {
    this.#slots.fill(0);
    this.#count = 0;
    this.#keyEnd = 0;
    this.#valueEnd = 0;
  }
}

/** The place of a hash: multiplication moves its entropy upwards, so the high half is folded in. */
function mix(hash: number): number {
  const h = Math.imul(hash, 0x9e3779b1);
  return (h ^ (h >>> 16)) >>> 0;
}
