/** Bench rows of rmsnorm and its gradient: 1,024 tokens of the small model and of a 2,048 wide one; frames against each other. */
import { RMSNORM_GRAD, rmsnorm } from '../../src/tensor/ops/rmsnorm.ts';
import type { BenchRow } from './types.ts';

const sizes = [
  [1024, 256],
  [1024, 2048],
] as const;

const frames = { threads: { rmsnorm: 'threads' }, tree: { rmsnorm: 'tree' } };

export const rows: readonly BenchRow[] = (['f32', 'f16'] as const).flatMap((dtype) =>
  sizes.flatMap(([n, d]): BenchRow[] => {
    const x = { shape: [n, d], dtype, fill: 'normal' } as const;
    const w = { shape: [d], dtype: 'f32', fill: { uniform: [0.5, 1.5] } } as const;
    return [
      { op: 'rmsnorm', name: `${n}x${d} ${dtype}`, inputs: { x, w }, build: (v) => ({ y: rmsnorm(v.x, v.w, { eps: 1e-5 }) }), candidates: frames },
      {
        op: 'rmsnorm',
        name: `${n}x${d} ${dtype} residual`,
        inputs: { x, w, r: x },
        build: (v) => {
          const [y, s] = rmsnorm(v.x, v.w, { eps: 1e-5, residual: v.r });
          return { y, s };
        },
        candidates: frames,
      },
      {
        op: 'rmsnorm',
        name: `${n}x${d} ${dtype} gradient`,
        inputs: { x, w, dy: x },
        build: (v, g) => {
          const [dx, dw] = g.apply(RMSNORM_GRAD, [v.x, v.w, v.dy], { eps: 1e-5, dw: true });
          return { dx, dw };
        },
        candidates: frames,
      },
    ];
  }),
);
