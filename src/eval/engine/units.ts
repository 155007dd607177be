/**
 * Work cut into units: what is computed together, written together, and lost together in a kill. A unit begins with an empty cache and its passes
 * follow from its questions alone, so a resumed evaluation gives the bits that an undisturbed one gives. Long units fill their last pass
 * better and compute prefixes more seldom; short ones lose less.
 */
import type { RaggedOptions } from '../../infer/ragged.ts';
import type { Group, Prepared } from './prepare.ts';

/** Groups, or parts of groups, that are computed together; their first question's index. */
export interface Unit {
  readonly first: number;
  readonly groups: readonly Group[];
}

/** Passes after which a unit ends with its group, and in the middle of one. */
const ENOUGH = 8;
const AT_MOST = 32;

/** The units of a task. Generated ones hold at most `sequences` questions, and no more slots than there are. */
export function unitsOf({ groups }: Prepared, { tokens, slots, sequences = 0 }: RaggedOptions): Unit[] {
  const units: Unit[] = [];
  let open: { shared: Uint32Array; items: Group['items'][number][] }[] = [];
  let first = 0;
  let index = 0;
  let read = 0;
  let filled = 0;
  const close = (): void => {
    if (open.length > 0) units.push({ first, groups: open });
    open = [];
    first = index;
    read = 0;
    filled = 0;
  };
  for (const group of groups) {
    const begin = (): void => {
      open.push({ shared: group.shared, items: [] });
      read += group.shared.length;
      filled += group.shared.length;
    };
    let begun = false;
    for (const item of group.items) {
      const length = item.branches.reduce((n, b) => n + b.ids.length, 0);
      const need = item.generate ? length + item.generate.most : 0;
      const full = item.generate ? index - first >= sequences || filled + need + (begun ? 0 : group.shared.length) > slots : read >= AT_MOST * tokens;
      if (full) {
        close();
        begun = false;
      }
      if (!begun) begin();
      begun = true;
      open[open.length - 1].items.push(item);
      read += length;
      filled += need;
      index++;
    }
    if (read >= ENOUGH * tokens && !group.items[0]?.generate) close();
  }
  close();
  return units;
}
