/** Cases of matmul: layouts, ugly shapes, batches, folded rows, both dtypes. */
import { matmul } from '../../../src/tensor/ops/matmul.ts';
import type { OpCase } from '../case.ts';

const sizes = [
  [1, 1, 1],
  [5, 3, 7],
  [17, 31, 13],
  [64, 65, 63],
] as const;

export const cases: OpCase[] = [];
for (const dtype of ['f32', 'f16'] as const) {
  for (const [m, n, k] of sizes) {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        cases.push({
          op: 'matmul',
          name: `matmul ${dtype} ${m}x${n}x${k} ${transposeA ? 'T' : 'N'}${transposeB ? 'T' : 'N'}`,
          dtype,
          inputs: {
            a: { shape: transposeA ? [k, m] : [m, k], dtype, fill: 'normal' },
            b: { shape: transposeB ? [n, k] : [k, n], dtype, fill: 'normal' },
          },
          build: ({ a, b }) => ({ y: matmul(a, b, { transposeA, transposeB }) }),
          wrt: ['a', 'b'],
        });
      }
    }
  }
}
