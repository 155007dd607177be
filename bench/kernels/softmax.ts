/** Bench rows of softmax and its gradient: short rows, and the logits of a few sequences. */
import { SOFTMAX_GRAD, softmax } from '../../src/tensor/ops/softmax.ts';
import type { BenchRow } from './types.ts';

const frames = { threads: { softmax: 'threads' }, tree: { softmax: 'tree' } };

export const rows: readonly BenchRow[] = [
  [1024, 256],
  [8, 32000],
].flatMap(([n, d]): BenchRow[] => {
  const x = { shape: [n, d], dtype: 'f32', fill: 'normal' } as const;
  return [
    { op: 'softmax', name: `${n}x${d} f32`, inputs: { x }, build: (v) => ({ y: softmax(v.x) }), candidates: frames },
    {
      op: 'softmax',
      name: `${n}x${d} f32 gradient`,
      inputs: { y: x, dy: x },
      build: (v, g) => ({ dx: g.apply1(SOFTMAX_GRAD, [v.y, v.dy], { logarithm: false }) }),
      candidates: frames,
    },
  ];
});
