/** Trials of the loss and of the step's end: the fused head, loss sums, norm and clip, AdamW and SGD, averages, masks. */
import { adamw, sgd } from '../ops/adamw.ts';
import { blockMask } from '../ops/block_mask.ts';
import { ema } from '../ops/ema.ts';
import { linearCrossEntropy } from '../ops/linear_cross_entropy.ts';
import { addTypeLosses } from '../ops/loss_by_type.ts';
import { addLosses, biasTable, blocksOf, finishStep, finishStepFrom, freshStepState, lossSeed, normPartials, STEP } from '../ops/step_state.ts';
import type { Setting, Trial } from './types.ts';

/** A step state as words, changed. */
function stepWords(change: (floats: Float32Array, words: Uint32Array) => unknown, scale: number): readonly number[] {
  const state = freshStepState(scale);
  change(new Float32Array(state.buffer), state);
  return [...state];
}

const BIAS = [...biasTable(1, 8, 0.9, 0.95)];
const FINISH = { clip: 1, lr: 0.01, biasBase: 1, dynamicScale: true, growthInterval: 2, maxScale: 65536 };
const stepInput = (values: readonly number[]) => ({ shape: [values.length], dtype: 'u32', fill: { values } }) as const;
const flat = (n: number, spread = 1) => ({ shape: [n], dtype: 'f32', fill: { normal: spread } }) as const;
const biasInput = { shape: [BIAS.length], dtype: 'f32', fill: { values: BIAS } } as const;
/** Two steps lie behind it, under a loss scale of 4. */
const midway = () => stepInput(stepWords((_, words) => words.fill(2, STEP.t, STEP.t + 1), 4));
/** The 16-bit copy is rounded once. */
const HALF = { value: 1e-3, reason: 'the 16-bit copy is rounded once, 2^-11' };

function optimizer(s: Setting, rule: 'adamw' | 'sgd'): ReturnType<Trial['make']> {
  const { N } = s.sizes;
  const half = s.dtype === 'f16';
  return {
    op: rule,
    inputs: {
      g: flat(N),
      p: flat(N),
      m: flat(N, 0.3),
      ...(rule === 'adamw' ? { v: { shape: [N], dtype: 'f32' as const, fill: { uniform: [0.01, 1] as const } } } : {}),
      bias: biasInput,
      step: midway(),
      ...(half ? { w: { shape: [N], dtype: 'f16' as const, fill: 'normal' as const } } : {}),
    },
    tolerance: half ? HALF : undefined,
    build: (i) => {
      const next = finishStep(i.step, i.bias, [i.g], FINISH);
      if (rule === 'sgd') {
        const [p, m, w] = sgd(i.p, i.g, i.m, next, i.w ?? null, { momentum: 0.9, decay: 0.01 });
        return { p, m, ...(w ? { w } : {}) };
      }
      const [p, m, v, w] = adamw(i.p, i.g, i.m, i.v, next, i.w ?? null, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1 });
      return { p, m, v, ...(w ? { w } : {}) };
    },
  };
}

/** Losses of rows under labels, some of them ignored. */
function lossCase({ sizes: { N } }: Setting): ReturnType<Trial['make']> {
  return {
    op: 'loss_sum',
    inputs: {
      nll: { shape: [N], dtype: 'f32', fill: { uniform: [0, 5] } },
      labels: { shape: [N], dtype: 'i32', fill: { ints: [-3, 12] } },
      step: stepInput(stepWords((floats) => floats.fill(2.25, STEP.lossSum, STEP.lossSum + 1), 512)),
    },
    build: ({ nll, labels, step }) => ({ seed: lossSeed(step, N, 0.125), step: addLosses(nll, labels, step, 10) }),
  };
}

const bits = (value: number): number => new Uint32Array(new Float32Array([value]).buffer)[0];
const FLAT = { N: [262_144, 1027] } as const;

export const stepTrials: readonly Trial[] = [
  { kernel: 'optim/adamw', sizes: FLAT, make: (s) => optimizer(s, 'adamw') },
  { kernel: 'optim/sgd', sizes: FLAT, make: (s) => optimizer(s, 'sgd') },
  {
    kernel: 'optim/step_finish',
    sizes: { N: [65_536, 4097] },
    options: { clip: ['0.5', '0'] },
    dtypes: ['f32'],
    make: ({ sizes: { N }, options: { clip = '0.5' } }) => ({
      op: 'step_finish',
      inputs: { g: flat(N), h: flat(33, 0.1), bias: biasInput, step: stepInput(stepWords((floats) => floats.fill(3.5, STEP.lossSum, STEP.lossSum + 1), 8)) },
      build: ({ g, h, bias, step }) => ({ step: finishStep(step, bias, [g, h], { ...FINISH, clip: Number(clip) }) }),
    }),
  },
  {
    kernel: 'optim/norm_partials',
    sizes: FLAT,
    dtypes: ['f32'],
    make: ({ sizes: { N } }) => ({
      op: 'step_finish',
      inputs: { g: flat(N), h: flat(9000, 0.1), bias: biasInput, step: stepInput(stepWords(() => undefined, 8)) },
      build: ({ g, h, bias, step }, graph) => {
        const blocks = blocksOf(N) + blocksOf(9000);
        const partials = normPartials(
          graph,
          [
            { grad: g, first: 0 },
            { grad: h, first: blocksOf(N) },
          ],
          blocks,
        );
        return { step: finishStepFrom(step, bias, partials, FINISH), partials };
      },
    }),
  },
  {
    kernel: 'optim/ema',
    sizes: FLAT,
    dtypes: ['f32'],
    make: ({ sizes: { N } }) => ({
      op: 'ema',
      inputs: { e: flat(N), w: flat(N), step: stepInput(stepWords(() => undefined, 1)) },
      build: ({ e, w, step }) => ({ e: ema(e, w, step, 0.97) }),
    }),
  },
  {
    kernel: 'optim/block_mask',
    sizes: { N: [4096, 67], R: [16, 5] },
    dtypes: ['f32'],
    make: ({ sizes: { N, R } }) => {
      const blocks = [
        { from: 0, to: Math.floor(N / 2) },
        { from: Math.floor(N / 2), to: N },
      ];
      return {
        op: 'block_mask',
        inputs: { g: { shape: [N, R * blocks.length], dtype: 'f32', fill: 'normal' } },
        build: ({ g }) => ({ g: blockMask(g, R, blocks) }),
        tolerance: { value: 0, reason: 'zeros are written, the rest is not touched' },
      };
    },
  },
  { kernel: 'loss/loss_sum', sizes: { N: [65_536, 65] }, dtypes: ['f32'], make: lossCase },
  { kernel: 'loss/loss_seed', sizes: { N: [65_536, 65] }, dtypes: ['f32'], make: lossCase },
  {
    kernel: 'loss/loss_by_type',
    sizes: { N: [16_384, 1000], K: [5, 3] },
    dtypes: ['f32'],
    make: ({ sizes: { N, K } }) => ({
      op: 'loss_by_type',
      inputs: {
        // Multiples of 1/8 below 16: every sum of up to 20,000 of them is exact in f32, and sums are compared as bits.
        nll: { shape: [N], dtype: 'f32', fill: { values: Array.from({ length: 97 }, (_, i) => ((i * 37) % 128) / 8) } },
        labels: { shape: [N], dtype: 'i32', fill: { ints: [-3, 12] } },
        // One type more than there are sums for: it counts nowhere.
        types: { shape: [N], dtype: 'u32', fill: { ints: [0, K + 1] } },
        sums: {
          shape: [2 * K],
          dtype: 'u32',
          fill: { values: [...Array.from({ length: K }, (_, i) => bits(i * 0.5)), ...Array.from({ length: K }, (_, i) => i)] },
        },
      },
      build: ({ nll, labels, types, sums }) => ({ sums: addTypeLosses(nll, labels, types, sums, 10) }),
      tolerance: { value: 0, reason: 'the numbers are such that every partial sum is exact' },
    }),
  },
  {
    kernel: 'loss/cross_entropy_rows',
    sizes: { N: [128, 7], V: [1024, 131], D: [64, 5] },
    options: { zLoss: ['0', '0.01'] },
    make: ({ sizes: { N, V, D }, options: { zLoss = '0' }, dtype }) => ({
      op: 'linear_cross_entropy',
      inputs: {
        x: { shape: [N, D], dtype, fill: 'normal' },
        w: { shape: [V, D], dtype, fill: { normal: 0.5 } },
        labels: { shape: [N], dtype: 'i32', fill: { ints: [0, V] } },
      },
      build: ({ x, w, labels }) => ({ ...linearCrossEntropy(x, w, labels, { zLoss: Number(zLoss) }) }),
      seeds: ['loss'],
      wrt: ['x', 'w'],
      tolerance: dtype === 'f32' ? { value: 2e-5, reason: 'exp and log' } : { value: 1e-3, reason: 'dx is stored in 16 bits: 2^-11 a rounding' },
    }),
  },
];
