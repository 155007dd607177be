/**
 * Normalising by replacement rules over code units: the short way for models with rules. Nearly all characters are
 * told by one look into a table of what rules can do to them; only the others are looked up in the rules, as bytes.
 * It trades 192 KiB a tokenizer. What it cannot do (a damaged map whose rules or replacements cut characters in two)
 * it leaves to the caller, which walks the bytes as the library does.
 */

import type { UnitBuffer } from './units.ts';

/** What this needs of the rules: see `Charsmap`. */
interface Rules {
  match(bytes: Uint8Array, from: number): { readonly length: number; readonly value: number; readonly reached: number };
  replacement(value: number): Uint8Array;
}

/** What happens to white space: see `NormalizerSpec`. */
export interface SpaceRules {
  /** What a space becomes. */
  readonly space: number;
  /** Runs of spaces become one, leading and trailing ones go. */
  readonly strip: boolean;
  /** A space goes before the text. */
  readonly dummy: boolean;
}

/** Not looked at yet. */
const NEW = 0;
/** No rule starts with it. */
const PLAIN = 1;
/** A rule may start with it, but none does where an ASCII character or the end follows. */
const BASE = 2;
/** Always becomes one unit. */
const ONE = 3;
/** Ask the rules each time. */
const ASK = 4;
/** A rule ends within it. */
const TORN = 5;

/** Bytes first given to the rules; more if they could follow all of these. */
const WINDOW = 32;

const encoder = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Replaces by rules, marks spaces. */
export class RuleWalk {
  readonly #rules: Rules;
  readonly #kinds = new Uint8Array(0x10000);
  readonly #one = new Uint16Array(0x10000);
  /** Replacements as text by their place; null if they are no valid UTF-8. At most one a rule. */
  readonly #texts = new Map<number, string | null>();
  readonly #bytes = new Uint8Array(8);

  constructor(rules: Rules) {
    this.#rules = rules;
    // Pairs of surrogates are always asked about.
    this.#kinds.fill(ASK, 0xd800, 0xe000);
  }

  /** Normalises well-formed text into `buffer`; gives how many units, or -1 if the bytes must be walked. */
  into(buffer: UnitBuffer, text: string, { space, strip, dummy }: SpaceRules): number {
    const kinds = this.#kinds;
    const one = this.#one;
    const size = text.length;
    let units = buffer.room(size + 1);
    let count = 0;
    if (dummy) units[count++] = space;
    let afterSpace = strip;
    for (let at = 0; at < size; ) {
      let unit = text.charCodeAt(at);
      let kind = kinds[unit];
      if (kind === NEW) {
        kind = this.#classify(unit);
        kinds[unit] = kind;
      }
      if (kind === PLAIN || kind === ONE || (kind === BASE && (at + 1 === size || text.charCodeAt(at + 1) < 0x80))) {
        at++;
        if (kind === ONE) unit = one[unit];
        if (unit !== 0x20) {
          units[count++] = unit;
          afterSpace = false;
        } else if (!afterSpace) {
          units[count++] = space;
          afterSpace = strip;
        }
        continue;
      }
      if (kind === TORN) return -1;
      const { length, value } = this.#ask(text, at);
      const replaced = length > 0 ? this.#textOf(value) : text.slice(at, at + charLength(unit));
      if (length < 0 || replaced === null) return -1;
      at += length > 0 ? length : charLength(unit);
      let i = 0;
      while (afterSpace && i < replaced.length && replaced.charCodeAt(i) === 0x20) i++;
      if (i === replaced.length) continue;
      if (count + replaced.length + size - at > units.length) units = buffer.grow(count, count + replaced.length + size - at);
      for (; i < replaced.length; i++) {
        unit = replaced.charCodeAt(i);
        units[count++] = unit === 0x20 ? space : unit;
      }
      afterSpace = strip && unit === 0x20;
    }
    if (strip) while (count > 0 && units[count - 1] === space) count--;
    return count;
  }

  /** What the rules can do to a character of one unit. */
  #classify(unit: number): number {
    const bytes = this.#bytes;
    const { written } = encoder.encodeInto(String.fromCharCode(unit), bytes);
    const { length, value, reached } = this.#rules.match(bytes.subarray(0, written), 0);
    if (length > 0 && length < written) return TORN;
    if (reached < written) return PLAIN;
    const goesOn = (to: number): boolean => {
      for (let byte = 0; byte < to; byte++) {
        bytes[written] = byte;
        if (this.#rules.match(bytes.subarray(0, written + 1), 0).reached > written) return true;
      }
      return false;
    };
    if (length === 0) return goesOn(0x80) ? ASK : BASE;
    const text = this.#textOf(value);
    if (text === null) return TORN;
    if (text.length !== 1 || goesOn(0x100)) return ASK;
    this.#one[unit] = text.charCodeAt(0);
    return ONE;
  }

  /** The longest rule at a place: its length in units (0: none, -1: ends within a character) and where its replacement is. */
  #ask(text: string, at: number): { length: number; value: number } {
    for (let window = WINDOW; ; window *= 2) {
      // A unit has at most three bytes, so a window of them holds whole characters; a half pair at its end is left out.
      let end = Math.min(text.length, at + window);
      if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
      const bytes = encoder.encode(text.slice(at, end));
      const { length, value, reached } = this.#rules.match(bytes, 0);
      if (reached === bytes.length && end < text.length) continue;
      let [units, seen] = [0, 0];
      while (seen < length) {
        const lead = bytes[seen];
        seen += lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        units += lead < 0xf0 ? 1 : 2;
      }
      return { length: seen > length ? -1 : units, value };
    }
  }

  #textOf(value: number): string | null {
    let text = this.#texts.get(value);
    if (text === undefined) {
      try {
        text = strict.decode(this.#rules.replacement(value));
      } catch {
        text = null;
      }
      this.#texts.set(value, text);
    }
    return text;
  }
}

function charLength(unit: number): number {
  return (unit & 0xfc00) === 0xd800 ? 2 : 1;
}
