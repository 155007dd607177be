/** Bench rows of reductions: over rows and over everything; the gradient of a sum. */
import { max, SPREAD, sum } from '../../src/tensor/ops/reduce.ts';
import type { BenchRow } from './types.ts';

const frames = { threads: { reduce: 'threads' }, tree: { reduce: 'tree' } };
const shape = [1024, 1024];
const x = { shape, dtype: 'f32', fill: 'normal' } as const;

export const rows: readonly BenchRow[] = [
  { op: 'reduce', name: 'sum 1024x1024 f32 rows', inputs: { x }, build: (v) => ({ y: sum(v.x, 'last') }), candidates: frames },
  { op: 'reduce', name: 'sum 1024x1024 f32 all', inputs: { x }, build: (v) => ({ y: sum(v.x) }), candidates: frames },
  { op: 'reduce', name: 'max 1024x1024 f32 all', inputs: { x }, build: (v) => ({ y: max(v.x) }), candidates: frames },
  {
    op: 'reduce',
    name: 'sum 1024x1024 f32 gradient',
    inputs: { dy: { shape: [], dtype: 'f32', fill: 'normal' } },
    build: (v, g) => ({ dx: g.apply1(SPREAD, [v.dy], { over: 'all', shape, dtype: 'f32', scale: 1 }) }),
  },
];
