/** Bench rows of swiglu and its gradient at the small model's width and LLaMA 2 7B's. */
import { SWIGLU_GRAD, swiglu } from '../../src/tensor/ops/swiglu.ts';
import type { BenchRow } from './types.ts';

const sizes = [
  [1024, 688],
  [256, 11008],
] as const;

export const rows: readonly BenchRow[] = (['f32', 'f16'] as const).flatMap((dtype) =>
  sizes.flatMap(([n, f]): BenchRow[] => {
    const gu = { shape: [n, 2 * f], dtype, fill: 'normal' } as const;
    const dy = { shape: [n, f], dtype, fill: 'normal' } as const;
    return [
      { op: 'swiglu', name: `${n}x${f} ${dtype}`, inputs: { gu }, build: (v) => ({ y: swiglu(v.gu) }) },
      { op: 'swiglu', name: `${n}x${f} ${dtype} gradient`, inputs: { gu, dy }, build: (v, g) => ({ d: g.apply1(SWIGLU_GRAD, [v.gu, v.dy]) }) },
    ];
  }),
);
