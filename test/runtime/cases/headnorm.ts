/** Cases of headnorm: grouped heads, ugly head sizes, every row frame, both dtypes, many rows in a group, adjoints that add up. */
import { add } from '../../../src/tensor/ops/elementwise.ts';
import { headnorm } from '../../../src/tensor/ops/headnorm.ts';
import type { OpCase } from '../case.ts';

const plans = [
  {
    frame: 'threads',
    dtype: 'f32',
    sizes: [
      [1, 1, 1, 1],
      [7, 2, 1, 5],
      [13, 4, 2, 8],
      [2, 6, 3, 64],
    ],
  },
  { frame: 'threads', dtype: 'f16', sizes: [[7, 2, 1, 5]] },
  { frame: 'tree', dtype: 'f32', sizes: [[13, 4, 2, 12]] },
  { frame: 'subgroups', dtype: 'f32', sizes: [[3, 2, 2, 257]] },
] as const;

export const cases: OpCase[] = [];
for (const { frame, dtype, sizes } of plans) {
  for (const [n, heads, kvHeads, headSize] of sizes) {
    const width = (heads + 2 * kvHeads) * headSize;
    cases.push({
      op: 'headnorm',
      name: `headnorm ${dtype} N ${n} H ${heads} K ${kvHeads} S ${headSize} ${frame}`,
      dtype,
      choices: { headnorm: frame },
      needs: frame === 'subgroups' ? ['subgroups'] : [],
      inputs: {
        x: { shape: [n, width], dtype, fill: 'normal' },
        wq: { shape: [headSize], dtype: 'f32', fill: { uniform: [0.5, 1.5] } },
        wk: { shape: [headSize], dtype: 'f32', fill: { uniform: [0.5, 1.5] } },
      },
      // A large eps: the gradient of a head of one element is of order eps, lost to rounding where eps is small.
      build: ({ x, wq, wk }) => ({ y: headnorm(x, wq, wk, { heads, kvHeads, headSize, eps: 0.1 }) }),
      wrt: ['x', 'wq', 'wk'],
    });
  }
}
const layout = { heads: 2, kvHeads: 1, headSize: 8 };
cases.push({
  op: 'headnorm',
  name: 'headnorm f32 adjoints add up, two chunks a group',
  dtype: 'f32',
  inputs: {
    // 2 x 2048 groups of 16 rows and a few rows more: 16390 tokens of 4 heads.
    x: { shape: [16390, 32], dtype: 'f32', fill: 'normal' },
    wq: { shape: [8], dtype: 'f32', fill: { uniform: [0.5, 1.5] } },
    wk: { shape: [8], dtype: 'f32', fill: { uniform: [0.5, 1.5] } },
  },
  build: ({ x, wq, wk }) => ({ y: add(headnorm(x, wq, wk, { ...layout, eps: 0.1 }), headnorm(x, wq, wk, { ...layout, eps: 0.01 })) }),
  wrt: ['x', 'wq', 'wk'],
});
