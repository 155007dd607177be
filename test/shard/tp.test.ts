/**
 * Tensor parallel against one device: 50 steps within 1e-5 of its losses, over 2 and 4 ranks and together with dp and ZeRO; every variant of the model
 * that splits in a way of its own; what a rank holds.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GpuDevice } from '../../src/gpu/device.ts';
import { assumedFacts } from '../../src/gpu/facts.ts';
import { initialValues, listParameters } from '../../src/nn/parameters.ts';
import { ONE_RANK, openMesh } from '../../src/shard/mesh.ts';
import { configOfRank, cutPart, partOf, pastePart, vocabBounds } from '../../src/shard/split.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { RankStepper } from '../../src/train/rank-stepper.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { onRanks } from './on-ranks.ts';
import { SHARD_MODEL, SHARD_SETUP, type ShardResult, shardLoader, trainAlone, trainOnMesh, worst } from './ranks.ts';

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

const FOUR_HEADS: TrainSetup = { ...SHARD_SETUP, model: { ...SHARD_MODEL, numKvHeads: 4 } };

/** The bound. Partial products summed in another order move losses by a few 1e-7; a sum missed, or a gradient counted twice, by 1e-2. */
const FROM_ONE_DEVICE = 1e-5;

describe('50 steps', () => {
  let alone: ShardResult;
  beforeAll(async () => {
    alone = await trainAlone(device, { setup: FOUR_HEADS, micros: 2 });
  }, 120_000);

  it.each([
    [{ tp: 2 }, 0],
    [{ tp: 4 }, 0],
    [{ dp: 2, tp: 2 }, 3],
    ...(process.env.SCION_TIER === 'full'
      ? ([
          [{ dp: 2, tp: 2 }, 0],
          [{ dp: 2, tp: 2 }, 1],
          [{ dp: 2, tp: 2 }, 2],
        ] as const)
      : []),
  ] as const)('%j, ZeRO %i: within 1e-5 of one device, alike on all ranks', { timeout: 120_000 }, async (mesh, zero) => {
    const [first, ...others] = await trainOnMesh(device, mesh, { setup: FOUR_HEADS, micros: 2, zero });
    for (const other of others) expect(other).toEqual(first);
    expect(first.records.map((r) => [r.tokens, r.t, r.skipped])).toEqual(alone.records.map((r) => [r.tokens, r.t, r.skipped]));
    const apart = worst(first.losses, alone.losses);
    process.stdout.write(`${JSON.stringify(mesh)}, ZeRO ${zero}: losses of 50 steps at most ${apart.toExponential(1)} from one device\n`);
    expect(apart).toBeLessThanOrEqual(FROM_ONE_DEVICE);
  });
});

const SETUPS: Record<string, [TrainSetup, number]> = {
  'tied embedding, layers made again, z-loss': [{ ...FOUR_HEADS, model: { ...FOUR_HEADS.model, tied: true }, recompute: 'layer', zLoss: 0.001 }, 1e-5],
  'biases and norms of heads': [{ ...SHARD_SETUP, model: { ...SHARD_MODEL, qkvBias: true, qkNorm: true } }, 1e-5],
  // Activations are rounded to 16 bits at other places: 2^-11 of each, averaged over a loss.
  'mixed precision': [{ ...SHARD_SETUP, precision: 'mixed' }, 1e-3],
};

it.each(Object.entries(SETUPS))('%s: losses and gradient norms of one device', { timeout: 60_000 }, async (_, [setup, bound]) => {
  const run = { setup, steps: 8, micros: 1 };
  const alone = await trainAlone(device, run);
  const [first, other] = await trainOnMesh(device, { tp: 2 }, run);
  expect(other).toEqual(first);
  expect(worst(first.losses, alone.losses)).toBeLessThanOrEqual(bound);
  const norms = (r: ShardResult) => r.records.map((x) => x.gradNorm);
  // A gradient's norm has ten times the loss's rounding; one part left out of it shows as tens of percent.
  expect(worst(norms(first), norms(alone))).toBeLessThanOrEqual(20 * bound);
});

it('measures held-out losses as one device does', { timeout: 60_000 }, async () => {
  const batch = shardLoader(SHARD_SETUP).next();
  const alone = new Stepper(device, SHARD_SETUP, planTraining(SHARD_SETUP, device.facts));
  await alone.startFresh(7);
  const wanted = await alone.losses(batch);
  alone.destroy();
  const shape = { ...ONE_RANK, tp: 2 };
  const found = await onRanks(2, async (world) => {
    const stepper = new RankStepper(
      device,
      SHARD_SETUP,
      planTraining(SHARD_SETUP, device.facts, { shape, rank: world.rank, zero: 0 }),
      await openMesh(shape, world),
    );
    await stepper.startFresh(7);
    const losses = await stepper.losses(batch);
    const whole = await stepper.readParameter('layers.1.gate_up');
    stepper.destroy();
    return { losses, whole };
  });
  const parameter = listParameters(SHARD_MODEL).find((p) => p.name === 'layers.1.gate_up');
  for (const { losses, whole } of found) {
    expect(
      worst(
        [...losses].filter((x) => x > 0),
        [...wanted].filter((x) => x > 0),
      ),
    ).toBeLessThan(1e-5);
    expect(parameter && whole).toEqual(parameter && initialValues(parameter, 7));
  }
});

describe('parts', () => {
  it('cover every parameter once, and are as large as the rank declares them', () => {
    const model = { ...SHARD_MODEL, numKvHeads: 4, qkvBias: true, qkNorm: true };
    for (const ranks of [2, 4]) {
      for (const p of listParameters(model)) {
        const size = p.shape.reduce((a, b) => a * b, 1);
        const values = Float32Array.from({ length: size }, (_, i) => i + 1);
        const whole = new Float32Array(size);
        for (let rank = 0; rank < ranks; rank++) {
          const runs = partOf(model, p.name, size, ranks, rank);
          const own = listParameters(configOfRank(model, ranks, rank)).find((q) => q.name === p.name);
          const part = cutPart(values, runs);
          expect(part.length, `${p.name} on rank ${rank} of ${ranks}`).toBe(own?.shape.reduce((a, b) => a * b, 1));
          pastePart(whole, part, runs);
        }
        expect(whole).toEqual(values);
      }
    }
  });

  it('split a vocabulary of 69,104 rows over 2, 4, 8 ranks, and one of 97 over 4', () => {
    for (const ranks of [2, 4, 8]) expect(vocabBounds(69_104, ranks)).toEqual(Array.from({ length: ranks + 1 }, (_, r) => (69_104 / ranks) * r));
    expect(vocabBounds(97, 4)).toEqual([0, 24, 48, 72, 97]);
  });

  it('leave a rank its share of parameters, gradients and moments', () => {
    const setup = { ...FOUR_HEADS, model: { ...FOUR_HEADS.model, hiddenSize: 128, headSize: 32, intermediateSize: 344, vocabSize: 4096 } };
    const whole = planTraining(setup, assumedFacts()).memory.states;
    for (const ranks of [2, 4]) {
      const { states } = planTraining(setup, assumedFacts(), { shape: { ...ONE_RANK, tp: ranks }, rank: 1, zero: 0 }).memory;
      // Norms lie whole: 0.1 % of this model.
      for (const kind of ['param', 'grad', 'moment1', 'moment2']) expect(Math.abs((states[kind] / whole[kind]) * ranks - 1), kind).toBeLessThan(0.02);
    }
  });

  it.each([
    [{ tp: 3 }, FOUR_HEADS, /tp=3: 4 heads do not split over 3 ranks/],
    [{ tp: 4 }, SHARD_SETUP, /tp=4: 2 key\/value heads do not split over 4 ranks/],
    [{ tp: 2 }, { ...FOUR_HEADS, trainable: { parameters: 'embeddings' } } as TrainSetup, /training a part of the model and tp do not go together yet/],
    [{ pp: 2 }, FOUR_HEADS, /the mesh has pp=2; this version spreads training over dp, sp and tp/],
  ] as const)('%j is refused where it does not fit', (mesh, setup, why) => {
    expect(() => planTraining(setup, assumedFacts(), { shape: { ...ONE_RANK, ...mesh }, rank: 0, zero: 0 })).toThrow(why);
  });
});
