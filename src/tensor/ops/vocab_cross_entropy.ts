/**
 * Cross-entropy of a linear head whose vocabulary is split over ranks (Megatron-LM, Shoeybi et al. 2019): each rank has some rows of the
 * head. First every rank tells two numbers a row, its part's log-sum-exp and the label's logit; with those of all ranks each makes the losses of whole
 * rows and the gradients of its own part. Logits are made twice, for two numbers a row on the wire.
 * Labels count from the rank's first row; a label of another rank is any number from the rank's rows on, an ignored one is negative.
 */
import type { Node, Value } from '../graph.ts';
import type { Op, RefTensor } from '../op.ts';
import { byteSize, require_, sizeOf, type TensorType } from '../types.ts';
import { lowerChunks } from './linear_cross_entropy.ts';

const flopsOf = (node: Node): number => 2 * node.inputs[0].shape[0] * node.inputs[1].shape[0] * node.inputs[0].shape[1];
const bytesOf = (node: Node): number => byteSize(node.inputs[0]) + byteSize(node.inputs[1]);

function check(op: string, [x, w, labels]: readonly TensorType[], inputs: readonly TensorType[]): void {
  require_(op, x.shape.length === 2 && w.shape.length === 2 && x.shape[1] === w.shape[1], 'x [N, D] and w [V, D] must share D', inputs);
  require_(op, labels.dtype === 'i32' && labels.shape.length === 1 && labels.shape[0] === x.shape[0], 'labels must be i32 [N]', inputs);
}

/** Logits of a part, float64: [N, V]. */
function logitsOf(x: RefTensor, w: RefTensor): Float64Array {
  const [n, d] = x.shape;
  const v = w.shape[0];
  const out = new Float64Array(n * v);
  for (let i = 0; i < n; i++) for (let j = 0; j < v; j++) for (let k = 0; k < d; k++) out[i * v + j] += x.data[i * d + k] * w.data[j * d + k];
  return out;
}

function logSumExp(values: ArrayLike<number>): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) max = Math.max(max, values[i]);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] - max);
  return max + Math.log(sum);
}

/** x [N, D], w [V, D], labels i32 [N] -> f32 [N, 2]: log-sum-exp of the part, and the label's logit or 0. No gradient: the loss accounts for it. */
export const VOCAB_STATS: Op = {
  name: 'vocab_stats',
  infer(inputs) {
    check('vocab_stats', inputs, inputs);
    return [{ shape: [inputs[0].shape[0], 2], dtype: 'f32' }];
  },
  lower: (l, node) => lowerChunks(l, node, null, null, null, { value: node.outputs[0], ranks: 1, make: true }),
  cost: (node) => ({ flops: flopsOf(node), bytes: bytesOf(node) }),
  place: { rule: 'vocab', rows: [0, 2], joins: { v: 'all-gather' } },
  reference([x, w, labels]) {
    const [n, v] = [x.shape[0], w.shape[0]];
    const logits = logitsOf(x, w);
    const out = new Float64Array(2 * n);
    for (let i = 0; i < n; i++) {
      const label = labels.data[i];
      out[2 * i] = logSumExp(logits.subarray(i * v, (i + 1) * v));
      out[2 * i + 1] = label >= 0 && label < v ? logits[i * v + label] : 0;
    }
    return [out];
  },
};

function wholeRow(stats: RefTensor, ranks: number, n: number, i: number): { lse: number; target: number } {
  const parts = Array.from({ length: ranks }, (_, k) => stats.data[2 * (k * n + i)]);
  let target = 0;
  for (let k = 0; k < ranks; k++) target += stats.data[2 * (k * n + i) + 1];
  return { lse: logSumExp(parts), target };
}

function lossesOf(stats: RefTensor, labels: RefTensor, z: number): { loss: Float64Array; nll: Float64Array; lse: Float64Array } {
  const n = labels.data.length;
  const ranks = stats.data.length / (2 * n);
  const [loss, nll, all] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
  for (let i = 0; i < n; i++) {
    const { lse, target } = wholeRow(stats, ranks, n, i);
    all[i] = lse;
    if (labels.data[i] < 0) continue;
    nll[i] = lse - target;
    loss[i] = nll[i] + z * lse * lse;
  }
  return { loss, nll, lse: all };
}

function checkStats(op: string, inputs: readonly TensorType[]): void {
  check(op, inputs, inputs);
  const n = inputs[0].shape[0];
  require_(op, inputs[3].dtype === 'f32' && sizeOf(inputs[3].shape) % (2 * n) === 0, `stats must be f32 [ranks, ${n}, 2]`, inputs);
}

/** x, w, labels, stats f32 [ranks, N, 2] -> loss [N], nll [N] of whole rows. */
export const VOCAB_CROSS_ENTROPY: Op = {
  name: 'vocab_cross_entropy',
  infer(inputs) {
    checkStats('vocab_cross_entropy', inputs);
    const n = inputs[0].shape[0];
    return [
      { shape: [n], dtype: 'f32' },
      { shape: [n], dtype: 'f32' },
    ];
  },
  grad(g, node) {
    const dloss = g.adjoint(0);
    if (!dloss) return;
    const made = [0, 1].filter((i) => g.wants(i));
    g.contribute(made, (into) =>
      node.graph
        .apply(
          VOCAB_CROSS_ENTROPY_GRAD,
          [...node.inputs, dloss],
          { ...node.attrs, dx: g.wants(0), dw: g.wants(1), dtypeW: (g.wants(1) && into[made.indexOf(1)]?.dtype) || 'f32' },
          [null, null, ...into],
        )
        .slice(2),
    );
  },
  lower(l, node) {
    const [, , , stats] = node.inputs;
    lowerChunks(l, node, node.outputs[0], node.outputs[1], null, { value: stats, ranks: sizeOf(stats.shape) / (2 * node.inputs[0].shape[0]), make: false });
  },
  cost: (node) => ({ flops: flopsOf(node), bytes: bytesOf(node) }),
  place: { rule: 'vocab', rows: [0, 2, 3] },
  reference([, , labels, stats], attrs) {
    const { loss, nll } = lossesOf(stats, labels, attrs.zLoss as number);
    return [loss, nll];
  },
};

/** Inputs x, w, labels, stats, dloss [N]; outputs loss, nll, then dx (this part's share of it) and dw as far as wanted. */
export const VOCAB_CROSS_ENTROPY_GRAD: Op = {
  name: 'vocab_cross_entropy_grad',
  accumulates: [false, false, true, true],
  infer(inputs, attrs) {
    checkStats('vocab_cross_entropy_grad', inputs);
    const [x, w] = inputs;
    const n = x.shape[0];
    const out: TensorType[] = [
      { shape: [n], dtype: 'f32' },
      { shape: [n], dtype: 'f32' },
    ];
    if (attrs.dx) out.push({ shape: x.shape, dtype: x.dtype });
    if (attrs.dw) out.push({ shape: w.shape, dtype: attrs.dtypeW === 'f16' ? 'f16' : 'f32' });
    return out;
  },
  lower(l, node) {
    const [x, , , stats, g] = node.inputs;
    const dx = node.attrs.dx ? node.outputs[2] : null;
    const dw = node.attrs.dw ? node.outputs[node.attrs.dx ? 3 : 2] : null;
    const grads = { g, dx, dw, dt: null, db: null, into: (v: Value) => l.accumulates(v.index) };
    lowerChunks(l, node, node.outputs[0], node.outputs[1], grads, { value: stats, ranks: sizeOf(stats.shape) / (2 * x.shape[0]), make: false });
  },
  cost: (node) => ({ flops: flopsOf(node) * (1 + (node.attrs.dx ? 1 : 0) + (node.attrs.dw ? 1 : 0)), bytes: 3 * bytesOf(node) }),
  place: { rule: 'vocab', rows: [0, 2, 3, 4] },
  reference([x, w, labels, stats, dloss], attrs) {
    const [n, d] = x.shape;
    const v = w.shape[0];
    const z = attrs.zLoss as number;
    const { loss, nll, lse } = lossesOf(stats, labels, z);
    const logits = logitsOf(x, w);
    const dx = new Float64Array(n * d);
    const dw = new Float64Array(v * d);
    for (let i = 0; i < n; i++) {
      const label = labels.data[i];
      if (label < 0) continue;
      for (let j = 0; j < v; j++) {
        const t = dloss.data[i] * ((1 + 2 * z * lse[i]) * Math.exp(logits[i * v + j] - lse[i]) - (j === label ? 1 : 0));
        for (let k = 0; k < d; k++) {
          dx[i * d + k] += t * w.data[j * d + k];
          dw[j * d + k] += t * x.data[i * d + k];
        }
      }
    }
    return [loss, nll, ...(attrs.dx ? [dx] : []), ...(attrs.dw ? [dw] : [])];
  },
};

/** Two numbers a row of this rank's part of the vocabulary. Shapes: x [N, D], w [V, D], labels i32 [N] -> [N, 2]. */
export function vocabStats(x: Value, w: Value, labels: Value): Value {
  return x.node.graph.apply1(VOCAB_STATS, [x, w, labels]);
}

/** Losses of whole rows, and by differentiation the gradients of this rank's part. `stats` f32 [ranks, N, 2]; `options` as in `linearCrossEntropy`. */
export function vocabCrossEntropy(x: Value, w: Value, labels: Value, stats: Value, options: { zLoss?: number } = {}): { loss: Value; nll: Value } {
  const [loss, nll] = x.node.graph.apply(VOCAB_CROSS_ENTROPY, [x, w, labels, stats], { zLoss: options.zLoss ?? 0 });
  return { loss, nll };
}
