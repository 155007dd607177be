/**
 * How adapters start: PEFT's distributions, a base that is not moved by kaiming and made up again by PiSSA, and the decomposition
 * against matrices whose singular values are known by construction.
 */
import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { makeConfig } from './config.ts';
import { type LoraSpec, listLora, loraScale } from './lora.ts';
import { startAdapters } from './lora-init.ts';
import { initialValues, listParameters } from './parameters.ts';
import { topSingular } from './svd.ts';

/** Orthonormal columns [n], by Householder reflections: another way than the one tested. */
function orthogonal(n: number, seed: number): Float64Array[] {
  const random = new Random(seed);
  const q = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
  for (let k = 0; k < Math.min(n, 6); k++) {
    const v = Float64Array.from({ length: n }, () => random.normal());
    const vv = v.reduce((sum, x) => sum + x * x, 0);
    for (const column of q) {
      const f = (2 * column.reduce((sum, x, i) => sum + x * v[i], 0)) / vv;
      for (let i = 0; i < n; i++) column[i] -= f * v[i];
    }
  }
  return q;
}

/** W [m, n] = sum of s_k u_k v_k^T. */
function compose(m: number, n: number, s: readonly number[], seed: number): { w: Float64Array; u: Float64Array[]; v: Float64Array[] } {
  const [u, v] = [orthogonal(m, seed), orthogonal(n, seed + 1)];
  const w = new Float64Array(m * n);
  s.forEach((value, k) => {
    for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) w[i * n + j] += value * u[k][i] * v[k][j];
  });
  return { w, u, v };
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0);

describe('topSingular', () => {
  test.each([
    ['square, falling', 23, 23, Array.from({ length: 23 }, (_, k) => 10 * 0.7 ** k), 4],
    ['tall and odd', 41, 7, [5, 4, 3, 2, 1, 0.5, 0.25], 3],
    ['wide, one', 5, 37, [3, 1, 0.5, 0.1, 0.01], 1],
    ['of low rank', 29, 31, [2, 1], 5],
    ['a vector', 1, 9, [4], 3],
    ['slowly falling', 60, 50, Array.from({ length: 50 }, (_, k) => 1 / (1 + k)), 8],
  ] as const)('%s', (_, m, n, s, rank) => {
    const { w, u, v } = compose(m, n, s, 3);
    const found = topSingular(w, m, n, rank, 1);
    const count = Math.min(rank, s.length);
    expect(found.s.slice(0, count).map((x, k) => Math.abs(x / s[k] - 1))).toSatisfy((errors: number[]) => errors.every((e) => e < 1e-3));
    for (let k = 0; k < count; k++) {
      // Up to sign, and both with the same one. Four rounds leave the k-th vector (s[rank + 10] / s[k])^9 of the next.
      const [a, b] = [dot(found.u[k], u[k]), dot(found.v[k], v[k])];
      expect(Math.abs(a)).toBeGreaterThan(0.999);
      expect(Math.sign(a)).toBe(Math.sign(b));
      expect(Math.abs(dot(found.u[k], found.u[k]) - 1)).toBeLessThan(1e-9);
    }
    // Of a matrix of lower rank nothing is made up.
    for (const extra of found.s.slice(count)) expect(extra).toBeLessThan(1e-6 * s[0]);
  });

  test('where the subspace spans the matrix it is exact, and zero is zero', () => {
    const { w } = compose(9, 12, [9, 8, 7, 6, 5, 4, 3, 2, 1], 7);
    const { u, s, v } = topSingular(w, 9, 12, 9, 1);
    const again = new Float64Array(w.length);
    s.forEach((value, k) => {
      for (let i = 0; i < 9; i++) for (let j = 0; j < 12; j++) again[i * 12 + j] += value * u[k][i] * v[k][j];
    });
    expect(Math.max(...again.map((x, i) => Math.abs(x - w[i])))).toBeLessThan(1e-9);
    expect(topSingular(new Float64Array(12), 3, 4, 2, 1).s).toEqual([]);
  });
});

const config = makeConfig({ vocabSize: 31, hiddenSize: 20, intermediateSize: 27, numLayers: 1, numHeads: 2, numKvHeads: 1, headSize: 8 });
const TARGETS = ['q_proj', 'v_proj', 'gate_proj', 'up_proj', 'down_proj', 'embed_tokens', 'lm_head'];
const spec: LoraSpec = { rank: 2, alpha: 6, dropout: 0, init: 'kaiming', targets: TARGETS };

async function start(s: LoraSpec): Promise<{ before: Map<string, Float32Array>; base: Map<string, Float32Array>; adapters: Map<string, Float32Array> }> {
  const [before, base, adapters] = [new Map<string, Float32Array>(), new Map<string, Float32Array>(), new Map<string, Float32Array>()];
  for (const p of listParameters(config)) {
    const values = initialValues(p, 3);
    before.set(p.name, values.slice());
    const started = await startAdapters(config, s, p, values, 5);
    base.set(p.name, started.base);
    for (const [name, x] of started.adapters) adapters.set(name, x);
  }
  return { before, base, adapters };
}

test('kaiming: A uniform within 1 / sqrt(inputs), B zero; an embedding the other way round; the base untouched', async () => {
  const { before, base, adapters } = await start(spec);
  expect(base).toEqual(before);
  const modules = listLora(config, spec);
  expect(modules.map((m) => m.name)).toEqual(['embed', 'layers.0.qkv', 'layers.0.gate_up', 'layers.0.down', 'head']);
  expect([...adapters.keys()].sort()).toEqual(modules.flatMap((m) => [m.a.name, m.b.name]).sort());
  for (const m of modules) {
    const [a, b] = [m.a, m.b].map((p) => adapters.get(p.name) as Float32Array);
    if (m.name === 'embed') {
      expect(a.every((x) => x === 0)).toBe(true);
      expect(Math.sqrt(b.reduce((sum, x) => sum + x * x, 0) / b.length)).toBeGreaterThan(0.7);
      continue;
    }
    expect(b.every((x) => x === 0)).toBe(true);
    const bound = 1 / Math.sqrt(m.a.shape[1]);
    const most = Math.max(...a.map(Math.abs));
    expect(most).toBeLessThanOrEqual(bound);
    // Of 40 and more uniform numbers the largest is above 0.8 of the bound but for one draw in 7,000.
    expect(most).toBeGreaterThan(0.8 * bound);
    expect(Math.min(...a)).toBeLessThan(0);
  }
});

test('PiSSA: base and adapter add up to the matrix, and the adapter holds its largest singular values', async () => {
  const { before, base, adapters } = await start({ ...spec, init: 'pissa', rslora: true });
  const scale = loraScale({ ...spec, rslora: true });
  expect(scale).toBeCloseTo(6 / Math.sqrt(2), 12);
  for (const m of listLora(config, spec)) {
    const w = before.get(m.parameter) as Float32Array;
    const left = base.get(m.parameter) as Float32Array;
    if (m.name === 'embed') {
      expect(left).toEqual(w);
      continue;
    }
    const [a, b] = [m.a, m.b].map((p) => adapters.get(p.name) as Float32Array);
    const [R, width] = m.a.shape;
    const product = new Float64Array(w.length);
    for (let r = 0; r < m.b.shape[0]; r++) {
      for (let c = 0; c < width; c++) for (let k = 0; k < R; k++) product[r * width + c] += scale * b[r * R + k] * a[k * width + c];
    }
    const size = Math.max(...w.map(Math.abs));
    // The residual is rounded once to f32.
    expect(Math.max(...product.map((x, i) => Math.abs(x + left[i] - w[i])))).toBeLessThan(1e-6 * size);
    for (const view of m.views) {
      const part = w.subarray(view.row * width, (view.row + view.shape[0]) * width);
      const whole = topSingular(part, view.shape[0], width, Math.min(view.shape[0], width), 9).s;
      const rest = topSingular(left.subarray(view.row * width, (view.row + view.shape[0]) * width), view.shape[0], width, 1, 9).s;
      // What is left begins where the adapter ends: at the singular value after its rank.
      expect(Math.abs(rest[0] / whole[spec.rank] - 1)).toBeLessThan(1e-3);
    }
  }
});

test('adapters that exist are taken as they are, the base too', async () => {
  const [, qkv] = listLora(config, { ...spec, init: 'pissa' });
  const p = listParameters(config).find((x) => x.name === 'layers.0.qkv');
  if (!p) throw new Error('qkv is a parameter');
  const values = initialValues(p, 3);
  const { base, adapters } = await startAdapters(config, { ...spec, init: 'pissa' }, p, values, 5, async (name) => new Float32Array([name.length]));
  expect(base).toBe(values);
  expect(adapters).toEqual([qkv.a, qkv.b].map((x) => [x.name, new Float32Array([x.name.length])]));
});
