/**
 * What the tests of sharded training train: a LLaMA of two layers, hidden 32, vocabulary 97, on seeded random tokens, over ranks that share
 * one device and one thread. The global batch is the same whatever the mesh.
 */

import { Random } from '../../src/base/random.ts';
import { Sha256 } from '../../src/base/sha256.ts';
import type { Batch } from '../../src/data/loader.ts';
import { PackLoader } from '../../src/data/loader.ts';
import { packDocuments } from '../../src/data/pack.ts';
import type { GpuDevice } from '../../src/gpu/device.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { learningRate, type Schedule } from '../../src/optim/schedule.ts';
import { type MeshShape, ONE_RANK, openMesh } from '../../src/shard/mesh.ts';
import type { ZeroStage } from '../../src/shard/place.ts';
import type { SequenceKind } from '../../src/shard/sequence.ts';
import type { StepRecord } from '../../src/tensor/ops/step_state.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { RankStepper } from '../../src/train/rank-stepper.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { onRanks } from './on-ranks.ts';

export const SHARD_MODEL = makeConfig({ vocabSize: 97, hiddenSize: 32, intermediateSize: 84, numLayers: 2, numHeads: 4, numKvHeads: 2 });

/** One pack of 24 tokens a micro. */
export const SHARD_SETUP: TrainSetup = { model: SHARD_MODEL, precision: 'f32', batch: 1, tokens: 24, optimizer: LLAMA_ADAMW, clip: 1, recompute: 'none' };

/** Documents that a model can learn something of: each walks the vocabulary in steps of its own. */
function documents(vocabulary: number): number[][] {
  const random = new Random(3);
  return Array.from({ length: 120 }, () => {
    const step = 1 + Math.floor(random.uniform() * 5);
    const start = Math.floor(random.uniform() * vocabulary);
    return Array.from({ length: 5 + Math.floor(random.uniform() * 30) }, (_, i) => 3 + ((start + step * i) % (vocabulary - 3)));
  });
}

/** A loader of the same batches everywhere. */
export function shardLoader(setup: TrainSetup): PackLoader {
  const { packs } = packDocuments(documents(setup.model.vocabSize), { T: setup.tokens, bos: 1, eos: 2, pad: 0 });
  return new PackLoader(packs, { B: setup.batch, seed: 5 });
}

export interface ShardRun {
  readonly setup?: TrainSetup;
  readonly steps?: number;
  /** Micros of the global batch. */
  readonly micros?: number;
  readonly zero?: ZeroStage;
  readonly sequence?: SequenceKind;
}

/** What a run found: records as one rank saw them, and hashes of the whole states. */
export interface ShardResult {
  readonly losses: number[];
  readonly records: StepRecord[];
  readonly states: Record<string, string>;
}

const sha = (values: Float32Array): string => {
  const hash = new Sha256();
  hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return hash.hex();
};

async function drive(stepper: Stepper, { setup = SHARD_SETUP, steps = 50, micros = 4 }: ShardRun): Promise<StepRecord[]> {
  const schedule: Schedule = { kind: 'cosine', peak: 0.003, warmup: 5, steps };
  const loader = shardLoader(setup);
  await stepper.startFresh(7);
  const records: StepRecord[] = [];
  for (let s = 0; s < steps; s++) {
    const batches: Batch[] = Array.from({ length: micros }, () => loader.next());
    await stepper.advance(batches, learningRate(schedule, s));
    if (s % 20 === 19 || s === steps - 1) records.push(...(await stepper.records()).records);
  }
  return records;
}

const KINDS = ['param', 'moment1', 'moment2'];

/** SHA-256 of every whole parameter and moment. */
export async function hashWhole(stepper: Stepper): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const { name, kind } of stepper.plans.states.all()) {
    if (!KINDS.includes(kind)) continue;
    out[name] = sha(stepper instanceof RankStepper ? await stepper.readWhole(name) : ((await stepper.session.readState(name)) as Float32Array));
  }
  return out;
}

/** The run on one device. */
export async function trainAlone(device: GpuDevice, run: ShardRun = {}): Promise<ShardResult> {
  const setup = run.setup ?? SHARD_SETUP;
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  try {
    const records = await drive(stepper, run);
    return { records, losses: records.map((r) => r.lossSum / r.tokens), states: await hashWhole(stepper) };
  } finally {
    stepper.destroy();
  }
}

/** The run on a mesh; one result a rank. */
export function trainOnMesh(device: GpuDevice, mesh: Partial<MeshShape>, run: ShardRun = {}): Promise<ShardResult[]> {
  const shape = { ...ONE_RANK, ...mesh };
  const setup = run.setup ?? SHARD_SETUP;
  return onRanks(shape.dp * shape.pp * shape.sp * shape.tp, async (world) => {
    const plans = planTraining(setup, device.facts, { shape, rank: world.rank, zero: run.zero ?? 0, sequence: run.sequence });
    const stepper = new RankStepper(device, setup, plans, await openMesh(shape, world));
    try {
      const records = await drive(stepper, run);
      return { records, losses: records.map((r) => r.lossSum / r.tokens), states: await hashWhole(stepper) };
    } finally {
      stepper.destroy();
    }
  });
}

/** The largest relative distance of two runs' losses at any step. */
export const worst = (a: readonly number[], b: readonly number[]): number => Math.max(...a.map((x, i) => Math.abs(x - b[i]) / Math.abs(b[i])));
