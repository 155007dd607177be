/**
 * Slots of the cache, given out in turn: contiguous runs, freed in the order they were taken once the pass that read them last is over. A run
 * never wraps, so what is left before the end may stay empty for a round.
 */

interface Taken {
  readonly at: number;
  readonly length: number;
  /** Number of the last pass that reads it; infinity while it may be read on. */
  lastPass: number;
}

/** Slots `from` to `from + size - 1`. */
export class Ring {
  private readonly from: number;
  private readonly size: number;
  private readonly taken: Taken[] = [];

  constructor(from: number, size: number) {
    this.from = from;
    this.size = size;
  }

  /** The first of `length` slots in a row that no run read in `pass` or later holds; null where there is no room yet. */
  take(length: number, pass: number): { readonly slot: number; end(pass: number): void } | null {
    while (this.taken.length > 0 && this.taken[0].lastPass < pass) this.taken.shift();
    const at = this.place(length);
    if (at === null) return null;
    const run: Taken = { at, length, lastPass: Number.POSITIVE_INFINITY };
    this.taken.push(run);
    return {
      slot: this.from + at,
      end: (last) => {
        run.lastPass = last;
      },
    };
  }

  private place(length: number): number | null {
    const [oldest] = this.taken;
    const newest = this.taken.at(-1);
    if (!oldest || !newest) return length <= this.size ? 0 : null;
    const end = newest.at + newest.length;
    if (newest.at < oldest.at) return end + length <= oldest.at ? end : null;
    if (end + length <= this.size) return end;
    return length <= oldest.at ? 0 : null;
  }
}
