/**
 * The device owns the step state: attempted steps, Adam's t, loss scale, found-inf, norm, and a ring
 * of step records. It is one small tensor, part of the checkpoint; only the device knows whether a step
 * was skipped. Ops here add losses to it, seed the backward pass, and end the gradient half of a step.
 */
import { BLOCK } from '../../comm/collectives.ts';
import type { Graph, Scalar, Value } from '../graph.ts';
import { foldGrid, type Lowering, type Op, type Scratch } from '../op.ts';
import { scalarParam } from '../reference.ts';
import { require_, sizeOf } from '../types.ts';

/** Word indices; `kernels/lib/step.wgsl` keeps the same list. */
export const STEP = {
  attempted: 0,
  t: 1,
  lossScale: 2,
  good: 3,
  foundInf: 4,
  norm: 5,
  gradScale: 6,
  lossSum: 7,
  tokens: 8,
  badRun: 9,
  skipped: 10,
  bc1: 11,
  bc2: 12,
  lr: 13,
  ring: 16,
  record: 8,
} as const;

/** Records kept on the device; the host must read back at least this often. */
export const STEP_RING = 64;

/** Words of the step state tensor. */
export const STEP_WORDS = STEP.ring + STEP_RING * STEP.record;

/** What the device recorded of one step. */
export interface StepRecord {
  readonly step: number;
  readonly lossSum: number;
  readonly tokens: number;
  readonly gradNorm: number;
  readonly lossScale: number;
  readonly skipped: boolean;
  /** Skipped though finite: its norm was above the step's ceiling. */
  readonly outlier: boolean;
  readonly learningRate: number;
  readonly t: number;
}

/** Reads record number `step` from the words of a step state. */
export function readRecord(words: Uint32Array, step: number): StepRecord {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  const at = STEP.ring + (step % STEP_RING) * STEP.record;
  return {
    step: words[at],
    lossSum: floats[at + 1],
    tokens: words[at + 2],
    gradNorm: floats[at + 3],
    lossScale: floats[at + 4],
    skipped: words[at + 5] !== 0,
    outlier: words[at + 5] === 2,
    learningRate: floats[at + 6],
    t: words[at + 7],
  };
}

/** The words of a fresh step state. */
export function freshStepState(lossScale = 1): Uint32Array {
  const words = new Uint32Array(STEP_WORDS);
  new Float32Array(words.buffer)[STEP.lossScale] = lossScale;
  return words;
}

/** Bias corrections 1/(1 - beta^t) for t = base .. base + entries - 1, in pairs, computed in float64. */
export function biasTable(base: number, entries: number, beta1: number, beta2: number): Float32Array {
  const table = new Float32Array(entries * 2);
  for (let i = 0; i < entries; i++) {
    const t = Math.max(1, base + i);
    table[2 * i] = 1 / (1 - beta1 ** t);
    table[2 * i + 1] = 1 / (1 - beta2 ** t);
  }
  return table;
}

const f32Bits = (x: number): number => new Uint32Array(new Float32Array([x]).buffer)[0];
const bitsF32 = (x: number): number => new Float32Array(new Uint32Array([x]).buffer)[0];

/** Adds losses and label count of a micro to the step state. Inputs nll [N], labels i32 [N], step. */
export const LOSS_SUM: Op = {
  name: 'loss_sum',
  updates: [[0, 2]],
  infer(inputs) {
    require_('loss_sum', inputs[2].dtype === 'u32' && sizeOf(inputs[2].shape) === STEP_WORDS, `the step state must be u32 [${STEP_WORDS}]`, inputs);
    return [inputs[2]];
  },
  lower(l, node) {
    const [nll, labels, step] = node.inputs;
    l.dispatch({
      kernel: 'loss/loss_sum',
      bind: { NLL: nll, LABELS: labels, STEP: step },
      params: { n: sizeOf(nll.shape), v: node.attrs.vocabulary as number },
      grid: [1, 1, 1],
    });
  },
  cost: (node) => ({ flops: sizeOf(node.inputs[0].shape), bytes: 8 * sizeOf(node.inputs[0].shape) }),
  place: { rule: 'rows', rows: [0, 1], joins: { rows: 'all-reduce' } },
  reference([nll, labels, step], attrs) {
    const out = step.data.slice();
    let sum = bitsF32(out[STEP.lossSum]);
    nll.data.forEach((x, i) => {
      sum += x;
      if (labels.data[i] >= 0 && labels.data[i] < (attrs.vocabulary as number)) out[STEP.tokens]++;
    });
    out[STEP.lossSum] = f32Bits(sum);
    return [out];
  },
};

/** The seed of the backward pass: lossScale * weight for each of N rows. */
export const LOSS_SEED: Op = {
  name: 'loss_seed',
  infer: (_, attrs) => [{ shape: [attrs.rows as number], dtype: 'f32' }],
  lower(l, node) {
    const n = node.attrs.rows as number;
    const weight = node.attrs.weight as Scalar;
    l.dispatch({
      kernel: 'loss/loss_seed',
      bind: { STEP: node.inputs[0], Y: node.outputs[0] },
      params: { n, weight: scalarParam(weight) },
      grid: foldGrid(Math.ceil(n / 64)),
    });
  },
  cost: (node) => ({ flops: node.attrs.rows as number, bytes: 4 * (node.attrs.rows as number) }),
  place: { rule: 'rows' },
  reference: ([step], attrs) => [new Float64Array(attrs.rows as number).fill(bitsF32(step.data[STEP.lossScale]) * (attrs.weight as number))],
};

/** How a step ends; `lr` and `biasBase` are step scalars or numbers. */
export interface StepFinishAttrs {
  /** Largest global norm; 0 for no clipping. */
  readonly clip: number;
  readonly lr: Scalar;
  readonly biasBase: Scalar;
  readonly dynamicScale: boolean;
  /** Good steps after which the loss scale doubles. */
  readonly growthInterval: number;
  readonly maxScale: number;
  /** Steps with a larger norm are skipped; 0 (the default) for none. */
  readonly ceiling?: Scalar;
}

/** Blocks of 4,096 elements whose sums of squares are made apart and added in order. */
export const NORM_BLOCK = BLOCK;

/** The sums of squares of the blocks of flat gradients, in block order, the first of each at its own number. */
function lowerPartials(l: Lowering, grads: readonly Value[], first: readonly number[], partials: Value | Scratch): void {
  for (const [i, grad] of grads.entries()) {
    for (const w of l.windows(grad)) {
      // Windows are powers of two of at least 4,096 elements, except under faked tiny limits: then blocks are cut there too.
      const whole = l.windows(grad).length === 1;
      l.dispatch({
        kernel: 'optim/norm_partials',
        bind: { G: whole ? grad : w.slice, PARTIALS: partials },
        params: { n4: Math.ceil(w.rows / 4), block0: first[i] + Math.floor(w.row / NORM_BLOCK) },
        grid: foldGrid(Math.ceil(blocksOf(w.rows) / 16)),
      });
    }
  }
}

/** Blocks of so many elements. */
export const blocksOf = (elements: number): number => Math.ceil(elements / NORM_BLOCK);

/** Read as not finite, as the kernels do. */
const NOT_FINITE = 3.4e38;

/**
 * Partial sums for a norm over gradients of which this rank holds a part. Inputs: gradients f32 (none where it holds none); attributes
 * `first`, the number of each one's first block, and `blocks` of all. Output f32 [blocks]; those of other ranks are left as they come.
 */
export const NORM_PARTIALS: Op = {
  name: 'norm_partials',
  infer(inputs, attrs) {
    const { blocks, first } = attrs as { blocks: number; first: readonly number[] };
    const fits = inputs.every((g, i) => g.dtype === 'f32' && first[i] >= 0 && first[i] + blocksOf(sizeOf(g.shape)) <= blocks);
    require_('norm_partials', first.length === inputs.length && fits, `f32 gradients whose blocks lie inside ${blocks}`, inputs);
    return [{ shape: [blocks], dtype: 'f32' }];
  },
  lower: (l, node) => lowerPartials(l, node.inputs, node.attrs.first as readonly number[], node.outputs[0]),
  cost(node) {
    const n = node.inputs.reduce((sum, g) => sum + sizeOf(g.shape), 0);
    return { flops: 2 * n, bytes: 4 * n };
  },
  place: { rule: 'elementwise' },
  reference(inputs, attrs) {
    const { blocks, first } = attrs as unknown as { blocks: number; first: readonly number[] };
    const out = new Float64Array(blocks);
    inputs.forEach((g, i) => {
      for (let b = 0; b < blocksOf(g.data.length); b++) {
        let sum = 0;
        for (const x of g.data.subarray(b * NORM_BLOCK, (b + 1) * NORM_BLOCK)) sum += x * x;
        out[first[i] + b] = Number.isFinite(sum) ? sum : NOT_FINITE;
      }
    });
    return [out];
  },
};

/** Norm over all gradient buffers, clip factor, found-inf, loss scale, t and record. Inputs: step, bias table, gradients... or, with `partials`, their partial sums. */
export const STEP_FINISH: Op = {
  name: 'step_finish',
  updates: [[0, 0]],
  infer(inputs, attrs) {
    require_('step_finish', inputs.length >= 3 && inputs.slice(2).every((g) => g.dtype === 'f32'), 'needs step, bias table and f32 gradients', inputs);
    require_('step_finish', attrs.partials !== true || inputs.length === 3, 'needs one tensor of partial sums', inputs);
    return [inputs[0]];
  },
  lower(l, node) {
    const [step, bias, ...grads] = node.inputs;
    const a = node.attrs;
    let partials: Value | Scratch = grads[0];
    let blocks = sizeOf(grads[0].shape);
    if (a.partials !== true) {
      const first: number[] = [];
      blocks = 0;
      for (const g of grads) {
        first.push(blocks);
        blocks += blocksOf(sizeOf(g.shape));
      }
      partials = l.scratch(blocks * 4);
      lowerPartials(l, grads, first, partials);
    }
    l.dispatch({
      kernel: 'optim/step_finish',
      bind: { PARTIALS: partials, BIAS: bias, STEP: step },
      params: {
        blocks,
        clip: a.clip as number,
        lr: scalarParam(a.lr as Scalar),
        biasBase: scalarParam(a.biasBase as Scalar),
        biasEntries: sizeOf(bias.shape) / 2,
        dynamicScale: a.dynamicScale ? 1 : 0,
        growthInterval: a.growthInterval as number,
        maxScale: a.maxScale as number,
        ring: STEP_RING,
        ceiling: scalarParam((a.ceiling as Scalar | undefined) ?? 0),
      },
      grid: [1, 1, 1],
    });
  },
  cost(node) {
    const n = node.inputs.slice(2).reduce((sum, g) => sum + sizeOf(g.shape), 0);
    return { flops: 2 * n, bytes: 4 * n };
  },
  place: { rule: 'replicated', joins: { parameters: 'all-reduce' } },
  reference([step, bias, ...grads], a) {
    const out = step.data.slice();
    const scale = bitsF32(out[STEP.lossScale]);
    let sum = 0;
    for (const g of grads) for (const x of g.data) sum += a.partials === true ? x : x * x;
    const inf = Number.isFinite(sum) && sum < 3e38 && Number.isFinite(bitsF32(out[STEP.lossSum])) ? 0 : 1;
    const norm = inf ? 0 : Math.sqrt(sum) / scale;
    const clip = (a.clip as number) > 0 ? Math.min(1, (a.clip as number) / (norm + 1e-6)) : 1;
    const ceiling = (a.ceiling as number | undefined) ?? 0;
    const outlier = inf === 0 && ceiling > 0 && norm > ceiling;
    const skip = inf === 1 || outlier ? 1 : 0;
    const t = out[STEP.t] + 1 - skip;
    const at = STEP.ring + (out[STEP.attempted] % STEP_RING) * STEP.record;
    const lrBits = f32Bits(a.lr as number);
    out.set([out[STEP.attempted], out[STEP.lossSum], out[STEP.tokens], f32Bits(norm), out[STEP.lossScale], outlier ? 2 : inf, lrBits, t], at);
    out[STEP.norm] = f32Bits(norm);
    out[STEP.gradScale] = f32Bits(clip / scale);
    out[STEP.foundInf] = skip;
    out[STEP.lr] = lrBits;
    out[STEP.attempted]++;
    out[STEP.lossSum] = 0;
    out[STEP.tokens] = 0;
    out[STEP.t] = t;
    if (outlier) out[STEP.skipped]++;
    else if (inf) {
      out[STEP.badRun]++;
      out[STEP.skipped]++;
      out[STEP.good] = 0;
      if (a.dynamicScale) out[STEP.lossScale] = f32Bits(Math.max(1, scale / 2));
    } else {
      out[STEP.badRun] = 0;
      const entry = Math.min(t - (a.biasBase as number), bias.data.length / 2 - 1) * 2;
      out[STEP.bc1] = f32Bits(bias.data[entry]);
      out[STEP.bc2] = f32Bits(bias.data[entry + 1]);
      const grow = a.dynamicScale && out[STEP.good] + 1 >= (a.growthInterval as number);
      if (grow) out[STEP.lossScale] = f32Bits(Math.min(a.maxScale as number, scale * 2));
      out[STEP.good] = grow ? 0 : out[STEP.good] + 1;
    }
    return [out];
  },
};

/** The step state after a micro's losses were added. */
export function addLosses(nll: Value, labels: Value, step: Value, vocabulary: number): Value {
  return nll.node.graph.apply1(LOSS_SUM, [nll, labels, step], { vocabulary });
}

/** Adjoint of N per-row losses: lossScale * weight each; weight is customarily 1 / labels of the whole step. */
export function lossSeed(step: Value, rows: number, weight: Scalar): Value {
  return step.node.graph.apply1(LOSS_SEED, [step], { rows, weight });
}

/** The step state after norm, clip, scale and record; the optimizer ops read it. */
export function finishStep(step: Value, bias: Value, grads: readonly Value[], attrs: StepFinishAttrs): Value {
  return step.node.graph.apply1(STEP_FINISH, [step, bias, ...grads], { ...attrs });
}

/** The partial sums of this rank's gradients, the first block of each at the number given, among `blocks` in all. */
export function normPartials(graph: Graph, grads: readonly { readonly grad: Value; readonly first: number }[], blocks: number): Value {
  return graph.apply1(
    NORM_PARTIALS,
    grads.map(({ grad }) => grad),
    { blocks, first: grads.map(({ first }) => first) },
  );
}

/** As `finishStep`, from the partial sums of all gradients. */
export function finishStepFrom(step: Value, bias: Value, partials: Value, attrs: StepFinishAttrs): Value {
  return step.node.graph.apply1(STEP_FINISH, [step, bias, partials], { ...attrs, partials: true });
}
