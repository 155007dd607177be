/**
 * A training run from prepared data to a finished folder: plans, opens folder and device, trains, and
 * leaves everything open for what comes after (questions, export). Command line, page and library all
 * start runs through here, so that they are the same run.
 */

import { joinPath } from '../base/path.ts';
import { exportHf } from '../checkpoint/hf.ts';
import type { ReadParameter } from '../checkpoint/source.ts';
import type { DeviceOptions } from '../gpu/device.ts';
import { GpuDevice } from '../gpu/device.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import { host } from '../host/index.ts';
import { configToJson, countParameters } from '../nn/config.ts';
import { checkSchedule, type Schedule } from '../optim/schedule.ts';
import { saveTokenizer, type Tokenizer } from '../text/tokenizer.ts';
import type { RunData } from './data.ts';
import { balancedInterval } from './held-out.ts';
import { matmulPeak } from './peak.ts';
import { planTraining, type TrainPlans, type TrainSetup } from './programs.ts';
import { joinHooks, RunFolder } from './run-folder.ts';
import type { CarriedOptimizer } from './stepper.ts';
import { type BatchSource, type EvaluationHook, Trainer, type TrainHooks, type TrainResult } from './trainer.ts';

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
    const { data, out } = options;
    const types = data.types ?? [];
    const setup: TrainSetup = types.length > 1 ? { ...options.setup, lossTypes: types.length } : options.setup;
    const folder =
      out === null
        ? null
        : await RunFolder.open({ dir: out, config: describeRun(options), version: options.version, resume: options.resume, keep: options.keep });
    let opened: GpuDevice | null = null;
    let source: BatchSource | null = null;
    try {
      source = data.open(setup.batch, options.seed);
      // What the caller forces stands; else a resume runs the kernels its checkpoint was made with.
      const frozen: DeviceOptions = { ...(await folder?.kernels()), ...options.device };
      opened = await GpuDevice.open(frozen);
      const { facts } = opened;
      let spare: GpuDevice | null = opened;
      const plans = planTraining(setup, facts);
      if (out !== null) await saveTokenizer((await host()).files, options.tokenizer, joinPath(out, 'tokenizer'));
      const peak = out === null ? null : await matmulPeak(facts, frozen);
      let logHooks: TrainHooks = {};
      const trainer = new Trainer({
        setup,
        plans,
        schedule: options.schedule,
        steps: options.steps ?? options.schedule.steps,
        accumulate: options.accumulate,
        source,
        validation: data.validation,
        validateEvery: options.validateEvery ?? balancedInterval(plans, options.accumulate, setup.batch, data.validation),
        saveEvery: options.saveEvery,
        stopAfterBad: options.stopAfterBad,
        types,
        peak,
        firstRow: options.firstRow,
        samples: options.prompts ? { tokenizer: options.tokenizer, prompts: options.prompts } : null,
        ...(options.evaluate ? { evaluate: options.evaluate } : {}),
        checkpointer: folder,
        openDevice: async () => {
          const device = spare ?? (await GpuDevice.open(frozen));
          spare = null;
          return device;
        },
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
          options.hooks ?? {},
        ),
      });
      const firstStep = await trainer.open();
      if (folder) {
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

  /** Writes the model as a Hugging Face folder with its tokenizer; an earlier export there is replaced. */
  async exportModel(dir: string, dtype: 'f32' | 'f16' | 'bf16' = 'f32'): Promise<void> {
    const { files } = await host();
    const { stepper } = this.trainer;
    await files.remove(dir);
    await exportHf(files, dir, this.options.setup.model, (name) => stepper.readParameter(name), { dtype });
    await saveTokenizer(files, this.options.tokenizer, dir);
  }

  /** Frees the device, closes logs, gives up the lock. */
  async close(): Promise<void> {
    await this.trainer.close();
    await this.folder?.close();
  }
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
