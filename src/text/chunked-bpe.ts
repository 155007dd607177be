/**
 * BPE over code units, cut into chunks that merge on their own. What it trades: two tables a vocabulary (about 1 MiB
 * together) for a merge loop that hardly ever sees more than one word.
 *
 * Why cutting changes no result: every merge makes a piece, and that piece is a stretch of the text. So a place
 * can only be crossed by a merge if some piece that occurs in this text lies across it. Two tests use this, both of
 * which may only err towards not cutting:
 *
 * - neighbours: if no piece holds the two units side by side, nothing lies across the place between them. A
 *   bitmap of hashed pairs says so; a collision merely misses a cut. This is cheap and finds words.
 * - reach: pieces are followed from every place of a stretch; where none that starts before a place goes past it, it
 *   is a cut. This finds the finest cuts there are, and serves scripts that write no spaces, and overlong words.
 *
 * Between two cuts the order of merges is the same as in the whole text (least rank, then leftmost), since merges on
 * both sides of a cut never see each other. Words are remembered (word-cache.ts); their ids depend on nothing else.
 */

import type { IdSink } from './id-sink.ts';
import type { Merger } from './merge.ts';
import { PieceTrie } from './piece-trie.ts';
import { CodePointTable } from './tables.ts';
import { HASH_START, hashUnit, hashUnits, WordCache } from './word-cache.ts';

/** Chunks up to this many units are remembered; longer ones hardly ever repeat. */
const CACHED_UNITS = 24;
/** Pieces are followed this far; whatever goes on behind it counts as the longest piece, which only misses cuts. */
const WALK_UNITS = 32;
/** From here on (CJK radicals) scripts mostly write no spaces. Only time depends on it. */
const DENSE_FROM = 0x2e80;

const UNKNOWN = 0;
const WORD = 1;
const DENSE = 2;
const ASTRAL = 3;

/** What a chunk encoder needs of a vocabulary. */
export interface BpeVocabulary {
  readonly merger: Merger;
  /** The symbol that a character starts as, by code point; characters without one are unknown and never merge. */
  readonly symbols: ReadonlyMap<number, number>;
  /** Every piece of two characters or more that a merge can make, with its symbol. */
  readonly results: Iterable<readonly [string, number]>;
  /** Symbols from here on are characters that only occur inside pieces: unknown when left over. */
  readonly pieceCount: number;
  /** Code point of symbol `pieceCount + i`. */
  readonly extraPoints: readonly number[];
  /** Further characters of scripts without spaces (letters that stand for bytes of such). */
  readonly densePoints?: readonly number[];
  /** Words remembered at most; only tests choose. */
  readonly cacheWords?: number;
}

/** Cuts text into chunks, merges them and remembers them. */
export class ChunkedBpe {
  readonly #merger: Merger;
  readonly #pieceCount: number;
  readonly #extraPoints: readonly number[];
  /** Results of merges, and in `single` the symbols of characters of one unit. */
  readonly #trie: PieceTrie;
  readonly #astral = new CodePointTable();
  readonly #kinds = new Uint8Array(0x10000);
  readonly #neighbours: Int32Array;
  readonly #neighbourShift: number;
  readonly #longest: number;
  readonly #cache: WordCache;
  #work = new Int32Array(256);

  constructor({ merger, symbols, results, pieceCount, extraPoints, densePoints, cacheWords }: BpeVocabulary) {
    this.#merger = merger;
    this.#pieceCount = pieceCount;
    this.#extraPoints = extraPoints;
    this.#cache = new WordCache(cacheWords);
    const pieces = [...results];
    this.#trie = new PieceTrie(pieces.length);
    this.#kinds.fill(ASTRAL, 0xd800, 0xdc00);
    for (const [point, symbol] of symbols) {
      if (point > 0xffff) {
        this.#astral.set(point, symbol);
      } else {
        this.#trie.single[point] = symbol;
        this.#kinds[point] = point >= DENSE_FROM ? DENSE : WORD;
      }
    }
    for (const point of densePoints ?? []) if (this.#kinds[point] === WORD) this.#kinds[point] = DENSE;
    const pairs = new Set<number>();
    let longest = 1;
    for (const [text, symbol] of pieces) {
      this.#trie.add(text, symbol);
      longest = Math.max(longest, text.length);
      for (let i = 1; i < text.length; i++) pairs.add(text.charCodeAt(i - 1) * 0x10000 + text.charCodeAt(i));
    }
    this.#longest = longest;
    // At most one bit in 32 set: about 3 % of the cuts are missed.
    let bits = 14;
    while (bits < 22 && 2 ** bits < pairs.size * 32) bits++;
    this.#neighbours = new Int32Array(2 ** (bits - 5));
    this.#neighbourShift = 32 - bits;
    for (const pair of pairs) {
      const bit = pairHash(Math.floor(pair / 0x10000), pair & 0xffff) >>> this.#neighbourShift;
      this.#neighbours[bit >>> 5] |= 1 << (bit & 31);
    }
  }

  /** Words remembered now, and the bytes that takes. */
  get cached(): { readonly words: number; readonly bytes: number } {
    return { words: this.#cache.size, bytes: this.#cache.bytes };
  }

  /** Encodes `units[from..to)`, which is well-formed, and to which merges are confined. */
  encode(units: Uint16Array, from: number, to: number, sink: IdSink): void {
    const kinds = this.#kinds;
    const neighbours = this.#neighbours;
    const shift = this.#neighbourShift;
    let start = from;
    let hash = HASH_START;
    let i = from;
    while (i < to) {
      const unit = units[i];
      const kind = kinds[unit];
      if (i > start) {
        const bit = pairHash(units[i - 1], unit) >>> shift;
        if (kind === UNKNOWN || ((neighbours[bit >>> 5] >>> (bit & 31)) & 1) === 0) {
          this.#word(units, start, i, hash, sink);
          start = i;
          hash = HASH_START;
        }
      }
      if (kind === WORD) {
        hash = hashUnit(hash, unit);
        i++;
        continue;
      }
      if (kind === UNKNOWN) {
        sink.unknown(unit);
        i++;
      } else {
        i = this.#dense(units, start, to, i, sink);
      }
      start = i;
      hash = HASH_START;
    }
    if (to > start) this.#word(units, start, to, hash, sink);
  }

  /** Encodes a chunk whose hash is known. */
  #word(units: Uint16Array, from: number, to: number, hash: number, sink: IdSink): void {
    if (to - from === 1) this.#emit(this.#trie.single[units[from]], sink);
    else if (to - from > CACHED_UNITS) this.#dense(units, from, to, to, sink);
    else this.#remembered(units, from, to, hash, sink);
  }

  /** From a cut on, cuts as finely as can be: past `least` in any case, then until a character that belongs to a word. Gives where it stopped. */
  #dense(units: Uint16Array, from: number, to: number, least: number, sink: IdSink): number {
    const kinds = this.#kinds;
    const trie = this.#trie;
    let at = from;
    do {
      const unit = units[at];
      const kind = kinds[unit];
      if (kind === UNKNOWN) {
        sink.unknown(unit);
        at++;
        continue;
      }
      const first = at + (kind === ASTRAL ? 2 : 1);
      let reach = first;
      for (let p = at; p < reach; p += kinds[units[p]] === ASTRAL ? 2 : 1) reach = Math.max(reach, this.#reach(units, p, to));
      if (reach === first) this.#character(units, at, sink);
      else if (reach === at + 2) this.#emit(trie.value(trie.start(unit, units[at + 1])), sink);
      else this.#chunk(units, at, reach, sink);
      at = reach;
    } while (at < to && (at < least || kinds[units[at]] >= DENSE));
    return at;
  }

  /** Where the longest piece that starts at `at` ends at most; 0 if none is longer than one unit. */
  #reach(units: Uint16Array, at: number, to: number): number {
    if (at + 1 >= to) return 0;
    const bit = pairHash(units[at], units[at + 1]) >>> this.#neighbourShift;
    if (((this.#neighbours[bit >>> 5] >>> (bit & 31)) & 1) === 0) return 0;
    if (this.#longest <= WALK_UNITS) return this.#trie.longestEnd(units, at, to);
    const limit = Math.min(to, at + WALK_UNITS);
    return this.#trie.longestEnd(units, at, limit, Math.min(to, at + this.#longest));
  }

  /** A chunk of several characters, its hash not known yet. */
  #chunk(units: Uint16Array, from: number, to: number, sink: IdSink): void {
    if (to - from > CACHED_UNITS) {
      // Merging may put a larger array in the place of `#work`, so it comes first.
      const count = this.#merge(units, from, to);
      this.#emitAll(this.#work, 0, count, sink);
      return;
    }
    const hash = hashUnits(units, from, to);
    this.#remembered(units, from, to, hash, sink);
  }

  #remembered(units: Uint16Array, from: number, to: number, hash: number, sink: IdSink): void {
    const cache = this.#cache;
    if (cache.find(units, from, to, hash)) {
      this.#emitAll(cache.values, cache.start, cache.count, sink);
      return;
    }
    const count = this.#merge(units, from, to);
    cache.add(units, from, to, hash, this.#work, count);
    this.#emitAll(this.#work, 0, count, sink);
  }

  /** Merges a chunk of known characters into `#work`; gives the number of symbols. */
  #merge(units: Uint16Array, from: number, to: number): number {
    if (this.#work.length < to - from || (this.#work.length > 1 << 18 && to - from < 1 << 10)) this.#work = new Int32Array(Math.max(256, to - from));
    const work = this.#work;
    const single = this.#trie.single;
    let count = 0;
    for (let i = from; i < to; i++) {
      const unit = units[i];
      work[count++] = this.#kinds[unit] === ASTRAL ? this.#astral.get(codePoint(unit, units[++i])) : single[unit];
    }
    return this.#merger.run(work, count);
  }

  /** A character that is a chunk of its own. */
  #character(units: Uint16Array, at: number, sink: IdSink): void {
    const unit = units[at];
    if (this.#kinds[unit] !== ASTRAL) {
      this.#emit(this.#trie.single[unit], sink);
      return;
    }
    const point = codePoint(unit, units[at + 1]);
    const symbol = this.#astral.get(point);
    if (symbol >= 0 && symbol < this.#pieceCount) sink.piece(symbol);
    else sink.unknown(point);
  }

  #emit(symbol: number, sink: IdSink): void {
    if (symbol < this.#pieceCount) sink.piece(symbol);
    else sink.unknown(this.#extraPoints[symbol - this.#pieceCount]);
  }

  #emitAll(symbols: Int32Array, from: number, count: number, sink: IdSink): void {
    if (this.#extraPoints.length === 0) sink.pieces(symbols, from, count);
    else for (let i = from; i < from + count; i++) this.#emit(symbols[i], sink);
  }
}

function pairHash(left: number, right: number): number {
  return Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
}

/** The code point of a surrogate pair. */
export function codePoint(high: number, low: number): number {
  return ((high - 0xd800) << 10) + (low - 0xdc00) + 0x10000;
}
