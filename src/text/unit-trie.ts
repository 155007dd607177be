/**
 * Longest match of fixed strings (user-defined pieces, added tokens) in code units. A table of first units
 * answers "none starts here" for nearly every place of a text.
 */

import { Trie } from './tables.ts';

/** Strings to values >= 0. */
export class UnitTrie {
  readonly #trie: Trie;
  readonly #starts = new Uint8Array(0x10000);
  /** The value of what `longest` last found. */
  found = -1;

  /** Non-empty strings; of equal ones the last counts. */
  constructor(entries: readonly (readonly [string, number])[]) {
    this.#trie = new Trie(entries.reduce((sum, [text]) => sum + text.length, 0));
    for (const [text, value] of entries) {
      this.#trie.add(text, value);
      this.#starts[text.charCodeAt(0)] = 1;
    }
  }

  /** Where the longest string that starts at `at` ends, looking no further than `to`; 0 if none. Sets `found`. */
  longest(units: Uint16Array, at: number, to: number): number {
    if (this.#starts[units[at]] === 0) return 0;
    let node = 0;
    let best = 0;
    for (let i = at; i < to; ) {
      node = this.#trie.step(node, units[i++]);
      if (node < 0) break;
      const value = this.#trie.value(node);
      if (value < 0) continue;
      best = i;
      this.found = value;
    }
    return best;
  }
}
