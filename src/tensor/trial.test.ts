/** The trials' table against the folder of kernels; a kernel that is right, wrong, endless, too large, on a device. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kernelSources } from '../../kernels/index.ts';
import { GpuDevice } from '../gpu/device.ts';
import { assumedFacts } from '../gpu/facts.ts';
import { guardLoops } from '../gpu/loop-guard.ts';
import { checkOutput, compileTrial, planTrial, runTrial } from './trial.ts';
import { settingOf, TRIALS, trialOf } from './trials/index.ts';

const copyTrial = trialOf('elementwise/copy');
const softmax = trialOf('reduce/softmax');
const SOFTMAX = kernelSources['reduce/softmax.wgsl'];
const small = { ...settingOf(softmax), sizes: { N: 5, D: 24 } };
const as = (text: string) => (path: string) => (path === 'reduce/softmax.wgsl' ? text : kernelSources[path]);
const tryText = (text: string) =>
  runTrial(softmax, small, { open: (sourceOf) => GpuDevice.open({ sourceOf }), sourceOf: as(text), guarded: (limit) => as(guardLoops(text, limit)) });

describe('trials', () => {
  test('every shipped kernel has one, and every one a kernel', () => {
    expect(TRIALS.map(({ kernel }) => `${kernel}.wgsl`).sort()).toEqual(
      Object.keys(kernelSources)
        .filter((path) => !path.startsWith('lib/'))
        .sort(),
    );
  });

  // What a tensor core needs is faked here: planning asks no device.
  const facts = assumedFacts({
    features: ['subgroups', 'shader-f16', 'subgroup-size-control', 'chromium-experimental-subgroup-matrix'],
    subgroups: { min: 4, max: 4 },
    limits: { maxComputeWorkgroupStorageSize: 32768 },
  });
  test.each(TRIALS.map((trial) => [trial.kernel, trial] as const))('%s is reached at its usual and its ugly sizes', (_, trial) => {
    for (const which of ['usual', 'ugly'] as const)
      for (const dtype of trial.dtypes ?? (['f32', 'f16'] as const)) expect(() => planTrial(trial, { ...settingOf(trial, which), dtype }, facts)).not.toThrow();
  });

  test('a gigabyte is refused with the numbers', () => {
    expect(() => planTrial(copyTrial, { sizes: { N: 16384, D: 16384 }, options: {}, dtype: 'f32' }, facts)).toThrow(
      /x \[16384, 16384\] f32 takes 1\.00 GiB.*at most 256 MiB/,
    );
  });

  test('what is off is told element by element, NaN and infinity apart', () => {
    const found = checkOutput('y', [2, 3], [1, Number.NaN, 3, 4.5, Number.POSITIVE_INFINITY, 6], [1, 2, 3, 4, 5, 6], 1e-5);
    expect(found).toMatchObject({ ok: false, error: Number.POSITIVE_INFINITY, nan: 1, infinite: 1, off: 3 });
    expect(found.mismatches.map(({ index }) => index)).toEqual([
      [0, 1],
      [1, 0],
      [1, 1],
    ]);
    expect(checkOutput('y', [2], [1, 2], [1, 2], 0).ok).toBe(true);
  });
});

describe('a text on a device', () => {
  let device: GpuDevice;
  beforeAll(async () => {
    device = await GpuDevice.open();
  });
  afterAll(() => device.destroy());

  test('right as shipped, wrong when edited', async () => {
    expect((await tryText(SOFTMAX)).ok).toBe(true);
    const wrong = await tryText(SOFTMAX.replace('/ total', '/ (total * 1.001)'));
    expect(wrong).toMatchObject({ ok: false, time: null });
    expect(wrong.checks[0].outputs[0].error).toBeCloseTo(1e-3, 5);
  });

  test('an endless loop ends', async () => {
    await expect(tryText(SOFTMAX.replace('for (; c < stop; c += ROW_STEP)', 'for (; c < stop; c += 0u)'))).rejects.toThrow(
      /a loop of reduce\/softmax\.wgsl did not end/,
    );
  });

  test('errors of the compiler and of the text processor stand at their lines', async () => {
    const line = SOFTMAX.split('\n').findIndex((one) => one.includes('let m = row_max')) + 1;
    const [first] = await compileTrial(device, softmax, small, as(SOFTMAX.replace('row_max(largest, at)', 'row_max(largest at)')));
    expect(first).toMatchObject({ file: 'reduce/softmax.wgsl', line, severity: 'error' });
    const [lost] = await compileTrial(device, softmax, small, as(`${SOFTMAX}\n#if NEVER`));
    expect(lost).toMatchObject({ file: 'reduce/softmax.wgsl', message: expect.stringContaining('never closed') });
    expect(await compileTrial(device, softmax, small, as(SOFTMAX))).toEqual([]);
  });
});
