/** Cases of the fused linear + cross-entropy: ignore index, z-loss, chunks of rows, windows of the vocabulary, both profiles. */
import { linearCrossEntropy } from '../../../src/tensor/ops/linear_cross_entropy.ts';
import type { OpCase } from '../case.ts';

export const cases: OpCase[] = [];

function add(name: string, n: number, v: number, d: number, extra: Partial<OpCase> & { zLoss?: number; labels?: readonly number[] } = {}): void {
  for (const dtype of ['f32', 'f16'] as const) {
    for (const profile of ['generic', 'specialised'] as const) {
      const { zLoss = 0, labels, ...rest } = extra;
      cases.push({
        op: 'linear_cross_entropy',
        name: `linear_cross_entropy ${dtype} ${profile} ${name} N=${n} V=${v} D=${d}`,
        dtype,
        profile,
        inputs: {
          x: { shape: [n, d], dtype, fill: 'normal' },
          w: { shape: [v, d], dtype, fill: { normal: 0.5 } },
          labels: { shape: [n], dtype: 'i32', fill: labels ? { values: labels } : { ints: [0, v] } },
        },
        build: ({ x, w, labels: y }) => ({ ...linearCrossEntropy(x, w, y, { zLoss }) }),
        seeds: ['loss'],
        wrt: ['x', 'w'],
        // exp-type functions lose a few ulp each on top of the sums: the issue allows 2e-5.
        tolerance: dtype === 'f32' ? { value: 2e-5, reason: 'exp and log' } : { value: 1e-3, reason: 'dx is stored in 16 bits: 2^-11 a rounding' },
        ...rest,
      });
    }
  }
}

add('one', 1, 1, 4);
add('odd', 7, 13, 5);
add('wide', 5, 1031, 8);
add('z-loss', 9, 31, 12, { zLoss: 0.01 });
add('ignored', 6, 17, 8, { labels: [3, -100, 0, 16, -100, 17] });
add('all ignored', 3, 17, 8, { labels: [-100] });
add('row chunks', 150, 130, 32, { limits: { maxStorageBufferBindingSize: 40_960 } });
add('windows of few rows', 16, 77, 96, { limits: { maxStorageBufferBindingSize: 6_400 } });
add('windows', 40, 300, 64, { limits: { maxStorageBufferBindingSize: 32_768 } });
