/**
 * What the learner asks of a base tokenizer, and the answers of a SentencePiece BPE model. A word begins as the base
 * itself cuts it; a character that the base spells in bytes begins as a character of its own, to be learnt first.
 */

import { ScionError } from '../../base/errors.ts';
import { MODEL, PIECE, type SentencePieceModel } from '../../formats/sentencepiece.ts';
import { SentencePieceTokenizer } from '../sentencepiece.ts';
import { utf8Length } from '../utf8.ts';
import type { CutterSpec } from './cutter.ts';
import type { ScriptFilter } from './scripts.ts';

/** A piece that merging can make. */
export interface BasePiece {
  readonly text: string;
  /** Its place in the order of merging; equal ones share it. */
  readonly rank: number;
}

/** What a symbol of the base's cut is: a piece, a character without one, or something that merges with nothing. */
export const PIECE_SYMBOL = 0;
export const MISSING_SYMBOL = 1;
export const FIXED_SYMBOL = 2;
export type SymbolKind = typeof PIECE_SYMBOL | typeof MISSING_SYMBOL | typeof FIXED_SYMBOL;
export type EachSymbol = (text: string, kind: SymbolKind) => void;

/** A base tokenizer as the learner sees it. */
export interface LearnBase {
  readonly cutter: CutterSpec;
  /** True if a character without a piece costs its bytes; else it is one unknown id. */
  readonly byteFallback: boolean;
  /** True if merges are between pairs of pieces (`tokenizer.json`); else any two symbols whose joined text is a piece merge. */
  readonly byPair: boolean;
  /** Texts that cannot become pieces because the vocabulary uses them otherwise (marks, byte pieces, added tokens). */
  readonly reserved: ReadonlySet<string>;
  /** All pieces that merging can make. */
  pieces(): Iterable<BasePiece>;
  /** A counted word as words for learning; most are one. */
  words(counted: string): readonly string[];
  /** The symbols of a word in order. */
  split(word: string, each: EachSymbol): void;
  /** The symbols of a whole text, as the base cuts it; for protecting it. */
  splitText(text: string, each: EachSymbol): void;
  /** The text of a counted word. */
  plain(counted: string): string;
  /** Length of a symbol as the limit on pieces counts it. */
  characters(symbol: string): number;
  /** False if no piece that a target character's text becomes can hold this symbol alone. */
  mayHold(symbol: string, targets: ScriptFilter): boolean;
  /** Whether a text may be a new piece, where `mayHold` of one of its symbols is not enough. */
  readonly accepts?: (piece: string, targets: ScriptFilter) => boolean;
}

/** A SentencePiece BPE model as a base. */
export class SentencePieceBase implements LearnBase {
  readonly cutter: CutterSpec;
  readonly byteFallback: boolean;
  readonly byPair = false;
  readonly reserved: ReadonlySet<string>;
  readonly #model: SentencePieceModel;
  readonly #tokenizer: SentencePieceTokenizer;
  readonly #unkId: number;

  /** `tokenizer`: one over this very model, where there is one. Throws `input` for a model that is not BPE. */
  constructor(model: SentencePieceModel, tokenizer?: SentencePieceTokenizer) {
    if (model.trainer.modelType !== MODEL.BPE) {
      throw new ScionError('input', `pieces can be learnt on top of a BPE model; this one is of type ${model.trainer.modelType} (1 is unigram, 2 is bpe)`, {
        modelType: model.trainer.modelType,
      });
    }
    this.#model = model;
    this.#tokenizer = tokenizer ?? new SentencePieceTokenizer(model, { source: { name: 'tokenizer.model', bytes: new Uint8Array(0) } });
    this.#unkId = this.#tokenizer.unkId;
    this.byteFallback = model.trainer.byteFallback;
    this.reserved = new Set(model.pieces.filter(({ type }) => type !== PIECE.NORMAL).map(({ text }) => text));
    this.cutter = {
      kind: 'sentencepiece',
      normalizer: { ...model.normalizer },
      suffix: model.trainer.treatWhitespaceAsSuffix,
      user: model.pieces.filter(({ type }) => type === PIECE.USER_DEFINED).map(({ text }) => text),
    };
  }

  *pieces(): Iterable<BasePiece> {
    const scores = Float32Array.from(this.#model.pieces, ({ score }) => score);
    const order = new Map([...new Set(scores)].sort((a, b) => b - a).map((score, rank) => [score, rank]));
    for (const [id, { text, type }] of this.#model.pieces.entries()) {
      if (type === PIECE.NORMAL) yield { text, rank: order.get(scores[id]) ?? 0 };
    }
  }

  words(counted: string): readonly string[] {
    return [counted];
  }

  split(word: string, each: EachSymbol): void {
    this.#walk(word, this.#tokenizer.encodeNormalized(word), each);
  }

  splitText(text: string, each: EachSymbol): void {
    const normalized = this.#tokenizer.normalize(text);
    this.#walk(normalized, this.#tokenizer.encodeNormalized(normalized), each);
  }

  plain(counted: string): string {
    return counted;
  }

  characters(symbol: string): number {
    let count = 0;
    for (let i = 0; i < symbol.length; i++) if ((symbol.charCodeAt(i) & 0xfc00) !== 0xdc00) count++;
    return count;
  }

  mayHold(symbol: string, targets: ScriptFilter): boolean {
    return targets.hasAny(symbol);
  }

  /** Goes along a text by its ids: bytes and unknown ids stand for characters. */
  #walk(text: string, ids: readonly number[], each: EachSymbol): void {
    const { pieces } = this.#model;
    let at = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i];
      const piece = pieces[id];
      if (piece.type === PIECE.BYTE) {
        const point = text.codePointAt(at) as number;
        const char = String.fromCodePoint(point);
        i += utf8Length(point) - 1;
        at += char.length;
        each(char, MISSING_SYMBOL);
      } else if (id === this.#unkId) {
        // One unknown id may stand for a run of characters.
        const next = i + 1 < ids.length ? pieces[ids[i + 1]].text : null;
        do {
          const char = String.fromCodePoint(text.codePointAt(at) as number);
          at += char.length;
          each(char, MISSING_SYMBOL);
        } while (at < text.length && (next === null || !text.startsWith(next, at)));
      } else {
        at += piece.text.length;
        each(piece.text, piece.type === PIECE.NORMAL ? PIECE_SYMBOL : FIXED_SYMBOL);
      }
    }
  }
}
