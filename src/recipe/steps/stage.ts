/**
 * One stage of training: a `Run` in a folder of its own, beginning with the weights that the stage before left in its last
 * checkpoint (moments and step count too, where the recipe carries them), exact to the bit and without a detour over exported
 * files. It ends with questions and continuations, asked of the model as it stands in memory.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { findLatest, type OpenCheckpoint } from '../../checkpoint/load.ts';
import { streamDocuments } from '../../data/documents.ts';
import { openPacked } from '../../data/packed/open.ts';
import { tokenizerHash } from '../../data/packed/token-shard.ts';
import type { LlamaConfig } from '../../nn/config.ts';
import type { Schedule } from '../../optim/schedule.ts';
import { STEP } from '../../tensor/ops/step_state.ts';
import { loadTokenizer, type Tokenizer } from '../../text/tokenizer.ts';
import { packedRunData, prepareHeldOut } from '../../train/data.ts';
import type { HeldOut, RunText } from '../../train/held-out.ts';
import type { OptimizerSpec, TrainSetup } from '../../train/programs.ts';
import { Run } from '../../train/run.ts';
import type { TextSample } from '../../train/samples.ts';
import type { CarriedOptimizer } from '../../train/stepper.ts';
import type { ValidationReport } from '../../train/trainer.ts';
import type { Step } from '../engine.ts';
import type { RecipeStage } from '../schema.ts';
import { armId, armPath, type DocumentsResult, type ModelAt, type PacksResult, type RunContext, type TokenizerResult } from './context.ts';
import { openModel } from './open-model.ts';
import { type Answers, askAll, askedOf, questionsOnTheWay } from './questions.ts';

/** What a stage gives. Losses in nats a label. */
export interface StageResult {
  readonly name: string;
  readonly steps: number;
  readonly tokens: number;
  /** Of training alone. */
  readonly seconds: number;
  readonly firstLoss: number | null;
  readonly lastLoss: number | null;
  readonly tokensPerSecond: number;
  readonly flopsPerSecond: number;
  readonly device: string;
  readonly peakBytesPlanned: number;
  readonly peakBytesMeasured: number;
  readonly valBitsPerByteFirst: number | null;
  readonly valBitsPerByteLast: number | null;
  /** Of the last validation. */
  readonly valBitsPerByte: Readonly<Record<string, number>>;
  readonly valBitsPerByteBefore: Readonly<Record<string, number>>;
  /** What the stage's prompts were continued with at its last validation. */
  readonly samples: readonly TextSample[];
  /** By question set, with the weights that the stage ends with. */
  readonly questions: Answers;
  readonly curve: readonly (readonly [number, number])[];
  /** What was looked at: held-out text, prompts, questions. Another wish looks again and trains nothing. */
  readonly looks: unknown;
  /** Folder of the last checkpoint, below the run. */
  readonly checkpoint: string;
}

/** Optimizer steps of a stage whose packs are known. */
export function stageSteps(stage: RecipeStage, trainable: number): number {
  return stage.steps ?? Math.max(1, Math.ceil(trainable / (stage.batch * stage.accumulate)));
}

/** Steps of warm-up: given, or a share of all. */
export function warmupSteps(warmup: number | string, steps: number): number {
  return typeof warmup === 'number' ? warmup : Math.ceil((Number.parseFloat(warmup) / 100) * steps);
}

/**
 * The schedule of stage `at`. Stages that continue the one before share one schedule, that of the first of them, over the steps of all.
 * @param steps of each stage.
 */
export function stageSchedule(stages: readonly RecipeStage[], steps: readonly number[], at: number): Schedule {
  let first = at;
  while (first > 0 && stages[first].schedule.continue) first--;
  let end = at + 1;
  while (end < stages.length && stages[end].schedule.continue) end++;
  const sum = (from: number, to: number): number => steps.slice(from, to).reduce((a, b) => a + b, 0);
  const all = sum(first, end);
  const offset = sum(first, at);
  const { kind, peak, warmup, minimum, decayShare, settle } = stages[first].schedule;
  return {
    kind,
    peak,
    warmup: warmupSteps(warmup, all),
    steps: all,
    minimum,
    ...(decayShare === undefined ? {} : { decayShare }),
    ...(settle === undefined ? {} : { settle }),
    ...(offset > 0 ? { offset } : {}),
  };
}

/** A checkpoint's moments and step count. */
export async function carriedFrom(checkpoint: OpenCheckpoint): Promise<CarriedOptimizer> {
  return { t: (await checkpoint.step())[STEP.t], moment: (which, parameter) => checkpoint.moment(which, parameter) };
}

function optimizerOf({ optimizer: o }: RecipeStage): OptimizerSpec {
  return o.kind === 'sgd'
    ? { kind: 'sgd', momentum: o.momentum, decay: o.decay }
    : { kind: 'adamw', beta1: o.beta1, beta2: o.beta2, epsilon: o.epsilon, decay: o.decay };
}

/** What is planned for a stage on a model of this config; `firstNew` is where new rows begin. */
export function stageSetup(stage: RecipeStage, model: LlamaConfig, firstNew: number | null, seed: number): TrainSetup {
  const { learn, lora, optimizer, baseStorage } = stage;
  return {
    model,
    precision: stage.precision,
    batch: stage.batch,
    tokens: stage.length,
    optimizer: optimizerOf(stage),
    clip: stage.clip,
    recompute: stage.recompute,
    seed,
    ...(learn === 'all'
      ? {}
      : { trainable: { parameters: learn === 'lora' ? ('none' as const) : learn, ...(learn === 'rows' && firstNew !== null ? { firstRow: firstNew } : {}) } }),
    ...(lora ? { lora } : {}),
    ...(baseStorage === undefined ? {} : { baseStorage }),
    ...(optimizer.decayAll ? { decayAll: true } : {}),
    ...(stage.zLoss > 0 ? { zLoss: stage.zLoss } : {}),
    ...(stage.outlier > 0 ? { outlier: stage.outlier } : {}),
    ...(stage.neftune > 0 ? { neftune: stage.neftune } : {}),
    ...(stage.ema > 0 ? { ema: stage.ema } : {}),
  };
}

const isCheckpoint = (source: object): source is OpenCheckpoint => 'moment' in source;

/** What a stage begins with and learns from. `model` null: random weights of `config`. */
export interface StageInputs {
  readonly config: LlamaConfig;
  readonly model: ModelAt | null;
  readonly tokenizer: TokenizerResult;
  readonly packs: PacksResult;
  readonly steps: number;
  readonly schedule: Schedule;
  /** Held-out documents, of every category that any stage learns. */
  readonly validation: DocumentsResult['validation'];
}

/** Held-out text, packed for a stage; null where there is none. */
async function heldOut(
  context: RunContext,
  words: Tokenizer,
  validation: DocumentsResult['validation'],
  tokens: number,
  window: number,
  bytes: number,
): Promise<HeldOut | null> {
  const texts: RunText[] = [];
  for (const { category, path } of validation) {
    for await (const { text } of streamDocuments(context.host.files, [joinPath(context.dir, path)])) texts.push({ category, text });
  }
  return texts.length === 0 ? null : prepareHeldOut(words, texts, { tokens, window, limits: { bytes } });
}

const bitsOf = (report: ValidationReport | null): Record<string, number> =>
  Object.fromEntries(Object.entries(report?.byCategory ?? {}).map(([category, { bitsPerByte }]) => [category, bitsPerByte]));

/** Trains a stage. */
export function stageStep(context: RunContext, stage: RecipeStage, inputs: () => StageInputs): Step<StageResult> {
  const { host, dir, recipe } = context;
  const folder = armPath(context, joinPath('stages', stage.name));
  // How often one looks and saves, and what later steps take, changes nothing of what is trained.
  const { validate, save, handOn: _, ...config } = stage;
  const looks = (): unknown => ({ bytes: validate.bytes, prompts: validate.prompts, evaluate: askedOf(context), validation: inputs().validation });
  return {
    id: armId(context, stage.name),
    title: `train ${stage.name}`,
    owns: ['checkpoints', 'log.jsonl', 'config.json', 'report.html'].map((name) => joinPath(folder, name)),
    inputs() {
      const { model, packs, config: shape, steps, schedule } = inputs();
      return { config, shape, steps, schedule, model: model?.key ?? null, packs: packs.fingerprint, seed: recipe.seed };
    },
    async run(progress, previous) {
      const { config: shape, model, tokenizer, packs, steps, schedule, validation } = inputs();
      const words = await loadTokenizer(host.files, joinPath(dir, tokenizer.path));
      const opened = await openPacked(host.files, joinPath(dir, packs.folder), {
        T: stage.length,
        tokenizer: await tokenizerHash(host, words),
        vocabSize: shape.vocabSize,
      });
      const source = model === null ? null : await openModel(context, model);
      const facts = { steps, plannedBytes: 0 };
      const setup = stageSetup(stage, shape, tokenizer.firstNew, recipe.seed);
      let askedBytes = 0;
      const evaluate = questionsOnTheWay(context, setup, words, (bytes) => {
        askedBytes = Math.max(askedBytes, bytes);
      });
      const window = shape.slidingWindow ?? 0;
      progress('planning');
      let run: Run | null = null;
      try {
        run = await Run.open({
          setup,
          ...(evaluate ? { evaluate } : {}),
          schedule,
          steps,
          accumulate: stage.accumulate,
          data: packedRunData(opened, { window, validation: await heldOut(context, words, validation, stage.length, window, validate.bytes) }),
          tokenizer: words,
          seed: recipe.seed,
          ...(source ? { initial: source.read } : {}),
          ...(stage.optimizer.carry && source && isCheckpoint(source) ? { carried: await carriedFrom(source) } : {}),
          ...(validate.every === undefined ? {} : { validateEvery: validate.every }),
          ...(save.every === undefined ? {} : { saveEvery: save.every }),
          ...(tokenizer.firstNew === null ? {} : { firstRow: tokenizer.firstNew }),
          ...(validate.prompts.length > 0 ? { prompts: validate.prompts } : {}),
          keep: save.keep,
          stopAfterBad: stage.stopAfterBad,
          out: joinPath(dir, folder),
          resume: true,
          device: context.device,
          hooks: context.stageHooks?.(armId(context, stage.name), facts),
          stop: context.stop,
          version: context.version,
          about: { kind: 'stage', stage: stage.name, begins: model?.key ?? null, packs: packs.fingerprint },
        });
        facts.plannedBytes = run.plans.memory.total;
        const began = host.now();
        const trained = await run.train();
        if (trained.interrupted)
          throw new ScionError('interrupted', `stopped in stage ${stage.name} at step ${trained.steps}, saved; the same command goes on from here`);
        const seconds = (host.now() - began) / 1000;
        const asked = await askAll(context, run, words, stage.name);
        const found = await findLatest(host.files, joinPath(dir, folder, 'checkpoints'));
        if (!found) throw new ScionError('internal', `stage ${stage.name} left no checkpoint`);
        const looked = {
          valBitsPerByteLast: trained.lastValidation?.bitsPerByte ?? null,
          valBitsPerByte: bitsOf(trained.lastValidation),
          samples: trained.lastValidation?.samples ?? [],
          questions: asked.answers,
          looks: looks(),
        };
        // Trained before and only looked at anew: what training found stays.
        if (previous && run.firstStep === steps) return { ...previous, ...looked };
        return {
          name: stage.name,
          steps: trained.steps,
          tokens: trained.tokens,
          seconds,
          firstLoss: trained.firstLoss,
          lastLoss: trained.lastLoss,
          tokensPerSecond: trained.tokensPerSecond,
          flopsPerSecond: trained.flopsPerSecond,
          device: run.facts.name,
          // Samples and questions have caches of their own, one after the other.
          peakBytesPlanned: run.plans.memory.total + Math.max(trained.sampleBytes, asked.bytes, askedBytes),
          peakBytesMeasured: run.trainer.stepper.device.peakBytes,
          valBitsPerByteFirst: trained.firstValidation?.bitsPerByte ?? null,
          valBitsPerByteBefore: bitsOf(trained.firstValidation),
          ...looked,
          curve: trained.curve,
          checkpoint: found.path.slice(dir.length + 1),
        };
      } finally {
        await run?.close();
        await source?.close();
      }
    },
    intact: async (result) =>
      JSON.stringify(result.looks) === JSON.stringify(looks()) && (await host.files.stat(joinPath(dir, result.checkpoint, 'manifest.json'))) !== null,
  };
}
