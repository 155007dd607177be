/**
 * UTF-8 the way SentencePiece reads it: every byte that starts no valid character counts as one
 * U+FFFD (the web's decoder replaces maximal parts instead, so `TextDecoder` would differ).
 */

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text; lone surrogates become U+FFFD. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Bytes in UTF-8 of one code point. */
export function utf8Length(codePoint: number): number {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
}

/** Bytes in UTF-8 of a text without lone surrogates. */
export function utf8LengthOf(text: string): number {
  let n = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // A surrogate pair has four bytes: two a half.
    n += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
  }
  return n;
}

/** Code points and UTF-8 bytes of a text; a lone surrogate counts as U+FFFD. */
export function measureText(text: string): { characters: number; bytes: number } {
  let characters = text.length;
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes++;
    else {
      bytes += 2;
      if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
        // Two units, four bytes, one character.
        characters--;
        i++;
      }
    }
  }
  return { characters, bytes };
}

/** The value of `<0x0A>`-like byte pieces, or -1. Upper-case hexadecimal only, as both libraries write it. */
export function byteOfPiece(piece: string): number {
  if (piece.length !== 6 || !/^<0x[0-9A-F]{2}>$/.test(piece)) return -1;
  return Number.parseInt(piece.slice(3, 5), 16);
}

/** The piece that stands for a byte. */
export function pieceOfByte(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/**
 * Decodes bytes from `bytes[0]` on. With `final` false it stops before bytes that could still become
 * a character and says how many were used; with `final` true everything is used.
 */
export function decodeBytes(bytes: readonly number[], final: boolean): { text: string; used: number } {
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at];
    const need = lead < 0x80 ? 1 : (lead & 0xe0) === 0xc0 ? 2 : (lead & 0xf0) === 0xe0 ? 3 : (lead & 0xf8) === 0xf0 ? 4 : 0;
    let point = need === 1 ? lead : need === 2 ? lead & 0x1f : need === 3 ? lead & 0x0f : lead & 0x07;
    let have = Math.min(1, need);
    while (have > 0 && have < need && at + have < bytes.length && (bytes[at + have] & 0xc0) === 0x80) {
      point = (point << 6) | (bytes[at + have] & 0x3f);
      have++;
    }
    if (have < need && at + have === bytes.length && !final) break;
    const least = need === 2 ? 0x80 : need === 3 ? 0x800 : need === 4 ? 0x10000 : 0;
    const valid = need > 0 && have === need && point >= least && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    text += valid ? String.fromCodePoint(point) : '\ufffd';
    at += valid ? need : 1;
  }
  return { text, used: at };
}
