/**
 * Whole small runs on a device: what is done is not done again, what changed is, stages hand on what they should, arms share the base,
 * adapters end up in the model. What a killed run comes to is in test/faults.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { importHf } from '../checkpoint/hf.ts';
import { findLatest, openCheckpoint } from '../checkpoint/load.ts';
import { GpuDevice } from '../gpu/device.ts';
import { host } from '../host/index.ts';
import { STEP } from '../tensor/ops/step_state.ts';
import { dryRun } from './dry-run.ts';
import { sampleOf } from './mix.ts';
import { readRecipeText } from './read.ts';
import { type RecipeResult, runRecipe } from './run.ts';

const root = mkdtempSync(join(tmpdir(), 'scion-journey-'));
afterAll(() => rmSync(root, { recursive: true }));

/** Little text is looked at: what a stage hands on is asked here, not how well it learns. */
const LOOK = 'validate: { bytes: 2048 }';
const stage = (name: string, more = '', steps = 4): string =>
  `{ name: ${name}, steps: ${steps}, length: 32, batch: 2, ${LOOK}, schedule: { peak: 0.01 }${more} }`;
const recipe = (stages: readonly string[], more = '', add = 40): string => `
seed: 5
base:
  train:
    vocab: { size: 400 }
    shape: { hidden: 16, intermediate: 32, layers: 1, heads: 2, initializerRange: 0.06 }
    data: { data: [{ sample: en }], clean: false, dedup: false, buckets: 2 }
    stage: ${stage('base')}
data: { data: [{ sample: zh }, { sample: facts }], clean: false, dedup: false, buckets: 2 }
vocab: { add: ${add} }
stages:
${stages.map((one) => `  - ${one}`).join('\n')}
${more}`;

async function run(text: string, out: string): Promise<RecipeResult> {
  const machine = await host();
  const { recipe: read, file } = await readRecipeText(machine, text, root);
  return runRecipe(machine, { recipe: read, file, out: join(root, out), version: 'test', workers: 1 });
}

const readOf = async (text: string) => (await readRecipeText(await host(), text, root)).recipe;
const idsDone = (result: RecipeResult): string[] => result.steps.filter((step) => !step.skipped).map(({ id }) => id);
async function latest(out: string, name: string) {
  const { files } = await host();
  const found = await findLatest(files, join(root, out, 'stages', name, 'checkpoints'));
  if (!found) throw new Error(`${name} left no checkpoint`);
  return openCheckpoint(files, found.path);
}

describe('a recipe', { timeout: 120_000 }, () => {
  const two = [stage('inject', ', mix: { zh: 1, facts: 2 }, temperature: 0'), stage('replay', ', mix: { zh: 1 }, replay: { share: 0.5, of: [base, inject] }')];

  it('runs through, and a second time only tells what it found', async () => {
    const first = await run(recipe(two), 'a');
    expect(first.cached).toBe(false);
    expect(first.stages.map(({ name, steps }) => [name, steps])).toEqual([
      ['inject', 4],
      ['replay', 4],
    ]);
    // Half of the replay stage is old: the base's English and what the stage before learnt beside the mix.
    const mix = Object.fromEntries(first.packs.replay.categories.map(({ category, tokens }) => [category, tokens]));
    expect(Object.keys(mix).sort()).toEqual(['en', 'facts', 'zh']);
    const old = mix.en + mix.facts;
    // Whole documents are taken, so a share is met to within one of them on either side.
    expect(Math.abs(old / (old + mix.zh) - 0.5)).toBeLessThan(0.25);
    // What is replayed has weights of its own; a category that none names counts once.
    const weighed = sampleOf(
      { ...(await readOf(recipe(two))).stages[1], replay: { share: 0.5, of: ['base', 'inject'], mix: { 'fac*': 3 } } },
      ['zh'],
      ['en', 'facts'],
    );
    expect(weighed.categories).toEqual({ zh: { kind: 'new', weight: 1 }, en: { kind: 'replay', weight: 1 }, facts: { kind: 'replay', weight: 3 } });
    expect(Object.keys(first.stages[1].valBitsPerByte).sort()).toEqual(['en', 'facts', 'zh']);
    // As a run leaves it that is killed within its last write.
    writeFileSync(join(root, 'a', 'result.json.part'), '{');
    const again = await run(recipe(two), 'a');
    expect(again.cached).toBe(true);
    expect(again.stages).toEqual(first.stages);
    expect(readFileSync(join(root, 'a', 'report.html'), 'utf8')).toContain('held-out text, bits per byte');
  });

  it('does again what changed and what hangs on it, and nothing else', async () => {
    expect(idsDone(await run(recipe([two[0], stage('replay', ', mix: { zh: 1 }, replay: { share: 0.25 }')]), 'a'))).toEqual([
      'replay.packs',
      'replay',
      'export',
    ]);
    expect(idsDone(await run(recipe(two, '', 50), 'a'))).toEqual(['vocab', 'init', 'inject.packs', 'replay.packs', 'inject', 'replay', 'export']);
    // How often one looks and saves changes nothing of what comes out.
    expect(idsDone(await run(recipe([two[0].replace(LOOK, 'save: { every: 1 }, validate: { every: 2, bytes: 2048 }'), two[1]], '', 50), 'a'))).toEqual([]);
  });

  it('looks again where other questions are asked, and trains nothing for it', async () => {
    const before = await run(recipe(two, '', 50), 'a');
    const asked = await run(recipe(two, 'evaluate: { questions: [{ name: en, sample: en }], at: ends }', 50), 'a');
    // The step between the ends is looked at as well, since its wish changed; it is asked nothing.
    expect(idsDone(asked)).toEqual(['base', 'inject', 'replay']);
    expect(asked.stages.map(({ questions }) => Object.keys(questions))).toEqual([[], ['en']]);
    expect(asked.baseStage?.questions.en.n).toBeGreaterThanOrEqual(200);
    expect(asked.checkpoint).toBe(before.checkpoint);
    expect(asked.stages.map(({ curve, lastLoss }) => [curve, lastLoss])).toEqual(before.stages.map(({ curve, lastLoss }) => [curve, lastLoss]));
    expect(asked.stages[1].valBitsPerByte).toEqual(before.stages[1].valBitsPerByte);
    // How often one asks on the way is no reason to look again.
    expect(idsDone(await run(recipe(two, 'evaluate: { questions: [{ name: en, sample: en }], at: ends, every: 2 }', 50), 'a'))).toEqual([]);
  });

  it('asks on the way, every so many steps and behind the last', { timeout: 240_000 }, async () => {
    const question = (i: number) => JSON.stringify({ prompt: `${i} + 1 =`, options: [` ${i + 1}`, ` ${i}`], answer: 0 });
    writeFileSync(join(root, 'q.jsonl'), [1, 2, 3].map(question).join('\n'));
    const asked = await run(recipe([stage('only')], `evaluate: { questions: [{ name: sums, path: ${join(root, 'q.jsonl')} }], every: 3 }`), 'way');
    const found = readFileSync(join(root, 'way', 'stages', 'only', 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; step: number; scores: Record<string, { value: number; n: number }> })
      .filter(({ event }) => event === 'evaluation');
    expect(found.map(({ step }) => step)).toEqual([3, 4]);
    const { accuracy, n } = asked.stages[0].questions.sums;
    expect(found[1].scores.sums).toMatchObject({ value: accuracy, n });
  });

  it('carries moments and step count where it is asked to, and continues a schedule', async () => {
    await run(recipe([stage('one'), stage('two', ', optimizer: { carry: true }'), stage('three').replace('{ peak: 0.01 }', '{ continue: true }')]), 'b');
    const [one, two_, three] = [await latest('b', 'one'), await latest('b', 'two'), await latest('b', 'three')];
    expect([(await one.step())[STEP.t], (await two_.step())[STEP.t], (await three.step())[STEP.t]]).toEqual([4, 8, 4]);
    for (const open of [one, two_, three]) await open.close();
    const rates = (name: string): number[] =>
      readFileSync(join(root, 'b', 'stages', name, 'log.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { event: string; learningRate: number })
        .filter(({ event }) => event === 'step')
        .map(({ learningRate }) => learningRate);
    // One cosine over both: it falls on where the stage before left off.
    const both = [...rates('two'), ...rates('three')];
    expect(both.slice(1)).toEqual([...both.slice(1)].sort((a, b) => b - a));
    expect(rates('three')[0]).toBeLessThan(rates('two')[3]);
  });

  it('adds adapters into what the stage hands on, and leaves them beside', async () => {
    const text = recipe([stage('inject'), stage('tune', ', learn: lora, lora: { rank: 2, alpha: 4, targets: [q_proj, down_proj] }')]);
    const result = await run(text, 'c');
    const machine = await host();
    const { files } = machine;
    // What --dry-run says of memory is what it took.
    const device = await GpuDevice.open();
    const { recipe: read } = await readRecipeText(machine, text, root);
    const { stages: rows } = await dryRun(machine, read, { facts: device.facts, memory: null, speed: null, price: null });
    device.destroy();
    for (const [i, made] of [result.baseStage, ...result.stages].entries())
      expect(Math.abs((rows[i].bytes ?? 0) / (made?.peakBytesMeasured ?? 1) - 1), rows[i].name).toBeLessThan(0.02);
    const before = await latest('c', 'inject');
    const after = await latest('c', 'tune');
    const exported = await importHf(files, join(root, 'c', result.model));
    const [base, a, b] = [await before.read('layers.0.down'), await after.read('layers.0.down.lora_a'), await after.read('layers.0.down.lora_b')];
    expect(await after.read('layers.0.down')).toEqual(base);
    const merged = await exported.read('layers.0.down');
    const [D, F, r] = [16, 32, 2];
    let moved = 0;
    for (let o = 0; o < D; o++) {
      for (let i = 0; i < F; i++) {
        let sum = 0;
        for (let k = 0; k < r; k++) sum += b[o * r + k] * a[k * F + i];
        // alpha / rank is 2; float64 sums are rounded to f32 once.
        expect(merged[o * F + i]).toBeCloseTo(base[o * F + i] + 2 * sum, 6);
        moved = Math.max(moved, Math.abs(2 * sum));
      }
    }
    expect(moved).toBeGreaterThan(1e-5);
    expect(await exported.read('layers.0.o')).toEqual(await before.read('layers.0.o'));
    expect(JSON.parse(readFileSync(join(root, 'c', 'adapter', 'adapter_config.json'), 'utf8'))).toMatchObject({ r: 2, lora_alpha: 4 });
    for (const open of [before, after, exported]) await open.close();
  });

  it('runs arms from the same base: without replay, without pieces', async () => {
    const arms = `arms: { bare: { replay: false }, plain: { vocab: false, stages: [${stage('all', '', 3)}] } }`;
    const result = await run(recipe(two, arms), 'a');
    // The base is looked at again (no questions now), and not trained.
    expect(idsDone(result).filter((id) => !id.startsWith('bare.') && !id.startsWith('plain.'))).toEqual([
      'base',
      'vocab',
      'init',
      'inject.packs',
      'replay.packs',
      'inject',
      'replay',
      'export',
    ]);
    expect(result.arms.bare.map(({ name, steps }) => [name, steps])).toEqual([
      ['inject', 4],
      ['replay', 2],
    ]);
    expect(result.arms.plain.map(({ steps }) => steps)).toEqual([3]);
    const { files } = await host();
    const found = await findLatest(files, join(root, 'a', 'arms/plain/stages/all/checkpoints'));
    const open = await openCheckpoint(files, found?.path ?? '');
    expect((await open.read('embed')).length).toBe(400 * 16);
    await open.close();
  });

  it('does not begin where a stage needs more than the budget', async () => {
    const asked = run(`${recipe(two)}\nbudget: 200kB`, 'budget');
    const needs = /stages\.1: stage replay needs \d+ KiB, the recipe's budget is 195 KiB; /;
    await expect(asked).rejects.toMatchObject({ kind: 'memory', message: expect.stringMatching(needs) });
    expect(existsSync(join(root, 'budget'))).toBe(false);
  });

  it('refuses a folder that holds something else, and leaves it as it is', async () => {
    const machine = await host();
    const { recipe: read, file } = await readRecipeText(machine, recipe(two), root);
    await machine.files.makeDir(join(root, 'mine'));
    await machine.files.write(join(root, 'mine', 'thesis.txt'), new TextEncoder().encode('x'));
    const asked = runRecipe(machine, { recipe: read, file, out: join(root, 'mine'), version: 'test', fresh: true });
    await expect(asked).rejects.toMatchObject({ kind: 'usage', message: expect.stringContaining('thesis.txt') });
    expect(readFileSync(join(root, 'mine', 'thesis.txt'), 'utf8')).toBe('x');
  });
});
