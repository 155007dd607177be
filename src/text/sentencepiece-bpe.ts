/**
 * Encoding with a SentencePiece BPE model: characters merge to ever larger pieces, best score first,
 * leftmost first among equals. The merging itself, cut into chunks, is in chunked-bpe.ts; here is what the model's
 * types of pieces ask for: user-defined ones stand apart before anything merges, unused ones are taken apart again.
 */

import { PIECE, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { ChunkedBpe, codePoint } from './chunked-bpe.ts';
import type { IdSink } from './id-sink.ts';
import { Merger, type PairTrace } from './merge.ts';
import { PairTable } from './tables.ts';
import { UnitTrie } from './unit-trie.ts';

/** A cutter of normalised text. */
export interface PieceEncoder {
  /** Appends the ids of `units[0..count)`, which is well-formed. */
  encode(units: Uint16Array, count: number, sink: IdSink): void;
}

/** BPE over the pieces of a model. */
export class SentencePieceBpe implements PieceEncoder {
  readonly #model: SentencePieceModel;
  readonly #merger: Merger;
  readonly #chunks: ChunkedBpe;
  /** Code point to symbol: a piece id, or a number from `#pieceCount` on for characters that only occur inside pieces. */
  readonly #symbols = new Map<number, number>();
  readonly #extraPoints: number[] = [];
  readonly #pieceCount: number;
  readonly #user: UnitTrie | null = null;
  readonly #unused: Uint8Array | null = null;
  #work = new Int32Array(0);

  /** `cacheWords`: words remembered at most; only tests choose. */
  constructor(model: SentencePieceModel, cacheWords?: number) {
    const { pieces } = model;
    this.#model = model;
    this.#pieceCount = pieces.length;
    const idOf = new Map<string, number>();
    const mergeable: number[] = [];
    pieces.forEach(({ text, type }, id) => {
      if (type !== PIECE.NORMAL && type !== PIECE.USER_DEFINED && type !== PIECE.UNUSED) return;
      idOf.set(text, id);
      mergeable.push(id);
    });
    const user = mergeable.filter((id) => pieces[id].type === PIECE.USER_DEFINED);
    if (user.length > 0) this.#user = new UnitTrie(user.map((id) => [pieces[id].text, id]));
    if (mergeable.some((id) => pieces[id].type === PIECE.UNUSED)) {
      this.#unused = Uint8Array.from(pieces, (piece) => (piece.type === PIECE.UNUSED ? 1 : 0));
    }
    for (const text of idOf.keys()) this.#addCharacters(text, idOf);
    const pairs = this.#allSplits(idOf);
    const identity = Int32Array.from(pieces, (_, id) => id);
    this.#merger = new Merger(pairs, ranksByScore(model), identity);
    this.#chunks = new ChunkedBpe({
      merger: this.#merger,
      symbols: this.#symbols,
      results: [...idOf].filter(([text]) => text.length > firstLength(text)),
      pieceCount: this.#pieceCount,
      extraPoints: this.#extraPoints,
      cacheWords,
    });
  }

  /** Words remembered now, and the bytes that takes. */
  get cached(): { readonly words: number; readonly bytes: number } {
    return this.#chunks.cached;
  }

  encode(units: Uint16Array, count: number, sink: IdSink): void {
    if (this.#unused !== null) this.#encodeTraced(units, count, this.#unused, sink);
    else if (this.#user === null) this.#chunks.encode(units, 0, count, sink);
    else this.#encodeBetween(units, count, this.#user, sink);
    sink.settle();
  }

  /** User-defined pieces, leftmost and longest, and what lies between them. */
  #encodeBetween(units: Uint16Array, count: number, user: UnitTrie, sink: IdSink): void {
    let start = 0;
    for (let i = 0; i < count; ) {
      const end = user.longest(units, i, count);
      if (end === 0) {
        i += isHigh(units[i]) ? 2 : 1;
        continue;
      }
      this.#chunks.encode(units, start, i, sink);
      sink.piece(user.found);
      start = end;
      i = end;
    }
    this.#chunks.encode(units, start, count, sink);
  }

  /**
   * Models with *unused* pieces: merges may pass through such a piece, and where one is left over it is
   * taken apart the way it was last put together anywhere in the text. That is a property of the whole
   * text, so nothing is cut and nothing remembered.
   */
  #encodeTraced(units: Uint16Array, count: number, unused: Uint8Array, sink: IdSink): void {
    const { pieces } = this.#model;
    if (this.#work.length < count) this.#work = new Int32Array(count);
    const symbols = this.#work;
    let length = 0;
    // Unknown characters and user-defined pieces become negative symbols, which never merge.
    const userBase = -0x110000 - 2;
    for (let i = 0; i < count; ) {
      const end = this.#user?.longest(units, i, count) ?? 0;
      if (this.#user !== null && end > 0) {
        symbols[length++] = userBase - this.#user.found;
        i = end;
        continue;
      }
      const wide = isHigh(units[i]);
      const point = wide ? codePoint(units[i], units[i + 1]) : units[i];
      symbols[length++] = this.#symbols.get(point) ?? -point - 2;
      i += wide ? 2 : 1;
    }
    const parts = new Map<number, readonly [number, number]>();
    const trace: PairTrace = (merge, left, right) => {
      if (unused[merge] === 1) parts.set(merge, [left, right]);
    };
    const merged = this.#merger.run(symbols, length, trace);
    const emit = (symbol: number): void => {
      if (symbol >= this.#pieceCount) {
        sink.unknown(this.#extraPoints[symbol - this.#pieceCount]);
        return;
      }
      if (unused[symbol] === 0) {
        sink.piece(symbol);
        return;
      }
      const pair = parts.get(symbol);
      if (pair === undefined) {
        // Never put together, so it is one character: unknown.
        for (const char of pieces[symbol].text) sink.unknown(char.codePointAt(0) as number);
      } else {
        emit(pair[0]);
        emit(pair[1]);
      }
    };
    for (let i = 0; i < merged; i++) {
      const symbol = symbols[i];
      if (symbol >= 0) emit(symbol);
      else if (symbol <= userBase) sink.piece(userBase - symbol);
      else sink.unknown(-symbol - 2);
    }
  }

  /** Gives every character of a piece a symbol. */
  #addCharacters(text: string, idOf: ReadonlyMap<string, number>): void {
    for (const char of text) {
      const point = char.codePointAt(0) as number;
      if (!this.#symbols.has(point)) this.#symbols.set(point, idOf.get(char) ?? this.#pieceCount + this.#extraPoints.push(point) - 1);
    }
  }

  /** All ways in which two symbols join to a piece. */
  #allSplits(idOf: ReadonlyMap<string, number>): PairTable {
    const pairs = new PairTable(idOf.size * 2);
    for (const [text, id] of idOf) {
      for (let cut = firstLength(text); cut < text.length; ) {
        const left = this.#symbolOf(text.slice(0, cut), idOf);
        const right = left < 0 ? -1 : this.#symbolOf(text.slice(cut), idOf);
        if (right >= 0) pairs.set(left, right, id);
        cut += (text.codePointAt(cut) as number) > 0xffff ? 2 : 1;
      }
    }
    return pairs;
  }

  #symbolOf(part: string, idOf: ReadonlyMap<string, number>): number {
    const id = idOf.get(part);
    if (id !== undefined) return id;
    return part.length === firstLength(part) ? (this.#symbols.get(part.codePointAt(0) as number) ?? -1) : -1;
  }
}

/** Units of a text's first character. */
function firstLength(text: string): number {
  return (text.codePointAt(0) as number) > 0xffff ? 2 : 1;
}

function isHigh(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800;
}

/** Order of merging by piece: 0 for the best score; equal scores share a rank. */
function ranksByScore(model: SentencePieceModel): Int32Array {
  // The file stores f32; comparing rounded values keeps scores equal that are equal there.
  const scores = Float32Array.from(model.pieces, (piece) => piece.score);
  const distinct = [...new Set(scores)].sort((a, b) => b - a);
  const rankOf = new Map(distinct.map((score, rank) => [score, rank]));
  return Int32Array.from(scores, (score) => rankOf.get(score) ?? 0);
}
