/**
 * Which characters are new to a LLaMA-family vocabulary. Old text (English, code, sums) is made of Latin letters and of
 * what all scripts share: digits, signs, spaces, combining marks. A piece that holds at least one character of another
 * script cannot occur in such text. The price: new Latin words and new signs need an explicit wish.
 */
import { isEastAsianSign } from '../east-asian.ts';

const NEW_SCRIPT = /[^\p{Script=Latin}\p{Script=Common}\p{Script=Inherited}\p{Script=Unknown}]/u;
const hasEastAsianSign = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (isEastAsianSign(text.charCodeAt(i))) return true;
  return false;
};

/** True if the text holds a character that text in Latin letters, digits and common signs does not have. */
export function hasNewScript(text: string): boolean {
  return NEW_SCRIPT.test(text) || hasEastAsianSign(text);
}

const NAMED = ['Han', 'Hiragana', 'Katakana', 'Hangul', 'Cyrillic', 'Greek', 'Arabic', 'Hebrew', 'Devanagari', 'Bengali', 'Thai', 'Tamil'].map(
  (name) => [name, new RegExp(`\\p{Script=${name}}`, 'u')] as const,
);

/** The first of the better known scripts that the text has a character of, for counting. */
export function scriptOf(text: string): string {
  const known = NAMED.find(([, pattern]) => pattern.test(text));
  if (known !== undefined) return known[0];
  if (hasEastAsianSign(text)) return 'East Asian signs';
  return NEW_SCRIPT.test(text) ? 'other' : 'Latin and common';
}
