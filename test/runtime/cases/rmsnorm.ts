/** Cases of rmsnorm: with and without residual, every row frame, ugly widths, both dtypes, adjoints that add up. */

import type { Value } from '../../../src/tensor/graph.ts';
import { add } from '../../../src/tensor/ops/elementwise.ts';
import { rmsnorm } from '../../../src/tensor/ops/rmsnorm.ts';
import type { OpCase } from '../case.ts';

// A pipeline costs up to a second of compilation on CPU drivers, so frames share out the shapes.
const plans: readonly { frame: string; dtype: 'f32' | 'f16'; residual: readonly boolean[]; shapes: readonly (readonly number[])[] }[] = [
  {
    frame: 'threads',
    dtype: 'f32',
    residual: [false, true],
    shapes: [
      [1, 1],
      [3, 5],
      [17, 31],
      [2, 9, 64],
      [35, 68],
    ],
  },
  {
    frame: 'threads',
    dtype: 'f16',
    residual: [false, true],
    shapes: [
      [1, 1],
      [17, 31],
    ],
  },
  { frame: 'threads', dtype: 'f16', residual: [false], shapes: [[35, 68]] },
  {
    frame: 'tree',
    dtype: 'f32',
    residual: [true],
    shapes: [
      [17, 31],
      [5, 3, 47],
    ],
  },
  { frame: 'tree', dtype: 'f16', residual: [false], shapes: [[35, 68]] },
  { frame: 'subgroups', dtype: 'f32', residual: [false], shapes: [[3, 1100]] },
  { frame: 'subgroups', dtype: 'f16', residual: [true], shapes: [[5, 301]] },
];

export const cases: OpCase[] = [];
for (const { frame, dtype, residual: both, shapes } of plans) {
  for (const shape of shapes) {
    const D = shape[shape.length - 1];
    for (const residual of both) {
      cases.push({
        op: 'rmsnorm',
        name: `rmsnorm ${dtype} ${shape.join('x')}${residual ? ' residual' : ''} ${frame}`,
        dtype,
        choices: { rmsnorm: frame },
        needs: frame === 'subgroups' ? ['subgroups'] : [],
        inputs: {
          x: { shape, dtype, fill: 'normal' },
          w: { shape: [D], dtype: 'f32', fill: { uniform: [0.5, 1.5] } },
          ...(residual ? { r: { shape, dtype, fill: 'normal' as const } } : {}),
        },
        // A large eps: of a row of one element the gradient is a difference of order eps, lost to rounding where eps is small.
        build: ({ x, w, r }): Record<string, Value> => {
          if (!residual) return { y: rmsnorm(x, w, { eps: 0.1 }) };
          const [y, s] = rmsnorm(x, w, { eps: 0.1, residual: r });
          return { y, s };
        },
        wrt: residual ? ['x', 'w', 'r'] : ['x', 'w'],
      });
    }
  }
}
// Two norms of one input and one weight: the second gradient kernel adds to what the first wrote.
cases.push({
  op: 'rmsnorm',
  name: 'rmsnorm f32 13x24 adjoints add up',
  dtype: 'f32',
  inputs: {
    x: { shape: [13, 24], dtype: 'f32', fill: 'normal' },
    w: { shape: [24], dtype: 'f32', fill: { uniform: [0.5, 1.5] } },
  },
  build: ({ x, w }) => {
    const [y, s] = rmsnorm(x, w, { eps: 1e-6, residual: rmsnorm(x, w, { eps: 0.1 }) });
    return { z: add(rmsnorm(s, w, { eps: 1e-5 }), y) };
  },
  wrt: ['x', 'w'],
});
