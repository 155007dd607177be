/**
 * Adapters and averages by command line: a recipe trains a LoRA with a moving average and hands the average on. An adapter beside its base gives
 * what the merged folder gives, in every verb that takes a model; the average that is exported is recomputed in float64 from the weights after
 * each step.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/folders.ts';
import { importHf } from '../../src/checkpoint/hf.ts';
import { openCheckpoint } from '../../src/checkpoint/load.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { scion, scionJson } from './cli.ts';

const STEPS = 4;
const DECAY = 0.6;
const [RANK, ALPHA, HIDDEN, INNER] = [3, 5, 16, 28];

let folder = '';
const at = (name: string) => join(folder, name);
const weights = (name: string) => readFileSync(at(`${name}/model.safetensors`));

const recipe = `
seed: 3
base:
  train:
    vocab: { size: 300 }
    shape: { hidden: ${HIDDEN}, intermediate: ${INNER}, layers: 1, heads: 2, initializerRange: 0.06 }
    data: { data: [numbers.jsonl], clean: false, dedup: false, buckets: 2 }
    stage: { name: base, steps: 2, length: 32, batch: 2, schedule: { peak: 0.01 } }
data: { data: [numbers.jsonl], clean: false, dedup: false, buckets: 2 }
stages:
  - name: tune
    steps: ${STEPS}
    length: 32
    batch: 2
    learn: lora
    lora: { rank: ${RANK}, alpha: ${ALPHA}, targets: [q_proj, v_proj, down_proj] }
    schedule: { kind: constant, peak: 0.05, warmup: 0 }
    ema: ${DECAY}
    handOn: average
    save: { every: 1, keep: ${STEPS} }
`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-adapters-'));
  const records = Array.from({ length: 60 }, (_, i) => JSON.stringify({ text: `Number ${i} comes before ${i + 1}, and ${i} + 1 = ${i + 1}.` }));
  writeFileSync(at('numbers.jsonl'), `${records.join('\n')}\n`);
  writeFileSync(at('recipe.yaml'), recipe);
  const ran = await scion('node', ['run', at('recipe.yaml'), '--out', at('run'), '--workers', '1']);
  if (ran.code !== 0) throw new Error(ran.err.slice(-3000));
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const BASE = ['--model', 'run/base/model', '--adapter', 'run/adapter'];
const MERGED = ['--model', 'run/model'];
/** Arguments with the paths among them seen from the folder. */
const placed = (args: readonly string[]): string[] => args.map((word) => (word.startsWith('run/') || word.startsWith('out/') ? at(word) : word));
const ask = <T>(args: readonly string[], input?: string) => scionJson<T>('node', placed(args), input === undefined ? {} : { input });

describe('an adapter beside its base', { timeout: 120_000 }, () => {
  test('scores as the merged folder, and not as the base', async () => {
    const score = (...model: string[]) =>
      ask<{ nll: number; documents: { nll: number }[] }>(['score', ...model, '--data', at('numbers.jsonl'), '--limit', '9']);
    const [beside, merged, base] = [await score(...BASE), await score(...MERGED), await score(...BASE.slice(0, 2))];
    // Both add the same float64 products to the same f32 numbers, so nothing may differ but the order of sums on a device: found 0.
    for (const [i, { nll }] of beside.documents.entries()) expect(Math.abs(nll / merged.documents[i].nll - 1)).toBeLessThan(1e-6);
    expect(Math.abs(base.nll / merged.nll - 1)).toBeGreaterThan(1e-4);
  });

  test('says what the merged folder says', async () => {
    const generate = (...model: string[]) => ask<{ newIds: number[] }>(['generate', ...model, '--prompt', 'Number 7', '--max-new-tokens', '12', '--no-stop']);
    expect((await generate(...BASE)).newIds).toEqual((await generate(...MERGED)).newIds);
    const chat = (...model: string[]) =>
      ask<{ messages: unknown }>(
        ['chat', ...model, '--max-new-tokens', '6', '--temperature', '1', '--seed', '4', '--template', 'none', '--context', '32'],
        'one\n',
      );
    expect((await chat(...BASE)).messages).toEqual((await chat(...MERGED)).messages);
  });

  test('is exported merged', async () => {
    await ask(['export', ...BASE, '--out', 'out/merged']);
    expect(weights('out/merged').equals(weights('run/model'))).toBe(true);
  });

  test('of another model is refused by name', async () => {
    const ran = await scion('node', placed(['score', '--model', 'run/model', '--adapter', 'run/base/model', '--data', 'x']));
    expect([ran.code, ran.err]).toEqual([2, expect.stringContaining('adapter_config.json')]);
  });
});

describe('an average', { timeout: 120_000 }, () => {
  test('is exported by --ema as the recipe hands it on, and the weights without', async () => {
    await ask(['export', '--model', 'run/stages/tune', '--ema', '--out', 'out/average']);
    expect(weights('out/average').equals(weights('run/model'))).toBe(true);
    await ask(['export', '--model', 'run/stages/tune', '--out', 'out/last']);
    expect(weights('out/last').equals(weights('run/model'))).toBe(false);
  });

  test('is that of the weights after each step, with the product of the averaged factors added in', async () => {
    const saved = (await listCheckpoints(posixFiles, at('run/stages/tune/checkpoints'))).sort((a, b) => a.step - b.step);
    expect(saved.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    const averages = new Map<string, Float64Array>();
    for (const { path, step } of saved) {
      const open = await openCheckpoint(posixFiles, path);
      for (const name of ['layers.0.down.lora_a', 'layers.0.down.lora_b']) {
        const now = await open.read(name);
        const before = averages.get(name);
        // Where the average stood after the first step is test/train/average.test.ts's business.
        averages.set(name, before ? before.map((e, i) => DECAY * e + (1 - DECAY) * now[i]) : Float64Array.from(await open.readAverage(name)));
        // Else one could not tell the average from the weights.
        if (step === STEPS) expect(Math.max(...now.map((x, i) => Math.abs(x - (averages.get(name) as Float64Array)[i])))).toBeGreaterThan(1e-3);
      }
      await open.close();
    }
    const [a, b] = ['a', 'b'].map((which) => averages.get(`layers.0.down.lora_${which}`) as Float64Array);
    const [base, found, last] = await Promise.all(
      ['run/base/model', 'run/model', 'out/last'].map(async (name) => {
        const source = await importHf(posixFiles, at(name));
        const values = await source.read('layers.0.down');
        await source.close();
        return values;
      }),
    );
    let apart = 0;
    for (let o = 0; o < HIDDEN; o++) {
      for (let i = 0; i < INNER; i++) {
        let sum = 0;
        for (let k = 0; k < RANK; k++) sum += b[o * RANK + k] * a[k * INNER + i];
        const wanted = base[o * INNER + i] + (ALPHA / RANK) * sum;
        // The device rounds an average to f32 once a step: a few 6e-8 of factors below 1.
        expect(Math.abs(found[o * INNER + i] - wanted)).toBeLessThan(1e-6);
        apart = Math.max(apart, Math.abs(last[o * INNER + i] - wanted));
      }
    }
    expect(apart).toBeGreaterThan(1e-3);
  });

  test('of what keeps none is refused', async () => {
    for (const model of ['run/model', 'run/stages/base']) {
      const ran = await scion('node', placed(['export', '--model', model, '--ema', '--out', 'out/none']));
      expect([ran.code, ran.err]).toEqual([2, expect.stringMatching(/--ema goes with|kept no average/)]);
    }
  });
});
