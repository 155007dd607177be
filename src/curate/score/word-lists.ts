/**
 * Finds words and phrases of lists in a text, in one pass: a trie over units, walked from every place at most as deep
 * as the longest phrase. Words of scripts with spaces match whole words only; case, width and accents do not count. A
 * unit is a hash, so what the trie finds is compared as text before it counts.
 */
import { ScionError } from '../../base/errors.ts';
import { foldedText, UnitScanner } from './units.ts';

export interface WordList {
  readonly name: string;
  readonly words: readonly string[];
}

interface Branch {
  readonly next: Map<number, Branch>;
  /** Folded phrases that end here, with the list of each. */
  ends: { readonly phrase: string; readonly list: number }[] | null;
}

const branch = (): Branch => ({ next: new Map(), ends: null });

/** Units that a phrase may have. */
const MAX_PHRASE = 32;

export class WordMatcher {
  readonly names: readonly string[];
  readonly #root = branch();

  /** @throws ScionError `input` for an entry that has no letters, or too many. */
  constructor(lists: readonly WordList[]) {
    this.names = lists.map((l) => l.name);
    const scanner = new UnitScanner({ marks: false, digits: 'shape' });
    lists.forEach((list, index) => {
      for (const word of list.words) {
        const { count, hashes } = scanner.scan(word);
        if (count === 0 || count > MAX_PHRASE)
          throw new ScionError('input', `word list ${list.name}: "${word.slice(0, 60)}" has ${count} words or characters; an entry has 1 to ${MAX_PHRASE}`, {
            word,
          });
        let at = this.#root;
        for (let i = 0; i < count; i++) {
          let next = at.next.get(hashes[i]);
          if (next === undefined) {
            next = branch();
            at.next.set(hashes[i], next);
          }
          at = next;
        }
        at.ends ??= [];
        at.ends.push({ phrase: foldedText(word), list: index });
      }
    });
  }

  /** Hits of each list. The scanner holds `text`, digits as shapes; marks between the units of a phrase do not matter. */
  count(text: string, scanner: UnitScanner): Uint32Array {
    const hits = new Uint32Array(this.names.length);
    const { count, hashes, kinds, starts, ends } = scanner;
    for (let i = 0; i < count; i++) {
      let at = this.#root.next.get(hashes[i]);
      for (let k = i; at !== undefined; ) {
        if (at.ends !== null) {
          const found = foldedText(text.slice(starts[i], ends[k]));
          for (const { phrase, list } of at.ends) if (phrase === found) hits[list]++;
        }
        do k++;
        while (k < count && kinds[k] === MARK_UNIT);
        at = k < count ? at.next.get(hashes[k]) : undefined;
      }
    }
    return hits;
  }
}

/** As `UNIT.mark`; a constant so that the loop above reads no property. */
const MARK_UNIT = 4;

/** A list from a file: an entry a line; empty lines and lines that begin with # do not count. */
export function parseWordList(name: string, text: string): WordList {
  return {
    name,
    words: text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#')),
  };
}
