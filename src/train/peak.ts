/**
 * This device's own roof: the f32 matrix products that scion itself gets out of it, measured once by a short burst and
 * kept in the cache folder for each adapter, driver and set of kernel choices. A run's FLOP/s are told as a share of it.
 * A burst beside other work measures low: delete the cache folder to measure again.
 */
import { joinPath } from '../base/path.ts';
import { hashJson } from '../checkpoint/manifest.ts';
import type { DeviceOptions } from '../gpu/device.ts';
import { GpuDevice } from '../gpu/device.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import { host } from '../host/index.ts';
import { writeWhole } from '../host/whole-file.ts';
import { measureMatmul } from '../tensor/measure.ts';

/** Seconds of the burst. */
const SECONDS = 0.5;

/** Where a device's figure lies: another driver or another kernel is another device. */
function cachePath(cacheDir: string, runtime: string, facts: DeviceFacts): string {
  const { name, vendor, architecture, description, profile, choices } = facts;
  const key = hashJson({ runtime, name, vendor, architecture, description, profile, choices });
  return joinPath(cacheDir, `matmul-peak-${key.slice(0, 16)}.json`);
}

/**
 * FLOP/s of f32 matrix products on the device that `options` open, from the cache or measured on a device of its own, so that
 * a run's memory figures stay the run's. Null where it can be neither read nor measured: nothing depends on it.
 */
export async function matmulPeak(facts: DeviceFacts, options: DeviceOptions): Promise<number | null> {
  const machine = await host();
  try {
    const path = cachePath(machine.cacheDir, machine.version, facts);
    const known = await cached(path);
    if (known !== null) return known;
    const device = await GpuDevice.open(options);
    try {
      const flops = await measureMatmul(device, SECONDS);
      await machine.files.makeDir(machine.cacheDir).catch(() => undefined);
      await writeWhole(machine.files, path, new TextEncoder().encode(`${JSON.stringify({ device: facts.name, matmulFlopsPerSecond: flops })}\n`)).catch(
        () => undefined,
      );
      return flops;
    } finally {
      device.destroy();
    }
  } catch {
    return null;
  }
}

async function cached(path: string): Promise<number | null> {
  const { files } = await host();
  try {
    if ((await files.stat(path)) === null) return null;
    const { matmulFlopsPerSecond } = JSON.parse(new TextDecoder().decode(await files.read(path))) as { matmulFlopsPerSecond?: unknown };
    return typeof matmulFlopsPerSecond === 'number' && matmulFlopsPerSecond > 0 ? matmulFlopsPerSecond : null;
  } catch {
    return null;
  }
}
