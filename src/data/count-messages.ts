/**
 * What a thread and its counting workers say to each other: texts one way, counts the other. Counts travel packed, one
 * string and two arrays for many words, since cloning a map of a million words costs more than counting them.
 */
import type { CategoryCounts, WordCounts } from '../text/learn/counts.ts';
import type { CutterSpec } from '../text/learn/cutter.ts';

/** To the worker. */
export type CountRequest =
  | { readonly kind: 'open'; readonly cutter: CutterSpec }
  /** Texts with their categories. Answered by `ready`. */
  | { readonly kind: 'texts'; readonly texts: readonly string[]; readonly categories: readonly string[] }
  /** Answered by any number of `counts`, then `end`. */
  | { readonly kind: 'finish' };

/** From the worker. */
export type CountReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'counts'; readonly category: string; readonly packed: PackedCounts }
  | { readonly kind: 'end' }
  | { readonly kind: 'failed'; readonly message: string };

/** Some words of one category: their texts in one string, their lengths in UTF-16 units and their counts beside it. */
export interface PackedCounts {
  readonly text: string;
  readonly lengths: Uint32Array<ArrayBuffer>;
  readonly counts: Float64Array<ArrayBuffer>;
  readonly units: number;
  readonly texts: number;
}

/** Words in one message: strings of a few megabytes. */
const PACKED_WORDS = 1 << 17;

/** A category in parts small enough for a message. Empties its words. */
export function* packCounts({ words, units, texts }: CategoryCounts): Generator<PackedCounts> {
  let parts: string[] = [];
  let counts: number[] = [];
  let first = true;
  const pack = (): PackedCounts => {
    const packed = {
      text: parts.join(''),
      lengths: Uint32Array.from(parts, (word) => word.length),
      counts: Float64Array.from(counts),
      units: first ? units : 0,
      texts: first ? texts : 0,
    };
    [parts, counts, first] = [[], [], false];
    return packed;
  };
  for (const [word, count] of words) {
    parts.push(word);
    counts.push(count);
    if (parts.length === PACKED_WORDS) yield pack();
  }
  if (parts.length > 0 || first) yield pack();
  words.clear();
}

/** Adds packed counts to others. */
export function addPacked(into: WordCounts, category: string, { text, lengths, counts, units, texts }: PackedCounts): void {
  const held = into.category(category);
  held.units += units;
  held.texts += texts;
  let at = 0;
  lengths.forEach((length, i) => {
    const word = text.slice(at, at + length);
    at += length;
    held.words.set(word, (held.words.get(word) ?? 0) + counts[i]);
  });
}
