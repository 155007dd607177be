/**
 * A hundred overflows of mixed precision at steps chosen here, by a loss scale put far too high: each is found and skipped, changes no weight, moment or
 * count, and halves the scale; none is missed and nothing else is skipped. What is left at the end is, to the bit, what a run leaves that was
 * given the other steps alone.
 */
import { expect, test } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { STEP } from '../../src/tensor/ops/step_state.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { FIRST_LOSS_SCALE, Stepper } from '../../src/train/stepper.ts';
import { TINY_SETUP, tinyLoader } from './tiny.ts';

const STEPS = 130;
const OVERFLOWS = 100;
/** 16-bit adjoints end at 65,504: seeds of this size are beyond them in every row. */
const TOO_HIGH = 2 ** 40;

const setup: TrainSetup = {
  ...TINY_SETUP,
  model: makeConfig({ vocabSize: TINY_SETUP.model.vocabSize, hiddenSize: 16, intermediateSize: 21, numLayers: 1, numHeads: 2, numKvHeads: 1 }),
  precision: 'mixed',
  batch: 1,
  tokens: 32,
  growthInterval: STEPS + 1,
  ema: 0.9,
};

/** Bytes of every buffer of parameters, 16-bit copies, moments, averages and gradients, as the device holds them. */
async function held(stepper: Stepper): Promise<Record<string, Uint8Array>> {
  const out: Record<string, Uint8Array> = {};
  for (const { key, kind, bytes } of stepper.plans.states.buffers()) if (kind !== 'step') out[key] = await stepper.session.readBytes(key, 0, bytes);
  return out;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** What the device holds of the step: scale, good steps so far, skipped steps. */
async function stateOf(stepper: Stepper): Promise<{ words: Uint32Array; scale: number; t: number; skipped: number }> {
  const words = (await stepper.session.readState('step')) as Uint32Array;
  return { words, scale: new Float32Array(words.buffer, words.byteOffset)[STEP.lossScale], t: words[STEP.t], skipped: words[STEP.skipped] };
}

function setScale(stepper: Stepper, words: Uint32Array, scale: number): void {
  const changed = words.slice();
  new Float32Array(changed.buffer)[STEP.lossScale] = scale;
  stepper.session.writeState('step', changed);
}

test('a hundred overflows are each skipped and rescaled, none missed', { timeout: 180_000 }, async () => {
  const device = await GpuDevice.open();
  const random = new Random(5, 1);
  const chosen = new Set(random.shuffle(Array.from({ length: STEPS }, (_, s) => s)).slice(0, OVERFLOWS));
  const [disturbed, plain] = [0, 1].map(() => new Stepper(device, setup, planTraining(setup, device.facts)));
  for (const stepper of [disturbed, plain]) await stepper.startFresh(3);
  const loader = tinyLoader(setup);
  let before = await held(disturbed);
  let good = 0;
  for (let s = 0; s < STEPS; s++) {
    const batch = loader.next();
    const bad = chosen.has(s);
    if (bad) setScale(disturbed, (await stateOf(disturbed)).words, TOO_HIGH);
    disturbed.step([batch], 1e-3);
    const { records } = await disturbed.records();
    expect(records).toHaveLength(1);
    expect(records[0], `step ${s}`).toMatchObject({ step: s, skipped: bad, outlier: false, lossScale: bad ? TOO_HIGH : FIRST_LOSS_SCALE });
    const after = await held(disturbed);
    const state = await stateOf(disturbed);
    if (bad) {
      for (const key of Object.keys(before)) expect(same(after[key], before[key]), `step ${s}, ${key}`).toBe(true);
      expect(state.scale).toBe(TOO_HIGH / 2);
      setScale(disturbed, state.words, FIRST_LOSS_SCALE);
    } else {
      good++;
      // Gradients are zero between steps; all else moves.
      for (const key of Object.keys(before)) if (!key.startsWith('grad')) expect(same(after[key], before[key]), `step ${s}, ${key}`).toBe(false);
      plain.step([batch], 1e-3);
      await plain.records();
    }
    expect([state.t, state.skipped]).toEqual([good, s + 1 - good]);
    before = after;
  }
  expect(good).toBe(STEPS - OVERFLOWS);
  expect((await stateOf(disturbed)).skipped).toBe(OVERFLOWS);
  expect((await stateOf(plain)).skipped).toBe(0);
  const wanted = await held(plain);
  for (const key of Object.keys(wanted)) expect(same(before[key], wanted[key]), key).toBe(true);
  for (const stepper of [disturbed, plain]) stepper.destroy();
  device.destroy();
});
