/**
 * ColossalEval's text metrics as they are (they came from LongBench): SQuAD's F1, ROUGE-L of the Python package `rouge` (summary level over sets of words), classification whose branch for misspellings never runs, shares of numbers,
 * difflib's ratio in whole percent. Chinese is cut by jieba there; scion ships no dictionary, so the twins take any cutter, and by default the host's (`Intl.Segmenter`).
 */
import type { Metric } from '../../types.ts';
import { unscored } from '../letters.ts';
import { ASCII_PUNCTUATION, digitRuns, splitWords } from '../python.ts';
import { sequenceMatcherRatio } from '../similar.ts';
import { bestOf } from '../text.ts';

const withoutPunctuation = (text: string, more = '') => [...text].filter((c) => !ASCII_PUNCTUATION.has(c) && !more.includes(c)).join('');

const words = (text: string) => splitWords(withoutPunctuation(text.toLowerCase()).replace(/(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu, ' '));

/** F1 of two lists of tokens: nothing in common, or nothing at all, is 0. */
function bagF1(said: readonly string[], right: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const token of right) counts.set(token, (counts.get(token) ?? 0) + 1);
  let common = 0;
  for (const token of said) {
    const left = counts.get(token) ?? 0;
    if (left > 0) common++;
    counts.set(token, left - 1);
  }
  if (common === 0) return 0;
  const precision = common / said.length;
  const recall = common / right.length;
  return (2 * precision * recall) / (precision + recall);
}

export const f1Score = bestOf((said, right) => bagF1(words(said), words(right)));

/** Steps of the walk below after which Python's stack ends (measured: 996 with nothing else on it). */
const MAX_STEPS = 975;

/** Tables beyond this would not fit the original's memory either. */
const MAX_CELLS = 2e8;

/**
 * Words of the longest common subsequence of two sentences, as a set; of equally long ones the one that a walk back from the ends finds. Null where the original's recursion fails, which ColossalEval counts
 * as 0.
 */
function commonWords(reference: readonly string[], said: readonly string[]): Set<string> | null {
  const [n, m] = [reference.length, said.length];
  if (Math.min(n, m) > MAX_STEPS || n * m > MAX_CELLS) return null;
  const width = m + 1;
  const table = new Uint16Array((n + 1) * width);
  for (let i = 1; i <= n; i++)
    for (let j = 1; j <= m; j++) {
      const at = i * width + j;
      table[at] = reference[i - 1] === said[j - 1] ? table[at - width - 1] + 1 : Math.max(table[at - width], table[at - 1]);
    }
  const found = new Set<string>();
  let steps = 0;
  for (let i = n, j = m; i > 0 && j > 0; ) {
    if (++steps > MAX_STEPS) return null;
    if (reference[i - 1] === said[j - 1]) {
      found.add(reference[i - 1]);
      i--;
      j--;
    } else if (table[(i - 1) * width + j] > table[i * width + j - 1]) i--;
    else j--;
  }
  return found;
}

/** Sentences as the package `rouge` makes them: pieces between full stops, none of no length (one of spaces alone is a sentence of one empty word). */
const sentences = (text: string) =>
  text
    .split('.')
    .filter((s) => s.length > 0)
    .map((s) => splitWords(s).join(' ').split(' '));

/** F of `rouge-l` of the Python package `rouge` 1.0.1. Two texts without a sentence are an error there, which ColossalEval counts as 0. */
export function rougeOfPackage(text: string, reference: string): number {
  const [said, right] = [sentences(text), sentences(reference)];
  if (said.length === 0 || right.length === 0) return 0;
  const union = new Set<string>();
  for (const r of right)
    for (const s of said) {
      const common = commonWords(r, s);
      if (!common) return 0;
      for (const word of common) union.add(word);
    }
  const recall = union.size / new Set(right.flat()).size;
  const precision = union.size / new Set(said.flat()).size;
  return 2 * ((precision * recall) / (precision + recall + 1e-8));
}

export const rougeScore = bestOf(rougeOfPackage);

/** A cutter of Chinese text into words. */
export type Cutter = (text: string) => readonly string[];

/** The host's own segmenter; its words are not jieba's, and differ a little between hosts. */
export const hostCutter: Cutter = (text) => [...new Intl.Segmenter('zh', { granularity: 'word' }).segment(text)].map((s) => s.segment);

/** Punctuation of Chinese text that the original takes out, beside ASCII's. */
const ZH_PUNCTUATION = '！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏.';

/** The Chinese F1 and ROUGE-L of the original over the words of a cutter: with jieba's, the original's numbers. */
export function chineseTwins(cut: Cutter): { readonly f1_zh_score: Metric; readonly rouge_zh_score: Metric } {
  const tokens = (text: string) =>
    cut(text)
      .map((word) => splitWords(withoutPunctuation(word.toLowerCase(), ZH_PUNCTUATION)).join(''))
      .filter((word) => word.length > 0);
  return {
    f1_zh_score: bestOf((said, right) => bagF1(tokens(said), tokens(right))),
    rouge_zh_score: bestOf((said, right) => rougeOfPackage(cut(said).join(' '), cut(right).join(' '))),
  };
}

export const classificationScore: Metric = (question, output) => {
  if (!question.answer || question.answer.length === 0) return unscored('no published answer');
  if (!question.options || question.options.length === 0) return unscored('no class names');
  if (output.text === undefined) return unscored('no text');
  const text = output.text;
  let best = 0;
  for (const right of question.answer) {
    const found = question.options.filter((name) => text.includes(name));
    // The original takes names out of the list that it walks over, so that the one after a removed name is never looked at.
    for (let i = 0; i < found.length; i++) if (right.includes(found[i]) && found[i] !== right) found.splice(found.indexOf(found[i]), 1);
    best = Math.max(best, found.includes(right) ? 1 / found.length : 0);
  }
  return { score: best, chosen: null };
};

const shareOf = (text: string, right: string) => {
  const numbers = digitRuns(text);
  return numbers.length === 0 ? 0 : numbers.filter((n) => n === right).length / numbers.length;
};

export const countScore = bestOf(shareOf);

/** The share of all numbers of the text that are the one after `cue` in the reference. */
export const retrievalScore =
  (cue: string): Metric =>
  (question, output, language) => {
    const pattern = new RegExp(`${cue}(\\p{Nd}+)`, 'u');
    const right = question.answer?.map((answer) => pattern.exec(answer)?.[1]);
    if (right?.includes(undefined)) return unscored(`the reference does not say "${cue}" and a number`);
    return bestOf(shareOf)({ ...question, answer: (right as string[] | undefined) ?? null }, output, language);
  };

/** `fuzzywuzzy.fuzz.ratio` without its C module. */
function percent(a: string, b: string): number {
  if (a === b) return 100;
  if (a.length === 0 || b.length === 0) return 0;
  const x = 100 * sequenceMatcherRatio(a, b);
  // Python rounds halves to even.
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x);
}

export const codeSimScore = bestOf((said, right) => {
  const lines = said.replace(/^\n+/, '').split('\n');
  return percent(lines.find((line) => !/`|#|\/\//.test(line)) ?? '', right) / 100;
});
