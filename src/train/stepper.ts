/**
 * Runs training steps on a device: micros, then the update, without waiting for any of it. The device
 * counts steps and skips bad ones; the host reads its records back every few steps. This class knows nothing of
 * files, schedules or data sources; the trainer does.
 */
import { ScionError } from '../base/errors.ts';
import type { Batch } from '../data/loader.ts';
import { batchTables } from '../data/pack.ts';
import type { GpuDevice } from '../gpu/device.ts';
import { initialValues, listParameters, weightName } from '../nn/parameters.ts';
import { biasTable, freshStepState, readRecord, STEP, STEP_RING, type StepRecord } from '../tensor/ops/step_state.ts';
import { type Feeds, type MemoryUse, Session } from '../tensor/session.ts';
import { BIAS_ENTRIES, type TrainPlans, type TrainSetup } from './programs.ts';

/** Loss scale that mixed precision starts with (Micikevicius et al. 2018 use 2^8 to 2^15); it halves and doubles by itself. */
export const FIRST_LOSS_SCALE = 1024;

/** Gives a parameter's f32 values by scion's name. */
export type ReadParameter = (name: string) => Promise<Float32Array>;

/** A model in training on one device. */
export class Stepper {
  readonly device: GpuDevice;
  readonly setup: TrainSetup;
  readonly session: Session;
  readonly plans: TrainPlans;
  /** Steps enqueued since the state was set (skipped ones count). */
  attempted = 0;
  /** Steps whose record has been read. */
  private recorded = 0;
  /** Adam's t as last read. */
  private lastT = 0;

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

  /** Writes parameters (and their 16-bit copies) and a fresh step state; moments start at zero as buffers do. */
  async start(read: ReadParameter): Promise<void> {
    const mixed = this.setup.precision === 'mixed';
    for (const p of listParameters(this.setup.model)) {
      const values = await read(p.name);
      this.session.writeState(p.name, values);
      if (mixed && p.group === 'decay') this.session.writeState(weightName(p.name), values);
    }
    this.session.writeState('step', freshStepState(mixed ? FIRST_LOSS_SCALE : 1));
    this.attempted = 0;
    this.recorded = 0;
    this.lastT = 0;
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

  /** Takes over counters after the states were loaded from a checkpoint. 16-bit copies are made again from the masters. */
  async resumed(): Promise<void> {
    const words = (await this.session.readState('step')) as Uint32Array;
    this.attempted = words[STEP.attempted];
    this.recorded = this.attempted;
    this.lastT = words[STEP.t];
    if (this.setup.precision !== 'mixed') return;
    for (const p of listParameters(this.setup.model)) {
      if (p.group === 'decay') this.session.writeState(weightName(p.name), await this.session.readState(p.name));
    }
  }

  /** Adam's t as last read. */
  get goodSteps(): number {
    return this.lastT;
  }

  /** Steps that may still be enqueued before `records` must be called. */
  get room(): number {
    return STEP_RING - (this.attempted - this.recorded);
  }

  /** What the micro program is fed for a batch: its arrays and the embedding's sort tables. */
  feedsOf(batch: Batch): { feeds: Feeds; segments: number } {
    const { ids, positions, ranges, labels } = batch;
    const { order, starts, segmentIds, segments } = batchTables(ids, this.setup.model.vocabSize);
    return { feeds: { ids, positions, ranges, labels, order, starts, segmentIds }, segments };
  }

  /** Forward and backward of one batch without an update: gradients are added to what is there. For tests and probes. */
  accumulate(batch: Batch, weight: number): void {
    const { feeds, segments } = this.feedsOf(batch);
    this.session.programs.micro.run(feeds, { weight, segments });
  }

  /** Enqueues one step over these micros. */
  step(micros: readonly Batch[], learningRate: number): void {
    if (this.room < 1) throw new ScionError('internal', `${STEP_RING} steps without reading records; call records()`);
    const labels = micros.reduce((sum, b) => sum + b.tokens, 0);
    if (labels === 0) throw new ScionError('input', 'a step has no label to learn from: all its tokens are padding or ignored');
    const { micro, update } = this.session.programs;
    for (const batch of micros) {
      const { feeds, segments } = this.feedsOf(batch);
      micro.run(feeds, { weight: 1 / labels, segments });
    }
    const { optimizer } = this.setup;
    const [beta1, beta2] = optimizer.kind === 'adamw' ? [optimizer.beta1, optimizer.beta2] : [0, 0];
    const base = this.lastT + 1;
    update.run({ bias: biasTable(base, BIAS_ENTRIES, beta1, beta2) }, { lr: learningRate, biasBase: base });
    this.attempted++;
  }

  /** Reads the records of all steps since the last call; one round trip. */
  async records(): Promise<{ records: StepRecord[]; badRun: number }> {
    const words = (await this.session.readState('step')) as Uint32Array;
    if (words[STEP.attempted] !== this.attempted) {
      throw new ScionError('lost', `the device counts ${words[STEP.attempted]} steps, ${this.attempted} were submitted: work was dropped`);
    }
    const records: StepRecord[] = [];
    for (; this.recorded < this.attempted; this.recorded++) records.push(readRecord(words, this.recorded));
    this.lastT = words[STEP.t];
    return { records, badRun: words[STEP.badRun] };
  }

  /** Sum of negative log-likelihoods (nats) and labels over batches, forward only. */
  async evaluate(batches: Iterable<Batch>): Promise<{ nll: number; labels: number }> {
    const program = this.session.programs.evaluate;
    let nll = 0;
    let labels = 0;
    for (const batch of batches) {
      const { ids, positions, ranges, labels: targets } = batch;
      program.run({ ids, positions, ranges, labels: targets });
      const out = await program.read();
      // Ignored rows are exact zeros.
      for (const x of out.nll) nll += x;
      labels += batch.tokens;
    }
    return { nll, labels };
  }

  destroy(): void {
    this.session.destroy();
  }
}
