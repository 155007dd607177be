/** Bench rows of random numbers: a million uniforms and normals. */
import { normal, uniform } from '../../src/tensor/ops/random.ts';
import type { BenchRow } from './types.ts';

const from = { seed: 1, stream: 2 };

export const rows: readonly BenchRow[] = [
  { op: 'random', name: 'uniform 1M f32', inputs: {}, build: (_, g) => ({ y: uniform(g, [1 << 20], from) }) },
  { op: 'random', name: 'normal 1M f32', inputs: {}, build: (_, g) => ({ y: normal(g, [1 << 20], from) }) },
];
