/**
 * How kernels that work row by row are launched: which of the three row frames of `lib/rows.wgsl` runs (a
 * thread a row on CPU adapters, workgroup trees, subgroups), how wide a workgroup is, and the two-stage column
 * sum. `facts.choices.<op>` forces a frame: `threads`, `tree` or `subgroups`.
 */

import type { Switches } from '../../gpu/expand.ts';
import type { DeviceFacts } from '../../gpu/facts.ts';
import type { Value } from '../graph.ts';
import { foldGrid, type Lowering, type Operand } from '../op.ts';

/** Threads of a generic workgroup: one vector of a 256-bit CPU, so that few rows still spread over cores. */
const GENERIC_THREADS = 8;

/** Elements of one storage unit in a row of `width` elements. */
export function vecOf(width: number): 4 | 1 {
  return width % 4 === 0 ? 4 : 1;
}

/** A row kernel's switches, its parameter `half`, and its grid for a number of row blocks. */
export interface RowFrame {
  readonly switches: Switches;
  readonly half: number;
  grid(blocks: number): readonly [number, number, number];
}

/** The switches of a row kernel for rows of `width` elements. */
export function rowFrame(facts: DeviceFacts, op: string, width: number): RowFrame {
  const forced = facts.choices[op];
  const tree = forced === 'tree' || forced === 'subgroups' || (forced !== 'threads' && facts.profile === 'specialised');
  const VEC = vecOf(width);
  if (!tree) return { switches: { VEC, WG: GENERIC_THREADS }, half: 0, grid: (blocks) => foldGrid(Math.ceil(blocks / GENERIC_THREADS)) };
  // Two units a lane keep small rows in small workgroups; 256 is what every device can run.
  let WG = 32;
  while (WG < 256 && WG * 2 * VEC < width) WG *= 2;
  return { switches: { VEC, WG, TREE: true, SUBGROUPS: facts.subgroups !== null && forced !== 'tree' }, half: WG / 2, grid: (blocks) => foldGrid(blocks) };
}

/** Grid for one thread a column unit and one grid row a tensor row; kernels rebuild row = y + z * Y. */
export function cellGrid(units: number, rows: number): readonly [number, number, number] {
  return [Math.max(1, Math.ceil(units / 64)), Math.max(1, Math.min(rows, 65535)), Math.max(1, Math.ceil(rows / 65535))];
}

/**
 * Adds up the rows of `x` [rows, width] in blocks into `y` [ceil(rows / block), width]. With `split` (one block
 * only) the left half of the columns goes to `y`, the right half to `split.to`.
 */
export function columnSum(
  l: Lowering,
  x: Operand,
  y: Operand,
  size: { rows: number; width: number; block?: number; accumulate: boolean; split?: { to: Operand; accumulate: boolean } },
): void {
  const { rows, width, block = Math.max(1, rows), accumulate, split } = size;
  const VEC = vecOf(split ? width / 2 : width);
  const TREE = l.facts.choices.colsum === 'tree' || (l.facts.choices.colsum === undefined && l.facts.profile === 'specialised');
  const flag = accumulate ? 1 : 0;
  l.dispatch({
    kernel: 'reduce/colsum',
    switches: { VEC, TREE, SPLIT: split !== undefined },
    bind: split ? { X: x, Y: y, Z: split.to } : { X: x, Y: y },
    params: { rows, block, width: width / VEC, accumulate: flag, ...(split ? { accumulate_z: split.accumulate ? 1 : 0 } : {}) },
    grid: [Math.max(1, Math.ceil(width / VEC / (TREE ? 32 : 64))), Math.max(1, Math.ceil(rows / block)), 1],
  });
}

/** How gradient kernels that leave weight sums share out rows: groups of whole chunks of 16 rows, at most `most` groups. */
export function rowGroups(rows: number, most = 512): { block: number; chunks: number; groups: number } {
  const block = 16;
  const chunks = Math.max(1, Math.ceil(rows / block / most));
  return { block, chunks, groups: Math.max(1, Math.ceil(rows / (block * chunks))) };
}

/** The sum over all rows of `x` [rows, width] into `y` [width]: one stage up to 256 rows, else two. */
export function rowSum(l: Lowering, x: Value, y: Value, rows: number, width: number, accumulate: boolean): void {
  if (rows <= 256) {
    columnSum(l, x, y, { rows, width, accumulate });
    return;
  }
  // Blocks grow with the rows, so that the second stage stays near 256 terms.
  const block = Math.max(64, Math.ceil(rows / 256));
  const blocks = Math.ceil(rows / block);
  const part = l.scratch(blocks * width * 4);
  columnSum(l, x, part, { rows, width, block, accumulate: false });
  columnSum(l, part, y, { rows: blocks, width, accumulate });
}
