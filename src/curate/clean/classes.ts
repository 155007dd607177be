/**
 * What kind of character every UTF-16 unit is, in one table of 64 KiB that is filled on first use from the regular
 * expression engine's Unicode data. A look-up is one load, where a regular expression a character would be a call.
 */

/** The low five bits of a table entry. From `LATIN` on they are letters, by script. */
export const CLASS = {
  OTHER: 0,
  SPACE: 1,
  NEWLINE: 2,
  DIGIT: 3,
  PUNCTUATION: 4,
  SYMBOL: 5,
  CONTROL: 6,
  MARK: 7,
  LATIN: 16,
  HAN: 17,
  KANA: 18,
  HANGUL: 19,
  CYRILLIC: 20,
  GREEK: 21,
  ARABIC: 22,
  HEBREW: 23,
  DEVANAGARI: 24,
  THAI: 25,
  OTHER_LETTER: 26,
} as const;

/** Scripts by the names that a configuration uses. */
export const SCRIPTS = {
  Latin: CLASS.LATIN,
  Han: CLASS.HAN,
  Kana: CLASS.KANA,
  Hangul: CLASS.HANGUL,
  Cyrillic: CLASS.CYRILLIC,
  Greek: CLASS.GREEK,
  Arabic: CLASS.ARABIC,
  Hebrew: CLASS.HEBREW,
  Devanagari: CLASS.DEVANAGARI,
  Thai: CLASS.THAI,
} as const;

export type ScriptName = keyof typeof SCRIPTS;

/** The high three bits of a table entry: what a character does to the word that is being read. */
export const ROLE = {
  /** Continues a word: letters of spaced scripts, digits, combining marks, the underscore. */
  WORD: 0 << 5,
  /** A word of its own: scripts that are written without spaces. */
  SINGLE: 1 << 5,
  /** Punctuation, symbols and all else that is neither. */
  MARK: 2 << 5,
  SPACE: 3 << 5,
  NEWLINE: 4 << 5,
  /** First half of a pair, to be looked at as a whole. */
  HIGH: 5 << 5,
} as const;

export const CLASS_BITS = 31;

const SCRIPT_PATTERNS: readonly (readonly [RegExp, number])[] = [
  [/^\p{Script=Latin}$/u, CLASS.LATIN],
  [/^[\p{Script=Hiragana}\p{Script=Katakana}\u30fc\uff70]$/u, CLASS.KANA],
  [/^\p{Script=Hangul}$/u, CLASS.HANGUL],
  [/^\p{Script=Cyrillic}$/u, CLASS.CYRILLIC],
  [/^\p{Script=Greek}$/u, CLASS.GREEK],
  [/^\p{Script=Arabic}$/u, CLASS.ARABIC],
  [/^\p{Script=Hebrew}$/u, CLASS.HEBREW],
  [/^\p{Script=Devanagari}$/u, CLASS.DEVANAGARI],
  [/^\p{Script=Thai}$/u, CLASS.THAI],
];
const HAN = /^\p{Script=Han}$/u;
const LETTER = /^\p{L}$/u;
const NUMBER = /^\p{N}$/u;
const MARK = /^\p{M}$/u;
const PUNCTUATION = /^\p{P}$/u;
const SYMBOL = /^\p{S}$/u;
const SPACE = /^\p{Z}$/u;

function classOf(code: number): number {
  if (code === 10) return CLASS.NEWLINE;
  if (code === 9 || (code >= 11 && code <= 13)) return CLASS.SPACE;
  if (code < 32 || (code >= 127 && code < 160)) return CLASS.CONTROL;
  // Almost half of the plane: no need to ask.
  if ((code >= 0x4e00 && code <= 0x9fff) || (code >= 0x20000 && code <= 0x3ffff)) return CLASS.HAN;
  if (code >= 0xac00 && code <= 0xd7a3) return CLASS.HANGUL;
  if (code >= 0xe000 && code <= 0xf8ff) return CLASS.OTHER;
  const text = String.fromCodePoint(code);
  if (LETTER.test(text)) {
    if (HAN.test(text)) return CLASS.HAN;
    for (const [pattern, found] of SCRIPT_PATTERNS) if (pattern.test(text)) return found;
    return CLASS.OTHER_LETTER;
  }
  // The zero that is written among Han characters.
  if (code === 0x3007) return CLASS.HAN;
  if (NUMBER.test(text)) return CLASS.DIGIT;
  if (MARK.test(text)) return CLASS.MARK;
  if (PUNCTUATION.test(text)) return CLASS.PUNCTUATION;
  if (SYMBOL.test(text)) return CLASS.SYMBOL;
  if (SPACE.test(text)) return CLASS.SPACE;
  return CLASS.OTHER;
}

function roleOf(found: number): number {
  if (found === CLASS.HAN || found === CLASS.KANA || found === CLASS.THAI) return ROLE.SINGLE;
  if (found >= CLASS.LATIN || found === CLASS.DIGIT || found === CLASS.MARK) return ROLE.WORD;
  if (found === CLASS.SPACE) return ROLE.SPACE;
  if (found === CLASS.NEWLINE) return ROLE.NEWLINE;
  return ROLE.MARK;
}

/** Class and role of a code point beyond the table. */
export function entryOf(code: number): number {
  const found = classOf(code);
  return found | roleOf(found);
}

let made: Uint8Array | null = null;

/** Class and role of every UTF-16 unit. A lone low half is `OTHER`. */
export function classTable(): Uint8Array {
  if (made) return made;
  const table = new Uint8Array(0x10000);
  for (let code = 0; code < 0x10000; code++) table[code] = code >= 0xd800 && code <= 0xdfff ? ROLE.MARK : entryOf(code);
  table.fill(ROLE.HIGH, 0xd800, 0xdc00);
  table[95] = CLASS.PUNCTUATION | ROLE.WORD;
  made = table;
  return table;
}
