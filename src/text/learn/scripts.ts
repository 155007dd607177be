/**
 * Scripts of characters, and which of them are the target of an expansion. A piece may only be added if it holds
 * a character of a target script: a text without such characters then holds no new piece, whatever is learnt, so
 * its ids stay what they were. That is why the default never takes Latin, and takes no script that the base reads well.
 */

import { ScionError } from '../../base/errors.ts';
import { isEastAsianSign } from '../east-asian.ts';

/** Scripts that are told apart, the common ones first; letters of others count as one more, `Other`. */
export const SCRIPTS = [
  ...['Latin', 'Han', 'Cyrillic', 'Greek', 'Arabic', 'Hebrew', 'Hangul', 'Hiragana', 'Katakana', 'Devanagari', 'Bengali', 'Thai', 'Tamil'],
  ...['Telugu', 'Gujarati', 'Gurmukhi', 'Kannada', 'Malayalam', 'Sinhala', 'Oriya', 'Lao', 'Khmer', 'Myanmar', 'Tibetan', 'Georgian'],
  ...['Armenian', 'Ethiopic', 'Mongolian', 'Cherokee', 'Syriac', 'Thaana', 'Bopomofo', 'Yi'],
] as const;

const TESTS = SCRIPTS.map((script) => ({ script: script as string, test: new RegExp(`\\p{Script=${script}}`, 'u') }));

/** By code point: 0 not asked yet, 1 none, from 2 on the script's place in `NAMES`. */
const known = new Uint8Array(0x110000);
const NAMES: readonly string[] = [...SCRIPTS, 'Other'];

/** The script of a code point; null for characters that all scripts share (signs, digits, space, marks). */
export function scriptOf(point: number): string | null {
  if (known[point] === 0) known[point] = 2 + NAMES.indexOf(askScript(String.fromCodePoint(point)) ?? '');
  return known[point] === 1 ? null : NAMES[known[point] - 2];
}

function askScript(char: string): string | null {
  for (const { script, test } of TESTS) if (test.test(char)) return script;
  return /\p{L}/u.test(char) && !/[\p{Script=Common}\p{Script=Inherited}]/u.test(char) ? 'Other' : null;
}

/** What a base makes of one script in a corpus, in weight. */
export interface ScriptUse {
  characters: number;
  tokens: number;
}

/** Least share of a corpus's letters, and least ids a character, for a script to become a target by itself. */
const LEAST_SHARE = 0.01;
const LEAST_TOKENS = 0.75;

/** The scripts worth new pieces: a hundredth of the letters or more, for which the base needs 3 ids for 4 characters or more. Never Latin. */
export function chooseTargets(uses: ReadonlyMap<string, ScriptUse>): string[] {
  let total = 0;
  for (const { characters } of uses.values()) total += characters;
  return [...uses]
    .filter(([script, { characters, tokens }]) => script !== 'Latin' && characters >= LEAST_SHARE * total && tokens >= LEAST_TOKENS * characters)
    .map(([script]) => script)
    .sort();
}

/** Scripts that signs of East Asian text go with. */
const EAST_ASIAN = new Set(['Han', 'Hiragana', 'Katakana', 'Hangul', 'Bopomofo', 'Yi']);

/** Says whether a character belongs to a set of scripts; remembers what it was asked. */
export class ScriptFilter {
  readonly scripts: ReadonlySet<string>;
  /** 0 not asked yet, 1 no, 2 yes. */
  readonly #known = new Uint8Array(0x110000);
  readonly #eastAsian: boolean;

  /** Throws `usage` for a name that is not in `SCRIPTS` (or `Other`). */
  constructor(scripts: Iterable<string>) {
    this.scripts = new Set(scripts);
    const unknown = [...this.scripts].find((name) => name !== 'Other' && !(SCRIPTS as readonly string[]).includes(name));
    if (unknown !== undefined) {
      throw new ScionError('usage', `"${unknown}" is no script that is told apart; choose from ${SCRIPTS.join(', ')}, Other`, { script: unknown });
    }
    this.#eastAsian = [...this.scripts].some((name) => EAST_ASIAN.has(name));
  }

  has(point: number): boolean {
    if (this.#known[point] === 0) {
      const script = scriptOf(point);
      const found = script === null ? this.#eastAsian && isEastAsianSign(point) : this.scripts.has(script);
      this.#known[point] = found ? 2 : 1;
    }
    return this.#known[point] === 2;
  }

  /** True if any character of the text belongs. */
  hasAny(text: string): boolean {
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      const point = unit >= 0xd800 && unit < 0xdc00 ? (text.codePointAt(i) as number) : unit;
      if (this.has(point)) return true;
      if (point > 0xffff) i++;
    }
    return false;
  }
}
