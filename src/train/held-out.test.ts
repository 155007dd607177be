/**
 * The validation side: the choice of texts (bounded, by hash, whatever their order), and losses by category against the same
 * texts measured category by category, each in packs of its own.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sampleSplits } from '../data/sample/index.ts';
import { GpuDevice } from '../gpu/device.ts';
import { makeConfig } from '../nn/config.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { type Tokenizer, tokenizerFromModel } from '../text/tokenizer.ts';
import { numberTypes, prepareHeldOut, prepareRunData } from './data.ts';
import { affordableBytes, balancedInterval, bytesOf, chooseByHash, evaluateHeldOut, heldOutBytes } from './held-out.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from './programs.ts';
import { Stepper } from './stepper.ts';

describe('the choice of held-out texts', () => {
  const texts = Array.from({ length: 200 }, (_, i) => `text number ${i} ${'é'.repeat(i % 7)}`);

  test('is the same whatever the order of the texts, and stays within its bytes', () => {
    const chosen = chooseByHash(texts, { bytes: 500 });
    expect(bytesOf(chosen)).toBeLessThanOrEqual(500);
    // No text is as long as 40 bytes, so less than that may be left over.
    expect(bytesOf(chosen)).toBeGreaterThan(460);
    expect(chooseByHash([...texts].reverse(), { bytes: 500 }).sort()).toEqual([...chosen].sort());
    expect(chosen).toEqual(texts.filter((t) => chosen.includes(t)));
    expect(chooseByHash(texts, { documents: 3 })).toHaveLength(3);
    expect(chooseByHash(texts, {})).toEqual(texts);
  });

  test('cuts a first text that is too long, never inside a character', () => {
    expect(chooseByHash(['ééé'], { bytes: 5 })).toEqual(['éé']);
    expect(chooseByHash(['😀😀'], { bytes: 5 })).toEqual(['😀']);
    expect(chooseByHash(['😀😀'], { bytes: 1 })).toEqual(['😀']);
    expect(() => chooseByHash(texts, { bytes: 0 })).toThrow(/at least 1/);
  });

  test('more categories than the device tells apart: the smallest are others', () => {
    const many = Array.from({ length: 70 }, (_, i) => ({ category: `c${i}`, tokens: (i * 37) % 70 }));
    const { types, numbers } = numberTypes(many);
    expect(types).toHaveLength(64);
    expect(types[63]).toBe('others');
    expect(numbers.filter((n) => n === 63)).toHaveLength(7);
    many.forEach(({ category, tokens }, i) => {
      expect(numbers[i] === 63).toBe(tokens < 7);
      if (numbers[i] < 63) expect(types[numbers[i]]).toBe(category);
    });
  });
});

describe('losses by category', () => {
  let device: GpuDevice;
  let stepper: Stepper;
  let tokenizer: Tokenizer;
  let setup: TrainSetup;
  const documents = sampleSplits({ documents: 40 }).train.map((d, i) => ({ category: `kind ${i % 3}`, text: d.target }));
  beforeAll(async () => {
    device = await GpuDevice.open();
    tokenizer = tokenizerFromModel(
      learnBpe(
        documents.map((d) => d.text),
        { size: 400 },
      ),
    );
    setup = {
      model: makeConfig({ vocabSize: 400, hiddenSize: 16, intermediateSize: 20, numLayers: 1, numHeads: 1 }),
      precision: 'f32',
      batch: 3,
      tokens: 40,
      optimizer: LLAMA_ADAMW,
      clip: 1,
      recompute: 'none',
      lossTypes: 3,
    };
    stepper = new Stepper(device, setup, planTraining(setup, device.facts));
    await stepper.startFresh(5);
  });
  afterAll(() => {
    stepper.destroy();
    device.destroy();
  });

  test('are those of each category alone, and the total is weighted by labels and bytes', async () => {
    const held = prepareHeldOut(tokenizer, documents, { tokens: 40 });
    expect(held.sets.map((s) => s.category)).toEqual(['kind 0', 'kind 1', 'kind 2']);
    const found = await evaluateHeldOut(stepper, held);
    let nll = 0;
    let labels = 0;
    for (const set of held.sets) {
      const alone = await evaluateHeldOut(stepper, { sets: [set] });
      // The same packs stand in other rows of other batches: matmul blocks differ, a rounding or two.
      expect(found.byCategory[set.category].loss / alone.loss).toBeCloseTo(1, 6);
      expect(found.byCategory[set.category].bitsPerByte / alone.bitsPerByte).toBeCloseTo(1, 6);
      const count = set.packs.reduce((sum, p) => sum + p.labelCount, 0);
      nll += alone.loss * count;
      labels += count;
    }
    expect(found.loss).toBeCloseTo(nll / labels, 5);
    expect(found.bitsPerByte).toBeCloseTo(nll / Math.LN2 / heldOutBytes(held), 5);
    expect(heldOutBytes(held)).toBe(bytesOf(documents));
  });

  test('of training steps, summed on the device, are those of the steps’ own tokens', async () => {
    const data = prepareRunData(tokenizer, documents, documents.slice(0, 3), { tokens: 40 });
    expect(data.types).toEqual(['kind 0', 'kind 1', 'kind 2']);
    const source = data.open(3, 9);
    // Rate 0: weights stay, so what the evaluation says of the same batches is what training saw.
    const batches = [await source.next(), await source.next(), await source.next()];
    stepper.step([batches[0], batches[1]], 0);
    stepper.step([batches[2]], 0);
    const { records, types } = await stepper.records();
    const wanted = [0, 1, 2].map(() => ({ nll: 0, labels: 0 }));
    for (const batch of batches) {
      const losses = await stepper.losses(batch);
      batch.labels.forEach((label, i) => {
        const type = batch.types?.[i] ?? -1;
        wanted[type].nll += losses[i];
        if (label >= 0) wanted[type].labels++;
      });
    }
    expect(types?.map((t) => t.labels)).toEqual(wanted.map((t) => t.labels));
    // f32 sums of some hundred numbers in another order.
    for (const [i, t] of (types ?? []).entries()) expect(t.nll / wanted[i].nll).toBeCloseTo(1, 5);
    expect(types?.reduce((sum, t) => sum + t.labels, 0)).toBe(records.reduce((sum, r) => sum + r.tokens, 0));
    expect(new Set(wanted.map((t) => t.labels > 0))).toEqual(new Set([true]));
    // Read is reset.
    stepper.step([batches[2]], 0);
    const again = await stepper.records();
    expect(again.types?.reduce((sum, t) => sum + t.labels, 0)).toBe(batches[2].tokens);
  });

  test('cost nothing where there is one type: the plan is that of before', () => {
    const { lossTypes: _, ...plain } = setup;
    const off = planTraining(plain, device.facts);
    const on = stepper.plans;
    expect(on.plans.micro.commands.length - off.plans.micro.commands.length).toBe(1);
    expect(on.plans.update.commands.length).toBe(off.plans.update.commands.length);
    expect(off.plans.micro.data.map((d) => d.name)).not.toContain('types');
    expect(off.states.get('step:types')).toBeUndefined();
    const one = prepareRunData(
      tokenizer,
      documents.map((d) => d.text),
      ['a b c'],
      { tokens: 40 },
    );
    expect(one.types).toEqual(['text']);
    expect(one.train[0].types).toBeUndefined();
  });

  test('the interval between validations keeps them at 1.2 % of the arithmetic', () => {
    const held = prepareHeldOut(tokenizer, documents, { tokens: 40 });
    const { micro, update, evaluate } = stepper.plans.plans;
    const packs = held.sets.reduce((sum, s) => sum + s.packs.length, 0);
    const every = balancedInterval(stepper.plans, 1, 3, { sets: [...held.sets, ...held.sets, ...held.sets, ...held.sets] });
    expect(every).toBeGreaterThan(100);
    expect((Math.ceil((4 * packs) / 3) * evaluate.flops) / (every * (micro.flops + update.flops))).toBeCloseTo(0.012, 3);
    expect(affordableBytes(1e6, 1)).toBe(36_000);
    expect(affordableBytes(1e6, 3)).toBe(12_000);
    expect(affordableBytes(1e9, 3)).toBe(65_536);
    expect(affordableBytes(1e3, 3)).toBe(2048);
    expect(balancedInterval(stepper.plans, 1000, 3, held)).toBe(100);
  });
});
