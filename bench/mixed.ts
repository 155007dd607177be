/**
 * `node bench/mixed.ts [--steps 2000] [--seeds 1] [--json FILE]`: the sample's graft (base, injection, replay: so many steps in all) once in f32 and once in mixed
 * precision, on the same batches. What is compared is where they end: the mean training loss of each stage's last steps and the held-out bits per byte;
 * single steps differ more, since two runs that round differently part ways. Skipped steps are counted: none is wanted without an overflow.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { host as openHost } from '../src/host/index.ts';
import { readRecipeText } from '../src/recipe/read.ts';
import { type RecipeResult, runRecipe } from '../src/recipe/run.ts';
import { sampleRecipe } from '../src/recipe/sample-recipe.ts';
import { writeResults } from './lib/result-file.ts';

const { values: flags } = parseArgs({
  options: { steps: { type: 'string', default: '2000' }, seeds: { type: 'string', default: '1' }, json: { type: 'string' } },
});
/** Steps at the end of a stage whose losses are averaged: one batch is noise. */
const LAST = 50;
const PRECISIONS = ['f32', 'mixed'] as const;

interface Ended {
  readonly steps: number;
  readonly skipped: number;
  readonly trainLoss: Record<string, number>;
  readonly bitsPerByte: Record<string, Readonly<Record<string, number>>>;
}

const host = await openHost();
const work = mkdtempSync(join(tmpdir(), 'scion-mixed-'));

async function train(seed: number, precision: (typeof PRECISIONS)[number]): Promise<Ended> {
  const text = sampleRecipe({ steps: Number(flags.steps), seed, compare: false }).replaceAll(/^( +)length: \d+$/gm, `$&\n$1precision: ${precision}`);
  const { recipe, file } = await readRecipeText(host, text, 'recipe');
  const out = join(work, `${precision}-${seed}`);
  const made: RecipeResult = await runRecipe(host, { recipe, file, out, version: 'bench' });
  const ended: Ended = { steps: 0, skipped: 0, trainLoss: {}, bitsPerByte: {} };
  let [steps, skipped] = [0, 0];
  for (const stage of [made.baseStage, ...made.stages]) {
    if (!stage) throw new Error('the sample trains its base');
    const lines = readFileSync(join(out, 'stages', stage.name, 'log.jsonl'), 'utf8')
      .trim()
      .split('\n');
    const records = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'step');
    steps += records.length;
    skipped += records.filter((record) => record.skipped).length;
    const last = records.slice(-LAST).map(({ loss }) => loss as number);
    ended.trainLoss[stage.name] = last.reduce((a, b) => a + b, 0) / last.length;
    ended.bitsPerByte[stage.name] = stage.valBitsPerByte;
  }
  return { ...ended, steps, skipped };
}

const seeds: Record<string, unknown>[] = [];
for (let seed = 1; seed <= Number(flags.seeds); seed++) {
  const f32 = await train(seed, 'f32');
  const mixed = await train(seed, 'mixed');
  const far = (a: number, b: number): number => a / b - 1;
  const distance: Record<string, number> = Object.fromEntries(
    Object.keys(f32.trainLoss).flatMap((stage) => [
      [`${stage} training loss`, far(mixed.trainLoss[stage], f32.trainLoss[stage])],
      ...Object.keys(f32.bitsPerByte[stage]).map((c) => [`${stage} ${c} bits per byte`, far(mixed.bitsPerByte[stage][c], f32.bitsPerByte[stage][c])]),
    ]),
  );
  seeds.push({ seed, f32, mixed, distance });
  console.log(`seed ${seed}: ${f32.steps} and ${mixed.steps} steps, skipped ${f32.skipped} and ${mixed.skipped}`);
  for (const [what, d] of Object.entries(distance)) console.log(`  ${what.padEnd(36)} ${(100 * d).toFixed(3)} %`);
}
rmSync(work, { recursive: true });
if (flags.json) writeResults(flags.json, 'bench/mixed.ts', { last: LAST, seeds });
process.exit(0);
