/**
 * How much of a text repeats itself: duplicate lines and paragraphs, the share of the most frequent n-gram, the share of
 * duplicate n-grams (Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher",
 * table A1). An n-gram can repeat only where both its (n-1)-grams do, so each level looks only at what repeated on the
 * one before: on prose the cost is about that of the pairs. Exact up to equal 64-bit hashes of different words.
 */
import type { Scan, Spans } from './scan.ts';

/** The most different texts of one hash that are compared before a line counts as new: bounds work on forged hashes. */
const MAX_COMPARES = 64;

function equalAt(text: string, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (text.charCodeAt(a + i) !== text.charCodeAt(b + i)) return false;
  return true;
}

/** Works on a scan; reuse one for many texts. */
export class Repetition {
  #slots = new Int32Array(1024);
  /** For each position the first position with the same n-gram. */
  #groups = new Int32Array(0);
  /** How often the n-gram whose first position this is was seen. */
  #counts = new Int32Array(0);
  /** Positions, ascending, whose n-gram is there more than once. */
  #repeated = new Int32Array(0);
  #repeatedCount = 0;
  #visited = new Uint8Array(0);
  #level = 0;
  #topCount = 0;
  #topAt = 0;
  #scan: Scan | null = null;

  /** Begins with a new scan. */
  begin(scan: Scan): void {
    this.#scan = scan;
    this.#level = 0;
  }

  /** Lines or paragraphs that were there before, and their characters (UTF-16 units). */
  duplicates(text: string, spans: Spans): { count: number; characters: number } {
    const { starts, ends, hashes, count: n } = spans;
    const mask = this.#clear(n) - 1;
    const slots = this.#slots;
    let count = 0;
    let characters = 0;
    for (let i = 0; i < n; i++) {
      const hash = hashes[i];
      const length = ends[i] - starts[i];
      let slot = Math.imul(hash ^ length, 0x9e3779b1) >>> 7;
      let compares = 0;
      for (;;) {
        slot &= mask;
        const other = slots[slot] - 1;
        if (other < 0) {
          slots[slot] = i + 1;
          break;
        }
        if (hashes[other] === hash && ends[other] - starts[other] === length) {
          if (equalAt(text, starts[other], starts[i], length)) {
            count++;
            characters += length;
            break;
          }
          if (++compares === MAX_COMPARES) break;
        }
        slot++;
      }
    }
    return { count, characters };
  }

  /** Share of the text's characters in the most frequent n-gram that is there twice or more, n >= 2; words joined by one space where the script has spaces. */
  topShare(n: number): number {
    const scan = this.#reach(n);
    if (this.#topCount < 2 || scan.characters === 0) return 0;
    const gaps = scan.unspaced ? 0 : n - 1;
    return ((scan.ends[this.#topAt + n] - scan.ends[this.#topAt] + gaps) * this.#topCount) / scan.characters;
  }

  /** Share of the text's characters in n-grams that were there before, counted from left to right without overlap. */
  duplicateShare(n: number): number {
    const scan = this.#reach(n);
    if (scan.characters === 0) return 0;
    const repeated = this.#repeated;
    const visited = this.#visited;
    for (let k = 0; k < this.#repeatedCount; k++) visited[this.#groups[repeated[k]]] = 0;
    let characters = 0;
    let next = 0;
    for (let k = 0; k < this.#repeatedCount; k++) {
      const at = repeated[k];
      if (at < next) continue;
      const group = this.#groups[at];
      if (visited[group] === 1) {
        characters += scan.ends[at + n] - scan.ends[at];
        next = at + n;
      } else visited[group] = 1;
    }
    return characters / scan.characters;
  }

  #reach(n: number): Scan {
    const scan = this.#scan as Scan;
    if (this.#level > n || this.#level === 0) this.#pairs(scan);
    while (this.#level < n) this.#next(scan);
    return scan;
  }

  #pairs(scan: Scan): void {
    const n = scan.kept - 1;
    this.#reserve(scan.kept);
    const { hashA, hashB } = scan;
    const groups = this.#groups;
    const counts = this.#counts;
    const mask = this.#clear(n) - 1;
    const slots = this.#slots;
    for (let i = 0; i < n; i++) {
      const a = hashA[i];
      const b = hashB[i];
      const c = hashA[i + 1];
      const d = hashB[i + 1];
      let slot = Math.imul(Math.imul(a, 0x2c1b3c6d) ^ c, 0x9e3779b1);
      slot ^= slot >>> 15;
      for (;;) {
        slot &= mask;
        const first = slots[slot] - 1;
        if (first < 0) {
          slots[slot] = i + 1;
          groups[i] = i;
          counts[i] = 1;
          break;
        }
        if (hashA[first] === a && hashA[first + 1] === c && hashB[first] === b && hashB[first + 1] === d) {
          groups[i] = first;
          counts[first]++;
          break;
        }
        slot++;
      }
    }
    const repeated = this.#repeated;
    let kept = 0;
    for (let i = 0; i < n; i++) if (counts[groups[i]] > 1) repeated[kept++] = i;
    this.#finish(2, kept);
  }

  /** From the repeated n-grams to those one word longer. */
  #next(scan: Scan): void {
    const n = this.#level + 1;
    const last = scan.kept - n;
    const groups = this.#groups;
    const counts = this.#counts;
    const repeated = this.#repeated;
    const total = this.#repeatedCount;
    const mask = this.#clear(total) - 1;
    const slots = this.#slots;
    let candidates = 0;
    for (let k = 0; k < total; k++) {
      const at = repeated[k];
      if (at > last || k + 1 >= total || repeated[k + 1] !== at + 1) continue;
      const left = groups[at];
      const right = groups[at + 1];
      let slot = Math.imul(Math.imul(left, 0x2c1b3c6d) ^ right, 0x9e3779b1);
      slot ^= slot >>> 15;
      let group = at;
      for (;;) {
        slot &= mask;
        const first = slots[slot] - 1;
        if (first < 0) {
          slots[slot] = at + 1;
          break;
        }
        // The groups of the level below are still those of positions to the right; of this one they are kept aside.
        if (this.#lefts[first] === left && this.#rights[first] === right) {
          group = first;
          break;
        }
        slot++;
      }
      if (group === at) {
        this.#lefts[at] = left;
        this.#rights[at] = right;
        counts[at] = 1;
      } else counts[group]++;
      groups[at] = group;
      repeated[candidates++] = at;
    }
    let kept = 0;
    for (let k = 0; k < candidates; k++) if (counts[groups[repeated[k]]] > 1) repeated[kept++] = repeated[k];
    this.#finish(n, kept);
  }

  #lefts = new Int32Array(0);
  #rights = new Int32Array(0);

  /** The most frequent n-gram, of equals the first. */
  #finish(level: number, kept: number): void {
    this.#level = level;
    this.#repeatedCount = kept;
    this.#topCount = 1;
    this.#topAt = 0;
    for (let k = 0; k < kept; k++) {
      const at = this.#repeated[k];
      if (this.#groups[at] === at && this.#counts[at] > this.#topCount) {
        this.#topCount = this.#counts[at];
        this.#topAt = at;
      }
    }
  }

  /** An empty table for `entries`, at most half full. */
  #clear(entries: number): number {
    let size = 16;
    while (size < 2 * entries) size *= 2;
    if (this.#slots.length < size) this.#slots = new Int32Array(size);
    else this.#slots.fill(0, 0, size);
    return size;
  }

  #reserve(tokens: number): void {
    if (this.#groups.length >= tokens) return;
    const size = Math.max(tokens, 4096);
    this.#groups = new Int32Array(size);
    this.#counts = new Int32Array(size);
    this.#repeated = new Int32Array(size);
    this.#lefts = new Int32Array(size);
    this.#rights = new Int32Array(size);
    this.#visited = new Uint8Array(size);
  }
}
