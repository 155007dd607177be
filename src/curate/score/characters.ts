/**
 * What a character is to the steps that compare texts: its class, and its folded form, in which width, case, accents
 * and ligatures are gone (a subset of Unicode NFKD with lower case). Two tables of 65,536 entries, made once in some
 * 30 ms; so no copy of a text is made to normalise it, and every position stays that of the original.
 */

/** Classes of code units. */
export const SEPARATOR = 0;
export const LETTER = 1;
export const DIGIT = 2;
/** Stands for itself: Han, kana and the other scripts that put no space between words. */
export const CHARACTER = 3;
export const MARK = 4;
/** Not there: accents on their own, zero-width and other format characters, variation selectors. */
export const IGNORED = 5;

/** Class by code unit. Surrogates are separators here; `astral` tells of pairs. */
export interface CharacterTables {
  readonly classes: Uint8Array;
  /** Folded code unit; 0 where it folds to more than one (see `expansions`) or to none. */
  readonly folds: Uint16Array;
  readonly expansions: ReadonlyMap<number, string>;
}

const SPACELESS = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tibetan}]/u;
const ACCENTS = /[\u0300-\u036f]|[\u1ab0-\u1aff]|[\u20d0-\u20ff]|[\u3099\u309a]|[\ufe00-\ufe0f]/g;
const IGNORABLE = /^(?:\p{Cf}|[\u0300-\u036f]|[\u1ab0-\u1aff]|[\u20d0-\u20ff]|[\u3099\u309a]|[\ufe00-\ufe0f])/u;
const SPACE = /^[\s\p{Z}\p{Cc}]/u;
const NUMBER = /^\p{Nd}/u;
const WORD = /^[\p{L}\p{M}\p{N}]/u;

/** Letters and digits in the scripts without spaces would else be told as words; prolonged sound marks belong to kana. */
function classOf(c: string): number {
  if (IGNORABLE.test(c)) return IGNORED;
  if (SPACE.test(c)) return SEPARATOR;
  if (NUMBER.test(c)) return DIGIT;
  if (WORD.test(c)) return SPACELESS.test(c) || c === 'ー' ? CHARACTER : LETTER;
  return MARK;
}

const foldOf = (c: string): string => c.normalize('NFKD').toLowerCase().replace(ACCENTS, '');

/** Runs of characters that are what they are: [first, last, class]. */
const PLAIN: readonly (readonly [number, number, number])[] = [
  [0x3400, 0x4dbf, CHARACTER],
  [0x4e00, 0x9fff, CHARACTER],
  [0xa000, 0xa48c, LETTER],
  [0xac00, 0xd7a3, LETTER],
  [0xd800, 0xdfff, SEPARATOR],
  [0xe000, 0xf8ff, MARK],
];

function build(): CharacterTables {
  const classes = new Uint8Array(65536);
  const folds = new Uint16Array(65536);
  const expansions = new Map<number, string>();
  const done = new Uint8Array(65536);
  for (const [first, last, kind] of PLAIN) {
    for (let c = first; c <= last; c++) {
      classes[c] = kind;
      folds[c] = c;
    }
    done.fill(1, first, last + 1);
  }
  for (let c = 0; c < 65536; c++) {
    if (done[c]) continue;
    const s = String.fromCharCode(c);
    const folded = foldOf(s);
    classes[c] = folded === '' ? IGNORED : classOf(s);
    if (folded.length === 1) folds[c] = folded.charCodeAt(0);
    else if (folded.length > 1) expansions.set(c, folded);
  }
  return { classes, folds, expansions };
}

let tables: CharacterTables | null = null;

/** The tables, made when first asked for. */
export function characterTables(): CharacterTables {
  tables ??= build();
  return tables;
}

const astralKnown = new Map<number, { kind: number; folded: string }>();

/** Class and folded form of a character beyond the first plane. */
export function astral(codePoint: number): { readonly kind: number; readonly folded: string } {
  let known = astralKnown.get(codePoint);
  if (known === undefined) {
    const c = String.fromCodePoint(codePoint);
    known = { kind: classOf(c), folded: foldOf(c) };
    // Bounded by what Unicode holds; a text cannot fill it beyond that.
    astralKnown.set(codePoint, known);
  }
  return known;
}
