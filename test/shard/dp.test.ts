/**
 * Data parallel and ZeRO against one device at the same global batch: 50 steps within 1e-5 of its losses, all stages the same bits
 * at the same number of ranks, every rank the same records.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GpuDevice } from '../../src/gpu/device.ts';
import type { ZeroStage } from '../../src/shard/place.ts';
import { SHARD_SETUP, type ShardResult, trainAlone, trainOnMesh, worst } from './ranks.ts';

/** The bound: another order of a sum of four micros moves losses by a few 1e-7; a gradient missed or counted twice by 1e-2 within ten steps. */
const FROM_ONE_DEVICE = 1e-5;

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

/** Four ranks in one thread take their time: the stages between are left to the full tier. */
const ALL: readonly ZeroStage[] = [0, 1, 2, 3];
const ENDS: readonly ZeroStage[] = process.env.SCION_TIER === 'full' ? ALL : [0, 3];

describe.each([
  [2, ALL],
  [4, ENDS],
] as const)('over %i ranks', (dp, stages) => {
  let alone: ShardResult;
  const found = new Map<ZeroStage, ShardResult>();
  beforeAll(async () => {
    alone = await trainAlone(device, { micros: dp });
  }, 120_000);

  test.each(stages)('ZeRO %i: 50 steps are within 1e-5 of one device, alike on all ranks', { timeout: 120_000 }, async (zero) => {
    const results = await trainOnMesh(device, { dp }, { micros: dp, zero });
    const [first, ...others] = results;
    for (const other of others) expect(other).toEqual(first);
    expect(first.records).toHaveLength(50);
    expect(first.records.map((r) => [r.tokens, r.t, r.skipped])).toEqual(alone.records.map((r) => [r.tokens, r.t, r.skipped]));
    expect(alone.losses[49]).toBeLessThan(alone.losses[0] - 0.5);
    const apart = worst(first.losses, alone.losses);
    process.stdout.write(`dp ${dp}, ZeRO ${zero}: losses of 50 steps at most ${apart.toExponential(1)} from one device\n`);
    expect(apart).toBeLessThanOrEqual(FROM_ONE_DEVICE);
    found.set(zero, first);
  });

  test('all stages give the same bits', () => {
    const plain = found.get(0);
    expect(plain).toBeDefined();
    for (const zero of stages) expect(found.get(zero), `ZeRO ${zero}`).toEqual(plain);
  });
});

test('mixed precision: ZeRO stages give the bits of plain data parallel, moments and masters too', { timeout: 120_000 }, async () => {
  const setup = { ...SHARD_SETUP, precision: 'mixed' as const };
  const results = [];
  for (const zero of [0, 1, 2, 3] as const) results.push((await trainOnMesh(device, { dp: 2 }, { setup, zero, micros: 2, steps: 12 }))[0]);
  for (const result of results) expect(result).toEqual(results[0]);
});

test('fewer micros than ranks are refused with both numbers', async () => {
  await expect(trainOnMesh(device, { dp: 2 }, { micros: 1, steps: 1 })).rejects.toThrow(/2 data-parallel ranks share 1 micros a step/);
});
