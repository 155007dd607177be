/**
 * A tokenizer over a SentencePiece model (BPE or unigram): normalise, cut, spell unknown characters in
 * bytes, add marks; and back. Decoding follows the library to the byte: byte runs, the dropped dummy
 * prefix, ` ⁇ ` for the unknown id. One deliberate difference: a control piece of a single character can
 * never come out of text here, while the library would let it.
 */

import { ScionError } from '../base/errors.ts';
import { MODEL, PIECE, type PieceType, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { IdSink } from './id-sink.ts';
import { Normalizer, SPACE_MARK } from './normalizer.ts';
import { type PieceEncoder, SentencePieceBpe } from './sentencepiece-bpe.ts';
import { Trie } from './tables.ts';
import type { DecodeOptions, EncodeOptions, MarkSettings, StreamDecoder, Tokenizer, TokenizerSource } from './types.ts';
import { Unigram } from './unigram.ts';
import { UnitBuffer } from './units.ts';
import { byteOfPiece, decodeBytes, pieceOfByte, utf8 } from './utf8.ts';

/** Real pieces have at most some dozens; preparing one takes time in its length squared. */
const MAX_PIECE_UNITS = 512;

/** An entry beside the model's own pieces, from `added_tokens_decoder` or `added_tokens.json`. */
export interface AddedPiece {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** What the files around the model say. */
export interface SentencePieceSettings extends MarkSettings {
  readonly added?: readonly AddedPiece[];
  /** HF's `legacy`: true (its default) encodes the text after a mark as a text of its own, with dummy prefix. */
  readonly legacy?: boolean;
}

/** SentencePiece behind the `Tokenizer` interface. */
export class SentencePieceTokenizer implements Tokenizer {
  readonly kind: 'sentencepiece-bpe' | 'sentencepiece-unigram';
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  readonly unkId: number;
  readonly stopIds: readonly number[];
  readonly adds: { readonly bos: boolean; readonly eos: boolean };
  readonly source: TokenizerSource;
  readonly model: SentencePieceModel;
  readonly #encoder: PieceEncoder;
  readonly #normalizer: Normalizer;
  readonly #sink: IdSink;
  readonly #units = new UnitBuffer();
  readonly #reserved = new Map<string, number>();
  readonly #ordinary = new Map<string, number>();
  readonly #added = new Map<number, AddedPiece>();
  /** Strings that become ids of their own: added ordinary ones always, marks when allowed. */
  readonly #always: Trie | null;
  readonly #allowed: Trie;
  readonly #legacy: boolean;

  /** Throws `format` where the library would refuse the model, and for word and char models. */
  constructor(model: SentencePieceModel, settings: SentencePieceSettings) {
    const { modelType } = model.trainer;
    if (modelType !== MODEL.BPE && modelType !== MODEL.UNIGRAM) {
      const name = modelType === MODEL.WORD ? 'word' : modelType === MODEL.CHAR ? 'char' : String(modelType);
      throw new ScionError('format', `tokenizer.model: model type ${name} is not supported; supported: unigram, bpe`, { modelType });
    }
    this.model = model;
    this.kind = modelType === MODEL.BPE ? 'sentencepiece-bpe' : 'sentencepiece-unigram';
    this.source = settings.source;
    this.#legacy = settings.legacy ?? true;
    this.unkId = this.#index(model);
    this.#sink = new IdSink({ unkId: this.unkId, byteIds: this.#bytePieces(model), fuse: true });
    const user = model.pieces.filter((piece) => piece.type === PIECE.USER_DEFINED).map((piece) => piece.text);
    this.#normalizer = new Normalizer(model.normalizer, model.trainer.treatWhitespaceAsSuffix, user);
    this.#encoder = modelType === MODEL.BPE ? new SentencePieceBpe(model) : new Unigram(model);

    let top = model.pieces.length;
    for (const entry of settings.added ?? []) {
      const piece = model.pieces[entry.id];
      if (piece !== undefined && piece.text !== entry.content) {
        throw new ScionError(
          'format',
          `added token ${entry.id} is ${JSON.stringify(entry.content)}, but tokenizer.model has ${JSON.stringify(piece.text)} there`,
          {
            id: entry.id,
          },
        );
      }
      // What the model itself calls a mark, or what is no mark, needs no entry of its own.
      if (piece !== undefined && (!entry.special || piece.type === PIECE.CONTROL || piece.type === PIECE.UNKNOWN)) continue;
      this.#added.set(entry.id, entry);
      top = Math.max(top, entry.id + 1);
    }
    this.vocabSize = top;
    const always = [...this.#added.values()].filter((entry) => !entry.special);
    this.#always = always.length > 0 ? new Trie() : null;
    this.#allowed = new Trie();
    for (const entry of this.#added.values()) this.#allowed.add(entry.content, entry.id);
    for (const entry of always) this.#always?.add(entry.content, entry.id);
    for (const [text, id] of this.#reserved) if (typeOf(model, id) !== PIECE.BYTE && !this.#added.has(id)) this.#allowed.add(text, id);

    const { names = {}, ids = {} } = settings;
    const mark = (named: string | undefined, own: string, id: number | undefined): number | null => {
      const byName = named === undefined ? null : this.idOf(named);
      if (byName !== null) return byName;
      const found = this.#reserved.get(own);
      if (found !== undefined && typeOf(model, found) === PIECE.CONTROL) return found;
      return id !== undefined && id < this.vocabSize ? id : null;
    };
    this.bosId = mark(names.bos, model.trainer.bosPiece, ids.bos);
    this.eosId = mark(names.eos, model.trainer.eosPiece, ids.eos);
    this.padId = mark(names.pad, model.trainer.padPiece, ids.pad);
    this.stopIds = [...new Set([...(this.eosId === null ? [] : [this.eosId]), ...(settings.stopIds ?? [])])];
    this.adds = { bos: (settings.addsBos ?? false) && this.bosId !== null, eos: (settings.addsEos ?? false) && this.eosId !== null };
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    this.#run(text, options);
    return this.#sink.take();
  }

  encodeTyped(text: string, options: EncodeOptions = {}): Int32Array {
    this.#run(text, options);
    return this.#sink.takeTyped();
  }

  /** Cuts text that is already normalised (`▁` for spaces, prefix included) into ids; for vocabulary work. */
  encodeNormalized(normalized: string): number[] {
    const wellFormed = normalized.toWellFormed();
    this.#sink.reset();
    this.#encoder.encode(this.#units.fill(wellFormed), wellFormed.length, this.#sink);
    return this.#sink.take();
  }

  /** The text as the model sees it. */
  normalize(text: string): string {
    return this.#normalizer.run(text);
  }

  /** Puts the ids of a text into the sink. */
  #run(text: string, options: EncodeOptions): void {
    const begin = options.bos === true ? needMark('begin', this.bosId) : null;
    const end = options.eos === true ? needMark('end', this.eosId) : null;
    this.#sink.reset();
    if (begin !== null) this.#sink.piece(begin);
    const marks = options.allowSpecial === true ? this.#allowed : this.#always;
    if (marks === null) this.#encodeText(text, true);
    else this.#encodeSegments(text, marks);
    if (end !== null) this.#sink.piece(end);
  }

  #encodeText(text: string, prefix: boolean): void {
    const count = this.#normalizer.into(this.#units, text, prefix);
    if (count > 0) this.#encoder.encode(this.#units.units, count, this.#sink);
  }

  #encodeSegments(text: string, trie: Trie): void {
    let start = 0;
    let first = true;
    const flush = (end: number): void => {
      if (end > start) this.#encodeText(text.slice(start, end), first || this.#legacy);
      first = false;
    };
    for (let i = 0; i < text.length; ) {
      const length = trie.longest(text, i);
      if (length === 0) {
        i++;
        continue;
      }
      flush(i);
      let node = 0;
      for (let j = i; j < i + length; j++) node = trie.step(node, text.charCodeAt(j));
      this.#sink.piece(trie.value(node));
      i += length;
      start = i;
    }
    flush(text.length);
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const stream = this.decoder(options);
    const parts: string[] = [];
    for (const id of ids) parts.push(stream.push(id));
    parts.push(stream.end());
    return parts.join('');
  }

  decoder(options: DecodeOptions = {}): StreamDecoder {
    const skip = options.skipSpecial ?? true;
    const { addDummyPrefix, removeExtraWhitespaces } = this.model.normalizer;
    const dropsMark = addDummyPrefix || removeExtraWhitespaces;
    let bytes: number[] = [];
    let atStart = true;
    let seenPrefix = false;
    let empty = true;
    const drain = (final: boolean): string => {
      if (bytes.length === 0) return '';
      const { text, used } = decodeBytes(bytes, final);
      bytes = bytes.slice(used);
      if (text !== '') empty = false;
      return text;
    };
    const push = (id: number): string => {
      const added = this.#added.get(id);
      const { text, type } = added === undefined ? this.#piece(id) : { text: added.content, type: PIECE.CONTROL };
      if (type === PIECE.BYTE) {
        bytes.push(byteOfPiece(text));
        return drain(false);
      }
      const before = drain(true);
      if (seenPrefix || !empty) atStart = false;
      seenPrefix = false;
      let own = text;
      if (type === PIECE.CONTROL) {
        own = skip && this.isSpecial(id) ? '' : text;
      } else if (type === PIECE.UNKNOWN) {
        own = this.model.trainer.unkSurface;
      } else {
        if (atStart && dropsMark && own.startsWith(SPACE_MARK)) {
          own = own.slice(SPACE_MARK.length);
          // Where extra spaces are removed, every leading one goes; else only the first.
          seenPrefix = !removeExtraWhitespaces;
        }
        own = own.replaceAll(SPACE_MARK, ' ');
      }
      if (own !== '') empty = false;
      return before + own;
    };
    return { push, end: () => drain(true) };
  }

  pieceOf(id: number): string {
    return this.#added.get(id)?.content ?? this.#piece(id).text;
  }

  idOf(piece: string): number | null {
    for (const entry of this.#added.values()) if (entry.content === piece) return entry.id;
    return this.#reserved.get(piece) ?? this.#ordinary.get(piece) ?? null;
  }

  bytesOf(id: number): Uint8Array {
    const added = this.#added.get(id);
    if (added !== undefined) return added.special ? new Uint8Array(0) : utf8(added.content);
    const { text, type } = this.#piece(id);
    if (type === PIECE.CONTROL || type === PIECE.UNKNOWN) return new Uint8Array(0);
    return type === PIECE.BYTE ? Uint8Array.of(byteOfPiece(text)) : utf8(text.replaceAll(SPACE_MARK, ' '));
  }

  isSpecial(id: number): boolean {
    const added = this.#added.get(id);
    if (added !== undefined) return added.special;
    const { type } = this.#piece(id);
    return type === PIECE.CONTROL || type === PIECE.UNKNOWN;
  }

  #piece(id: number): { text: string; type: PieceType } {
    const piece = this.model.pieces[id];
    if (piece === undefined) {
      throw new ScionError('input', `id ${id} is not in the vocabulary: ids go from 0 to ${this.vocabSize - 1}`, { id, vocabSize: this.vocabSize });
    }
    return piece;
  }

  /** Fills the maps of pieces and gives the unknown id. */
  #index(model: SentencePieceModel): number {
    let unk = -1;
    model.pieces.forEach(({ text, type }, id) => {
      const map = type === PIECE.NORMAL || type === PIECE.USER_DEFINED || type === PIECE.UNUSED ? this.#ordinary : this.#reserved;
      if (text.length > MAX_PIECE_UNITS) {
        throw new ScionError('format', `tokenizer.model: piece ${id} has ${text.length} characters; at most ${MAX_PIECE_UNITS} are supported`, { id });
      }
      const earlier = map.get(text);
      if (text === '' || earlier !== undefined) {
        const what = text === '' ? 'is empty' : `repeats "${text}" of piece ${earlier}`;
        throw new ScionError('format', `tokenizer.model: piece ${id} ${what}; pieces must be distinct and not empty`, { id, text });
      }
      map.set(text, id);
      if (type !== PIECE.UNKNOWN) return;
      if (unk >= 0) throw new ScionError('format', `tokenizer.model: pieces ${unk} and ${id} are both unknown pieces; one is allowed`, { first: unk, id });
      unk = id;
    });
    if (unk < 0) throw new ScionError('format', `tokenizer.model: none of its ${model.pieces.length} pieces is of type unknown; one is needed`);
    return unk;
  }

  #bytePieces(model: SentencePieceModel): Int32Array | null {
    if (!model.trainer.byteFallback) {
      const id = model.pieces.findIndex((piece) => piece.type === PIECE.BYTE);
      if (id >= 0) throw new ScionError('format', `tokenizer.model: piece ${id} is a byte piece, but byte fallback is off`, { id });
      return null;
    }
    return Int32Array.from({ length: 256 }, (_, byte) => {
      const id = this.#reserved.get(pieceOfByte(byte));
      if (id === undefined) {
        throw new ScionError('format', `tokenizer.model: byte fallback is on, but the piece ${pieceOfByte(byte)} is missing`, { byte });
      }
      return id;
    });
  }
}

/** The id of a mark that a call asked for. Throws `input` where the tokenizer has none. */
export function needMark(name: string, id: number | null): number {
  if (id === null) throw new ScionError('input', `the ${name} mark was asked for, but this tokenizer has none; encode without it`, { mark: name });
  return id;
}

function typeOf(model: SentencePieceModel, id: number): PieceType {
  return model.pieces[id].type;
}
