/**
 * Resident memory of a process while a training plan is open and two steps have run, against that after closing it:
 * prints one JSON line. The difference is the plan's memory; what the driver keeps for ever (compiled kernels, some
 * 50 MB a device on lavapipe) is in both. A first round on a device of its own warms the heap of JavaScript. Dawn keeps the memory of
 * destroyed buffers for the next ones, so the device is closed with the plan. Run on its own with `--expose-gc`, since
 * resident memory belongs to a process: `resident.ts states|activations`.
 */
import { PackLoader } from '../../src/data/loader.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { host } from '../../src/host/index.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { tinyPacks } from './tiny.ts';

/** What the plan's bytes are mostly made of. */
const CASES = {
  states: { hiddenSize: 512, numLayers: 4, vocabSize: 12_000, batch: 1, tokens: 64 },
  activations: { hiddenSize: 192, numLayers: 6, vocabSize: 300, batch: 4, tokens: 512 },
} as const;

const { batch, tokens, ...sizes } = CASES[process.argv[2] as keyof typeof CASES];
const model = makeConfig({ ...sizes, intermediateSize: sizes.hiddenSize * 3, numHeads: 4 });
const setup: TrainSetup = { model, precision: 'f32', batch, tokens, optimizer: LLAMA_ADAMW, clip: 1, recompute: 'none' };
const collect = globalThis.gc;
if (!collect) throw new Error('run with --expose-gc');
const machine = await host();
const loader = new PackLoader(tinyPacks(tokens), { B: batch, seed: 1 });

/** Resident bytes once nothing is left to collect. */
async function resident(): Promise<number> {
  for (let i = 0; i < 5; i++) {
    collect?.();
    await machine.sleep(40);
  }
  return machine.residentBytes() ?? Number.NaN;
}

/** Opens the plan on a new device and runs two steps; gives back planned bytes and the way to close it all. */
async function open(): Promise<{ planned: number; close: () => void }> {
  const device = await GpuDevice.open();
  const plans = planTraining(setup, device.facts);
  const stepper = new Stepper(device, setup, plans);
  await stepper.startFresh(1);
  for (let s = 0; s < 2; s++) stepper.step([loader.next()], 1e-3);
  await stepper.records();
  await device.idle();
  const close = (): void => {
    stepper.destroy();
    device.destroy();
  };
  return { planned: plans.memory.total, close };
}

(await open()).close();
await resident();
const { planned, close } = await open();
const during = await resident();
close();
process.stdout.write(`${JSON.stringify({ planned, held: during - (await resident()) })}\n`);
