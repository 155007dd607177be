/**
 * How well a tokenizer packs texts: tokens against characters and bytes, by category and in all, tokens that
 * are only bytes, and how often each row was used. Counts are exact sums over whole documents; the
 * speed is one pass over the texts with the encoder's own memory of words, as a corpus would see it.
 */
import { isByteLevel } from './expand/byte-level.ts';
import { findUnreachable } from './expand/reachable.ts';
import { isObject } from './json-read.ts';
import { SentencePieceTokenizer } from './sentencepiece.ts';
import type { Tokenizer } from './types.ts';
import { measureText } from './utf8.ts';

/** Sums over some texts. */
export interface TextTally {
  readonly documents: number;
  /** Unicode code points; half a surrogate pair counts as one. */
  readonly characters: number;
  /** Bytes of UTF-8. */
  readonly bytes: number;
  /** Ids without marks. */
  readonly tokens: number;
  /** Ids that stand for a byte, or for bytes that are no whole characters. */
  readonly byteFallbackTokens: number;
  /** Ids of the unknown entry: text that is lost. */
  readonly unknownTokens: number;
}

/** Ratios of a tally, null where nothing was counted. */
export interface TallyRates {
  readonly tokensPerCharacter: number | null;
  readonly charactersPerToken: number | null;
  readonly tokensPerByte: number | null;
  /** Byte tokens among all. */
  readonly byteFallbackRate: number | null;
}

type Sums = { -readonly [K in keyof TextTally]: TextTally[K] };

const empty = (): Sums => ({ documents: 0, characters: 0, bytes: 0, tokens: 0, byteFallbackTokens: 0, unknownTokens: 0 });

export function ratesOf({ characters, bytes, tokens, byteFallbackTokens }: TextTally): TallyRates {
  const ratio = (a: number, b: number): number | null => (b === 0 ? null : a / b);
  return {
    tokensPerCharacter: ratio(tokens, characters),
    charactersPerToken: ratio(characters, tokens),
    tokensPerByte: ratio(tokens, bytes),
    byteFallbackRate: ratio(byteFallbackTokens, tokens),
  };
}

/** The sums of several tallies. */
export function addTallies(tallies: Iterable<TextTally>): TextTally {
  const sum = empty();
  for (const tally of tallies) for (const key of Object.keys(sum) as (keyof TextTally)[]) sum[key] += tally[key];
  return sum;
}

const strict = new TextDecoder('utf-8', { fatal: true });

/** True for entries that stand for a byte (`<0x0A>`) or for bytes that are no whole characters. */
function isByteEntry(tokenizer: Tokenizer, id: number): boolean {
  if (tokenizer.isSpecial(id)) return false;
  const bytes = tokenizer.bytesOf(id);
  if (bytes.length === 1 && /^<0x[0-9A-F]{2}>$/.test(tokenizer.pieceOf(id))) return true;
  try {
    strict.decode(bytes);
    return false;
  } catch {
    return true;
  }
}

/** Counts what one tokenizer makes of texts that come one by one. */
export class TokenizerTally {
  readonly tokenizer: Tokenizer;
  /** Uses of each id so far. */
  readonly uses: Float64Array;
  /** Milliseconds spent encoding. */
  encodeMs = 0;
  private readonly sums = new Map<string, Sums>();
  private readonly byteEntry: Uint8Array;
  private readonly now: () => number;

  /** `now`: a clock in milliseconds, for the speed. */
  constructor(tokenizer: Tokenizer, now: () => number = () => performance.now()) {
    this.tokenizer = tokenizer;
    this.now = now;
    this.uses = new Float64Array(tokenizer.vocabSize);
    this.byteEntry = Uint8Array.from({ length: tokenizer.vocabSize }, (_, id) => (isByteEntry(tokenizer, id) ? 1 : 0));
  }

  /** Encodes a text and adds it to its category; `measured` saves measuring it again for every tokenizer. */
  add(category: string, text: string, measured = measureText(text)): void {
    const start = this.now();
    const ids = this.tokenizer.encodeTyped(text);
    this.encodeMs += this.now() - start;
    let sums = this.sums.get(category);
    if (!sums) {
      sums = empty();
      this.sums.set(category, sums);
    }
    sums.documents++;
    sums.characters += measured.characters;
    sums.bytes += measured.bytes;
    sums.tokens += ids.length;
    for (const id of ids) {
      this.uses[id]++;
      sums.byteFallbackTokens += this.byteEntry[id];
      if (id === this.tokenizer.unkId) sums.unknownTokens++;
    }
  }

  /** Tallies by category, in the order the categories came. */
  categories(): ReadonlyMap<string, TextTally> {
    return this.sums;
  }

  total(): TextTally {
    return addTallies(this.sums.values());
  }

  /** Megabytes of UTF-8 encoded a second; null before anything was. */
  megabytesPerSecond(): number | null {
    return this.encodeMs > 0 ? this.total().bytes / 1e3 / this.encodeMs : null;
  }
}

/**
 * Entries that no text becomes, by id; null for kinds of tokenizer where this is not known. SentencePiece: exact.
 * Byte-level `tokenizer.json`: entries whose own text becomes something else; those of no whole characters are
 * not judged.
 */
export function unreachableIds(tokenizer: Tokenizer): readonly number[] | null {
  if (tokenizer instanceof SentencePieceTokenizer) return [...findUnreachable(tokenizer.model).keys()];
  const json: unknown = JSON.parse(strict.decode(tokenizer.source.bytes));
  if (!isObject(json) || !isByteLevel(json)) return null;
  const out: number[] = [];
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    if (tokenizer.isSpecial(id) || isByteEntry(tokenizer, id)) continue;
    const bytes = tokenizer.bytesOf(id);
    if (bytes.length === 0) continue;
    const ids = tokenizer.encode(strict.decode(bytes));
    if (ids.length !== 1 || ids[0] !== id) out.push(id);
  }
  return out;
}
