/** Trials of kernels that treat each element, or each row of a table, on its own: activations, copies, embedding, rotation, random numbers. */
import { Random } from '../../base/random.ts';
import { bias } from '../ops/bias.ts';
import { copy, scaled } from '../ops/copy.ts';
import { dropout } from '../ops/dropout.ts';
import * as e from '../ops/elementwise.ts';
import { embed } from '../ops/embed.ts';
import { toHeads, toTokens } from '../ops/head_exchange.ts';
import { noise } from '../ops/noise.ts';
import { normal, randomBits, uniform } from '../ops/random.ts';
import { rope, ropeTable } from '../ops/rope.ts';
import { swiglu } from '../ops/swiglu.ts';
import { requireRows, type Setting, type Trial } from './types.ts';

const SIZES = { N: [512, 7], D: [512, 13] } as const;
const UNARY = { silu: e.silu, gelu: e.gelu, tanh: e.tanh, exp: e.exp, relu: e.relu, square: e.square, neg: e.neg } as const;
const BINARY = { add: e.add, sub: e.sub, mul: e.mul } as const;
const STREAM = { seed: 4294967295, stream: 3735928559 } as const;

const tensor = ({ sizes: { N, D }, dtype }: Setting) => ({ shape: [N, D], dtype, fill: 'normal' as const });

/** Ids of a batch and what the gradient of a table needs, made as a host would; squared, so that some ids come often and most never. */
export function idsOfBatch(seed: number, n: number, V: number): { ids: number[]; order: number[]; starts: number[]; segmentIds: number[]; segments: number } {
  const random = new Random(seed);
  const ids = Array.from({ length: n }, () => Math.floor(random.uniform() ** 2 * V));
  const order = ids.map((_, i) => i).sort((a, b) => ids[a] - ids[b] || a - b);
  const starts: number[] = [];
  const segmentIds: number[] = [];
  order.forEach((position, k) => {
    if (k > 0 && ids[order[k - 1]] === ids[position]) return;
    starts.push(k);
    segmentIds.push(ids[position]);
  });
  const segments = starts.length;
  while (starts.length < n + 1) starts.push(n);
  while (segmentIds.length < n) segmentIds.push(0);
  return { ids, order, starts, segmentIds, segments };
}

function embedCase({ sizes: { N, V, D }, dtype }: Setting): ReturnType<Trial['make']> {
  requireRows(N);
  const b = idsOfBatch(V * 1000 + D, N, V);
  const words = (values: readonly number[]) => ({ shape: [values.length], dtype: 'u32', fill: { values } }) as const;
  return {
    op: 'embed',
    inputs: {
      table: { shape: [V, D], dtype, fill: 'normal' },
      ids: words(b.ids),
      order: words(b.order),
      starts: words(b.starts),
      segmentIds: words(b.segmentIds),
    },
    build: ({ table, ids, ...segments }) => ({
      y: embed(table, ids, { dtype, order: segments.order, starts: segments.starts, segmentIds: segments.segmentIds }),
    }),
    scalars: { segments: b.segments },
  };
}
const TABLE = { N: [512, 70], V: [2000, 37], D: [256, 31] } as const;

export const pointwiseTrials: readonly Trial[] = [
  {
    kernel: 'elementwise/elementwise',
    sizes: SIZES,
    options: { of: [...Object.keys(UNARY), ...Object.keys(BINARY)] },
    make: (s): ReturnType<Trial['make']> => {
      const of = s.options.of ?? 'silu';
      const f = BINARY[of as keyof typeof BINARY];
      if (f) return { op: 'elementwise', inputs: { a: tensor(s), b: tensor(s) }, build: ({ a, b }) => ({ y: f(a, b) }) };
      return { op: 'elementwise', inputs: { x: tensor(s) }, build: ({ x }) => ({ y: UNARY[of as keyof typeof UNARY](x) }) };
    },
  },
  {
    // One rank's part of what changes between tokens and heads is all of it; a row holds two sections of D.
    kernel: 'elementwise/columns',
    sizes: { B: [2, 3], T: [256, 7], D: [512, 26] },
    options: { to: ['heads', 'tokens'] },
    make: ({ sizes: { B, T, D }, options: { to = 'heads' }, dtype }) => ({
      op: 'head_exchange',
      inputs: { x: { shape: [B, T, 2 * D], dtype, fill: 'normal' } },
      build: ({ x }) => ({ y: (to === 'heads' ? toHeads : toTokens)(x, { axis: 'sp', ranks: 1, rank: 0 }, [D, D]) }),
    }),
  },
  { kernel: 'elementwise/copy', sizes: SIZES, make: (s) => ({ op: 'copy', inputs: { x: tensor(s) }, build: ({ x }) => ({ y: scaled(x, 0.75) }) }) },
  // A tensor that a launch binds twice is copied first, word by word.
  { kernel: 'elementwise/copy_words', sizes: SIZES, make: (s) => ({ op: 'elementwise', inputs: { x: tensor(s) }, build: ({ x }) => ({ y: e.mul(x, x) }) }) },
  {
    kernel: 'elementwise/swiglu',
    sizes: { N: [512, 17], F: [512, 31] },
    make: ({ sizes: { N, F }, dtype }) => ({
      op: 'swiglu',
      inputs: { gu: { shape: [N, 2 * F], dtype, fill: 'normal' } },
      build: ({ gu }) => ({ y: swiglu(gu) }),
    }),
  },
  {
    kernel: 'elementwise/swiglu_grad',
    sizes: { N: [512, 17], F: [512, 31] },
    make: ({ sizes: { N, F }, dtype }) => ({
      op: 'swiglu',
      inputs: { gu: { shape: [N, 2 * F], dtype, fill: 'normal' } },
      build: ({ gu }) => ({ y: swiglu(gu) }),
      wrt: ['gu'],
    }),
  },
  {
    kernel: 'elementwise/bias',
    sizes: SIZES,
    make: (s) => ({
      op: 'bias',
      inputs: { x: tensor(s), b: { shape: [s.sizes.D], dtype: 'f32', fill: 'normal' } },
      build: ({ x, b }) => ({ y: bias(copy(x), b) }),
    }),
  },
  { kernel: 'embed/embed', sizes: TABLE, make: embedCase },
  { kernel: 'embed/embed_grad', sizes: TABLE, make: (s) => ({ ...embedCase(s), wrt: ['table'] }) },
  {
    kernel: 'rope/rope',
    sizes: { B: [2, 3], T: [128, 7], H: [8, 3], K: [4, 3], S: [64, 10] },
    make: ({ sizes: { B, T, H, K, S }, dtype }) => {
      const table = ropeTable({ headSize: S, theta: 10000, capacity: 50 });
      return {
        op: 'rope',
        inputs: {
          qkv: { shape: [B, T, (H + 2 * K) * S], dtype, fill: 'normal' },
          positions: { shape: [B, T], dtype: 'u32', fill: { ints: [0, 50] } },
        },
        build: ({ qkv, positions }, g) => ({ y: rope(qkv, positions, g.constant('table', [50, S / 2, 2], table), { heads: H, kvHeads: K, headSize: S }) }),
      };
    },
  },
  {
    kernel: 'random/random',
    sizes: { N: [262_144, 67] },
    options: { of: ['normal', 'uniform', 'bits'] },
    make: ({ sizes: { N }, options: { of = 'normal' }, dtype }) => ({
      op: 'random',
      inputs: {},
      build: (_, g) => ({ y: of === 'bits' ? randomBits(g, [N], STREAM) : (of === 'uniform' ? uniform : normal)(g, [N], { ...STREAM, dtype }) }),
    }),
  },
  {
    kernel: 'random/dropout',
    sizes: SIZES,
    options: { p: ['0.1', '0.5', '0.75', '0'] },
    make: (s) => ({ op: 'dropout', inputs: { x: tensor(s) }, build: ({ x }) => ({ y: dropout(x, Number(s.options.p ?? 0.1), { ...STREAM, site: 3 }) }) }),
  },
  {
    kernel: 'random/noise',
    sizes: SIZES,
    make: (s) => ({
      op: 'noise',
      inputs: { x: tensor(s), scale: { shape: [s.sizes.N], dtype: 'f32', fill: { values: [0.25, 0, 1.5] } } },
      build: ({ x, scale }) => ({ y: noise(x, scale, { ...STREAM, site: 1 }) }),
    }),
  },
];
