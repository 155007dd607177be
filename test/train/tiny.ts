/**
 * What the training tests train: a LLaMA of two layers on the bytes of the project's own corpus, seeded
 * throughout, so that every host, process and test sees the same batches and the same start. Small
 * enough for 50 steps in a second or two on a CPU; real text, so that losses fall as they do in earnest.
 */

import { Sha256 } from '../../src/base/sha256.ts';
import { PackLoader } from '../../src/data/loader.ts';
import { type Pack, packDocuments } from '../../src/data/pack.ts';
import { sampleSplits } from '../../src/data/sample/index.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { learningRate, type Schedule } from '../../src/optim/schedule.ts';
import type { StepRecord } from '../../src/tensor/ops/step_state.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';

/** Bytes 0 to 255 behind padding, begin and end. */
const SPECIAL = 3;

/** Grouped-query attention, odd widths where they are allowed. */
export const TINY_MODEL = makeConfig({ vocabSize: 256 + SPECIAL, hiddenSize: 32, intermediateSize: 84, numLayers: 2, numHeads: 4, numKvHeads: 2 });

/** Two packs of 48 tokens a micro. */
export const TINY_SETUP: TrainSetup = { model: TINY_MODEL, precision: 'f32', batch: 2, tokens: 48, optimizer: LLAMA_ADAMW, clip: 1, recompute: 'none' };

/** Packs of the first documents of the corpus, as bytes. */
export function tinyPacks(tokens: number, documents = 200): Pack[] {
  const texts = sampleSplits({ documents }).train.map((d) => Array.from(new TextEncoder().encode(d.target), (b) => b + SPECIAL));
  return packDocuments(texts, { T: tokens, bos: 1, eos: 2, pad: 0 }).packs;
}

/** A loader over them. */
export function tinyLoader(setup: TrainSetup = TINY_SETUP, seed = 7): PackLoader {
  return new PackLoader(tinyPacks(setup.tokens), { B: setup.batch, seed });
}

/** Mean loss of a step. */
export const lossOf = (r: StepRecord): number => r.lossSum / r.tokens;

/** One run of the tiny model. */
export interface TinyRun {
  readonly setup?: TrainSetup;
  readonly steps?: number;
  readonly seed?: number;
  /** Micros a step. */
  readonly accumulate?: number;
  /** Peak learning rate. From 0.01 on, runs whose starts differ by rounding alone part by 20 % within 20 steps: nothing can be compared there. */
  readonly peak?: number;
}

/** Trains on an open device and leaves the stepper open. Records are read every 20 steps. */
export async function trainTiny(device: GpuDevice, options: TinyRun = {}): Promise<{ stepper: Stepper; records: StepRecord[] }> {
  const { setup = TINY_SETUP, steps = 50, seed = 7, accumulate = 2, peak = 0.003 } = options;
  const schedule: Schedule = { kind: 'cosine', peak, warmup: 5, steps };
  const loader = tinyLoader(setup, seed);
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  await stepper.startFresh(seed);
  const records: StepRecord[] = [];
  for (let s = 0; s < steps; s++) {
    stepper.step(
      Array.from({ length: accumulate }, () => loader.next()),
      learningRate(schedule, s),
    );
    if (s % 20 === 19 || s === steps - 1) records.push(...(await stepper.records()).records);
  }
  return { stepper, records };
}

/** SHA-256 of each state of the given kinds, by name, as the device holds them. */
export async function hashStates(stepper: Stepper, kinds: readonly string[] = ['param', 'moment1', 'moment2']): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const spec of stepper.plans.states.all()) {
    if (!kinds.includes(spec.kind)) continue;
    const { buffer, offset, bytes } = stepper.plans.states.place(spec.name);
    const hash = new Sha256();
    hash.update(await stepper.session.readBytes(buffer, offset, bytes));
    out[spec.name] = hash.hex();
  }
  return out;
}

/** What a host found. */
export interface HostLosses {
  readonly adapter: string;
  readonly profile: string;
  readonly seconds: number;
  readonly losses: readonly number[];
}

/** Trains on a device of this host; for comparing hosts. */
export async function hostLosses(steps: number, precision: 'f32' | 'mixed' = 'f32'): Promise<HostLosses> {
  const device = await GpuDevice.open();
  const start = performance.now();
  const { stepper, records } = await trainTiny(device, { steps, setup: { ...TINY_SETUP, precision } });
  stepper.destroy();
  const { name, profile } = device.facts;
  device.destroy();
  return { adapter: name, profile, seconds: (performance.now() - start) / 1000, losses: records.map(lossOf) };
}
