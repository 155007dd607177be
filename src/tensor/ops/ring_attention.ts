/**
 * Attention of which every rank of an axis has some tokens of each sequence: keys and values go round the ring (Liu et al. 2023), partial results are
 * joined by their log-sum-exps, and in the backward pass gradients of keys and values travel along. A rank's tokens may be any as long as the keys that
 * a query sees are one run in every rank's order: with stripes (rank r has tokens r, r + n, r + 2n, …; Brandon et al. 2023) they
 * are, and every rank has equally much to do under a causal mask.
 */
import { ScionError } from '../../base/errors.ts';
import type { Attrs, Node, Value } from '../graph.ts';
import { headLayout } from '../lower/heads.ts';
import { lowerRing, lowerRingGrad } from '../lower/ring.ts';
import type { Op, RefTensor } from '../op.ts';
import { byteSize, require_, type TensorType } from '../types.ts';
import { ATTENTION, ATTENTION_GRAD, type AttentionAttrs } from './attention.ts';
import type { RankAxis } from './exchange.ts';

/** Pairs of queries and keys that a causal mask leaves this rank, over all blocks. */
const pairs = (t: number, ranks: number): number => (ranks * t * (t + 1)) / 2;

const moved = (values: readonly TensorType[]): number => values.reduce((sum, v) => sum + byteSize(v), 0);

function flops(node: Node, qkv: TensorType, perPair: number): number {
  const { heads, headSize } = headLayout(node.op.name, node.attrs);
  const [B, T] = qkv.shape;
  return perPair * B * heads * pairs(T, node.attrs.ranks as number) * headSize;
}

/** Float64 references know one rank's values: they are those of attention where there is one rank. */
function alone(attrs: Attrs): void {
  if (attrs.ranks !== 1)
    throw new ScionError('internal', `ring_attention: a reference of one of ${attrs.ranks} ranks does not exist; compare with attention on the whole`);
}

function checkBlocks(op: string, ranges: readonly TensorType[], attrs: Attrs, inputs: readonly TensorType[]): void {
  const { ranks, rank } = attrs as unknown as RankAxis;
  require_(op, Number.isInteger(ranks) && ranks >= 1 && rank >= 0 && rank < ranks, 'a rank of an axis', `${rank} of ${ranks}`);
  require_(op, ranges.length === ranks, `ranges of ${ranks} blocks`, inputs);
  require_(op, ranks === 1 || headLayout(op, attrs).headSize % 2 === 0, 'the head size must be even where rows travel', inputs);
  for (const r of ranges) require_(op, r.dtype === 'u32' && r.shape.join() === ranges[0].shape.join(), 'ranges of all blocks must be u32 [B, T, 4]', inputs);
}

/** Forward: inputs qkv [B, T, (H + 2K) S] of the own tokens and ranges of each block; outputs as `ATTENTION`. */
export const RING_ATTENTION: Op = {
  name: 'ring_attention',
  infer([qkv, ...ranges], attrs) {
    checkBlocks('ring_attention', ranges, attrs, [qkv, ...ranges]);
    return ATTENTION.infer([qkv, ranges[0]], attrs);
  },
  grad(g, node) {
    const dOut = g.adjoint(0);
    if (g.adjoint(1)) throw new ScionError('plan', 'ring_attention: its log-sum-exp output cannot be differentiated; seed the first output only');
    if (!dOut || !g.wants(0)) return;
    const [qkv, ...ranges] = node.inputs;
    const [out, stats] = node.outputs;
    g.contribute([0], ([into]) => [node.graph.apply1(RING_ATTENTION_GRAD, [dOut, out, qkv, stats, ...ranges], node.attrs, into)]);
  },
  lower: lowerRing,
  cost: (node) => ({ flops: flops(node, node.inputs[0], 4), bytes: moved([...node.inputs, ...node.outputs]) }),
  place: { rule: 'collective' },
  reference([qkv, ...ranges], attrs, outputs) {
    alone(attrs);
    return ATTENTION.reference([qkv, ranges[0]], attrs, outputs);
  },
};

/** Backward: inputs dO, O, qkv, log-sum-exp and ranges of each block; output the gradient by qkv. */
export const RING_ATTENTION_GRAD: Op = {
  name: 'ring_attention_grad',
  accumulates: [true],
  infer([dOut, out, qkv, stats, ...ranges], attrs) {
    checkBlocks('ring_attention_grad', ranges, attrs, [qkv, ...ranges]);
    return ATTENTION_GRAD.infer([dOut, out, qkv, stats, ranges[0]], attrs);
  },
  lower: lowerRingGrad,
  cost: (node) => ({ flops: flops(node, node.inputs[2], 14), bytes: moved([...node.inputs, ...node.outputs]) }),
  place: { rule: 'collective' },
  reference([dOut, out, qkv, stats, ...ranges]: readonly RefTensor[], attrs, outputs) {
    alone(attrs);
    return ATTENTION_GRAD.reference([dOut, out, qkv, stats, ranges[0]], attrs, outputs);
  },
};

/**
 * softmax(scale Q K^T) V of this rank's queries over the keys of all ranks.
 * @param qkv [B, T, (H + 2K) S] of this rank's tokens, T the same on all ranks.
 * @param ranges u32 [B, T, 4] a block: block j has the keys of rank (rank - j) mod n. Of each, query t sees keys lo <= j < hi, and its key t is seen by
 *   this rank's queries qlo <= i < qhi. A query that sees any key must see one of block 0 (under a causal mask: itself).
 * @returns as `attention`. @throws ScionError 'plan' for a wrong shape.
 */
export function ringAttention(qkv: Value, ranges: readonly Value[], at: RankAxis, attrs: AttentionAttrs): { out: Value; stats: Value } {
  const { heads, kvHeads, headSize, scale = 1 / Math.sqrt(headSize) } = attrs;
  const { axis, ranks, rank } = at;
  const [out, stats] = qkv.node.graph.apply(RING_ATTENTION, [qkv, ...ranges], { heads, kvHeads, headSize, scale, axis, ranks, rank });
  return { out, stats };
}
