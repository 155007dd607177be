/** Cases of softmax and logSoftmax: every row frame, ugly widths, both dtypes, logits far apart. */
import { logSoftmax, softmax } from '../../../src/tensor/ops/softmax.ts';
import type { Fill, OpCase } from '../case.ts';

const plans: readonly { frame: string; dtype: 'f32' | 'f16'; shapes: readonly (readonly number[])[]; fill?: Fill }[] = [
  {
    frame: 'threads',
    dtype: 'f32',
    shapes: [
      [1, 1],
      [17, 31],
      [2, 5, 68],
    ],
  },
  { frame: 'threads', dtype: 'f32', shapes: [[7, 24]], fill: { normal: 300 } },
  { frame: 'threads', dtype: 'f16', shapes: [[17, 31]] },
  { frame: 'tree', dtype: 'f32', shapes: [[17, 31]] },
  { frame: 'subgroups', dtype: 'f32', shapes: [[5, 301]] },
];

export const cases: OpCase[] = [];
for (const { frame, dtype, shapes, fill = 'normal' } of plans) {
  for (const shape of shapes) {
    cases.push({
      op: 'softmax',
      name: `softmax ${dtype} ${shape.join('x')} ${frame}${fill === 'normal' ? '' : ' far apart'}`,
      dtype,
      choices: { softmax: frame },
      needs: frame === 'subgroups' ? ['subgroups'] : [],
      inputs: { x: { shape, dtype, fill } },
      build: ({ x }) => ({ p: softmax(x), l: logSoftmax(x) }),
      wrt: ['x'],
      ...(fill === 'normal' ? {} : { noDifferences: 'softmax of far apart numbers is flat but for jumps' }),
    });
  }
}
