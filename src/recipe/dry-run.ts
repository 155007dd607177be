/**
 * What a recipe would take, before anything runs: tokens, steps, memory, time and cost of every stage, on this device or on one that is
 * only named. Memory is the planner's, to the byte what a run would allocate; tokens are the budget where there is one, else told from the size of the
 * files; time is arithmetic over a speed. Where a stage does not fit, the options that would make it fit are tried in order and the first that does is named.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { readHfConfig } from '../checkpoint/hf.ts';
import { findSourceFiles } from '../curate/read/units.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import type { Host } from '../host/types.ts';
import { countParameters, type LlamaConfig } from '../nn/config.ts';
import { loadTokenizer } from '../text/tokenizer.ts';
import { planTraining } from '../train/programs.ts';
import { trainedConfig } from './journey.ts';
import { stageBudget } from './mix.ts';
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

/** Plans a recipe. Touches no device. */
export async function dryRun(host: Host, recipe: Recipe, options: DryRunOptions): Promise<DryRun> {
  const { facts, memory, speed, price } = options;
  const { base, grown } = await plannedConfigs(host, recipe);
  const firstNew = recipe.vocab ? base.vocabSize : null;
  const most = memory === null ? null : memory * USABLE;
  const wanted: (readonly [RecipeStage, LlamaConfig, RecipeData])[] = [
    ...('train' in recipe.base ? [[{ ...recipe.base.train.stage, name: 'base' }, base, recipe.base.train.data] as const] : []),
    ...recipe.stages.map((stage) => [stage, grown, recipe.data] as const),
  ];
  const stages: PlannedStage[] = [];
  for (const [stage, config, data] of wanted) {
    const perStep = stage.batch * stage.accumulate * stage.length;
    const budget = stageBudget(stage);
    const tokens = budget ?? Math.round(((stage.epochs ?? 1) * (await dataBytes(host, data))) / BYTES_A_TOKEN);
    const steps = stage.steps ?? Math.max(1, Math.ceil(tokens / perStep));
    const step = planned(stage, config, config === grown ? firstNew : null, facts);
    const within = (f: Fit): boolean => f.bytes !== null && (most === null || f.bytes <= most);
    const fits = step.bytes === null ? false : most === null ? null : within(step);
    const seconds = speed === null || step.bytes === null ? null : (step.flops * steps) / speed;
    let remedy: string | null = null;
    if (fits === false) {
      for (const [what, change] of REMEDIES) {
        const other = planned(change(stage), config, config === grown ? firstNew : null, facts);
        if (!within(other)) continue;
        remedy = `${what}: ${((other.bytes as number) / 1e9).toFixed(1)} GB`;
        break;
      }
    }
    stages.push({
      name: stage.name,
      tokens,
      estimated: budget === null,
      steps,
      tokensPerStep: perStep,
      ...step,
      flops: step.flops * steps,
      seconds,
      cost: seconds === null || price === null ? null : (seconds / 3600) * price,
      fits,
      problem:
        step.problem ??
        (fits === false ? `needs ${((step.bytes as number) / 1e9).toFixed(1)} GB, ${facts.name} has ${((memory as number) / 1e9).toFixed(0)} GB` : null),
      remedy,
    });
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
  throw new ScionError(
    'memory',
    bad
      .map((s) => `stage ${s.name} ${s.problem}${s.remedy === null ? '; nothing that a recipe can say makes it fit' : `; it would fit with ${s.remedy}`}`)
      .join('\n'),
  );
}
