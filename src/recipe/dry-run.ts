/**
 * What a recipe would take, before anything runs: tokens, steps, memory, time and cost of every stage, on this device or on one that is
 * only named. Memory is the planner's, what a run would allocate but for the few sums by category; tokens are the budget where there is one, else told
 * from the size of the files; time is arithmetic over a speed. Where a stage does not fit, the options that would make it fit are tried in order and the
 * first that does is named. A real run is held to the same plan (`checkFit`) before its first step.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { bytes as shownBytes } from '../base/format.ts';
import { readHfConfig } from '../checkpoint/hf.ts';
import { findSourceFiles } from '../curate/read/units.ts';
import { complain, type FieldPath, type YamlFile } from '../formats/yaml-file.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import type { Host } from '../host/types.ts';
import { countParameters, type LlamaConfig } from '../nn/config.ts';
import { loadTokenizer } from '../text/tokenizer.ts';
import { planTraining } from '../train/programs.ts';
import { armRecipe, trainedConfig } from './journey.ts';
import { stageBudget } from './mix.ts';
import { RECIPE_HINT } from './read.ts';
import { loraSchema, type Recipe, type RecipeData, type RecipeStage } from './schema.ts';
import { stageSetup } from './steps/stage.ts';

/** Bytes of text a token, where nothing was tokenised yet. */
const BYTES_A_TOKEN = 3.5;
/** Share of a device's memory that a plan may take: driver and display need some. */
const USABLE = 0.95;

export interface DryRunOptions {
  readonly facts: DeviceFacts;
  /** Bytes of the device; null where not known. */
  readonly memory: number | null;
  /** FLOP/s that a run reaches; null where not known. */
  readonly speed: number | null;
  /** Dollars an hour; null where nothing is paid. */
  readonly price: number | null;
}

/** A stage as planned. */
export interface PlannedStage {
  readonly name: string;
  readonly tokens: number;
  /** The tokens are told from file sizes and not given. */
  readonly estimated: boolean;
  readonly steps: number;
  readonly tokensPerStep: number;
  /** Bytes at the peak; null where it cannot be planned. */
  readonly bytes: number | null;
  readonly byKind: Readonly<Record<string, number>>;
  readonly flops: number;
  readonly seconds: number | null;
  readonly cost: number | null;
  readonly fits: boolean | null;
  /** Why not. */
  readonly problem: string | null;
  /** What would make it fit. */
  readonly remedy: string | null;
}

export interface DryRun {
  readonly device: string;
  readonly memory: number | null;
  readonly vocabulary: number;
  readonly parameters: number;
  readonly stages: readonly PlannedStage[];
  readonly seconds: number | null;
  readonly cost: number | null;
  readonly fits: boolean | null;
}

/** The shape of the model when the stages begin, and of the base. */
export async function plannedConfigs(host: Host, recipe: Recipe): Promise<{ base: LlamaConfig; grown: LlamaConfig }> {
  const { base: from, vocab, init } = recipe;
  let base: LlamaConfig;
  let pieces: number;
  if ('train' in from) {
    pieces = from.train.vocab.size;
    base = trainedConfig(recipe, { vocabSize: pieces });
  } else {
    base = await readHfConfig(host.files, from.model);
    pieces = (await loadTokenizer(host.files, from.tokenizer ?? from.model)).vocabSize;
  }
  if (!vocab) return { base, grown: base };
  const given = vocab.tokenizer === undefined ? null : (await loadTokenizer(host.files, vocab.tokenizer)).vocabSize;
  const rows = given ?? vocab.size ?? pieces + (vocab.add ?? 0);
  return { base, grown: { ...base, vocabSize: Math.ceil(rows / init.padTo) * init.padTo } };
}

async function dataBytes(host: Host, data: RecipeData): Promise<number> {
  let bytes = 0;
  for (const source of data.data) {
    // The generated corpus is about so large.
    if ('sample' in source) bytes += 500_000;
    else for (const { size } of await findSourceFiles(host.files, [source])) bytes += size;
  }
  return bytes;
}

type Fit = Pick<PlannedStage, 'bytes' | 'byKind' | 'flops' | 'problem'>;

/** Plans one step of a stage. */
function planned(stage: RecipeStage, config: LlamaConfig, firstNew: number | null, facts: DeviceFacts): Fit {
  try {
    const { plans, memory } = planTraining(stageSetup(stage, config, firstNew, 0), facts);
    return {
      bytes: memory.total,
      byKind: { ...memory.states, 'activations and scratch': memory.arena, 'step data': memory.data + memory.uniforms + memory.constants + memory.staging },
      flops: plans.micro.flops * stage.accumulate + plans.update.flops,
      problem: null,
    };
  } catch (error) {
    if (!isScionError(error)) throw error;
    return { bytes: null, byKind: {}, flops: 0, problem: error.message };
  }
}

/** Changes that need less memory, in the order in which one would try them. The later ones give something up. */
const REMEDIES: readonly (readonly [what: string, change: (stage: RecipeStage) => RecipeStage])[] = [
  ['recompute: layer', (s) => ({ ...s, recompute: 'layer' })],
  ['precision: mixed, recompute: layer', (s) => ({ ...s, precision: 'mixed', recompute: 'layer' })],
  [
    'batch: 1 with accumulate in its place, precision: mixed, recompute: layer',
    (s) => ({ ...s, batch: 1, accumulate: s.accumulate * s.batch, precision: 'mixed', recompute: 'layer' }),
  ],
  [
    'learn: lora with lora: { rank: 16 }, batch: 1, precision: mixed, recompute: layer',
    (s) => ({ ...lora(s), batch: 1, accumulate: s.accumulate * s.batch, precision: 'mixed', recompute: 'layer' }),
  ],
  [
    'learn: lora with lora: { rank: 16 } and baseStorage: q4, batch: 1, precision: mixed, recompute: layer',
    (s) => ({ ...lora(s), baseStorage: 'q4', batch: 1, accumulate: s.accumulate * s.batch, precision: 'mixed', recompute: 'layer' }),
  ],
];

function lora(stage: RecipeStage): RecipeStage {
  return { ...stage, learn: 'lora', lora: stage.lora ?? loraSchema.parse({}) };
}

/** A stage of a run, and where the recipe says so. */
interface WantedStage {
  /** `ARM/NAME` of an arm's. */
  readonly name: string;
  readonly stage: RecipeStage;
  readonly path: FieldPath;
  readonly config: LlamaConfig;
  readonly firstNew: number | null;
  readonly data: RecipeData;
}

/** Every stage that a run trains: those of the base, of the run, of its arms. */
async function wantedStages(host: Host, recipe: Recipe): Promise<{ readonly grown: LlamaConfig; readonly stages: readonly WantedStage[] }> {
  const { base, grown } = await plannedConfigs(host, recipe);
  const of = ({ vocab, stages, data }: Recipe, at: FieldPath, prefix: string, shared: readonly RecipeStage[] | null): WantedStage[] =>
    stages.map((stage, i) => ({
      name: `${prefix}${stage.name}`,
      stage,
      // What an arm takes from the run stands there.
      path: shared ? ['stages', i] : [...at, 'stages', i],
      config: vocab ? grown : base,
      firstNew: vocab ? base.vocabSize : null,
      data,
    }));
  const { train } = 'train' in recipe.base ? recipe.base : { train: null };
  return {
    grown,
    stages: [
      ...(train
        ? [{ name: 'base', stage: { ...train.stage, name: 'base' }, path: ['base', 'train', 'stage'], config: base, firstNew: null, data: train.data }]
        : []),
      ...of(recipe, [], '', null),
      ...Object.entries(recipe.arms).flatMap(([name, arm]) => of(armRecipe(recipe, arm), ['arms', name], `${name}/`, arm.stages ? null : recipe.stages)),
    ],
  };
}

/** What a stage may take. */
interface Room {
  readonly facts: DeviceFacts;
  /** Bytes of the device; null where not known. */
  readonly memory: number | null;
  /** Of the recipe, if it gives one. */
  readonly budget: number | undefined;
}

/** Plans one step of a stage and holds it against the room there is; `fits` is null where nothing tells how much that is. */
function fitOf({ stage, config, firstNew }: WantedStage, { facts, memory, budget }: Room): Fit & Pick<PlannedStage, 'fits' | 'remedy'> {
  const step = planned(stage, config, firstNew, facts);
  const usable = memory === null ? Number.POSITIVE_INFINITY : memory * USABLE;
  const most = Math.min(usable, budget ?? Number.POSITIVE_INFINITY);
  const within = ({ bytes }: Fit): boolean => bytes !== null && bytes <= most;
  if (within(step)) return { ...step, fits: most === Number.POSITIVE_INFINITY ? null : true, remedy: null };
  const limit = budget !== undefined && budget <= usable ? `the recipe's budget is ${shownBytes(budget)}` : `${facts.name} has ${shownBytes(memory ?? 0)}`;
  const problem = step.problem ?? `needs ${shownBytes(step.bytes ?? 0)}, ${limit}`;
  for (const [what, change] of REMEDIES) {
    const other = planned(change(stage), config, firstNew, facts);
    if (within(other)) return { ...step, fits: false, problem, remedy: `${what}: ${shownBytes(other.bytes as number)}` };
  }
  return { ...step, fits: false, problem, remedy: null };
}

/** What is wrong with a stage that does not fit, and what to do. */
const verdict = ({ problem, remedy }: Pick<PlannedStage, 'problem' | 'remedy'>): string =>
  `${problem}${remedy === null ? '; nothing that a recipe can say makes it fit' : `; it would fit with ${remedy}`}`;

/**
 * Holds the stages of a recipe against a device, or the recipe's own budget, before anything runs.
 * @param options.memory bytes of the device; null where not known.
 * @throws ScionError `memory` naming line and column of every stage that cannot fit, what it needs, and what would make it fit.
 */
export async function checkFit(host: Host, recipe: Recipe, file: YamlFile, options: Pick<DryRunOptions, 'facts' | 'memory'>): Promise<void> {
  const { stages } = await wantedStages(host, recipe);
  const issues = stages.flatMap((wanted) => {
    const fit = fitOf(wanted, { ...options, budget: recipe.budget });
    return fit.fits === false ? [{ path: wanted.path, message: `stage ${wanted.name} ${verdict(fit)}` }] : [];
  });
  if (issues.length > 0) throw new ScionError('memory', complain(issues, (path) => file.place(path), RECIPE_HINT).message, { stages: issues.length });
}

/** Plans a recipe. Touches no device. */
export async function dryRun(host: Host, recipe: Recipe, options: DryRunOptions): Promise<DryRun> {
  const { facts, memory, speed, price } = options;
  const { grown, stages: wanted } = await wantedStages(host, recipe);
  const stages: PlannedStage[] = [];
  for (const one of wanted) {
    const { name, stage, data } = one;
    const perStep = stage.batch * stage.accumulate * stage.length;
    const budget = stageBudget(stage);
    const tokens = budget ?? Math.round(((stage.epochs ?? 1) * (await dataBytes(host, data))) / BYTES_A_TOKEN);
    const steps = stage.steps ?? Math.max(1, Math.ceil(tokens / perStep));
    const step = fitOf(one, { facts, memory, budget: recipe.budget });
    const flops = step.flops * steps;
    const seconds = speed === null || step.bytes === null ? null : flops / speed;
    const cost = seconds === null || price === null ? null : (seconds / 3600) * price;
    stages.push({ name, tokens, estimated: budget === null, steps, tokensPerStep: perStep, ...step, flops, seconds, cost });
  }
  const sum = (pick: (stage: PlannedStage) => number | null): number | null =>
    stages.some((s) => pick(s) === null) ? null : stages.reduce((a, s) => a + (pick(s) ?? 0), 0);
  return {
    device: facts.name,
    memory,
    vocabulary: grown.vocabSize,
    parameters: countParameters(grown),
    stages,
    seconds: sum((s) => s.seconds),
    cost: sum((s) => s.cost),
    fits: stages.some((s) => s.fits === false) ? false : stages.some((s) => s.fits === null) ? null : true,
  };
}

/** Throws where a stage cannot fit. */
export function needFit(plan: DryRun): void {
  const bad = plan.stages.filter((stage) => stage.fits === false);
  if (bad.length === 0) return;
  throw new ScionError('memory', bad.map((s) => `stage ${s.name} ${verdict(s)}`).join('\n'));
}
