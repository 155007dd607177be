/**
 * Generation against transformers' float64 logits (fixtures of `test/golden/llama`): what the KV cache gives
 * token by token and in padded chunks must be what a full forward pass gives, in every model family. Then what a
 * running model must not do: compile or allocate after its first tokens, or mistake a full cache for a short one.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { normError } from '../../test/runtime/case.ts';
import { Random } from '../base/random.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { GpuDevice } from '../gpu/device.ts';
import { assumedFacts } from '../gpu/facts.ts';
import { host } from '../host/index.ts';
import { type LlamaConfig, makeConfig, parseConfig } from '../nn/config.ts';
import { initialValues, listHfViews, listParameters } from '../nn/parameters.ts';
import { sizeOf } from '../tensor/types.ts';
import { planTraining, type TrainSetup } from '../train/programs.ts';
import { Stepper } from '../train/stepper.ts';
import { type GenerateOptions, Generator, type InferOptions } from './generator.ts';
import { chunkClass, planInference } from './plans.ts';
import { packPieces, scoreDocuments, scoreWindows } from './score.ts';

const root = new URL('../../test/golden/llama/', import.meta.url);
const readJson = (path: string) => JSON.parse(readFileSync(new URL(path, root), 'utf8'));

async function tensors(name: string): Promise<Map<string, Float32Array>> {
  const { files } = await host();
  const file = await openSafetensors(await files.open(new URL(name, root).pathname), name);
  const out = new Map<string, Float32Array>();
  for (const key of file.tensors.keys()) out.set(key, await file.readF32(key));
  await file.close();
  return out;
}

/** Parameters of a fixture, fused. */
async function parametersOf(config: LlamaConfig, name: string): Promise<(parameter: string) => Promise<Float32Array>> {
  const hf = await tensors(`${name}/model.safetensors`);
  const fused = new Map(listParameters(config).map((p) => [p.name, new Float32Array(sizeOf(p.shape))]));
  for (const v of listHfViews(config)) fused.get(v.parameter)?.set(hf.get(v.hf) as Float32Array, v.row * (v.shape.length === 2 ? v.shape[1] : 1));
  return async (parameter) => fused.get(parameter) as Float32Array;
}

const seeded = (config: LlamaConfig, seed: number) => async (name: string) => {
  const p = listParameters(config).find((x) => x.name === name);
  return initialValues(p as NonNullable<typeof p>, seed);
};

async function collect(model: Generator, prompt: number[], options: GenerateOptions): Promise<number[]> {
  const out: number[] = [];
  for await (const id of model.generate(prompt, options)) out.push(id);
  return out;
}

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

/** A right cache gives about 1e-7 to 1e-6; transformers' own f32 is within 1.3e-6 of these fixtures. */
const LOGITS = 1e-5;
const small = makeConfig({ vocabSize: 61, hiddenSize: 32, intermediateSize: 40, numLayers: 2, numHeads: 4, numKvHeads: 2, headSize: 8 });

describe('cache against a full forward pass', () => {
  test.each(['llama-gqa', 'llama-tied', 'mistral-window', 'qwen2', 'qwen3', 'llama3-rope'])('%s', async (name) => {
    const config = parseConfig(readJson(`${name}/config.json`));
    const fixture = readJson(`${name}/case.json`) as { inputIds: number[][]; tokens: number; loss: number };
    const T = fixture.tokens;
    const [logits] = [...(await tensors(`${name}/logits.safetensors`)).values()];
    const model = await Generator.open(device, config, await parametersOf(config, name), { precision: 'f32', capacity: T + 3 });
    const V = config.vocabSize;
    const error = (found: Float32Array, b: number, t: number) => normError(found, logits.subarray((b * T + t) * V, (b * T + t + 1) * V));
    for (const ids of fixture.inputIds) expect(ids.length).toBe(T);
    let worst = 0;
    for (const [b, ids] of fixture.inputIds.entries()) {
      // Prefill in padded chunks of several lengths, then token by token.
      for (const first of b === 0 ? [1, 5] : [11]) {
        worst = Math.max(worst, error(await model.logits(ids.slice(0, first)), b, first - 1));
        for (let t = first; t < T; t++) worst = Math.max(worst, error(await model.append([ids[t]]), b, t));
      }
      worst = Math.max(worst, error(await model.logits(ids), b, T - 1));
      // A chunk behind a filled cache.
      await model.logits(ids.slice(0, 6));
      worst = Math.max(worst, error(await model.append(ids.slice(6)), b, T - 1));
    }
    model.destroy();
    expect(worst).toBeLessThanOrEqual(LOGITS);
  });
});

describe('generate', () => {
  const options: InferOptions = { precision: 'f32', capacity: 40, batch: 3 };

  test('greedy on the device, greedy on the host and the largest logit are one', async () => {
    const model = await Generator.open(device, small, seeded(small, 3), options);
    const prompt = [1, 7, 9, 30, 4];
    const ids = await collect(model, prompt, { maxNewTokens: 12, stopIds: [] });
    // A penalty this near to 1 changes no choice but takes the path through the host.
    expect(await collect(model, prompt, { maxNewTokens: 12, stopIds: [], repetitionPenalty: 1 + 1e-9 })).toEqual(ids);
    for (let i = 0; i < ids.length; i++) {
      const logits = await model.logits([...prompt, ...ids.slice(0, i)]);
      expect(logits.indexOf(Math.max(...logits))).toBe(ids[i]);
    }
    // A stop id ends the answer and is no part of it.
    expect(await collect(model, prompt, { maxNewTokens: 12, stopIds: [ids[5]] })).toEqual(ids.slice(0, ids.indexOf(ids[5])));
    // The whole cache: prompt and answer, the last token not stored.
    expect((await collect(model, prompt, { stopIds: [] })).length).toBe(36);
    expect(await collect(model, prompt, { maxNewTokens: 0 })).toEqual([]);
    model.destroy();
  });

  test('side by side is one by one; seeds repeat', async () => {
    const model = await Generator.open(device, small, seeded(small, 3), options);
    const prompts = [[1, 7, 9, 30, 4], [1], Array.from({ length: 19 }, (_, i) => (i * 7) % 61)];
    const together: number[][] = [[], [], []];
    for await (const { sequence, id } of model.generateBatch(prompts, { maxNewTokens: 10, stopIds: [] })) together[sequence].push(id);
    for (const [i, prompt] of prompts.entries()) expect(await collect(model, prompt, { maxNewTokens: 10, stopIds: [] })).toEqual(together[i]);
    const sampled = { maxNewTokens: 15, stopIds: [], temperature: 1, topP: 0.95, seed: 11 };
    const once = await collect(model, prompts[0], sampled);
    expect(await collect(model, prompts[0], sampled)).toEqual(once);
    expect(await collect(model, prompts[0], { ...sampled, seed: 12 })).not.toEqual(once);
    model.destroy();
  });

  test('reuse runs only what is new', async () => {
    const model = await Generator.open(device, small, seeded(small, 3), { precision: 'f32', capacity: 64 });
    const prompt = Array.from({ length: 20 }, (_, i) => (i * 11 + 1) % 61);
    const answer = await collect(model, prompt, { maxNewTokens: 5, stopIds: [] });
    const longer = [...prompt, ...answer, 8, 3];
    const fresh = await collect(model, longer, { maxNewTokens: 6, stopIds: [] });
    await collect(model, prompt, { maxNewTokens: 5, stopIds: [] });
    const before = device.created.submits;
    expect(await collect(model, longer, { maxNewTokens: 6, stopIds: [], reuse: true })).toEqual(fresh);
    // Held: the prompt and all of the answer but its last token. One chunk for three ids, then five tokens.
    expect(device.created.submits - before).toBe(6);
    model.destroy();
  });

  test('refusals', async () => {
    const model = await Generator.open(device, small, seeded(small, 3), options);
    await expect(collect(model, [], {})).rejects.toThrow(/empty prompt/);
    await expect(collect(model, [1, 61], {})).rejects.toThrow(/61 is no id of a vocabulary of 61/);
    await expect(collect(model, [1, 2], { maxNewTokens: 40 })).rejects.toThrow(
      /prompt of 2 ids and 40 new ones need a capacity of 41, the model was opened with 40/,
    );
    await expect(
      collect(
        model,
        Array.from({ length: 41 }, () => 1),
        {},
      ),
    ).rejects.toThrow(/opened with 40/);
    await expect(scoreDocuments(model, [[1]])).rejects.toThrow(/without scoring/);
    expect(() => planInference(small, { precision: 'f32', capacity: 0 }, assumedFacts())).toThrow(/can do nothing/);
    const running = model.generate([1], { maxNewTokens: 3, stopIds: [] });
    await running.next();
    await expect(collect(model, [1], {})).rejects.toThrow(/generating already/);
    await running.return();
    expect((await collect(model, [1], { maxNewTokens: 2, stopIds: [] })).length).toBe(2);
    // NaN in the weights is an error, not a token.
    model.session.writeState('norm', new Float32Array(32).fill(Number.NaN));
    await expect(collect(model, [1], { maxNewTokens: 2 })).rejects.toThrow(/NaN/);
    await expect(collect(model, [1], { maxNewTokens: 2, temperature: 1 })).rejects.toThrow(/NaN/);
    model.destroy();
  });
});

test('500 decode steps and scoring of varied lengths: at most 8 programs, nothing made after the second token', async () => {
  const live = device.liveBytes;
  const model = await Generator.open(device, small, seeded(small, 3), { precision: 'f32', capacity: 560, score: { batch: 2, tokens: 24 } });
  expect(Object.keys(model.session.programs).length).toBeLessThanOrEqual(8);
  expect(device.liveBytes - live).toBe(model.memory.total);
  const created = () => ({ buffers: device.created.buffers, groups: device.created.bindGroups, pipelines: device.created.pipelines });
  let after: ReturnType<typeof created> | null = null;
  let count = 0;
  for await (const _ of model.generate([1, 5, 9], { maxNewTokens: 500, stopIds: [] })) {
    if (++count === 2) after = created();
  }
  expect(count).toBe(500);
  const random = new Random(4);
  await scoreDocuments(
    model,
    Array.from({ length: 12 }, (_, i) => Array.from({ length: 1 + i * 7 }, () => random.below(61))),
  );
  for (const n of [1, 3, 9, 40, 140, 530])
    await collect(
      model,
      Array.from({ length: n }, () => random.below(61)),
      { maxNewTokens: 2, stopIds: [], temperature: n % 2 },
    );
  expect(created()).toEqual(after);
  model.destroy();
  expect(device.liveBytes).toBe(live);
});

test('matrices larger than one binding go through in row windows', async () => {
  // 8 KiB: embedding and head (19 KiB) need three windows, gate-up (10 KiB) two; the cache of a layer fits.
  const narrow = await GpuDevice.open({ limits: { maxStorageBufferBindingSize: 8192 } });
  const wide = { ...small, vocabSize: 150 };
  const run = async (on: GpuDevice) => {
    const model = await Generator.open(on, wide, seeded(wide, 3), { precision: 'f32', capacity: 24, score: { batch: 1, tokens: 8 } });
    const logits = await model.logits([1, 7, 149, 30, 70]);
    const next = await model.append([128]);
    const [{ nll }] = await scoreDocuments(model, [[7, 9, 130, 4, 149]]);
    model.destroy();
    return { logits, next, nll };
  };
  const [a, b] = [await run(device), await run(narrow)];
  narrow.destroy();
  expect(normError(b.logits, a.logits)).toBeLessThanOrEqual(LOGITS);
  expect(normError(b.next, a.next)).toBeLessThanOrEqual(LOGITS);
  expect(Math.abs(b.nll - a.nll)).toBeLessThanOrEqual(LOGITS * a.nll);
});

describe('on the weights of a training session', () => {
  test.each(['f32', 'mixed'] as const)('%s: nothing is copied, and what was trained is what answers', async (precision) => {
    const setup: TrainSetup = { model: small, precision, batch: 2, tokens: 16, recompute: 'none', clip: 0, optimizer: { kind: 'sgd', momentum: 0, decay: 0 } };
    const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
    await stepper.start(seeded(small, 3));
    const live = device.liveBytes;
    const attached = Generator.attach(stepper.session, small, { precision, capacity: 24, score: { batch: 1, tokens: 8 } });
    const apart = await Generator.open(device, small, seeded(small, 3), { precision, capacity: 24 });
    expect(attached.memory.states).toEqual({ cache: apart.memory.states.cache });
    expect(Object.keys(apart.memory.states).sort()).toEqual(precision === 'mixed' ? ['cache', 'param', 'weight'] : ['cache', 'param']);
    const prompt = [1, 7, 9, 30, 4];
    expect(await attached.logits(prompt)).toEqual(await apart.logits(prompt));
    const before = await attached.logits(prompt);
    stepper.session.writeState(precision === 'mixed' ? 'weight:embed' : 'embed', await seeded(small, 4)('embed'));
    expect(await attached.logits(prompt)).not.toEqual(before);
    // f32 from a mixed run uses its masters; an f32 run has no 16-bit weights to offer.
    if (precision === 'f32')
      expect(() => Generator.attach(stepper.session, small, { precision: 'mixed', capacity: 8 })).toThrow(/another precision than mixed/);
    else Generator.attach(stepper.session, small, { precision: 'f32', capacity: 8 }).destroy();
    attached.destroy();
    apart.destroy();
    expect(device.liveBytes).toBe(live);
    // The weights are still there.
    expect((await stepper.session.readState('norm'))[0]).toBe(1);
    stepper.destroy();
  });
});

describe('score', () => {
  test.each(['llama-gqa', 'mistral-window'])('loss of %s is transformers’', async (name) => {
    const config = parseConfig(readJson(`${name}/config.json`));
    const fixture = readJson(`${name}/case.json`) as { inputIds: number[][]; tokens: number };
    const [logits] = [...(await tensors(`${name}/logits.safetensors`)).values()];
    const model = await Generator.open(device, config, await parametersOf(config, name), { precision: 'f32', capacity: 0, score: { batch: 2, tokens: 40 } });
    const T = fixture.tokens;
    const found = await scoreDocuments(model, fixture.inputIds, { bosId: null, perToken: true });
    found.forEach((d, b) => {
      expect(d.tokens).toBe(T - 1);
      let sum = 0;
      for (let t = 0; t < T - 1; t++) {
        const row = logits.subarray((b * T + t) * config.vocabSize, (b * T + t + 1) * config.vocabSize);
        const top = Math.max(...row);
        const nll = top + Math.log(row.reduce((a, x) => a + Math.exp(x - top), 0)) - row[fixture.inputIds[b][t + 1]];
        sum += nll;
        // f32 logits of a few units: 1e-5 is a dozen of their last places.
        expect(Math.abs((d.tokenNll?.[t] ?? Number.NaN) - nll)).toBeLessThanOrEqual(1e-5);
      }
      expect(Math.abs(d.nll - sum)).toBeLessThanOrEqual(1e-4);
    });
    model.destroy();
  });

  test('windows with full context give what one large window gives, where attention is local enough to say', async () => {
    // One layer with a window of 4 keys: 4 tokens of context decide a token wholly, and rotary positions are relative.
    const config = { ...small, modelType: 'mistral' as const, numLayers: 1, slidingWindow: 4 };
    const open = (tokens: number, batch: number) =>
      Generator.open(device, config, seeded(config, 5), { precision: 'f32', capacity: 0, score: { batch, tokens } });
    const random = new Random(8);
    const documents = [70, 1, 0, 13, 16, 17, 33].map((n) => Array.from({ length: n }, () => random.below(61)));
    const [whole, cut] = [await open(80, 3), await open(16, 2)];
    const a = await scoreDocuments(whole, documents, { perToken: true });
    const b = await scoreDocuments(cut, documents, { perToken: true });
    a.forEach((d, i) => {
      expect(d.tokens).toBe(documents[i].length);
      expect(b[i].tokens).toBe(d.tokens);
      for (const [t, x] of (d.tokenNll ?? []).entries()) expect(Math.abs(x - (b[i].tokenNll?.[t] ?? Number.NaN))).toBeLessThanOrEqual(1e-5);
    });
    const limited = await scoreDocuments(whole, documents, { maxTokens: 10 });
    expect(limited.map((d) => d.tokens)).toEqual(documents.map((d) => Math.min(9, d.length)));
    whole.destroy();
    cut.destroy();
  });
});

test('windows: every id but the first is a label once, with at least T - stride ids of context behind the first window', () => {
  for (const T of [1, 2, 7, 16]) {
    for (const stride of [1, T >> 1, T].filter((s) => s >= 1)) {
      for (const n of [0, 1, 2, T, T + 1, T + 2, 3 * T + 1]) {
        const labels: number[] = [];
        for (const p of scoreWindows(0, n, T, stride)) {
          expect(p.length).toBeLessThanOrEqual(T);
          if (p.start > 0) expect(p.firstScored).toBeGreaterThanOrEqual(T - stride);
          for (let i = p.firstScored; i < p.length; i++) labels.push(p.start + i + 1);
        }
        expect(labels).toEqual(Array.from({ length: Math.max(0, n - 1) }, (_, i) => i + 1));
      }
    }
  }
});

test('pieces: each in one row, rows never over-full', () => {
  const random = new Random(1);
  const pieces = Array.from({ length: 200 }, (_, document) => ({ document, start: 0, length: 1 + random.below(32), firstScored: 0 }));
  const batches = packPieces(pieces, 32, 4);
  expect(batches.every((rows) => rows.length <= 4)).toBe(true);
  const rows = batches.flat();
  for (const row of rows) expect(row.reduce((sum, p) => sum + p.length, 0)).toBeLessThanOrEqual(32);
  expect(
    rows
      .flat()
      .map((p) => p.document)
      .sort((a, b) => a - b),
  ).toEqual(pieces.map((p) => p.document));
});

test('chunks: the least class that holds all, or parts where most would be padding', () => {
  const classes = [1, 8, 32, 128];
  const found = [1, 2, 4, 5, 8, 9, 16, 33, 64, 129, 1000].map((n) => chunkClass(n, classes));
  expect(found).toEqual([1, 8, 8, 8, 8, 8, 32, 32, 128, 128, 128]);
});
