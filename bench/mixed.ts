/**
 * `node bench/mixed.ts [--steps 2000] [--seeds 3] [--size quick|full] [--json FILE]`: the sample's model from nothing, so many steps in f32, in mixed precision, and in f32
 * with each step in halves, whose gradients add in another order. The last is the floor of the comparison: two runs that round differently part ways at these warm
 * rates whatever their precision, so ends are compared by held-out loss and by the mean over seeds. Skipped steps are counted: none is wanted without an overflow.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { Run } from '../src/train/run.ts';
import { prepareSampleRun, SAMPLE_SIZES, sampleTexts } from '../src/train/sample-run.ts';
import { writeResults } from './lib/result-file.ts';

const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '2000' },
    seeds: { type: 'string', default: '3' },
    size: { type: 'string', default: 'quick' },
    json: { type: 'string' },
  },
});
if (flags.size !== 'quick' && flags.size !== 'full') throw new Error(`--size ${flags.size}: quick or full`);
const size = { ...SAMPLE_SIZES[flags.size], steps: Number(flags.steps), validation: 120 };
/** Training losses at the end that are averaged: one batch is noise. */
const LAST = 100;
const WAYS: Readonly<Record<string, { readonly precision: 'f32' | 'mixed'; readonly accumulate: number }>> = {
  f32: { precision: 'f32', accumulate: 1 },
  'f32 in halves': { precision: 'f32', accumulate: 2 },
  mixed: { precision: 'mixed', accumulate: 1 },
};

const prepared = prepareSampleRun(sampleTexts(size), size);

async function train(seed: number, way: string) {
  const losses: number[] = [];
  const { precision, accumulate } = WAYS[way];
  const run = await Run.open({
    ...prepared,
    setup: { ...prepared.setup, precision, batch: size.batch / accumulate },
    accumulate,
    seed,
    validateEvery: 0,
    saveEvery: 0,
    out: null,
    resume: false,
    version: 'bench',
    hooks: { onStep: ({ loss }) => void losses.push(loss) },
  });
  const { steps, skippedSteps, lastValidation } = await run.train();
  await run.close();
  if (!lastValidation) throw new Error('the sample holds text out');
  const last = losses.slice(-LAST);
  return { steps, skippedSteps, heldOut: lastValidation.loss, training: last.reduce((a, b) => a + b, 0) / last.length };
}

const seeds: Record<string, Awaited<ReturnType<typeof train>>>[] = [];
for (let seed = 1; seed <= Number(flags.seeds); seed++) {
  const made: (typeof seeds)[number] = {};
  for (const way of Object.keys(WAYS)) {
    made[way] = await train(seed, way);
    const { steps, skippedSteps, heldOut, training } = made[way];
    console.log(`seed ${seed}, ${way}: ${steps} steps, ${skippedSteps} skipped, held-out ${heldOut.toFixed(5)}, training ${training.toFixed(5)} nats a token`);
  }
  seeds.push(made);
}
const mean = (way: string, what: 'heldOut' | 'training'): number => seeds.reduce((sum, made) => sum + made[way][what], 0) / seeds.length;
const distances = Object.fromEntries(
  Object.keys(WAYS)
    .slice(1)
    .map((way) => [way, { heldOut: mean(way, 'heldOut') / mean('f32', 'heldOut') - 1, training: mean(way, 'training') / mean('f32', 'training') - 1 }]),
);
for (const [way, d] of Object.entries(distances))
  console.log(`${way} / f32, mean of ${seeds.length} seeds: held-out ${(100 * d.heldOut).toFixed(3)} %, training ${(100 * d.training).toFixed(3)} %`);
if (flags.json) writeResults(flags.json, 'bench/mixed.ts', { size, last: LAST, seeds, distances });
process.exit(0);
