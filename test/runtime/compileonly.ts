/**
 * Kernels that no op case can run on the adapters of CI (they need hardware), with the switches under
 * which they are compiled on the null backend. A kernel that CI could run does not belong here.
 */
import type { Variant } from './plans.ts';

export const COMPILE_ONLY: readonly Variant[] = [];
