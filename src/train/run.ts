/**
 * A training run from prepared data to a finished folder: plans, opens folder and device, trains, and
 * leaves everything open for what comes after (questions, export). Command line, page and library all
 * start runs through here, so that they are the same run.
 */

import { ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { mergedReader } from '../checkpoint/adapter/index.ts';
import { exportHf } from '../checkpoint/hf.ts';
import type { ReadParameter } from '../checkpoint/source.ts';
import { agree, type Setting } from '../comm/agree.ts';
import type { DeviceOptions } from '../gpu/device.ts';
import { GpuDevice } from '../gpu/device.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import { host } from '../host/index.ts';
import { configToJson, countParameters } from '../nn/config.ts';
import { checkSchedule, type Schedule } from '../optim/schedule.ts';
import type { Mesh } from '../shard/mesh.ts';
import type { ZeroStage } from '../shard/place.ts';
import type { SequenceKind } from '../shard/sequence.ts';
import { saveTokenizer, type Tokenizer } from '../text/tokenizer.ts';
import type { RunData } from './data.ts';
import { balancedInterval } from './held-out.ts';
import { matmulPeak } from './peak.ts';
import { planTraining, type TrainPlans, type TrainSetup } from './programs.ts';
import { RankStepper } from './rank-stepper.ts';
import { joinHooks, RunFolder } from './run-folder.ts';
import type { CarriedOptimizer } from './stepper.ts';
import { type BatchSource, type EvaluationHook, Trainer, type TrainerOptions, type TrainHooks, type TrainResult } from './trainer.ts';

/** What a run is made of. */
export interface RunOptions {
  readonly setup: TrainSetup;
  readonly schedule: Schedule;
  /** Steps of this run, where its schedule is longer; all of the schedule's by default. */
  readonly steps?: number;
  readonly accumulate: number;
  readonly data: RunData;
  readonly tokenizer: Tokenizer;
  readonly seed: number;
  /** Parameters to start from; seeded random ones by default. */
  readonly initial?: ReadParameter;
  /** Moments and step count to go on from, with `initial`. */
  readonly carried?: CarriedOptimizer;
  /** Steps between validations; 0: at the ends alone. Absent: `balancedInterval`. */
  readonly validateEvery?: number;
  /** Steps between saves. Absent: 100, or more where saves would take more than 2 % of the time. */
  readonly saveEvery?: number;
  /** First new row of the embedding: how far new and old rows have moved is measured at validations. */
  readonly firstRow?: number;
  /** Texts that the model continues at each validation. */
  readonly prompts?: readonly string[];
  /** Questions asked on the way; their curves stand in the report. */
  readonly evaluate?: EvaluationHook;
  readonly keep?: number;
  /** Skipped steps in a row after which the run stops; the trainer's default where absent. */
  readonly stopAfterBad?: number;
  /** Run folder; null trains in memory only. */
  readonly out: string | null;
  readonly resume: boolean;
  readonly device?: DeviceOptions;
  readonly hooks?: TrainHooks;
  readonly stop?: { requested: boolean };
  readonly version: string;
  /** One rank of a mesh: all ranks open the same run, the first one leads. */
  readonly ranks?: { readonly mesh: Mesh; readonly zero: ZeroStage; readonly sequence?: SequenceKind };
  /** More for `config.json`: where the data came from. It must not differ at a resume. */
  readonly about?: Readonly<Record<string, unknown>>;
}

/** A run that is open: call `train`, then what you like, then `close`. */
export class Run {
  readonly options: RunOptions;
  readonly plans: TrainPlans;
  readonly facts: DeviceFacts;
  readonly trainer: Trainer;
  readonly folder: RunFolder | null;
  /** The step it starts at: 0, or where the checkpoint stood. */
  readonly firstStep: number;

  private constructor(options: RunOptions, plans: TrainPlans, facts: DeviceFacts, trainer: Trainer, folder: RunFolder | null, firstStep: number) {
    this.options = options;
    this.plans = plans;
    this.facts = facts;
    this.trainer = trainer;
    this.folder = folder;
    this.firstStep = firstStep;
  }

  /** Opens folder and device, allocates, takes up a checkpoint if there is one to resume. */
  static async open(options: RunOptions): Promise<Run> {
    checkSchedule(options.schedule);
    const { data, out, ranks } = options;
    const leads = !ranks || ranks.mesh.world.rank === 0;
    // Ranks that were told different things would part without a word.
    if (ranks) await agree(ranks.mesh.world, describeRun(options) as { readonly [name: string]: Setting });
    const types = data.types ?? [];
    const setup: TrainSetup = types.length > 1 ? { ...options.setup, lossTypes: types.length } : options.setup;
    const folder =
      out === null
        ? null
        : await RunFolder.open({
            dir: out,
            config: describeRun(options),
            version: options.version,
            resume: options.resume,
            keep: options.keep,
            ...(ranks && { group: ranks.mesh.world }),
          });
    let opened: GpuDevice | null = null;
    let source: BatchSource | null = null;
    try {
      source = data.open(setup.batch, options.seed);
      // What the caller forces stands; else a resume runs the kernels its checkpoint was made with.
      const frozen: DeviceOptions = { ...(await folder?.kernels()), ...options.device };
      opened = await GpuDevice.open(frozen);
      const { facts } = opened;
      let spare: GpuDevice | null = opened;
      const plans = planTraining(setup, facts, ranks && { shape: ranks.mesh.shape, rank: ranks.mesh.world.rank, zero: ranks.zero, sequence: ranks.sequence });
      if (ranks && options.prompts?.length) checkSamples(plans, ranks.mesh);
      if (out !== null && leads) await saveTokenizer((await host()).files, options.tokenizer, joinPath(out, 'tokenizer'));
      const peak = out === null || !leads ? null : await matmulPeak(facts, frozen);
      let logHooks: TrainHooks = {};
      const trainer = new Trainer({
        setup,
        plans,
        schedule: options.schedule,
        steps: options.steps ?? options.schedule.steps,
        accumulate: options.accumulate,
        source,
        // Ranks that are not needed for it leave measuring to the first.
        validation: leads || plans.plans.evaluate.communicates ? data.validation : null,
        validateEvery: options.validateEvery ?? balancedInterval(plans, options.accumulate, setup.batch, data.validation),
        saveEvery: options.saveEvery,
        stopAfterBad: options.stopAfterBad,
        types,
        peak,
        firstRow: options.firstRow,
        samples: options.prompts && leads ? { tokenizer: options.tokenizer, prompts: options.prompts } : null,
        ...(options.evaluate && leads ? { evaluate: options.evaluate } : {}),
        checkpointer: folder,
        openDevice: async () => {
          const device = spare ?? (await GpuDevice.open(frozen));
          spare = null;
          return device;
        },
        ...(ranks && { rank: rankOptions(setup, plans, ranks.mesh) }),
        initial: options.initial ? { read: options.initial, ...(options.carried ? { carried: options.carried } : {}) } : { seed: options.seed },
        stop: options.stop,
        hooks: joinHooks(
          // The logs open once it is known at which step they go on.
          {
            onStep: (r) => logHooks.onStep?.(r),
            onValidate: (v) => logHooks.onValidate?.(v),
            onEvaluate: (v) => logHooks.onEvaluate?.(v),
            onEvent: (e) => logHooks.onEvent?.(e),
          },
          (leads && options.hooks) || {},
        ),
      });
      const firstStep = await trainer.open();
      if (folder && leads) {
        logHooks = await folder.openLogs({
          step: firstStep,
          steps: options.schedule.steps,
          device: facts.name,
          runtime: (await host()).version,
          parameters: countParameters(setup.model),
          precision: setup.precision,
          plannedBytes: plans.memory.total,
          peakFlops: peak,
          buckets: data.buckets ?? null,
        });
      }
      return new Run(options, plans, facts, trainer, folder, firstStep);
    } catch (error) {
      await folder?.close();
      opened?.destroy();
      await source?.close?.();
      throw error;
    }
  }

  /** Trains to the end, or to an interrupt. */
  async train(): Promise<TrainResult> {
    try {
      const result = await this.trainer.run();
      await this.folder?.finish(result);
      return result;
    } catch (error) {
      await this.folder?.finish({ failed: error instanceof Error ? error.message : String(error) });
      throw error;
    }
  }

  /**
   * Writes the model as a Hugging Face folder with its tokenizer, adapters added in; an earlier export there is replaced. `average`: the moving
   * average of the weights, where the run keeps one.
   */
  async exportModel(dir: string, dtype: 'f32' | 'f16' | 'bf16' = 'f32', options: { readonly average?: boolean } = {}): Promise<void> {
    const { files } = await host();
    const { stepper } = this.trainer;
    const { model, lora, ema } = this.options.setup;
    if (options.average && ema === undefined)
      throw new ScionError('usage', 'there is no average of the weights to export: the run keeps none; give its setup ema, for example 0.999');
    const write = async (read: ReadParameter): Promise<void> => {
      await files.remove(dir);
      await exportHf(files, dir, model, lora ? mergedReader(model, lora, read) : read, { dtype });
      await saveTokenizer(files, this.options.tokenizer, dir);
    };
    if (!(stepper instanceof RankStepper)) return write((name) => stepper.readParameter(name, options));
    if (options.average) throw new ScionError('usage', 'the average of a run on several ranks is exported from its checkpoint: scion export --ema');
    await stepper.lendParameters(write);
  }

  /** Frees the device, closes logs, gives up the lock. */
  async close(): Promise<void> {
    await this.trainer.close();
    await this.folder?.close();
  }
}

/** The trainer's part of being a rank. */
function rankOptions(setup: TrainSetup, plans: TrainPlans, mesh: Mesh): TrainerOptions['rank'] {
  return {
    makeStepper: (device) => new RankStepper(device, setup, plans, mesh),
    agree: async ({ stop, save }) => {
      const all = Array.from({ length: mesh.world.size }, () => new Uint8Array(2));
      await mesh.world.allGather(Uint8Array.of(Number(stop), Number(save)), all);
      // A save falls due by the first rank's clock; any rank may be told to stop.
      return { stop: all.some(([s]) => s === 1), save: all[0][1] === 1 };
    },
  };
}

/** @throws ScionError `usage` where no rank has the parameters whole. */
function checkSamples(plans: TrainPlans, mesh: Mesh): void {
  if (mesh.shape.tp === 1 && !plans.states.buffers().some((b) => b.sharded && (b.kind === 'param' || b.kind === 'weight'))) return;
  throw new ScionError(
    'usage',
    'prompts are continued by the first rank, which here holds a part of the parameters alone; train without prompts, or with --zero 0 and no tp',
  );
}

/** What must be the same at a resume, as plain JSON; `config.json` of the run folder. */
export function describeRun(options: RunOptions): Record<string, unknown> {
  const { model, ...setup } = options.setup;
  return {
    model: configToJson(model),
    setup,
    schedule: options.schedule,
    ...(options.steps === undefined ? {} : { steps: options.steps }),
    accumulate: options.accumulate,
    seed: options.seed,
    packs: options.data.packs,
    trainBytes: options.data.trainBytes,
    ...options.about,
  };
}
