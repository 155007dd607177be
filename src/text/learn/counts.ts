/**
 * Words with how often they occur, apart for each category of data, and the weights that balance the categories. Counts
 * of parts add up to the counts of the whole in any order, so they can be made by several workers. Weights are whole
 * multiples of 1/1024: sums stay exact, and with them the order of pieces.
 */

import { ScionError } from '../../base/errors.ts';
import { type Cutter, type CutterSpec, makeCutter } from './cutter.ts';

/** A count of 1 in weight, so that fractions of it are whole numbers. */
export const WEIGHT_UNIT = 1024;

/** What was counted of one category. */
export interface CategoryCounts {
  readonly words: Map<string, number>;
  /** UTF-16 units of its texts. */
  units: number;
  texts: number;
}

/** Words by category. */
export class WordCounts {
  readonly categories = new Map<string, CategoryCounts>();
  readonly #cutter: Cutter;

  constructor(spec: CutterSpec) {
    this.#cutter = makeCutter(spec);
  }

  /** Counts the words of a text. */
  add(text: string, category: string): void {
    const into = this.category(category);
    const { words } = into;
    into.units += text.length;
    into.texts++;
    this.#cutter(text, (word) => words.set(word, (words.get(word) ?? 0) + 1));
  }

  category(name: string): CategoryCounts {
    let found = this.categories.get(name);
    if (found === undefined) {
      found = { words: new Map(), units: 0, texts: 0 };
      this.categories.set(name, found);
    }
    return found;
  }

  /** UTF-16 units of all texts. */
  get units(): number {
    let sum = 0;
    for (const { units } of this.categories.values()) sum += units;
    return sum;
  }
}

/** How categories are balanced. */
export interface WeightOptions {
  /**
   * Share of a category: its size to this power. 1: as the data are; 0: all categories alike. Default 0.7. The sum of all
   * weights stays the number of words.
   */
  readonly temperature?: number;
  /** Further factors by category. */
  readonly factors?: ReadonlyMap<string, number>;
}

/** The weight of one occurrence by category, in `WEIGHT_UNIT`; at least 1. Throws `input` for a factor of an unknown category. */
export function categoryWeights(counts: WordCounts, { temperature = 0.7, factors = new Map() }: WeightOptions): Map<string, number> {
  if (!(temperature >= 0 && temperature <= 1))
    throw new ScionError('input', `weights: ${temperature} is no power between 0 (all alike) and 1 (as the data are)`);
  const names = [...counts.categories.keys()].sort();
  for (const [name, factor] of factors) {
    if (!names.includes(name)) {
      throw new ScionError('input', `weights: the data have no category "${name}"; they have ${names.map((one) => one || '(none)').join(', ')}`, {
        category: name,
      });
    }
    if (!(factor > 0 && factor <= 1000))
      throw new ScionError('input', `weights: ${name}=${factor}; a factor is above 0 and at most 1000`, { category: name, factor });
  }
  const total = counts.units;
  const share = new Map(names.map((name) => [name, (counts.categories.get(name)?.units ?? 0) / total] as const));
  const wanted = new Map(names.map((name) => [name, (share.get(name) ?? 0) ** temperature * (factors.get(name) ?? 1)] as const));
  const sum = [...wanted.values()].reduce((a, b) => a + b, 0);
  return new Map(names.map((name) => [name, Math.max(1, Math.round((WEIGHT_UNIT * (wanted.get(name) ?? 0)) / (sum * (share.get(name) ?? 1))))] as const));
}

/** All words with their weight over all categories. Empties `counts`, word by word, so that memory does not double. */
export function weighWords(counts: WordCounts, weights: ReadonlyMap<string, number>): Map<string, number> {
  let out = new Map<string, number>();
  for (const [name, { words }] of counts.categories) {
    const weight = weights.get(name) ?? WEIGHT_UNIT;
    if (out.size === 0) {
      for (const [word, count] of words) words.set(word, count * weight);
      out = words;
    } else {
      for (const [word, count] of words) out.set(word, (out.get(word) ?? 0) + count * weight);
      words.clear();
    }
  }
  counts.categories.clear();
  return out;
}
