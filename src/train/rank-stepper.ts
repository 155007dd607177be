/**
 * A stepper that is one rank of a mesh: it runs its own micros of the global batch, and its programs take part in the mesh's
 * collectives. Every rank is given the whole step's micros, so that data, order and position are those of one device.
 */
import { ScionError } from '../base/errors.ts';
import type { SplitStates } from '../checkpoint/store.ts';
import type { Batch } from '../data/loader.ts';
import { partTables } from '../data/pack.ts';
import type { GpuDevice } from '../gpu/device.ts';
import { emaName, listParameters } from '../nn/parameters.ts';
import { DeviceExchange } from '../shard/exchange.ts';
import type { Mesh } from '../shard/mesh.ts';
import { readSharded } from '../shard/read.ts';
import { onFirst, sayAll } from '../shard/say.ts';
import { batchOfRank, joinTokens, rangeFeeds, type SequencePart } from '../shard/sequence.ts';
import { cutPart, isSplit, partOf, pastePart, vocabBounds } from '../shard/split.ts';
import type { TypeLoss } from '../tensor/ops/loss_by_type.ts';
import type { StepRecord } from '../tensor/ops/step_state.ts';
import type { Feeds } from '../tensor/session.ts';
import { type Shape, sizeOf } from '../tensor/types.ts';
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

const bytesOf = (x: Float32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

/** One rank's model in training. All methods that give promises are collective: every rank calls them in the same order. */
export class RankStepper extends Stepper implements SplitStates {
  readonly mesh: Mesh;
  private readonly exchange: DeviceExchange | null;

  constructor(device: GpuDevice, setup: TrainSetup, plans: TrainPlans, mesh: Mesh) {
    super(device, setup, plans);
    this.mesh = mesh;
    const { exchangeStaging } = this.session;
    this.exchange = exchangeStaging && new DeviceExchange(device, exchangeStaging, { ...mesh.along, data: mesh.data });
  }

  /** This rank's tokens of each pack; null where it has whole packs. */
  private get sequencePart(): SequencePart | null {
    const { sp } = this.mesh.along;
    const { sequence: kind } = this.plans;
    return kind && { kind, tokens: this.setup.tokens, ranks: sp.size, rank: sp.rank };
  }

  /** What the micro program is fed on this rank: its tokens of each pack; ids and labels counted from its first row of the vocabulary, where that is split. */
  override feedsOf(batch: Batch): { feeds: Feeds; segments: number } {
    const part = this.sequencePart;
    const own = part ? batchOfRank(part, batch) : batch;
    const { feeds, segments: all } = super.feedsOf(own);
    const { ranges, ...others } = feeds;
    const whole = { ...others, ...this.rangeFeeds(batch) };
    const { tp } = this.mesh.along;
    if (tp.size === 1) return { feeds: whole, segments: all };
    const { first, rows } = this.ownRows;
    const tables = 'order' in whole ? partTables(own.ids, first, rows) : null;
    const { segments = all, ...sorted } = tables ?? {};
    return { feeds: { ...whole, ...this.partFeeds(own), ...sorted }, segments };
  }

  private rangeFeeds({ ranges }: Batch): Feeds {
    const part = this.sequencePart;
    return part ? rangeFeeds(part, ranges) : { ranges };
  }

  /** This rank's rows of the vocabulary. */
  private get ownRows(): { readonly first: number; readonly rows: number } {
    const { tp } = this.mesh.along;
    const bounds = vocabBounds(this.setup.model.vocabSize, tp.size);
    return { first: bounds[tp.rank], rows: bounds[tp.rank + 1] - bounds[tp.rank] };
  }

  private partFeeds({ ids, labels }: Batch): { ids: Uint32Array; labels: Int32Array } {
    if (this.mesh.along.tp.size === 1) return { ids, labels };
    const { first, rows } = this.ownRows;
    const { vocabSize } = this.setup.model;
    // An id that is not here has a row of zeros; a label that is not here is any number from `rows` on, an ignored one negative.
    const own = (id: number): boolean => id >= first && id < first + rows;
    return {
      ids: ids.map((id) => (own(id) ? id - first : vocabSize)),
      labels: labels.map((label) => (label < 0 || label >= vocabSize ? -1 : own(label) ? label - first : rows)),
    };
  }

  /** The part of a parameter that is this rank's, of values that are the whole. */
  protected override write(name: string, values: Float32Array): void {
    super.write(name, this.mesh.along.tp.size === 1 ? values : this.cutWhole(name, values));
  }

  wholeShape(state: string): Shape | null {
    const parameter = state.slice(state.indexOf(':') + 1);
    if (this.mesh.along.tp.size === 1 || !isSplit(parameter)) return null;
    return listParameters(this.setup.model).find((p) => p.name === parameter)?.shape ?? null;
  }

  cutWhole(state: string, values: Float32Array): Float32Array<ArrayBuffer> {
    const { tp } = this.mesh.along;
    return cutPart(values, partOf(this.setup.model, state.slice(state.indexOf(':') + 1), values.length, tp.size, tp.rank));
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
    const { commands } = this.session.programs.micro.plan;
    const even = commands.some((c) => c.kind === 'exchange' && c.move.axis === 'data');
    for (const { micro, index } of microsOfRank(micros, dp.size, dp.rank, even)) {
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

  override async losses(batch: Batch): Promise<Float32Array> {
    const part = this.sequencePart;
    const own = part ? batchOfRank(part, batch) : batch;
    await this.runProgram('evaluate', { positions: own.positions, ...this.rangeFeeds(batch), ...this.partFeeds(own) });
    const nll = (await this.session.programs.evaluate.read()).nll as Float32Array;
    if (!part) return nll;
    const parts = Array.from({ length: part.ranks }, () => new Float32Array(nll.length));
    await this.mesh.along.sp.allGather(bytesOf(nll), parts.map(bytesOf));
    return joinTokens(part, parts);
  }

  /** As `Stepper.records`; losses by type are those of all ranks. */
  override async records(): Promise<{ records: StepRecord[]; badRun: number; types: TypeLoss[] | null }> {
    const own = await super.records();
    const { data } = this.mesh;
    if (!own.types || data.size === 1) return own;
    const send = new Float64Array(own.types.flatMap(({ nll, labels }) => [nll, labels]));
    const got = Array.from({ length: data.size }, () => new Float64Array(send.length));
    await data.allGather(
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
    if (!states.get(wanted)) return super.readParameter(name, options);
    return this.readWhole(wanted);
  }

  /**
   * Lets the first rank do something that reads parameters in an order of its own, while the others hand out their parts. Its
   * failure is everyone's. Collective.
   */
  async lendParameters<T>(work: (read: (name: string) => Promise<Float32Array>) => Promise<T>): Promise<T | null> {
    const { world } = this.mesh;
    type Asked = { readonly name: string | null };
    const ask = (name: string | null): Promise<Asked[]> => sayAll<Asked>(world, { name });
    if (world.rank > 0) {
      for (let [{ name }] = await ask(null); name !== null; [{ name }] = await ask(null)) await this.readParameter(name);
      return onFirst(world, async () => null);
    }
    return onFirst(world, async () => {
      try {
        return await work(async (name) => {
          await ask(name);
          return this.readParameter(name);
        });
      } finally {
        await ask(null);
      }
    });
  }

  /** The values of a state of a parameter (itself, a moment, …), joined over all ranks where it is cut or split. */
  async readWhole(state: string): Promise<Float32Array> {
    const { states } = this.plans;
    const { tp } = this.mesh.along;
    const cut = states.buffer(states.place(state).buffer)?.sharded;
    const own = cut ? await readSharded(this.session, this.mesh.data, state) : ((await this.session.readState(state)) as Float32Array);
    const shape = this.wholeShape(state);
    if (!shape) return own;
    const parameter = state.slice(state.indexOf(':') + 1);
    const size = sizeOf(shape);
    const runs = Array.from({ length: tp.size }, (_, rank) => partOf(this.setup.model, parameter, size, tp.size, rank));
    const parts = runs.map((list) => new Float32Array(list.reduce((n, r) => n + r.count, 0)));
    await tp.allGather(bytesOf(own), parts.map(bytesOf));
    const out = new Float32Array(size);
    for (const [rank, part] of parts.entries()) pastePart(out, part, runs[rank]);
    return out;
  }
}
