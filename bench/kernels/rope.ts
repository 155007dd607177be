/** Bench rows of rope: 1,024 tokens of the small model and of an 8B layer. It moves memory; GB/s is the figure. */
import { rope, ropeTable } from '../../src/tensor/ops/rope.ts';
import type { BenchRow } from './types.ts';

const sizes = [
  { name: '1024 H4/4 S64', heads: 4, kvHeads: 4, headSize: 64 },
  { name: '1024 H32/8 S128', heads: 32, kvHeads: 8, headSize: 128 },
] as const;

export const rows: readonly BenchRow[] = (['f32', 'f16'] as const).flatMap((dtype) =>
  sizes.map(
    (s): BenchRow => ({
      op: 'rope',
      name: `${s.name} ${dtype}`,
      inputs: {
        qkv: { shape: [1, 1024, (s.heads + 2 * s.kvHeads) * s.headSize], dtype, fill: 'normal' },
        positions: { shape: [1, 1024], dtype: 'u32', fill: { values: Array.from({ length: 1024 }, (_, i) => i) } },
      },
      build: (v, g) => {
        const table = ropeTable({ headSize: s.headSize, theta: 10000, capacity: 1024 });
        return { y: rope(v.qkv, v.positions, g.constant('table', [1024, s.headSize / 2, 2], table), s) };
      },
    }),
  ),
);
