/**
 * The added tokens of `tokenizer.json`: strings that are found in the text before anything else happens,
 * in two rounds (as written, then in normalised text), leftmost and longest first.
 */

import type { Normalize } from './json-normalizers.ts';
import type { Part } from './json-pretokenizers.ts';
import { asArray, asBoolean, asIndex, asObject, asString } from './json-read.ts';
import { Trie } from './tables.ts';

/** One entry of `added_tokens`. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** A mark: matched in text only when the caller allows it, left out of decoded text. */
  readonly special: boolean;
  /** Matches only between non-word characters. */
  readonly singleWord: boolean;
  /** Takes the white space before it along. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Looked for in normalised text. */
  readonly normalized: boolean;
}

/** A part of the text, or a token found in it. */
export type Found = { readonly part: Part; readonly id: null } | { readonly part: null; readonly id: number };

/** Reads `added_tokens`. Throws `format`. */
export function readAddedTokens(json: unknown): AddedToken[] {
  if (json === null || json === undefined) return [];
  return asArray(json, 'added_tokens').map((entry, i) => {
    const where = `added_tokens[${i}]`;
    const spec = asObject(entry, where);
    const special = asBoolean(spec.special, `${where}.special`, false);
    return {
      id: asIndex(spec.id, `${where}.id`),
      content: asString(spec.content, `${where}.content`),
      special,
      singleWord: asBoolean(spec.single_word, `${where}.single_word`, false),
      lstrip: asBoolean(spec.lstrip, `${where}.lstrip`, false),
      rstrip: asBoolean(spec.rstrip, `${where}.rstrip`, false),
      normalized: asBoolean(spec.normalized, `${where}.normalized`, !special),
    };
  });
}

// The character classes of Rust's regular expressions, which look at the neighbours of a single word.
const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const endsWithWord = new RegExp(`${WORD.source}$`, 'u');
const startsWithWord = new RegExp(`^${WORD.source}`, 'u');
const SPACE = /\p{White_Space}/u;

/** Finds added tokens and normalises what lies between them. */
export class AddedTokens {
  readonly #normalize: Normalize;
  readonly #byId = new Map<number, AddedToken>();
  readonly #asWritten: Trie | null;
  readonly #normalised: Trie | null;

  constructor(tokens: readonly AddedToken[], normalize: Normalize) {
    this.#normalize = normalize;
    for (const token of tokens) this.#byId.set(token.id, token);
    const used = tokens.filter((token) => token.content !== '');
    this.#asWritten = trieOf(used.filter((token) => !token.normalized).map(({ content, id }) => [content, id]));
    this.#normalised = trieOf(used.filter((token) => token.normalized).map(({ content, id }) => [normalize(content), id]));
  }

  /** Cuts a well-formed text. `allowSpecial` false leaves marks in the text as plain text. */
  split(text: string, allowSpecial: boolean): Found[] {
    const out: Found[] = [];
    for (const found of this.#find({ text, first: true }, this.#asWritten, allowSpecial)) {
      if (found.part === null) {
        out.push(found);
      } else {
        const normalized = { text: this.#normalize(found.part.text), first: found.part.first };
        out.push(...this.#find(normalized, this.#normalised, allowSpecial));
      }
    }
    return out;
  }

  #find(part: Part, trie: Trie | null, allowSpecial: boolean): Found[] {
    const { text, first } = part;
    if (text === '') return [];
    if (trie === null) return [{ part, id: null }];
    const out: Found[] = [];
    let from = 0;
    const addText = (end: number): void => {
      if (end > from) out.push({ part: { text: text.slice(from, end), first: first && from === 0 }, id: null });
    };
    for (let i = 0; i < text.length; ) {
      if (!trie.mayStart(text.charCodeAt(i))) {
        i++;
        continue;
      }
      const length = trie.longest(text, i);
      if (length === 0) {
        i++;
        continue;
      }
      const begin = i;
      // A match that does not count is passed over whole, like one that does.
      i += length;
      const token = this.#byId.get(valueAt(trie, text, begin, length));
      if (token === undefined || (token.special && !allowSpecial)) continue;
      let end = i;
      if (token.singleWord && (endsWithWord.test(lastChar(text, begin)) || startsWithWord.test(text.slice(end, end + 2)))) continue;
      let start = begin;
      if (token.lstrip) while (start > from && SPACE.test(text[start - 1])) start--;
      if (token.rstrip) while (end < text.length && SPACE.test(text[end])) end++;
      addText(start);
      out.push({ part: null, id: token.id });
      from = end;
    }
    addText(text.length);
    return out;
  }
}

/** The last one or two units before `end`: enough to hold its last character. */
function lastChar(text: string, end: number): string {
  return text.slice(Math.max(0, end - 2), end);
}

function valueAt(trie: Trie, text: string, from: number, length: number): number {
  let node = 0;
  for (let i = from; i < from + length; i++) node = trie.step(node, text.charCodeAt(i));
  return trie.value(node);
}

function trieOf(entries: readonly (readonly [string, number])[]): Trie | null {
  if (entries.length === 0) return null;
  const trie = new Trie(entries.reduce((sum, [text]) => sum + text.length, 0));
  for (const [text, id] of entries) if (text !== '') trie.add(text, id);
  return trie;
}
