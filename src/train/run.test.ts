/**
 * A run as a whole: questions on the way are asked when they are due and change nothing; the kernels that a checkpoint was made with are the kernels that a resume runs, whatever this
 * device would choose by itself, so that the bits at the end are those of a run without a break.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ScionError } from '../base/errors.ts';
import { sampleSplits } from '../data/sample/index.ts';
import { makeConfig } from '../nn/config.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { tokenizerFromModel } from '../text/tokenizer.ts';
import { prepareRunData } from './data.ts';
import { LLAMA_ADAMW } from './programs.ts';
import { Run, type RunOptions } from './run.ts';

const STEPS = 12;
/** Sums by trees, which a CPU adapter would not choose: another order, other bits. */
const CHOICES = { rmsnorm: 'tree', colsum: 'tree' };
let folder = '';
let common: Omit<RunOptions, 'out' | 'resume'>;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-run-'));
  const texts = sampleSplits({ documents: 30 }).train.map((d) => d.target);
  const tokenizer = tokenizerFromModel(learnBpe(texts, { size: 400 }));
  const model = makeConfig({ vocabSize: 400, hiddenSize: 32, intermediateSize: 64, numLayers: 1, numHeads: 2 });
  common = {
    setup: { model, precision: 'f32', batch: 2, tokens: 32, recompute: 'none', clip: 1, optimizer: LLAMA_ADAMW },
    schedule: { kind: 'cosine', peak: 1e-2, warmup: 1, steps: STEPS },
    accumulate: 1,
    data: prepareRunData(tokenizer, texts, texts.slice(0, 2), { tokens: 32 }),
    tokenizer,
    seed: 4,
    validateEvery: 0,
    saveEvery: 3,
    version: 'test',
  };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const weights = (path: string | null) =>
  createHash('sha256')
    .update(readFileSync(join(path ?? '', 'param.safetensors')))
    .digest('hex');

async function whole(name: string, device: RunOptions['device']): Promise<string> {
  const run = await Run.open({ ...common, out: join(folder, name), resume: false, device });
  const { checkpoint } = await run.train();
  await run.close();
  return weights(checkpoint);
}

test('a resume runs the kernels of its checkpoint', { timeout: 60_000 }, async () => {
  const usual = await whole('usual', {});
  const device = { choices: CHOICES };
  const forced = await whole('forced', device);
  // Were it the same bits, this test could not tell.
  expect(forced).not.toBe(usual);
  const stop = { requested: false };
  const hooks = {
    onStep: (r: { step: number }) => {
      if (r.step >= 2) stop.requested = true;
    },
  };
  const first = await Run.open({ ...common, out: join(folder, 'broken'), resume: false, device, stop, hooks });
  expect((await first.train()).interrupted).toBe(true);
  await first.close();
  const second = await Run.open({ ...common, out: join(folder, 'broken'), resume: true });
  expect(await second.folder?.kernels()).toEqual({ profile: second.facts.profile, choices: CHOICES });
  expect(second.facts.choices).toEqual(CHOICES);
  expect(second.firstStep).toBeGreaterThanOrEqual(3);
  expect(second.firstStep).toBeLessThan(STEPS);
  const { checkpoint } = await second.train();
  await second.close();
  expect(weights(checkpoint)).toBe(forced);
});

test('questions are asked when they are due, told in log and report, and change no bit', { timeout: 240_000 }, async () => {
  const usual = await whole('unasked', {});
  const asked: number[] = [];
  const events: string[] = [];
  const run = await Run.open({
    ...common,
    out: join(folder, 'asked'),
    resume: false,
    evaluate: {
      every: 5,
      async ask({ attempted, session }) {
        asked.push(attempted);
        // Reads what is trained, as a generator on these weights would; once it fails as a broken model does.
        const norm = await session.readState('norm');
        if (attempted === 10) throw new ScionError('numeric', 'the logits hold NaN');
        return { facts: { value: norm[0] > 0 ? 0.5 : 0, low: 0.25, high: 0.75, n: 12 } };
      },
    },
    hooks: {
      onEvaluate: ({ step, scores }) => void events.push(`${step} ${scores.facts.value}`),
      onEvent: ({ kind, step }) => void events.push(`${step} ${kind}`),
    },
  });
  const { checkpoint } = await run.train();
  await run.close();
  expect(asked).toEqual([5, 10, STEPS]);
  expect(events).toEqual(['5 0.5', '10 evaluation-failed', `${STEPS} 0.5`]);
  expect(weights(checkpoint)).toBe(usual);
  const log = readFileSync(join(folder, 'asked', 'log.jsonl'), 'utf8');
  expect(log.match(/"event":"evaluation"/g)).toHaveLength(2);
  const report = readFileSync(join(folder, 'asked', 'report.html'), 'utf8');
  expect(report).toContain('<b>Questions</b>');
  expect(report).toContain('no answers at step 10: the logits hold NaN');
});
