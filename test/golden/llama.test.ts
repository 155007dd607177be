/**
 * The model against PyTorch and transformers in float64 (fixtures of `test/golden/llama`): logits, loss, every
 * gradient, ten AdamW steps with clipping, and packed documents. What is compared is the whole path of
 * training, programs and planner included, in f32 and with each recompute policy.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Batch } from '../../src/data/loader.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { host } from '../../src/host/index.ts';
import { type LlamaConfig, parseConfig } from '../../src/nn/config.ts';
import { attentionRanges, headParameter, llamaHidden, weight } from '../../src/nn/llama.ts';
import { declareModel, gradName, listHfViews, listParameters } from '../../src/nn/parameters.ts';
import { Graph, view } from '../../src/tensor/graph.ts';
import { matmul } from '../../src/tensor/ops/matmul.ts';
import { planGraph } from '../../src/tensor/plan.ts';
import type { RecomputePolicy } from '../../src/tensor/recompute.ts';
import { Session } from '../../src/tensor/session.ts';
import { States } from '../../src/tensor/states.ts';
import { sizeOf } from '../../src/tensor/types.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { normError } from '../runtime/case.ts';

const root = new URL('./llama/', import.meta.url);
const read = (path: string) => JSON.parse(readFileSync(new URL(path, root), 'utf8'));
const index = read('index.json') as { cases: string[]; packed: string[] };

/** The issue allows 1e-4 norm-wise per tensor; transformers' own f32 is within 1.3e-6 of these fixtures. */
const TOLERANCE = 1e-4;
/** Sharper where f32 rounding is known to stay far below. */
const SHARP = 1e-5;
/** Weight updates: Adam divides small gradients by their own size, so f32 noise grows; transformers' f32 is at 1.2e-5. */
const UPDATE_TOLERANCE = 1e-3;

async function tensors(name: string): Promise<Map<string, Float32Array>> {
  const { files } = await host();
  const file = await openSafetensors(await files.open(new URL(name, root).pathname), name);
  const out = new Map<string, Float32Array>();
  for (const key of file.tensors.keys()) out.set(key, await file.readF32(key));
  return out;
}

/** Assembles scion's fused parameters from Hugging Face tensors. */
function fuse(config: LlamaConfig, hf: Map<string, Float32Array>): Map<string, Float32Array> {
  const out = new Map(listParameters(config).map((p) => [p.name, new Float32Array(sizeOf(p.shape))]));
  for (const v of listHfViews(config)) {
    const width = v.shape.length === 2 ? v.shape[1] : 1;
    out.get(v.parameter)?.set(hf.get(v.hf) as Float32Array, v.row * width);
  }
  return out;
}

const flat = (rows: number[][]) => rows.flat();

function makeFeeds(config: LlamaConfig, ids: number[][], targets: number[][], documents?: number[][]): Batch {
  const B = ids.length;
  const T = ids[0].length;
  const idArray = Uint32Array.from(flat(ids));
  const ranges = new Uint32Array(B * T * 4);
  const positions = new Uint32Array(B * T);
  for (let b = 0; b < B; b++) {
    const lengths = documents?.[b] ?? [T];
    ranges.set(attentionRanges(T, lengths, config.slidingWindow ?? 0), b * T * 4);
    let at = b * T;
    for (const n of lengths) for (let i = 0; i < n; i++) positions[at++] = i;
  }
  const labels = Int32Array.from(flat(targets));
  return { ids: idArray, positions, ranges, labels, tokens: labels.filter((x) => x >= 0).length, used: B * T, epoch: 0 };
}

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

const setupOf = (model: LlamaConfig, batch: number, tokens: number, recompute: RecomputePolicy, training?: Record<string, number | number[]>): TrainSetup => ({
  model,
  precision: 'f32',
  batch,
  tokens,
  recompute,
  clip: (training?.clipNorm as number) ?? 0,
  optimizer: {
    kind: 'adamw',
    beta1: (training?.betas as number[])?.[0] ?? 0.9,
    beta2: (training?.betas as number[])?.[1] ?? 0.95,
    epsilon: (training?.epsilon as number) ?? 1e-8,
    decay: (training?.weightDecay as number) ?? 0.1,
  },
});

/** Worst error over named tensors, with the name in the failure. */
function compare(what: string, found: (name: string) => Float32Array, wanted: Map<string, Float32Array>, tolerance: number): void {
  for (const [name, values] of wanted) {
    const error = normError(found(name), values);
    expect(error, `${what} ${name}: norm-wise error ${error}`).toBeLessThanOrEqual(tolerance);
  }
}

/** Cuts fused tensors back into Hugging Face's. */
function cut(config: LlamaConfig, fused: Map<string, Float32Array>): Map<string, Float32Array> {
  const out = new Map<string, Float32Array>();
  for (const v of listHfViews(config)) {
    const width = v.shape.length === 2 ? v.shape[1] : 1;
    out.set(v.hf, (fused.get(v.parameter) as Float32Array).subarray(v.row * width, v.row * width + sizeOf(v.shape)));
  }
  return out;
}

async function readAll(session: Session, config: LlamaConfig, name: (n: string) => string): Promise<Map<string, Float32Array>> {
  const fused = new Map<string, Float32Array>();
  for (const p of listParameters(config)) fused.set(p.name, (await session.readState(name(p.name))) as Float32Array);
  return cut(config, fused);
}

describe.each(index.cases)('%s', (name) => {
  const config = parseConfig(read(`${name}/config.json`));
  const fixture = read(`${name}/case.json`);

  test('config in either spelling is the same model', () => {
    const { extra: _a, ...a } = config;
    const { extra: _b, ...b } = parseConfig(read(`${name}/config.v5.json`));
    expect(b).toEqual(a);
  });

  test('logits', async () => {
    const weights = fuse(config, await tensors(`${name}/model.safetensors`));
    const states = new States();
    declareModel(states, config, { precision: 'f32', train: null });
    states.freeze(device.facts);
    const g = new Graph(states);
    const B = fixture.batch;
    const T = fixture.tokens;
    const leaves = { ids: g.data('ids', [B, T], 'u32'), positions: g.data('positions', [B, T], 'u32'), ranges: g.data('ranges', [B, T, 4], 'u32') };
    const hidden = llamaHidden(g, config, leaves, { precision: 'f32', capacity: T });
    const logits = matmul(view(hidden, [B * T, config.hiddenSize]), weight(g, headParameter(config)), { transposeB: true });
    const session = new Session(device, { main: planGraph(g, { facts: device.facts, outputs: { logits } }) });
    for (const [key, values] of weights) session.writeState(key, values);
    const { ids, positions, ranges } = makeFeeds(config, fixture.inputIds, fixture.targets);
    session.programs.main.run({ ids, positions, ranges });
    const found = await session.programs.main.read();
    session.destroy();
    compare('logits', () => found.logits as Float32Array, await tensors(`${name}/logits.safetensors`), SHARP);
  });

  test.each(['none', 'layer', 'selective'] as const)('loss, gradients and ten steps, recompute %s', async (policy) => {
    const weights = fuse(config, await tensors(`${name}/model.safetensors`));
    const { training } = fixture;
    const setup = setupOf(config, fixture.batch, fixture.tokens, policy, training);
    const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
    await stepper.start(async (key) => weights.get(key) as Float32Array);
    const first = makeFeeds(config, fixture.inputIds, fixture.targets);
    const evaluated = await stepper.evaluate([first]);
    expect(Math.abs(evaluated.nll / evaluated.labels - fixture.loss) / fixture.loss).toBeLessThanOrEqual(SHARP);

    // Gradients of one micro, before any update zeroes them.
    stepper.accumulate(first, 1 / first.tokens);
    const gradients = await readAll(stepper.session, config, gradName);
    compare('gradient', (key) => gradients.get(key) as Float32Array, await tensors(`${name}/gradients.safetensors`), SHARP);
    stepper.session.clearKind('grad');
    await stepper.start(async (key) => weights.get(key) as Float32Array);

    for (let s = 0; s < training.batches.length; s++) {
      const { inputIds, targets } = training.batches[s];
      stepper.step([makeFeeds(config, inputIds, targets)], training.learningRates[s]);
    }
    const { records } = await stepper.records();
    records.forEach((r, s) => {
      expect(Math.abs(r.lossSum / r.tokens - training.losses[s]) / training.losses[s]).toBeLessThanOrEqual(SHARP);
      expect(Math.abs(r.gradNorm - training.gradNorms[s]) / training.gradNorms[s]).toBeLessThanOrEqual(SHARP);
      expect(r.skipped).toBe(false);
    });
    const found = await readAll(stepper.session, config, (n) => n);
    const trained = await tensors(`${name}/trained.safetensors`);
    compare('trained', (key) => found.get(key) as Float32Array, trained, TOLERANCE);
    const before = cut(config, weights);
    const change = (after: Float32Array, key: string) => after.map((x, i) => x - (before.get(key) as Float32Array)[i]);
    const wantedChange = new Map([...trained].map(([key, after]) => [key, change(after, key)]));
    compare('update', (key) => change(found.get(key) as Float32Array, key), wantedChange, UPDATE_TOLERANCE);
    device.check();
    stepper.destroy();
  });
});

test("decay on every tensor, the original's way", async () => {
  const config = parseConfig(read('llama-linear/config.json'));
  const { training, batch, tokens: T } = read('llama-linear/case.json');
  const weights = fuse(config, await tensors('llama-linear/model.safetensors'));
  const setup: TrainSetup = { ...setupOf(config, batch, T, 'none', training), decayAll: true };
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  await stepper.start(async (key) => weights.get(key) as Float32Array);
  for (const [s, { inputIds, targets }] of training.batches.entries()) stepper.step([makeFeeds(config, inputIds, targets)], training.learningRates[s]);
  const found = await readAll(stepper.session, config, (n) => n);
  compare('trained', (key) => found.get(key) as Float32Array, await tensors('llama-linear/trained-decay-all.safetensors'), TOLERANCE);
  stepper.destroy();
});

describe.each(index.packed)('%s', (name) => {
  test('packed documents do not see each other', async () => {
    const fixture = read(`${name}/case.json`);
    const config = parseConfig(read(`${fixture.base}/config.json`));
    const weights = fuse(config, await tensors(`${fixture.base}/model.safetensors`));
    const setup = setupOf(config, fixture.batch, fixture.tokens, 'none');
    const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
    await stepper.start(async (key) => weights.get(key) as Float32Array);
    const lengths = fixture.inputIds.map((_: unknown, row: number) =>
      fixture.documents.filter((d: { row: number }) => d.row === row).map((d: { length: number }) => d.length),
    );
    const batch = makeFeeds(config, fixture.inputIds, fixture.targets, lengths);
    const { nll, labels } = await stepper.evaluate([batch]);
    expect(labels).toBe(fixture.counted);
    expect(Math.abs(nll / labels - fixture.loss) / fixture.loss).toBeLessThanOrEqual(SHARP);
    if (name === 'packed-tied') {
      stepper.accumulate(batch, 1 / batch.tokens);
      const gradients = await readAll(stepper.session, config, gradName);
      compare('gradient', (key) => gradients.get(key) as Float32Array, await tensors(`${name}/gradients.safetensors`), SHARP);
    }
    stepper.destroy();
  });
});
