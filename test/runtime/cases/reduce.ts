/** Cases of sum, mean and max: over the last axis and over everything, one and two stages, every row frame. */

import { mul } from '../../../src/tensor/ops/elementwise.ts';
import * as r from '../../../src/tensor/ops/reduce.ts';
import type { OpCase } from '../case.ts';

const plans = [
  { frame: 'threads', dtype: 'f32', shapes: [[1], [17, 31], [3, 7, 68], [127, 41], [96, 100]] },
  { frame: 'threads', dtype: 'f16', shapes: [[17, 31]] },
  { frame: 'tree', dtype: 'f32', shapes: [[96, 100]] },
  { frame: 'subgroups', dtype: 'f32', shapes: [[5, 301]] },
] as const;

export const cases: OpCase[] = [];
for (const { frame, dtype, shapes } of plans) {
  for (const shape of shapes) {
    cases.push({
      op: 'reduce',
      name: `reduce ${dtype} ${shape.join('x')} ${frame}`,
      dtype,
      choices: { reduce: frame },
      needs: frame === 'subgroups' ? ['subgroups'] : [],
      // A mean away from 0: a sum of thousands of numbers of both signs may cancel to anything.
      inputs: { x: { shape, dtype, fill: { uniform: [-0.5, 1.5] } } },
      build: ({ x }) => ({ sum: r.sum(x), mean: r.mean(x), sumLast: r.sum(x, 'last'), meanLast: r.mean(x, 'last'), max: r.max(x), maxLast: r.max(x, 'last') }),
      wrt: ['x'],
      seeds: ['sum', 'mean', 'sumLast', 'meanLast'],
    });
  }
}
cases.push({
  op: 'reduce',
  name: 'reduce f32 maxima of negative numbers',
  dtype: 'f32',
  inputs: { x: { shape: [9, 23], dtype: 'f32', fill: { uniform: [-3e30, -1e30] } } },
  build: ({ x }) => ({ max: r.max(x), maxLast: r.max(x, 'last') }),
});
cases.push({
  op: 'reduce',
  name: 'reduce f32 gradient of a mean square',
  dtype: 'f32',
  inputs: { x: { shape: [9, 23], dtype: 'f32', fill: 'normal' } },
  build: ({ x }) => ({ y: r.mean(mul(x, x)) }),
  wrt: ['x'],
});
