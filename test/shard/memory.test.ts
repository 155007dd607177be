/** Bytes by rank: planned without a device, 1/N of what a ZeRO stage shares out, and exactly what a rank then allocates. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BLOCK, shardBounds } from '../../src/comm/collectives.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { assumedFacts } from '../../src/gpu/facts.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { ONE_RANK, openMesh } from '../../src/shard/mesh.ts';
import { cutOf, type ZeroStage } from '../../src/shard/place.ts';
import { NORM_BLOCK } from '../../src/tensor/ops/step_state.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { RankStepper } from '../../src/train/rank-stepper.ts';
import { onRanks } from './on-ranks.ts';
import { SHARD_SETUP } from './ranks.ts';

/** 17 million parameters: 4,200 blocks, so that a block more or less on a rank is no 2 %. */
const LARGER: TrainSetup = {
  ...SHARD_SETUP,
  model: makeConfig({ vocabSize: 8192, hiddenSize: 512, intermediateSize: 1376, numLayers: 4, numHeads: 8, numKvHeads: 8 }),
  tokens: 32,
};

const planOf = (setup: TrainSetup, dp: number, rank: number, zero: ZeroStage) =>
  planTraining(setup, assumedFacts(), { shape: { ...ONE_RANK, dp }, rank, zero });

describe('what a rank plans', () => {
  const whole = planTraining(LARGER, assumedFacts()).memory.states;
  it.each([
    [1, ['moment1', 'moment2']],
    [2, ['moment1', 'moment2', 'grad']],
    [3, ['moment1', 'moment2', 'grad', 'param']],
  ] as const)('ZeRO %i shares out %j in equal parts, the rest is whole', (zero, cut) => {
    for (const dp of [2, 8]) {
      for (const rank of [0, dp - 1]) {
        const { states } = planOf(LARGER, dp, rank, zero).memory;
        for (const kind of ['param', 'grad', 'moment1', 'moment2']) {
          const part = states[kind] / whole[kind];
          if ((cut as readonly string[]).includes(kind)) expect(Math.abs(part * dp - 1), `${kind} of rank ${rank} of ${dp}`).toBeLessThan(0.02);
          else expect(part).toBe(1);
        }
      }
    }
  });

  it('with 16-bit weights shares out the f32 masters from stage 1 on', () => {
    const mixed = { ...LARGER, precision: 'mixed' as const };
    const alone = planTraining(mixed, assumedFacts()).memory.states;
    const { states } = planOf(mixed, 4, 1, 1).memory;
    expect(Math.abs((states.param / alone.param) * 4 - 1)).toBeLessThan(0.02);
    expect(states.weight).toBe(alone.weight);
  });

  it('cuts every state completely, without overlap, on blocks of the norm', () => {
    expect(BLOCK).toBe(NORM_BLOCK);
    expect(shardBounds(9000, 2)).toEqual([0, 8192, 9000]);
    expect(shardBounds(100, 4)).toEqual([0, 100, 100, 100, 100]);
    const { states } = planOf(SHARD_SETUP, 4, 2, 3);
    for (const spec of states.all()) {
      const { at, runs } = cutOf(states, spec.name, 4);
      const size = spec.shape.reduce((n, d) => n * d, 1);
      expect(runs.reduce((n, r) => n + r.to - r.from, 0)).toBe(size);
      runs.forEach((r, i) => {
        expect(r.from).toBe(i === 0 ? 0 : runs[i - 1].to);
        if (i > 0) expect((at + r.from) % BLOCK).toBe(0);
      });
    }
  });
});

describe('what a rank allocates', () => {
  let device: GpuDevice;
  beforeAll(async () => {
    device = await GpuDevice.open();
  });
  afterAll(() => device.destroy());

  it.each([0, 1, 2, 3] as const)('is what was planned, ZeRO %i', async (zero) => {
    const shape = { ...ONE_RANK, dp: 3 };
    const before = device.liveBytes;
    const ranks = await onRanks(3, async (world) => {
      const plans = planTraining(SHARD_SETUP, device.facts, { shape, rank: world.rank, zero });
      const stepper = new RankStepper(device, SHARD_SETUP, plans, await openMesh(shape, world));
      await world.barrier();
      return { stepper, planned: plans.memory.total };
    });
    expect(device.liveBytes - before).toBe(ranks.reduce((sum, r) => sum + r.planned, 0));
    for (const { stepper } of ranks) stepper.destroy();
    expect(device.liveBytes).toBe(before);
  });
});
