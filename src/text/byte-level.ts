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
