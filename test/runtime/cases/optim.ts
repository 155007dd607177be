/** Cases of the step's end: norm, clip, found-inf, loss scale, AdamW and SGD with and without 16-bit copy, windows. */
import { adamw, sgd } from '../../../src/tensor/ops/adamw.ts';
import { blockMask } from '../../../src/tensor/ops/block_mask.ts';
import { ema } from '../../../src/tensor/ops/ema.ts';
import {
  addLosses,
  biasTable,
  blocksOf,
  finishStep,
  finishStepFrom,
  freshStepState,
  lossSeed,
  normPartials,
  STEP,
} from '../../../src/tensor/ops/step_state.ts';
import type { OpCase } from '../case.ts';

const words = (change: (floats: Float32Array, ints: Uint32Array) => unknown, scale = 1): readonly number[] => {
  const state = freshStepState(scale);
  change(new Float32Array(state.buffer), state);
  return [...state];
};

const bias = [...biasTable(1, 8, 0.9, 0.95)];
const finish = { clip: 1, lr: 0.01, biasBase: 1, dynamicScale: true, growthInterval: 2, maxScale: 65536 };
const step = (values: readonly number[]) => ({ shape: [values.length], dtype: 'u32', fill: { values } }) as const;

export const cases: OpCase[] = [];

for (const n of [1, 7, 4095, 4097, 20_000]) {
  for (const clip of [0, 0.5]) {
    cases.push({
      op: 'step_finish',
      name: `step_finish n=${n} clip=${clip}`,
      dtype: 'f32',
      inputs: {
        g: { shape: [n], dtype: 'f32', fill: 'normal' },
        h: { shape: [33], dtype: 'f32', fill: { normal: 0.1 } },
        bias: { shape: [bias.length], dtype: 'f32', fill: { values: bias } },
        step: step(words((f) => f.fill(3.5, STEP.lossSum, STEP.lossSum + 1), 8)),
      },
      build: ({ g, h, bias: b, step: s }) => ({ step: finishStep(s, b, [g, h], { ...finish, clip }) }),
    });
  }
}

// On ranks the norm is made of partial sums of blocks: of gradients whose first blocks are 0, 2 and 5, some in windows, and with nothing at all.
for (const [n, limits] of [
  [5000, undefined],
  [8192, { maxStorageBufferBindingSize: 16_384 }],
] as const) {
  cases.push({
    op: 'step_finish',
    name: `step_finish from partial sums n=${n}${limits ? ' in windows' : ''}`,
    dtype: 'f32',
    inputs: {
      g: { shape: [n], dtype: 'f32', fill: 'normal' },
      h: { shape: [9000], dtype: 'f32', fill: { normal: 0.1 } },
      k: { shape: [1], dtype: 'f32', fill: 'normal' },
      bias: { shape: [bias.length], dtype: 'f32', fill: { values: bias } },
      step: step(words(() => {}, 8)),
    },
    limits,
    build: ({ g, h, k, bias: b, step: s }, graph) => {
      const blocks = blocksOf(n) + 3;
      const parts = [
        { grad: g, first: 0 },
        { grad: h, first: 2 },
        { grad: k, first: 5 },
      ];
      const partials = normPartials(graph, parts, blocks + 1);
      return { step: finishStepFrom(s, b, partials, finish), partials };
    },
  });
}

for (const [label, bad] of [
  ['nan', Number.NaN],
  ['inf', Number.POSITIVE_INFINITY],
  ['-inf', Number.NEGATIVE_INFINITY],
] as const) {
  cases.push({
    op: 'step_finish',
    name: `step_finish finds ${label} and adamw writes nothing`,
    dtype: 'f32',
    inputs: {
      g: { shape: [70], dtype: 'f32', fill: { values: [...new Array(69).fill(0.5), bad] } },
      p: { shape: [70], dtype: 'f32', fill: 'normal' },
      m: { shape: [70], dtype: 'f32', fill: 'normal' },
      v: { shape: [70], dtype: 'f32', fill: { uniform: [0.1, 1] } },
      bias: { shape: [bias.length], dtype: 'f32', fill: { values: bias } },
      step: step(words(() => {}, 1024)),
    },
    build: ({ g, p, m, v, bias: b, step: s }) => {
      const next = finishStep(s, b, [g], finish);
      const [p2, m2, v2] = adamw(p, g, m, v, next, null, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1 });
      return { step: next, p: p2, m: m2, v: v2 };
    },
    tolerance: { value: 0, reason: 'a skipped step leaves every bit as it was' },
  });
}

for (const [label, ceiling, bad] of [
  ['above its ceiling', 0.5, 0.5],
  ['below its ceiling', 50, 0.5],
  ['not finite under a ceiling', 0.5, Number.NaN],
] as const) {
  cases.push({
    op: 'step_finish',
    name: `step_finish: a norm ${label}`,
    dtype: 'f32',
    inputs: {
      g: { shape: [70], dtype: 'f32', fill: { values: [...new Array(69).fill(0.5), bad] } },
      p: { shape: [70], dtype: 'f32', fill: 'normal' },
      m: { shape: [70], dtype: 'f32', fill: 'normal' },
      v: { shape: [70], dtype: 'f32', fill: { uniform: [0.1, 1] } },
      bias: { shape: [bias.length], dtype: 'f32', fill: { values: bias } },
      // Two bad steps lie behind it, one good one since the scale changed: an outlier leaves all three counts alone.
      step: step(words((_, u) => [u.fill(2, STEP.badRun, STEP.badRun + 1), u.fill(1, STEP.good, STEP.good + 1)], 2)),
    },
    build: ({ g, p, m, v, bias: b, step: s }) => {
      const next = finishStep(s, b, [g], { ...finish, ceiling });
      const [p2, m2, v2] = adamw(p, g, m, v, next, null, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1 });
      return { step: next, p: p2, m: m2, v: v2 };
    },
  });
}

for (const half of [false, true]) {
  for (const [n, limits] of [
    [5, undefined],
    [1027, undefined],
    [9000, { maxStorageBufferBindingSize: 16_384 }],
  ] as const) {
    const inputs: OpCase['inputs'] = {
      g: { shape: [n], dtype: 'f32', fill: 'normal' },
      p: { shape: [n], dtype: 'f32', fill: 'normal' },
      m: { shape: [n], dtype: 'f32', fill: { normal: 0.3 } },
      v: { shape: [n], dtype: 'f32', fill: { uniform: [0.01, 1] } },
      bias: { shape: [bias.length], dtype: 'f32', fill: { values: bias } },
      step: step(words((_, u) => u.fill(2, STEP.t, STEP.t + 1), 4)),
      ...(half ? { w: { shape: [n], dtype: 'f16', fill: 'normal' } } : {}),
    };
    const tolerance = half ? { value: 1e-3, reason: 'the 16-bit copy is rounded once, 2^-11' } : undefined;
    cases.push({
      op: 'adamw',
      name: `adamw n=${n}${half ? ' with 16-bit copy' : ''}${limits ? ' in windows' : ''}`,
      dtype: half ? 'f16' : 'f32',
      inputs,
      limits,
      tolerance,
      build: (i) => {
        const next = finishStep(i.step, i.bias, [i.g], finish);
        const [p, m, v, w] = adamw(i.p, i.g, i.m, i.v, next, i.w ?? null, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, rate: 0.5 });
        return { p, m, v, ...(w ? { w } : {}) };
      },
    });
    cases.push({
      op: 'sgd',
      name: `sgd n=${n}${half ? ' with 16-bit copy' : ''}${limits ? ' in windows' : ''}`,
      dtype: half ? 'f16' : 'f32',
      inputs: Object.fromEntries(Object.entries(inputs).filter(([name]) => name !== 'v')),
      limits,
      tolerance,
      build: (i) => {
        const next = finishStep(i.step, i.bias, [i.g], finish);
        const [p, m, w] = sgd(i.p, i.g, i.m, next, i.w ?? null, { momentum: 0.9, decay: 0.01 });
        return { p, m, ...(w ? { w } : {}) };
      },
    });
  }
}

/** Numbers that 16 bits hold. */
const halves = [0.5, -1.25, 2, 0.75, -0.125, 3, -0.375];

// Only runs of the elements learn: ends inside a vector, a run of one, neighbours, nothing at the start, a window's border inside a run.
for (const [n, runs, limits] of [
  [5, [1, 2], undefined],
  [1027, [0, 3, 3, 4, 130, 771, 1026, 1027], undefined],
  [9000, [4095, 4097, 8190, 9000], { maxStorageBufferBindingSize: 16_384 }],
] as const) {
  const inputs: OpCase['inputs'] = {
    g: { shape: [n], dtype: 'f32', fill: 'normal' },
    p: { shape: [n], dtype: 'f32', fill: 'normal' },
    m: { shape: [n], dtype: 'f32', fill: { normal: 0.3 } },
    v: { shape: [n], dtype: 'f32', fill: { uniform: [0.01, 1] } },
    bias: { shape: [bias.length], dtype: 'f32', fill: { values: bias } },
    step: step(words((_, u) => u.fill(2, STEP.t, STEP.t + 1), 4)),
  };
  cases.push({
    op: 'adamw',
    name: `adamw n=${n} of runs ${runs.join(' ')}`,
    dtype: 'f32',
    inputs,
    limits,
    build: (i) => {
      const next = finishStep(i.step, i.bias, [i.g], finish);
      const [p, m, v] = adamw(i.p, i.g, i.m, i.v, next, null, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, runs });
      return { p, m, v };
    },
  });
  cases.push({
    op: 'sgd',
    name: `sgd n=${n} of runs ${runs.join(' ')} with 16-bit copy`,
    dtype: 'f16',
    // The copy starts as the master rounded, as it does in training: what does not learn keeps it.
    inputs: {
      ...Object.fromEntries(Object.entries(inputs).filter(([name]) => name !== 'v')),
      p: { shape: [n], dtype: 'f32', fill: { values: halves } },
      w: { shape: [n], dtype: 'f16', fill: { values: halves } },
    },
    limits,
    tolerance: { value: 1e-3, reason: 'the 16-bit copy is rounded once, 2^-11' },
    build: (i) => {
      const next = finishStep(i.step, i.bias, [i.g], finish);
      const [p, m, w] = sgd(i.p, i.g, i.m, next, i.w, { momentum: 0.9, decay: 0.01, runs });
      return { p, m, w };
    },
  });
}

for (const [n, limits] of [
  [5, undefined],
  [9000, { maxStorageBufferBindingSize: 16_384 }],
] as const) {
  for (const bad of [0, 1]) {
    cases.push({
      op: 'ema',
      name: `ema n=${n}${bad ? ' of a skipped step' : ''}`,
      dtype: 'f32',
      inputs: {
        e: { shape: [n], dtype: 'f32', fill: 'normal' },
        w: { shape: [n], dtype: 'f32', fill: 'normal' },
        step: step(words((_, u) => u.fill(bad, STEP.foundInf, STEP.foundInf + 1))),
      },
      limits,
      build: ({ e, w, step: s }) => ({ e: ema(e, w, s, 0.97) }),
    });
  }
}

for (const [rows, rank, blocks] of [
  [7, 1, [{ from: 2, to: 5 }]],
  [
    11,
    3,
    [
      { from: 0, to: 4 },
      { from: 4, to: 11 },
    ],
  ],
  [
    67,
    5,
    [
      { from: 0, to: 33 },
      { from: 33, to: 50 },
      { from: 50, to: 67 },
    ],
  ],
] as const) {
  cases.push({
    op: 'block_mask',
    name: `block_mask ${rows}x${rank * blocks.length} of ${blocks.length}`,
    dtype: 'f32',
    inputs: { g: { shape: [rows, rank * blocks.length], dtype: 'f32', fill: 'normal' } },
    build: ({ g }) => ({ g: blockMask(g, rank, blocks) }),
    tolerance: { value: 0, reason: 'zeros are written, the rest is not touched' },
  });
}

for (const n of [1, 65, 1000]) {
  cases.push({
    op: 'loss_sum',
    name: `loss_sum and loss_seed n=${n}`,
    dtype: 'f32',
    inputs: {
      nll: { shape: [n], dtype: 'f32', fill: { uniform: [0, 5] } },
      labels: { shape: [n], dtype: 'i32', fill: { ints: [-3, 12] } },
      step: step(words((f) => f.fill(2.25, STEP.lossSum, STEP.lossSum + 1), 512)),
    },
    build: ({ nll, labels, step: s }) => ({ seed: lossSeed(s, n, 0.125), step: addLosses(nll, labels, s, 10) }),
  });
}
