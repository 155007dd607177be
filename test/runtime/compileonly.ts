/**
 * Kernels that no op case can run on the adapters of CI (they need hardware), with the switches under
 * which they are compiled on the null backend. A kernel that CI could run does not belong here.
 */
import type { Variant } from './plans.ts';

export const COMPILE_ONLY: readonly Variant[] = [false, true].flatMap((TA) =>
  [false, true].map((TB) => ({
    kernel: 'matmul/matmul_subgroup_matrix',
    entry: 'main',
    // The larger tile wants more workgroup memory than the null backend has; its module is compiled in src/tensor/lower/matmul.test.ts.
    switches: { TA, TB, AVEC: 4, BVEC: 4, TILE: 64, LANES: 128, A_F16: true, B_F16: true },
    constants: {},
  })),
);
