/**
 * `node bench/experiments/graft-zh.ts [--seeds 3] [--work DIR] [--domains]`: the announcement's claims on real text (SCION_DATA). For each seed
 * the recipe `recipes/graft-zh.yaml` and its variations, from one base; what comes out is appended to `bench/results/graft-zh.jsonl`, one line a seed, and a
 * seed that stands there for the same recipe is never run again. A run that was cut off goes on where it was (`--work` keeps the run folders).
 * `graft-zh-report.ts` makes tables and plots of the lines.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { openPacked } from '../../src/data/packed/index.ts';
import { host as openHost } from '../../src/host/index.ts';
import { readRecipeText } from '../../src/recipe/read.ts';
import { type RecipeResult, runRecipe } from '../../src/recipe/run.ts';
import type { StageResult } from '../../src/recipe/steps/stage.ts';
import { packedRunData } from '../../src/train/data.ts';

const { values: flags } = parseArgs({
  options: {
    seeds: { type: 'string', default: '3' },
    work: { type: 'string', default: '.cache/graft-zh' },
    domains: { type: 'boolean', default: false },
    out: { type: 'string', default: 'bench/results/graft-zh.jsonl' },
  },
});
/** Held-out bytes a category that ends are measured on; along the way the recipe takes fewer. */
const END_BYTES = 24_576;
/** Steps of a window in which the mix of types is counted: as many as between two validations. */
const WINDOW = 30;

const graft = readFileSync('recipes/graft-zh.yaml', 'utf8');
const stages = graft.slice(graft.indexOf('stages:'));
/** The stages with other steps: those of the arm without new pieces have as many FLOPs, head included (`needEqualFlops` checks). */
const resteps = (steps: readonly number[]): string => {
  let i = 0;
  return stages.replaceAll(/steps: \d+/g, () => `steps: ${steps[i++]}`);
};
const indented = (text: string): string => text.replaceAll(/^/gm, '    ').trimEnd();
const ARMS = `
arms:
  no-replay: { replay: false }
  shuffle: { buckets: 1 }
  plain:
    vocab: false
${indented(resteps([272, 408]))}
`;
/**
 * Where new rows begin, asked of a base that is trained longer, with half the new pieces: the less a base knows, the less there is in its rows
 * to begin with, and the more of its belief about English lies on bytes, which every new row takes its share of. Only looked at; one step is the least that a stage has.
 */
const LOOKED_AT = 'stages: [{ name: inject, steps: 1, length: 128, batch: 8, validate: { bytes: 4096 } }]';
const START = `${graft
  .slice(0, graft.indexOf('stages:'))
  .replace('steps: 450', 'steps: 1200')
  .replace('add: 2048', 'add: 1024')
  .replace('every: 90,', 'every: 300,')}${LOOKED_AT}
arms:
  mean: { init: { method: mean } }
  random: { init: { method: random } }
`;

const host = await openHost();
const recipeText = (text: string, seed: number, bytes?: number): string =>
  (bytes === undefined ? text : text.replaceAll('bytes: 4096', `bytes: ${bytes}`)).replace(/^seed: \d+/m, `seed: ${seed}`);

async function run(text: string, out: string): Promise<RecipeResult> {
  const { recipe, file } = await readRecipeText(host, text, 'recipes');
  return runRecipe(host, {
    recipe,
    file,
    out,
    version: 'experiment',
    onStep: ({ id, state, seconds }) => state === 'done' && console.log(`${out}: ${id} ${seconds.toFixed(1)} s`),
  });
}

interface Validation {
  readonly step: number;
  readonly loss: number;
  readonly bitsPerByte: number;
  readonly byCategory: Readonly<Record<string, { readonly loss: number; readonly bitsPerByte: number }>>;
}

/** Validations of a stage, from its log. */
function validations(dir: string): Validation[] {
  const lines = readFileSync(join(dir, 'log.jsonl'), 'utf8').trim().split('\n');
  const all = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'validation');
  return all.map(({ step, loss, bitsPerByte, byCategory }) => ({ step, loss, bitsPerByte, byCategory }));
}

/** Share of each type of data among the labels of each window of a stage, in the order in which it is trained. */
async function typeMix(dir: string, packs: string, stage: StageResult, B: number, seed: number): Promise<{ types: readonly string[]; windows: number[][] }> {
  const folder = await openPacked(host.files, join(dir, packs));
  const data = packedRunData(folder);
  const source = data.open(B, seed);
  const types = data.types ?? [];
  const windows: number[][] = [];
  for (let step = 0; step + WINDOW <= stage.steps; step += WINDOW) {
    const counts = types.map(() => 0);
    for (let k = 0; k < WINDOW; k++) {
      const { labels, types: typeOf } = await source.next();
      labels.forEach((label, i) => {
        if (label >= 0 && typeOf) counts[typeOf[i]]++;
      });
    }
    const all = counts.reduce((a, b) => a + b, 0);
    windows.push(counts.map((n) => n / all));
  }
  return { types, windows };
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);
/** Lines are known by what made them: the recipe with its variations, or the shorter one that is only looked at. */
const key = hash(graft + ARMS);
const startKey = hash(START);
const lines = (): Record<string, unknown>[] =>
  existsSync(flags.out)
    ? readFileSync(flags.out, 'utf8')
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];
const done = (what: { readonly kind: string; readonly seed: number; readonly [name: string]: unknown }): boolean =>
  lines().some((line) => Object.entries({ key: what.kind === 'start' ? startKey : key, ...what }).every(([name, value]) => line[name] === value));
const ends = (some: readonly StageResult[]): Readonly<Record<string, number>> => (some.at(-1) as StageResult).valBitsPerByte;

/** Losses before the first step, in nats a token by category: of the base, and with new rows made in three ways. */
async function start(seed: number): Promise<void> {
  if (done({ kind: 'start', seed })) return;
  const out = join(flags.work, `${startKey}-${seed}`);
  const made = await run(recipeText(START, seed), out);
  const losses = ({ byCategory }: Validation): Record<string, number> => Object.fromEntries(Object.entries(byCategory).map(([name, { loss }]) => [name, loss]));
  const first = (path: string): Record<string, number> => losses(validations(join(out, path, 'stages', 'inject'))[0]);
  const base = losses(validations(join(out, 'stages', 'base')).at(-1) as Validation);
  const line = {
    key: startKey,
    kind: 'start',
    seed,
    date: new Date().toISOString().slice(0, 10),
    device: made.stages[0].device,
    base,
    meanBare: first(''),
    mean: first('arms/mean'),
    random: first('arms/random'),
  };
  appendFileSync(flags.out, `${JSON.stringify(line)}\n`);
  console.log(`start, seed ${seed}: written`);
}

async function oneSeed(seed: number): Promise<void> {
  if (done({ kind: 'graft', seed })) return;
  const out = join(flags.work, `${key}-${seed}`);
  mkdirSync(out, { recursive: true });
  // Along the way on a little text; then all ends once more on more of it, which trains nothing.
  const first = await run(recipeText(graft + ARMS, seed), out);
  const curve = (arm: string | null, stage: string): Validation[] => validations(join(out, ...(arm === null ? [] : ['arms', arm]), 'stages', stage));
  const curves = {
    base: curve(null, 'base'),
    inject: curve(null, 'inject'),
    replay: curve(null, 'replay'),
    shuffleInject: curve('shuffle', 'inject'),
    shuffleReplay: curve('shuffle', 'replay'),
  };
  const mix: Record<string, unknown> = {};
  for (const [arm, made] of Object.entries({ buckets: first.stages, shuffle: first.arms.shuffle })) {
    for (const stage of made) {
      const packs = join(...(arm === 'shuffle' ? ['arms', 'shuffle'] : []), 'stages', stage.name, 'packs');
      mix[`${arm}.${stage.name}`] = await typeMix(out, packs, stage, 8, seed);
    }
  }
  const last = await run(recipeText(graft + ARMS, seed, END_BYTES), out);
  const flops = (some: readonly StageResult[]): number => some.reduce((sum, s) => sum + s.flopsPerSecond * (s.tokens / s.tokensPerSecond), 0);
  const line = {
    key,
    kind: 'graft',
    seed,
    date: new Date().toISOString().slice(0, 10),
    device: last.stages[0].device,
    endBytes: END_BYTES,
    window: WINDOW,
    seconds: Object.fromEntries(
      [['base', last.baseStage as StageResult], ...last.stages.map((s) => [s.name, s] as const)].map(([n, s]) => [n, (s as StageResult).seconds]),
    ),
    flops: { graft: flops(last.stages), plain: flops(last.arms.plain) },
    ends: {
      base: last.baseStage?.valBitsPerByte,
      graft: ends(last.stages),
      ...Object.fromEntries(['no-replay', 'shuffle', 'plain'].map((arm) => [arm, ends(last.arms[arm])])),
    },
    curves,
    mix,
  };
  appendFileSync(flags.out, `${JSON.stringify(line)}\n`);
  console.log(`seed ${seed}: written to ${flags.out}`);
}

/** The two domain recipes: the graft's own stages are those of the run they are begun from, so only the last one is trained. */
async function domains(seed: number): Promise<void> {
  for (const domain of ['law', 'medicine']) {
    const text = readFileSync(`recipes/domain-${domain}.yaml`, 'utf8');
    const domainKey = hash(text);
    if (done({ kind: 'domain', seed, domain, domainKey })) continue;
    const out = join(flags.work, `${key}-${seed}-${domain}`);
    const from = join(flags.work, `${key}-${seed}`);
    if (!existsSync(out) && existsSync(from)) cpSync(from, out, { recursive: true });
    const made = await run(recipeText(text, seed, END_BYTES), out);
    const general = made.stages.at(-2) as StageResult;
    const line = {
      key,
      kind: 'domain',
      seed,
      domain,
      domainKey,
      date: new Date().toISOString().slice(0, 10),
      device: general.device,
      general: general.valBitsPerByte,
      domainEnds: ends(made.stages),
    };
    appendFileSync(flags.out, `${JSON.stringify(line)}\n`);
    console.log(`domain ${domain}, seed ${seed}: written`);
  }
}

for (let seed = 1; seed <= Number(flags.seeds); seed++) {
  await start(seed);
  await oneSeed(seed);
  if (flags.domains && seed === 1) await domains(seed);
}
process.exit(0);
