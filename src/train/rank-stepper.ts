/**
 * A stepper that is one rank of a mesh: it runs its own micros of the global batch, and its programs take part in the mesh's
 * collectives. Every rank is given the whole step's micros, so that data, order and position are those of one device.
 */
import { invariant, ScionError } from '../base/errors.ts';
import type { Batch } from '../data/loader.ts';
import type { GpuDevice } from '../gpu/device.ts';
import { emaName } from '../nn/parameters.ts';
import { DeviceExchange } from '../shard/exchange.ts';
import type { Mesh } from '../shard/mesh.ts';
import { readSharded } from '../shard/read.ts';
import type { TypeLoss } from '../tensor/ops/loss_by_type.ts';
import type { StepRecord } from '../tensor/ops/step_state.ts';
import type { TrainPlans, TrainSetup } from './programs.ts';
import { Stepper } from './stepper.ts';

/** The micros of a step that one of so many ranks runs: a run of neighbours, as even as they come (`even`: or not at all). */
export function microsOfRank<T>(micros: readonly T[], ranks: number, rank: number, even = false): { readonly micro: T; readonly index: number }[] {
  if (even && micros.length % ranks !== 0) {
    throw new ScionError(
      'usage',
      `${ranks} data-parallel ranks share ${micros.length} micros a step; from ZeRO 2 on micros speak to each other, so each rank needs as many: make --accumulate a multiple of ${ranks}`,
      { ranks, micros: micros.length },
    );
  }
  if (micros.length < ranks) {
    throw new ScionError(
      'usage',
      `${ranks} data-parallel ranks share ${micros.length} micros a step; each needs at least one: raise --accumulate or use fewer ranks`,
      { ranks, micros: micros.length },
    );
  }
  const bound = (r: number): number => Math.floor((micros.length * r) / ranks);
  return micros.map((micro, index) => ({ micro, index })).slice(bound(rank), bound(rank + 1));
}

/** One rank's model in training. All methods that give promises are collective: every rank calls them in the same order. */
export class RankStepper extends Stepper {
  readonly mesh: Mesh;
  private readonly exchange: DeviceExchange | null;

  constructor(device: GpuDevice, setup: TrainSetup, plans: TrainPlans, mesh: Mesh) {
    super(device, setup, plans);
    this.mesh = mesh;
    const { exchangeStaging } = this.session;
    this.exchange = exchangeStaging && new DeviceExchange(device, exchangeStaging, mesh.along);
  }

  private async runProgram(name: 'micro' | 'update' | 'evaluate', ...inputs: Parameters<Stepper['session']['programs'][string]['run']>): Promise<void> {
    const program = this.session.programs[name];
    const [feeds, scalars] = inputs;
    if (this.exchange && program.plan.communicates) await program.runWith(this.exchange, feeds, scalars);
    else program.run(feeds, scalars);
  }

  /** Runs this rank's share of a step's micros, and the update with all ranks. @throws ScionError `usage` where there are fewer micros than ranks. */
  override async advance(micros: readonly Batch[], learningRate: number, ceiling = 0): Promise<void> {
    const labels = this.labelsOf(micros);
    const { dp } = this.mesh.along;
    const plan = this.session.programs.micro.plan;
    for (const { micro, index } of microsOfRank(micros, dp.size, dp.rank, plan.communicates)) {
      const { feeds, segments } = this.feedsOf(micro);
      await this.runProgram('micro', feeds, { weight: 1 / labels, segments, stream: this.streamOf(micros.length, index) });
    }
    const { feeds, scalars } = this.updateInputs(learningRate, ceiling);
    await this.runProgram('update', feeds, scalars);
    this.attempted++;
  }

  override step(): never {
    throw new ScionError('internal', 'a rank takes its steps with others: advance()');
  }

  override accumulate(): never {
    throw new ScionError('internal', 'a rank accumulates within its steps');
  }

  override async losses({ ids, positions, ranges, labels }: Batch): Promise<Float32Array> {
    await this.runProgram('evaluate', { ids, positions, ranges, labels });
    return (await this.session.programs.evaluate.read()).nll as Float32Array;
  }

  /** As `Stepper.records`; losses by type are those of all ranks. */
  override async records(): Promise<{ records: StepRecord[]; badRun: number; types: TypeLoss[] | null }> {
    const own = await super.records();
    const { dp } = this.mesh.along;
    if (!own.types || dp.size === 1) return own;
    const send = new Float64Array(own.types.flatMap(({ nll, labels }) => [nll, labels]));
    const got = Array.from({ length: dp.size }, () => new Float64Array(send.length));
    await dp.allGather(
      new Uint8Array(send.buffer),
      got.map((x) => new Uint8Array(x.buffer)),
    );
    const types = own.types.map((_, i) => ({ nll: got.reduce((sum, x) => sum + x[2 * i], 0), labels: got.reduce((sum, x) => sum + x[2 * i + 1], 0) }));
    return { ...own, types };
  }

  /** As `Stepper.readParameter`, joined from the ranks that hold it. */
  override async readParameter(name: string, options: { readonly average?: boolean } = {}): Promise<Float32Array> {
    const { states } = this.plans;
    const wanted = options.average && states.get(emaName(name)) ? emaName(name) : name;
    if (!states.get(wanted) || !states.buffer(states.place(wanted).buffer)?.sharded) return super.readParameter(name, options);
    return this.readWhole(wanted);
  }

  /** The values of a state, joined where it is cut. */
  async readWhole(state: string): Promise<Float32Array> {
    const { states } = this.plans;
    if (!states.buffer(states.place(state).buffer)?.sharded) return (await this.session.readState(state)) as Float32Array;
    invariant(states.sharding, 'what is sharded has an axis');
    return readSharded(this.session, this.mesh.along.dp, state);
  }
}
