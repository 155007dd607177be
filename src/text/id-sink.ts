/**
 * Where encoders put ids: a growing Int32Array with the rules for characters that no piece covers, so that the inner
 * loops make no garbage. One sink serves one tokenizer and is used again for every text; a buffer that a huge text
 * left behind is dropped.
 */

/** Room kept between texts, in ids (1 MiB). */
const KEPT_IDS = 1 << 18;

/** How unknown characters are spelt. */
export interface UnknownRules {
  /** The unknown id, or -1: such characters then vanish. */
  readonly unkId: number;
  /** Ids of the 256 byte pieces (-1: missing), or null without byte fallback. A character with a missing byte is unknown. */
  readonly byteIds: Int32Array | null;
  /** A run of unknown characters is one unknown id. */
  readonly fuse: boolean;
}

/** Ids of one text. */
export class IdSink {
  readonly #unkId: number;
  readonly #byteIds: Int32Array | null;
  readonly #fuse: boolean;
  #ids = new Int32Array(1024);
  #length = 0;
  /** An unknown id that is due before the next piece. */
  #pending = false;

  constructor({ unkId, byteIds, fuse }: UnknownRules) {
    this.#unkId = unkId;
    this.#byteIds = byteIds;
    this.#fuse = fuse;
  }

  get length(): number {
    return this.#length;
  }

  /** The ids so far, with room behind them. Valid until something is added. */
  get ids(): Int32Array {
    return this.#ids;
  }

  /** Adds the id of a piece. */
  piece(id: number): void {
    if (this.#pending) this.settle();
    if (this.#length === this.#ids.length) this.#grow(1);
    this.#ids[this.#length++] = id;
  }

  /** Adds `count` ids of pieces from `source[from]` on. */
  pieces(source: Int32Array, from: number, count: number): void {
    if (this.#pending) this.settle();
    if (this.#length + count > this.#ids.length) this.#grow(count);
    const ids = this.#ids;
    let to = this.#length;
    for (let i = from; i < from + count; i++) ids[to++] = source[i];
    this.#length = to;
  }

  /** Adds a character without a piece: its bytes, or an unknown id once it is clear that the run ends. */
  unknown(codePoint: number): void {
    if (this.#byteIds !== null && this.#spell(this.#byteIds, codePoint)) return;
    if (this.#unkId < 0) return;
    if (this.#pending && !this.#fuse) this.settle();
    this.#pending = true;
  }

  /** Ends a run of unknown characters. Call at the end of each part that no run crosses. */
  settle(): void {
    if (!this.#pending) return;
    this.#pending = false;
    if (this.#length === this.#ids.length) this.#grow(1);
    this.#ids[this.#length++] = this.#unkId;
  }

  /** Adds the UTF-8 bytes of a code point; false (and nothing added) if one of their ids is missing. */
  #spell(byteIds: Int32Array, point: number): boolean {
    // As tokenizers does, an unknown id that waits comes out after these bytes.
    if (this.#length + 4 > this.#ids.length) this.#grow(4);
    const ids = this.#ids;
    const at = this.#length;
    let count = 1;
    if (point < 0x80) {
      ids[at] = byteIds[point];
    } else if (point < 0x800) {
      ids[at] = byteIds[0xc0 | (point >> 6)];
      ids[at + 1] = byteIds[0x80 | (point & 63)];
      count = 2;
    } else if (point < 0x10000) {
      ids[at] = byteIds[0xe0 | (point >> 12)];
      ids[at + 1] = byteIds[0x80 | ((point >> 6) & 63)];
      ids[at + 2] = byteIds[0x80 | (point & 63)];
      count = 3;
    } else {
      ids[at] = byteIds[0xf0 | (point >> 18)];
      ids[at + 1] = byteIds[0x80 | ((point >> 12) & 63)];
      ids[at + 2] = byteIds[0x80 | ((point >> 6) & 63)];
      ids[at + 3] = byteIds[0x80 | (point & 63)];
      count = 4;
    }
    for (let i = at; i < at + count; i++) if (ids[i] < 0) return false;
    this.#length = at + count;
    return true;
  }

  /** Everything added since the last call, as an array; the sink is empty afterwards. */
  take(): number[] {
    this.settle();
    const length = this.#length;
    const ids = this.#ids;
    const out = new Array<number>(length);
    for (let i = 0; i < length; i++) out[i] = ids[i];
    this.#clear();
    return out;
  }

  /** As `take`, as a typed array: a quarter to a half of the memory. */
  takeTyped(): Int32Array {
    this.settle();
    const out = this.#ids.slice(0, this.#length);
    this.#clear();
    return out;
  }

  /** Takes back everything behind the first `length` ids. */
  truncate(length: number): void {
    this.#length = length;
    this.#pending = false;
  }

  /** Forgets what an interrupted call left behind. */
  reset(): void {
    this.#length = 0;
    this.#pending = false;
  }

  #clear(): void {
    this.#length = 0;
    if (this.#ids.length > KEPT_IDS) this.#ids = new Int32Array(1024);
  }

  #grow(more: number): void {
    const larger = new Int32Array(Math.max(this.#length + more, this.#ids.length * 2));
    larger.set(this.#ids.subarray(0, this.#length));
    this.#ids = larger;
  }
}
