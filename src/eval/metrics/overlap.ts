/**
 * How much of a reference an answer holds, as words and in order: F1 over bags of tokens (SQuAD; Rajpurkar et al. 2016) and ROUGE-L (Lin 2004), in English and Chinese. Chinese text is taken character by character, runs
 * of letters and digits as words (CMRC's rule): it needs no segmenter, so that a score does not hang on somebody's dictionary, at the price that partly right words count in part.
 */
import type { Language } from '../types.ts';

/** Words of English for F1: lower case, punctuation and articles gone. */
export function bagEn(text: string): string[] {
  return text
    .toLowerCase()
    .replace(/[\p{P}\p{S}]+/gu, '')
    .replace(/\b(?:a|an|the)\b/g, ' ')
    .split(/\s+/u)
    .filter((w) => w !== '');
}

/** Tokens of Chinese: each character of a script without spaces, runs of other letters and digits, lower case, compatibility forms (full width) made plain; no punctuation. */
export function tokensZh(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[^\s\p{P}\p{S}\p{C}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+/gu) ?? []
  );
}

/** Words of English for ROUGE as Google's rouge-score takes them: runs of ASCII letters and digits, lower case, no stemming. Other scripts' letters count too. */
export function rougeWords(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** 2PR / (P + R) of `common` tokens among `said` and `right`. */
const f1 = (common: number, said: number, right: number) => (common === 0 ? 0 : (2 * common) / (said + right));

/** F1 of two bags of tokens; two empty ones agree, one empty one has nothing in common with another. */
export function bagF1(said: readonly string[], right: readonly string[]): number {
  if (said.length === 0 && right.length === 0) return 1;
  const left = new Map<string, number>();
  for (const token of right) left.set(token, (left.get(token) ?? 0) + 1);
  let common = 0;
  for (const token of said) {
    const n = left.get(token) ?? 0;
    if (n > 0) {
      common++;
      left.set(token, n - 1);
    }
  }
  return f1(common, said.length, right.length);
}

/** Length of the longest common subsequence; memory linear in the shorter of the two. */
export function lcsLength(a: readonly string[], b: readonly string[]): number {
  const [long, short] = a.length >= b.length ? [a, b] : [b, a];
  let row = new Uint32Array(short.length + 1);
  let next = new Uint32Array(short.length + 1);
  for (const token of long) {
    for (let j = 0; j < short.length; j++) next[j + 1] = short[j] === token ? row[j] + 1 : Math.max(row[j + 1], next[j]);
    [row, next] = [next, row];
  }
  return row[short.length];
}

/** ROUGE-L F1 of two token lists. */
export function rougeL(said: readonly string[], right: readonly string[]): number {
  if (said.length === 0 && right.length === 0) return 1;
  return f1(lcsLength(said, right), said.length, right.length);
}

/** Tokens of a text for F1 or ROUGE-L in a language. */
export const tokensOf = (text: string, language: Language, what: 'f1' | 'rouge') =>
  language === 'zh' ? tokensZh(text) : what === 'f1' ? bagEn(text) : rougeWords(text);
