/** Cases of dropout and of noise on rows: masks and noise are the host's to the bit, gradients exact, seeds and streams step scalars. */
import { dropout } from '../../../src/tensor/ops/dropout.ts';
import { add, square } from '../../../src/tensor/ops/elementwise.ts';
import { noise } from '../../../src/tensor/ops/noise.ts';
import type { OpCase } from '../case.ts';

const from = { seed: { step: 'seed' }, stream: { step: 'stream' } };
const scalars = { seed: 4294967295, stream: 3735928559 };

export const cases: OpCase[] = [];
for (const dtype of ['f32', 'f16'] as const) {
  for (const [shape, p] of [
    [[1], 0.5],
    [[7, 13], 0.1],
    [[3, 11, 20], 0.75],
    [[5, 3], 0],
  ] as const) {
    cases.push({
      op: 'dropout',
      name: `dropout ${dtype} ${shape.join('x')} p ${p}`,
      dtype,
      inputs: { x: { shape, dtype, fill: 'normal' } },
      // Two sites of one input: their adjoints add up, and their masks differ.
      build: ({ x }) => ({ y: dropout(x, p, { ...from, site: 3 }), z: dropout(x, p, { ...from, site: 4294967295 }) }),
      wrt: ['x'],
      scalars,
    });
  }
  for (const shape of [
    [1, 1],
    [7, 13],
    [2, 9, 20],
    [31, 2],
  ] as const) {
    cases.push({
      op: 'noise',
      name: `noise ${dtype} ${shape.join('x')}`,
      dtype,
      inputs: {
        x: { shape, dtype, fill: 'normal' },
        scale: { shape: shape.slice(0, -1), dtype: 'f32', fill: { values: [0.25, 0, 1.5] } },
      },
      // The square dies with its noise, so that one is in place; x lives on.
      build: ({ x, scale }) => ({ y: noise(square(x), scale, { ...from, site: 1 }), z: add(noise(x, scale, { ...from, site: 2 }), x) }),
      wrt: ['x'],
      scalars,
    });
  }
}
