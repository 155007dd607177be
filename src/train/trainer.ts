/**
 * The step loop of a single stage: schedule, records, validation, saves, skipped steps, device loss,
 * clean stop. Everything it needs of files is behind `Checkpointer`; everything it reports goes to hooks, so that
 * command line, page and tests watch the same run. Steps are enqueued without waiting; records are
 * read when the steps are slow anyway, or every `stopAfterBad` steps at the latest.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import type { ReadParameter } from '../checkpoint/source.ts';
import type { Batch } from '../data/loader.ts';
import type { GpuDevice } from '../gpu/device.ts';
import { host } from '../host/index.ts';
import { learningRate, type Schedule } from '../optim/schedule.ts';
import type { TypeLoss } from '../tensor/ops/loss_by_type.ts';
import { STEP_RING, type StepRecord } from '../tensor/ops/step_state.ts';
import { evaluateHeldOut, type HeldOut, type HeldOutLoss } from './held-out.ts';
import { type GuardEntry, OutlierGuard } from './outlier.ts';
import type { TrainPlans, TrainSetup } from './programs.ts';
import { type RowDrift, RowWatch } from './row-drift.ts';
import { type SampleRequest, type TextSample, writeSamples } from './samples.ts';
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
  /** What the outlier guard remembers, where there is one. */
  readonly guard?: readonly GuardEntry[];
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
  /** Of this device's measured matmul peak; null where that is not known. */
  readonly peakShare: number | null;
  /** Epoch of the step's first pack, and its bucket where data lies in buckets. */
  readonly epoch: number;
  readonly bucket: number | null;
  /** Losses by type of data over all steps since this was last told; at most once a readback, null where there is one type or none. */
  readonly byType: Readonly<Record<string, { readonly loss: number; readonly labels: number }>> | null;
  /** Bytes in buffers on the device. */
  readonly deviceBytes: number;
}

/** What a validation found. */
export interface ValidationReport extends HeldOutLoss {
  readonly step: number;
  /** How far rows of the embedding have moved, where they are watched. */
  readonly drift: RowDrift | null;
  readonly samples: readonly TextSample[];
  /** What measuring and writing took. */
  readonly seconds: number;
}

/** A score of questions that were asked of the model in training: a share with its 95 % interval. */
export interface EvalScore {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly n: number;
}

/** What questions found. */
export interface EvaluationReport {
  readonly step: number;
  /** By name of the set. */
  readonly scores: Readonly<Record<string, EvalScore>>;
  readonly seconds: number;
}

/** Questions asked while training goes on: every so many steps and behind the last one, with the weights where they are. */
export interface EvaluationHook {
  readonly every: number;
  ask(stepper: Stepper): Promise<Readonly<Record<string, EvalScore>>>;
}

/** Seconds of a run by what they went to. */
export interface TrainSeconds {
  /** Steps, readback and the hooks of steps included. */
  readonly steps: number;
  /** Validations, questions and their hooks. */
  readonly validation: number;
  readonly saving: number;
}

/** Where a run may be watched; all optional. */
export interface TrainHooks {
  onStep?(report: StepReport): void;
  onValidate?(report: ValidationReport): void | Promise<void>;
  onEvaluate?(report: EvaluationReport): void | Promise<void>;
  onSave?(path: string, step: number): void;
  onEvent?(event: {
    readonly kind: 'skipped' | 'save-failed' | 'device-lost' | 'resumed' | 'sample-failed' | 'evaluation-failed';
    readonly step: number;
    readonly message: string;
  }): void;
}

export interface TrainerOptions {
  readonly setup: TrainSetup;
  readonly plans: TrainPlans;
  readonly schedule: Schedule;
  readonly steps: number;
  /** Micros a step. */
  readonly accumulate: number;
  readonly source: BatchSource;
  readonly validation: HeldOut | null;
  readonly validateEvery: number;
  /** Steps between saves; absent: `SAVE_STEPS`, or more where saves would take over `SAVE_SHARE` of the time. */
  readonly saveEvery?: number;
  /** Names of the types of data, by number, where the setup has `lossTypes`. */
  readonly types?: readonly string[];
  /** FLOP/s that this device reaches in a matrix product. */
  readonly peak?: number | null;
  /** First new row of the embedding: how far rows move is measured at validations. */
  readonly firstRow?: number;
  /** What is written at each validation. */
  readonly samples?: SampleRequest | null;
  /** Questions asked on the way. */
  readonly evaluate?: EvaluationHook;
  /** Skipped steps in a row after which the run stops with its checkpoint kept. */
  readonly stopAfterBad?: number;
  readonly checkpointer: Checkpointer | null;
  /** Opens a device; called again after a loss. */
  readonly openDevice: () => Promise<GpuDevice>;
  /** One rank of several: how its stepper is made, and what all ranks decide together after each step. */
  readonly rank?: {
    readonly makeStepper: (device: GpuDevice) => Stepper;
    /** What any rank wishes. Collective. */
    readonly agree: (wishes: Wishes) => Promise<Wishes>;
  };
  /** Parameters at step 0: a reader, or a seed for random ones. */
  readonly initial: { readonly seed: number } | { readonly read: ReadParameter; readonly carried?: CarriedOptimizer };
  /** Set `requested` to stop after the step under way, with a save; `hold` makes the next step wait for it, with all that is on the device kept. */
  readonly stop?: { requested: boolean; readonly hold?: Promise<void> | null };
  readonly hooks?: TrainHooks;
}

/** What a rank would do after a step by its own clock and ears. */
export interface Wishes {
  readonly stop: boolean;
  readonly save: boolean;
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
  readonly skippedSteps: number;
  /** What samples took on the device while they were written; comes on top of the plan. */
  readonly sampleBytes: number;
  readonly seconds: TrainSeconds;
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
/** Steps between saves where nothing is asked, and the share of the time that they may take. */
const SAVE_STEPS = 100;
const SAVE_SHARE = 0.02;

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
  private skipped = 0;
  private sampleBytes = 0;
  private guard: OutlierGuard | null = null;
  private rows: RowWatch | null = null;
  private seconds = { steps: 0, validation: 0, saving: 0 };
  /** Milliseconds that the last save took, and when it ended. */
  private lastSave = { took: 0, ended: 0 };

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
    this.current = options.rank ? options.rank.makeStepper(this.device) : new Stepper(this.device, options.setup, options.plans);
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
      else await this.current.start(options.initial.read, { carried: options.initial.carried });
      this.tokens = 0;
      this.curve = [];
    }
    const { outlier } = options.setup;
    this.guard = outlier ? new OutlierGuard(outlier, this.lag, saved?.guard) : null;
    if (options.firstRow !== undefined) this.rows ??= await RowWatch.open(this.current, options.initial, options.firstRow);
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
        // A rank cannot begin again alone: the launcher ends them all, and a relaunch resumes.
        if (options.rank || !isScionError(error, 'lost') || ++losses > MAX_LOSSES) throw error;
        options.hooks?.onEvent?.({ kind: 'device-lost', step: this.current?.attempted ?? 0, message: error.message });
        // The device's memory is gone: a new device takes up the last checkpoint, or the beginning.
        this.current = null;
        this.device = null;
        options.source.restore(startState);
      }
    }
  }

  /** Steps that may be enqueued before the record of the first of them is read. */
  private get lag(): number {
    return Math.min(this.options.stopAfterBad ?? 5, STEP_RING);
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
    const { schedule, steps, saveEvery } = options;
    const stopAfterBad = options.stopAfterBad ?? 5;
    const flops = options.plans.plans.micro.flops * options.accumulate + options.plans.plans.update.flops;
    if (options.validation && !this.firstValidation) await this.validate();
    let since = machine.now();
    this.lastSave = { took: this.lastSave.took, ended: since };
    /** First packs of the steps whose records are not read yet. */
    let places: Batch[] = [];
    let enqueued = 0;
    let used = 0;
    /** Skipped steps in a row, as last read. */
    let badSoFar = 0;
    while (stepper.attempted < steps) {
      if (options.stop?.hold) {
        await options.stop.hold;
        since = machine.now();
      }
      const micros = await this.nextMicros();
      used += micros.reduce((sum, b) => sum + b.used, 0);
      places.push(micros[0]);
      await stepper.advance(micros, learningRate(schedule, stepper.attempted), this.guard?.ceiling(stepper.attempted));
      enqueued++;
      const at = stepper.attempted;
      const due = (every: number) => every > 0 && at % every === 0;
      const own = { stop: options.stop?.requested === true, save: saveEvery === undefined ? this.saveFits(at, machine.now()) : due(saveEvery) };
      const wishes = options.rank ? await options.rank.agree(own) : own;
      const last = at === steps || wishes.stop;
      const validate = options.validation !== null && (due(options.validateEvery) || at === steps);
      const evaluate = options.evaluate !== undefined && (due(options.evaluate.every) || at === steps);
      const save = options.checkpointer !== null && (wishes.save || last);
      // Slow steps are read one by one (a round trip is then nothing); fast ones in groups, never more than may go bad unseen.
      // Ranks read each step: what they decide and join there must come at the same step on all.
      const wait = !options.rank && machine.now() - since < READ_INTERVAL_MS && enqueued < Math.min(stopAfterBad - badSoFar, stepper.room);
      if (wait && !last && !validate && !evaluate && !save) continue;
      const { records, badRun, types } = await stepper.records();
      const seconds = (machine.now() - since) / 1000;
      this.report(records, { used, seconds, flops, types, places });
      this.seconds.steps += (machine.now() - since) / 1000;
      places = [];
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
      if (evaluate) await this.evaluate();
      // The wish to stop may have come while the records were read: what is done is saved all the same.
      const stopping = options.rank ? wishes.stop : options.stop?.requested === true;
      if ((save || (stopping && options.checkpointer !== null)) && this.savedAt !== at) await this.save(at);
      if (stopping && at < steps) return this.result(true);
      since = machine.now();
    }
    return this.result(false);
  }

  /** Whether a save is due where no interval was asked: one that took long must wait, so that saves stay a small share of the time. */
  private saveFits(step: number, now: number): boolean {
    return step - Math.max(0, this.savedAt) >= SAVE_STEPS && now - this.lastSave.ended >= this.lastSave.took / SAVE_SHARE;
  }

  private report(
    records: readonly StepRecord[],
    group: {
      readonly used: number;
      readonly seconds: number;
      readonly flops: number;
      readonly types: readonly TypeLoss[] | null;
      readonly places: readonly Batch[];
    },
  ): void {
    const { used, seconds, flops, types, places } = group;
    const { peak = null, types: names = [] } = this.options;
    if (records.length === 0) return;
    const perStep = seconds / records.length;
    const tokens = used / records.length;
    for (const [i, r] of records.entries()) {
      const ceiling = this.guard?.ceiling(r.step) ?? 0;
      this.guard?.note(r);
      this.tokens += tokens;
      // The first step compiles; speed is measured from the second on.
      if (r.step > 0) {
        this.busySeconds += perStep;
        this.busyTokens += tokens;
        this.busyFlops += flops;
      }
      const loss = r.tokens > 0 ? r.lossSum / r.tokens : Number.NaN;
      if (r.skipped) {
        this.skipped++;
        const why = r.outlier
          ? `has a gradient norm of ${r.gradNorm.toPrecision(3)}, over its ceiling of ${ceiling.toPrecision(3)}; its update was skipped`
          : `found NaN or infinity; its update was skipped, loss scale ${r.lossScale}`;
        this.options.hooks?.onEvent?.({ kind: 'skipped', step: r.step, message: `step ${r.step} ${why}` });
      } else {
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
        peakShare: peak ? flops / perStep / peak : null,
        epoch: places[i]?.epoch ?? 0,
        bucket: places[i]?.bucket ?? null,
        byType: types && i === records.length - 1 ? lossesByName(types, names) : null,
        deviceBytes: this.stepper.device.liveBytes,
      });
    }
  }

  /** Validation loss in nats per label and bits per byte of text, so that tokenizers compare. */
  async validate(): Promise<ValidationReport> {
    const { validation, hooks } = this.options;
    if (!validation) throw new ScionError('internal', 'no validation data');
    const machine = await host();
    const began = machine.now();
    const losses = await evaluateHeldOut(this.stepper, validation);
    const drift = (await this.rows?.measure(this.stepper)) ?? null;
    const samples = await this.writeSamples();
    const report = { step: this.stepper.attempted, ...losses, drift, samples, seconds: (machine.now() - began) / 1000 };
    this.firstValidation ??= report;
    this.lastValidation = report;
    await hooks?.onValidate?.(report);
    this.seconds.validation += (machine.now() - began) / 1000;
    return report;
  }

  /** Asks the questions of the run; a model that has gone wrong is told and trained on, as with samples. */
  private async evaluate(): Promise<void> {
    const { evaluate, hooks } = this.options;
    if (!evaluate) return;
    const machine = await host();
    const began = machine.now();
    const step = this.stepper.attempted;
    try {
      const scores = await evaluate.ask(this.stepper);
      await hooks?.onEvaluate?.({ step, scores, seconds: (machine.now() - began) / 1000 });
    } catch (error) {
      if (!isScionError(error) || error.kind === 'lost') throw error;
      hooks?.onEvent?.({ kind: 'evaluation-failed', step, message: `no answers at step ${step}: ${error.message}` });
    }
    this.seconds.validation += (machine.now() - began) / 1000;
  }

  /** Continuations of the prompts. A model that has gone wrong must not end the run here: its steps are skipped or stop it. */
  private async writeSamples(): Promise<readonly TextSample[]> {
    const { samples, hooks } = this.options;
    if (!samples || samples.prompts.length === 0) return [];
    try {
      const written = await writeSamples(this.stepper, samples);
      this.sampleBytes = written.bytes;
      return written.samples;
    } catch (error) {
      if (!isScionError(error) || error.kind === 'lost') throw error;
      hooks?.onEvent?.({ kind: 'sample-failed', step: this.stepper.attempted, message: `no samples at step ${this.stepper.attempted}: ${error.message}` });
      return [];
    }
  }

  private async save(step: number): Promise<void> {
    const { checkpointer, source, hooks } = this.options;
    if (!checkpointer) return;
    const machine = await host();
    const began = machine.now();
    try {
      const guard = this.guard && { guard: this.guard.state() };
      this.lastPath = await checkpointer.save(this.stepper, { step, tokens: this.tokens, source: source.state(), curve: this.curve, ...guard });
      this.failedSaves = 0;
      this.savedAt = step;
      hooks?.onSave?.(this.lastPath, step);
    } catch (error) {
      if (!isScionError(error) || (error.kind !== 'space' && error.kind !== 'io') || ++this.failedSaves >= MAX_FAILED_SAVES) throw error;
      hooks?.onEvent?.({ kind: 'save-failed', step, message: `${error.message}; training goes on, the next save is tried at the next interval` });
    } finally {
      const now = machine.now();
      this.lastSave = { took: now - began, ended: now };
      this.seconds.saving += (now - began) / 1000;
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
      skippedSteps: this.skipped,
      sampleBytes: this.sampleBytes,
      seconds: { ...this.seconds },
      curve: this.curve,
      checkpoint: this.lastPath,
    };
  }
}

/** Losses by the names of their types; types that no label had are left out. */
function lossesByName(types: readonly TypeLoss[], names: readonly string[]): Record<string, { loss: number; labels: number }> {
  const met = types.flatMap(({ nll, labels }, i) => (labels > 0 ? [[names[i] ?? String(i), { loss: nll / labels, labels }] as const] : []));
  return Object.fromEntries(met);
}
