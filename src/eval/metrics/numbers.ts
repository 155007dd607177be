/**
 * Numbers in answers, compared as exact fractions: `007`, `7.00`, `$7` and `\frac{14}{2}` are one number, and no rounding makes two of them alike. GSM8K's accuracy is built on it.
 */
import type { Metric } from '../types.ts';
import { unscored } from './letters.ts';

/** A fraction in lowest terms, its denominator positive. */
export interface Fraction {
  readonly top: bigint;
  readonly bottom: bigint;
}

/** Digits beyond this are no answer to a question; they would only cost time. */
const MAX_DIGITS = 400;

const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? (a < 0n ? -a : a) : gcd(b, a % b));

function fraction(top: bigint, bottom: bigint): Fraction | null {
  if (bottom === 0n) return null;
  const d = gcd(top, bottom) * (bottom < 0n ? -1n : 1n);
  return { top: top / d, bottom: bottom / d };
}

const DECIMAL = /^([-+−]?)\$?(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d*))?$/;

/** A whole or decimal number, with thousands separators, a sign and leading or trailing zeros or without; null for anything else. */
export function readDecimal(text: string): Fraction | null {
  const match = text.length <= MAX_DIGITS ? DECIMAL.exec(text.trim().replace(/\.$/, '')) : null;
  if (!match || (match[2] === '' && !match[3])) return null;
  const decimals = match[3] ?? '';
  const value = BigInt(match[2].replaceAll(',', '') + decimals);
  return fraction(match[1] === '' || match[1] === '+' ? value : -value, 10n ** BigInt(decimals.length));
}

/** A quotient of two decimals. */
export function divide(a: Fraction, b: Fraction): Fraction | null {
  return fraction(a.top * b.bottom, a.bottom * b.top);
}

export const sameFraction = (a: Fraction, b: Fraction) => a.top === b.top && a.bottom === b.bottom;

/** Numbers as they stand in prose; a full stop or comma that ends a sentence is none of theirs. */
const IN_PROSE = /(?<![\d.])(?:[-−]\s?(?=[$\d.]))?\$?\s?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])[-−]?\$?\.\d+/g;

/** The numbers of a text in order, as they are written; a minus sign counts where no operand stands before it. */
export function numbersIn(text: string): string[] {
  return [...text.matchAll(IN_PROSE)].map((match) => {
    const number = match[0].replace(/[$\s]/g, '').replace('−', '-');
    // In "7-4", "x-4" and "x - 4" the sign is an operator; in "about -4" it is the number's own.
    const before = text.slice(Math.max(0, match.index - 8), match.index);
    const operator = /[\d)]\s*$|\w$/.test(before) || (/^[-−]\s/.test(match[0]) && /\w\s+$/.test(before));
    return number.startsWith('-') && operator ? number.slice(1) : number;
  });
}

/** Characters behind a cue that are looked at. */
const SENTENCE = 1000;

/**
 * The number that a worked answer ends in. After `####` or, failing that, the last "answer is": in its sentence, the number after the last equals sign, else the first one ("18 dollars for 3 days"
 * is 18). Without a cue the number after the last equals sign of the last
 * line, else the last number of the text.
 */
export function finalNumber(text: string): string | null {
  const own = text.split(/\n[^\S\n]*(?:Question|Q|问题|题目|问)\s*\d*\s*[:：]/)[0];
  const marks = [...own.matchAll(/####|\b(?:answer|result)\s+is\b\s*:?|(?:^|\n)[^\S\n]*(?:final\s+)?answer\s*:|答案(?:是|为|：|:)/gi)];
  for (const mark of marks.reverse()) {
    const start = mark.index + mark[0].length;
    const after = own.slice(start, start + SENTENCE).split(/\n|[.!?。！？](?:\s|$)/)[0];
    const found = numbersIn(after.includes('=') ? after.slice(after.lastIndexOf('=') + 1) : after);
    if (found.length > 0) return found[0];
  }
  const line = own.trimEnd().split('\n').at(-1) ?? '';
  const result = line.includes('=') ? numbersIn(line.slice(line.lastIndexOf('=') + 1))[0] : undefined;
  return result ?? numbersIn(own).at(-1) ?? null;
}

/** GSM8K: the answer's final number equals the one after `####` of the reference (or the reference, where it is a number alone). */
export const gsmAccuracy: Metric = (question, output) => {
  if (!question.answer || question.answer.length === 0) return unscored('no published answer');
  if (output.text === undefined) return unscored('no text');
  const accepted = question.answer.map((a) => readDecimal((a.includes('####') ? a.slice(a.lastIndexOf('####') + 4) : a).trim()));
  if (accepted.some((a) => a === null)) return unscored('the reference holds no number');
  const said = finalNumber(output.text);
  const value = said === null ? null : readDecimal(said);
  if (!value) return { score: 0, chosen: null, why: 'no number' };
  return { score: accepted.some((a) => a !== null && sameFraction(a, value)) ? 1 : 0, chosen: said };
};
