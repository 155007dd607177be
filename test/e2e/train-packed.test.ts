/**
 * Training from a folder of packed data: the command finds tokenizer and pack length there, and a run that was stopped between
 * buckets goes on to the very weights of a run without a break.
 */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPacked, packShards } from '../../src/data/packed/index.ts';
import { sampleSplits } from '../../src/data/sample/index.ts';
import { host } from '../../src/host/index.ts';
import { configToJson, makeConfig } from '../../src/nn/config.ts';
import { learnBpe } from '../../src/text/learn/scratch.ts';
import { loadTokenizer, tokenizerFromModel } from '../../src/text/tokenizer.ts';
import { packedRunData } from '../../src/train/data.ts';
import { LLAMA_ADAMW } from '../../src/train/programs.ts';
import { Run, type RunOptions } from '../../src/train/run.ts';
import { scion, scionJson } from './cli.ts';

const T = 48;
const STEPS = 14;
let dir = '';
const at = (name: string): string => join(dir, name);
const model = makeConfig({ vocabSize: 400, hiddenSize: 32, intermediateSize: 64, numLayers: 1, numHeads: 2 });

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'scion-packed-'));
  const docs = sampleSplits({ documents: 60 })
    .train.slice(0, 14)
    .map((d) => ({ ...d, target: d.target.slice(0, 60) }));
  const tokenizer = tokenizerFromModel(
    learnBpe(
      docs.map((d) => d.target),
      { size: 400 },
    ),
  );
  writeFileSync(at('docs.jsonl'), docs.map((d) => `${JSON.stringify({ id: d.id, category: d.category, target: d.target })}\n`).join(''));
  await packShards(await host(), { shards: [at('docs.jsonl')], tokenizer, T, buckets: 3, scratch: at('work'), out: at('packed') });
  writeFileSync(at('config.json'), JSON.stringify(configToJson(model)));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('the command trains on it and validates on texts', { timeout: 120_000 }, async () => {
  const args = ['train', '--config', at('config.json'), '--data', at('packed'), '--steps', '4', '--batch', '2'];
  const plain = await scionJson<{ steps: number; lastLoss: number; valBitsPerByteLast: number | null }>('node', [...args, '--out', at('cli')]);
  expect(plain).toMatchObject({ steps: 4, valBitsPerByteLast: null });
  expect(Number.isFinite(plain.lastLoss)).toBe(true);
  const held = await scionJson<{ valBitsPerByteLast: number; valBitsPerByte: Record<string, number> }>('node', [
    ...args,
    '--validation',
    at('docs.jsonl'),
    '--out',
    at('cli-held'),
  ]);
  expect(held.valBitsPerByteLast).toBeGreaterThan(1);
  const categories = Object.values(held.valBitsPerByte);
  expect(categories.length).toBeGreaterThan(0);
  // The whole is the mean of its categories, weighted by bytes: it lies between them.
  expect(held.valBitsPerByteLast).toBeGreaterThanOrEqual(Math.min(...categories) - 1e-9);
  expect(held.valBitsPerByteLast).toBeLessThanOrEqual(Math.max(...categories) + 1e-9);
  const refused = async (...more: string[]) => (await scion('node', [...args, '--out', at('none'), ...more])).err;
  expect(await refused('--tokens', '64')).toMatch(/packs of 48 tokens, 64 were asked for/);
  expect(await refused('--data', at('docs.jsonl'))).toMatch(/trained on alone/);
});

test('documents that the build held out are the validation, as if their files were named', { timeout: 120_000 }, async () => {
  const recipe = { data: [at('docs.jsonl')], clean: false, validation: { share: 0.5 }, tokenizer: at('packed/tokenizer'), pack: { length: T, buckets: 2 } };
  writeFileSync(at('recipe.yaml'), JSON.stringify(recipe));
  const built = await scionJson<{ documentsHeldOut: number }>('node', ['data', 'build', at('recipe.yaml'), '--workers', '1', '--out', at('built')]);
  expect(built.documentsHeldOut).toBeGreaterThan(1);
  const args = ['train', '--config', at('config.json'), '--data', at('built'), '--steps', '2', '--batch', '2'];
  const train = (...more: string[]) => scionJson<{ valBitsPerByteLast: number | null }>('node', [...args, ...more]);
  const own = await train('--out', at('built-own'));
  const named = await train('--out', at('built-named'), '--validation', at('built/validation/*.jsonl'));
  expect(own.valBitsPerByteLast).toBeGreaterThan(1);
  expect(own.valBitsPerByteLast).toBe(named.valBitsPerByteLast);
});

test('a run that was stopped goes on to the same weights', { timeout: 120_000 }, async () => {
  const { files } = await host();
  const folder = await openPacked(files, at('packed'));
  expect(folder.manifest.buckets.length).toBe(3);
  // The run crosses every border: it needs more packs than an epoch has.
  expect(2 * STEPS).toBeGreaterThan(folder.manifest.packs);
  const tokenizer = await loadTokenizer(files, at('packed/tokenizer'));
  const common: Omit<RunOptions, 'out' | 'resume'> = {
    setup: { model, precision: 'f32', batch: 2, tokens: T, recompute: 'none', clip: 1, optimizer: LLAMA_ADAMW },
    schedule: { kind: 'cosine', peak: 1e-2, warmup: 1, steps: STEPS },
    accumulate: 1,
    data: packedRunData(folder),
    tokenizer,
    seed: 4,
    validateEvery: 0,
    saveEvery: 1,
    version: 'test',
  };
  const weights = (path: string | null) =>
    createHash('sha256')
      .update(readFileSync(join(path ?? '', 'param.safetensors')))
      .digest('hex');
  const train = async (name: string, resume: boolean, stopAfter = STEPS): Promise<string | null> => {
    const stop = { requested: false };
    const hooks = {
      onSave: (_: string, step: number) => {
        if (step >= stopAfter) stop.requested = true;
      },
    };
    const run = await Run.open({ ...common, out: at(name), resume, stop, hooks });
    const { checkpoint } = await run.train();
    await run.close();
    return checkpoint;
  };
  const whole = weights(await train('whole', false));
  const halfway = weights(await train('broken', false, 5));
  expect(halfway).not.toBe(whole);
  await train('broken', true, 10);
  expect(weights(await train('broken', true))).toBe(whole);
});
