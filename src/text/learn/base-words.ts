/**
 * The words of a corpus as the base cuts them, in flat arrays: encoded once, then asked which scripts they are in and
 * learnt from. Four bytes a symbol; the counted words themselves need not be kept beside it.
 */

import { utf8Length } from '../utf8.ts';
import { FIXED_SYMBOL, type LearnBase, MISSING_SYMBOL, PIECE_SYMBOL, type SymbolKind } from './base.ts';
import { BREAK } from './engine.ts';
import { type ScriptUse, scriptOf } from './scripts.ts';
import { SymbolStore } from './symbols.ts';

/** Words as symbols. Learning adds symbols to `store`, so one of these serves one learning. */
export class BaseWords {
  readonly base: LearnBase;
  readonly store = new SymbolStore();
  /** Symbols of all words, one word after the other; BREAK where the base has something that merges with nothing. */
  symbols = new Int32Array(1 << 16);
  /** By symbol: 1 for a character without a piece. */
  readonly missing: number[] = [];
  /** What the base makes of each script, in weight. */
  readonly scripts = new Map<string, ScriptUse>();
  readonly #ends: number[] = [];
  readonly #weights: number[] = [];
  readonly #ids = new Map<string, number>();
  readonly #ranks = new Map<string, number>();
  readonly #spoilt = new Set<string>();
  #count = 0;
  #tokens = 0;

  /** `words`: counted words with their weights, in any order. */
  constructor(base: LearnBase, words: ReadonlyMap<string, number>) {
    this.base = base;
    for (const { text, rank } of base.pieces()) this.#ranks.set(text, rank);
    for (const text of this.#ranks.keys()) if (![...text].every((char) => this.#ranks.has(char))) this.#spoilt.add(text);
    const each = (text: string, kind: SymbolKind): void => {
      this.#tokens += kind === MISSING_SYMBOL && base.byteFallback ? utf8Length(text.codePointAt(0) as number) : 1;
      this.#push(kind === FIXED_SYMBOL || this.#spoilt.has(text) ? BREAK : this.symbol(text, kind));
    };
    for (const [counted, weight] of words) {
      for (const word of base.words(counted)) {
        this.#tokens = 0;
        base.split(word, each);
        this.#ends.push(this.#count);
        this.#weights.push(weight);
        this.#noteScript(base.plain(word), weight);
      }
    }
  }

  /**
   * Pieces of the base with a character that is no piece. SentencePiece reaches them, `tokenizer.json` (whose merges are
   * between pieces) does not, so nothing is built upon them.
   */
  get spoilt(): ReadonlySet<string> {
    return this.#spoilt;
  }

  /** The symbol of a text, made if need be; a piece of the base has its rank. */
  symbol(text: string, kind: SymbolKind = PIECE_SYMBOL): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = this.store.add(text, this.#ranks.get(text) ?? 0, false, this.base.characters(text));
      this.#ids.set(text, id);
      this.missing[id] = kind === MISSING_SYMBOL ? 1 : 0;
    }
    return id;
  }

  /** Visits the words that hold a symbol of those marked in `store.target`: `symbols[from..to)`. */
  eachTarget(visit: (from: number, to: number, weight: number) => void): void {
    const { target } = this.store;
    let from = 0;
    for (let word = 0; word < this.#ends.length; word++) {
      const to = this.#ends[word];
      let holds = false;
      for (let i = from; i < to && !holds; i++) holds = this.symbols[i] !== BREAK && target[this.symbols[i]] !== 0;
      if (holds) visit(from, to, this.#weights[word]);
      from = to;
    }
  }

  /** Words are of one script, so the first letter tells it. */
  #noteScript(text: string, weight: number): void {
    let script: string | null = null;
    let characters = 0;
    for (let i = 0; i < text.length; i++) {
      const point = text.codePointAt(i) as number;
      if (point > 0xffff) i++;
      script ??= scriptOf(point);
      characters++;
    }
    if (script === null) return;
    const use = this.scripts.get(script) ?? { characters: 0, tokens: 0 };
    use.characters += characters * weight;
    use.tokens += this.#tokens * weight;
    this.scripts.set(script, use);
  }

  #push(symbol: number): void {
    if (this.#count === this.symbols.length) {
      const larger = new Int32Array(this.#count * 2);
      larger.set(this.symbols);
      this.symbols = larger;
    }
    this.symbols[this.#count++] = symbol;
  }
}
