/** Cases of the losses by type: one type, many, none of some, sums that held something, types beyond the last. */
import { addTypeLosses } from '../../../src/tensor/ops/loss_by_type.ts';
import type { OpCase } from '../case.ts';

const bits = (x: number): number => new Uint32Array(new Float32Array([x]).buffer)[0];

export const cases: OpCase[] = [];

for (const [n, k] of [
  [1, 1],
  [7, 3],
  [63, 64],
  [1000, 5],
  [20_011, 2],
] as const) {
  const held = [...Array.from({ length: k }, (_, i) => bits(i * 0.5)), ...Array.from({ length: k }, (_, i) => i)];
  cases.push({
    op: 'loss_by_type',
    name: `loss_by_type n=${n} K=${k}`,
    dtype: 'f32',
    inputs: {
      // Multiples of 1/8 below 16: every sum of up to 20,011 of them is exact in f32, and sums are compared as bits.
      nll: { shape: [n], dtype: 'f32', fill: { values: Array.from({ length: 97 }, (_, i) => ((i * 37) % 128) / 8) } },
      labels: { shape: [n], dtype: 'i32', fill: { ints: [-3, 12] } },
      // One type more than there are sums for: it counts nowhere.
      types: { shape: [n], dtype: 'u32', fill: { ints: [0, k + 1] } },
      sums: { shape: [2 * k], dtype: 'u32', fill: { values: held } },
    },
    build: ({ nll, labels, types, sums }) => ({ sums: addTypeLosses(nll, labels, types, sums, 10) }),
    tolerance: { value: 0, reason: 'the numbers are such that every partial sum is exact' },
  });
}
