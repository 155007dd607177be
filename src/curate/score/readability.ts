/**
 * How hard a text is to read, from counts alone. English: words a sentence, letters a word, and Flesch's reading ease
 * (Flesch 1948, "A new readability yardstick"), with syllables counted as groups of vowels. Chinese: characters a sentence and
 * the share of Han characters outside level 1 of GB 2312, its 3,755 commonest; traditional characters count as rare.
 */
import { SENTENCE_ENDS } from './features.ts';
import { UNIT, type UnitScanner } from './units.ts';

/** Names are those of the scores, without their prefix; only what the text's script has. */
export interface Readability {
  /** Units (words, numbers, characters) a sentence. */
  sentence: number;
  /** Letters a word, where most units are words. */
  word?: number;
  /** Flesch reading ease, English only: 100 is easy, 0 hard. */
  flesch?: number;
  /** Share of rare Han characters, where most units are characters. */
  rare?: number;
}

/** Level 1 of GB 2312 by code unit, from the host's own decoder: rows 0xB0 to 0xD7. */
function commonHan(): Uint8Array {
  const table = new Uint8Array(65536);
  const bytes: number[] = [];
  for (let high = 0xb0; high <= 0xd7; high++) for (let low = 0xa1; low <= (high === 0xd7 ? 0xf9 : 0xfe); low++) bytes.push(high, low);
  for (const c of new TextDecoder('gbk').decode(Uint8Array.from(bytes))) table[c.charCodeAt(0)] = 1;
  return table;
}

let common: Uint8Array | null = null;

const VOWELS = new Uint8Array(128);
for (const v of 'aeiouyAEIOUY') VOWELS[v.charCodeAt(0)] = 1;

/** Syllables of an English word at a place in a text: groups of vowels, a silent e at the end not counted; at least one. */
export function syllables(text: string, start: number, end: number): number {
  let groups = 0;
  let inside = false;
  for (let i = start; i < end; i++) {
    const c = text.charCodeAt(i);
    const vowel = c < 128 && VOWELS[c] === 1;
    if (vowel && !inside) groups++;
    inside = vowel;
  }
  const last = text.charCodeAt(end - 1) | 32;
  // "the" keeps its only vowel, "table" the one that its -le sounds.
  const silent = last === 0x65 && groups > 1 && !(end - start > 2 && VOWELS[text.charCodeAt(end - 2) & 127] === 1) && (text.charCodeAt(end - 2) | 32) !== 0x6c;
  return Math.max(1, groups - (silent ? 1 : 0));
}

/** Reads the counts off a scanned text; null for a text without words, numbers or characters. */
export function readability(text: string, scanner: UnitScanner, english: boolean): Readability | null {
  const { count, kinds, starts, ends, hashes } = scanner;
  common ??= commonHan();
  let words = 0;
  let characters = 0;
  let numbers = 0;
  let letters = 0;
  let sounds = 0;
  let rare = 0;
  let sentences = 0;
  // Units since the last sentence's end.
  let open = 0;
  for (let i = 0; i < count; i++) {
    const kind = kinds[i];
    if (kind === UNIT.mark) {
      if (open === 0 || !SENTENCE_ENDS.has(hashes[i])) continue;
      // A point between two digits or inside an address ends nothing.
      const ascii = text.charCodeAt(starts[i]) < 128;
      if (ascii && i + 1 < count && starts[i + 1] === ends[i] && kinds[i + 1] !== UNIT.mark) continue;
      sentences++;
      open = 0;
      continue;
    }
    open++;
    if (kind === UNIT.word) {
      words++;
      letters += ends[i] - starts[i];
      if (english) sounds += syllables(text, starts[i], ends[i]);
    } else if (kind === UNIT.character) {
      characters++;
      if (common[text.charCodeAt(starts[i])] === 0) rare++;
    } else numbers++;
  }
  const units = words + characters + numbers;
  if (units === 0) return null;
  if (open > 0) sentences++;
  const found: Readability = { sentence: units / sentences };
  if (words > characters) {
    found.word = letters / words;
    if (english) found.flesch = 206.835 - 1.015 * (words / sentences) - 84.6 * (sounds / words);
  }
  if (characters > words) found.rare = rare / characters;
  return found;
}
