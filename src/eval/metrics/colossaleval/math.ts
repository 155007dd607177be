/**
 * ColossalEval's mathematics and GSM8K metrics as they are. Answers are compared as text after the rules of Hendrycks et al. (2021), so that 0.5 is one half but 0.25 is no quarter; the reference is
 * never taken out of its dollars; a number with leading zeros is none, since Python cannot evaluate it.
 */
import type { Metric } from '../../types.ts';
import { unscored } from '../letters.ts';
import { evalNumber } from '../python.ts';
import { bestOf } from '../text.ts';

/** `Array.split` at most once from the left, as the pieces around the first `mark`. */
const afterLast = (text: string, mark: string) => text.slice(text.lastIndexOf(mark) + mark.length);

/** What follows the last equals sign, without spaces at its head, or the text itself. */
const sideOf = (text: string) => (text.includes('=') ? afterLast(text, '=').replace(/^ +/, '') : text);

/** Content of the last box, which must open with a brace; null otherwise. Braces are counted from the command on, whatever stands before them. */
function boxed(text: string): string | null {
  let at = text.lastIndexOf('\\boxed');
  if (at < 0) at = text.lastIndexOf('\\fbox');
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === '{') depth++;
    if (text[i] === '}' && --depth === 0) {
      const box = text.slice(at, i + 1);
      return box.startsWith('\\boxed{') ? sideOf(box.slice(7, -1)) : null;
    }
  }
  return null;
}

/** The answer of a text: a box if there is one, else the last `$…$` of a line (from its first dollar to its last), else what follows the last equals sign, else the last number. */
export function parseAnswer(text: string): string | null {
  if (text.includes('\\boxed')) return boxed(text);
  const formula = [...text.matchAll(/\$([^\n]*)\$/g)].at(-1)?.[1];
  const value = formula === undefined ? '' : sideOf(formula);
  if (value !== '') return value;
  if (!text.includes('=')) return text.match(/\$?\p{Nd}+(?:\.\p{Nd}+)?(?![\p{L}\p{N}_])/gu)?.at(-1) ?? null;
  // A backslash and an n, as two characters, end the value; a true line break does not.
  return afterLast(text, '=').replace(/^ +/, '').replace(/\.+$/, '').split('\\n')[0];
}

/** `\frac` with bare arguments gets braces; null where the original's rule would fail. */
function fixFractions(text: string): string | null {
  const [head, ...rest] = text.split('\\frac');
  let out = head;
  for (const part of rest) {
    if (part === '') return null;
    if (part[0] === '{') out += `\\frac${part}`;
    else if (part.length < 2) return text;
    else if (part[1] === '{') out += `\\frac{${part[0]}}${part.slice(1)}`;
    else out += `\\frac{${part[0]}}{${part[1]}}${part.slice(2)}`;
  }
  return out;
}

function fixRoots(text: string): string | null {
  const [head, ...rest] = text.split('\\sqrt');
  let out = head;
  for (const part of rest) {
    if (part === '') return null;
    out += part[0] === '{' ? `\\sqrt${part}` : `\\sqrt{${part[0]}}${part.slice(1)}`;
  }
  return out;
}

/** Strings that are taken out or rewritten first, in this order. */
const REWRITES: readonly (readonly [from: string, to: string])[] = [
  ['\n', ''],
  ['\\!', ''],
  ['\\\\', '\\'],
  ['tfrac', 'frac'],
  ['dfrac', 'frac'],
  ['\\left', ''],
  ['\\right', ''],
  ['^{\\circ}', ''],
  ['^\\circ', ''],
  ['\\$', ''],
];

/** A text by the rules of Hendrycks et al.; null where those rules fail on it. */
export function stripAnswer(text: string): string | null {
  let s = text;
  for (const [from, to] of REWRITES) s = s.replaceAll(from, to);
  const units = s.split('\\text{ ');
  if (units.length > 2) return null;
  s = units[0].replaceAll('\\%', '').replaceAll(' .', ' 0.').replaceAll('{.', '{0.');
  if (s === '') return s;
  if (s[0] === '.') s = `0${s}`;
  const sides = s.split('=');
  if (sides.length === 2 && sides[0].length <= 2) s = sides[1];
  const roots = fixRoots(s);
  if (roots === null) return null;
  const fractions = fixFractions(roots.replaceAll(' ', ''));
  if (fractions === null) return null;
  s = fractions === '0.5' ? '\\frac{1}{2}' : fractions;
  const quotient = /^(-?(?:0|[1-9]\d*))\/(-?(?:0|[1-9]\d*))$/.exec(s);
  return quotient && quotient[1] !== '-0' && quotient[2] !== '-0' ? `\\frac{${quotient[1]}}{${quotient[2]}}` : s;
}

export const mathEquivalence = bestOf((text, reference) => {
  const answer = parseAnswer(text);
  if (answer === null) return 0;
  const [a, b] = [stripAnswer(answer), stripAnswer(reference)];
  return (a === null || b === null ? answer === reference : a === b) ? 1 : 0;
});

/** The number that text or reference give, in the original's way of trimming them. */
function trimmed(match: string): bigint | number | null {
  let s = match.replaceAll(',', '');
  for (const end of ['.', '.00', '.0']) if (s.endsWith(end)) s = s.slice(0, -end.length);
  return evalNumber(s.replaceAll('$', ''));
}

/** The last number after an equals sign, or without one the last number. */
function lastNumber(text: string): bigint | number | null {
  const behind = [...text.matchAll(/=\s*(\$?-?[0-9][0-9.,]*)/g)].at(-1)?.[1];
  const any = text.match(/-?[0-9][0-9.,]*/g)?.at(-1);
  const found = behind ?? any;
  return found === undefined ? null : trimmed(found);
}

export const gsmAccuracy: Metric = (question, output) => {
  if (!question.answer || question.answer.length === 0) return unscored('no published answer');
  if (output.text === undefined) return unscored('no text');
  const said = lastNumber(output.text.split('\n\n')[0].split('Question:')[0].split('answer is').at(-1) as string);
  let score = 0;
  for (const reference of question.answer) {
    const right = /#### (-?[0-9.,]+)/.exec(reference)?.[1];
    const value = right === undefined ? null : evalNumber(right.trim().replaceAll(',', ''));
    if (value === null) return unscored('the reference holds no number after ####');
    // A whole number and a decimal are equal where their values are, as in Python.
    // biome-ignore lint/suspicious/noDoubleEquals: === would tell a bigint from a number.
    if (said !== null && said == value) score = 1;
  }
  return { score, chosen: said === null ? null : String(said) };
};
