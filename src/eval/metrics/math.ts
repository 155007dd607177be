/**
 * Whether two mathematical answers are the same. An answer is taken out of its text (a box, an answer cue, the last formula, what follows the last equals sign, the last number), brought to one
 * way of writing LaTeX, and compared as an exact number where both are numbers, else as text. No algebra: `x+1` and `1+x` differ.
 */

import { divide, type Fraction, numbersIn, readDecimal, sameFraction } from './numbers.ts';
import { bestOf } from './text.ts';

/** What stands in the braces that open at `at`, balanced; null where they do not close. */
export function inBraces(text: string, at: number): { inside: string; end: number } | null {
  if (text[at] !== '{') return null;
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return { inside: text.slice(at + 1, i), end: i + 1 };
  }
  return null;
}

/** The content of the last box: `\boxed{…}`, `\fbox{…}` or `\boxed 5`. */
function lastBox(text: string): string | null {
  const at = Math.max(text.lastIndexOf('\\boxed'), text.lastIndexOf('\\fbox'));
  if (at < 0) return null;
  const after = at + (text.startsWith('\\boxed', at) ? 6 : 5);
  const open = text.slice(after).search(/\S/) + after;
  const braced = inBraces(text, open);
  if (braced) return braced.inside;
  const bare = /^\s*([^\s${}]+)/.exec(text.slice(after));
  return bare?.[1].replace(/[.,;]$/, '') ?? null;
}

/** The last formula between dollars, or between `\(` and `\)` or their square brackets. */
function lastFormula(text: string): string | null {
  const all = [...text.matchAll(/\$\$([\s\S]+?)\$\$|(?<!\\)\$((?:\\.|[^$\\\n])+)\$|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\]/g)];
  const last = all.at(-1);
  return last ? (last.slice(1).find((group) => group !== undefined) ?? null) : null;
}

const afterEquals = (text: string) => (/(?:^|[^<>!\\])=/.test(text) ? text.slice(text.lastIndexOf('=') + 1) : text).trim();

/** A line that is a formula rather than prose: no words of three letters once commands of LaTeX are gone, and no Chinese. */
const isFormula = (line: string) => !/[A-Za-z]{3,}|[\u4e00-\u9fff]/.test(line.replace(/\\[A-Za-z]+/g, ''));

/** Where the answer of a text stands: a box, a formula, a line or a number; null where there is none. */
function answerPlace(text: string): string | null {
  const box = lastBox(text);
  if (box !== null) return box;
  const cue = [...text.matchAll(/####|\banswer\s*(?:is|:)\s*:?|答案\s*(?:是|为|[:：])+/gi)].at(-1);
  const sentence =
    cue &&
    text
      .slice(cue.index + cue[0].length)
      .trim()
      .split(/\n|[.。](?:\s|$)/)[0];
  if (sentence) {
    const formula = lastFormula(sentence);
    if (formula !== null) return formula;
    // A word may be the answer ("even"); in a longer sentence it is the first number.
    if (isFormula(sentence) || !/\s/.test(sentence)) return sentence;
    const number = numbersIn(afterEquals(sentence))[0];
    if (number !== undefined) return number;
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  if (lines.length === 1 && !lines[0].includes('$') && (isFormula(lines[0]) || !/[=\d\s]/.test(lines[0].trim()))) return lines[0];
  const formula = lastFormula(text);
  if (formula !== null) return formula;
  const last = lines.at(-1) ?? '';
  return last.includes('=') ? afterEquals(last).replace(/[.。]$/, '') : (numbersIn(text).at(-1) ?? null);
}

/** An answer stands at the end; what lies farther back than this is not searched, so that no text can make the patterns slow. */
const MAX_LENGTH = 20_000;

/** The end of a text up to the next question that a model asks itself. */
const ownPart = (text: string) =>
  text
    .split(/\n[^\S\n]*(?:Question|Problem|Q|问题|题目|问)\s*\d*\s*[:：]/)[0]
    .trim()
    .slice(-MAX_LENGTH);

/** The answer that a text ends in, what it says before an equals sign left out; null where it has none. */
export function mathAnswer(text: string): string | null {
  const place = answerPlace(ownPart(text));
  return place === null ? null : afterEquals(place);
}

/** Arguments of `\frac` and `\sqrt` that stand without braces get them: `\frac12`, `\sqrt3`. */
function braceArguments(text: string): string {
  let out = '';
  for (let i = 0; i < text.length; ) {
    const command = /^\\(frac|sqrt)/.exec(text.slice(i));
    if (!command) {
      out += text[i++];
      continue;
    }
    out += command[0];
    i += command[0].length;
    if (command[1] === 'sqrt' && text[i] === '[') {
      const close = text.indexOf(']', i);
      if (close > 0) {
        out += text.slice(i, close + 1);
        i = close + 1;
      }
    }
    for (let n = command[1] === 'frac' ? 2 : 1; n > 0 && i < text.length; n--) {
      const braced = inBraces(text, i);
      const bare = /^(\\[A-Za-z]+|.)/u.exec(text.slice(i))?.[0] ?? '';
      out += `{${braced ? braceArguments(braced.inside) : bare}}`;
      i = braced ? braced.end : i + bare.length;
    }
  }
  return out;
}

/** One way of writing an answer, so that equal answers are equal texts as far as spelling goes. */
export function normalizeLatex(text: string): string {
  let s = text
    .normalize('NFKC')
    .trim()
    .replace(/[−–]/g, '-')
    .replace(/\n/g, ' ')
    .replace(/\\\\(?=[A-Za-z])/g, '\\')
    .replace(/\\(?:[!,;:> ]|quad|qquad|left|right|displaystyle|limits)(?![A-Za-z])/g, (m) => (m === '\\ ' ? ' ' : ''))
    .replace(/\\[dtc]frac/g, '\\frac')
    .replace(/\{,\}/g, ',')
    .replace(/\\(?:times)(?![A-Za-z])/g, '\\cdot ')
    .replace(/\\(?:le|leqslant)(?![A-Za-z])/g, '\\leq ')
    .replace(/\\(?:ge|geqslant)(?![A-Za-z])/g, '\\geq ')
    .replace(/\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°|\\degree/g, '')
    .replace(/\\?[%$]/g, '')
    // Units and words that follow a value.
    .replace(/(\S)\s*\\(?:text|mbox|mathrm|textrm)\s*\{\s*[A-Za-z][^}]*\}(?:\s*\^\s*\{?\d\}?)?\s*$/, '$1')
    .replace(/\\(?:text|mbox|mathrm|mathbf|textbf|textrm|mathit|operatorname)\s*\{([^{}]*)\}/g, '$1')
    .replace(/[.。,，;；]+$/, '');
  // A variable that the value is given to.
  s = s.replace(/^\s*(?:[A-Za-z](?:_\{?\w\}?)?|\\[A-Za-z]+)\s*=\s*(?!.*=)/, '');
  s = braceArguments(s.replace(/\s+/g, ''))
    .replace(/([\^_])\{(.)\}/g, '$1$2')
    .replace(/(^|[^\d.])\.(\d)/g, '$10.$2');
  return s;
}

/** The number that a normalised answer is: a decimal, a quotient of two, or a fraction of LaTeX, with a sign and outer brackets; null for anything else. */
export function readNumber(text: string): Fraction | null {
  const bare = /^\(([^,]*)\)$/.exec(text)?.[1] ?? text;
  const match = /^([-+]?)\\frac\{([-+]?[\d.,]+)\}\{([-+]?[\d.,]+)\}$/.exec(bare) ?? /^([-+]?)([\d.,]+)\/([-+]?[\d.,]+)$/.exec(bare);
  if (!match) return readDecimal(bare);
  const [top, bottom] = [readDecimal(match[2]), readDecimal(match[3])];
  const value = top && bottom ? divide(top, bottom) : null;
  return value && match[1] === '-' ? { top: -value.top, bottom: value.bottom } : value;
}

/** True if two answers are the same number, or the same text once spelt one way. */
export function sameAnswer(a: string, b: string): boolean {
  const [x, y] = [normalizeLatex(a), normalizeLatex(b)];
  if (x === y) return x !== '';
  const [m, n] = [readNumber(x), readNumber(y)];
  return m !== null && n !== null && sameFraction(m, n);
}

const parts = (text: string) => text.split(/[;；]/).map((p) => p.trim());

/** 1 if the answer of the text is the reference's. A reference of several values (`$5$;$10$`) wants all of them, in order, in the answer's last line or after its cue. */
export const mathEquivalence = bestOf((said, reference) => {
  const right = parts(reference);
  if (right.length > 1) {
    const tail = said.split(/答案\s*(?:是|为|[:：])+|\banswer\s*(?:is|:)/i).at(-1) ?? said;
    const values = parts(
      tail
        .trim()
        .split('\n')[0]
        .replace(/[.。]$/, ''),
    );
    return values.length === right.length && values.every((v, i) => sameAnswer(mathAnswer(v) ?? v, mathAnswer(right[i]) ?? right[i])) ? 1 : 0;
  }
  const wanted = /\\boxed|\\fbox|^\s*\$[^$]*\$\s*$/.test(reference) ? (answerPlace(reference) ?? reference) : reference;
  const own = ownPart(said);
  const place = answerPlace(own);
  // An equation may be the answer itself, or give it behind its equals sign.
  const readings = [own.split('\n').length === 1 ? own : null, place, place === null ? null : afterEquals(place)];
  return readings.some((reading) => reading !== null && sameAnswer(reading, wanted)) ? 1 : 0;
});
