/**
 * Adapter folders: what is written comes back, stacked factors and PEFT's pairs are the same numbers, the merge is
 * W + scale * B A by a float64 sum, and every adapter that scion cannot hold is refused by name. That PEFT itself opens them is
 * `test/golden/lora`'s business.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { BytesWriter } from '../../formats/bytes.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { type TensorEntry, tensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import { posixFiles } from '../../host/posix.ts';
import { makeConfig } from '../../nn/config.ts';
import { LORA_TARGETS, loraModules, loraScale } from '../../nn/lora.ts';
import { listHfViews, listParameters } from '../../nn/parameters.ts';
import { sizeOf } from '../../tensor/types.ts';
import { cutView, type ModelSource, type ReadParameter } from '../source.ts';
import { type AdapterSpec, parseAdapterConfig } from './config.ts';
import { mergeAdapter } from './merge.ts';
import { listAdapterModules } from './modules.ts';
import { openAdapter } from './read.ts';
import { writeAdapter } from './write.ts';

/** Odd sizes throughout: D 15, q 3 x 6, kv 1 x 6, F 11, V 13. */
const config = makeConfig({ vocabSize: 13, hiddenSize: 15, intermediateSize: 11, numLayers: 2, numHeads: 3, numKvHeads: 1, headSize: 6 });
const tied = { ...config, tied: true };

let folder = '';
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'scion-')), 'adapter');
});
afterEach(() => rm(join(folder, '..'), { recursive: true }));

const drawn = (size: number, stream: number): Float32Array<ArrayBuffer> => {
  const random = new Random(7, stream);
  return Float32Array.from({ length: size }, () => random.normal());
};

/** Stacked factors with the blocks that must be 0 at 0. */
function factors(c: typeof config, spec: AdapterSpec, stream = 0): Map<string, Float32Array> {
  const parameters = loraModules(c, spec).flatMap(({ a, b }) => [a, b]);
  const out = new Map(parameters.map((p, i) => [p.name, drawn(sizeOf(p.shape), 100 * stream + i)]));
  const modules = listAdapterModules(c, spec.targets);
  for (const { name, shape } of parameters) {
    if (!name.endsWith('.lora_b') || name.startsWith('embed')) continue;
    const own = modules.filter((m) => `${m.parameter}.lora_b` === name);
    const values = out.get(name) as Float32Array;
    for (let o = 0; o < shape[0]; o++) {
      const m = own.find((x) => o >= x.row && o < x.row + x.out);
      for (let k = 0; k < shape[1]; k++) if (!m || Math.floor(k / spec.rank) !== m.index) values[o * shape[1] + k] = 0;
    }
  }
  return out;
}

const reader =
  (...maps: ReadonlyMap<string, Float32Array>[]): ReadParameter =>
  async (name) =>
    maps.find((m) => m.has(name))?.get(name) as Float32Array;

function baseOf(c: typeof config): { source: ModelSource; values: Map<string, Float32Array<ArrayBuffer>> } {
  const values = new Map(listParameters(c).map((p, i) => [p.name, drawn(sizeOf(p.shape), 1000 + i)]));
  return { values, source: { config: c, warnings: [], read: async (name) => (values.get(name) as Float32Array<ArrayBuffer>).slice(), close: async () => {} } };
}

/** Delta [out, in] of a module in float64, straight from the stacked factors' definition. */
function delta(c: typeof config, spec: AdapterSpec, all: ReadonlyMap<string, Float32Array>, module: string): Float64Array {
  const m = listAdapterModules(c, spec.targets).find((x) => x.module === module);
  if (!m) throw new Error(module);
  const [a, b] = [all.get(`${m.parameter}.lora_a`) as Float32Array, all.get(`${m.parameter}.lora_b`) as Float32Array];
  const out = new Float64Array(m.out * m.in);
  const embedding = m.parameter === 'embed';
  const R = embedding ? spec.rank : spec.rank * m.count;
  for (let o = 0; o < m.out; o++)
    for (let i = 0; i < m.in; i++)
      for (let k = 0; k < R; k++) out[o * m.in + i] += (embedding ? a[o * R + k] * b[i * R + k] : b[(m.row + o) * R + k] * a[k * m.in + i]) * loraScale(spec);
  return out;
}

const ALL: AdapterSpec = { rank: 3, alpha: 5, dropout: 0, targets: [...LORA_TARGETS] };
const SPECS: readonly (readonly [string, AdapterSpec])[] = [
  ['all nine modules', ALL],
  ['rank 1', { ...ALL, rank: 1 }],
  ['parts of fused matrices, rslora', { rank: 2, alpha: 7, dropout: 0.1, targets: ['v_proj', 'q_proj', 'up_proj', 'down_proj'], rslora: true }],
  ['one module', { rank: 4, alpha: 4, dropout: 0, targets: ['k_proj'] }],
];

describe('a folder of scion', () => {
  it.each(SPECS)('%s: comes back as it went in', async (_, spec) => {
    const all = factors(config, spec);
    expect(await writeAdapter(posixFiles, folder, config, spec, reader(all))).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const adapter = await openAdapter(posixFiles, folder, config);
    expect(adapter.warnings).toEqual([]);
    expect(adapter.spec).toEqual({ ...spec, rslora: spec.rslora ?? false, targets: LORA_TARGETS.filter((t) => spec.targets.includes(t)) });
    for (const [name, values] of all) expect(await adapter.read(name), name).toEqual(values);
    await adapter.close();
  });

  it.each(SPECS)('%s: the merge is W + scale B A', async (_, spec) => {
    const all = factors(config, spec);
    await writeAdapter(posixFiles, folder, config, spec, reader(all));
    const { source, values } = baseOf(config);
    const merged = await mergeAdapter(source, await openAdapter(posixFiles, folder, config));
    expect(merged.config).toEqual(config);
    const adapted = new Set(listAdapterModules(config, spec.targets).map((m) => m.module));
    for (const view of listHfViews(config)) {
      const found = cutView(view, await merged.read(view.parameter));
      const before = cutView(view, values.get(view.parameter) as Float32Array);
      const module = view.hf.replace(/\.weight$/, '');
      if (!adapted.has(module)) expect(found, view.hf).toEqual(before);
      else {
        const wanted = delta(config, spec, all, module);
        // One rounding to f32 of a float64 sum: half a unit in the last place.
        for (let i = 0; i < found.length; i++)
          expect(Math.abs(found[i] - (before[i] + wanted[i]))).toBeLessThanOrEqual(1e-6 * (Math.abs(before[i]) + Math.abs(wanted[i])));
      }
    }
    await merged.close();
  });

  it('holds embedding and head whole', async () => {
    const spec: AdapterSpec = { rank: 2, alpha: 4, dropout: 0, targets: ['o_proj'] };
    const whole = new Map([
      ['embed', drawn(13 * 15, 1)],
      ['head', drawn(13 * 15, 2)],
    ]);
    await writeAdapter(posixFiles, folder, config, spec, reader(factors(config, spec), whole), {
      savedModules: ['lm_head', 'embed_tokens'],
      baseModel: 'models/base',
    });
    const adapter = await openAdapter(posixFiles, folder, config);
    expect(adapter.config).toMatchObject({ savedModules: ['embed_tokens', 'lm_head'], baseModel: 'models/base' });
    const merged = await mergeAdapter(baseOf(config).source, adapter);
    for (const [name, values] of whole) expect(await merged.read(name)).toEqual(values);
    await merged.close();
    await expect(writeAdapter(posixFiles, `${folder}2`, config, ALL, reader(factors(config, ALL)), { savedModules: ['embed_tokens'] })).rejects.toThrow(
      /embed_tokens is a target of the adapter and trained whole/,
    );
  });

  it('of a tied model: a head trained whole stays tied, an embedding adapted apart does not', async () => {
    const spec: AdapterSpec = { rank: 2, alpha: 4, dropout: 0, targets: ['o_proj'] };
    const embed = drawn(13 * 15, 1);
    await writeAdapter(posixFiles, folder, tied, spec, reader(factors(tied, spec), new Map([['embed', embed]])), { savedModules: ['embed_tokens'] });
    const kept = await mergeAdapter(baseOf(tied).source, await openAdapter(posixFiles, folder, tied));
    expect([kept.config.tied, kept.warnings]).toEqual([true, []]);
    expect(await kept.read('embed')).toEqual(embed);
    await kept.close();

    const apart: AdapterSpec = { ...spec, targets: ['embed_tokens', 'lm_head'] };
    const all = factors(tied, apart);
    await writeAdapter(posixFiles, `${folder}2`, tied, apart, reader(all));
    const { source, values } = baseOf(tied);
    const untied = await mergeAdapter(source, await openAdapter(posixFiles, `${folder}2`, tied));
    expect(untied.config.tied).toBe(false);
    expect(untied.warnings.join()).toMatch(/embedding and head apart/);
    const before = values.get('embed') as Float32Array;
    for (const [parameter, module] of [
      ['embed', 'model.embed_tokens'],
      ['head', 'lm_head'],
    ]) {
      const wanted = delta(tied, apart, all, module);
      (await untied.read(parameter)).forEach((x, i) => {
        expect(Math.abs(x - before[i] - wanted[i])).toBeLessThanOrEqual(1e-5); // f32 of numbers below 20
      });
    }
    await untied.close();
  });

  it.each([false, true])('begun by PiSSA fits the untouched base (rslora %s)', async (rslora) => {
    const spec: AdapterSpec = { ...ALL, rslora };
    const [now, start] = [factors(config, spec, 1), factors(config, spec, 2)];
    await writeAdapter(posixFiles, folder, config, spec, reader(now), { initial: reader(start) });
    const adapter = await openAdapter(posixFiles, folder, config);
    expect(adapter.spec.rank).toBe(6);
    const { source, values } = baseOf(config);
    const merged = await mergeAdapter(source, adapter);
    for (const view of listHfViews(config).filter((v) => v.shape.length === 2)) {
      const module = view.hf.replace(/\.weight$/, '');
      const [after, before] = [delta(config, spec, now, module), delta(config, spec, start, module)];
      const base = cutView(view, values.get(view.parameter) as Float32Array);
      cutView(view, await merged.read(view.parameter)).forEach((x, i) => {
        expect(Math.abs(x - (base[i] + after[i] - before[i]))).toBeLessThanOrEqual(1e-5); // f32 of numbers below 40; alpha is rounded by sqrt(2)
      });
    }
    await merged.close();
  });

  it('in 16 bits is half the size and close', async () => {
    const all = factors(config, ALL);
    await writeAdapter(posixFiles, folder, config, ALL, reader(all), { dtype: 'bf16' });
    const adapter = await openAdapter(posixFiles, folder, config);
    for (const [name, values] of all) {
      const found = await adapter.read(name);
      values.forEach((x, i) => {
        expect(Math.abs(found[i] - x)).toBeLessThanOrEqual(Math.abs(x) / 256); // bf16 keeps 8 bits
      });
    }
    await adapter.close();
  });

  it('is never written over another, nor with numbers outside its blocks', async () => {
    const spec: AdapterSpec = { rank: 2, alpha: 4, dropout: 0, targets: ['q_proj', 'v_proj'] };
    const all = factors(config, spec);
    await writeAdapter(posixFiles, folder, config, spec, reader(all));
    await expect(writeAdapter(posixFiles, folder, config, spec, reader(all))).rejects.toThrow(/exists and is not empty/);
    (all.get('layers.0.qkv.lora_b') as Float32Array)[3] = 1;
    await expect(writeAdapter(posixFiles, `${folder}2`, config, spec, reader(all))).rejects.toThrow(/holds 1 at row 0, column 3/);
    expect(await posixFiles.stat(`${folder}2`)).toBeNull();
  });
});

describe('refused', () => {
  const spec: AdapterSpec = { rank: 2, alpha: 4, dropout: 0, targets: ['q_proj', 'down_proj'] };

  it.each([
    [{ rank: 0 }, /rank: 0/],
    [{ rank: 1.5 }, /rank: 1.5/],
    [{ alpha: Number.NaN }, /alpha: NaN/],
    [{ dropout: 1 }, /dropout: 1/],
    [{ targets: [] }, /none are given/],
    [{ targets: ['norm'] }, /"norm" is none of q_proj/],
    [{ targets: ['q_proj', 'q_proj'] }, /named twice/],
  ])('a spec with %j', async (change, message) => {
    await expect(writeAdapter(posixFiles, folder, config, { ...spec, ...change }, reader())).rejects.toThrow(message);
  });

  it.each([
    [{ peft_type: 'IA3' }, /peft_type: "IA3"/],
    [{ use_dora: true }, /"use_dora": "true": DoRA/],
    [{ bias: 'all' }, /"bias".*trained biases/],
    [{ lora_bias: true }, /"lora_bias"/],
    [{ rank_pattern: { q_proj: 4 } }, /"rank_pattern".*ranks that differ/],
    [{ alpha_pattern: { q_proj: 4 } }, /"alpha_pattern"/],
    [{ trainable_token_indices: [1] }, /"trainable_token_indices"/],
    [{ layer_replication: [[0, 2]] }, /"layer_replication"/],
    [{ fan_in_fan_out: true }, /"fan_in_fan_out"/],
    [{ init_lora_weights: 'pissa_niter_4' }, /init_lora_weights: "pissa_niter_4".*path_initial_model/],
    [{ modules_to_save: ['score'] }, /modules_to_save: "score"/],
    [{ some_new_method: 3 }, /"some_new_method".*does not know this field/],
    [{ r: 0 }, /r: /],
    [{ lora_alpha: '8' }, /lora_alpha/],
  ])('a config with %j', (change, message) => {
    const plain = {
      peft_type: 'LORA',
      r: 2,
      lora_alpha: 4,
      lora_dropout: 0,
      target_modules: 'all-linear',
      bias: 'none',
      megatron_core: 'megatron.core',
      qalora_group_size: 16,
    };
    expect(parseAdapterConfig(plain).rank).toBe(2);
    expect(() => parseAdapterConfig({ ...plain, ...change })).toThrow(message);
  });

  /** Writes an adapter and changes its tensors. */
  async function changed(edit: (entries: TensorEntry[]) => TensorEntry[]): Promise<void> {
    await writeAdapter(posixFiles, folder, config, spec, reader(factors(config, spec)));
    const path = join(folder, 'adapter_model.safetensors');
    const file = await openSafetensors(new Uint8Array(await readFile(path)), path);
    const entries: TensorEntry[] = [];
    for (const { name, dtype, shape } of file.tensors.values()) entries.push(tensorEntry(name, dtype, shape, await file.read(name)));
    const writer = new BytesWriter();
    await writeSafetensors(writer, edit(entries));
    await writeFile(path, writer.bytes());
  }
  const zeros = (name: string, ...shape: number[]) => tensorEntry(name, 'F32', shape, new Uint8Array(4 * sizeOf(shape)));
  const Q = 'base_model.model.model.layers.0.self_attn.q_proj';

  it.each<[string, (entries: TensorEntry[]) => TensorEntry[], RegExp]>([
    ['half a pair', (all) => all.filter((e) => e.name !== `${Q}.lora_B.weight`), /missing: .*layers.0.self_attn.q_proj.lora_B/],
    [
      'another rank',
      (all) => all.map((e) => (e.name === `${Q}.lora_A.weight` ? zeros(e.name, 3, 15) : e)),
      /wrong shapes for rank 2.*q_proj.lora_A.weight" is \[3, 15\].*Is it an adapter of this model/,
    ],
    ['a module of another model', (all) => [...all, zeros('base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight', 2, 15)], /does not have.*layers.7/],
    ['magnitudes of DoRA', (all) => [...all, zeros(`${Q}.lora_magnitude_vector`, 18)], /no part of a LoRA.*lora_magnitude_vector/],
    ['a norm held whole', (all) => [...all, zeros('base_model.model.model.norm.weight', 15)], /no part of a LoRA.*norm.weight/],
    ['an embedding of another size', (all) => [...all, zeros('base_model.model.model.embed_tokens.weight', 14, 15)], /embed_tokens.weight" is \[14, 15\]/],
    ['nothing', () => [], /holds nothing/],
  ])('a file with %s', async (_, edit, message) => {
    await changed(edit);
    await expect(openAdapter(posixFiles, folder, config)).rejects.toMatchObject({ kind: 'input', message: expect.stringMatching(message) });
  });

  it('folders without their files', async () => {
    await posixFiles.makeDir(folder);
    await expect(openAdapter(posixFiles, folder, config)).rejects.toThrow(/adapter_config.json does not exist/);
    await changedConfig({});
    await expect(openAdapter(posixFiles, folder, config)).rejects.toThrow(/adapter_model.safetensors does not exist$/);
    await writeFile(join(folder, 'adapter_model.bin'), '');
    await expect(openAdapter(posixFiles, folder, config)).rejects.toThrow(/Python pickle/);
  });

  async function changedConfig(change: Record<string, unknown>): Promise<void> {
    await writeFile(join(folder, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', r: 2, lora_alpha: 4, ...change }));
  }

  it('but a layer left out is only reported', async () => {
    await changed((all) => all.filter((e) => !e.name.includes('layers.1.')));
    const adapter = await openAdapter(posixFiles, folder, config);
    expect(adapter.warnings).toEqual(['the adapter has no product for "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.down_proj"; they count as zero']);
    expect((await adapter.read('layers.1.down.lora_a')).every((x) => x === 0)).toBe(true);
    await adapter.close();
  });
});
