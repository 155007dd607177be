/** Cases of argmax: both frames, one-off widths, ties, both zeros, infinities, NaN. */
import { argmax } from '../../../src/tensor/ops/argmax.ts';
import type { OpCase } from '../case.ts';

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
// Rows of five; every row is a trap: equals, both zeros in either order, infinities of both signs, NaN of both.
const traps = [
  [3, 7, 7, 1, 7],
  [-0, 0, -1, 0, -0],
  [-1, -0, 0, -0, -2],
  [-3, -2, -2, -9, -4],
  [1, inf, 2, inf, -inf],
  [-inf, -inf, -inf, -inf, -inf],
  [-inf, -inf, -1e30, -inf, -inf],
  [1, nan, 2, 9, inf],
  [nan, nan, nan, nan, nan],
  [1e-6, 2e-6, 2e-6, 0, -1e-6],
  [-1, -2, -3, -4, -5],
].flat();

export const cases: OpCase[] = [];
for (const frame of ['lanes', 'tree'] as const) {
  for (const dtype of ['f32', 'f16'] as const) {
    const base = { op: 'argmax', dtype, choices: { argmax: frame }, noDifferences: 'an index has no derivative' } as const;
    for (const shape of [
      [1, 1],
      [67, 3],
      [2, 3, 255],
      [3, 257],
      [2, 1100],
    ]) {
      cases.push({
        ...base,
        name: `argmax ${dtype} ${shape.join('x')} ${frame}`,
        inputs: { x: { shape, dtype, fill: 'normal' } },
        build: ({ x }) => ({ y: argmax(x) }),
      });
    }
    cases.push({
      ...base,
      name: `argmax ${dtype} many equals ${frame}`,
      inputs: { x: { shape: [9, 300], dtype, fill: { ints: [-2, 3] } } },
      build: ({ x }) => ({ y: argmax(x) }),
    });
    cases.push({
      ...base,
      name: `argmax ${dtype} ties, zeros, infinities, NaN ${frame}`,
      inputs: { x: { shape: [traps.length / 5, 5], dtype, fill: { values: traps } } },
      build: ({ x }) => ({ y: argmax(x) }),
    });
  }
}
