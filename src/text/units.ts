/**
 * The UTF-16 code units of a text in a typed array that is used again: the encoders read each unit several
 * times, and reading a typed array costs less than `charCodeAt` and needs no copies of substrings.
 */

/** Room kept between texts, in units (512 KiB). */
const KEPT_UNITS = 1 << 18;

/** A growing array of code units. */
export class UnitBuffer {
  #units = new Uint16Array(1024);

  /** What was filled last. */
  get units(): Uint16Array {
    return this.#units;
  }

  /** The array, with room for `count` units at least; what it held may be gone. */
  room(count: number): Uint16Array {
    if (this.#units.length < count || (this.#units.length > KEPT_UNITS && count <= KEPT_UNITS)) {
      this.#units = new Uint16Array(Math.max(count, Math.min(count * 2, KEPT_UNITS)));
    }
    return this.#units;
  }

  /** The array, made longer: room for `count` units at least, with the first `kept` still there. */
  grow(kept: number, count: number): Uint16Array {
    const larger = new Uint16Array(Math.max(count, this.#units.length * 2));
    larger.set(this.#units.subarray(0, kept));
    this.#units = larger;
    return larger;
  }

  /** The array with a text's units from its start on; the text's length says how many. */
  fill(text: string): Uint16Array {
    const units = this.room(text.length);
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    return units;
  }
}

/** The string of `units[from..to)`. */
export function unitsToString(units: Uint16Array, from: number, to: number): string {
  let text = '';
  // In steps, since arguments lie on the stack.
  for (let i = from; i < to; i += 4096) text += String.fromCharCode(...units.subarray(i, Math.min(to, i + 4096)));
  return text;
}
