/**
 * Devices to plan for without having one: memory, arithmetic, rent. Speeds are the vendors' figures for f32 arithmetic, of which a real
 * run reaches a share; prices are what an hour was commonly rented for in 2025. Both are assumptions, are printed as such, and can be given.
 */
import { ScionError } from '../base/errors.ts';
import { parseBytes } from '../base/format.ts';
import { assumedFacts, type DeviceFacts } from '../gpu/facts.ts';

const GiB = 2 ** 30;

/** A device that a plan assumes. */
export interface AssumedDevice {
  readonly name: string;
  /** Bytes that programs can have. */
  readonly memory: number;
  /** f32 FLOP/s at most. */
  readonly peak: number;
  /** US dollars an hour. */
  readonly price: number;
}

/** By name. Sources: the vendors' data sheets (dense f32, without tensor cores). */
export const DEVICES: readonly AssumedDevice[] = [
  { name: 'rtx-4090', memory: 24e9, peak: 82.6e12, price: 0.5 },
  { name: 'a100-80', memory: 80e9, peak: 19.5e12, price: 1.5 },
  { name: 'h100-80', memory: 80e9, peak: 67e12, price: 2.5 },
  { name: 'h200-141', memory: 141e9, peak: 67e12, price: 3.5 },
];

/** Share of the peak that is reckoned with where nothing was measured. */
export const REACHED = 0.4;

/** The device of that name. @throws ScionError `usage` listing those there are. */
export function assumedDevice(name: string): AssumedDevice {
  const found = DEVICES.find((device) => device.name === name);
  if (found) return found;
  const memory = parseBytes(name);
  if (memory !== null) return { name, memory, peak: 20e12, price: 1 };
  throw new ScionError(
    'usage',
    `no device "${name}" is known to plan for; there are ${DEVICES.map((d) => d.name).join(', ')}, or give its memory, for example 48GB`,
  );
}

/** Facts of such a device as WebGPU tells them: large buffers, bindings just below 4 GiB, kernels of a GPU. */
export function assumedGpuFacts(device: AssumedDevice): DeviceFacts {
  return assumedFacts({
    name: device.name,
    fallback: false,
    profile: 'specialised',
    limits: {
      maxBufferSize: 64 * GiB,
      maxStorageBufferBindingSize: 4 * GiB - 4,
      maxStorageBuffersPerShaderStage: 16,
      maxComputeWorkgroupStorageSize: 49152,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupSizeX: 1024,
    },
  });
}
