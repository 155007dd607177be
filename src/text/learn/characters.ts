/**
 * Characters that are not pieces yet: how much each would save, the best first. A character costs its bytes
 * until it is a piece, so it saves at least as much as any merge that holds it: taken in order of what they save,
 * characters always come before the merges that need them.
 */

/** A character and what a piece of it saves, in weight times ids. */
export interface CharacterGain {
  readonly text: string;
  readonly gain: number;
}

/** Characters waiting to become pieces. */
export class CharacterQueue {
  /** Best last. */
  readonly #waiting: CharacterGain[];

  constructor(characters: Iterable<CharacterGain>) {
    this.#waiting = [...characters].sort((a, b) => a.gain - b.gain || (a.text < b.text ? 1 : -1));
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** The best character if it saves at least `weight` (of the best merge; 0 for none), taken off. */
  take(weight: number): string | null {
    const last = this.#waiting.at(-1);
    if (last === undefined || last.gain < weight) return null;
    this.#waiting.pop();
    return last.text;
  }
}

/** The characters that make up `coverage` of the weight, `known` counting as covered; the rarest are left out. */
export function coveredCharacters(weights: ReadonlyMap<string, number>, known: number, coverage: number): Map<string, number> {
  const sorted = [...weights].sort(([a, first], [b, second]) => second - first || (a < b ? -1 : 1));
  let total = known;
  for (const [, weight] of sorted) total += weight;
  const out = new Map<string, number>();
  let covered = known;
  for (const [char, weight] of sorted) {
    if (covered >= coverage * total) break;
    covered += weight;
    out.set(char, weight);
  }
  return out;
}
