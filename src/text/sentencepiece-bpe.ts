/**
 * Encoding with a SentencePiece BPE model: characters merge to ever larger pieces, best score first,
 * leftmost first among equals. Text is cut where no piece could ever reach across, so that most work is
 * a look-up of a word seen before; the cuts change no result, because merges on both sides never meet.
 */

import { PIECE, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { Merger, type PairTrace } from './merge.ts';
import { CodePointTable, PairTable, Trie } from './tables.ts';

/** Chunks up to this many UTF-16 units are remembered; longer ones hardly ever repeat. */
const CACHED_UNITS = 24;
const CACHE_ENTRIES = 1 << 16;

/** What a piece of text became: ids, with unknown characters as their code points for the caller to spell in bytes. */
export interface PieceSink {
  piece(id: number): void;
  unknown(codePoint: number): void;
}

/** A cutter of normalised text. */
export interface PieceEncoder {
  encode(normalized: string, sink: PieceSink): void;
}

/** BPE over the pieces of a model. */
export class SentencePieceBpe implements PieceEncoder {
  readonly #model: SentencePieceModel;
  readonly #merger: Merger;
  /** Code point to symbol: a piece id, or a number from `#pieceCount` on for characters that only occur inside pieces. */
  readonly #charSymbol = new CodePointTable();
  readonly #extraPoints: number[] = [];
  /** Characters that stand side by side in some piece. */
  readonly #adjacent: PairTable;
  readonly #pieceCount: number;
  readonly #user: Trie | null = null;
  readonly #unused: Uint8Array | null = null;
  readonly #cache = new Map<string, Int32Array>();
  #symbols = new Int32Array(256);

  constructor(model: SentencePieceModel) {
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
    if (user.length > 0) {
      this.#user = new Trie(user.length * 8);
      for (const id of user) this.#user.add(pieces[id].text, id);
    }
    if (mergeable.some((id) => pieces[id].type === PIECE.UNUSED)) {
      this.#unused = Uint8Array.from(pieces, (piece) => (piece.type === PIECE.UNUSED ? 1 : 0));
    }
    this.#adjacent = new PairTable(mergeable.length);
    for (const id of mergeable) this.#addCharacters(pieces[id].text, idOf);
    const pairs = this.#allSplits(mergeable, model, idOf);
    const identity = Int32Array.from(pieces, (_, id) => id);
    this.#merger = new Merger(pairs, ranksByScore(model), identity);
  }

  encode(normalized: string, sink: PieceSink): void {
    if (this.#unused !== null) {
      this.#encodeTraced(normalized, sink);
      return;
    }
    let chunkStart = 0;
    let last = -1;
    let i = 0;
    while (i < normalized.length) {
      if (this.#user !== null) {
        const length = this.#user.longest(normalized, i);
        if (length > 0) {
          this.#chunk(normalized, chunkStart, i, sink);
          sink.piece(this.#userId(normalized, i, length));
          i += length;
          chunkStart = i;
          last = -1;
          continue;
        }
      }
      let point = normalized.charCodeAt(i);
      let size = 1;
      if (point >= 0xd800 && point < 0xdc00) {
        point = normalized.codePointAt(i) as number;
        size = 2;
      }
      const symbol = this.#charSymbol.get(point);
      if (symbol < 0) {
        this.#chunk(normalized, chunkStart, i, sink);
        sink.unknown(point);
        chunkStart = i + size;
      } else if (last < 0 || this.#adjacent.get(last, symbol) < 0) {
        this.#chunk(normalized, chunkStart, i, sink);
        chunkStart = i;
      }
      last = symbol;
      i += size;
    }
    this.#chunk(normalized, chunkStart, normalized.length, sink);
  }

  /** Encodes `text[start..end)`, whose characters are all known, and which no merge leaves. */
  #chunk(text: string, start: number, end: number, sink: PieceSink): void {
    if (end <= start) return;
    if (end - start > CACHED_UNITS) {
      const count = this.#fill(text, start, end);
      const merged = this.#merger.run(this.#symbols, count);
      for (let i = 0; i < merged; i++) this.#emit(this.#symbols[i], sink);
      return;
    }
    const key = text.slice(start, end);
    let symbols = this.#cache.get(key);
    if (symbols === undefined) {
      const merged = this.#merger.run(this.#symbols, this.#fill(text, start, end));
      symbols = this.#symbols.slice(0, merged);
      if (this.#cache.size >= CACHE_ENTRIES) this.#cache.clear();
      this.#cache.set(key, symbols);
    }
    for (let i = 0; i < symbols.length; i++) this.#emit(symbols[i], sink);
  }

  #emit(symbol: number, sink: PieceSink): void {
    if (symbol < this.#pieceCount) sink.piece(symbol);
    else sink.unknown(this.#extraPoints[symbol - this.#pieceCount]);
  }

  /** Puts the symbols of known characters into `#symbols`. */
  #fill(text: string, start: number, end: number): number {
    if (this.#symbols.length < end - start) this.#symbols = new Int32Array((end - start) * 2);
    let count = 0;
    for (let i = start; i < end; ) {
      const point = text.codePointAt(i) as number;
      this.#symbols[count++] = this.#charSymbol.get(point);
      i += point > 0xffff ? 2 : 1;
    }
    return count;
  }

  #userId(text: string, at: number, length: number): number {
    let node = 0;
    for (let i = at; i < at + length; i++) node = this.#user?.step(node, text.charCodeAt(i)) ?? -1;
    return this.#user?.value(node) ?? -1;
  }

  /**
   * Models with *unused* pieces: merges may pass through such a piece, and where one is left over it is
   * taken apart the way it was last put together anywhere in the text. That is a property of the whole
   * text, so nothing is cut and nothing remembered.
   */
  #encodeTraced(text: string, sink: PieceSink): void {
    const unused = this.#unused;
    const model = this.#model;
    if (unused === null) return;
    if (this.#symbols.length < text.length) this.#symbols = new Int32Array(text.length * 2);
    const symbols = this.#symbols;
    let count = 0;
    // Unknown characters and user-defined pieces become negative symbols, which never merge.
    const userBase = -0x110000 - 2;
    for (let i = 0; i < text.length; ) {
      const length = this.#user?.longest(text, i) ?? 0;
      if (length > 0) {
        symbols[count++] = userBase - this.#userId(text, i, length);
        i += length;
        continue;
      }
      const point = text.codePointAt(i) as number;
      const symbol = this.#charSymbol.get(point);
      symbols[count++] = symbol < 0 ? -point - 2 : symbol;
      i += point > 0xffff ? 2 : 1;
    }
    const parts = new Map<number, readonly [number, number]>();
    const trace: PairTrace = (merge, left, right) => {
      if (unused[merge] === 1) parts.set(merge, [left, right]);
    };
    const merged = this.#merger.run(symbols, count, trace);
    const emit = (symbol: number): void => {
      if (symbol >= this.#pieceCount || unused[symbol] === 0) {
        this.#emit(symbol, sink);
        return;
      }
      const pair = parts.get(symbol);
      if (pair === undefined) {
        // Never put together, so it is one character: unknown.
        for (const char of model.pieces[symbol].text) sink.unknown(char.codePointAt(0) as number);
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

  /** Gives every character of a piece a symbol and notes its neighbours. */
  #addCharacters(text: string, idOf: ReadonlyMap<string, number>): void {
    let last = -1;
    for (const char of text) {
      const point = char.codePointAt(0) as number;
      let symbol = this.#charSymbol.get(point);
      if (symbol < 0) {
        symbol = idOf.get(char) ?? this.#pieceCount + this.#extraPoints.push(point) - 1;
        this.#charSymbol.set(point, symbol);
      }
      if (last >= 0) this.#adjacent.set(last, symbol, 1);
      last = symbol;
    }
  }

  /** All ways in which two symbols join to a piece. */
  #allSplits(mergeable: readonly number[], model: SentencePieceModel, idOf: ReadonlyMap<string, number>): PairTable {
    const pairs = new PairTable(mergeable.length * 4);
    for (const id of mergeable) {
      const { text } = model.pieces[id];
      const first = text.codePointAt(0) as number;
      for (let cut = first > 0xffff ? 2 : 1; cut < text.length; ) {
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
    const point = part.codePointAt(0) as number;
    return part.length === (point > 0xffff ? 2 : 1) ? this.#charSymbol.get(point) : -1;
  }
}

/** Order of merging by piece: 0 for the best score; equal scores share a rank. */
function ranksByScore(model: SentencePieceModel): Int32Array {
  // The file stores f32; comparing rounded values keeps scores equal that are equal there.
  const scores = Float32Array.from(model.pieces, (piece) => piece.score);
  const distinct = [...new Set(scores)].sort((a, b) => b - a);
  const rankOf = new Map(distinct.map((score, rank) => [score, rank]));
  return Int32Array.from(scores, (score) => rankOf.get(score) ?? 0);
}
