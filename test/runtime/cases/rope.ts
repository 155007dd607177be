/** Cases of rope: vector and scalar widths, grouped heads, positions out of order, both dtypes, the gradient in place. */
import { matmul } from '../../../src/tensor/ops/matmul.ts';
import { rope, ropeTable } from '../../../src/tensor/ops/rope.ts';
import type { OpCase } from '../case.ts';

const sizes = [
  { B: 1, T: 1, heads: 1, kvHeads: 1, headSize: 8 },
  { B: 2, T: 33, heads: 4, kvHeads: 2, headSize: 16 },
  { B: 3, T: 7, heads: 3, kvHeads: 3, headSize: 10 },
  { B: 1, T: 5, heads: 2, kvHeads: 1, headSize: 12 },
  { B: 1, T: 3, heads: 4, kvHeads: 1, headSize: 128 },
];

export const cases: OpCase[] = [];
for (const dtype of ['f32', 'f16'] as const) {
  for (const s of sizes) {
    const width = (s.heads + 2 * s.kvHeads) * s.headSize;
    const table = ropeTable({ headSize: s.headSize, theta: 10000, capacity: 50 });
    const inputs: OpCase['inputs'] = {
      qkv: { shape: [s.B, s.T, width], dtype, fill: 'normal' },
      positions: { shape: [s.B, s.T], dtype: 'u32', fill: { ints: [0, 50] } },
    };
    const name = `${dtype} B ${s.B} T ${s.T} heads ${s.heads}/${s.kvHeads} size ${s.headSize}`;
    cases.push({
      op: 'rope',
      name: `rope ${name}`,
      dtype,
      inputs,
      build: ({ qkv, positions }, g) => ({ y: rope(qkv, positions, g.constant('table', [50, s.headSize / 2, 2], table), s) }),
      wrt: ['qkv'],
    });
    if (s.headSize > 20) continue;
    // Between two products the rotation takes over memory, forward and backward.
    cases.push({
      op: 'rope',
      name: `rope in place ${name}`,
      dtype,
      inputs: {
        positions: inputs.positions,
        x: { shape: [s.B, s.T, 9], dtype, fill: 'normal' },
        w: { shape: [9, width], dtype, fill: 'normal' },
        v: { shape: [width, 5], dtype, fill: { normal: 0.2 } },
      },
      build: ({ x, w, v, positions }, g) => ({ y: matmul(rope(matmul(x, w), positions, g.constant('table', [50, s.headSize / 2, 2], table), s), v) }),
      wrt: ['x', 'w'],
      ...(dtype === 'f16' ? { tolerance: { value: 2e-3, reason: 'up to six roundings to f16 stand in a row' } } : {}),
    });
  }
}
