/**
 * Runs training steps on a device: micros, then the update, without waiting for any of it. The device
 * counts steps and skips bad ones; the host reads its records back every few steps. This class knows nothing of
 * files, schedules or data sources; the trainer does.
 */
import { ScionError } from '../base/errors.ts';
import type { ReadParameter } from '../checkpoint/source.ts';
import { documentLengths } from '../data/document-lengths.ts';
import type { Batch } from '../data/loader.ts';
import { batchTables } from '../data/pack.ts';
import type { GpuDevice } from '../gpu/device.ts';
import { startAdapters } from '../nn/lora-init.ts';
import { emaName, initialValues, listParameters, momentName, weightName } from '../nn/parameters.ts';
import { quantColumns, quantisedStates, scalesName, weightsOf, wordsName } from '../nn/quantized.ts';
import type { StepScalars } from '../tensor/op.ts';
import { readTypeLosses, type TypeLoss } from '../tensor/ops/loss_by_type.ts';
import { biasTable, freshStepState, readRecord, STEP, STEP_RING, type StepRecord } from '../tensor/ops/step_state.ts';
import { type Feeds, type MemoryUse, Session } from '../tensor/session.ts';
import { BIAS_ENTRIES, type TrainPlans, type TrainSetup, TYPE_SUMS } from './programs.ts';

/** Loss scale that mixed precision starts with (Micikevicius et al. 2018 use 2^8 to 2^15); it halves and doubles by itself. */
export const FIRST_LOSS_SCALE = 1024;

/** An optimizer's state to go on from, of another run. */
export interface CarriedOptimizer {
  /** Good steps so far: the bias corrections go on with the next. */
  readonly t: number;
  /** f32 values of a parameter's moment; null where the other run had none, which then starts at zero. */
  moment(which: 1 | 2, parameter: string): Promise<Float32Array | null>;
}

/** A model in training on one device. */
export class Stepper {
  readonly device: GpuDevice;
  readonly setup: TrainSetup;
  readonly session: Session;
  readonly plans: TrainPlans;
  /** Steps enqueued since the state was set (skipped ones count). */
  attempted = 0;
  /** Steps whose record has been read. */
  protected recorded = 0;
  /** Adam's t as last read. */
  protected lastT = 0;

  constructor(device: GpuDevice, setup: TrainSetup, plans: TrainPlans) {
    this.device = device;
    this.setup = setup;
    this.plans = plans;
    this.session = new Session(device, plans.plans, { states: plans.states });
  }

  /** Planned bytes by kind; the session allocated exactly these. */
  get memory(): MemoryUse {
    return this.session.memory;
  }

  /**
   * Writes parameters (and what is derived from them) and a fresh step state; moments start at zero as buffers do, or where `carried`
   * left them. Adapters start as their spec says; with `adapters` they are read, under their names, and the base is taken as it is.
   */
  async start(read: ReadParameter, options: { readonly adapters?: ReadParameter; readonly carried?: CarriedOptimizer } = {}): Promise<void> {
    const { model, lora, seed = 0, precision } = this.setup;
    const { carried } = options;
    for (const p of listParameters(model)) {
      let values = await read(p.name);
      if (lora) {
        const started = await startAdapters(model, lora, p, values, seed, options.adapters);
        values = started.base;
        for (const [name, matrix] of started.adapters) this.write(name, matrix);
      }
      this.write(p.name, values);
    }
    const state = freshStepState(precision === 'mixed' ? FIRST_LOSS_SCALE : 1);
    if (carried) {
      state[STEP.t] = carried.t;
      for (const { kind, name } of this.plans.states.all()) {
        if (kind !== 'moment1' && kind !== 'moment2') continue;
        const values = await carried.moment(kind === 'moment1' ? 1 : 2, name.slice(momentName(1, '').length));
        if (values) this.session.writeState(name, values);
      }
    }
    this.session.writeState('step', state);
    this.attempted = 0;
    this.recorded = 0;
    this.lastT = carried?.t ?? 0;
  }

  /** Writes a parameter to every state that holds its value: master, 16-bit copy, moving average, or codes and scales. */
  protected write(name: string, values: Float32Array): void {
    const { states } = this.plans;
    const columns = this.quantColumns(name);
    const quantised = columns === null ? {} : quantisedStates(states, name, columns, values);
    for (const [state, held] of Object.entries(quantised)) this.session.writeState(state, held);
    for (const state of [name, weightName(name), emaName(name)]) if (states.get(state)) this.session.writeState(state, values);
  }

  /**
   * The values of a parameter, f32: its master, or the 16-bit or quantised weight where it is frozen and has none. `average`: its moving
   * average where one is kept (what does not learn has none and is given as it is).
   */
  async readParameter(name: string, options: { readonly average?: boolean } = {}): Promise<Float32Array> {
    const { states } = this.plans;
    const columns = this.quantColumns(name);
    if (columns !== null) {
      const words = (await this.session.readState(wordsName(name, columns))) as Uint32Array;
      const scales = (await this.session.readState(scalesName(name))) as Float32Array;
      return weightsOf(columns, states.get(scalesName(name))?.shape[0] ?? 0, words, scales);
    }
    const wanted = [...(options.average ? [emaName(name)] : []), name, weightName(name)];
    return (await this.session.readState(wanted.find((state) => states.get(state)) ?? name)) as Float32Array;
  }

  /** Columns of a parameter that is held as codes; null for the others. */
  private quantColumns(name: string): number | null {
    return quantColumns(
      this.plans.states.all().map((s) => s.name),
      name,
    );
  }

  /** Starts from seeded random parameters. */
  async startFresh(seed: number): Promise<void> {
    const byName = new Map(listParameters(this.setup.model).map((p) => [p.name, p]));
    await this.start(async (name) => {
      const p = byName.get(name);
      if (!p) throw new ScionError('internal', `no parameter "${name}"`);
      return initialValues(p, seed);
    });
  }

  /** Takes over counters after the states were loaded from a checkpoint, which makes the 16-bit copies again from the masters. */
  async resumed(): Promise<void> {
    const words = (await this.session.readState('step')) as Uint32Array;
    this.attempted = words[STEP.attempted];
    this.recorded = this.attempted;
    this.lastT = words[STEP.t];
  }

  /** Adam's t as last read. */
  get goodSteps(): number {
    return this.lastT;
  }

  /** Steps that may still be enqueued before `records` must be called. */
  get room(): number {
    return STEP_RING - (this.attempted - this.recorded);
  }

  /** What the micro program is fed for a batch: its arrays, the tables of the embedding's gradient if it learns, the size of its noise. */
  feedsOf(batch: Batch): { feeds: Feeds; segments: number } {
    const { ids, positions, ranges, labels } = batch;
    const { model, neftune, tokens, lossTypes } = this.setup;
    const takes = (name: string): boolean => this.plans.plans.micro.data.some((d) => d.name === name);
    const feeds: Record<string, Float32Array | Uint32Array | Int32Array> = { ids, positions, ranges, labels };
    if (lossTypes) feeds.types = batch.types ?? new Uint32Array(ids.length);
    if (neftune) {
      const scale = (L: number): number => (L > 0 ? neftune / Math.sqrt(L * model.hiddenSize) : 0);
      feeds.noise = Float32Array.from(documentLengths(batch, tokens), scale);
    }
    // Made even where they are not fed: this is where an id outside the vocabulary is found.
    const { order, starts, segmentIds, segments } = batchTables(ids, model.vocabSize);
    if (takes('order')) Object.assign(feeds, { order, starts, segmentIds });
    return { feeds, segments };
  }

  /** What the update program is fed: bias corrections from the next t on, the step's rate, and the norm above which it is skipped (0: none). */
  updateInputs(learningRate: number, ceiling = 0): { feeds: Feeds; scalars: StepScalars } {
    const { optimizer } = this.setup;
    const [beta1, beta2] = optimizer.kind === 'adamw' ? [optimizer.beta1, optimizer.beta2] : [0, 0];
    const biasBase = this.lastT + 1;
    return { feeds: { bias: biasTable(biasBase, BIAS_ENTRIES, beta1, beta2) }, scalars: { lr: learningRate, biasBase, ceiling } };
  }

  /**
   * Forward and backward of one batch without an update: gradients are added to what is there. `stream` numbers the micro over
   * the whole run: dropout and noise of one number are the same.
   */
  accumulate(batch: Batch, weight: number, stream = 0): void {
    const { feeds, segments } = this.feedsOf(batch);
    this.session.programs.micro.run(feeds, { weight, segments, stream });
  }

  /** Labels of a step's micros. @throws ScionError where there is nothing to learn, or no room for one more record. */
  protected labelsOf(micros: readonly Batch[]): number {
    if (this.room < 1) throw new ScionError('internal', `${STEP_RING} steps without reading records; call records()`);
    const labels = micros.reduce((sum, b) => sum + b.tokens, 0);
    if (labels === 0) throw new ScionError('input', 'a step has no label to learn from: all its tokens are padding or ignored');
    return labels;
  }

  /** Number of a step's micro over the whole run. Counted from attempted steps, which a checkpoint keeps: a resumed run draws what it would have drawn. */
  protected streamOf(micros: number, i: number): number {
    return (this.attempted * micros + i) % 2 ** 32;
  }

  /** Enqueues one step over these micros; `ceiling` as in `updateInputs`, heeded where the setup has `outlier`. */
  step(micros: readonly Batch[], learningRate: number, ceiling = 0): void {
    const labels = this.labelsOf(micros);
    const { update } = this.session.programs;
    for (const [i, batch] of micros.entries()) this.accumulate(batch, 1 / labels, this.streamOf(micros.length, i));
    const { feeds, scalars } = this.updateInputs(learningRate, ceiling);
    update.run(feeds, scalars);
    this.attempted++;
  }

  /** As `step`, for one device and for a rank, which waits for others on its way. */
  async advance(micros: readonly Batch[], learningRate: number, ceiling = 0): Promise<void> {
    this.step(micros, learningRate, ceiling);
  }

  /** Reads the records of all steps since the last call, and their losses by type of data where these are summed; one round trip. */
  async records(): Promise<{ records: StepRecord[]; badRun: number; types: TypeLoss[] | null }> {
    const { states } = this.plans;
    const { buffer, offset, bytes } = states.place('step');
    const sums = this.setup.lossTypes ? states.place(TYPE_SUMS) : null;
    const end = sums ? sums.offset + sums.bytes : offset + bytes;
    const words = new Uint32Array((await this.session.readBytes(buffer, offset, end - offset)).buffer);
    if (words[STEP.attempted] !== this.attempted) {
      throw new ScionError('lost', `the device counts ${words[STEP.attempted]} steps, ${this.attempted} were submitted: work was dropped`);
    }
    const records: StepRecord[] = [];
    for (; this.recorded < this.attempted; this.recorded++) records.push(readRecord(words, this.recorded));
    this.lastT = words[STEP.t];
    if (!sums) return { records, badRun: words[STEP.badRun], types: null };
    // Nothing was enqueued since the copy, so nothing is lost by beginning anew.
    this.session.writeBytes(sums.buffer, sums.offset, new Uint8Array(sums.bytes));
    return { records, badRun: words[STEP.badRun], types: readTypeLosses(words.slice((sums.offset - offset) / 4, (end - offset) / 4)) };
  }

  /** Negative log-likelihoods (nats) of the B x T labels of a batch, forward only; ignored ones are exact zeros. */
  async losses({ ids, positions, ranges, labels }: Batch): Promise<Float32Array> {
    const program = this.session.programs.evaluate;
    program.run({ ids, positions, ranges, labels });
    return (await program.read()).nll as Float32Array;
  }

  /** Sum of negative log-likelihoods (nats) and labels over batches, forward only. */
  async evaluate(batches: Iterable<Batch>): Promise<{ nll: number; labels: number }> {
    let nll = 0;
    let labels = 0;
    for (const batch of batches) {
      for (const x of await this.losses(batch)) nll += x;
      labels += batch.tokens;
    }
    return { nll, labels };
  }

  destroy(): void {
    this.session.destroy();
  }
}
