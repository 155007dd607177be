/**
 * Hugging Face folders: the golden models out as they came in, byte for byte; 16-bit exports within half a unit; and
 * folders whose tensors do not fit their config, each refused by name.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { BytesWriter } from '../formats/bytes.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { type TensorEntry, tensorEntry, writeSafetensors } from '../formats/safetensors-write.ts';
import { posixFiles } from '../host/posix.ts';
import type { HostFiles } from '../host/types.ts';
import { makeConfig, parseConfig } from '../nn/config.ts';
import { listHfViews, listParameters } from '../nn/parameters.ts';
import { sizeOf } from '../tensor/types.ts';
import { exportHf, importHf } from './hf.ts';

const GOLDEN = resolve(import.meta.dirname, '../../test/golden/llama');
const MODELS = ['llama-gqa', 'llama-tied', 'llama3-rope', 'llama-linear', 'mistral-window', 'qwen2', 'qwen3'];

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Tensors of a folder's weights as f32, by HF name. */
async function tensorsOf(path: string): Promise<Map<string, Float32Array>> {
  const out = new Map<string, Float32Array>();
  for (const name of (await readdir(path)).filter((n) => /^model.*\.safetensors$/.test(n))) {
    const file = await openSafetensors(new Uint8Array(await readFile(join(path, name))), name);
    for (const tensor of file.tensors.keys()) out.set(tensor, await file.readF32(tensor));
  }
  return out;
}

/** A folder with the weights of a golden model, changed by the caller. */
async function changed(model: string, edit: { config?: Record<string, unknown>; tensors?: (all: TensorEntry[]) => TensorEntry[] }): Promise<void> {
  const config = { ...(JSON.parse(await readFile(join(GOLDEN, model, 'config.json'), 'utf8')) as object), ...edit.config };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  const file = await openSafetensors(new Uint8Array(await readFile(join(GOLDEN, model, 'model.safetensors'))), model);
  let entries: TensorEntry[] = [];
  for (const { name, dtype, shape } of file.tensors.values()) entries.push(tensorEntry(name, dtype, shape, await file.read(name)));
  entries = edit.tensors?.(entries) ?? entries;
  const writer = new BytesWriter();
  await writeSafetensors(writer, entries);
  await writeFile(join(folder, 'model.safetensors'), writer.bytes());
}

const opened = () => importHf(posixFiles, folder);
const zeros = (name: string, ...shape: number[]) => tensorEntry(name, 'F32', shape, new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)));

test('several end ids, as chat models of LLaMA 3 have them, come out as they came in', async () => {
  const eos = [11, 12, 13];
  await changed('llama3-rope', { config: { eos_token_id: eos } });
  const source = await opened();
  expect(source.config.eosIds).toEqual(eos);
  const out = join(folder, 'out');
  await exportHf(posixFiles, out, source.config, source.read, { dtype: 'f32' });
  await source.close();
  for (const name of ['config.json', 'generation_config.json']) {
    expect(JSON.parse(await readFile(join(out, name), 'utf8'))).toMatchObject({ eos_token_id: eos });
  }
});

describe('golden models', () => {
  it.each(MODELS)('%s: out of scion as it came in, byte for byte', async (model) => {
    const source = await importHf(posixFiles, join(GOLDEN, model));
    expect(source.warnings).toEqual([]);
    expect(source.storedDtypes).toEqual(['F32']);
    const out = join(folder, 'out');
    const names = await exportHf(posixFiles, out, source.config, source.read, { dtype: 'f32' });
    expect(names).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
    const before = await readFile(join(GOLDEN, model, 'model.safetensors'));
    const after = await readFile(join(out, 'model.safetensors'));
    expect(Buffer.compare(after, before)).toBe(0);
    const config = parseConfig(JSON.parse(await readFile(join(out, 'config.json'), 'utf8')));
    expect(config).toMatchObject({ ...source.config, extra: {} });
    await source.close();
  });

  it.each(MODELS)('%s: every parameter is what its views say', async (model) => {
    const source = await importHf(posixFiles, join(GOLDEN, model));
    const tensors = await tensorsOf(join(GOLDEN, model));
    let covered = 0;
    for (const parameter of listParameters(source.config)) {
      const values = await source.read(parameter.name);
      expect(values.length).toBe(sizeOf(parameter.shape));
      covered += values.length;
      for (const view of listHfViews(source.config).filter((v) => v.parameter === parameter.name)) {
        const columns = view.shape[1] ?? 1;
        expect(values.subarray(view.row * columns, view.row * columns + sizeOf(view.shape))).toEqual(tensors.get(view.hf));
      }
    }
    expect(covered).toBe([...tensors.values()].reduce((sum, t) => sum + t.length, 0));
    await expect(source.read('layers.9.qkv')).rejects.toMatchObject({ kind: 'internal' });
    await source.close();
  });

  it('opens the config as transformers 5 writes it, and keeps its spelling of the element type true', async () => {
    await changed('llama-gqa', {});
    await writeFile(join(folder, 'config.json'), await readFile(join(GOLDEN, 'llama-gqa', 'config.v5.json')));
    const source = await opened();
    await exportHf(posixFiles, join(folder, 'out'), source.config, source.read, { dtype: 'bf16' });
    const json = JSON.parse(await readFile(join(folder, 'out', 'config.json'), 'utf8')) as Record<string, unknown>;
    expect([json.dtype, json.torch_dtype]).toEqual(['bfloat16', 'bfloat16']);
    await source.close();
  });
});

describe('export', () => {
  it.each([
    ['f16', 2 ** -11],
    ['bf16', 2 ** -8],
  ] as const)('as %s in shards, read back within half a unit in the last place', async (dtype, ulp) => {
    const source = await importHf(posixFiles, join(GOLDEN, 'llama-gqa'));
    const out = join(folder, 'out');
    const names = await exportHf(posixFiles, out, source.config, source.read, {
      dtype,
      maxShardBytes: 50_000,
      tokenizerFiles: { 'tokenizer.json': new TextEncoder().encode('{}') },
    });
    expect(names.filter((n) => n.startsWith('model-')).length).toBeGreaterThan(3);
    expect(names).toContain('tokenizer.json');
    expect((await readdir(out)).sort()).toEqual([...names].sort());
    const again = await importHf(posixFiles, out);
    expect(again.storedDtypes).toEqual([dtype === 'f16' ? 'F16' : 'BF16']);
    expect(again.generationConfig).toMatchObject({ eos_token_id: source.config.eosIds[0] });
    for (const { name } of listParameters(source.config)) {
      const a = await source.read(name);
      const b = await again.read(name);
      // Half a unit, relative to the number; f16's smallest normal is 6.1e-5, below which the unit is absolute.
      expect(a.findIndex((x, i) => !(Math.abs(x - b[i]) <= ulp * Math.max(Math.abs(x), 6.1e-5)))).toBe(-1);
    }
    await source.close();
    await again.close();
  });

  it('holds one parameter in memory: none is asked for while another is not yet written', async () => {
    const config = makeConfig({ vocabSize: 50, hiddenSize: 16, intermediateSize: 24, numLayers: 2, numHeads: 2 });
    const shapes = new Map(listParameters(config).map((p) => [p.name, sizeOf(p.shape)]));
    const asked: string[] = [];
    const read = async (name: string) => {
      asked.push(name);
      return new Float32Array(shapes.get(name) ?? 0);
    };
    await exportHf(posixFiles, join(folder, 'out'), config, read, { dtype: 'f32' });
    // Views in a file lie by name (k, o, q, v), so qkv comes twice; nothing else does.
    const twice = asked.filter((name, i) => asked.indexOf(name) !== i);
    expect(twice).toEqual(['layers.0.qkv', 'layers.1.qkv']);
    expect(new Set(asked)).toEqual(new Set(shapes.keys()));
  });

  it('refuses what f16 cannot hold, leaving nothing behind', async () => {
    const config = makeConfig({ vocabSize: 5, hiddenSize: 4, intermediateSize: 4, numLayers: 1, numHeads: 2 });
    const shapes = new Map(listParameters(config).map((p) => [p.name, sizeOf(p.shape)]));
    const read = async (name: string) => new Float32Array(shapes.get(name) ?? 0).fill(name === 'norm' ? 7e4 : 1);
    await expect(exportHf(posixFiles, join(folder, 'out'), config, read, { dtype: 'f16' })).rejects.toThrow(
      /model\.norm\.weight holds 70000, more than f16 can/,
    );
    expect(await readdir(folder)).toEqual([]);
    await exportHf(posixFiles, join(folder, 'out'), config, read, { dtype: 'bf16' });
  });

  it('refuses a folder that holds something, a path as a file name, and a disk without room', async () => {
    const config = makeConfig({ vocabSize: 5, hiddenSize: 4, intermediateSize: 4, numLayers: 1, numHeads: 2 });
    const read = async () => new Float32Array(0);
    await writeFile(join(folder, 'x'), '');
    await expect(exportHf(posixFiles, folder, config, read, { dtype: 'f32' })).rejects.toThrow('exists and is not empty');
    const out = join(folder, 'out');
    for (const name of ['../x', 'a/b', '', '.hidden', 'model.safetensors']) {
      await expect(exportHf(posixFiles, out, config, read, { dtype: 'f32', tokenizerFiles: { [name]: new Uint8Array(1) } }), name).rejects.toMatchObject({
        kind: 'input',
      });
    }
    const small: HostFiles = { ...posixFiles, free: async () => 100 };
    await expect(exportHf(small, out, config, read, { dtype: 'f32' })).rejects.toMatchObject({
      kind: 'space',
      message: expect.stringContaining('100 are free'),
    });
    expect(await readdir(folder)).toEqual(['x']);
  });
});

describe('folders that do not fit', () => {
  const without = (name: string) => (all: TensorEntry[]) => all.filter((e) => e.name !== name);
  it.each([
    ['a missing tensor', 'llama-gqa', { tensors: without('model.layers.1.mlp.up_proj.weight') }, 'missing: "model.layers.1.mlp.up_proj.weight"'],
    ['an untied model without head', 'llama-gqa', { tensors: without('lm_head.weight') }, 'set tie_word_embeddings'],
    [
      'a tensor too many',
      'llama-gqa',
      { tensors: (all: TensorEntry[]) => [...all, zeros('model.layers.0.self_attn.q_proj.bias', 64)] },
      'not part of this architecture: "model.layers.0.self_attn.q_proj.bias"',
    ],
    ['a layer too many', 'llama-gqa', { config: { num_hidden_layers: 1 } }, 'and 4 more'],
    [
      'another shape',
      'llama-gqa',
      { config: { num_key_value_heads: 4 } },
      'wrong shapes: "model.layers.0.self_attn.k_proj.weight" is [32, 64], the config needs [64, 64]',
    ],
    ['another architecture', 'llama-gqa', { config: { model_type: 'gpt2' } }, 'model_type'],
  ])('%s', async (_, model, edit, message) => {
    await changed(model, edit);
    await expect(opened()).rejects.toMatchObject({ kind: 'input', message: expect.stringContaining(message) });
  });

  it('ignores rotary buffers, and a stored head that the config ties', async () => {
    await changed('llama-tied', { tensors: (all) => [...all, zeros('lm_head.weight', 61, 30), zeros('model.layers.0.self_attn.rotary_emb.inv_freq', 5)] });
    const source = await opened();
    expect(source.warnings).toEqual([expect.stringContaining('lm_head.weight is stored but tied')]);
    await source.close();
  });

  it('refuses a config that is no JSON object, and warns of such a generation config', async () => {
    await changed('llama-tied', {});
    await writeFile(join(folder, 'generation_config.json'), '[');
    const source = await opened();
    expect(source.warnings).toEqual([expect.stringMatching(/generation_config\.json: no JSON/)]);
    await source.close();
    await writeFile(join(folder, 'config.json'), '[1]');
    await expect(opened()).rejects.toMatchObject({ kind: 'format' });
    await writeFile(join(folder, 'config.json'), '['.repeat(10_000));
    await expect(opened()).rejects.toThrow('nests deeper');
    await rm(join(folder, 'config.json'));
    await expect(opened()).rejects.toThrow('config.json does not exist');
  });
});
