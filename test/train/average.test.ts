/**
 * The moving average of trained weights against float64 by hand from the weights after each step: only what learns has one, a
 * skipped step does not count, and frozen rows keep their bits in it.
 */
import { expect, test } from 'vitest';
import { GpuDevice } from '../../src/gpu/device.ts';
import { listParameters } from '../../src/nn/parameters.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { normError } from '../runtime/case.ts';
import { TINY_SETUP, tinyLoader } from './tiny.ts';

const DECAY = 0.8;

test.each(['f32', 'mixed'] as const)('%s: an average of the weights after each good step', async (precision) => {
  const device = await GpuDevice.open();
  const lora = { rank: 2, alpha: 4, dropout: 0, targets: ['o_proj'], init: 'kaiming' as const };
  const setup: TrainSetup = {
    ...TINY_SETUP,
    precision,
    ema: DECAY,
    lora,
    trainable: { parameters: ['lm_head.weight', 'model.layers.0.self_attn.q_proj.weight'] },
  };
  const plans = planTraining(setup, device.facts);
  const names = plans.states.all().flatMap((s) => (s.kind === 'grad' ? [s.name.slice(5)] : []));
  expect(names).toEqual(['layers.0.qkv', 'head', 'layers.0.o.lora_a', 'layers.0.o.lora_b', 'layers.1.o.lora_a', 'layers.1.o.lora_b']);
  expect(plans.states.all().flatMap((s) => (s.kind === 'ema' ? [s.name.slice(4)] : []))).toEqual(names);
  const stepper = new Stepper(device, setup, plans);
  await stepper.startFresh(2);
  const read = async (average: boolean) => {
    const out = new Map<string, Float32Array>();
    for (const n of names) out.set(n, await stepper.readParameter(n, { average }));
    return out;
  };
  const start = await read(false);
  expect(await read(true)).toEqual(start);
  const wanted = new Map([...start].map(([n, x]) => [n, Float64Array.from(x)]));
  const loader = tinyLoader(setup);
  for (let s = 0; s < 4; s++) {
    if (s === 2) {
      const poisoned = (await stepper.session.readState('grad:head')) as Float32Array;
      poisoned[7] = Number.NaN;
      stepper.session.writeState('grad:head', poisoned);
    }
    stepper.step([loader.next()], 0.02);
    await stepper.records();
    if (s === 2) continue;
    for (const [n, x] of await read(false))
      wanted.set(
        n,
        (wanted.get(n) as Float64Array).map((e, i) => DECAY * e + (1 - DECAY) * x[i]),
      );
  }
  const found = await read(true);
  // Rounded to f32 once a step.
  for (const n of names) expect(normError(found.get(n) as Float32Array, wanted.get(n) as Float64Array), n).toBeLessThan(1e-6);
  expect(normError(found.get('head') as Float32Array, start.get('head') as Float32Array)).toBeGreaterThan(1e-3);
  // Rows of k and v do not learn.
  const q = setup.model.numHeads * setup.model.headSize * setup.model.hiddenSize;
  expect(found.get('layers.0.qkv')?.subarray(q)).toEqual(start.get('layers.0.qkv')?.subarray(q));
  // What does not learn has no average and is given as it is.
  const other = listParameters(setup.model).find((p) => p.name === 'norm');
  expect(await stepper.readParameter(other?.name ?? '', { average: true })).toEqual(await stepper.readParameter('norm'));
  stepper.destroy();
  device.destroy();
});
