/** The device as the page shows it, and the speed it was measured at. */
import { GpuDevice, matmulPeak } from '../../../src/index.ts';
import type { DeviceView } from '../protocol.ts';

/** FLOP/s of matrix products; measured once and kept for the next visit. */
export async function peakOf(): Promise<number | null> {
  const device = await GpuDevice.open();
  const { facts } = device;
  device.destroy();
  return matmulPeak(facts, {});
}

/** Opens the device and reads its facts. @throws ScionError `device` where there is none. */
export async function deviceView(): Promise<DeviceView> {
  const device = await GpuDevice.open();
  const { facts } = device;
  device.destroy();
  const { name, vendor, architecture, description, fallback, profile, features, limits, subgroups } = facts;
  return {
    name,
    vendor,
    architecture,
    description,
    cpu: fallback,
    profile,
    features,
    limits: { ...limits },
    subgroups: subgroups === null ? null : subgroups.min === subgroups.max ? `${subgroups.min}` : `${subgroups.min} to ${subgroups.max}`,
  };
}
