/**
 * What a question asks of a model, as runs of ids: a branch is a text to read, an ask names a place in it and the id whose loss is
 * wanted there. Texts that begin alike are one branch, so four options of one letter each cost one pass over the prompt, and its last
 * place gives their losses and the letters' logits together.
 */

/** Asked at the input `at`: the loss of `label` as the next id; -100 for the logits alone. */
export interface Ask {
  readonly at: number;
  readonly label: number;
}

/** Ids to read, and what is asked of them, in order of place. */
export interface Branch {
  readonly ids: Uint32Array;
  readonly asks: readonly Ask[];
  /** False for a text of its own, which does not begin as the prompts of its group do. */
  readonly shared: boolean;
}

/** An ask, by branch and its index there. */
export interface AskRef {
  readonly branch: number;
  readonly ask: number;
}

/** No loss is wanted. */
export const NO_LABEL = -100;

/**
 * Whether `ask` can be answered from the row of `first`, which stands at the same place: what divides two losses of one place are the two
 * logits, and logits of picked ids come with every row. The head is most of a small model's work, so options of one letter each cost one row, not four.
 */
export function sharesRow(first: Ask, ask: Ask, picks: ReadonlyMap<number, number>): boolean {
  if (first.at !== ask.at) return false;
  return ask.label === NO_LABEL || ask.label === first.label || (picks.has(first.label) && picks.has(ask.label));
}

/** How many rows of the head a branch's asks need, and the most at one place. */
export function rowsOf(asks: readonly Ask[], picks: ReadonlyMap<number, number>): { readonly rows: number; readonly place: number } {
  let rows = 0;
  let place = 0;
  let here = 0;
  let first: Ask | null = null;
  for (const ask of asks) {
    if (first && sharesRow(first, ask, picks)) continue;
    here = first?.at === ask.at ? here + 1 : 1;
    first = ask;
    rows++;
    place = Math.max(place, here);
  }
  return { rows, place };
}

/** Place of each picked id. */
export const pickedAt = (picks: readonly number[]): ReadonlyMap<number, number> => new Map(picks.map((id, i) => [id, i]));

/** How many ids two texts have in common at their beginning. */
export function commonLength(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const most = Math.min(a.length, b.length);
  let n = 0;
  while (n < most && a[n] === b[n]) n++;
  return n;
}

interface Open {
  ids: ArrayLike<number>;
  length: number;
  readonly asks: { at: number; label: number; name: number }[];
}

/** Collects asks of texts and joins texts that begin alike. */
export class BranchList {
  private readonly open: Open[] = [];
  private names = 0;

  /** Branches so far. */
  get size(): number {
    return this.open.length;
  }

  /** Asks at input `at` of a text of which inputs up to `at` are read; gives the ask's name for `refs`. */
  ask(ids: ArrayLike<number>, at: number, label: number): number {
    const length = at + 1;
    let found = this.open.find((b) => commonLength(b.ids, ids) >= Math.min(b.length, length));
    if (!found) {
      found = { ids, length, asks: [] };
      this.open.push(found);
    }
    if (length > found.length) {
      found.ids = ids;
      found.length = length;
    }
    // Logits come with any loss of the same place.
    const same = found.asks.find((a) => a.at === at && (a.label === label || label === NO_LABEL));
    if (same) return same.name;
    found.asks.push({ at, label, name: this.names });
    return this.names++;
  }

  /** The branches, and where each name's answer is found. */
  close(shared: boolean): { readonly branches: Branch[]; readonly refs: readonly AskRef[] } {
    const refs: AskRef[] = [];
    const branches = this.open.map((b, branch): Branch => {
      const asks = b.asks.sort((x, y) => x.at - y.at || x.name - y.name);
      asks.forEach(({ name }, ask) => {
        refs[name] = { branch, ask };
      });
      return { ids: Uint32Array.from(Array.from(b.ids).slice(0, b.length)), asks: asks.map(({ at, label }) => ({ at, label })), shared };
    });
    return { branches, refs };
  }
}
