/** Cases of matmul: every kernel variant in every layout, ugly shapes, batches, folded rows, both dtypes, accumulation, addition, row windows. */
import type { Profile } from '../../../src/gpu/facts.ts';
import type { Value } from '../../../src/tensor/graph.ts';
import { type MatmulAttrs, matmul } from '../../../src/tensor/ops/matmul.ts';
import type { DType } from '../../../src/tensor/types.ts';
import { F16_TOLERANCE, type OpCase } from '../case.ts';

export const cases: OpCase[] = [];

interface Options {
  readonly label: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** `NN`, `NT`, `TN`, `TT`: T = stored transposed. */
  readonly layout: string;
  readonly dtype?: DType;
  readonly batch?: readonly number[];
  readonly choice?: string;
  readonly profile?: Profile;
  readonly attrs?: MatmulAttrs;
  /** Inputs to differentiate by; default all. */
  readonly wrt?: readonly string[];
  /** Adds a third input. */
  readonly add?: boolean;
  /** A second product of the same operands, so that gradients accumulate. */
  readonly twice?: boolean;
  readonly limit?: number;
  readonly aDtype?: DType;
  readonly bDtype?: DType;
  readonly needs?: readonly string[];
}

function matmulCase(o: Options): void {
  const transposeA = o.layout[0] === 'T';
  const transposeB = o.layout[1] === 'T';
  const dtype = o.dtype === 'f16' ? 'f16' : 'f32';
  const batch = o.batch ?? [];
  const inputs: Record<string, OpCase['inputs'][string]> = {
    a: { shape: [...batch, ...(transposeA ? [o.k, o.m] : [o.m, o.k])], dtype: o.aDtype ?? dtype, fill: 'normal' },
    b: { shape: [...batch, ...(transposeB ? [o.n, o.k] : [o.k, o.n])], dtype: o.bDtype ?? dtype, fill: 'normal' },
  };
  if (o.add) inputs.add = { shape: [...batch, o.m, o.n], dtype, fill: 'normal' };
  const attrs = { ...o.attrs, transposeA, transposeB };
  cases.push({
    op: 'matmul',
    name: `matmul ${o.label} ${o.aDtype ?? dtype}${o.bDtype ? `/${o.bDtype}` : ''} ${[...batch, ''].join('x')}${o.m}x${o.n}x${o.k} ${o.layout}`,
    dtype: o.aDtype === 'f16' || o.bDtype === 'f16' ? 'f16' : dtype,
    inputs,
    build: ({ a, b, add }): Record<string, Value> => {
      const y = matmul(a, b, { ...attrs, add });
      return o.twice ? { y, y2: matmul(a, b, { ...attrs, alpha: 0.5, add }) } : { y };
    },
    wrt: o.wrt ?? Object.keys(inputs),
    ...(o.choice ? { choices: { matmul: o.choice } } : {}),
    ...(o.profile ? { profile: o.profile } : {}),
    ...(o.needs ? { needs: o.needs } : {}),
    ...(o.limit ? { limits: { maxStorageBufferBindingSize: o.limit } } : {}),
    ...(dtype === 'f16' && (o.limit || o.twice)
      ? { tolerance: { value: 2 * F16_TOLERANCE, reason: 'f16 results that are added to are rounded once an addition' } }
      : {}),
  });
}

const sizes = [
  [1, 1, 1],
  [5, 3, 7],
  [17, 31, 13],
  [64, 68, 60],
] as const;

// The generic kernel: odd sizes take the scalar forms, multiples of four the vector forms. The gradients of NT are an NN and
// a TN product, those of TT are TT: few forward layouts run them all, and each kernel variant is compiled for a good reason.
for (const [m, n, k] of sizes)
  for (const layout of ['NN', 'NT', 'TN']) matmulCase({ label: 'generic', m, n, k, layout, choice: 'generic', profile: 'generic' });
matmulCase({ label: 'generic', m: 17, n: 31, k: 13, layout: 'TT', choice: 'generic', profile: 'generic' });
for (const [m, n, k] of sizes.slice(2)) matmulCase({ label: 'generic', m, n, k, layout: 'NT', dtype: 'f16', choice: 'generic', profile: 'generic' });
// K even and odd where two 16-bit terms are one word, few rows, a workgroup's last rows beyond the edge.
for (const [m, n, k] of [
  [19, 21, 22],
  [7, 9, 15],
]) {
  matmulCase({ label: 'generic pairs', m, n, k, layout: 'NT', dtype: 'f16', choice: 'generic', profile: 'generic', wrt: [] });
}
// K beyond one block of 256 terms.
matmulCase({ label: 'generic long', m: 5, n: 8, k: 1030, layout: 'NN', choice: 'generic', profile: 'generic' });
matmulCase({ label: 'generic batched', m: 9, n: 12, k: 20, batch: [2, 3], layout: 'NT', choice: 'generic', profile: 'generic' });
matmulCase({ label: 'generic batched', m: 9, n: 12, k: 20, batch: [2, 3], layout: 'TN', choice: 'generic', profile: 'generic' });

// An added tensor, accumulation, a scale, 16-bit weights beside f32 activations.
matmulCase({ label: 'add twice', m: 11, n: 20, k: 33, layout: 'NT', add: true, twice: true, attrs: { alpha: 0.25 }, choice: 'generic', profile: 'generic' });
matmulCase({ label: 'add twice', m: 11, n: 21, k: 33, layout: 'NN', add: true, twice: true, attrs: { alpha: 0.25 }, choice: 'generic', profile: 'generic' });
matmulCase({ label: 'batched add', m: 9, n: 7, k: 20, batch: [3], layout: 'NT', add: true, twice: true, dtype: 'f16', choice: 'generic', profile: 'generic' });
matmulCase({ label: 'mixed', m: 11, n: 20, k: 34, layout: 'NT', aDtype: 'f32', bDtype: 'f16', choice: 'generic', profile: 'generic' });

// Row windows: every operand and result beyond the limit in turn (rows of 256 bytes and more, windows of a few rows).
for (const layout of ['NN', 'NT', 'TN']) matmulCase({ label: 'windowed', m: 70, n: 128, k: 192, layout, limit: 16384, choice: 'generic', profile: 'generic' });
matmulCase({ label: 'windowed', m: 70, n: 128, k: 192, layout: 'NT', dtype: 'f16', limit: 16384, choice: 'generic', profile: 'generic' });
matmulCase({ label: 'windowed add', m: 128, n: 192, k: 128, layout: 'NT', limit: 16384, add: true, twice: true, choice: 'generic', profile: 'generic' });
matmulCase({ label: 'windowed batch', m: 16, n: 8, k: 24, batch: [10], layout: 'NT', limit: 4096, add: true, choice: 'generic', profile: 'generic' });

// One subgroup a tile, rows of A handed around: one and two terms a step, scalar and vector columns, edges on every side. The
// gradients of NT are an NN and a TN product, those of TT are TT.
const lanes = { choice: 'lanes', profile: 'generic', needs: ['subgroups'] } as const;
for (const [m, n, k] of [...sizes, [25, 33, 6], [49, 36, 38]] as const) matmulCase({ label: 'lanes', m, n, k, layout: 'NT', ...lanes });
matmulCase({ label: 'lanes', m: 26, n: 34, k: 18, layout: 'TT', ...lanes });
for (const [m, n, k] of [
  [26, 34, 18],
  [25, 31, 13],
]) {
  matmulCase({ label: 'lanes', m, n, k, layout: 'NT', dtype: 'f16', ...lanes });
}
matmulCase({ label: 'lanes long', m: 27, n: 8, k: 1030, layout: 'NN', ...lanes });
matmulCase({ label: 'lanes batched', m: 9, n: 12, k: 20, batch: [2, 3], layout: 'NT', add: true, twice: true, ...lanes });
matmulCase({ label: 'lanes add twice', m: 11, n: 21, k: 33, layout: 'NN', add: true, twice: true, attrs: { alpha: 0.25 }, ...lanes });
matmulCase({ label: 'lanes mixed', m: 30, n: 20, k: 34, layout: 'NT', aDtype: 'f32', bDtype: 'f16', ...lanes });
matmulCase({ label: 'lanes windowed', m: 70, n: 128, k: 192, layout: 'NT', limit: 16384, ...lanes });

// Few rows: one and four lanes' worth, split over lanes and not. Decoding has no gradient.
for (const [choice, profile] of [
  ['matvec/1', 'generic'],
  ['matvec/32', 'specialised'],
] as const) {
  matmulCase({ label: choice, m: 1, n: 37, k: 68, layout: 'NT', choice, profile, add: true, wrt: [] });
  matmulCase({ label: choice, m: 3, n: 37, k: 1044, layout: 'NT', choice, profile, wrt: [] });
  matmulCase({ label: choice, m: 3, n: 37, k: 1044, layout: 'NT', dtype: 'f16', choice, profile, wrt: [] });
}

// The naive kernel, forced.
for (const layout of ['NT', 'TT']) matmulCase({ label: 'naive', m: 17, n: 31, k: 13, layout, choice: 'naive', add: true, twice: true });

// Shared-memory tiles: scalar and vector loads, edges on every side, K split and not, every tile. The gradients of NT are
// an NN and a TN product, those of TT are TT: two layouts run all four, and few pipelines are compiled (a second each).
for (const layout of ['NT', 'TT']) {
  matmulCase({ label: 'tiled odd', m: 67, n: 71, k: 29, layout, choice: 'tiled/64x64x16', profile: 'specialised' });
  matmulCase({ label: 'tiled even', m: 68, n: 132, k: 300, layout, choice: 'tiled/64x64x16', profile: 'specialised' });
}
matmulCase({ label: 'tiled batched', m: 20, n: 12, k: 36, layout: 'NT', batch: [3], choice: 'tiled/64x64x16', profile: 'specialised', add: true, twice: true });
matmulCase({ label: 'tiled f16', m: 68, n: 72, k: 44, layout: 'NT', dtype: 'f16', choice: 'tiled/64x64x16', profile: 'specialised', twice: true });
matmulCase({ label: 'tiled f16 odd', m: 13, n: 7, k: 19, layout: 'NT', dtype: 'f16', choice: 'tiled/64x64x16', profile: 'specialised' });
matmulCase({ label: 'tiled large', m: 132, n: 140, k: 40, layout: 'NT', choice: 'tiled/128x128x8', profile: 'specialised' });
matmulCase({ label: 'split', m: 20, n: 24, k: 390, layout: 'TN', choice: 'tiled/64x64x16x5', profile: 'specialised', add: true, twice: true });
matmulCase({ label: 'split odd', m: 12, n: 7, k: 133, layout: 'NT', choice: 'tiled/64x64x16x3', profile: 'specialised' });
matmulCase({ label: 'split f16', m: 20, n: 24, k: 160, layout: 'TN', dtype: 'f16', choice: 'tiled/64x64x16x2', profile: 'specialised' });
