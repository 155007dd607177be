/**
 * A byte-level BPE `tokenizer.json` (LLaMA 3, Qwen, GPT-2) as a base. Symbols are byte letters, so nothing is missing, but
 * pieces may be parts of characters, and a merge is of one pair: the same text from another pair is not merged.
 */

import { ScionError } from '../../base/errors.ts';
import { BpeModel } from '../bpe-model.ts';
import { byteLettersToBytes, textToByteLetters } from '../byte-level.ts';
import { isByteLevel, isNewScript } from '../expand/byte-level.ts';
import { asObject, isObject, type JsonObject } from '../json-read.ts';
import { SPACE_MARK } from '../normalizer.ts';
import { decodeBytes, utf8 } from '../utf8.ts';
import { type BasePiece, type EachSymbol, FIXED_SYMBOL, type LearnBase, PIECE_SYMBOL } from './base.ts';
import { type Cutter, type CutterSpec, makeCutter } from './cutter.ts';
import type { ScriptFilter } from './scripts.ts';
import { cutWords } from './words.ts';

const decoder = new TextDecoder();

/** A parsed byte-level `tokenizer.json` as a base. */
export class ByteLevelBase implements LearnBase {
  readonly cutter: CutterSpec;
  readonly byteFallback = false;
  readonly byPair = true;
  readonly reserved: ReadonlySet<string>;
  readonly #model: BpeModel;
  readonly #pieceOf = new Map<number, string>();
  readonly #cut: Cutter;
  readonly #ignoresMerges: boolean;
  /** Heads of characters (as letters) to whether all characters that begin so are targets, by filter. */
  readonly #heads = new WeakMap<ScriptFilter, Map<string, boolean>>();

  /** Throws `input` for a file that is not byte-level BPE, `format` for parts that are not known. */
  constructor(json: JsonObject) {
    if (!isByteLevel(json)) throw new ScionError('input', 'tokenizer.json is not byte-level BPE; learning needs that, or a tokenizer.model');
    const spec = asObject(json.model, 'model');
    this.#ignoresMerges = spec.ignore_merges === true;
    this.#model = new BpeModel({ ...spec, ignore_merges: false });
    for (const [piece, id] of this.#model.vocab) this.#pieceOf.set(id, piece);
    const added: readonly unknown[] = Array.isArray(json.added_tokens) ? (json.added_tokens as readonly unknown[]) : [];
    this.reserved = new Set(added.flatMap((token) => (isObject(token) && typeof token.content === 'string' ? [textToByteLetters(token.content)] : [])));
    this.cutter = { kind: 'byte-level', normalizer: json.normalizer ?? null, preTokenizer: json.pre_tokenizer ?? null };
    this.#cut = makeCutter(this.cutter);
  }

  /** None: old merges are between old symbols, which the base's cut has exhausted. */
  *pieces(): Iterable<BasePiece> {}

  words(counted: string): readonly string[] {
    if (this.#ignoresMerges && this.#model.vocab.has(counted)) return [];
    const text = this.plain(counted).replaceAll(' ', SPACE_MARK);
    const out: string[] = [];
    cutWords(text, (start, end) => out.push(textToByteLetters(text.slice(start, end).replaceAll(SPACE_MARK, ' '))));
    return out;
  }

  split(word: string, each: EachSymbol): void {
    const ids: number[] = [];
    this.#model.encode(word, ids);
    for (const id of ids) each(this.#pieceOf.get(id) ?? '', PIECE_SYMBOL);
  }

  splitText(text: string, each: EachSymbol): void {
    this.#cut(text, (word) => {
      each('', FIXED_SYMBOL);
      if (!this.#ignoresMerges || !this.#model.vocab.has(word)) this.split(word, each);
    });
  }

  plain(counted: string): string {
    return decoder.decode(Uint8Array.from(byteLettersToBytes(counted) ?? []));
  }

  characters(symbol: string): number {
    return (byteLettersToBytes(symbol) ?? []).filter((byte) => (byte & 0xc0) !== 0x80).length;
  }

  mayHold(symbol: string): boolean {
    return (byteLettersToBytes(symbol) ?? []).some((byte) => byte >= 0x80);
  }

  /** A whole target character, or a head that only target characters have. What stands before a first whole character says nothing. */
  accepts(piece: string, targets: ScriptFilter): boolean {
    if (this.#model.vocab.has(piece)) return false;
    const bytes = byteLettersToBytes(piece) ?? [];
    let start = 0;
    while (start < bytes.length && (bytes[start] & 0xc0) === 0x80) start++;
    const rest = bytes.slice(start);
    const { text, used } = decodeBytes(rest, false);
    return (
      targets.hasAny(text.replaceAll('\ufffd', '')) || (this.#headIsTarget(rest.slice(used), targets) && (targets.scripts.has('Latin') || isNewScript(piece)))
    );
  }

  #headIsTarget(head: readonly number[], targets: ScriptFilter): boolean {
    if (head.length === 0) return false;
    const known = this.#heads.get(targets) ?? new Map<string, boolean>();
    this.#heads.set(targets, known);
    const key = head.join();
    let found = known.get(key);
    if (found === undefined) {
      found = everyCompletion(head, (point) => targets.has(point));
      known.set(key, found);
    }
    return found;
  }
}

/** True if `test` holds for every assigned character whose UTF-8 begins with these bytes; false for heads of more than 4,096 of them. */
function everyCompletion(head: readonly number[], test: (point: number) => boolean): boolean {
  const length = head[0] >= 0xf0 ? 4 : head[0] >= 0xe0 ? 3 : 2;
  const left = length - head.length;
  if (left > 2) return false;
  let low = head[0] & (0xff >> (length + 1));
  for (const byte of head.slice(1)) low = low * 64 + (byte & 0x3f);
  let some = false;
  for (let point = low * 64 ** left; point < (low + 1) * 64 ** left; point++) {
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) continue;
    const char = String.fromCodePoint(point);
    if (utf8(char).length !== length || /\p{Cn}/u.test(char)) continue;
    if (!test(point)) return false;
    some = true;
  }
  return some;
}
