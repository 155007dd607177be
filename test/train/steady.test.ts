/**
 * What a steady step costs the host: time by Dawn's null backend, which takes commands and does nothing, so that
 * only scion's and Dawn's own work is measured; and heap and GPU objects over 1,000 steps. Times are medians of rounds,
 * the best round counts: other processes can only make a round slower.
 */
import { expect, test } from 'vitest';
import { GpuDevice } from '../../src/gpu/device.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { TINY_SETUP, tinyLoader } from './tiny.ts';

const DISPATCH_MS = 0.01;
const STEP_MS = 1;

const median = (xs: readonly number[]): number => [...xs].sort((a, b) => a - b)[xs.length >> 1];

test('a step of 20 layers costs the host at most 10 µs a dispatch and 1 ms', { timeout: 120_000 }, async () => {
  const device = await GpuDevice.open({ backend: 'null' });
  const model = makeConfig({ vocabSize: 259, hiddenSize: 64, intermediateSize: 172, numLayers: 20, numHeads: 4 });
  const setup: TrainSetup = { model, precision: 'f32', batch: 2, tokens: 48, optimizer: LLAMA_ADAMW, clip: 1, recompute: 'none' };
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  await stepper.startFresh(1);
  const batch = tinyLoader(setup).next();
  const step = () => {
    // The null backend runs no kernel, so nothing counts steps there: records are not read, the ring is not needed.
    stepper.attempted = 0;
    const start = performance.now();
    stepper.step([batch], 1e-3);
    return performance.now() - start;
  };
  step();
  step();
  await device.idle();
  const made = { ...device.created };
  step();
  const dispatches = device.created.dispatches - made.dispatches;
  const rounds: number[] = [];
  for (let r = 0; r < 7; r++) {
    const times: number[] = [];
    for (let i = 0; i < 30; i++) times.push(step());
    rounds.push(median(times));
    await device.idle();
  }
  const best = Math.min(...rounds);
  process.stdout.write(
    `host time of a step: ${best.toFixed(2)} ms for ${dispatches} dispatches (${(((best - STEP_MS) * 1000) / dispatches).toFixed(1)} µs a dispatch beyond 1 ms)\n`,
  );
  expect(dispatches).toBeGreaterThan(400);
  expect(best).toBeLessThanOrEqual(STEP_MS + DISPATCH_MS * dispatches);
  expect(device.created.buffers).toBe(made.buffers);
  expect(device.created.bindGroups).toBe(made.bindGroups);
  expect(device.created.pipelines).toBe(made.pipelines);
  stepper.destroy();
  device.destroy();
});

test('1,000 steps: no new GPU objects after the second, heap growth at most 2 %', { timeout: 180_000 }, async () => {
  const collect = globalThis.gc;
  if (!collect) throw new Error('run with --expose-gc');
  const device = await GpuDevice.open();
  const setup: TrainSetup = {
    ...TINY_SETUP,
    model: makeConfig({ vocabSize: 259, hiddenSize: 16, intermediateSize: 20, numLayers: 1, numHeads: 1 }),
    batch: 1,
    tokens: 32,
  };
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  await stepper.startFresh(1);
  const loader = tinyLoader(setup);
  const run = async (steps: number) => {
    for (let s = 1; s <= steps; s++) {
      stepper.step([loader.next()], 1e-3);
      if (s % 25 === 0) await stepper.records();
    }
    await stepper.records();
  };
  const heap = async () => {
    for (let i = 0; i < 3; i++) {
      collect();
      await new Promise((done) => setTimeout(done, 20));
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  await run(2);
  const made = { ...device.created };
  // Code is compiled and caches fill during the first steps; growth counts from there.
  await run(100);
  const before = await heap();
  await run(1000);
  const after = await heap();
  process.stdout.write(`heap over 1,000 steps: ${(before / 1e6).toFixed(2)} MB to ${(after / 1e6).toFixed(2)} MB\n`);
  expect(after / before).toBeLessThanOrEqual(1.02);
  expect(device.created.buffers).toBe(made.buffers);
  expect(device.created.bindGroups).toBe(made.bindGroups);
  expect(device.created.pipelines).toBe(made.pipelines);
  stepper.destroy();
  device.destroy();
});
