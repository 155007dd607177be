/**
 * Texts whose ids must stay as they are. The base's cut of such a text is a row of symbols that no new piece may join:
 * every adjacent pair is banned as a piece, and every character without a piece stays without. Since new pieces merge
 * after all old ones, that is exact: merging starts as before, arrives at that row, and finds nothing to join.
 */

import { type LearnBase, MISSING_SYMBOL, PIECE_SYMBOL } from './base.ts';
import type { ScriptFilter } from './scripts.ts';

/** Gathers banned pieces from any number of texts; holds the distinct pairs only. */
export class Protection {
  readonly banned = new Set<string>();
  #texts = 0;
  readonly #base: LearnBase;
  readonly #targets: ScriptFilter;

  constructor(base: LearnBase, targets: ScriptFilter) {
    this.#base = base;
    this.#targets = targets;
  }

  /** How many texts are protected. */
  get texts(): number {
    return this.#texts;
  }

  add(text: string): void {
    this.#texts++;
    // A text without a target character holds no new piece anyway.
    if (!this.#targets.hasAny(text)) return;
    let before = '';
    this.#base.splitText(text, (symbol, kind) => {
      if (kind === MISSING_SYMBOL) this.#ban(symbol);
      if (kind === PIECE_SYMBOL && before !== '') this.#ban(before + symbol);
      before = kind === PIECE_SYMBOL ? symbol : '';
    });
  }

  #ban(text: string): void {
    if (this.#base.mayHold(text, this.#targets)) this.banned.add(text);
  }
}
