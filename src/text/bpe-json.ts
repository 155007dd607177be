/**
 * HF `tokenizer.json` with a BPE model (LLaMA 3, Qwen, Mistral, GPT-2, converted SentencePiece), encoded and
 * decoded as the `tokenizers` library does. Components that are not known are refused by name when the
 * file is read, never skipped.
 */

import { ScionError } from '../base/errors.ts';
import { type AddedToken, AddedTokens, readAddedTokens } from './added-tokens.ts';
import { BpeModel } from './bpe-model.ts';
import { byteLettersToBytes } from './byte-level.ts';
import { type Decode, readDecoder } from './json-decoders.ts';
import { type Normalize, readNormalizer } from './json-normalizers.ts';
import { readPostProcessor, type Template } from './json-post.ts';
import { type Part, type PreTokenize, type PureCuts, readPreTokenizer, readPureCuts } from './json-pretokenizers.ts';
import { asObject, checkDepth } from './json-read.ts';
import { SPACE_MARK } from './normalizer.ts';
import { needMark } from './sentencepiece.ts';
import type { DecodeOptions, EncodeOptions, MarkSettings, StreamDecoder, Tokenizer, TokenizerSource } from './types.ts';
import { UnitBuffer } from './units.ts';
import { byteOfPiece, decodeBytes, utf8 } from './utf8.ts';

/** Far above any real vocabulary; a greater id is damage, and would cost memory everywhere. */
const MAX_VOCAB = 1 << 24;

/** `tokenizer.json` behind the `Tokenizer` interface. */
export class JsonTokenizer implements Tokenizer {
  readonly kind = 'bpe-json';
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  readonly unkId: number | null;
  readonly stopIds: readonly number[];
  readonly adds: { readonly bos: boolean; readonly eos: boolean };
  readonly source: TokenizerSource;
  readonly #model: BpeModel;
  readonly #preTokenize: PreTokenize;
  /** The pre-tokenizer where it only cuts: then words are taken from the text's units as they lie. */
  #cuts: PureCuts | null;
  #sticky: RegExp | null;
  readonly #units = new UnitBuffer();
  readonly #decode: Decode;
  readonly #added: AddedTokens;
  readonly #addedById = new Map<number, AddedToken>();
  readonly #addedByText = new Map<string, AddedToken>();
  readonly #pieces: (string | undefined)[] = [];
  /** What decoding makes of added tokens that are looked for in normalised text: their normalised form. */
  readonly #spoken = new Map<number, string>();
  readonly #template: Template;
  readonly #byteLevel: boolean;

  /** `json`: the parsed file. Throws `format`, naming the part at fault. */
  constructor(json: unknown, settings: MarkSettings) {
    const root = asObject(json, 'tokenizer.json');
    this.source = settings.source;
    for (const part of ['normalizer', 'pre_tokenizer', 'decoder', 'post_processor']) checkDepth(root[part], part);
    this.#model = new BpeModel(asObject(root.model, 'model'));
    const normalize: Normalize = readNormalizer(root.normalizer);
    this.#preTokenize = readPreTokenizer(root.pre_tokenizer);
    this.#cuts = readPureCuts(root.pre_tokenizer);
    this.#sticky = this.#cuts?.pattern == null ? null : new RegExp(this.#cuts.pattern.source, 'yu');
    this.#decode = readDecoder(root.decoder);
    const added = readAddedTokens(root.added_tokens);
    this.#added = new AddedTokens(added, normalize);
    for (const [piece, id] of this.#model.vocab) this.#pieces[id] = piece;
    for (const token of added) {
      this.#pieces[token.id] = token.content;
      this.#addedById.set(token.id, token);
      this.#addedByText.set(token.content, token);
      if (token.normalized) this.#spoken.set(token.id, normalize(token.content));
    }
    this.vocabSize = this.#pieces.length;
    if (this.vocabSize > MAX_VOCAB) {
      throw new ScionError('format', `tokenizer.json: the greatest id is ${this.vocabSize - 1}; ids may go to ${MAX_VOCAB - 1}`, { vocabSize: this.vocabSize });
    }
    this.#byteLevel = JSON.stringify([root.pre_tokenizer ?? null, root.normalizer ?? null]).includes('"ByteLevel"');
    this.#template = readPostProcessor(root.post_processor, 'post_processor');

    const { before, after } = this.#template;
    const { names = {}, ids = {} } = settings;
    const mark = (name: string | undefined, own: number | undefined, id: number | undefined): number | null =>
      (name === undefined ? null : this.idOf(name)) ?? own ?? (id !== undefined && id < this.vocabSize ? id : null);
    this.bosId = mark(names.bos, before[0], ids.bos);
    this.eosId = mark(names.eos, after.at(-1), ids.eos);
    this.padId = mark(names.pad, undefined, ids.pad);
    this.unkId = this.#model.unkId >= 0 ? this.#model.unkId : mark(names.unk, undefined, undefined);
    this.stopIds = [...new Set([...(this.eosId === null ? [] : [this.eosId]), ...(settings.stopIds ?? [])])];
    this.adds = { bos: settings.addsBos ?? before.length > 0, eos: settings.addsEos ?? after.length > 0 };
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    this.#run(text, options);
    return this.#model.sink.take();
  }

  encodeTyped(text: string, options: EncodeOptions = {}): Int32Array {
    this.#run(text, options);
    return this.#model.sink.takeTyped();
  }

  #run(text: string, options: EncodeOptions): void {
    const { before, after } = this.#template;
    const begin = options.bos !== true ? [] : before.length > 0 ? before : [needMark('begin', this.bosId)];
    const end = options.eos !== true ? [] : after.length > 0 ? after : [needMark('end', this.eosId)];
    const { sink } = this.#model;
    sink.reset();
    for (const id of begin) sink.piece(id);
    for (const found of this.#added.split(text.toWellFormed(), options.allowSpecial === true)) {
      if (found.part === null) sink.piece(found.id);
      else if (!this.#encodeCut(found.part.text)) this.#encodeParts(found.part);
    }
    for (const id of end) sink.piece(id);
  }

  #encodeParts(part: Part): void {
    for (const { text } of this.#preTokenize(part)) this.#model.encodeWord(text);
  }

  /** Encodes a part by cuts alone; false (and nothing encoded) where that is not enough. */
  #encodeCut(text: string): boolean {
    if (this.#cuts === null) return false;
    const { pattern, letters } = this.#cuts;
    const units = this.#units.fill(text);
    const model = this.#model;
    const before = model.sink.length;
    const add = (from: number, to: number): void => {
      if (to <= from) return;
      if (letters) model.encodeBytesOf(units, from, to);
      else model.encodeUnits(units, from, to);
    };
    const sticky = this.#sticky;
    if (pattern === null || sticky === null) {
      add(0, text.length);
      return true;
    }
    for (let at = 0; at < text.length; ) {
      sticky.lastIndex = at;
      let from = at;
      let to = at;
      if (sticky.test(text)) {
        to = sticky.lastIndex;
      } else {
        // Nothing here; the next match is somewhere behind.
        pattern.lastIndex = at;
        const found = pattern.exec(text);
        from = found?.index ?? text.length;
        to = from + (found?.[0].length ?? 0);
        if (found === null) {
          add(at, text.length);
          return true;
        }
      }
      if (to === from) {
        // A pattern with empty matches cuts by other rules: this way is closed for good.
        this.#cuts = null;
        model.sink.truncate(before);
        return false;
      }
      add(at, from);
      add(from, to);
      at = to;
    }
    return true;
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const skip = options.skipSpecial ?? true;
    const pieces: string[] = [];
    for (const id of ids) {
      checkId(id);
      const piece = this.#spoken.get(id) ?? this.#pieces[id];
      // Ids without an entry (a padded embedding has some) say nothing, as in the original.
      if (piece !== undefined && !(skip && this.isSpecial(id))) pieces.push(piece);
    }
    return pieces.length === 0 ? '' : this.#decode(pieces).join('');
  }

  /**
   * Decodes a window of ids at a time: what was sure before, and what the new id adds. In a run of byte
   * pieces that is not UTF-8 this gives its valid characters, while `decode` gives up the whole run.
   */
  decoder(options: DecodeOptions = {}): StreamDecoder {
    let held: number[] = [];
    let sure = 0;
    let sureText = '';
    const settle = (text: string): string => {
      const out = text.slice(sureText.length);
      held = held.slice(sure);
      sure = held.length;
      sureText = this.decode(held, options);
      return out;
    };
    const push = (id: number): string => {
      held.push(id);
      if (this.#endsInside(held, options.skipSpecial ?? true)) return '';
      const text = this.decode(held, options);
      return text.length > sureText.length ? settle(text) : '';
    };
    return { push, end: () => settle(this.decode(held, options)) };
  }

  /** True if the bytes of these ids end within a character that further bytes could complete. */
  #endsInside(ids: readonly number[], skip: boolean): boolean {
    const tail: number[] = [];
    for (let i = ids.length - 1; i >= 0 && tail.length < 3; i--) {
      if (this.#pieces[ids[i]] === undefined) continue;
      const bytes = this.isSpecial(ids[i]) && !skip ? utf8(this.pieceOf(ids[i])) : this.bytesOf(ids[i]);
      for (let j = bytes.length - 1; j >= 0 && tail.length < 3; j--) tail.unshift(bytes[j]);
    }
    return decodeBytes(tail, false).used < tail.length;
  }

  pieceOf(id: number): string {
    checkId(id);
    const piece = this.#pieces[id];
    if (piece === undefined) {
      throw new ScionError('input', `id ${id} has no entry in the vocabulary: ids go from 0 to ${this.vocabSize - 1}`, { id, vocabSize: this.vocabSize });
    }
    return piece;
  }

  idOf(piece: string): number | null {
    return this.#addedByText.get(piece)?.id ?? this.#model.vocab.get(piece) ?? null;
  }

  bytesOf(id: number): Uint8Array {
    const piece = this.pieceOf(id);
    const added = this.#addedById.get(id);
    if (added !== undefined) return added.special ? new Uint8Array(0) : utf8(added.content);
    if (this.#byteLevel) return Uint8Array.from(byteLettersToBytes(piece) ?? utf8(piece));
    const byte = this.#model.byteFallback ? byteOfPiece(piece) : -1;
    return byte >= 0 ? Uint8Array.of(byte) : utf8(piece.replaceAll(SPACE_MARK, ' '));
  }

  isSpecial(id: number): boolean {
    return this.#addedById.get(id)?.special ?? false;
  }
}

function checkId(id: number): void {
  if (!Number.isInteger(id) || id < 0) throw new ScionError('input', `${id} is not an id: ids are integers from 0`, { id });
}
