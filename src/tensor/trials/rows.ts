/** Trials of kernels that work row by row or column by column: softmax, norms, sums, maxima. The frame (a thread a row, a workgroup a row, subgroups) is an option. */
import type { Value } from '../graph.ts';
import { argmax } from '../ops/argmax.ts';
import { bias } from '../ops/bias.ts';
import { headnorm } from '../ops/headnorm.ts';
import * as reduce from '../ops/reduce.ts';
import { rmsnorm } from '../ops/rmsnorm.ts';
import { logSoftmax, softmax } from '../ops/softmax.ts';
import type { Setting, Trial } from './types.ts';

const FRAMES = ['threads', 'tree', 'subgroups'];
const SIZES = { N: [256, 17], D: [512, 31] } as const;

/** A frame forced for an op; subgroups want the feature. */
const framed = (op: string, { frame = 'threads' }: Readonly<Record<string, string>>) => ({
  op,
  choices: { [op]: frame },
  needs: frame === 'subgroups' ? ['subgroups'] : [],
});

const x = ({ sizes: { N, D }, dtype }: Setting) => ({ shape: [N, D], dtype, fill: 'normal' as const });
const weight = (n: number) => ({ shape: [n], dtype: 'f32' as const, fill: { uniform: [0.5, 1.5] as const } });

function softmaxCase(s: Setting) {
  const log = s.options.form === 'log';
  return { ...framed('softmax', s.options), inputs: { x: x(s) }, build: (v: Readonly<Record<string, Value>>) => ({ y: log ? logSoftmax(v.x) : softmax(v.x) }) };
}

/** A large eps: the gradient of a row of one element is of order eps, lost to rounding where eps is small. */
const EPS = 0.1;

function rmsnormCase(s: Setting) {
  const residual = s.options.residual === 'yes';
  return {
    ...framed('rmsnorm', s.options),
    inputs: { x: x(s), w: weight(s.sizes.D), ...(residual ? { r: x(s) } : {}) },
    build: (v: Readonly<Record<string, Value>>): Record<string, Value> => {
      if (!residual) return { y: rmsnorm(v.x, v.w, { eps: EPS }) };
      const [y, sum] = rmsnorm(v.x, v.w, { eps: EPS, residual: v.r });
      return { y, s: sum };
    },
  };
}

function headnormCase(s: Setting) {
  const { N, H, K, S } = s.sizes;
  return {
    ...framed('headnorm', s.options),
    inputs: { x: { shape: [N, (H + 2 * K) * S], dtype: s.dtype, fill: 'normal' as const }, wq: weight(S), wk: weight(S) },
    build: (v: Readonly<Record<string, Value>>) => ({ y: headnorm(v.x, v.wq, v.wk, { heads: H, kvHeads: K, headSize: S, eps: EPS }) }),
  };
}
const HEADS = { N: [256, 7], H: [8, 2], K: [4, 1], S: [64, 5] } as const;

/** Sums over the last axis, or over everything. */
function reduceCase(s: Setting) {
  const { of = 'sum', over = 'last' } = s.options;
  const axis = over === 'last' ? 'last' : 'all';
  return {
    ...framed('reduce', s.options),
    // A mean away from 0: a sum of thousands of numbers of both signs may cancel to anything.
    inputs: { x: { ...x(s), fill: { uniform: [-0.5, 1.5] as const } } },
    build: (v: Readonly<Record<string, Value>>) => ({
      y: of === 'max' ? reduce.max(v.x, axis) : of === 'mean' ? reduce.mean(v.x, axis) : reduce.sum(v.x, axis),
    }),
  };
}

export const rowTrials: readonly Trial[] = [
  { kernel: 'reduce/softmax', sizes: SIZES, options: { frame: FRAMES, form: ['plain', 'log'] }, make: softmaxCase },
  { kernel: 'reduce/softmax_grad', sizes: SIZES, options: { frame: FRAMES, form: ['plain', 'log'] }, make: (s) => ({ ...softmaxCase(s), wrt: ['x'] }) },
  { kernel: 'reduce/reduce', sizes: SIZES, options: { frame: FRAMES, of: ['sum', 'mean', 'max'], over: ['last', 'all'] }, make: reduceCase },
  { kernel: 'reduce/spread', sizes: SIZES, options: { of: ['sum', 'mean'], over: ['last', 'all'] }, make: (s) => ({ ...reduceCase(s), wrt: ['x'] }) },
  {
    kernel: 'reduce/argmax',
    sizes: SIZES,
    options: { frame: ['lanes', 'tree'] },
    make: (s) => ({ ...framed('argmax', { frame: s.options.frame ?? 'lanes' }), inputs: { x: x(s) }, build: (v) => ({ y: argmax(v.x) }) }),
  },
  {
    kernel: 'reduce/colsum',
    sizes: { N: [512, 67], D: [512, 31] },
    options: { frame: ['threads', 'tree'] },
    make: (s) => ({
      op: 'bias',
      choices: { colsum: s.options.frame ?? 'threads' },
      inputs: { x: x(s), b: { shape: [s.sizes.D], dtype: 'f32', fill: 'normal' } },
      build: (v) => ({ y: bias(v.x, v.b) }),
      wrt: ['b'],
    }),
  },
  { kernel: 'norm/rmsnorm', sizes: SIZES, options: { frame: FRAMES, residual: ['no', 'yes'] }, make: rmsnormCase },
  {
    kernel: 'norm/rmsnorm_grad',
    sizes: SIZES,
    options: { frame: FRAMES, residual: ['no', 'yes'] },
    make: (s) => ({ ...rmsnormCase(s), wrt: s.options.residual === 'yes' ? ['x', 'w', 'r'] : ['x', 'w'] }),
  },
  { kernel: 'norm/headnorm', sizes: HEADS, options: { frame: FRAMES }, make: headnormCase },
  { kernel: 'norm/headnorm_grad', sizes: HEADS, options: { frame: FRAMES }, make: (s) => ({ ...headnormCase(s), wrt: ['x', 'wq', 'wk'] }) },
];
