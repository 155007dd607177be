/**
 * Trainable sets on a device: what is frozen keeps its bits under decay and through skipped steps, what learns makes exactly the
 * step that AdamW makes by hand in float64, and the norm counts only what learns.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GpuDevice } from '../../src/gpu/device.ts';
import { listHfViews, listParameters, weightName } from '../../src/nn/parameters.ts';
import { type Trainable, type TrainedRows, trainedRows } from '../../src/nn/trainable.ts';
import { sizeOf } from '../../src/tensor/types.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { TINY_MODEL, TINY_SETUP, tinyLoader } from './tiny.ts';

const DECAY = 0.1;
const CLIP = 0.5;
const LR = 0.01;
const base: TrainSetup = { ...TINY_SETUP, clip: CLIP, decayAll: true, optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: DECAY } };
const TIED: TrainSetup = { ...base, model: { ...TINY_MODEL, tied: true } };

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

async function open(setup: TrainSetup): Promise<Stepper> {
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  await stepper.startFresh(5);
  return stepper;
}

/** Every parameter as the stepper gives it. */
async function parameters(stepper: Stepper): Promise<Map<string, Float32Array>> {
  const out = new Map<string, Float32Array>();
  for (const p of listParameters(stepper.setup.model)) out.set(p.name, await stepper.readParameter(p.name));
  return out;
}

/** Visits every element of every parameter with whether it learns. */
function each(setup: TrainSetup, rows: TrainedRows, visit: (name: string, i: number, learns: boolean) => void): void {
  for (const p of listParameters(setup.model)) {
    const width = p.shape[1] ?? 1;
    const runs = rows.get(p.name) ?? [];
    for (let i = 0; i < sizeOf(p.shape); i++) {
      const row = Math.floor(i / width);
      visit(
        p.name,
        i,
        runs.some((r) => row >= r.from && row < r.to),
      );
    }
  }
}

const sets: readonly (readonly [string, TrainSetup, Trainable])[] = [
  ['all', base, { parameters: 'all' }],
  ['embeddings', base, { parameters: 'embeddings' }],
  ['rows', base, { parameters: 'rows', firstRow: 101 }],
  ['rows of a tied table', TIED, { parameters: 'rows', firstRow: 101 }],
  ['the last row', base, { parameters: 'rows', firstRow: 258 }],
  ['parts of fused matrices, and norms', base, { parameters: ['*.self_attn.k_proj.weight', 'model.layers.1.mlp.up_proj.weight', '*norm.weight'] }],
];

describe.each(sets)('%s', (_, plain, trainable) => {
  test('one step is AdamW’s, by hand in float64, on what learns; the rest keeps its bits', async () => {
    const setup = { ...plain, trainable };
    const rows = trainedRows(setup.model, trainable);
    const batch = tinyLoader(setup).next();
    // The whole gradient comes from a run in which everything learns, which the golden tests hold to PyTorch.
    const oracle = await open(plain);
    oracle.accumulate(batch, 1 / batch.tokens);
    const gradients = new Map<string, Float32Array>();
    for (const p of listParameters(setup.model)) gradients.set(p.name, (await oracle.session.readState(`grad:${p.name}`)) as Float32Array);
    oracle.destroy();
    let squares = 0;
    each(setup, rows, (name, i, learns) => {
      if (learns) squares += (gradients.get(name) as Float32Array)[i] ** 2;
    });
    const norm = Math.sqrt(squares);
    const scale = Math.min(1, CLIP / (norm + 1e-6));

    const stepper = await open(setup);
    const before = await parameters(stepper);
    stepper.step([batch], LR);
    const { records } = await stepper.records();
    // Sums of f32 squares in blocks: a few ulp.
    expect(Math.abs(records[0].gradNorm / norm - 1)).toBeLessThan(1e-5);
    const after = await parameters(stepper);
    let error = 0;
    let size = 0;
    let moved = 0;
    each(setup, rows, (name, i, learns) => {
      const [p, next, g] = [before, after, gradients].map((m) => (m.get(name) as Float32Array)[i]);
      if (!learns) {
        if (!Object.is(p, next)) throw new Error(`${name}[${i}] does not learn, was ${p} and is ${next}`);
        return;
      }
      // First step: both bias corrections cancel the factors of the moments.
      const wanted = -LR * ((g * scale) / (Math.abs(g * scale) + 1e-8) + DECAY * p);
      error += (next - p - wanted) ** 2;
      size += wanted ** 2;
      if (next !== p) moved++;
    });
    expect(moved).toBeGreaterThan(0);
    // p is rounded to 2^-24 of itself, an update is a hundredth of it or more; Adam divides tiny gradients, whose sign noise can turn, by themselves.
    expect(Math.sqrt(error / size)).toBeLessThan(2e-3);
    stepper.destroy();
  });

  test('in mixed precision: 16-bit copies too, and what does not learn cannot spoil a step', async () => {
    const setup: TrainSetup = { ...plain, trainable, precision: 'mixed', recompute: 'layer' };
    const rows = trainedRows(setup.model, trainable);
    const stepper = await open(setup);
    const { states } = stepper.plans;
    const copies = async () => {
      const out = await parameters(stepper);
      for (const p of listParameters(setup.model)) {
        if (states.get(weightName(p.name))) out.set(`16-bit ${p.name}`, (await stepper.session.readState(weightName(p.name))) as Float32Array);
      }
      return out;
    };
    const before = await copies();
    const loader = tinyLoader(setup);
    for (let s = 0; s < 3; s++) stepper.step([loader.next(), loader.next()], LR);
    // A gradient of something that does not learn cannot spoil a step: it is not there, or zeroed before the norm.
    const part = states.all().find((s) => s.kind === 'grad' && s.group.endsWith('-part'));
    if (part && (rows.get(part.name.slice(5))?.[0].from ?? 0) > 0) {
      const poisoned = (await stepper.session.readState(part.name)) as Float32Array;
      poisoned[0] = Number.NaN;
      stepper.session.writeState(part.name, poisoned);
      stepper.step([loader.next()], LR);
    }
    const { records } = await stepper.records();
    expect(records.map((r) => r.skipped)).not.toContain(true);
    const after = await copies();
    let moved = 0;
    each(setup, rows, (name, i, learns) => {
      for (const which of [name, `16-bit ${name}`]) {
        const [p, next] = [before.get(which)?.[i], after.get(which)?.[i]];
        if (!learns && !Object.is(p, next)) throw new Error(`${which}[${i}] does not learn, was ${p} and is ${next}`);
        if (learns && p !== next) moved++;
      }
    });
    expect(moved).toBeGreaterThan(0);
    stepper.destroy();
  });
});

test('a glob over parts names whole tensors of Hugging Face', () => {
  const rows = trainedRows(TINY_MODEL, { parameters: ['*.self_attn.k_proj.weight'] });
  const view = listHfViews(TINY_MODEL).find((v) => v.hf.endsWith('layers.1.self_attn.k_proj.weight'));
  expect(rows.get('layers.1.qkv')).toEqual([{ from: view?.row, to: (view?.row ?? 0) + (view?.shape[0] ?? 0) }]);
});
