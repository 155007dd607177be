/**
 * The BPE model of `tokenizer.json`: words to ids. Words seen before are looked up; long ones (a whole text, where
 * nothing is cut beforehand) are cut where no merge could ever reach across, which changes no result.
 */

import { ScionError } from '../base/errors.ts';
import { asArray, asBoolean, asIndex, asObject, asString, type JsonObject, unsupported } from './json-read.ts';
import { Merger } from './merge.ts';
import { CodePointTable, PairTable } from './tables.ts';
import { pieceOfByte, utf8 } from './utf8.ts';

/** Words up to this many UTF-16 units are remembered. */
const CACHED_UNITS = 32;
const CACHE_ENTRIES = 1 << 16;

/** Vocabulary and merges, ready to run. */
export class BpeModel {
  readonly vocab: ReadonlyMap<string, number>;
  /** The id of `unk_token`, or -1. */
  readonly unkId: number;
  readonly byteFallback: boolean;
  readonly #merger: Merger;
  readonly #fuseUnk: boolean;
  readonly #ignoreMerges: boolean;
  readonly #prefix: string;
  readonly #suffix: string;
  /** Characters that are pieces, and which of them stand side by side in the result of some merge. */
  readonly #charIds = new CodePointTable();
  readonly #adjacent = new PairTable(1 << 10);
  readonly #words = new Map<string, Int32Array>();
  readonly #chunks = new Map<string, Int32Array>();
  #symbols = new Int32Array(256);

  /** Reads `model`. Throws `format`, naming what is missing or not supported. */
  constructor(spec: JsonObject) {
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
    for (const [piece, id] of vocab) {
      const point = piece.codePointAt(0);
      if (point !== undefined && piece.length === (point > 0xffff ? 2 : 1)) this.#charIds.set(point, id);
    }
    this.#merger = this.#readMerges(asArray(spec.merges, 'model.merges'));
  }

  #readMerges(merges: readonly unknown[]): Merger {
    const pairs = new PairTable(merges.length);
    const resultOf = new Int32Array(merges.length);
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
      pairs.set(idOf(left, rank), idOf(right, rank), rank);
      resultOf[rank] = idOf(result, rank);
      let last = -1;
      for (const char of result) {
        const id = this.#charIds.get(char.codePointAt(0) as number);
        if (last >= 0 && id >= 0) this.#adjacent.set(last, id, 1);
        last = id;
      }
    });
    const order = Int32Array.from(resultOf, (_, rank) => rank);
    return new Merger(pairs, order, resultOf);
  }

  /** Appends the ids of a word (a part that pre-tokenization made). */
  encode(word: string, ids: number[]): void {
    if (word === '') return;
    if (word.length <= CACHED_UNITS) {
      append(this.#remembered(this.#words, word, this.#ignoreMerges), ids);
      return;
    }
    const whole = this.#ignoreMerges ? this.vocab.get(word) : undefined;
    if (whole !== undefined) ids.push(whole);
    else if (this.#prefix !== '' || this.#suffix !== '') append(this.#merge(word), ids);
    else this.#encodeLong(word, ids);
  }

  /** Cuts between two known characters that no merge joins. */
  #encodeLong(word: string, ids: number[]): void {
    let start = 0;
    let last = -1;
    const flush = (end: number): void => {
      const chunk = word.slice(start, end);
      append(chunk.length <= CACHED_UNITS ? this.#remembered(this.#chunks, chunk, false) : this.#merge(chunk), ids);
      start = end;
    };
    for (let i = 0; i < word.length; ) {
      const point = word.codePointAt(i) as number;
      const id = this.#charIds.get(point);
      if (last >= 0 && id >= 0 && this.#adjacent.get(last, id) < 0) flush(i);
      last = id;
      i += point > 0xffff ? 2 : 1;
    }
    flush(word.length);
  }

  #remembered(cache: Map<string, Int32Array>, text: string, wholeFirst: boolean): Int32Array {
    const known = cache.get(text);
    if (known !== undefined) return known;
    const whole = wholeFirst ? this.vocab.get(text) : undefined;
    const ids = whole === undefined ? this.#merge(text) : Int32Array.of(whole);
    if (cache.size >= CACHE_ENTRIES) cache.clear();
    cache.set(text, ids);
    return ids;
  }

  #merge(text: string): Int32Array {
    // A unit gives at most four byte pieces, and so does each unit of the affixes that go with it.
    const room = 4 * (text.length * (1 + this.#prefix.length) + this.#suffix.length);
    if (this.#symbols.length < room) this.#symbols = new Int32Array(room * 2);
    const count = this.#fill(text, this.#symbols);
    return this.#symbols.slice(0, this.#merger.run(this.#symbols, count));
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

function append(more: Int32Array, ids: number[]): void {
  for (let i = 0; i < more.length; i++) ids.push(more[i]);
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
