/** Cases of the fused linear + cross-entropy: ignore index, z-loss, chunks of rows, windows of the vocabulary, both profiles. */
import { linearCrossEntropy } from '../../../src/tensor/ops/linear_cross_entropy.ts';
import { vocabCrossEntropy, vocabStats } from '../../../src/tensor/ops/vocab_cross_entropy.ts';
import type { OpCase } from '../case.ts';

export const cases: OpCase[] = [];

function add(name: string, n: number, v: number, d: number, extra: Partial<OpCase> & { zLoss?: number; labels?: readonly number[]; rank?: number } = {}): void {
  for (const dtype of ['f32', 'f16'] as const) {
    for (const profile of ['generic', 'specialised'] as const) {
      const { zLoss = 0, labels, rank = 0, ...rest } = extra;
      cases.push({
        op: 'linear_cross_entropy',
        name: `linear_cross_entropy ${dtype} ${profile} ${name} N=${n} V=${v} D=${d}${rank ? ` R=${rank}` : ''}`,
        dtype,
        profile,
        inputs: {
          x: { shape: [n, d], dtype, fill: 'normal' },
          w: { shape: [v, d], dtype, fill: { normal: 0.5 } },
          labels: { shape: [n], dtype: 'i32', fill: labels ? { values: labels } : { ints: [0, v] } },
          ...(rank && { t: { shape: [n, rank], dtype: 'f32', fill: 'normal' }, b: { shape: [v, rank], dtype: 'f32', fill: 'normal' } }),
        },
        build: ({ x, w, labels: y, t, b }) => ({ ...linearCrossEntropy(x, w, y, { zLoss, term: t ? { t, b } : null }) }),
        seeds: ['loss'],
        wrt: rank ? ['x', 'w', 't', 'b'] : ['x', 'w'],
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
// A low-rank term beside the head; once the head is frozen and only the term learns.
add('term', 7, 13, 5, { rank: 1 });
add('term z-loss', 9, 31, 12, { rank: 3, zLoss: 0.01, labels: [3, -100, 0, 30] });
add('term alone', 9, 31, 12, { rank: 8, wrt: ['t', 'b'] });
add('term of x alone', 5, 17, 8, { rank: 2, wrt: ['x', 'b'] });
add('term row chunks', 150, 130, 32, { rank: 5, limits: { maxStorageBufferBindingSize: 40_960 } });
add('term windows', 40, 300, 64, { rank: 16, limits: { maxStorageBufferBindingSize: 17_000 } });

// A head whose vocabulary is split over ranks: this part's two numbers a row, and losses and gradients from those of all parts.
for (const dtype of ['f32', 'f16'] as const) {
  for (const profile of ['generic', 'specialised'] as const) {
    for (const [name, n, v, d, limits] of [
      ['odd', 7, 13, 5, undefined],
      ['chunks and windows', 40, 300, 64, { maxStorageBufferBindingSize: 32_768 }],
    ] as const) {
      const tolerance = dtype === 'f32' ? { value: 2e-5, reason: 'exp and log' } : { value: 1e-3, reason: 'dx is stored in 16 bits: 2^-11 a rounding' };
      // Labels of this part, of another one (v), and ignored ones.
      const labels = { shape: [n], dtype: 'i32', fill: { values: [2, v, 0, -100, v - 1] } } as const;
      const inputs: OpCase['inputs'] = { x: { shape: [n, d], dtype, fill: 'normal' }, w: { shape: [v, d], dtype, fill: { normal: 0.2 } }, labels };
      const shared = { op: 'linear_cross_entropy', dtype, profile, limits, tolerance };
      cases.push({
        ...shared,
        name: `linear_cross_entropy ${dtype} ${profile} stats of a part, ${name}`,
        inputs,
        build: ({ x, w, labels: y }) => ({ stats: vocabStats(x, w, y) }),
      });
      cases.push({
        ...shared,
        name: `linear_cross_entropy ${dtype} ${profile} a part of three, ${name}`,
        inputs: { ...inputs, stats: { shape: [3, n, 2], dtype: 'f32', fill: { uniform: [4, 6] } } },
        build: ({ x, w, labels: y, stats }) => ({ ...vocabCrossEntropy(x, w, y, stats, { zLoss: 0.01 }) }),
        seeds: ['loss'],
        wrt: ['x', 'w'],
        noDifferences:
          'the gradient is that of whole rows, whose other parts and own log-sum-exp come as numbers; src/tensor/ops/vocab_cross_entropy.test.ts holds it to the whole head',
      });
    }
  }
}
