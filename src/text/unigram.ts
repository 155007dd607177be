/**
 * Encoding with a SentencePiece unigram model: the cut with the greatest sum of log probabilities, by
 * Viterbi's method over all pieces that start at each character. Scores are kept in f32 between positions
 * and compared in f64, as SentencePiece 0.1.97 to 0.2.0 does: the choice between equally good cuts depends on it.
 * (0.2.3 sums in another way and takes the other of two such cuts in a few long texts.)
 */

import { PIECE, type SentencePieceModel } from '../formats/sentencepiece.ts';
import type { PieceEncoder, PieceSink } from './sentencepiece-bpe.ts';
import { Trie } from './tables.ts';
import { utf8LengthOf } from './utf8.ts';

/** How much worse an unknown character is than the worst piece. */
const UNKNOWN_PENALTY = 10;

/** Smallest positive normal f32: the library's running maximum starts there, so it is the maximum of all-negative scores. */
const FLOAT_MIN = 2 ** -126;

/** Best cut over the pieces of a model. */
export class Unigram implements PieceEncoder {
  readonly #trie: Trie;
  /** The score of each piece; user-defined ones get a bonus that beats any path through other pieces. */
  readonly #scores: Float64Array;
  readonly #unknownScore: number;

  constructor(model: SentencePieceModel) {
    let least = Infinity;
    let greatest = FLOAT_MIN;
    for (const { score, type } of model.pieces) {
      if (type !== PIECE.NORMAL) continue;
      least = Math.min(least, Math.fround(score));
      greatest = Math.max(greatest, Math.fround(score));
    }
    this.#unknownScore = Math.fround(least - UNKNOWN_PENALTY);
    this.#trie = new Trie(model.pieces.length * 3);
    this.#scores = new Float64Array(model.pieces.length);
    model.pieces.forEach(({ text, score, type }, id) => {
      if (type !== PIECE.NORMAL && type !== PIECE.USER_DEFINED) return;
      this.#scores[id] = type === PIECE.USER_DEFINED ? Math.fround(utf8LengthOf(text) * greatest) - 0.1 : Math.fround(score);
      this.#trie.add(text, id);
    });
  }

  encode(normalized: string, sink: PieceSink): void {
    const n = normalized.length;
    const best = new Float32Array(n + 1);
    const startOf = new Int32Array(n + 1).fill(-1);
    const idAt = new Int32Array(n + 1);
    const trie = this.#trie;
    const reach = (end: number, start: number, id: number, score: number): void => {
      if (startOf[end] !== -1 && score <= best[end]) return;
      best[end] = score;
      startOf[end] = start;
      idAt[end] = id;
    };
    for (let start = 0; start < n; ) {
      const here = best[start];
      const unit = normalized.charCodeAt(start);
      const size = unit >= 0xd800 && unit < 0xdc00 ? 2 : 1;
      let single = false;
      let node = 0;
      for (let end = start; end < n; ) {
        node = trie.step(node, normalized.charCodeAt(end++));
        if (node < 0) break;
        const id = trie.value(node);
        if (id < 0) continue;
        reach(end, start, id, this.#scores[id] + here);
        if (end - start === size) single = true;
      }
      if (!single) reach(start + size, start, -1, Math.fround(this.#unknownScore + here));
      start += size;
    }
    const ends: number[] = [];
    for (let end = n; end > 0; end = startOf[end]) ends.push(end);
    for (let i = ends.length - 1; i >= 0; i--) {
      const end = ends[i];
      if (idAt[end] >= 0) sink.piece(idAt[end]);
      else sink.unknown(normalized.codePointAt(startOf[end]) as number);
    }
  }
}
