/**
 * Encoding with a SentencePiece unigram model: the cut with the greatest sum of log probabilities, by
 * Viterbi's method over all pieces that start at each character. Scores are kept in f32 between positions
 * and compared in f64, as SentencePiece 0.1.97 to 0.2.0 does: the choice between equally good cuts depends on it.
 * (0.2.3 sums in another way and takes the other of two such cuts in a few long texts.)
 *
 * The text is cut into chunks where no piece holds the two units side by side: every way through the text passes
 * there, so a chunk asks nothing of what came before but the sum up to it, and going chunk by chunk does the very same
 * operations. Short chunks are remembered with their ids (about 11 MiB a tokenizer at most). The sum up to a chunk
 * changes how the sums within it are rounded, and so may change which of two nearly equal ways wins; a remembered
 * chunk therefore knows up to which sum its ids are certain. Beyond that the plain loop runs.
 *
 * Why they are certain. Let H be the f32 sum before a chunk of n units, R(p) the exact best sum from the chunk's start to
 * place p, B(p) the f32 that the plain loop holds there in the end, f the rounding to f32, and M a bound of the size of
 * all sums in the chunk, H included. A candidate for p is C = B(s) + score, rounded by 2^-53 M at most (by 2^-24 M for an
 * unknown character, which is rounded to f32 at once). The loop takes C if C is greater than the f32 it holds, and then
 * holds f(C). As f keeps order, what is held never falls and is never less than f(C) of any C that came by: so
 * B(p) = max f(C). With u = (2^-24 + 2^-53) M, both C and f(C) are within e(s) + u of the exact sum, where
 * e(s) bounds |B(s) - H - R(s)|; hence e(p) <= max e(s) + u, and p units behind the start, after p steps at most,
 * e(p) <= p u. A candidate for p comes from before p. So every C and every f(C) for p is within p u of the exact sum it
 * stands for, and if the best way to p leads the others by more than 2 p u in exact numbers, its C is greater than any
 * f(C) before it, and its f(C) is greater than any C behind it: it is the one that stays. If that holds at all places of
 * the best way, the loop's ids are those of the exact sums. The lead is reckoned in f64 from zero, with an error
 * below p 2^-51 M. That, and what M leaves out (it is taken as |H| + n times the largest score), is covered by taking
 * 2^-24 (1 + 2^-6) M for u; sums too small to be normal f32 numbers by adding 2^-60 to M. The sum at the end of the
 * chunk is then the f32 sum over the pieces taken, one after the other.
 */

import { PIECE, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { codePoint } from './chunked-bpe.ts';
import type { IdSink } from './id-sink.ts';
import { CELL, PieceArray } from './piece-array.ts';
import type { PieceEncoder } from './sentencepiece-bpe.ts';
import { utf8LengthOf } from './utf8.ts';
import { HASH_START, hashUnit, WordCache } from './word-cache.ts';

/** How much worse an unknown character is than the worst piece. */
const UNKNOWN_PENALTY = 10;

/** Room kept between chunks, in places (3 MiB). */
const KEPT_PLACES = 1 << 18;

/** Smallest positive normal f32: the library's running maximum starts there, so it is the maximum of all-negative scores. */
const FLOAT_MIN = 2 ** -126;

/** Chunks up to this many units are remembered; longer ones hardly ever repeat. */
const CACHED_UNITS = 24;

/** What one step adds to the error at most, in relation to the sum (u / M above). */
const ROUNDING = 2 ** -24 * (1 + 2 ** -6);
/** Ids are remembered as certain up to this sum at most. */
const MAX_SUM = 2 ** 30;
/** Covers what is lost below the normal f32 numbers. */
const TINY = 2 ** -60;
/** Scores beyond this (no real model has any) are not reckoned with: nothing is remembered. */
const MAX_SCORE = 2 ** 60;

/** Best cut over the pieces of a model. */
export class Unigram implements PieceEncoder {
  readonly #trie: PieceArray;
  /** The score of each piece; user-defined ones get a bonus that beats any path through other pieces. */
  readonly #scores: Float64Array;
  readonly #unknownScore: number;
  /** The size of the largest score: no way through n units has a sum beyond n times that. */
  readonly #largest: number;
  /** Two units side by side in some piece, as hashed bits; a collision merely misses a cut. */
  readonly #neighbours: Int32Array;
  readonly #neighbourShift: number;
  readonly #cache: WordCache | null;
  /** By place of a chunk: the score of the best cut up to there, where its last piece starts (-1: not reached) and its id (-1: unknown). */
  #best = new Float32Array(64);
  #startOf = new Int32Array(64);
  #idAt = new Int32Array(64);
  /** The best and the second candidate of each place, from zero, unrounded. */
  readonly #sum = new Float64Array(CACHED_UNITS + 1);
  readonly #second = new Float64Array(CACHED_UNITS + 1);
  /** What is remembered of a chunk: the greatest sum (its size) for which the ids are certain, or -1; then the ids. */
  readonly #entry = new Int32Array(CACHED_UNITS + 1);

  /** `cacheWords`: chunks remembered at most, 0 for none; only tests choose. */
  constructor(model: SentencePieceModel, cacheWords?: number) {
    let least = Infinity;
    let greatest = FLOAT_MIN;
    for (const { score, type } of model.pieces) {
      if (type !== PIECE.NORMAL) continue;
      least = Math.min(least, Math.fround(score));
      greatest = Math.max(greatest, Math.fround(score));
    }
    this.#unknownScore = Math.fround(least - UNKNOWN_PENALTY);
    this.#scores = new Float64Array(model.pieces.length);
    const kept: string[] = [];
    const ids: number[] = [];
    model.pieces.forEach(({ text, score, type }, id) => {
      if (type !== PIECE.NORMAL && type !== PIECE.USER_DEFINED) return;
      this.#scores[id] = type === PIECE.USER_DEFINED ? Math.fround(utf8LengthOf(text) * greatest) - 0.1 : Math.fround(score);
      kept.push(text);
      ids.push(id);
    });
    this.#trie = new PieceArray(kept, ids);
    // At most one bit in 32 set: 3 % of the cuts are missed, or less.
    let bits = 14;
    while (bits < 22 && 2 ** bits < this.#trie.pairs * 32) bits++;
    this.#neighbours = new Int32Array(2 ** (bits - 5));
    this.#neighbourShift = 32 - bits;
    for (const text of kept) {
      for (let i = 1; i < text.length; i++) {
        const bit = pairHash(text.charCodeAt(i - 1), text.charCodeAt(i)) >>> this.#neighbourShift;
        this.#neighbours[bit >>> 5] |= 1 << (bit & 31);
      }
    }
    this.#largest = this.#scores.reduce((most, score) => Math.max(most, Math.abs(score)), Math.abs(this.#unknownScore));
    this.#cache = this.#largest <= MAX_SCORE && cacheWords !== 0 ? new WordCache(cacheWords) : null;
  }

  encode(units: Uint16Array, count: number, sink: IdSink): void {
    const neighbours = this.#neighbours;
    const shift = this.#neighbourShift;
    this.#best[0] = 0;
    let start = 0;
    let last = units[0];
    let hash = hashUnit(HASH_START, last);
    for (let i = 1; i < count; i++) {
      const unit = units[i];
      const bit = pairHash(last, unit) >>> shift;
      last = unit;
      // Pairs of surrogates stay together.
      if (((neighbours[bit >>> 5] >>> (bit & 31)) & 1) === 1 || (unit & 0xfc00) === 0xdc00) {
        hash = hashUnit(hash, unit);
        continue;
      }
      this.#chunk(units, start, i, hash, sink);
      start = i;
      hash = hashUnit(HASH_START, unit);
    }
    if (count > 0) this.#chunk(units, start, count, hash, sink);
    sink.settle();
  }

  /** Encodes a chunk. `#best[0]` is the sum up to it, and afterwards up to its end. */
  #chunk(units: Uint16Array, from: number, to: number, hash: number, sink: IdSink): void {
    const size = to - from;
    const best = this.#best;
    const scores = this.#scores;
    if (size === 1) {
      const id = this.#trie.single(units[from]);
      if (id >= 0) {
        best[0] = scores[id] + best[0];
        sink.piece(id);
      } else {
        best[0] = this.#unknownScore + best[0];
        sink.unknown(units[from]);
      }
      return;
    }
    const cache = this.#cache;
    if (size > CACHED_UNITS || cache === null) {
      this.#plain(units, from, to, sink);
      return;
    }
    let entry: Int32Array;
    let at = 0;
    let count: number;
    if (cache.find(units, from, to, hash)) {
      entry = cache.values;
      at = cache.start;
      count = cache.count;
    } else {
      entry = this.#entry;
      count = this.#learn(units, from, to);
      cache.add(units, from, to, hash, entry, count);
    }
    let sum = best[0];
    if (!(Math.abs(sum) <= entry[at])) {
      this.#plain(units, from, to, sink);
      return;
    }
    for (let i = at + 1; i < at + count; i++) sum = Math.fround(scores[entry[i]] + sum);
    best[0] = sum;
    sink.pieces(entry, at + 1, count - 1);
  }

  /** The plain loop over a chunk, from the sum in `#best[0]`. */
  #plain(units: Uint16Array, from: number, to: number, sink: IdSink): void {
    const count = to - from;
    if (this.#best.length <= count || (this.#best.length > KEPT_PLACES && count < KEPT_PLACES)) {
      const places = Math.max(count + 1, Math.min(2 * count + 2, KEPT_PLACES));
      const sum = this.#best[0];
      this.#best = new Float32Array(places);
      this.#best[0] = sum;
      this.#startOf = new Int32Array(places);
      this.#idAt = new Int32Array(places);
    }
    const best = this.#best;
    const startOf = this.#startOf;
    const idAt = this.#idAt;
    const { cells, codes } = this.#trie;
    const scores = this.#scores;
    startOf.fill(-1, 0, count + 1);
    for (let start = 0; start < count; ) {
      const here = best[start];
      const unit = units[from + start];
      const first = start + ((unit & 0xfc00) === 0xd800 ? 2 : 1);
      let single = false;
      let cell = CELL * codes[unit];
      for (let end = start + 1; ; ) {
        const id = cells[cell + 2];
        if (id >= 0) {
          const score = scores[id] + here;
          if (startOf[end] === -1 || score > best[end]) {
            best[end] = score;
            startOf[end] = start;
            idAt[end] = id;
          }
          if (end === first) single = true;
        }
        const base = cells[cell];
        if (base === 0 || end >= count) break;
        cell = CELL * (base + codes[units[from + end++]]);
        if (cells[cell + 1] !== base) break;
      }
      if (!single) {
        const score = Math.fround(this.#unknownScore + here);
        if (startOf[first] === -1 || score > best[first]) {
          best[first] = score;
          startOf[first] = start;
          idAt[first] = -1;
        }
      }
      start = first;
    }
    // Backwards over the best cut, leaving in `startOf` of each place where the next one is.
    let next = count;
    for (let end = count; end > 0; ) {
      const start = startOf[end];
      startOf[end] = next;
      next = end;
      end = start;
    }
    for (let start = 0, end = next; start < count; ) {
      const unit = units[from + start];
      if (idAt[end] >= 0) sink.piece(idAt[end]);
      else sink.unknown((unit & 0xfc00) === 0xd800 ? codePoint(unit, units[from + start + 1]) : unit);
      start = end;
      end = startOf[end];
    }
    best[0] = best[count];
  }

  /** The best cut of a chunk by sums from zero, into `#entry`; gives how many numbers that is. */
  #learn(units: Uint16Array, from: number, to: number): number {
    const count = to - from;
    const sum = this.#sum;
    const second = this.#second;
    const startOf = this.#startOf;
    const idAt = this.#idAt;
    const { cells, codes } = this.#trie;
    const scores = this.#scores;
    sum.fill(-Infinity, 0, count + 1);
    second.fill(-Infinity, 0, count + 1);
    sum[0] = 0;
    for (let start = 0; start < count; ) {
      const here = sum[start];
      const unit = units[from + start];
      const first = start + ((unit & 0xfc00) === 0xd800 ? 2 : 1);
      let single = false;
      let cell = CELL * codes[unit];
      for (let end = start + 1; ; ) {
        const id = cells[cell + 2];
        if (id >= 0) {
          this.#offer(start, end, id, here + scores[id]);
          if (end === first) single = true;
        }
        const base = cells[cell];
        if (base === 0 || end >= count) break;
        cell = CELL * (base + codes[units[from + end++]]);
        if (cells[cell + 1] !== base) break;
      }
      if (!single) this.#offer(start, first, -1, here + this.#unknownScore);
      start = first;
    }
    const entry = this.#entry;
    let bound = Infinity;
    let ids = 0;
    for (let end = count; end > 0; end = startOf[end]) {
      bound = Math.min(bound, (sum[end] - second[end]) / (2 * end * ROUNDING));
      entry[1 + ids++] = idAt[end];
    }
    for (let i = 1, j = ids; i < j; i++, j--) {
      const id = entry[i];
      entry[i] = entry[j];
      entry[j] = id;
    }
    entry[0] = Math.max(-1, Math.min(MAX_SUM, Math.floor(bound - count * this.#largest - TINY)));
    // Unknown characters are left to the plain loop.
    for (let i = 1; i <= ids; i++) if (entry[i] < 0) entry[0] = -1;
    return ids + 1;
  }

  /** A candidate of `#learn`. */
  #offer(start: number, end: number, id: number, candidate: number): void {
    const sum = this.#sum;
    const second = this.#second;
    if (candidate > sum[end]) {
      second[end] = sum[end];
      sum[end] = candidate;
      this.#startOf[end] = start;
      this.#idAt[end] = id;
    } else if (candidate > second[end]) {
      second[end] = candidate;
    }
  }
}

function pairHash(left: number, right: number): number {
  return Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
}
