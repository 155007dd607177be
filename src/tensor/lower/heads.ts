/**
 * How fused rows of query, key and value heads are cut; shared by the ops on such rows and their lowering.
 */
import type { Attrs } from '../graph.ts';
import { require_ } from '../types.ts';

/** How a fused row [(H + 2K) S] is cut: H query heads, K key heads, K value heads, each of S elements. */
export interface HeadLayout {
  /** H, a multiple of K. */
  readonly heads: number;
  /** K. */
  readonly kvHeads: number;
  /** S. */
  readonly headSize: number;
}

/** Reads the layout from attributes; fails with the values where it is none. */
export function headLayout(op: string, attrs: Attrs): HeadLayout {
  const { heads, kvHeads, headSize } = attrs as unknown as HeadLayout;
  const found = `heads ${heads}, kvHeads ${kvHeads}, headSize ${headSize}`;
  const whole = [heads, kvHeads, headSize].every((n) => Number.isInteger(n) && n >= 1);
  require_(op, whole && heads % kvHeads === 0, 'heads must be a multiple of kvHeads, all positive integers', found);
  return { heads, kvHeads, headSize };
}
