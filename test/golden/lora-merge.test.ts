/**
 * Adapter folders of PEFT itself (fixtures of `test/golden/lora`): read into scion's stacked factors, written again to the
 * same numbers, and merged into their base, whose logits are then those of PEFT's base and adapter in float64.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeAdapter, openAdapter, writeAdapter } from '../../src/checkpoint/adapter/index.ts';
import { importHf } from '../../src/checkpoint/hf.ts';
import type { ModelSource } from '../../src/checkpoint/source.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { attentionRanges, headParameter, llamaHidden, weight } from '../../src/nn/llama.ts';
import { declareModel, listParameters } from '../../src/nn/parameters.ts';
import { Graph, view } from '../../src/tensor/graph.ts';
import { matmul } from '../../src/tensor/ops/matmul.ts';
import { planGraph } from '../../src/tensor/plan.ts';
import { Session } from '../../src/tensor/session.ts';
import { States } from '../../src/tensor/states.ts';
import { normError } from '../runtime/case.ts';

const GOLDEN = join(import.meta.dirname, 'lora');
const json = async (path: string) => JSON.parse(await readFile(join(GOLDEN, path), 'utf8'));
const { cases } = (await json('index.json')) as { cases: string[] };

/** f32 rounding over a few layers; the issue allows 1e-4. */
const TOLERANCE = 1e-5;

let device: GpuDevice;
let folder = '';
beforeAll(async () => {
  device = await GpuDevice.open();
  folder = await mkdtemp(join(tmpdir(), 'scion-'));
});
afterAll(async () => {
  device.destroy();
  await rm(folder, { recursive: true });
});

async function tensors(path: string): Promise<Map<string, Float32Array>> {
  const file = await openSafetensors(new Uint8Array(await readFile(path)), path);
  const out = new Map<string, Float32Array>();
  for (const key of file.tensors.keys()) out.set(key, await file.readF32(key));
  return out;
}

/** Logits [B, T, V] of a source's model. */
async function logitsOf(source: ModelSource, inputIds: readonly number[][]): Promise<Float32Array> {
  const { config } = source;
  const states = new States();
  declareModel(states, config, { precision: 'f32', train: null });
  states.freeze(device.facts);
  const g = new Graph(states);
  const [B, T] = [inputIds.length, inputIds[0].length];
  const leaves = { ids: g.data('ids', [B, T], 'u32'), positions: g.data('positions', [B, T], 'u32'), ranges: g.data('ranges', [B, T, 4], 'u32') };
  const hidden = llamaHidden(g, config, leaves, { precision: 'f32', capacity: T });
  const logits = matmul(view(hidden, [B * T, config.hiddenSize]), weight(g, headParameter(config)), { transposeB: true });
  const session = new Session(device, { main: planGraph(g, { facts: device.facts, outputs: { logits } }) });
  for (const p of listParameters(config)) session.writeState(p.name, await source.read(p.name));
  const ranges = new Uint32Array(B * T * 4);
  for (let b = 0; b < B; b++) ranges.set(attentionRanges(T, [T], config.slidingWindow ?? 0), b * T * 4);
  const positions = Uint32Array.from({ length: B * T }, (_, i) => i % T);
  session.programs.main.run({ ids: Uint32Array.from(inputIds.flat()), positions, ranges });
  const found = await session.programs.main.read();
  session.destroy();
  return found.logits as Float32Array;
}

describe.each(cases)('%s', (name) => {
  test('merged, it has the logits of base and adapter', async () => {
    const fixture = await json(`${name}/case.json`);
    const base = await importHf(posixFiles, join(GOLDEN, '../llama', fixture.base));
    const adapter = await openAdapter(posixFiles, join(GOLDEN, name, 'adapter'), base.config);
    expect(adapter.warnings).toEqual([]);
    expect(adapter.spec).toMatchObject({ rank: fixture.rank, alpha: fixture.alpha, rslora: fixture.rslora });
    expect([...adapter.spec.targets].sort()).toEqual([...fixture.modules].sort());
    const merged = await mergeAdapter(base, adapter);
    const found = await logitsOf(merged, fixture.inputIds);
    await merged.close();
    const wanted = (await tensors(join(GOLDEN, name, 'logits.safetensors'))).get('logits') as Float32Array;
    expect(normError(found, wanted)).toBeLessThanOrEqual(TOLERANCE);
  });

  test('read and written again, it is the same adapter', async () => {
    const fixture = await json(`${name}/case.json`);
    const base = await importHf(posixFiles, join(GOLDEN, '../llama', fixture.base));
    const adapter = await openAdapter(posixFiles, join(GOLDEN, name, 'adapter'), base.config);
    const read = async (parameter: string) => {
      if (parameter === 'embed') return adapter.readWhole('model.embed_tokens');
      return parameter === 'head' ? adapter.readWhole('lm_head') : adapter.read(parameter);
    };
    await writeAdapter(posixFiles, join(folder, name), base.config, adapter.spec, read, { savedModules: fixture.saved });
    await base.close();
    await adapter.close();
    const after = await tensors(join(folder, name, 'adapter_model.safetensors'));
    const before = await tensors(join(GOLDEN, name, 'adapter/adapter_model.safetensors'));
    // The base's own matrices, which PEFT adds where they are targeted, are not the adapter's.
    for (const key of before.keys()) if (key.endsWith('.base_layer.weight')) before.delete(key);
    expect(after).toEqual(before);
    const [config, peft] = [JSON.parse(await readFile(join(folder, name, 'adapter_config.json'), 'utf8')), await json(`${name}/adapter/adapter_config.json`)];
    for (const [key, value] of Object.entries(config)) {
      const sorted = (x: unknown) => (Array.isArray(x) ? [...x].sort() : x);
      if (key !== 'target_modules' || Array.isArray(peft[key])) expect(sorted(value), key).toEqual(sorted(peft[key]));
    }
  });
});
