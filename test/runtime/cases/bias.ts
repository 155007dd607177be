/** Cases of bias: one and two stages of the column sum, both kernels of it, in place and not. */
import { bias } from '../../../src/tensor/ops/bias.ts';
import { silu } from '../../../src/tensor/ops/elementwise.ts';
import type { OpCase } from '../case.ts';

export const cases: OpCase[] = [];
for (const { frame, dtype, shapes } of [
  {
    frame: 'threads',
    dtype: 'f32',
    shapes: [
      [1, 1],
      [17, 31],
      [3, 7, 68],
      [601, 12],
      [257, 5],
    ],
  },
  {
    frame: 'threads',
    dtype: 'f16',
    shapes: [
      [17, 31],
      [257, 5],
    ],
  },
  {
    frame: 'tree',
    dtype: 'f32',
    shapes: [
      [601, 12],
      [19, 133],
    ],
  },
] as const) {
  for (const shape of shapes) {
    cases.push({
      op: 'bias',
      name: `bias ${dtype} ${shape.join('x')} ${frame}`,
      dtype,
      choices: { colsum: frame },
      inputs: {
        x: { shape, dtype, fill: 'normal' },
        b: { shape: [shape[shape.length - 1]], dtype: 'f32', fill: 'normal' },
      },
      // silu(x) dies with the bias, so that one is in place; x lives on, so the other copies first.
      build: ({ x, b }) => ({ y: bias(x, b), z: bias(silu(x), b) }),
      wrt: ['x', 'b'],
    });
  }
}
