/**
 * Cases of quant_matmul: every kernel that takes a quantised matrix, both ways round, in 8 and 4 bit, ugly shapes, short last blocks, both
 * dtypes, accumulation, addition, row windows. Words are random bits: every code occurs, and padding is garbage that must not show.
 */
import type { Profile } from '../../../src/gpu/facts.ts';
import type { Value } from '../../../src/tensor/graph.ts';
import { quantMatmul } from '../../../src/tensor/ops/quant_matmul.ts';
import { type QuantBits, quantShapes } from '../../../src/tensor/quantize.ts';
import type { DType } from '../../../src/tensor/types.ts';
import { F16_TOLERANCE, type OpCase } from '../case.ts';

export const cases: OpCase[] = [];

interface Options {
  readonly label: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly bits?: readonly QuantBits[];
  readonly lead?: readonly number[];
  readonly dtype?: 'f32' | 'f16';
  /** Storage of the result, where it is not that of x. */
  readonly out?: DType;
  readonly choice?: string;
  readonly profile?: Profile;
  /** Inputs to differentiate by; default all floats. */
  readonly wrt?: readonly string[];
  readonly add?: boolean;
  /** A second product with x, so that gradients accumulate. */
  readonly twice?: boolean;
  readonly limit?: number;
  readonly needs?: readonly string[];
}

function quantCase(o: Options): void {
  const dtype = o.dtype ?? 'f32';
  const lead = o.lead ?? [];
  for (const bits of o.bits ?? [8, 4]) {
    const shapes = quantShapes(o.n, o.k, bits);
    const inputs: Record<string, OpCase['inputs'][string]> = {
      x: { shape: [...lead, o.m, o.k], dtype, fill: 'normal' },
      words: { shape: shapes.words, dtype: 'u32', fill: { ints: [0, 2 ** 32] } },
      scales: { shape: shapes.scales, dtype: 'f32', fill: { uniform: [0.2, bits === 8 ? 0.3 : 1.5] } },
    };
    if (o.add) inputs.add = { shape: [...lead, o.m, o.n], dtype, fill: 'normal' };
    cases.push({
      op: 'quant_matmul',
      name: `quant_matmul ${o.label} q${bits} ${dtype} ${[...lead, ''].join('x')}${o.m}x${o.n}x${o.k}`,
      dtype: o.out === 'f16' ? 'f16' : dtype,
      inputs,
      build: ({ x, words, scales, add }): Record<string, Value> => {
        const y = quantMatmul(x, { words, scales, bits }, { add, dtype: o.out });
        return o.twice ? { y, y2: quantMatmul(x, { words, scales, bits }, { add }) } : { y };
      },
      wrt: o.wrt ?? (o.add ? ['x', 'add'] : ['x']),
      ...(o.choice ? { choices: { matmul: o.choice } } : {}),
      ...(o.profile ? { profile: o.profile } : {}),
      ...(o.needs ? { needs: o.needs } : {}),
      ...(o.limit ? { limits: { maxStorageBufferBindingSize: o.limit } } : {}),
      ...(dtype === 'f16' && (o.limit || o.twice)
        ? { tolerance: { value: 2 * F16_TOLERANCE, reason: 'f16 results that are added to are rounded once an addition' } }
        : {}),
    });
  }
}

// Blocks of one weight, short ones, whole ones; odd sizes take the scalar stores, multiples of four the vector forms. The gradient is the
// same kernel the other way round.
const sizes = [
  [1, 1, 1],
  [5, 3, 7],
  [17, 31, 67],
  [13, 37, 64],
  [36, 68, 192],
] as const;

for (const [m, n, k] of sizes) quantCase({ label: 'generic', m, n, k, choice: 'generic', profile: 'generic' });
quantCase({ label: 'generic leading axes', lead: [2, 3], m: 5, n: 12, k: 100, choice: 'generic', profile: 'generic' });
quantCase({ label: 'generic long', m: 5, n: 9, k: 1030, choice: 'generic', profile: 'generic' });
quantCase({ label: 'generic add twice', m: 11, n: 20, k: 97, add: true, twice: true, choice: 'generic', profile: 'generic' });
quantCase({ label: 'generic', m: 19, n: 22, k: 130, bits: [4], dtype: 'f16', add: true, twice: true, choice: 'generic', profile: 'generic' });
quantCase({ label: 'generic to f16', m: 9, n: 21, k: 71, bits: [8], out: 'f16', choice: 'generic', profile: 'generic' });

// Windows of W, x and y in turn: W's rows cut the result forward and the sum backward.
quantCase({ label: 'windowed', m: 70, n: 704, k: 192, bits: [8], limit: 32768, add: true, choice: 'generic', profile: 'generic' });
quantCase({ label: 'windowed', m: 130, n: 896, k: 256, bits: [4], limit: 32768, twice: true, choice: 'generic', profile: 'generic' });
quantCase({ label: 'windowed', m: 70, n: 640, k: 192, bits: [4], limit: 16384, dtype: 'f16', choice: 'generic', profile: 'generic' });

// One subgroup a tile: one and two terms a step.
const lanes = { choice: 'lanes', profile: 'generic', needs: ['subgroups'] } as const;
for (const [m, n, k] of [...sizes, [49, 33, 38]] as const) quantCase({ label: 'lanes', m, n, k, ...lanes });
quantCase({ label: 'lanes', m: 26, n: 34, k: 82, bits: [4], dtype: 'f16', add: true, ...lanes });
quantCase({ label: 'lanes', m: 25, n: 35, k: 81, bits: [8], dtype: 'f16', ...lanes });
quantCase({ label: 'lanes long', m: 27, n: 9, k: 1030, add: true, twice: true, ...lanes });
quantCase({ label: 'lanes windowed', m: 70, n: 704, k: 192, bits: [4], limit: 16384, ...lanes });

// Decoding: one, four and eight rows. From here on 8 and 4 bit alternate where they share all but the include (a pipeline costs seconds on CPU drivers).
for (const [choice, profile] of [
  ['matvec/1', 'generic'],
  ['matvec/32', 'specialised'],
] as const) {
  quantCase({ label: choice, m: 1, n: 37, k: 68, bits: [4], choice, profile, add: true, wrt: [] });
  quantCase({ label: choice, m: 3, n: 37, k: 1044, bits: [8], choice, profile, wrt: [] });
  quantCase({ label: choice, m: 7, n: 37, k: 132, bits: [4], choice, profile, wrt: [] });
  quantCase({ label: choice, m: 8, n: 64, k: 128, bits: [8], dtype: 'f16', choice, profile, wrt: [] });
}

quantCase({ label: 'naive', m: 17, n: 31, k: 67, choice: 'naive', add: true, twice: true });

// Shared-memory tiles: edges on every side, K split and not, both tiles.
quantCase({ label: 'tiled odd', m: 67, n: 71, k: 93, choice: 'tiled/64x64x16', profile: 'specialised' });
quantCase({ label: 'tiled even', m: 68, n: 132, k: 300, choice: 'tiled/64x64x16', profile: 'specialised', add: true, twice: true });
quantCase({ label: 'tiled', m: 68, n: 72, k: 108, bits: [8], dtype: 'f16', choice: 'tiled/64x64x16', profile: 'specialised', add: true });
quantCase({ label: 'tiled large', m: 132, n: 140, k: 104, bits: [4], choice: 'tiled/128x128x8', profile: 'specialised' });
quantCase({ label: 'split', m: 20, n: 24, k: 390, bits: [4], choice: 'tiled/64x64x16x5', profile: 'specialised', add: true });
