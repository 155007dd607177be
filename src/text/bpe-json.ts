/**
 * HF `tokenizer.json` with a BPE model (LLaMA 3, Qwen, Mistral, GPT-2, converted SentencePiece), encoded and
 * decoded as the `tokenizers` library does. Components that are not known are refused by name when the
 * file is read, never skipped.
 */

import { ScionError } from '../base/errors.ts';
import { type AddedToken, AddedTokens, readAddedTokens } from './added-tokens.ts';
import { byteLettersToBytes } from './byte-level.ts';
import { type Decode, readDecoder } from './json-decoders.ts';
import { type Normalize, readNormalizer } from './json-normalizers.ts';
import { type PreTokenize, readPreTokenizer } from './json-pretokenizers.ts';
import { asArray, asBoolean, asIndex, asObject, asString, type JsonObject, unsupported } from './json-read.ts';
import { Merger } from './merge.ts';
import { SPACE_MARK } from './normalizer.ts';
import { needMark } from './sentencepiece.ts';
import { PairTable } from './tables.ts';
import type { DecodeOptions, EncodeOptions, MarkSettings, StreamDecoder, Tokenizer, TokenizerSource } from './types.ts';
import { byteOfPiece, pieceOfByte, utf8 } from './utf8.ts';

const CACHED_UNITS = 32;
const CACHE_ENTRIES = 1 << 16;
/** Far above any real vocabulary; a greater id is damage, and would cost memory everywhere. */
const MAX_VOCAB = 1 << 24;

/** The ids a post-processor puts round a text. */
interface Template {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** The model part of the file, ready to run. */
interface BpeModel {
  readonly vocab: ReadonlyMap<string, number>;
  readonly merger: Merger;
  readonly unkId: number;
  readonly fuseUnk: boolean;
  readonly byteFallback: boolean;
  readonly ignoreMerges: boolean;
  readonly prefix: string;
  readonly suffix: string;
}

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
  readonly #decode: Decode;
  readonly #added: AddedTokens;
  readonly #addedById = new Map<number, AddedToken>();
  readonly #addedByText = new Map<string, AddedToken>();
  readonly #pieces: (string | undefined)[] = [];
  /** What decoding makes of added tokens that are looked for in normalised text: their normalised form. */
  readonly #spoken = new Map<number, string>();
  readonly #template: Template;
  readonly #byteLevel: boolean;
  readonly #cache = new Map<string, Int32Array>();
  #symbols = new Int32Array(256);

  /** `json`: the parsed file. Throws `format`, naming the part at fault. */
  constructor(json: unknown, settings: MarkSettings) {
    const root = asObject(json, 'tokenizer.json');
    this.source = settings.source;
    this.#model = readModel(asObject(root.model, 'model'));
    const normalize: Normalize = readNormalizer(root.normalizer);
    this.#preTokenize = readPreTokenizer(root.pre_tokenizer);
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
    const ids: number[] = [];
    const { before, after } = this.#template;
    if (options.bos === true) ids.push(...(before.length > 0 ? before : [needMark('begin', this.bosId)]));
    for (const found of this.#added.split(text.toWellFormed(), options.allowSpecial === true)) {
      if (found.part === null) ids.push(found.id);
      else for (const part of this.#preTokenize(found.part)) this.#word(part.text, ids);
    }
    if (options.eos === true) ids.push(...(after.length > 0 ? after : [needMark('end', this.eosId)]));
    return ids;
  }

  #word(text: string, ids: number[]): void {
    if (text === '') return;
    const small = text.length <= CACHED_UNITS;
    let symbols = small ? this.#cache.get(text) : undefined;
    if (symbols === undefined) {
      symbols = this.#merge(text);
      if (small) {
        if (this.#cache.size >= CACHE_ENTRIES) this.#cache.clear();
        this.#cache.set(text, symbols);
      }
    }
    for (let i = 0; i < symbols.length; i++) ids.push(symbols[i]);
  }

  #merge(text: string): Int32Array {
    const { vocab, merger, ignoreMerges } = this.#model;
    if (ignoreMerges) {
      const whole = vocab.get(text);
      if (whole !== undefined) return Int32Array.of(whole);
    }
    // A character gives at most four byte pieces, and each unit of a pair at most two.
    if (this.#symbols.length < text.length * 4) this.#symbols = new Int32Array(text.length * 8);
    const count = this.#fill(text, this.#symbols);
    return this.#symbols.slice(0, merger.run(this.#symbols, count));
  }

  /** The starting symbols of a word: characters, bytes of unknown ones, or the unknown id. */
  #fill(text: string, symbols: Int32Array): number {
    const { vocab, unkId, fuseUnk, byteFallback, prefix, suffix } = this.#model;
    let count = 0;
    let pendingUnknown = false;
    let at = 0;
    for (const char of text) {
      const first = at === 0;
      at += char.length;
      const piece = `${first ? '' : prefix}${char}${at === text.length ? suffix : ''}`;
      const id = vocab.get(piece);
      if (id !== undefined) {
        if (pendingUnknown) symbols[count++] = unkId;
        pendingUnknown = false;
        symbols[count++] = id;
        continue;
      }
      if (byteFallback) {
        const bytes = Array.from(utf8(piece), (byte) => vocab.get(pieceOfByte(byte)));
        if (bytes.every((byte) => byte !== undefined)) {
          // As in the original, an unknown waiting here comes out after these bytes.
          for (const byte of bytes) symbols[count++] = byte;
          continue;
        }
      }
      if (unkId < 0) continue;
      if (pendingUnknown && !fuseUnk) symbols[count++] = unkId;
      pendingUnknown = true;
    }
    if (pendingUnknown) symbols[count++] = unkId;
    return count;
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
      const text = this.decode(held, options);
      // Eight ids hold two whole characters in bytes: what is still unclear then is no character.
      const unclear = text.endsWith('\ufffd') && held.length - sure < 8;
      return text.length > sureText.length && !unclear ? settle(text) : '';
    };
    return { push, end: () => settle(this.decode(held, options)) };
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

function readModel(spec: JsonObject): BpeModel {
  if (spec.type !== undefined && spec.type !== 'BPE') unsupported('model', spec.type, ['BPE']);
  // Files from before the model carried its type hold `merges` in BPE alone.
  if (spec.type === undefined && spec.merges === undefined) unsupported('model', 'a model without merges', ['BPE']);
  if (spec.dropout !== null && spec.dropout !== undefined && spec.dropout !== 0) unsupported('model.dropout', spec.dropout, ['null']);
  const vocab = new Map<string, number>();
  for (const [piece, id] of Object.entries(asObject(spec.vocab, 'model.vocab'))) vocab.set(piece, asIndex(id, `model.vocab[${JSON.stringify(piece)}]`));
  const prefix = optionalString(spec.continuing_subword_prefix, 'model.continuing_subword_prefix');
  const merges = asArray(spec.merges, 'model.merges');
  const pairs = new PairTable(merges.length);
  const resultOf = new Int32Array(merges.length);
  const idOf = (piece: string, rank: number): number => {
    const id = vocab.get(piece);
    if (id === undefined) throw new ScionError('format', `model.merges[${rank}]: ${JSON.stringify(piece)} is not in model.vocab`, { rank, piece });
    return id;
  };
  merges.forEach((merge, rank) => {
    const [left, right] = readMerge(merge, rank);
    if (!right.startsWith(prefix))
      throw new ScionError('format', `model.merges[${rank}]: ${JSON.stringify(right)} lacks the prefix ${JSON.stringify(prefix)}`, { rank });
    pairs.set(idOf(left, rank), idOf(right, rank), rank);
    resultOf[rank] = idOf(left + right.slice(prefix.length), rank);
  });
  const unk = spec.unk_token === null || spec.unk_token === undefined ? null : asString(spec.unk_token, 'model.unk_token');
  const unkId = unk === null ? -1 : vocab.get(unk);
  if (unkId === undefined) throw new ScionError('format', `model.unk_token ${JSON.stringify(unk)} is not in model.vocab`, { unk });
  return {
    vocab,
    merger: new Merger(
      pairs,
      Int32Array.from(resultOf, (_, rank) => rank),
      resultOf,
    ),
    unkId,
    fuseUnk: asBoolean(spec.fuse_unk, 'model.fuse_unk', false),
    byteFallback: asBoolean(spec.byte_fallback, 'model.byte_fallback', false),
    ignoreMerges: asBoolean(spec.ignore_merges, 'model.ignore_merges', false),
    prefix,
    suffix: optionalString(spec.end_of_word_suffix, 'model.end_of_word_suffix'),
  };
}

/** A merge in either form: `"a b"` or `["a", "b"]`. */
function readMerge(json: unknown, rank: number): readonly [string, string] {
  const parts = typeof json === 'string' ? json.split(' ') : asArray(json, `model.merges[${rank}]`);
  if (parts.length !== 2) throw new ScionError('format', `model.merges[${rank}]: wanted two pieces, found ${JSON.stringify(json)}`, { rank });
  return [asString(parts[0], `model.merges[${rank}]`), asString(parts[1], `model.merges[${rank}]`)];
}

function optionalString(json: unknown, where: string): string {
  return json === null || json === undefined ? '' : asString(json, where);
}

const POST_PROCESSORS = ['TemplateProcessing', 'ByteLevel', 'Sequence', 'RobertaProcessing', 'BertProcessing'];

/** What a post-processor adds round a single text. Throws `format`, naming the component, for unknown ones. */
function readPostProcessor(json: unknown, where: string): Template {
  if (json === null || json === undefined) return { before: [], after: [] };
  const spec = asObject(json, where);
  switch (spec.type) {
    case 'ByteLevel':
      // Only moves offsets, which are not kept here.
      return { before: [], after: [] };
    case 'Sequence': {
      const steps = asArray(spec.processors, `${where}.processors`).map((step, i) => readPostProcessor(step, `${where}.processors[${i}]`));
      return steps.reduce((all, step) => ({ before: [...step.before, ...all.before], after: [...all.after, ...step.after] }), { before: [], after: [] });
    }
    case 'RobertaProcessing':
    case 'BertProcessing':
      return {
        before: [asIndex(asArray(spec.cls, `${where}.cls`)[1], `${where}.cls[1]`)],
        after: [asIndex(asArray(spec.sep, `${where}.sep`)[1], `${where}.sep[1]`)],
      };
    case 'TemplateProcessing':
      return readTemplate(spec, where);
    default:
      return unsupported(where, spec.type, POST_PROCESSORS);
  }
}

function readTemplate(spec: JsonObject, where: string): Template {
  const marks = asObject(spec.special_tokens, `${where}.special_tokens`);
  const before: number[] = [];
  const after: number[] = [];
  let side: number[] = before;
  asArray(spec.single, `${where}.single`).forEach((entry, i) => {
    const step = asObject(entry, `${where}.single[${i}]`);
    if (step.Sequence !== undefined) {
      if (side === after) unsupported(`${where}.single`, 'a second Sequence', ['one Sequence']);
      side = after;
      return;
    }
    const name = asString(asObject(step.SpecialToken, `${where}.single[${i}].SpecialToken`).id, `${where}.single[${i}].SpecialToken.id`);
    const mark = asObject(marks[name], `${where}.special_tokens[${JSON.stringify(name)}]`);
    for (const id of asArray(mark.ids, `${where}.special_tokens[${JSON.stringify(name)}].ids`)) side.push(asIndex(id, `${where}.special_tokens ids`));
  });
  return { before, after };
}
