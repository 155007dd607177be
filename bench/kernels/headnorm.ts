/** Bench rows of headnorm and its gradient: the small model's heads and Qwen 3's of 128. */
import { HEADNORM_GRAD, headnorm } from '../../src/tensor/ops/headnorm.ts';
import type { BenchRow } from './types.ts';

const sizes = [
  [1024, 8, 4, 32],
  [512, 16, 8, 128],
] as const;

const frames = { threads: { headnorm: 'threads' }, tree: { headnorm: 'tree' } };

export const rows: readonly BenchRow[] = sizes.flatMap(([n, heads, kvHeads, headSize]): BenchRow[] => {
  const x = { shape: [n, (heads + 2 * kvHeads) * headSize], dtype: 'f32', fill: 'normal' } as const;
  const w = { shape: [headSize], dtype: 'f32', fill: { uniform: [0.5, 1.5] } } as const;
  const attrs = { heads, kvHeads, headSize, eps: 1e-6 };
  const name = `N ${n} H ${heads} K ${kvHeads} S ${headSize} f32`;
  return [
    { op: 'headnorm', name, inputs: { x, wq: w, wk: w }, build: (v) => ({ y: headnorm(v.x, v.wq, v.wk, attrs) }), candidates: frames },
    {
      op: 'headnorm',
      name: `${name} gradient`,
      inputs: { x, wq: w, wk: w, dy: x },
      build: (v, g) => {
        const [dx, dwq, dwk] = g.apply(HEADNORM_GRAD, [v.x, v.wq, v.wk, v.dy], { ...attrs, dw: true });
        return { dx, dwq, dwk };
      },
      candidates: frames,
    },
  ];
});
