/** The kernel that a visitor edited and trains with, if any: what a device is opened with then. Lives as long as the Worker. */
import type { DeviceOptions } from '../../../src/index.ts';

let chosen: DeviceOptions | null = null;

/** Null: the kernels as they are shipped. */
export const editedKernel = (): DeviceOptions | null => chosen;

export function useEditedKernel(options: DeviceOptions | null): void {
  chosen = options;
}
