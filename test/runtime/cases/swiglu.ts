/** Cases of swiglu: ugly widths, both dtypes, gates far outside exp's range. */
import { add } from '../../../src/tensor/ops/elementwise.ts';
import { swiglu } from '../../../src/tensor/ops/swiglu.ts';
import type { OpCase } from '../case.ts';

export const cases: OpCase[] = [];
for (const dtype of ['f32', 'f16'] as const) {
  for (const [shape, fill] of [
    [[1, 2], 'normal'],
    [[3, 14], 'normal'],
    [[17, 62], 'normal'],
    [[2, 5, 136], 'normal'],
    [[9, 1032], 'normal'],
    // Gates up to about 180 in size, beyond what exp holds in f32; products stay below f16's largest number.
    [[7, 24], { normal: 60 }],
  ] as const) {
    cases.push({
      op: 'swiglu',
      name: `swiglu ${dtype} ${shape.join('x')}${fill === 'normal' ? '' : ' large'}`,
      dtype,
      inputs: { gu: { shape, dtype, fill } },
      build: ({ gu }) => ({ y: swiglu(gu) }),
      wrt: ['gu'],
      ...(fill === 'normal' ? {} : { noDifferences: 'values of order 1e3 leave central differences too few digits' }),
    });
  }
}
// Two uses of one input: the second gradient adds to the first.
cases.push({
  op: 'swiglu',
  name: 'swiglu f32 5x24 adjoints add up',
  dtype: 'f32',
  inputs: { gu: { shape: [5, 24], dtype: 'f32', fill: 'normal' } },
  build: ({ gu }) => ({ y: add(swiglu(gu), swiglu(gu)) }),
  wrt: ['gu'],
});
