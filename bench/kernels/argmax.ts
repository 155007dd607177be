/** Bench rows of argmax: the logits of one and of sixteen sequences at LLaMA 2's and at a grafted vocabulary. */
import { argmax } from '../../src/tensor/ops/argmax.ts';
import type { BenchRow } from './types.ts';

export const rows: readonly BenchRow[] = [
  [1, 32000],
  [16, 32000],
  [1, 69104],
].map(([n, v]) => ({
  op: 'argmax',
  name: `${n}x${v} f32`,
  inputs: { x: { shape: [n, v], dtype: 'f32', fill: 'normal' } },
  build: ({ x }) => ({ y: argmax(x) }),
  candidates: { lanes: { argmax: 'lanes' }, tree: { argmax: 'tree' } },
}));
