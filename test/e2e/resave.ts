/**
 * A checkpoint carried to another runtime: `resave.ts train OUT` trains the tests' tiny model for four steps and saves;
 * `resave.ts load FOLDER OUT` loads the newest checkpoint of FOLDER onto this host's device and saves it again. Runs on
 * Node and on Deno; prints the manifest's hashes as its last line.
 */
import { loadLatest } from '../../src/checkpoint/load.ts';
import { saveCheckpoint } from '../../src/checkpoint/save.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { host, terminal } from '../../src/host/index.ts';
import { planTraining } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { TINY_SETUP, trainTiny } from '../train/tiny.ts';

const STEPS = 4;
const { args, out } = await terminal();
const { files } = await host();
const [verb, from, to = from] = args;
const setup = { ...TINY_SETUP, precision: 'mixed' as const };
const device = await GpuDevice.open();

async function taken(): Promise<{ stepper: Stepper; trainer: unknown }> {
  if (verb === 'train') return { stepper: (await trainTiny(device, { setup, steps: STEPS })).stepper, trainer: { note: 'from the first host' } };
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  await stepper.startFresh(99);
  const found = await loadLatest(files, from, { session: stepper.session, states: stepper.plans.states });
  if (!found) throw new Error(`${from} holds no checkpoint`);
  await stepper.resumed();
  return { stepper, trainer: found.trainer };
}

const { stepper, trainer } = await taken();
const meta = { tokens: 0, configHash: '', version: '', adapter: device.facts.name, kernels: {} };
const { manifest } = await saveCheckpoint(files, to, { session: stepper.session, states: stepper.plans.states, step: STEPS, trainer, meta });
stepper.destroy();
device.destroy();
out(`${JSON.stringify(Object.fromEntries(manifest.files.map((f) => [f.name, f.sha256])))}\n`);
