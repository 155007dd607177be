/**
 * Resume on a real device: ten steps in one go, and five, a checkpoint, another session, five more. Parameters,
 * 16-bit weights, moments and step state must be the same bits; and the 16-bit weights that loading makes must be those
 * that the device made.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { loadLatest, openCheckpoint } from '../../src/checkpoint/load.ts';
import { saveCheckpoint } from '../../src/checkpoint/save.ts';
import type { Batch } from '../../src/data/loader.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { attentionRanges } from '../../src/nn/llama.ts';
import { loraParameters } from '../../src/nn/lora.ts';
import { listParameters } from '../../src/nn/parameters.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';

const [B, T] = [2, 12];
const config = makeConfig({ vocabSize: 37, hiddenSize: 16, intermediateSize: 20, numLayers: 2, numHeads: 2, numKvHeads: 1 });

let device: GpuDevice;
let folder = '';
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-'));
  device = await GpuDevice.open();
});
afterAll(() => {
  device.destroy();
  rmSync(folder, { recursive: true });
});

/** The batch of a step: a function of its number, as a resumed loader gives it again. */
function batchOf(step: number): Batch {
  const random = new Random(11, step);
  const ids = Uint32Array.from({ length: B * T }, () => Math.floor(random.uniform() * config.vocabSize));
  const ranges = new Uint32Array(B * T * 4);
  for (let b = 0; b < B; b++) ranges.set(attentionRanges(T, [T], 0), b * T * 4);
  const labels = Int32Array.from(ids, (_, i) => (i % T === T - 1 ? -100 : ids[i + 1]));
  return { ids, labels, positions: Uint32Array.from(ids, (_, i) => i % T), ranges, tokens: B * (T - 1), used: B * T, epoch: 0 };
}

const plain: TrainSetup = { model: config, precision: 'f32', batch: B, tokens: T, optimizer: LLAMA_ADAMW, clip: 1, recompute: 'none' };
const files = ['param', 'moment1', 'moment2', 'step'];
const setups: Readonly<Record<string, { readonly setup: TrainSetup; readonly files: readonly string[] }>> = {
  f32: { setup: plain, files },
  mixed: { setup: { ...plain, precision: 'mixed' }, files },
  // What draws random numbers must draw after the break what it would have drawn; frozen 16-bit weights are in the checkpoint as they are.
  'everything at once': {
    setup: {
      ...plain,
      precision: 'mixed',
      trainable: { parameters: 'rows', firstRow: 30 },
      lora: { rank: 3, alpha: 6, dropout: 0.2, targets: ['q_proj', 'v_proj', 'down_proj', 'embed_tokens', 'lm_head'], init: 'kaiming' },
      neftune: 5,
      ema: 0.9,
      seed: 12,
    },
    files: ['param', 'weight', 'moment1', 'moment2', 'ema', 'step'],
  },
};

function stepperOf(setup: TrainSetup): Stepper {
  return new Stepper(device, setup, planTraining(setup, device.facts));
}

const run = (stepper: Stepper, from: number, to: number) => {
  for (let s = from; s < to; s++) stepper.step([batchOf(2 * s), batchOf(2 * s + 1)], 1e-2 / (s + 1));
};

/** Every state's bytes, in text. */
async function image(stepper: Stepper): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const spec of stepper.plans.states.all()) {
    const { buffer, offset, bytes } = stepper.plans.states.place(spec.name);
    out[spec.name] = Buffer.from(await stepper.session.readBytes(buffer, offset, bytes)).toString('base64');
  }
  return out;
}

describe.each(Object.keys(setups))('%s', (name) => {
  const { setup, files: kept } = setups[name];
  it('is equal to the bit to a run without a break', async () => {
    const dir = join(folder, name);
    const whole = stepperOf(setup);
    await whole.startFresh(3);
    run(whole, 0, 10);
    await whole.records();
    const wanted = await image(whole);
    whole.destroy();

    const first = stepperOf(setup);
    await first.startFresh(3);
    run(first, 0, 5);
    await first.records();
    const half = await image(first);
    const meta = { tokens: 0, configHash: '', version: '', adapter: device.facts.name, kernels: device.facts.choices };
    const { manifest, path } = await saveCheckpoint(posixFiles, dir, { session: first.session, states: first.plans.states, step: 5, trainer: null, meta });
    expect(manifest.files.map((f) => f.name)).toEqual([...kept.map((kind) => `${kind}.safetensors`), 'trainer.json']);
    // Without a device the checkpoint gives every parameter, frozen 16-bit ones too.
    const opened = await openCheckpoint(posixFiles, path);
    for (const p of [...listParameters(config), ...(setup.lora ? loraParameters(config, setup.lora) : [])]) {
      expect(await opened.read(p.name), p.name).toEqual(await first.readParameter(p.name));
    }
    await opened.close();
    // The save changed nothing, and the first session goes on as if it had not been.
    run(first, 5, 10);
    await first.records();
    expect(await image(first)).toEqual(wanted);
    first.destroy();

    const second = stepperOf(setup);
    await second.startFresh(99);
    run(second, 0, 1);
    await loadLatest(posixFiles, dir, { session: second.session, states: second.plans.states });
    expect(await image(second)).toEqual(half);
    await second.resumed();
    expect(second.attempted).toBe(5);
    run(second, 5, 10);
    await second.records();
    expect(await image(second)).toEqual(wanted);
    expect(wanted).not.toEqual(half);
    second.destroy();
    device.check();
  });
});
