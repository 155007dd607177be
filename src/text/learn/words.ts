/**
 * Cuts text into words, the stretches that no learnt piece crosses: letters of one script with the marks upon
 * them and perhaps one space mark before, Chinese runs by themselves, signs, and any other character (digits, white
 * space, controls) alone. A scanner over a table of classes instead of one regular expression: a class is asked
 * once a code point, which makes it some five times faster, and scripts need no alternative each.
 */

import { SPACE_MARK } from '../normalizer.ts';
import { scriptOf } from './scripts.ts';

/** Classes of code points; from `FIRST_SCRIPT` on, letters of that script. */
const UNASKED = 0;
const ALONE = 1;
const SPACE = 2;
const SIGN = 3;
/** Marks and letters that scripts share: they go with whichever letters stand beside them. Marks of one script count as its letters. */
const JOINER = 4;
const FIRST_SCRIPT = 5;

const classes = new Uint8Array(0x110000);
const scriptNumbers = new Map<string, number>();

function numberOf(script: string): number {
  let number = scriptNumbers.get(script);
  if (number === undefined) {
    number = FIRST_SCRIPT + scriptNumbers.size;
    scriptNumbers.set(script, number);
  }
  return number;
}

const HAN = numberOf('Han');

function classify(point: number): number {
  const char = String.fromCodePoint(point);
  if (char === SPACE_MARK) return SPACE;
  const script = scriptOf(point);
  // Han covers more than letters (numerals, radicals), and no mark joins its runs.
  if (script === 'Han') return HAN;
  if (/[\p{L}\p{M}]/u.test(char)) return script === null ? JOINER : numberOf(script);
  return /[\p{P}\p{S}]/u.test(char) ? SIGN : ALONE;
}

function classOf(point: number): number {
  const known = classes[point];
  if (known !== UNASKED) return known;
  const found = classify(point);
  classes[point] = found;
  return found;
}

/**
 * Calls `each` with start and end (in UTF-16 units) of every word of a text whose spaces are space marks already.
 * The words follow each other without gaps. Linear in the text; lone surrogates stand alone.
 */
export function cutWords(text: string, each: (start: number, end: number) => void): void {
  const { length } = text;
  let at = 0;
  while (at < length) {
    const start = at;
    let kind = classAt(text, at);
    at += sizeAt(text, at);
    if (kind === SPACE && at < length) {
      const next = classAt(text, at);
      // A space mark opens a word of letters or signs; before Chinese, digits and other white space it stands alone.
      if (next !== SIGN && next !== JOINER && !(next >= FIRST_SCRIPT && next !== HAN)) {
        each(start, at);
        continue;
      }
      kind = next;
      at += sizeAt(text, at);
    }
    if (kind === ALONE || kind === SPACE) {
      each(start, at);
      continue;
    }
    while (at < length) {
      const next = classAt(text, at);
      if (next !== kind) {
        const joins = next === JOINER && kind !== SIGN && kind !== HAN;
        // A word that begins with a mark takes the script of its first letter.
        if (kind === JOINER && next >= FIRST_SCRIPT && next !== HAN) kind = next;
        else if (!joins) break;
      }
      at += sizeAt(text, at);
    }
    each(start, at);
  }
}

function classAt(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return classOf(unit < 0xd800 || unit > 0xdbff ? unit : (text.codePointAt(at) as number));
}

function sizeAt(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return unit < 0xd800 || unit > 0xdbff ? 1 : (text.codePointAt(at) as number) > 0xffff ? 2 : 1;
}
