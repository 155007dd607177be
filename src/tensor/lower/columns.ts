/** One launch that copies a run of columns between rows of two tensors (or scratches); rows come in two levels, so that either may be a part of a sequence. */
import { foldGrid, type Lowering, type Operand } from '../op.ts';

/** Where columns lie, in elements: the first one, from row to row, and from one run of rows to the next. */
export interface Columns {
  readonly of: Operand;
  readonly at: number;
  readonly row: number;
  readonly outer: number;
  /** Stored in 16 bits; said here, since scratch has no dtype. */
  readonly half: boolean;
}

/** The largest unit of a load that everything is a multiple of. */
export function unitOf(...numbers: readonly number[]): 1 | 2 | 4 {
  const divides = (unit: number): boolean => numbers.every((n) => n % unit === 0);
  return divides(4) ? 4 : divides(2) ? 2 : 1;
}

/** to[b, t, 0..width] (+)= from[b, t, 0..width] for `outer` runs of `inner` rows. */
export function copyColumns(
  l: Lowering,
  from: Columns,
  to: Columns,
  { width, inner, outer, accumulate = false }: { readonly width: number; readonly inner: number; readonly outer: number; readonly accumulate?: boolean },
): void {
  const VEC = unitOf(width, from.at, from.row, from.outer, to.at, to.row, to.outer);
  const n = (outer * inner * width) / VEC;
  l.dispatch({
    kernel: 'elementwise/columns',
    switches: { VEC, ...(from.half && { X_F16: true }), ...(to.half && { Y_F16: true }) },
    bind: { X: from.of, Y: to.of },
    params: {
      n,
      width: width / VEC,
      inner,
      xAt: from.at / VEC,
      xRow: from.row / VEC,
      xOuter: from.outer / VEC,
      yAt: to.at / VEC,
      yRow: to.row / VEC,
      yOuter: to.outer / VEC,
      accumulate: accumulate ? 1 : 0,
    },
    grid: foldGrid(Math.ceil(n / 64)),
    flops: 0,
    bytes: outer * inner * width * ((from.half ? 2 : 4) + (to.half ? 2 : 4) * (accumulate ? 2 : 1)),
  });
}
