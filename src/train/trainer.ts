/**
 * The step loop of a single stage: schedule, records, validation, saves, skipped steps, device loss,
 * clean stop. Everything it needs of files is behind `Checkpointer`; everything it reports goes to hooks, so that
 * command line, page and tests watch the same run. Steps are enqueued without waiting; records are
 * read when the steps are slow anyway, or every `stopAfterBad` steps at the latest.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import type { ReadParameter } from '../checkpoint/source.ts';
import { type Batch, sequentialBatches } from '../data/loader.ts';
import type { Pack } from '../data/pack.ts';
import type { GpuDevice } from '../gpu/device.ts';
import { host } from '../host/index.ts';
import { learningRate, type Schedule } from '../optim/schedule.ts';
import type { StepRecord } from '../tensor/ops/step_state.ts';
import type { TrainPlans, TrainSetup } from './programs.ts';
import { type CarriedOptimizer, Stepper } from './stepper.ts';

/** Batches in training order, with a position that can be saved: `PackLoader` from memory, `BucketLoader` from files. */
export interface BatchSource {
  next(): Batch | Promise<Batch>;
  /** Plain JSON that `restore` continues from exactly. */
  state(): unknown;
  restore(state: unknown): void;
  /** Gives up what it holds open. */
  close?(): Promise<void>;
}

/** What a checkpoint holds besides tensors; all of it plain JSON. */
export interface TrainerState {
  readonly step: number;
  readonly tokens: number;
  readonly source: unknown;
  /** Of the run so far, for the report: [step, loss] pairs thinned to at most a few hundred. */
  readonly curve: readonly (readonly [number, number])[];
}

/** Saves and loads the states of a stepper; the run folder's business. */
export interface Checkpointer {
  save(stepper: Stepper, state: TrainerState): Promise<string>;
  /** Loads the newest good checkpoint into the stepper; null if there is none. */
  load(stepper: Stepper): Promise<TrainerState | null>;
}

/** What is reported of a step. */
export interface StepReport extends StepRecord {
  /** Mean negative log-likelihood per label, nats. */
  readonly loss: number;
  readonly tokensSeen: number;
  readonly tokensPerSecond: number;
  readonly flopsPerSecond: number;
  readonly seconds: number;
}

export interface ValidationReport {
  readonly step: number;
  readonly loss: number;
  readonly bitsPerByte: number;
}

/** Where a run may be watched; all optional. */
export interface TrainHooks {
  onStep?(report: StepReport): void;
  onValidate?(report: ValidationReport): void | Promise<void>;
  onSave?(path: string, step: number): void;
  onEvent?(event: { readonly kind: 'skipped' | 'save-failed' | 'device-lost' | 'resumed'; readonly step: number; readonly message: string }): void;
}

export interface TrainerOptions {
  readonly setup: TrainSetup;
  readonly plans: TrainPlans;
  readonly schedule: Schedule;
  readonly steps: number;
  /** Micros a step. */
  readonly accumulate: number;
  readonly source: BatchSource;
  /** Validation packs and the bytes of text their labels stand for. */
  readonly validation: { readonly packs: readonly Pack[]; readonly bytes: number } | null;
  readonly validateEvery: number;
  readonly saveEvery: number;
  /** Skipped steps in a row after which the run stops with its checkpoint kept. */
  readonly stopAfterBad?: number;
  readonly checkpointer: Checkpointer | null;
  /** Opens a device; called again after a loss. */
  readonly openDevice: () => Promise<GpuDevice>;
  /** Parameters at step 0: a reader, or a seed for random ones. */
  readonly initial: { readonly seed: number } | { readonly read: ReadParameter; readonly carried?: CarriedOptimizer };
  /** Set `requested` to stop after the step under way, with a save. */
  readonly stop?: { requested: boolean };
  readonly hooks?: TrainHooks;
}

/** How a run ended. */
export interface TrainResult {
  readonly steps: number;
  readonly tokens: number;
  readonly interrupted: boolean;
  readonly firstLoss: number | null;
  readonly lastLoss: number | null;
  readonly firstValidation: ValidationReport | null;
  readonly lastValidation: ValidationReport | null;
  readonly tokensPerSecond: number;
  readonly flopsPerSecond: number;
  readonly curve: readonly (readonly [number, number])[];
  readonly checkpoint: string | null;
}

/** Milliseconds of steps between two readbacks when steps are fast. */
const READ_INTERVAL_MS = 100;
/** Device losses in one run after which it gives up. */
const MAX_LOSSES = 3;
/** Failed saves in a row after which it gives up. */
const MAX_FAILED_SAVES = 3;
/** Points kept of the loss curve. */
const CURVE_POINTS = 400;

/** One run. `run()` trains to `steps`; the stepper stays open for what comes after (sampling, export) until `close()`. */
export class Trainer {
  readonly options: TrainerOptions;
  private device: GpuDevice | null = null;
  private current: Stepper | null = null;
  private tokens = 0;
  private curve: [number, number][] = [];
  private failedSaves = 0;
  private lastPath: string | null = null;
  private savedAt = -1;
  private firstLoss: number | null = null;
  private lastLoss: number | null = null;
  private firstValidation: ValidationReport | null = null;
  private lastValidation: ValidationReport | null = null;
  private busySeconds = 0;
  private busyTokens = 0;
  private busyFlops = 0;

  constructor(options: TrainerOptions) {
    this.options = options;
  }

  /** The stepper of the device in use. */
  get stepper(): Stepper {
    if (!this.current) throw new ScionError('internal', 'the trainer has not started');
    return this.current;
  }

  /** Opens a device, allocates, and takes up the newest checkpoint or the initial parameters. Gives the step it stands at. */
  async open(): Promise<number> {
    const { options } = this;
    this.device = await options.openDevice();
    this.current = new Stepper(this.device, options.setup, options.plans);
    const saved = (await options.checkpointer?.load(this.current)) ?? null;
    if (saved) {
      await this.current.resumed();
      options.source.restore(saved.source);
      this.tokens = saved.tokens;
      this.curve = saved.curve.map(([s, l]) => [s, l]);
      this.savedAt = saved.step;
      options.hooks?.onEvent?.({ kind: 'resumed', step: saved.step, message: `resumed at step ${saved.step}` });
    } else {
      if ('seed' in options.initial) await this.current.startFresh(options.initial.seed);
      else await this.current.start(options.initial.read, options.initial.carried);
      this.tokens = 0;
      this.curve = [];
    }
    return this.current.attempted;
  }

  /** Frees the device and closes the source. */
  async close(): Promise<void> {
    this.current?.destroy();
    this.device?.destroy();
    this.current = null;
    this.device = null;
    await this.options.source.close?.();
  }

  /** Trains to the last step, an interrupt, or an error that cannot be recovered. */
  async run(): Promise<TrainResult> {
    const { options } = this;
    const startState = options.source.state();
    let losses = 0;
    for (;;) {
      try {
        if (!this.current) await this.open();
        return await this.loop();
      } catch (error) {
        if (!isScionError(error, 'lost') || ++losses > MAX_LOSSES) throw error;
        options.hooks?.onEvent?.({ kind: 'device-lost', step: this.current?.attempted ?? 0, message: error.message });
        // The device's memory is gone: a new device takes up the last checkpoint, or the beginning.
        this.current = null;
        this.device = null;
        options.source.restore(startState);
      }
    }
  }

  private async nextMicros(): Promise<Batch[]> {
    const { accumulate, source } = this.options;
    const micros: Batch[] = [];
    while (micros.length < accumulate) micros.push(await source.next());
    return micros;
  }

  private async loop(): Promise<TrainResult> {
    const { options, stepper } = this;
    const machine = await host();
    const { schedule, steps } = options;
    const stopAfterBad = options.stopAfterBad ?? 5;
    const flops = options.plans.plans.micro.flops * options.accumulate + options.plans.plans.update.flops;
    if (options.validation && !this.firstValidation) await this.validate();
    let since = machine.now();
    let enqueued = 0;
    let used = 0;
    /** Skipped steps in a row, as last read. */
    let badSoFar = 0;
    while (stepper.attempted < steps) {
      const micros = await this.nextMicros();
      used += micros.reduce((sum, b) => sum + b.used, 0);
      stepper.step(micros, learningRate(schedule, stepper.attempted));
      enqueued++;
      const at = stepper.attempted;
      const due = (every: number) => every > 0 && at % every === 0;
      const last = at === steps || options.stop?.requested === true;
      const validate = options.validation !== null && (due(options.validateEvery) || at === steps);
      const save = options.checkpointer !== null && (due(options.saveEvery) || last);
      // Slow steps are read one by one (a round trip is then nothing); fast ones in groups, never more than may go bad unseen.
      const wait = machine.now() - since < READ_INTERVAL_MS && enqueued < Math.min(stopAfterBad - badSoFar, stepper.room);
      if (wait && !last && !validate && !save) continue;
      const { records, badRun } = await stepper.records();
      const seconds = (machine.now() - since) / 1000;
      this.report(records, used, seconds, flops);
      if (badRun >= stopAfterBad) {
        throw new ScionError(
          'numeric',
          `${badRun} steps in a row found NaN or infinity and were skipped; stopped at step ${at}. The last checkpoint is kept${this.lastPath ? ` (${this.lastPath})` : ''}: lower the learning rate or check the data`,
        );
      }
      badSoFar = badRun;
      enqueued = 0;
      used = 0;
      if (validate) await this.validate();
      if (save && this.savedAt !== at) await this.save(at);
      if (options.stop?.requested && at < steps) return this.result(true);
      since = machine.now();
    }
    return this.result(false);
  }

  private report(records: readonly StepRecord[], used: number, seconds: number, flops: number): void {
    if (records.length === 0) return;
    const perStep = seconds / records.length;
    const tokens = used / records.length;
    for (const r of records) {
      this.tokens += tokens;
      // The first step compiles; speed is measured from the second on.
      if (r.step > 0) {
        this.busySeconds += perStep;
        this.busyTokens += tokens;
        this.busyFlops += flops;
      }
      const loss = r.tokens > 0 ? r.lossSum / r.tokens : Number.NaN;
      if (r.skipped)
        this.options.hooks?.onEvent?.({
          kind: 'skipped',
          step: r.step,
          message: `step ${r.step} found NaN or infinity; its update was skipped, loss scale ${r.lossScale}`,
        });
      else {
        this.firstLoss ??= loss;
        this.lastLoss = loss;
        this.curve.push([r.step, loss]);
        if (this.curve.length > CURVE_POINTS) this.curve = this.curve.filter((_, i) => i % 2 === 0);
      }
      this.options.hooks?.onStep?.({
        ...r,
        loss,
        tokensSeen: Math.round(this.tokens),
        tokensPerSecond: tokens / perStep,
        flopsPerSecond: flops / perStep,
        seconds: perStep,
      });
    }
  }

  /** Validation loss in nats per label and bits per byte of text, so that tokenizers compare. */
  async validate(): Promise<ValidationReport> {
    const { validation, setup, hooks } = this.options;
    if (!validation) throw new ScionError('internal', 'no validation data');
    const { nll, labels } = await this.stepper.evaluate(sequentialBatches(validation.packs, setup.batch, 0));
    const report = { step: this.stepper.attempted, loss: nll / labels, bitsPerByte: nll / Math.LN2 / validation.bytes };
    this.firstValidation ??= report;
    this.lastValidation = report;
    await hooks?.onValidate?.(report);
    return report;
  }

  private async save(step: number): Promise<void> {
    const { checkpointer, source, hooks } = this.options;
    if (!checkpointer) return;
    try {
      this.lastPath = await checkpointer.save(this.stepper, { step, tokens: this.tokens, source: source.state(), curve: this.curve });
      this.failedSaves = 0;
      this.savedAt = step;
      hooks?.onSave?.(this.lastPath, step);
    } catch (error) {
      if (!isScionError(error) || (error.kind !== 'space' && error.kind !== 'io') || ++this.failedSaves >= MAX_FAILED_SAVES) throw error;
      hooks?.onEvent?.({ kind: 'save-failed', step, message: `${error.message}; training goes on, the next save is tried at the next interval` });
    }
  }

  private result(interrupted: boolean): TrainResult {
    return {
      steps: this.stepper.attempted,
      tokens: Math.round(this.tokens),
      interrupted,
      firstLoss: this.firstLoss,
      lastLoss: this.lastLoss,
      firstValidation: this.firstValidation,
      lastValidation: this.lastValidation,
      tokensPerSecond: this.busySeconds > 0 ? this.busyTokens / this.busySeconds : 0,
      flopsPerSecond: this.busySeconds > 0 ? this.busyFlops / this.busySeconds : 0,
      curve: this.curve,
      checkpoint: this.lastPath,
    };
  }
}
