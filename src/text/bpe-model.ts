/**
 * The BPE model of `tokenizer.json`: words to ids. Words seen before are looked up; new ones are cut where no merge could
 * ever reach across (chunked-bpe.ts), which changes no result. Models whose merges could touch what stands for
 * unknown characters, or whose pieces carry affixes, take a plain way instead.
 */

import { ScionError } from '../base/errors.ts';
import { BYTE_LETTERS, lettersInto } from './byte-level.ts';
import { ChunkedBpe } from './chunked-bpe.ts';
import { IdSink } from './id-sink.ts';
import { asArray, asBoolean, asIndex, asObject, asString, type JsonObject, unsupported } from './json-read.ts';
import { Merger } from './merge.ts';
import { PairTable } from './tables.ts';
import { UnitBuffer, unitsToString } from './units.ts';
import { pieceOfByte, utf8 } from './utf8.ts';
import { hashUnits, WordCache } from './word-cache.ts';

/** Words up to this many UTF-16 units are remembered. */
const CACHED_UNITS = 32;

/** Vocabulary and merges, ready to run. */
export class BpeModel {
  readonly vocab: ReadonlyMap<string, number>;
  /** The id of `unk_token`, or -1. */
  readonly unkId: number;
  readonly byteFallback: boolean;
  /** Where the ids go. */
  readonly sink: IdSink;
  readonly #merger: Merger;
  readonly #chunks: ChunkedBpe | null;
  readonly #fuseUnk: boolean;
  readonly #ignoreMerges: boolean;
  readonly #prefix: string;
  readonly #suffix: string;
  /** Units of the longest entry: no word longer than this is one. */
  readonly #longest: number;
  readonly #words: WordCache;
  readonly #rawWords: WordCache;
  readonly #units = new UnitBuffer();
  readonly #letters = new UnitBuffer();
  #symbols = new Int32Array(256);

  /** Reads `model`. Throws `format`, naming what is missing or not supported. `cacheWords`: words remembered at most; only tests choose. */
  constructor(spec: JsonObject, cacheWords?: number) {
    if (spec.type !== undefined && spec.type !== 'BPE') unsupported('model', spec.type, ['BPE']);
    // Files from before the model carried its type hold `merges` in BPE alone.
    if (spec.type === undefined && spec.merges === undefined) unsupported('model', 'a model without merges', ['BPE']);
    if (spec.dropout !== null && spec.dropout !== undefined && spec.dropout !== 0) unsupported('model.dropout', spec.dropout, ['null']);
    const vocab = new Map<string, number>();
    for (const [piece, id] of Object.entries(asObject(spec.vocab, 'model.vocab'))) vocab.set(piece, asIndex(id, `model.vocab[${JSON.stringify(piece)}]`));
    this.vocab = vocab;
    this.#prefix = optionalString(spec.continuing_subword_prefix, 'model.continuing_subword_prefix');
    this.#suffix = optionalString(spec.end_of_word_suffix, 'model.end_of_word_suffix');
    this.#fuseUnk = asBoolean(spec.fuse_unk, 'model.fuse_unk', false);
    this.#ignoreMerges = asBoolean(spec.ignore_merges, 'model.ignore_merges', false);
    this.byteFallback = asBoolean(spec.byte_fallback, 'model.byte_fallback', false);
    const unk = optionalString(spec.unk_token, 'model.unk_token');
    const unkId = unk === '' ? -1 : vocab.get(unk);
    if (unkId === undefined) throw new ScionError('format', `model.unk_token ${JSON.stringify(unk)} is not in model.vocab`, { unk });
    this.unkId = unkId;
    let longest = 0;
    for (const piece of vocab.keys()) longest = Math.max(longest, piece.length);
    this.#longest = longest;
    this.#words = new WordCache(cacheWords);
    this.#rawWords = new WordCache(cacheWords);
    const bytes = Array.from({ length: 256 }, (_, byte) => vocab.get(pieceOfByte(byte)) ?? -1);
    this.sink = new IdSink({ unkId, byteIds: this.byteFallback ? Int32Array.from(bytes) : null, fuse: this.#fuseUnk });
    const merges = this.#readMerges(asArray(spec.merges, 'model.merges'));
    this.#merger = new Merger(
      merges.pairs,
      Int32Array.from(merges.resultOf, (_, rank) => rank),
      merges.resultOf,
    );
    const inert = new Set([unkId, ...(this.byteFallback ? bytes : [])]);
    // What stands for unknown characters is put in after merging there, so it must not take part in any.
    const plain = this.#prefix === '' && this.#suffix === '' && !merges.hasEmpty && !merges.parts.some((id) => inert.has(id));
    this.#chunks = plain ? this.#makeChunks(merges.results, cacheWords) : null;
  }

  #makeChunks(results: ReadonlyMap<string, number>, cacheWords?: number): ChunkedBpe {
    const symbols = new Map<number, number>();
    for (const [piece, id] of this.vocab) {
      const point = piece.codePointAt(0);
      // Half a pair is no character of any text that comes here.
      if (point !== undefined && piece.length === (point > 0xffff ? 2 : 1) && (point & 0x1ff800) !== 0xd800) symbols.set(point, id);
    }
    return new ChunkedBpe({
      merger: this.#merger,
      symbols,
      results,
      pieceCount: 0x7fffffff,
      extraPoints: [],
      densePoints: isByteLevel(this.vocab) ? BYTE_LETTERS.slice(0x80).map((letter) => letter.charCodeAt(0)) : [],
      cacheWords,
    });
  }

  #readMerges(merges: readonly unknown[]): Merges {
    const pairs = new PairTable(merges.length);
    const resultOf = new Int32Array(merges.length);
    const results = new Map<string, number>();
    const parts: number[] = [];
    let hasEmpty = false;
    const idOf = (piece: string, rank: number): number => {
      const id = this.vocab.get(piece);
      if (id === undefined) throw new ScionError('format', `model.merges[${rank}]: ${JSON.stringify(piece)} is not in model.vocab`, { rank, piece });
      return id;
    };
    merges.forEach((merge, rank) => {
      const [left, right] = readMerge(merge, rank);
      if (!right.startsWith(this.#prefix)) {
        throw new ScionError('format', `model.merges[${rank}]: ${JSON.stringify(right)} lacks the prefix ${JSON.stringify(this.#prefix)}`, { rank });
      }
      const result = left + right.slice(this.#prefix.length);
      if (left === '' || right === '' || !result.isWellFormed()) hasEmpty = true;
      const [leftId, rightId] = [idOf(left, rank), idOf(right, rank)];
      pairs.set(leftId, rightId, rank);
      resultOf[rank] = idOf(result, rank);
      parts.push(leftId, rightId);
      results.set(result, resultOf[rank]);
    });
    return { pairs, resultOf, results, parts, hasEmpty };
  }

  /** Appends the ids of a word (a part that pre-tokenization made). */
  encode(word: string, ids: number[]): void {
    this.sink.reset();
    this.encodeWord(word);
    for (const id of this.sink.take()) ids.push(id);
  }

  /** Adds the ids of a word to the sink. */
  encodeWord(word: string): void {
    this.encodeUnits(this.#units.fill(word), 0, word.length);
  }

  /** Adds the ids of the word `units[from..to)`, well-formed, to the sink. */
  encodeUnits(units: Uint16Array, from: number, to: number): void {
    if (from === to) return;
    const remembers = (this.#ignoreMerges || this.#chunks === null) && to - from <= CACHED_UNITS;
    const hash = remembers ? hashUnits(units, from, to) : 0;
    if (remembers && this.#words.find(units, from, to, hash)) {
      this.sink.pieces(this.#words.values, this.#words.start, this.#words.count);
      return;
    }
    const before = this.sink.length;
    const whole = this.#ignoreMerges && to - from <= this.#longest ? this.vocab.get(unitsToString(units, from, to)) : undefined;
    if (whole !== undefined) this.sink.piece(whole);
    else if (this.#chunks !== null) this.#chunks.encode(units, from, to, this.sink);
    else this.#mergeWhole(unitsToString(units, from, to));
    this.sink.settle();
    if (remembers) this.#words.add(units, from, to, hash, this.sink.ids.subarray(before), this.sink.length - before);
  }

  /** As `encodeUnits` for a word whose bytes are still to become letters. */
  encodeBytesOf(units: Uint16Array, from: number, to: number): void {
    const remembers = to - from <= CACHED_UNITS;
    const hash = remembers ? hashUnits(units, from, to) : 0;
    if (remembers && this.#rawWords.find(units, from, to, hash)) {
      this.sink.pieces(this.#rawWords.values, this.#rawWords.start, this.#rawWords.count);
      return;
    }
    const before = this.sink.length;
    const letters = this.#letters.room(3 * (to - from));
    this.encodeUnits(letters, 0, lettersInto(units, from, to, letters));
    if (remembers) this.#rawWords.add(units, from, to, hash, this.sink.ids.subarray(before), this.sink.length - before);
  }

  #mergeWhole(text: string): void {
    // A unit gives at most four byte pieces, and so does each unit of the affixes that go with it.
    const room = 4 * (text.length * (1 + this.#prefix.length) + this.#suffix.length);
    if (this.#symbols.length < room) this.#symbols = new Int32Array(room * 2);
    const count = this.#fill(text, this.#symbols);
    this.sink.pieces(this.#symbols, 0, this.#merger.run(this.#symbols, count));
  }

  /** The starting symbols of a word: characters, bytes of unknown ones, or the unknown id. */
  #fill(text: string, symbols: Int32Array): number {
    const { vocab, unkId, byteFallback } = this;
    const prefix = this.#prefix;
    const suffix = this.#suffix;
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
      if (pendingUnknown && !this.#fuseUnk) symbols[count++] = unkId;
      pendingUnknown = true;
    }
    if (pendingUnknown) symbols[count++] = unkId;
    return count;
  }
}

/** What the list of merges says. */
interface Merges {
  readonly pairs: PairTable;
  /** The id that each merge makes, by rank. */
  readonly resultOf: Int32Array;
  /** What merges make, and its id. */
  readonly results: ReadonlyMap<string, number>;
  /** Ids that merges join. */
  readonly parts: readonly number[];
  /** Some merge joins nothing to something, or makes half a character. */
  readonly hasEmpty: boolean;
}

/** True if every byte letter is a piece: such a vocabulary is over bytes. */
function isByteLevel(vocab: ReadonlyMap<string, number>): boolean {
  return BYTE_LETTERS.every((letter) => vocab.has(letter));
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
