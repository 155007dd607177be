/** Bench rows of embed and its gradient: 1,024 tokens of a 32,000 word vocabulary, a quarter of them alike. */
import { EMBED_GRAD, embed } from '../../src/tensor/ops/embed.ts';
import type { BenchRow } from './types.ts';

const n = 1024;
const V = 32000;
const D = 256;
// One id 256 times, the others once: the longest segment decides how long the gradient takes.
const starts = [0, ...Array.from({ length: n - 256 }, (_, i) => 256 + i), ...new Array<number>(256).fill(n)];
const segments = n - 255;
const order = Array.from({ length: n }, (_, i) => i);
const segmentIds = Array.from({ length: n }, (_, i) => (i < segments ? i * 40 : 0));
const ids = order.map((i) => (i < 256 ? 0 : (i - 255) * 40));

export const rows: readonly BenchRow[] = (['f32', 'f16'] as const).flatMap((dtype): BenchRow[] => [
  {
    op: 'embed',
    name: `${n} of ${V}x${D} ${dtype}`,
    inputs: { table: { shape: [V, D], dtype, fill: 'normal' }, ids: { shape: [n], dtype: 'u32', fill: { values: ids } } },
    build: (v) => ({ y: embed(v.table, v.ids) }),
  },
  {
    op: 'embed',
    name: `${n} of ${V}x${D} ${dtype} gradient`,
    inputs: {
      dy: { shape: [n, D], dtype, fill: 'normal' },
      order: { shape: [n], dtype: 'u32', fill: { values: order } },
      starts: { shape: [n + 1], dtype: 'u32', fill: { values: starts } },
      segmentIds: { shape: [n], dtype: 'u32', fill: { values: segmentIds } },
      table: { shape: [V, D], dtype: 'f32', fill: 'normal' },
    },
    // Added to a table that is there, as in training; a fresh one would be cleared first.
    build: (v, g) => ({ d: g.apply1(EMBED_GRAD, [v.dy, v.order, v.starts, v.segmentIds], { rows: V, width: D, segments: { step: 'segments' } }, v.table) }),
    scalars: { segments },
  },
]);
