/**
 * The merge engine: words as sequences of symbols, merged one piece at a time exactly as an encoder with the pieces
 * so far would merge them. Each position knows its pair and its neighbours of the same candidate, so a merge touches
 * nothing but the places where it happens. Flat arrays throughout, 24 bytes a symbol; no garbage a merge.
 *
 * Why every piece it learns encodes to itself: its last merge joined two symbols inside some word. No merge in
 * that word ever crossed the two's outer edges (they stand to the end), and merges outside them change nothing
 * within. So the merges inside are those an encoder makes of the text alone, in the same order (best rank, then leftmost),
 * and it arrives at the same two symbols, which the piece joins. Pieces learnt later rank lower and come too late.
 */

import { ScionError } from '../../base/errors.ts';
import { BANNED, CandidateTable, OPEN } from './candidates.ts';
import { grown, type SymbolStore } from './symbols.ts';

/** Between words, and where a character stands that no piece will hold. */
export const BREAK = -1;

/** Positions are 32-bit integers, and arrays of them double. */
const MAX_POSITIONS = 1 << 29;

/** What limits the pieces. */
export interface EngineOptions {
  /** Longest piece, in the symbols' characters. */
  readonly maxCharacters: number;
  /** Least weight a merge must save. */
  readonly least: number;
  /** Asked once for each new text that the other rules allow. */
  readonly accept?: (text: string) => boolean;
  /** Merges are between pairs: the same text from another pair is another piece. Default false. */
  readonly byPair?: boolean;
}

/** Words under merging. */
export class MergeEngine {
  readonly symbols: SymbolStore;
  readonly candidates: CandidateTable;
  readonly #options: EngineOptions;
  /** Pieces that exist already may be longer than what is learnt. */
  #lookupCharacters: number;
  #count = 1;
  /** By position: the symbol (valid where one starts), or BREAK. */
  #symbol = new Int32Array(1 << 12).fill(BREAK);
  /** By position: the positions a symbol covers, written at its first and last one. */
  #extent = new Int32Array(1 << 12);
  #word = new Int32Array(1 << 12);
  /** By position of a pair's left symbol: its candidate or -1, and the next and previous position of that candidate. */
  #pair = new Int32Array(0);
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  #weights = new Float64Array(1 << 8);
  #words = 0;
  #touched = new Int32Array(1 << 8);
  #touchedCount = 0;
  #marked = new Uint8Array(1 << 10);
  #places = new Int32Array(1 << 8);
  #rank = 0;

  constructor(symbols: SymbolStore, options: EngineOptions) {
    this.symbols = symbols;
    this.#options = options;
    this.#lookupCharacters = options.maxCharacters;
    this.candidates = new CandidateTable(symbols, options.least, options.byPair);
  }

  /** Declares a piece that exists: two symbols with its joined text merge by themselves, in order of rank. */
  addPiece(symbol: number): void {
    const candidate = this.candidates.find(symbol, -1, true);
    this.candidates.state[candidate] = symbol;
    this.#lookupCharacters = Math.max(this.#lookupCharacters, this.symbols.characters[symbol]);
    this.#rank = Math.max(this.#rank, this.symbols.rank[symbol] + 1);
  }

  /** Declares that a symbol's text shall never be a piece. */
  ban(symbol: number): void {
    const candidate = this.candidates.find(symbol, -1, true);
    if (this.candidates.state[candidate] === OPEN) this.candidates.state[candidate] = BANNED;
  }

  /** Adds a word; no pair of it may join to an existing piece. All words come before `start`. */
  addWord(word: ArrayLike<number>, count: number, weight: number): void {
    const needed = this.#count + count + 1;
    if (needed > MAX_POSITIONS) {
      throw new ScionError('space', `the words have more than ${MAX_POSITIONS} symbols; give fewer texts or a smaller budget`, { symbols: needed });
    }
    if (needed > this.#symbol.length) {
      const size = Math.max(needed, this.#symbol.length * 2);
      this.#symbol = grown(this.#symbol, size);
      this.#extent = grown(this.#extent, size);
      this.#word = grown(this.#word, size);
    }
    if (this.#words === this.#weights.length) {
      const weights = new Float64Array(this.#words * 2);
      weights.set(this.#weights);
      this.#weights = weights;
    }
    for (let i = 0; i < count; i++) {
      this.#symbol[this.#count] = word[i];
      this.#extent[this.#count] = 1;
      this.#word[this.#count++] = this.#words;
    }
    this.#symbol[this.#count++] = BREAK;
    this.#weights[this.#words++] = weight;
  }

  /** Counts all pairs. */
  start(): void {
    this.#pair = new Int32Array(this.#count).fill(-1);
    this.#next = new Int32Array(this.#count);
    this.#previous = new Int32Array(this.#count);
    for (let at = this.#count - 3; at >= 1; at--) {
      if (this.#symbol[at] === BREAK || this.#symbol[at + 1] === BREAK) continue;
      const candidate = this.#candidate(this.#symbol[at], this.#symbol[at + 1]);
      if (candidate >= 0 && this.candidates.state[candidate] === OPEN) this.#link(at, candidate);
    }
    for (let i = 0; i < this.#touchedCount; i++) this.#marked[this.#touched[i]] = 0;
    this.#touchedCount = 0;
    this.candidates.start();
  }

  /** The best candidate now, or -1. */
  best(): number {
    return this.candidates.best();
  }

  /** Makes a candidate a piece, of a rank behind all others, and merges its pairs; gives the new symbol. */
  adopt(candidate: number): number {
    const { candidates } = this;
    const symbol = this.symbols.join(candidates.left[candidate], candidates.right[candidate], this.#rank++);
    candidates.state[candidate] = symbol;
    let count = 0;
    let ascending = true;
    for (let at = candidates.head[candidate]; at >= 0; at = this.#next[at]) {
      ascending &&= count === 0 || this.#places[count - 1] < at;
      if (count === this.#places.length) this.#places = grown(this.#places, count * 2);
      this.#places[count++] = at;
    }
    // Leftmost first matters where pairs overlap (`aaa`).
    if (!ascending) this.#places.subarray(0, count).sort();
    for (let i = 0; i < count; i++) if (this.#pair[this.#places[i]] === candidate) this.#merge(this.#places[i], symbol);
    this.#clearTouched();
    return symbol;
  }

  /** Joins the symbol at `at` with the one after it to `symbol`, and on while neighbours join to existing pieces. */
  #merge(at: number, symbol: number): void {
    const { candidates, symbols } = this;
    let place = at;
    let joined = symbol;
    for (;;) {
      this.#drop(place);
      const right = place + this.#extent[place];
      this.#drop(right);
      const extent = this.#extent[place] + this.#extent[right];
      const before = this.#symbol[place - 1] === BREAK ? -1 : place - this.#extent[place - 1];
      if (before >= 0) this.#drop(before);
      const after = place + extent;
      this.#symbol[place] = joined;
      this.#extent[place] = extent;
      this.#extent[after - 1] = extent;
      const withBefore = before < 0 ? -1 : this.#candidate(this.#symbol[before], joined);
      const withAfter = this.#symbol[after] === BREAK ? -1 : this.#candidate(joined, this.#symbol[after]);
      const first = withBefore < 0 ? OPEN : candidates.state[withBefore];
      const second = withAfter < 0 ? OPEN : candidates.state[withAfter];
      if (first >= 0 && (second < 0 || symbols.rank[first] <= symbols.rank[second])) {
        place = before;
        joined = first;
        continue;
      }
      if (second >= 0) {
        joined = second;
        continue;
      }
      if (withBefore >= 0) this.#link(before, withBefore);
      if (withAfter >= 0) this.#link(place, withAfter);
      return;
    }
  }

  /** The candidate of a pair, made if need be; -1 for pairs that can be no piece. */
  #candidate(left: number, right: number): number {
    const { symbols, candidates } = this;
    const characters = symbols.characters[left] + symbols.characters[right];
    if (characters > this.#lookupCharacters || (symbols.target[left] | symbols.target[right]) === 0) return -1;
    const made = candidates.count;
    const candidate = candidates.find(left, right, characters <= this.#options.maxCharacters);
    if (candidate >= made && this.#options.accept !== undefined && !this.#options.accept(candidates.text(candidate))) candidates.state[candidate] = BANNED;
    return candidate < 0 || candidates.state[candidate] === BANNED ? -1 : candidate;
  }

  #link(at: number, candidate: number): void {
    const { candidates } = this;
    const head = candidates.head[candidate];
    this.#pair[at] = candidate;
    this.#next[at] = head;
    this.#previous[at] = -1;
    if (head >= 0) this.#previous[head] = at;
    candidates.head[candidate] = at;
    candidates.weight[candidate] += this.#weights[this.#word[at]];
    if (candidate >= this.#marked.length) {
      const marked = new Uint8Array(candidates.left.length);
      marked.set(this.#marked);
      this.#marked = marked;
    }
    if (this.#marked[candidate] === 1) return;
    this.#marked[candidate] = 1;
    if (this.#touchedCount === this.#touched.length) this.#touched = grown(this.#touched, this.#touchedCount * 2);
    this.#touched[this.#touchedCount++] = candidate;
  }

  #drop(at: number): void {
    const candidate = this.#pair[at];
    if (candidate < 0) return;
    const [next, previous] = [this.#next[at], this.#previous[at]];
    if (previous >= 0) this.#next[previous] = next;
    else this.candidates.head[candidate] = next;
    if (next >= 0) this.#previous[next] = previous;
    this.#pair[at] = -1;
    this.candidates.weight[candidate] -= this.#weights[this.#word[at]];
  }

  #clearTouched(): void {
    for (let i = 0; i < this.#touchedCount; i++) {
      this.#marked[this.#touched[i]] = 0;
      this.candidates.raise(this.#touched[i]);
    }
    this.#touchedCount = 0;
  }
}
