/**
 * Scores of generated text against reference texts: exact match, F1, ROUGE-L, classification, retrieval, count and code similarity (LongBench's families; Bai et al. 2023). Of
 * several accepted answers the best one counts. All are in [0, 1] and read the text alone.
 */
import type { Language, Metric, Question, SampleOutput, Scored } from '../types.ts';
import { unscored } from './letters.ts';
import { finalNumber, readDecimal, sameFraction } from './numbers.ts';
import { bagEn, bagF1, rougeL, tokensOf, tokensZh } from './overlap.ts';
import { indelRatio } from './similar.ts';

/** A metric that compares the text with each accepted answer and keeps the best. */
export function bestOf(compare: (said: string, right: string, question: Question, language: Language) => number): Metric {
  return (question: Question, output: SampleOutput, language: Language): Scored => {
    if (!question.answer || question.answer.length === 0) return unscored('no published answer');
    if (output.text === undefined) return unscored('no text');
    const text = output.text;
    return { score: Math.max(...question.answer.map((right) => compare(text, right, question, language))), chosen: null };
  };
}

const squeeze = (text: string) => text.normalize('NFC').replace(/\s+/gu, ' ').trim();

/** 1 if the text is the reference, runs of white space apart. */
export const exactMatch = bestOf((said, right) => (squeeze(said) === squeeze(right) ? 1 : 0));

/** 1 if the two are equal in lower case without punctuation, articles (English) and spaces (Chinese): SQuAD's and CMRC's exact match. */
export const quasiExactMatch = bestOf((said, right, _, language) => {
  const form = (text: string) => (language === 'zh' ? tokensZh(text).join('') : bagEn(text).join(' '));
  return form(said) === form(right) ? 1 : 0;
});

/** F1 over tokens in a language, or in the task's own. */
export const f1Score = (fixed?: Language) =>
  bestOf((said, right, _, language) => bagF1(tokensOf(said, fixed ?? language, 'f1'), tokensOf(right, fixed ?? language, 'f1')));

/** ROUGE-L F1 over tokens in a language, or in the task's own. */
export const rougeScore = (fixed?: Language) =>
  bestOf((said, right, _, language) => rougeL(tokensOf(said, fixed ?? language, 'rouge'), tokensOf(right, fixed ?? language, 'rouge')));

/** Class names that a text holds, in any case; a name that only stands inside another one found ("sport" in "sport science") does not count. */
function classesIn(text: string, classes: readonly string[]): string[] {
  let rest = text.toLowerCase();
  const found: string[] = [];
  for (const name of [...new Set(classes)].sort((a, b) => b.length - a.length)) {
    const low = name.toLowerCase();
    if (low === '' || !rest.includes(low)) continue;
    found.push(name);
    rest = rest.replaceAll(low, '\u0000');
  }
  return found;
}

/** How alike a name and the answer must be to be read as a misspelling of it. */
const MISSPELT = 0.75;

/**
 * 1 / (names found) if the right class is among them. Where none is found, the class that the first line is a misspelling of, if there is exactly one; `question.options` holds the
 * names.
 */
export const classificationScore: Metric = (question, output) => {
  const right = question.answer;
  if (!right || right.length === 0) return unscored('no published answer');
  if (!question.options || question.options.length === 0) return unscored('no class names');
  if (output.text === undefined) return unscored('no text');
  const found = classesIn(output.text, question.options);
  if (found.length > 0) return { score: found.some((name) => right.includes(name)) ? 1 / found.length : 0, chosen: found.join(', ') };
  const line = output.text.trim().split('\n')[0].toLowerCase();
  const likeness = question.options.map((name) => indelRatio(name.toLowerCase(), line));
  const top = Math.max(...likeness);
  const best = question.options.filter((_, i) => likeness[i] === top);
  if (top < MISSPELT || best.length > 1) return { score: 0, chosen: null, why: 'no class named' };
  return { score: right.includes(best[0]) ? 1 : 0, chosen: best[0], why: 'read as a misspelling' };
};

/** Numbers of a text in one form: full-width digits made plain, leading zeros gone. */
const wholeNumbers = (text: string) => (text.normalize('NFKC').match(/\d+/g) ?? []).map((n) => n.replace(/^0+(?=\d)/, ''));

/** The share of `said` that is `right`. */
const share = (said: readonly string[], right: string) => (said.length === 0 ? 0 : said.filter((n) => n === right).length / said.length);

/**
 * Which passage an answer is about: of the numbers that follow the cue ("Paragraph 3", "段落3"), or of all numbers where the cue does not occur, the share
 * that is the reference's.
 */
export const retrievalScore = (cue: string) => {
  const behind = new RegExp(`${cue}\\s*(\\d+)`, 'gi');
  const cued = (text: string) => [...text.normalize('NFKC').matchAll(behind)].map((m) => m[1].replace(/^0+(?=\d)/, ''));
  const metric: Metric = (question, output) => {
    if (!question.answer || question.answer.length === 0) return unscored('no published answer');
    if (output.text === undefined) return unscored('no text');
    const right = question.answer.map((a) => cued(a)[0] ?? wholeNumbers(a)[0]);
    if (right.includes(undefined as never)) return unscored('the reference holds no number');
    const named = cued(output.text);
    const said = named.length > 0 ? named : wholeNumbers(output.text);
    return { score: Math.max(...right.map((r) => share(said, r))), chosen: said.length > 0 ? [...new Set(said)].join(' ') : null };
  };
  return metric;
};

/** 1 if the number that the answer ends in is the reference's. */
export const countScore: Metric = (question, output) => {
  if (!question.answer || question.answer.length === 0) return unscored('no published answer');
  if (output.text === undefined) return unscored('no text');
  const right = question.answer.map((a) => readDecimal(a.normalize('NFKC').trim()));
  if (right.includes(null)) return unscored('the reference is no number');
  const said = finalNumber(output.text.normalize('NFKC'));
  const value = said === null ? null : readDecimal(said);
  return { score: value && right.some((r) => r !== null && sameFraction(r, value)) ? 1 : 0, chosen: said, ...(value ? {} : { why: 'no number' }) };
};

/** The first line of code in an answer: without fences of Markdown, comment lines and empty ones. */
function firstCodeLine(text: string): string {
  const lines = text.split('\n');
  return (lines.find((line) => line.trim() !== '' && !/^\s*(?:```|~~~|#(?!include|define|if|endif|pragma)|\/\/|\/\*|\*)/.test(line)) ?? '').trim();
}

/** Likeness of the first line of code and the reference, white space at the ends apart. */
export const codeSimScore = bestOf((said, right) => indelRatio(firstCodeLine(said), right.trim()));
