/**
 * The strings the learner works on, each under a number: characters, pieces of the base, pieces learnt. All text
 * lies in one array of UTF-16 units, with a hash that joins (that of `ab` follows from those of `a` and `b`), so a pair
 * can be looked up by its joined text without making a string.
 */

const BASE = 0x01000193;

/** Numbered strings. */
export class SymbolStore {
  count = 0;
  /** By symbol: where its text lies, its units, its characters, its hash and the hash base to the power of its units. */
  start = new Int32Array(1 << 10);
  units = new Int32Array(1 << 10);
  characters = new Int32Array(1 << 10);
  hash = new Int32Array(1 << 10);
  power = new Int32Array(1 << 10);
  /** By symbol: its place in the order of merging (less is earlier). */
  rank = new Int32Array(1 << 10);
  /** By symbol: 1 if a piece that holds it may be learnt. */
  target = new Uint8Array(1 << 10);
  pool = new Uint16Array(1 << 13);
  #used = 0;

  /** Adds a string. `characters` is its length as the limit on pieces counts it. */
  add(text: string, rank: number, target: boolean, characters: number): number {
    const id = this.#next(text.length);
    let hash = 0;
    let power = 1;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      this.pool[this.#used + i] = unit;
      hash = (Math.imul(hash, BASE) + unit + 1) | 0;
      power = Math.imul(power, BASE);
    }
    this.#fill(id, text.length, characters, hash, power, rank, target ? 1 : 0);
    return id;
  }

  /** Adds the joined text of two symbols. */
  join(left: number, right: number, rank: number): number {
    const [first, second] = [this.units[left], this.units[right]];
    const id = this.#next(first + second);
    this.pool.copyWithin(this.#used, this.start[left], this.start[left] + first);
    this.pool.copyWithin(this.#used + first, this.start[right], this.start[right] + second);
    const characters = this.characters[left] + this.characters[right];
    const power = Math.imul(this.power[left], this.power[right]);
    this.#fill(id, first + second, characters, this.joinedHash(left, right), power, rank, this.target[left] | this.target[right]);
    return id;
  }

  /** The hash of the joined text of two symbols. */
  joinedHash(left: number, right: number): number {
    return (Math.imul(this.hash[left], this.power[right]) + this.hash[right]) | 0;
  }

  text(id: number): string {
    const start = this.start[id];
    return String.fromCharCode(...this.pool.subarray(start, start + this.units[id]));
  }

  #fill(id: number, units: number, characters: number, hash: number, power: number, rank: number, target: number): void {
    this.start[id] = this.#used;
    this.units[id] = units;
    this.characters[id] = characters;
    this.hash[id] = hash;
    this.power[id] = power;
    this.rank[id] = rank;
    this.target[id] = target;
    this.#used += units;
  }

  /** Room for one more symbol of so many units; its number. */
  #next(units: number): number {
    if (this.count === this.start.length) {
      const size = this.count * 2;
      this.start = grown(this.start, size);
      this.units = grown(this.units, size);
      this.characters = grown(this.characters, size);
      this.hash = grown(this.hash, size);
      this.power = grown(this.power, size);
      this.rank = grown(this.rank, size);
      const target = new Uint8Array(size);
      target.set(this.target);
      this.target = target;
    }
    if (this.#used + units > this.pool.length) {
      const pool = new Uint16Array((this.#used + units) * 2);
      pool.set(this.pool);
      this.pool = pool;
    }
    return this.count++;
  }
}

/** A longer copy. */
export function grown(array: Int32Array, size: number): Int32Array<ArrayBuffer> {
  const out = new Int32Array(size);
  out.set(array);
  return out;
}
