/** Cases of random: bits and uniforms exactly the host's, normals to f32 accuracy, seeds and streams as step scalars. */
import { normal, randomBits, uniform } from '../../../src/tensor/ops/random.ts';
import type { OpCase } from '../case.ts';

const exact = { value: 0, reason: 'integers and 24-bit fractions are exact in f32' };

export const cases: OpCase[] = [];
for (const [n, seed, stream] of [
  [1, 0, 0],
  [67, 42, 4294967295],
  [1030, 3735928559, 7],
] as const) {
  const scalars = { seed, stream };
  const from = { seed: { step: 'seed' }, stream: { step: 'stream' } };
  cases.push({
    op: 'random',
    name: `random bits ${n} of (${seed}, ${stream})`,
    dtype: 'f32',
    inputs: {},
    build: (_, g) => ({ y: randomBits(g, [n], from) }),
    scalars,
    tolerance: exact,
  });
  cases.push({
    op: 'random',
    name: `random uniform ${n} of (${seed}, ${stream})`,
    dtype: 'f32',
    inputs: {},
    build: (_, g) => ({ y: uniform(g, [n], from) }),
    scalars,
    tolerance: exact,
  });
  cases.push({
    op: 'random',
    name: `random normal ${n} of (${seed}, ${stream})`,
    dtype: 'f32',
    inputs: {},
    build: (_, g) => ({ y: normal(g, [n], from), z: normal(g, [n], { ...from, mean: -2, deviation: 0.02 }) }),
    scalars,
  });
}
cases.push({
  op: 'random',
  name: 'random f16',
  dtype: 'f16',
  inputs: {},
  build: (_, g) => ({
    u: uniform(g, [5, 7], { seed: 1, stream: 2, low: -3, high: 5, dtype: 'f16' }),
    n: normal(g, [5, 7], { seed: 1, stream: 3, dtype: 'f16' }),
  }),
});
