/**
 * What Python means by whitespace, digits, words and number literals. The `@colossaleval` twins repeat scores that Python computed, and its regular expressions read
 * Unicode where JavaScript's read ASCII: without these few lines a full-width digit or a line separator would give another score. Only twins use them.
 */

/** ASCII punctuation as Python's `string.punctuation` lists it. */
export const ASCII_PUNCTUATION: ReadonlySet<string> = new Set('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~');

/** What `str.split()` splits at: unlike `\s` with the separators FS to US and NEL, without the byte order mark. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python splits at them.
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;

/** `text.split()`: words between runs of whitespace, none of them empty. */
export function splitWords(text: string): string[] {
  return text.split(SPACE).filter((word) => word !== '');
}

/** `re.findall(r'\d+', text)`. */
export function digitRuns(text: string): string[] {
  return text.match(/\p{Nd}+/gu) ?? [];
}

/**
 * What Python's `eval` makes of a text of digits, commas gone: whole numbers exactly, decimals as doubles, null for what is no literal of Python's. It knows no whole number
 * with leading zeros (`05`), though `00` and `05.5` are fine.
 */
export function evalNumber(text: string): bigint | number | null {
  if (/^-?(0+|[1-9][0-9]*)$/.test(text)) return BigInt(text);
  return /^-?([0-9]+\.[0-9]*|\.[0-9]+)$/.test(text) ? Number(text) : null;
}
