/**
 * The memory that `--dry-run` tells, held from both ends: for LLaMA-2-7B against what the planner finds at other sizes and against arithmetic done here
 * from the architecture; at sizes that a test can hold, against the bytes that a device really gave. And what does not fit is refused, with place,
 * figure and remedy.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collate } from '../data/loader.ts';
import { packDocuments } from '../data/pack.ts';
import { GpuDevice } from '../gpu/device.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import { host } from '../host/index.ts';
import { configToJson, type LlamaConfig, makeConfig } from '../nn/config.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { saveTokenizer, tokenizerFromModel } from '../text/tokenizer.ts';
import { planTraining } from '../train/programs.ts';
import { Stepper } from '../train/stepper.ts';
import { assumedDevice, assumedGpuFacts } from './devices.ts';
import { checkFit, dryRun, type PlannedStage } from './dry-run.ts';
import { readRecipeText } from './read.ts';
import { stageSetup } from './steps/stage.ts';

/** LLaMA-2's shape at any width: heads of 128, F = 2.6875 D. */
const llama = (layers: number, hidden: number, vocab: number, headSize = 128): LlamaConfig =>
  makeConfig({
    vocabSize: vocab,
    hiddenSize: hidden,
    intermediateSize: Math.round(2.6875 * hidden),
    numLayers: layers,
    numHeads: hidden / headSize,
    maxPositions: 4096,
  });

const LORA = 'learn: lora, lora: { rank: 16 }';
const WAYS = { full: '', lora: LORA, 'q4 and lora': `${LORA}, baseStorage: q4` } as const;
type Way = keyof typeof WAYS;

let dir = '';
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'scion-dry-'));
  writeFileSync(join(dir, 'a.txt'), 'a small text of a few words');
});
afterAll(() => rmSync(dir, { recursive: true }));

const recipeOf = (way: Way, base: string, length: number, batch: number, more = ''): string =>
  `base: { model: ${base} }\ndata: { data: [a.txt] }\nstages:\n  - { name: one, steps: 3, length: ${length}, batch: ${batch}, ${WAYS[way] === '' ? '' : `${WAYS[way]}, `}recompute: layer }\n${more}`;

/** A recipe over a base of this shape, which has no weights: none are read. */
async function recipe(way: Way, config: LlamaConfig, length: number, batch: number, more = '') {
  const machine = await host();
  const base = join(dir, `${way.replaceAll(' ', '-')}-${config.numLayers}-${config.hiddenSize}-${config.vocabSize}`);
  mkdirSync(base, { recursive: true });
  writeFileSync(join(base, 'config.json'), JSON.stringify(configToJson(config)));
  await saveTokenizer(machine.files, tokenizerFromModel(learnBpe(['a small text of a few words'], { size: 280 })), base);
  return readRecipeText(machine, recipeOf(way, base, length, batch, more), dir, 'r.yaml');
}

/** The row that --dry-run prints. */
async function row(way: Way, config: LlamaConfig, facts: DeviceFacts, length: number, batch: number): Promise<PlannedStage> {
  const { recipe: read } = await recipe(way, config, length, batch);
  const { stages } = await dryRun(await host(), read, { facts, memory: null, speed: null, price: null });
  return stages[0];
}

/** The value at x of the polynomial through these points (Lagrange). */
const through = (points: readonly (readonly [number, number])[], x: number): number =>
  points.reduce((sum, [xi, y], i) => sum + points.reduce((term, [xj], j) => (i === j ? term : (term * (x - xj)) / (xi - xj)), y), 0);

describe.each(Object.keys(WAYS) as Way[])('LLaMA-2-7B, %s', (way) => {
  const [L, D, V, T, B] = [32, 4096, 32_000, 512, 2];
  const facts = assumedGpuFacts(assumedDevice('h200-141'));
  const apart = (bytes: number, wanted: number): number => Math.abs(bytes / wanted - 1);

  it('takes what its planner tells of other sizes', { timeout: 120_000 }, async () => {
    const { recipe: read } = await recipe(way, llama(2, 256, 300), T, B);
    const planned = (layers: number, hidden: number, vocab: number): number =>
      planTraining(stageSetup(read.stages[0], llama(layers, hidden, vocab), null, 0), facts).memory.total;
    const { bytes } = await row(way, llama(L, D, V), facts, T, B);
    const found = bytes ?? 0;
    // Memory is linear in layers and vocabulary and quadratic in width; what is not (chunks of logits, alignment) is below the bound.
    const byLayers = (hidden: number, vocab: number): number =>
      through(
        [2, 5].map((l) => [l, planned(l, hidden, vocab)]),
        L,
      );
    const layers = byLayers(D, V);
    const vocabulary = through(
      [12_000, 20_000].map((v) => [v, byLayers(D, v)]),
      V,
    );
    const width = through(
      [1024, 2048, 3072].map((d) => [d, byLayers(d, V)]),
      D,
    );
    process.stdout.write(
      `7B ${way}: ${(found / 1e9).toFixed(2)} GB; by layers ${apart(layers, found).toExponential(1)}, and vocabulary ${apart(vocabulary, found).toExponential(1)}, and width ${apart(width, found).toExponential(1)} apart\n`,
    );
    for (const other of [layers, vocabulary, width]) expect(apart(other, found)).toBeLessThan(0.02);
  });

  it('keeps the states that the architecture calls for', async () => {
    const { byKind } = await row(way, llama(L, D, V), facts, T, B);
    const F = 11_008;
    const matrices = L * (4 * D * D + 3 * D * F);
    const rest = 2 * V * D + (2 * L + 1) * D;
    // Touvron et al. 2023: 6,738,415,616 parameters.
    expect(matrices + rest).toBe(6_738_415_616);
    // q, k, v side by side and gate, up side by side share an A of stacked ranks; B holds zeros beside its blocks.
    const adapters = L * (48 * (D + 3 * D) + 16 * (D + D) + 32 * (D + 2 * F) + 16 * (F + D));
    const learns = way === 'full' ? matrices + rest : adapters;
    const wanted: Record<string, number> = { grad: 4 * learns, moment1: 4 * learns, moment2: 4 * learns };
    if (way === 'q4 and lora') {
      // Four bits a weight and an f32 scale for 64 of them; embedding and head in 16 bits, norms in 32.
      wanted.weight = matrices * (0.5 + 4 / 64) + 2 * (2 * V * D);
      wanted.param = 4 * (adapters + (2 * L + 1) * D);
    } else wanted.param = 4 * (matrices + rest + (way === 'lora' ? adapters : 0));
    // Sizes are multiples of the alignment, all but the last of a buffer.
    for (const [kind, bytes] of Object.entries(wanted)) expect(apart(byKind[kind], bytes), kind).toBeLessThan(1e-6);
  });
});

describe('on a device', { timeout: 120_000 }, () => {
  let device: GpuDevice;
  beforeAll(async () => {
    device = await GpuDevice.open();
  });
  afterAll(() => device.destroy());

  const sizes = [
    [2, 64, 300, 33, 2],
    [3, 96, 641, 64, 1],
  ] as const;
  it.each(Object.keys(WAYS) as Way[])('%s takes what the row says', async (way) => {
    for (const [layers, hidden, vocab, T, B] of sizes) {
      const config = llama(layers, hidden, vocab, 16);
      const { bytes } = await row(way, config, device.facts, T, B);
      const { recipe: read } = await recipe(way, config, T, B);
      const setup = stageSetup(read.stages[0], config, null, 0);
      const before = device.liveBytes;
      const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
      await stepper.startFresh(1);
      const documents = Array.from({ length: 8 }, (_, d) => Array.from({ length: T }, (_, i) => 3 + ((i * 13 + d * 5) % (vocab - 3))));
      const batch = collate(packDocuments(documents, { T, bos: 1, eos: 2, pad: 0 }).packs.slice(0, B));
      stepper.step([batch], 1e-3);
      stepper.step([batch], 1e-3);
      expect((await stepper.records()).records.map((r) => r.skipped)).toEqual([false, false]);
      const measured = device.liveBytes - before;
      stepper.destroy();
      expect(Math.abs((bytes ?? 0) / measured - 1), `${way}: ${bytes} said, ${measured} taken`).toBeLessThan(0.02);
    }
  });
});

describe('what does not fit', () => {
  const facts = assumedGpuFacts(assumedDevice('rtx-4090'));
  const asked = async (more: string, memory: number | null, way: Way = 'full'): Promise<string> => {
    const machine = await host();
    const { recipe: read, file } = await recipe(way, llama(2, 1024, 32_000), 256, 4, more);
    try {
      await checkFit(machine, read, file, { facts, memory });
      return 'fits';
    } catch (error) {
      expect(error).toMatchObject({ kind: 'memory' });
      return (error as Error).message;
    }
  };

  it('is told with place, figures and the change that makes it fit', async () => {
    expect(await asked('', null)).toBe('fits');
    expect(await asked('budget: 24GB', 24e9)).toBe('fits');
    expect(await asked('budget: 1GB', 24e9)).toMatch(
      /^r\.yaml:4:5: stages\.0: stage one needs 1\.\d+ GiB, the recipe's budget is 954 MiB; it would fit with .*: \d+ MiB\n/,
    );
    expect(await asked('budget: 2TB', 1e9)).toMatch(/stage one needs 1\.\d+ GiB, rtx-4090 has 954 MiB; it would fit with/);
    expect(await asked('budget: 64MiB', null)).toMatch(/the recipe's budget is 64\.0 MiB; nothing that a recipe can say makes it fit/);
  });

  it('is found in arms too', async () => {
    const arms = 'arms: { big: { stages: [{ name: two, steps: 3, length: 4096, batch: 8 }] }, same: { buckets: 1 } }\nbudget: 2GB';
    expect(await asked(arms, null)).toMatch(/^r\.yaml:5:25: arms\.big\.stages\.0: stage big\/two needs \d/);
  });

  it('a budget is a size', async () => {
    await expect(recipe('full', llama(2, 64, 300, 16), 32, 1, 'budget: much')).rejects.toThrow(/r\.yaml:5:1: budget: bytes, or a size such as 24GB/);
  });
});
