/**
 * Watching changes nothing: a run that validates, writes samples, measures its rows and draws its report ends with the bits of
 * one that does none of it. A blown-up gradient is skipped by the guard with every bit as it was, before and after a resume.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sampleSplits } from '../../src/data/sample/index.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { gradName } from '../../src/nn/parameters.ts';
import { learnBpe } from '../../src/text/learn/scratch.ts';
import { type Tokenizer, tokenizerFromModel } from '../../src/text/tokenizer.ts';
import { prepareRunData } from '../../src/train/data.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { RowWatch } from '../../src/train/row-drift.ts';
import { Run, type RunOptions } from '../../src/train/run.ts';
import { Stepper } from '../../src/train/stepper.ts';
import type { StepReport, ValidationReport } from '../../src/train/trainer.ts';
import { hashStates } from './tiny.ts';

const STEPS = 40;
const PROMPTS = ['The capital of', '中国', `a prompt of many more words than ${'the context holds '.repeat(20)}`];
let folder = '';
let common: Omit<RunOptions, 'out' | 'resume'>;
let tokenizer: Tokenizer;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-watch-'));
  const texts = sampleSplits({ documents: 60 }).train.map((d, i) => ({ category: i % 2 === 0 ? 'even' : 'odd', text: d.target }));
  tokenizer = tokenizerFromModel(
    learnBpe(
      texts.map((t) => t.text),
      { size: 400 },
    ),
  );
  const model = makeConfig({ vocabSize: 400, hiddenSize: 32, intermediateSize: 44, numLayers: 1, numHeads: 2, maxPositions: 64 });
  common = {
    setup: { model, precision: 'f32', batch: 2, tokens: 32, recompute: 'none', clip: 1, optimizer: LLAMA_ADAMW },
    schedule: { kind: 'cosine', peak: 5e-3, warmup: 2, steps: STEPS },
    accumulate: 2,
    data: prepareRunData(tokenizer, texts, texts.slice(0, 6), { tokens: 32 }),
    tokenizer,
    seed: 4,
    validateEvery: 0,
    saveEvery: 10,
    version: 'test',
  };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const KINDS = ['param', 'weight', 'moment1', 'moment2', 'step'];

describe('a run that is watched', () => {
  test.each(['f32', 'mixed'] as const)('ends with the bits of one that is not, %s', { timeout: 120_000 }, async (precision) => {
    const end = async (more: Partial<RunOptions>) => {
      const seen: ValidationReport[] = [];
      const steps: StepReport[] = [];
      const hooks = { onValidate: (v: ValidationReport) => void seen.push(v), onStep: (r: StepReport) => void steps.push(r) };
      const run = await Run.open({ ...common, setup: { ...common.setup, precision }, out: null, resume: false, hooks, ...more });
      const result = await run.train();
      const hashes = await hashStates(run.trainer.stepper, KINDS);
      await run.close();
      return { hashes, seen, steps, result };
    };
    const plain = await end({ data: { ...common.data, types: [], validation: null } });
    const dir = join(folder, precision);
    const watched = await end({ out: dir, validateEvery: 7, prompts: PROMPTS, firstRow: 300 });
    const { 'step:types': sums, ...hashes } = watched.hashes;
    expect(sums).toBeDefined();
    expect(hashes).toEqual(plain.hashes);
    expect(watched.seen).toHaveLength(7);
    for (const v of watched.seen) {
      expect(v.samples.map((s) => s.prompt)).toEqual(PROMPTS);
      expect(Object.keys(v.byCategory)).toEqual(['even', 'odd']);
    }
    // The samples are of the weights at that step: they change as it learns.
    expect(new Set(watched.seen.map((v) => v.samples[0].text)).size).toBeGreaterThan(1);
    expect(watched.seen[0].drift).toEqual({ new: 0, old: 0 });
    const last = watched.seen[6].drift;
    expect(last?.new).toBeGreaterThan(0.01);
    expect(last?.old).toBeGreaterThan(0.01);
    expect(watched.result.sampleBytes).toBeGreaterThan(0);
    // What is told of each type adds up to the steps.
    const told = watched.steps.flatMap((r) => (r.byType ? Object.values(r.byType) : []));
    expect(told.reduce((sum, t) => sum + t.labels, 0)).toBe(watched.steps.reduce((sum, r) => sum + r.tokens, 0));
    const nats = watched.steps.reduce((sum, r) => sum + r.lossSum, 0);
    // Sums of some thousand f32 numbers in two orders.
    expect(told.reduce((sum, t) => sum + t.loss * t.labels, 0) / nats).toBeCloseTo(1, 5);
    expect(watched.steps.every((r) => r.peakShare !== null && r.peakShare > 0)).toBe(true);
    const html = readFileSync(join(dir, 'report.html'), 'utf8');
    expect(html).toContain('finished');
    expect(html).not.toContain('http-equiv="refresh"');
    expect(html).not.toContain('<script');
    for (const word of ['Training loss by category', 'even', 'Rows moved', 'What it writes', 'Share of the peak']) expect(html).toContain(word);
  });
});

test('rows that moved are told new and old apart, also where blocks of rows stand for all', { timeout: 60_000 }, async () => {
  const device = await GpuDevice.open();
  for (const [vocabSize, hiddenSize] of [
    [400, 32],
    [9000, 128],
  ]) {
    const model = makeConfig({ vocabSize, hiddenSize, intermediateSize: 16, numLayers: 1, numHeads: 1, tied: true });
    const setup: TrainSetup = { ...common.setup, model, batch: 1, tokens: 8 };
    const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
    await stepper.startFresh(3);
    const first = vocabSize - 100;
    const watch = await RowWatch.open(stepper, { seed: 3 }, first);
    expect(await watch?.measure(stepper)).toEqual({ new: 0, old: 0 });
    const rows = (await stepper.session.readState('embed')) as Float32Array;
    // Old rows shrink by a tenth, new ones grow by half: each row moves by exactly that share of its length.
    stepper.session.writeState(
      'embed',
      rows.map((x, i) => x * (i < first * hiddenSize ? 0.9 : 1.5)),
    );
    const drift = await watch?.measure(stepper);
    expect(drift?.old).toBeCloseTo(0.1, 5);
    expect(drift?.new).toBeCloseTo(0.5, 5);
    stepper.destroy();
  }
  device.destroy();
});

describe('the outlier guard', () => {
  /** A run whose gradient is blown up before the given steps; each time it gets there. */
  async function guarded(name: string, bad: readonly number[], options: { stopAt?: number; resume?: boolean; outlier?: number } = {}) {
    const { outlier = 4 } = options;
    const stop = { requested: false };
    const events: string[] = [];
    const skipped: number[] = [];
    const data = {
      ...common.data,
      open: (B: number, seed: number) => {
        const source = common.data.open(B, seed);
        return {
          ...{ state: () => source.state(), restore: (s: unknown) => source.restore(s) },
          next: () => {
            const { stepper } = run.trainer;
            if (bad.includes(stepper.attempted)) {
              const place = stepper.plans.states.place(gradName('layers.0.down'));
              stepper.session.writeBytes(place.buffer, place.offset + 40, new Uint8Array(new Float32Array([1e6]).buffer));
            }
            return source.next();
          },
        };
      },
    };
    const run: Run = await Run.open({
      ...common,
      data,
      setup: { ...common.setup, ...(outlier > 0 && { outlier }) },
      out: join(folder, name),
      resume: options.resume ?? false,
      stop,
      hooks: {
        onStep: (r) => {
          if (r.skipped) skipped.push(r.step);
          if (r.step === options.stopAt) stop.requested = true;
        },
        onEvent: (e) => void events.push(e.message),
      },
    });
    const result = await run.train();
    const hashes = await hashStates(run.trainer.stepper, KINDS);
    await run.close();
    return { hashes, skipped, events, result };
  }

  test('skips a blown-up step on the device, and exactly that one', { timeout: 60_000 }, async () => {
    const whole = await guarded('guard', [26]);
    expect(whole.skipped).toEqual([26]);
    expect(whole.result.skippedSteps).toBe(1);
    expect(whole.events.find((e) => e.includes('step 26'))).toMatch(/gradient norm of .*over its ceiling/);
    // Without the guard the clipped step is taken, and the run another one.
    const taken = await guarded('taken', [26], { outlier: 0 });
    expect(taken.skipped).toEqual([]);
    expect(taken.hashes.embed).not.toBe(whole.hashes.embed);
  });

  test('more in a row than may be bad do not stop the run', { timeout: 60_000 }, async () => {
    const { skipped, result } = await guarded('row', [24, 25, 26, 27, 28, 29]);
    expect(skipped).toEqual([24, 25, 26, 27, 28, 29]);
    expect(result.steps).toBe(STEPS);
  });

  test.each([23, 26, 29])('a run stopped at step %i and resumed ends with the same bits', { timeout: 60_000 }, async (at) => {
    const bad = [22, 27, 33];
    const whole = await guarded(`whole-${at}`, bad);
    expect(whole.skipped).toEqual(bad);
    const first = await guarded(`broken-${at}`, bad, { stopAt: at });
    expect(first.result.interrupted).toBe(true);
    const second = await guarded(`broken-${at}`, bad, { resume: true });
    expect([...first.skipped, ...second.skipped]).toEqual(bad);
    expect(second.hashes).toEqual(whole.hashes);
    const html = readFileSync(join(folder, `broken-${at}`, 'report.html'), 'utf8');
    expect(html).toContain('3 outliers');
  });
});
