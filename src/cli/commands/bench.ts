/**
 * `scion bench`: what a device gives on the work that scion puts on it: the roofs, the kernels that most of the time goes to,
 * one training step and decoding at a size of your choice. For comparing machines and drivers; a checkout's `bench/`
 * compares kernels. Medians of a few runs, so other load on the machine shows.
 */
import { Random } from '../../base/random.ts';
import type { Batch } from '../../data/loader.ts';
import { GpuDevice } from '../../gpu/device.ts';
import { host } from '../../host/index.ts';
import { Generator } from '../../infer/generator.ts';
import { countParameters, type LlamaConfig, makeConfig } from '../../nn/config.ts';
import { attentionRanges } from '../../nn/llama.ts';
import type { Precision } from '../../nn/parameters.ts';
import { Graph, type Value } from '../../tensor/graph.ts';
import { measureDevice, medianSeconds } from '../../tensor/measure.ts';
import { attention } from '../../tensor/ops/attention.ts';
import { MATMUL, matmul } from '../../tensor/ops/matmul.ts';
import { rmsnorm } from '../../tensor/ops/rmsnorm.ts';
import { softmax } from '../../tensor/ops/softmax.ts';
import { planGraph } from '../../tensor/plan.ts';
import { Session } from '../../tensor/session.ts';
import { States } from '../../tensor/states.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from '../../train/programs.ts';
import { Stepper } from '../../train/stepper.ts';
import type { Command, Context } from '../command.ts';
import type { FlagSpecs } from '../flags.ts';
import { countOf } from '../load-model.ts';
import { bytes, si } from '../status.ts';

/** Launches of one submit, so that its latency counts little. */
const CHAIN = 8;
/** What a sample takes at least, and how many runs it may be made of: some hosts look for finished work every 10 ms only. */
const SAMPLE_MS = 60;
const MOST_REPEATS = 64;
/** Samples of a row at least and at most. */
const RUNS = { least: 3, most: 30 };
/** Tokens of the decoding row. */
const DECODED = 32;

/** Sizes where no flag gives one. */
const SIZES = {
  quick: { layers: 2, hidden: 64, heads: 4, vocab: 512, batch: 4, tokens: 64, side: 256, seconds: 2, rowMs: 150 },
  full: { layers: 4, hidden: 256, heads: 8, vocab: 2048, batch: 8, tokens: 128, side: 512, seconds: 8, rowMs: 600 },
} as const;

/** A kernel to time: its states, and a graph over them that gives one value. */
interface Row {
  readonly name: string;
  readonly shape: string;
  readonly states: Readonly<Record<string, readonly number[]>>;
  /** Launches in the graph. */
  readonly launches: number;
  readonly build: (v: Readonly<Record<string, Value>>) => Value;
  /** The value is added to a state, so nothing needs to come back. */
  readonly updates?: boolean;
  /** Contents that random numbers cannot stand for. */
  readonly ranges?: Uint32Array;
}

/** What a row took. */
interface Timed {
  readonly name: string;
  readonly shape: string;
  /** Of one launch. */
  readonly seconds: number;
  readonly flopsPerSecond: number;
  readonly bytesPerSecond: number;
}

/** Calls `again` until nothing is left to chain. */
function chained(x: Value, again: (z: Value) => Value): Value {
  let z = x;
  for (let i = 0; i < CHAIN; i++) z = again(z);
  return z;
}

/** Rows at a square side `n`. The last of a chain of products adds to a state, so that only a few numbers come back. */
function rowsOf(n: number): Row[] {
  const product = (name: string, m: number, transposeA: boolean, transposeB: boolean): Row => ({
    name: `matmul ${name}`,
    shape: `${m} x ${n} x ${n}`,
    states: { x: [m, n], w: [n, n], y: [m, n] },
    updates: true,
    launches: CHAIN,
    build({ x, w, y }) {
      let z = x;
      for (let i = 0; i < CHAIN - 1; i++) z = matmul(z, w, { transposeA, transposeB });
      return x.node.graph.apply1(MATMUL, [z, w], { transposeA, transposeB, alpha: 1 }, y);
    },
  });
  const heads = { heads: 8, kvHeads: 8, headSize: 64 };
  return [
    product('NN', n, false, false),
    product('NT', n, false, true),
    product('TN', n, true, false),
    product('vector', 1, false, true),
    {
      name: 'attention',
      shape: `${n} tokens, 8 heads of 64`,
      states: { qkv: [1, n, 3 * 8 * 64], ranges: [1, n, 4] },
      ranges: attentionRanges(n),
      launches: 1,
      build: ({ qkv, ranges }) => attention(qkv, ranges, heads).stats,
    },
    {
      name: 'rmsnorm',
      shape: `${4 * n} x ${n}`,
      states: { x: [4 * n, n], w: [n] },
      launches: CHAIN,
      build: ({ x, w }) => chained(x, (z) => rmsnorm(z, w, { eps: 1e-5 })),
    },
    { name: 'softmax', shape: `${4 * n} x ${n}`, states: { x: [4 * n, n] }, launches: CHAIN, build: ({ x }) => chained(x, softmax) },
  ];
}

/** Median seconds of `work` over this command's number of runs. */
const time = (work: () => Promise<unknown>, budgetMs: number): Promise<number> => medianSeconds(work, budgetMs, RUNS.least, RUNS.most);

async function timeRow(device: GpuDevice, row: Row, budgetMs: number): Promise<Timed> {
  const machine = await host();
  const states = new States();
  for (const [name, shape] of Object.entries(row.states)) states.declare(name, 'other', name, [...shape], name === 'ranges' ? 'u32' : 'f32');
  states.freeze(device.facts);
  const graph = new Graph(states);
  const result = row.build(Object.fromEntries(Object.keys(row.states).map((name) => [name, graph.state(name)])));
  const plan = planGraph(graph, { name: row.name, facts: device.facts, outputs: row.updates ? {} : { result } });
  const session = new Session(device, { main: plan }, { states });
  try {
    const random = new Random(1);
    // Small enough that no chain overflows.
    for (const [name, shape] of Object.entries(row.states)) {
      const size = shape.reduce((a, b) => a * b, 1);
      session.writeState(name, name === 'ranges' && row.ranges ? row.ranges : Float32Array.from({ length: size }, () => 0.01 * random.normal()));
    }
    const run = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) session.programs.main.run();
      await device.idle();
    };
    await run(1);
    const began = machine.now();
    await run(1);
    const times = Math.max(1, Math.min(MOST_REPEATS, Math.ceil(SAMPLE_MS / (machine.now() - began))));
    const seconds = (await time(() => run(times), budgetMs)) / times;
    const moved = plan.commands.reduce((sum, c) => sum + (c.kind === 'dispatch' ? c.bytes : c.kind === 'clear' ? c.ref.bytes : 0), 0);
    return { name: row.name, shape: row.shape, seconds: seconds / row.launches, flopsPerSecond: plan.flops / seconds, bytesPerSecond: moved / seconds };
  } finally {
    session.destroy();
  }
}

/** A batch of random tokens, one document a row. */
function randomBatch(config: LlamaConfig, B: number, T: number): Batch {
  const random = new Random(2);
  const N = B * T;
  const ids = Uint32Array.from({ length: N }, () => Math.floor(random.uniform() * config.vocabSize));
  const ranges = new Uint32Array(N * 4);
  for (let b = 0; b < B; b++) ranges.set(attentionRanges(T), b * T * 4);
  const labels = Int32Array.from({ length: N }, (_, i) => ids[(i + 1) % N]);
  return { ids, labels, positions: Uint32Array.from({ length: N }, (_, i) => i % T), ranges, tokens: N, used: N, epoch: 0 };
}

/** Figures of training and decoding at one size. */
async function timeModel({ status }: Context, device: GpuDevice, setup: TrainSetup, budgetMs: number): Promise<Record<string, number>> {
  const machine = await host();
  const { model: config, batch: B, tokens: T, precision } = setup;
  const plans = planTraining(setup, device.facts);
  status.set('training: first step');
  const began = machine.now();
  const stepper = new Stepper(device, setup, plans);
  try {
    await stepper.startFresh(1);
    const batch = randomBatch(config, B, T);
    const step = async (): Promise<void> => {
      stepper.step([batch], 1e-4);
      await stepper.records();
    };
    await step();
    const firstStepSeconds = (machine.now() - began) / 1000;
    status.set('training');
    const stepSeconds = await time(step, budgetMs);
    const peak = device.liveBytes;
    status.set('decoding');
    const generator = Generator.attach(stepper.session, config, { precision, capacity: DECODED + 8 });
    let decodeSeconds: number;
    try {
      decodeSeconds = await time(async () => {
        for await (const _ of generator.generate([1], { maxNewTokens: DECODED, stopIds: [] }));
      }, budgetMs);
    } finally {
      generator.destroy();
    }
    const flops = plans.plans.micro.flops + plans.plans.update.flops;
    return {
      params: countParameters(config),
      firstStepSeconds,
      stepSeconds,
      tokensPerSecond: (B * T) / stepSeconds,
      flopsPerSecond: flops / stepSeconds,
      peakBytesPlanned: plans.memory.total,
      peakBytesMeasured: peak,
      decodeTokensPerSecond: DECODED / decodeSeconds,
    };
  } finally {
    stepper.destroy();
  }
}

const size = (name: keyof (typeof SIZES)['full'], summary: string) =>
  ({ kind: 'integer', summary: `${summary} [${SIZES.full[name]}; quick ${SIZES.quick[name]}]` }) as const;

const FLAGS: FlagSpecs = {
  quick: { kind: 'boolean', summary: 'small sizes, a few seconds', default: false },
  layers: size('layers', 'of the model that trains'),
  hidden: size('hidden', 'its width'),
  heads: size('heads', 'its attention heads'),
  vocab: size('vocab', 'its vocabulary'),
  batch: size('batch', 'packs a step'),
  tokens: size('tokens', 'tokens a pack'),
  precision: { kind: 'string', choices: ['f32', 'mixed'], summary: 'mixed: 16-bit weights and activations', default: 'f32' },
  device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
};

export const command: Command = {
  name: 'bench',
  summary: 'how fast this device is: roofs, kernels, a training step, decoding',
  flags: FLAGS,
  examples: ['scion bench --quick', 'scion bench --layers 8 --hidden 512 --batch 8 --tokens 512 --precision mixed --json'],
  async run(context) {
    const { flags, print, status, result } = context;
    const machine = await host();
    const defaults = flags.boolean('quick') ? SIZES.quick : SIZES.full;
    const of = (name: 'layers' | 'hidden' | 'heads' | 'vocab' | 'batch' | 'tokens'): number => countOf(flags, name) ?? defaults[name];
    const [hidden, tokens] = [of('hidden'), of('tokens')];
    const setup: TrainSetup = {
      model: makeConfig({
        vocabSize: of('vocab'),
        hiddenSize: hidden,
        // LLaMA's two thirds of 4 D, rounded up to whole 16s.
        intermediateSize: 16 * Math.ceil((8 * hidden) / 3 / 16),
        numLayers: of('layers'),
        numHeads: of('heads'),
        maxPositions: Math.max(tokens, DECODED + 8),
        tied: true,
      }),
      precision: flags.string('precision') as Precision,
      batch: of('batch'),
      tokens,
      optimizer: LLAMA_ADAMW,
      clip: 1,
      recompute: 'none',
    };
    const device = await GpuDevice.open({ adapter: flags.string('device') });
    try {
      const { facts } = device;
      print(`device     ${facts.name} on ${machine.version}, ${facts.profile} kernels`);
      status.set('measuring the roofs');
      const speed = await measureDevice(device, defaults.seconds);
      print(`roofs      matmul ${si(speed.flops)}FLOP/s, copy ${si(speed.bytesPerSecond)}B/s`);
      const kernels: Timed[] = [];
      for (const row of rowsOf(facts.profile === 'generic' ? defaults.side : 4 * defaults.side)) {
        status.set(row.name);
        const timed = await timeRow(device, row, defaults.rowMs);
        kernels.push(timed);
        print(
          `  ${row.name.padEnd(14)} ${row.shape.padEnd(28)} ${(timed.seconds * 1e3).toFixed(2).padStart(9)} ms ${si(timed.flopsPerSecond).padStart(8)}FLOP/s ${si(timed.bytesPerSecond).padStart(8)}B/s`,
        );
      }
      const model = await timeModel(context, device, setup, defaults.rowMs);
      const { model: c } = setup;
      print(
        `model      ${si(model.params)} parameters: ${c.numLayers} layers of ${c.hiddenSize}, vocabulary ${c.vocabSize}, ${setup.batch} x ${tokens} tokens, ${setup.precision}`,
      );
      print(
        `training   ${(model.stepSeconds * 1e3).toFixed(1)} ms a step, ${si(model.tokensPerSecond)} tokens/s, ${si(model.flopsPerSecond)}FLOP/s; first step after ${model.firstStepSeconds.toFixed(2)} s`,
      );
      print(`memory     ${bytes(model.peakBytesMeasured)} (planned ${bytes(model.peakBytesPlanned)})`);
      print(`decoding   ${si(model.decodeTokensPerSecond)} tokens/s, one sequence`);
      result({
        runtime: machine.version,
        device: facts.name,
        profile: facts.profile,
        matmulFlopsPerSecond: speed.flops,
        copyBytesPerSecond: speed.bytesPerSecond,
        kernels,
        step: {
          layers: c.numLayers,
          hidden: c.hiddenSize,
          heads: c.numHeads,
          vocab: c.vocabSize,
          batch: setup.batch,
          tokens,
          precision: setup.precision,
          ...model,
        },
      });
    } finally {
      device.destroy();
    }
  },
};
