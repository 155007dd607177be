/** Bench rows of matmul: the squares of the peers' comparison, the training shapes in three layouts, decoding, batches. */
import { matmul } from '../../src/tensor/ops/matmul.ts';
import type { DType } from '../../src/tensor/types.ts';
import type { BenchRow } from './types.ts';

interface Shape {
  readonly label: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** As a product is stored: N as written, T transposed. */
export type Layout = 'NN' | 'NT' | 'TN';

/** A row of one product. */
export function matmulRow(
  { label, m, n, k }: Shape,
  layout: Layout,
  dtype: DType = 'f32',
  candidates: BenchRow['candidates'] = { naive: { matmul: 'naive' } },
): BenchRow {
  const transposeA = layout[0] === 'T';
  const transposeB = layout[1] === 'T';
  return {
    op: 'matmul',
    name: `${label} ${m}x${n}x${k} ${layout} ${dtype}`,
    inputs: {
      a: { shape: transposeA ? [k, m] : [m, k], dtype, fill: { uniform: [-0.5, 0.5] } },
      b: { shape: transposeB ? [n, k] : [k, n], dtype, fill: { uniform: [-0.5, 0.5] } },
    },
    build: ({ a, b }) => ({ y: matmul(a, b, { transposeA, transposeB }) }),
    candidates,
  };
}

/** The squares, and the matmuls of a block: forward (NT), dX (NN) and dW (TN) of 1,024 tokens at width 256 and of 256 at 64. */
export const SHAPES: readonly { readonly shape: Shape; readonly layouts: readonly Layout[] }[] = [
  { shape: { label: 'square', m: 512, n: 512, k: 512 }, layouts: ['NN', 'NT', 'TN'] },
  { shape: { label: 'square', m: 1024, n: 1024, k: 1024 }, layouts: ['NN', 'NT', 'TN'] },
  { shape: { label: '256 qkv forward', m: 1024, n: 768, k: 256 }, layouts: ['NT'] },
  { shape: { label: '256 qkv dX', m: 1024, n: 256, k: 768 }, layouts: ['NN'] },
  { shape: { label: '256 qkv dW', m: 768, n: 256, k: 1024 }, layouts: ['TN'] },
  { shape: { label: '256 down forward', m: 1024, n: 256, k: 688 }, layouts: ['NT'] },
  { shape: { label: '256 down dX', m: 1024, n: 688, k: 256 }, layouts: ['NN'] },
  { shape: { label: '256 down dW', m: 256, n: 688, k: 1024 }, layouts: ['TN'] },
  { shape: { label: '64 qkv forward', m: 256, n: 192, k: 64 }, layouts: ['NT'] },
  { shape: { label: '64 qkv dX', m: 256, n: 64, k: 192 }, layouts: ['NN'] },
  { shape: { label: '64 qkv dW', m: 192, n: 64, k: 256 }, layouts: ['TN'] },
];

export const rows: BenchRow[] = [
  ...SHAPES.flatMap(({ shape, layouts }) => layouts.map((layout) => matmulRow(shape, layout))),
  matmulRow({ label: 'square', m: 512, n: 512, k: 512 }, 'NT', 'f16'),
  matmulRow({ label: 'decode', m: 1, n: 2048, k: 512 }, 'NT'),
  matmulRow({ label: 'decode', m: 1, n: 2048, k: 512 }, 'NT', 'f16'),
];
