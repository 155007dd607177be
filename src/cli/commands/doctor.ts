/**
 * `scion doctor`: what this machine offers and what it lacks. Adapter, features, limits, subgroup width,
 * and a short measure of the two speeds that bound everything else.
 */
import { GpuDevice } from '../../gpu/device.ts';
import { host } from '../../host/index.ts';
import { measureDevice } from '../../tensor/measure.ts';
import type { Command } from '../command.ts';
import { bytes, si } from '../status.ts';

/** What features buy, and how to get them. */
const WANTED: readonly { readonly feature: string; readonly buys: string; readonly get: string }[] = [
  {
    feature: 'shader-f16',
    buys: 'f16 arithmetic in tensor-core kernels (16-bit storage works without)',
    get: 'a GPU and driver with 16-bit floats; Node enables it on NVIDIA by itself',
  },
  { feature: 'subgroups', buys: 'faster reductions', get: 'Node or Chromium; Deno’s own WebGPU has none (SCION_GPU=dawn has)' },
  { feature: 'timestamp-query', buys: 'scion train --profile', get: 'most GPU drivers; a browser may need its developer features flag' },
  { feature: 'chromium-experimental-subgroup-matrix', buys: 'tensor cores', get: 'Node on a GPU whose Vulkan driver has cooperative matrices' },
];

export const command: Command = {
  name: 'doctor',
  summary: 'what this machine offers: adapter, features, limits, measured speed',
  flags: {
    device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
    seconds: { kind: 'number', summary: 'length of the measurement; 0 leaves it out', default: 10 },
  },
  examples: ['scion doctor', 'scion doctor --device nvidia --json'],
  async run({ flags, print, result, status }) {
    const machine = await host();
    const device = await GpuDevice.open({ adapter: flags.string('device') });
    const { facts } = device;
    print(`runtime    ${machine.version}`);
    print(
      `adapter    ${facts.name}${facts.description && facts.description !== facts.name ? ` (${facts.description})` : ''}${facts.fallback ? ', a CPU device' : ''}`,
    );
    print(`profile    ${facts.profile} kernels`);
    print(`subgroups  ${facts.subgroups ? `${facts.subgroups.min} to ${facts.subgroups.max} lanes` : 'none'}`);
    print(`binding    ${bytes(facts.limits.maxStorageBufferBindingSize)} at most, buffer ${bytes(facts.limits.maxBufferSize)}`);
    print(
      `workgroup  ${facts.limits.maxComputeInvocationsPerWorkgroup} invocations, ${bytes(facts.limits.maxComputeWorkgroupStorageSize)} shared; ${facts.limits.maxStorageBuffersPerShaderStage} storage buffers a kernel`,
    );
    const missing = WANTED.filter((w) => !facts.features.includes(w.feature));
    for (const w of WANTED) if (facts.features.includes(w.feature)) print(`feature    ${w.feature}`);
    for (const m of missing) print(`missing    ${m.feature}: ${m.buys}; needs ${m.get}`);
    const seconds = flags.number('seconds') ?? 10;
    let speed: { flops: number; bytesPerSecond: number } | null = null;
    if (seconds > 0) {
      status.set(`measuring for about ${seconds} s`);
      speed = await measureDevice(device, seconds);
      print(`matmul     ${si(speed.flops)}FLOP/s (f32)`);
      print(`copy       ${si(speed.bytesPerSecond)}B/s read and written`);
    }
    if (facts.fallback) print('note       this is a CPU driver: fine for trying things out; a GPU driver (Vulkan on Linux) is 100 to 1,000 times faster');
    result({
      runtime: machine.version,
      device: facts.name,
      facts,
      missing: missing.map((m) => m.feature),
      matmulFlopsPerSecond: speed?.flops ?? null,
      copyBytesPerSecond: speed?.bytesPerSecond ?? null,
    });
    device.destroy();
  },
};
