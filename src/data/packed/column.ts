/**
 * A list of u32 that grows, for tables with an entry a document: four bytes each, where an array of objects takes dozens and
 * wakes the garbage collector.
 */

export class Column {
  #values = new Uint32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const wider = new Uint32Array(this.length * 2);
      wider.set(this.#values);
      this.#values = wider;
    }
    this.#values[this.length++] = value;
  }

  /** The values, sharing memory until the next push. */
  get values(): Uint32Array<ArrayBuffer> {
    return this.#values.subarray(0, this.length);
  }
}
