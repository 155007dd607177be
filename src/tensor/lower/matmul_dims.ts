/**
 * The sizes of a matmul after folding leading axes; shared by the op's shape rule and by its lowering.
 */
import { type Shape, sizeOf } from '../types.ts';

/** The sizes of one matmul after folding: Z batches of [M, K] x [K, N]. */
export interface MatmulDims {
  readonly z: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** Folds shapes to Z, M, N, K; `b` with two axes folds the leading axes of `a` into rows (of K when transposed). */
export function matmulDims(a: Shape, b: Shape, ta: boolean, tb: boolean): MatmulDims & { kb: number; zb: number } {
  const batched = b.length > 2;
  const last = a[a.length - 1];
  const z = batched ? sizeOf(a.slice(0, -2)) : 1;
  const rows = batched ? a[a.length - 2] : sizeOf(a.slice(0, -1));
  const [b0, b1] = b.slice(-2);
  return { z, m: ta ? last : rows, k: ta ? rows : last, n: tb ? b0 : b1, kb: tb ? b1 : b0, zb: batched ? sizeOf(b.slice(0, -2)) : 1 };
}
