/**
 * What language a text is in, by `eld` (n-grams of bytes, 60 languages, tables in the package). A long text is asked at a
 * few places and the answers are counted, since the detector reads only a beginning and a beginning may be a menu.
 * The detector calls code English, so tags, addresses and fenced code are taken out first, and how much of a text is code
 * is told here, by the look of its lines.
 */

/** Places that are asked and their length in UTF-16 units. */
const SAMPLES = 5;
const SAMPLE_LENGTH = 600;
/** Shorter samples say little. */
const MIN_LETTERS = 12;

export interface LanguageGuess {
  /** ISO 639-1, or empty where nothing can be told. */
  readonly language: string;
  /** Samples by language, out of `samples`. */
  readonly votes: ReadonlyMap<string, number>;
  readonly samples: number;
}

export type LanguageDetector = (text: string) => LanguageGuess;

const LETTERS = /\p{L}/gu;
const NOISE = /<[a-z/!][^<>]{0,200}>|\b[a-z]{2,8}:\/\/[^\s\u3000-\uffff]{0,300}|`[^`\n]{0,200}`/gi;

/** Loads the tables (1.6 MB) and gives the detector. */
export async function createLanguageDetector(): Promise<LanguageDetector> {
  const { eld } = await import('eld/small');
  return (text) => {
    const votes = new Map<string, number>();
    let samples = 0;
    const count = text.length <= SAMPLES * SAMPLE_LENGTH ? Math.ceil(text.length / SAMPLE_LENGTH) : SAMPLES;
    for (let k = 0; k < count; k++) {
      const start = count === 1 ? 0 : Math.floor(((text.length - SAMPLE_LENGTH) * k) / (count - 1));
      const sample = text.slice(start, start + SAMPLE_LENGTH).replace(NOISE, ' ');
      if ((sample.match(LETTERS)?.length ?? 0) < MIN_LETTERS) continue;
      const { language } = eld.detect(sample);
      if (language === '') continue;
      samples++;
      votes.set(language, (votes.get(language) ?? 0) + 1);
    }
    let best = '';
    for (const [language, found] of votes) if (best === '' || found > (votes.get(best) ?? 0)) best = language;
    return { language: best, votes, samples };
  };
}

const CODE_START =
  /^(?:import [\w{*"']|from [\w.]+ import |def \w+\(|class \w+[:({ ]|return\b.*[;(]|return \w+$|const \w+ ?=|let \w+ ?=|var \w+ ?=|fn \w+|pub |use \w+::|function ?\w*\(|export (?:default |const |function )|#include|#!|public |private |static |if ?\(|for ?\(|while ?\(|switch ?\(|\} else|else ?\{|elif .*:$|try:$|except\b.*:$|\/\/|\/\*|\*\/|@\w+\(|>>> |\$ \w|\w+\.\w+\(|\w+ ?[+-]?= ?[\w"'[({-])/;
const CODE_MARK = /[(){}[\]=<>]/;

function looksLikeCode(line: string): boolean {
  if (CODE_START.test(line)) return true;
  const last = line.charCodeAt(line.length - 1);
  if (last === 123 || last === 125) return true;
  if (last === 59 || last === 41 || last === 44) return CODE_MARK.test(line) && /[=;{}]|\w\(/.test(line) && !/[a-z] [a-z]+ [a-z]+ [a-z]+ [a-z]/i.test(line);
  return false;
}

/** Share of the non-empty lines that look like a program; lines beyond 200 units are prose or data. */
export function codeShare(text: string): number {
  let code = 0;
  let lines = 0;
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf('\n', start);
    if (end < 0) end = text.length;
    let first = start;
    let last = end;
    while (first < last && text.charCodeAt(first) <= 32) first++;
    while (last > first && text.charCodeAt(last - 1) <= 32) last--;
    if (first < last) {
      lines++;
      if (last - first <= 200 && looksLikeCode(text.slice(first, last))) code++;
    }
    start = end + 1;
  }
  return lines === 0 ? 0 : code / lines;
}
