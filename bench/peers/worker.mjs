/**
 * One contender in a process of its own: `node worker.mjs NAME` answers one JSON request a line with one JSON line;
 * `node worker.mjs NAME --first` prints the loss of the small model's first step and ends. Libraries made for browsers
 * find Dawn under `navigator.gpu`, opened with the toggles that scion uses.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { MODELS } from './model.mjs';

const FLAGS = ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia', 'disable-dawn-features=timestamp_quantization'];
/** Milliseconds a sample should take, so that the latency of its end does not count. */
const SAMPLE_MS = 250;

const [name, mode] = process.argv.slice(2);
if (name === 'tfjs' || name === 'jax') {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const navigator = { gpu: create(FLAGS), userAgent: 'node', platform: 'linux', hardwareConcurrency: 2, language: 'en' };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
}
const { open } = await import(`./${name}.mjs`);
const contender = await open();
/** What is being measured: an object with `run(times)` that ends when the device has, and for steps gives losses. */
let subject = null;

/** Seconds of one run, with as many in a sample as fill it. */
async function sample(times) {
  const start = performance.now();
  const losses = await subject.run(times);
  return { seconds: (performance.now() - start) / 1000 / times / (subject.per ?? 1), losses };
}

async function answer(request) {
  if (request.do === 'matmul' || request.do === 'train') {
    await subject?.free?.();
    subject = await (request.do === 'matmul' ? contender.matmul(request.shape) : contender.train(MODELS[request.model]));
    return {};
  }
  if (request.do === 'repeats') {
    await sample(1);
    const { seconds } = await sample(1);
    return { times: Math.max(1, Math.min(request.most, Math.round(SAMPLE_MS / 1000 / seconds / (subject.per ?? 1)))) };
  }
  return sample(request.times);
}

if (mode === '--first') {
  subject = await contender.train(MODELS.small);
  const { losses } = await sample(1);
  console.log(JSON.stringify({ loss: losses[0] }));
  process.exit(0);
}
console.log(JSON.stringify({ ready: contender.about }));
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error?.stack ?? error) }));
  }
}
process.exit(0);
