/** Bench rows of bias and of the column sum that is its gradient, in one and two stages. */
import { bias, COLUMN_SUM } from '../../src/tensor/ops/bias.ts';
import { copy } from '../../src/tensor/ops/copy.ts';
import type { BenchRow } from './types.ts';

const stages = { threads: { colsum: 'threads' }, tree: { colsum: 'tree' } };

export const rows: readonly BenchRow[] = (['f32', 'f16'] as const).flatMap((dtype): BenchRow[] => {
  const x = { shape: [1024, 512], dtype, fill: 'normal' } as const;
  const b = { shape: [512], dtype: 'f32', fill: 'normal' } as const;
  return [
    { op: 'bias', name: `1024x512 ${dtype} after a copy`, inputs: { x, b }, build: (v) => ({ y: bias(copy(v.x), v.b) }) },
    { op: 'bias', name: `1024x512 ${dtype} gradient`, inputs: { x }, build: (v, g) => ({ db: g.apply1(COLUMN_SUM, [v.x]) }), candidates: stages },
    {
      op: 'bias',
      name: `200x512 ${dtype} gradient, one stage`,
      inputs: { x: { shape: [200, 512], dtype, fill: 'normal' } },
      build: (v, g) => ({ db: g.apply1(COLUMN_SUM, [v.x]) }),
      candidates: stages,
    },
  ];
});
