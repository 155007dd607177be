/** Bench rows of pointwise functions: bandwidth (add), arithmetic (gelu and its gradient), at 4 MB a tensor. */
import { add, ELEMENTWISE, gelu } from '../../src/tensor/ops/elementwise.ts';
import type { BenchRow } from './types.ts';

export const rows: readonly BenchRow[] = (['f32', 'f16'] as const).flatMap((dtype): BenchRow[] => {
  const x = { shape: [1 << 20], dtype, fill: 'normal' } as const;
  return [
    { op: 'elementwise', name: `add 1M ${dtype}`, inputs: { x, y: x }, build: (v) => ({ z: add(v.x, v.y) }) },
    { op: 'elementwise', name: `gelu 1M ${dtype}`, inputs: { x }, build: (v) => ({ z: gelu(v.x) }) },
    {
      op: 'elementwise',
      name: `gelu 1M ${dtype} gradient`,
      inputs: { x, dy: x },
      build: (v, g) => ({ z: g.apply1(ELEMENTWISE, [v.dy, v.x], { f: 'gelu_grad' }) }),
    },
  ];
});
