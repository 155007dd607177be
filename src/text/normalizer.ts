/**
 * SentencePiece's text normaliser: precompiled replacement rules (NFKC and friends as a double-array
 * trie), white space folding, the dummy prefix and the visible space `▁`. Models without rules take a
 * short way over strings; the others walk UTF-8 bytes as the library does, since its rules are bytes.
 *
 * Source: the behaviour of SentencePiece's `Normalizer` (0.1.97 to 0.2.3), checked against it by the golden tests.
 */

import { ScionError } from '../base/errors.ts';
import type { NormalizerSpec } from '../formats/sentencepiece.ts';
import { RuleWalk } from './rule-walk.ts';
import { CodePointTable, Trie } from './tables.ts';
import type { UnitBuffer } from './units.ts';
import { utf8 } from './utf8.ts';

/** The visible space. */
export const SPACE_MARK = '\u2581';

const MARK_BYTES = [0xe2, 0x96, 0x81];
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
/** The library keeps at most this many matching rules for one position. */
const MAX_RULES = 32;

/** Precompiled replacement rules: longest matching prefix to a replacement. */
export class Charsmap {
  readonly #units: Uint32Array;
  readonly #strings: Uint8Array;

  /** `blob`: byte length of the trie (u32 LE), the trie (u32 LE units), NUL-terminated strings. Throws `format`. */
  constructor(blob: Uint8Array) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const trieBytes = blob.byteLength >= 4 ? view.getUint32(0, true) : -1;
    if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes + 4 > blob.byteLength) {
      throw new ScionError(
        'format',
        `precompiled_charsmap: ${blob.byteLength} bytes with a trie of ${trieBytes} bytes; the trie must be a multiple of 4 within the blob`,
        { bytes: blob.byteLength, trieBytes },
      );
    }
    this.#units = new Uint32Array(trieBytes / 4);
    for (let i = 0; i < this.#units.length; i++) this.#units[i] = view.getUint32(4 + 4 * i, true);
    this.#strings = blob.subarray(4 + trieBytes);
  }

  /**
   * The longest rule at `bytes[from]`: its length in bytes (0 if none) and where its replacement starts.
   * `reached` says how many bytes the trie could follow.
   */
  match(bytes: Uint8Array, from: number): { length: number; value: number; reached: number } {
    const units = this.#units;
    let length = 0;
    let value = 0;
    let found = 0;
    let node = offsetOf(units[0]);
    let i = from;
    for (; i < bytes.length; i++) {
      node ^= bytes[i];
      // A node outside the array can only come from a damaged file: no rule.
      if (node >= units.length) break;
      const unit = units[node];
      if ((unit & 0x800000ff) >>> 0 !== bytes[i]) break;
      node = (node ^ offsetOf(unit)) >>> 0;
      if (((unit >>> 8) & 1) === 1 && node < units.length && found++ < MAX_RULES) {
        length = i + 1 - from;
        value = units[node] & 0x7fffffff;
      }
    }
    return { length, value, reached: i - from };
  }

  /** The replacement that starts at `value`, without its NUL. */
  replacement(value: number): Uint8Array {
    let end = value;
    while (end < this.#strings.length && this.#strings[end] !== 0) end++;
    return this.#strings.subarray(Math.min(value, end), end);
  }
}

function offsetOf(unit: number): number {
  return ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
}

/** Bytes that grow. */
class ByteBuffer {
  bytes: Uint8Array;
  length = 0;

  constructor(expected: number) {
    this.bytes = new Uint8Array(expected);
  }

  push(byte: number): void {
    if (this.length === this.bytes.length) {
      const larger = new Uint8Array(this.bytes.length * 2 + 16);
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.bytes[this.length++] = byte;
  }

  endsWith(tail: readonly number[]): boolean {
    return this.length >= tail.length && tail.every((byte, i) => this.bytes[this.length - tail.length + i] === byte);
  }
}

/** Text as the model sees it. */
export class Normalizer {
  readonly #spec: NormalizerSpec;
  readonly #suffix: boolean;
  readonly #charsmap: Charsmap | null;
  /** Over the bytes of user-defined pieces, which are copied as they stand. */
  readonly #user: Trie | null = null;
  /** The short way over rules; null where only walking bytes will do. */
  readonly #walk: RuleWalk | null;
  /** 1 for code points that no rule starts with. */
  readonly #plain = new CodePointTable();

  constructor(spec: NormalizerSpec, treatWhitespaceAsSuffix: boolean, userPieces: readonly string[]) {
    this.#spec = spec;
    this.#suffix = treatWhitespaceAsSuffix;
    this.#charsmap = spec.precompiledCharsmap.length > 0 ? new Charsmap(spec.precompiledCharsmap) : null;
    this.#walk = this.#charsmap !== null && userPieces.length === 0 && !treatWhitespaceAsSuffix ? new RuleWalk(this.#charsmap) : null;
    if (userPieces.length > 0) {
      this.#user = new Trie(userPieces.length * 4);
      for (const piece of userPieces) this.#user.add(Array.from(utf8(piece), (byte) => String.fromCharCode(byte)).join(''), 1);
    }
  }

  /** Normalises; `prefix` false leaves the dummy prefix (or suffix) out. Lone surrogates become U+FFFD. */
  run(text: string, prefix = true): string {
    if (text === '') return '';
    const wellFormed = text.toWellFormed();
    const dummy = prefix && this.#spec.addDummyPrefix;
    if (this.#charsmap !== null || this.#user !== null) return this.#general(utf8(wellFormed), dummy);
    return this.#short(wellFormed, dummy);
  }

  /** As `run`, into code units; gives how many. The usual cases take one pass and no string. */
  into(buffer: UnitBuffer, text: string, prefix = true): number {
    const { addDummyPrefix, escapeWhitespaces, removeExtraWhitespaces } = this.#spec;
    const space = escapeWhitespaces ? SPACE_MARK.charCodeAt(0) : 0x20;
    if (this.#walk !== null) {
      const count = text === '' ? 0 : this.#walk.into(buffer, text.toWellFormed(), { space, strip: removeExtraWhitespaces, dummy: prefix && addDummyPrefix });
      if (count >= 0) return count;
    }
    if (this.#charsmap !== null || this.#user !== null || removeExtraWhitespaces || this.#suffix) {
      const normalized = this.run(text, prefix);
      buffer.fill(normalized);
      return normalized.length;
    }
    if (text === '') return 0;
    const wellFormed = text.toWellFormed();
    const units = buffer.room(wellFormed.length + 1);
    let count = 0;
    if (prefix && addDummyPrefix) units[count++] = space;
    for (let i = 0; i < wellFormed.length; i++) {
      const unit = wellFormed.charCodeAt(i);
      units[count++] = unit === 0x20 ? space : unit;
    }
    return count;
  }

  #short(text: string, dummy: boolean): string {
    const spec = this.#spec;
    const space = spec.escapeWhitespaces ? SPACE_MARK : ' ';
    let body = text;
    if (spec.removeExtraWhitespaces) {
      let start = 0;
      while (start < body.length && body.charCodeAt(start) === 0x20) start++;
      if (start === body.length) return '';
      body = body.slice(start).replace(/ {2,}/g, ' ');
    }
    if (spec.escapeWhitespaces) body = body.replaceAll(' ', SPACE_MARK);
    if (dummy && !this.#suffix) body = space + body;
    if (spec.removeExtraWhitespaces) {
      let end = body.length;
      while (end > 0 && body[end - 1] === space) end--;
      body = body.slice(0, end);
    }
    return dummy && this.#suffix ? body + space : body;
  }

  #general(input: Uint8Array, dummy: boolean): string {
    const spec = this.#spec;
    const space = spec.escapeWhitespaces ? MARK_BYTES : [0x20];
    const out = new ByteBuffer(input.length + (input.length >> 1) + 16);
    let at = 0;
    if (spec.removeExtraWhitespaces) {
      while (at < input.length) {
        const { bytes, used } = this.#prefix(input, at);
        if (bytes.length !== 1 || bytes[0] !== 0x20) break;
        at += used;
      }
      if (at >= input.length) return '';
    }
    const addSpace = (): void => {
      for (const byte of space) out.push(byte);
    };
    if (dummy && !this.#suffix) addSpace();
    let afterSpace = spec.removeExtraWhitespaces;
    while (at < input.length) {
      const { bytes, used } = this.#prefix(input, at);
      let i = 0;
      while (afterSpace && i < bytes.length && bytes[i] === 0x20) i++;
      if (i < bytes.length) {
        afterSpace = spec.removeExtraWhitespaces && bytes[bytes.length - 1] === 0x20;
        for (; i < bytes.length; i++) {
          if (bytes[i] === 0x20) addSpace();
          else out.push(bytes[i]);
        }
      }
      at += used;
    }
    if (spec.removeExtraWhitespaces) while (out.endsWith(space)) out.length -= space.length;
    if (dummy && this.#suffix) addSpace();
    return decoder.decode(out.bytes.subarray(0, out.length));
  }

  /** What stands for the input at `at`, and how many bytes of it that covers. */
  #prefix(input: Uint8Array, at: number): { bytes: Uint8Array; used: number } {
    if (this.#user !== null) {
      let node = 0;
      let longest = 0;
      for (let i = at; i < input.length; i++) {
        node = this.#user.step(node, input[i]);
        if (node < 0) break;
        if (this.#user.value(node) >= 0) longest = i + 1 - at;
      }
      if (longest > 0) return { bytes: input.subarray(at, at + longest), used: longest };
    }
    const lead = input[at];
    const size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (this.#charsmap !== null) {
      let key = size === 1 ? lead : lead & (0x7f >> size);
      for (let i = 1; i < size; i++) key = (key << 6) | (input[at + i] & 0x3f);
      // Behind a rule that ends within a character (a damaged map) what stands here is no character, and nothing is learnt.
      const whole = (lead & 0xc0) !== 0x80;
      if (!whole || this.#plain.get(key) < 0) {
        const { length, value, reached } = this.#charsmap.match(input, at);
        if (length > 0) return { bytes: this.#charsmap.replacement(value), used: length };
        // The trie gave up within the character itself, so no rule starts with it, whatever follows.
        if (whole && reached < size) this.#plain.set(key, 1);
      }
    }
    return { bytes: input.subarray(at, at + size), used: size };
  }
}
