/** Trials of matrix products: every rung of the ladder forced by name, in each layout, with its tile as an option. */
import type { Value } from '../graph.ts';
import { matmul } from '../ops/matmul.ts';
import type { Setting, Trial } from './types.ts';

const LAYOUT = ['NT', 'NN', 'TN', 'TT'];
const SIZES = { M: [256, 17], N: [256, 31], K: [256, 13] } as const;

/** A product whose kernel is the choice `kernel` with the tile chosen. */
function product({ sizes: { M, N, K }, options, dtype }: Setting, kernel: string, profile: 'generic' | 'specialised', needs: readonly string[] = []) {
  const { layout = 'NT', add = 'no', tile = '' } = options;
  const [transposeA, transposeB] = [layout[0] === 'T', layout[1] === 'T'];
  const withD = add === 'D';
  return {
    op: 'matmul',
    inputs: {
      a: { shape: transposeA ? [K, M] : [M, K], dtype, fill: 'normal' as const },
      b: { shape: transposeB ? [N, K] : [K, N], dtype, fill: 'normal' as const },
      ...(withD ? { d: { shape: [M, N], dtype, fill: 'normal' as const } } : {}),
    },
    build: ({ a, b, d }: Readonly<Record<string, Value>>) => ({ c: matmul(a, b, { transposeA, transposeB, ...(withD ? { add: d } : {}) }) }),
    profile,
    choices: { matmul: tile === '' || tile === 'usual' ? kernel : `${kernel}/${tile}` },
    needs,
  };
}

const TILED = ['64x64x16', '64x64x8', '128x64x16', '64x128x16', '128x128x8'];

export const matmulTrials: readonly Trial[] = [
  {
    kernel: 'matmul/matmul_naive',
    sizes: SIZES,
    options: { layout: LAYOUT, add: ['no', 'D'] },
    make: (s) => product(s, 'naive', 'generic'),
  },
  {
    kernel: 'matmul/matmul_generic',
    sizes: SIZES,
    options: { layout: LAYOUT, add: ['no', 'D'], tile: ['usual', '8x2x16x2', '8x2x8', '8x1x16', '4x2x16', '12x2x8'] },
    make: (s) => product(s, 'generic', 'generic'),
  },
  {
    kernel: 'matmul/matmul_lanes',
    sizes: SIZES,
    options: { layout: LAYOUT, add: ['no', 'D'] },
    make: (s) => product(s, 'lanes', 'generic', ['subgroups']),
  },
  {
    kernel: 'matmul/matmul_tiled',
    sizes: SIZES,
    options: { layout: LAYOUT, add: ['no', 'D'], tile: TILED },
    make: (s) => product(s, 'tiled', 'specialised'),
  },
  {
    kernel: 'matmul/matmul_subgroup_matrix',
    sizes: { M: [256, 17], N: [256, 31], K: [256, 16] },
    options: { layout: LAYOUT, tile: ['64', '128'] },
    dtypes: ['f16'],
    make: (s) => product(s, 'subgroup_matrix', 'specialised', ['chromium-experimental-subgroup-matrix', 'shader-f16', 'subgroups']),
  },
  {
    kernel: 'matmul/matmul_matvec',
    sizes: { M: [1, 3], N: [2048, 37], K: [1024, 68] },
    options: { tile: ['1', '8', '32'], add: ['no', 'D'] },
    make: (s) => product(s, 'matvec', 'generic'),
  },
  {
    kernel: 'matmul/matmul_split_sum',
    sizes: { M: [64, 20], N: [256, 24], K: [2048, 390] },
    options: { layout: ['TN', 'NT'], tile: ['64x64x16x5', '64x64x16x2', '64x64x16x16'] },
    make: (s) => product(s, 'tiled', 'specialised'),
  },
];
