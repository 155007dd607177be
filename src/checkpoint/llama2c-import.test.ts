/**
 * llama2.c files as models: the permutation of rotated rows against scores in float64, and stories260K to a folder and back.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { openLlama2c } from '../formats/llama2c.ts';
import { posixFiles } from '../host/posix.ts';
import { listHfViews, listParameters } from '../nn/parameters.ts';
import { sizeOf } from '../tensor/types.ts';
import { exportHf, importHf } from './hf.ts';
import { importLlama2c } from './llama2c-import.ts';
import { permuteRotary } from './source.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('permuteRotary', () => {
  /** q·k of one head at two positions, rotated in either pairing, in float64. */
  function score(q: number[], k: number[], pairOf: (i: number) => [number, number], at: [number, number]): number {
    const S = q.length;
    const rotated = (x: number[], position: number) => {
      const y = [...x];
      for (let i = 0; i < S / 2; i++) {
        const [a, b] = pairOf(i);
        const angle = position * 10000 ** ((-2 * i) / S);
        y[a] = x[a] * Math.cos(angle) - x[b] * Math.sin(angle);
        y[b] = x[a] * Math.sin(angle) + x[b] * Math.cos(angle);
      }
      return y;
    };
    const a = rotated(q, at[0]);
    const b = rotated(k, at[1]);
    return a.reduce((sum, x, i) => sum + x * b[i], 0);
  }

  it('keeps every attention score under the other pairing', () => {
    const [heads, S] = [3, 8];
    const random = new Random(1);
    const draw = () => Float32Array.from({ length: heads * S }, () => random.normal());
    const [q, k] = [draw(), draw()];
    const [q2, k2] = [q, k].map((x) => permuteRotary(x, heads, S, 'half-split'));
    for (let h = 0; h < heads; h++) {
      const cut = (x: Float32Array) => [...x.subarray(h * S, (h + 1) * S)];
      const interleaved = score(cut(q), cut(k), (i) => [2 * i, 2 * i + 1], [7, 3]);
      const halves = score(cut(q2), cut(k2), (i) => [i, i + S / 2], [7, 3]);
      // float64 sums of 8 products in another order.
      expect(Math.abs(interleaved - halves)).toBeLessThan(1e-12);
      // The test can fail: unpermuted rows give another score.
      expect(Math.abs(score(cut(q), cut(k), (i) => [i, i + S / 2], [7, 3]) - interleaved)).toBeGreaterThan(1e-3);
    }
  });

  it('moves whole rows and undoes itself', () => {
    const values = Float32Array.from({ length: 2 * 4 * 3 }, (_, i) => i);
    const there = permuteRotary(values, 2, 4, 'half-split');
    expect([...there.subarray(0, 12)]).toEqual([0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11]);
    expect(permuteRotary(there, 2, 4, 'interleaved')).toEqual(values);
  });
});

describe('importLlama2c', () => {
  /** A file of dim 8, hidden 3, 2 layers, 2 heads, 1 kv head, 5 words, 4 positions; every number its place. */
  function small(): Uint8Array {
    const [D, F, L, kv, V, T, S] = [8, 3, 2, 4, 5, 4, 4];
    const count = V * D + L * (D + D * D + 2 * kv * D + D * D + D + 3 * F * D) + D + T * S;
    const bytes = new Uint8Array(28 + 4 * count);
    new Int32Array(bytes.buffer, 0, 7).set([D, F, L, 2, 1, V, T]);
    new Float32Array(bytes.buffer, 28).set(Float32Array.from({ length: count }, (_, i) => i));
    return bytes;
  }

  it('permutes the rows of q and k, of nothing else', async () => {
    const path = join(folder, 'small.bin');
    await posixFiles.write(path, small());
    const raw = await openLlama2c(small(), 'small.bin');
    const source = await importLlama2c(posixFiles, path);
    expect(source.config).toMatchObject({ numHeads: 2, numKvHeads: 1, headSize: 4, tied: true, rmsNormEps: 1e-5, ropeTheta: 10000, maxPositions: 4 });
    const qkv = await source.read('layers.1.qkv');
    const row = (values: Float32Array, i: number) => [...values.subarray(8 * i, 8 * i + 8)];
    const q = await raw.readF32('model.layers.1.self_attn.q_proj.weight');
    const k = await raw.readF32('model.layers.1.self_attn.k_proj.weight');
    const v = await raw.readF32('model.layers.1.self_attn.v_proj.weight');
    expect([0, 1, 2, 3].map((i) => row(qkv, i))).toEqual([0, 2, 1, 3].map((i) => row(q, i)));
    expect([4, 5, 6, 7].map((i) => row(qkv, i))).toEqual([4, 6, 5, 7].map((i) => row(q, i)));
    expect([8, 9, 10, 11].map((i) => row(qkv, i))).toEqual([0, 2, 1, 3].map((i) => row(k, i)));
    expect([12, 13, 14, 15].map((i) => row(qkv, i))).toEqual([0, 1, 2, 3].map((i) => row(v, i)));
    for (const view of listHfViews(source.config).filter((view) => !/[qkv]_proj/.test(view.hf))) {
      const values = await source.read(view.parameter);
      const columns = view.shape[1] ?? 1;
      expect(values.subarray(view.row * columns, view.row * columns + sizeOf(view.shape)), view.hf).toEqual(await raw.readF32(view.hf));
    }
    await source.close();
    await raw.close();
  });

  it('takes stories260K to a Hugging Face folder and back without a changed bit', async (context) => {
    const data = process.env.SCION_DATA;
    if (!data) {
      console.log('skipped: no SCION_DATA');
      context.skip();
      return;
    }
    const source = await importLlama2c(posixFiles, join(data, 'models/stories260K/stories260K.bin'));
    const out = join(folder, 'out');
    await exportHf(posixFiles, out, source.config, source.read, { dtype: 'f32' });
    expect((await readdir(out)).sort()).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
    const again = await importHf(posixFiles, out);
    expect(again.config).toMatchObject({ vocabSize: 512, hiddenSize: 64, intermediateSize: 172, numLayers: 5, numHeads: 8, numKvHeads: 4, tied: true });
    let total = 0;
    for (const { name } of listParameters(source.config)) {
      const values = await source.read(name);
      expect(await again.read(name)).toEqual(values);
      total += values.length;
    }
    expect(total).toBe(260_032);
    await source.close();
    await again.close();
  });
});
