/**
 * GPT-2's byte alphabet: each of the 256 bytes as one printable character, so that vocabulary files are
 * readable text. Printable Latin-1 stands for itself; the others count up from U+0100.
 */

const letters: string[] = [];
const byteOfLetter = new Map<string, number>();

for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const letter = String.fromCharCode(printable ? byte : next++);
  letters.push(letter);
  byteOfLetter.set(letter, byte);
}

const encoder = new TextEncoder();
const isPlain = /^[\x21-\x7e]*$/;

/** The letters of a text's UTF-8 bytes. */
export function textToByteLetters(text: string): string {
  if (isPlain.test(text)) return text;
  let out = '';
  for (const byte of encoder.encode(text)) out += letters[byte];
  return out;
}

const letterUnits = Uint16Array.from(letters, (letter) => letter.charCodeAt(0));

/** Writes the letters of the UTF-8 bytes of `units[from..to)`, well-formed, into `out` (three letters a unit at most); gives how many. */
export function lettersInto(units: Uint16Array, from: number, to: number, out: Uint16Array): number {
  let count = 0;
  for (let i = from; i < to; i++) {
    let point = units[i];
    if (point < 0x80) {
      out[count++] = letterUnits[point];
      continue;
    }
    if (point < 0x800) {
      out[count++] = letterUnits[0xc0 | (point >> 6)];
    } else {
      if ((point & 0xfc00) === 0xd800) {
        point = ((point - 0xd800) << 10) + (units[++i] - 0xdc00) + 0x10000;
        out[count++] = letterUnits[0xf0 | (point >> 18)];
        out[count++] = letterUnits[0x80 | ((point >> 12) & 63)];
      } else {
        out[count++] = letterUnits[0xe0 | (point >> 12)];
      }
      out[count++] = letterUnits[0x80 | ((point >> 6) & 63)];
    }
    out[count++] = letterUnits[0x80 | (point & 63)];
  }
  return count;
}

/** The bytes that letters stand for, or null if one of them is no such letter. */
export function byteLettersToBytes(text: string): number[] | null {
  const bytes: number[] = [];
  for (const letter of text) {
    const byte = byteOfLetter.get(letter);
    if (byte === undefined) return null;
    bytes.push(byte);
  }
  return bytes;
}

/** The letter of each byte, by byte. */
export const BYTE_LETTERS: readonly string[] = letters;
