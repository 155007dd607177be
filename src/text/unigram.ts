/**
 * Encoding with a SentencePiece unigram model: the cut with the greatest sum of log probabilities, by
 * Viterbi's method over all pieces that start at each character. Scores are kept in f32 between positions
 * and compared in f64, as SentencePiece 0.1.97 to 0.2.0 does: the choice between equally good cuts depends on it.
 * (0.2.3 sums in another way and takes the other of two such cuts in a few long texts.)
 */

import { PIECE, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { codePoint } from './chunked-bpe.ts';
import type { IdSink } from './id-sink.ts';
import { PieceTrie } from './piece-trie.ts';
import type { PieceEncoder } from './sentencepiece-bpe.ts';
import { utf8LengthOf } from './utf8.ts';

/** How much worse an unknown character is than the worst piece. */
const UNKNOWN_PENALTY = 10;

/** Room kept between texts, in places (3 MiB). */
const KEPT_PLACES = 1 << 18;

/** Smallest positive normal f32: the library's running maximum starts there, so it is the maximum of all-negative scores. */
const FLOAT_MIN = 2 ** -126;

/** Best cut over the pieces of a model. */
export class Unigram implements PieceEncoder {
  readonly #trie: PieceTrie;
  /** The score of each piece; user-defined ones get a bonus that beats any path through other pieces. */
  readonly #scores: Float64Array;
  readonly #unknownScore: number;
  /** By place: the score of the best cut up to there, where its last piece starts (-1: not reached) and its id (-1: unknown). */
  #best = new Float32Array(0);
  #startOf = new Int32Array(0);
  #idAt = new Int32Array(0);

  constructor(model: SentencePieceModel) {
    let least = Infinity;
    let greatest = FLOAT_MIN;
    for (const { score, type } of model.pieces) {
      if (type !== PIECE.NORMAL) continue;
      least = Math.min(least, Math.fround(score));
      greatest = Math.max(greatest, Math.fround(score));
    }
    this.#unknownScore = Math.fround(least - UNKNOWN_PENALTY);
    this.#trie = new PieceTrie(model.pieces.length);
    this.#scores = new Float64Array(model.pieces.length);
    model.pieces.forEach(({ text, score, type }, id) => {
      if (type !== PIECE.NORMAL && type !== PIECE.USER_DEFINED) return;
      this.#scores[id] = type === PIECE.USER_DEFINED ? Math.fround(utf8LengthOf(text) * greatest) - 0.1 : Math.fround(score);
      this.#trie.add(text, id);
    });
  }

  encode(units: Uint16Array, count: number, sink: IdSink): void {
    if (this.#best.length <= count || (this.#best.length > KEPT_PLACES && count < KEPT_PLACES)) {
      const places = Math.max(count + 1, Math.min(2 * count + 2, KEPT_PLACES));
      this.#best = new Float32Array(places);
      this.#startOf = new Int32Array(places);
      this.#idAt = new Int32Array(places);
    }
    const best = this.#best;
    const startOf = this.#startOf;
    const idAt = this.#idAt;
    const trie = this.#trie;
    const scores = this.#scores;
    startOf.fill(-1, 0, count + 1);
    best[0] = 0;
    for (let start = 0; start < count; ) {
      const here = best[start];
      const unit = units[start];
      const first = start + ((unit & 0xfc00) === 0xd800 ? 2 : 1);
      let id = first === start + 1 ? trie.single[unit] : -1;
      let end = start + 1;
      let node = 0;
      let single = false;
      for (;;) {
        if (id >= 0) {
          const score = scores[id] + here;
          if (startOf[end] === -1 || score > best[end]) {
            best[end] = score;
            startOf[end] = start;
            idAt[end] = id;
          }
          if (end === first) single = true;
        }
        if (end >= count || node < 0) break;
        node = end === start + 1 ? trie.start(unit, units[end]) || -1 : trie.step(node, units[end]);
        if (node < 0) break;
        id = trie.value(node);
        end++;
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
      if (idAt[end] >= 0) sink.piece(idAt[end]);
      else sink.unknown((units[start] & 0xfc00) === 0xd800 ? codePoint(units[start], units[start + 1]) : units[start]);
      start = end;
      end = startOf[end];
    }
    sink.settle();
  }
}
