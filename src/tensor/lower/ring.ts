/**
 * Lowers ring attention: keys and values go round the ranks while each attends with its own queries to those it has. A block that came is put beside
 * the own queries in one fused scratch, so that the kernels are those of attention on one device. What is sent travels while
 * the block before it is worked on. Memory beside the outputs: one block of rows, whatever the number of ranks.
 */
import type { Node } from '../graph.ts';
import type { Lowering, Operand } from '../op.ts';
import { launchMerge } from '../ops/attention_merge.ts';
import type { RankAxis } from '../ops/exchange.ts';
import { dtypeBytes } from '../types.ts';
import { attentionBackward, launchAttention } from './attention.ts';
import { copyColumns } from './columns.ts';
import { headLayout } from './heads.ts';

/** Sizes of a node's rows, and how they move. */
function ringOf(l: Lowering, node: Node, qkv: Node['inputs'][number]) {
  const { ranks, rank, axis } = node.attrs as unknown as RankAxis;
  const layout = headLayout(node.op.name, node.attrs);
  const [B, T, width] = qkv.shape;
  const qWidth = layout.heads * layout.headSize;
  const kvWidth = width - qWidth;
  const half = qkv.dtype === 'f16';
  const box = (of: Operand, is16: boolean) => ({ of, at: 0, row: kvWidth, outer: T * kvWidth, half: is16 });
  const fused = (of: Operand, at: number, is16: boolean) => ({ of, at, row: width, outer: T * width, half: is16 });
  const shape = { inner: T, outer: B };
  return {
    ...{ ranks, layout, B, T, half, width, qWidth, kvWidth, box, fused, shape },
    /** Elements of a block of keys and values. */
    block: B * T * kvWidth,
    /** Begins sending a block to the next rank, in whose place that of the rank before comes. */
    shift(of: Operand, bytes: number): number {
      const only = (r: number) => Array.from({ length: ranks }, (_, i) => (i === r && 'scratch' in of ? [{ of, offset: 0, bytes }] : []));
      return l.exchange({ how: 'swap', axis, parts: only((rank + 1) % ranks), into: only((rank + ranks - 1) % ranks) });
    },
  };
}

/** The blocks of keys after a rank's own, beside its queries: `work` is given each with its number, and may say more while the next one travels. */
function forBlocks(l: Lowering, node: Node, qkv: Node['inputs'][number], own: () => void, work: (fused: Operand, block: number) => void): void {
  const { ranks, half, width, qWidth, kvWidth, box, fused, shape, block, B, T, shift } = ringOf(l, node, qkv);
  if (ranks === 1) {
    own();
    return;
  }
  const size = dtypeBytes(qkv.dtype);
  const kv = l.scratch(block * size);
  const rows = l.scratch(B * T * width * size);
  copyColumns(l, fused(qkv, qWidth, half), box(kv, half), { width: kvWidth, ...shape });
  let flight = shift(kv, block * size);
  copyColumns(l, fused(qkv, 0, half), fused(rows, 0, half), { width: qWidth, ...shape });
  own();
  for (let j = 1; j < ranks; j++) {
    l.await(flight);
    copyColumns(l, box(kv, half), fused(rows, qWidth, half), { width: kvWidth, ...shape });
    if (j + 1 < ranks) flight = shift(kv, block * size);
    work(rows, j);
  }
}

/** Forward: inputs qkv and the ranges of each block; outputs out and log-sum-exp. */
export function lowerRing(l: Lowering, node: Node): void {
  const [qkv, ...ranges] = node.inputs;
  const [out, stats] = node.outputs;
  const { ranks, layout, B, T, half } = ringOf(l, node, qkv);
  const flops = node.op.cost(node).flops / ranks;
  const [more, moreStats] = ranks > 1 ? [l.scratch(B * T * layout.heads * layout.headSize * dtypeBytes(out.dtype)), l.scratch(B * layout.heads * T * 4)] : [];
  forBlocks(
    l,
    node,
    qkv,
    () => launchAttention(l, node, { qkv, ranges: ranges[0], B, T, half, out, stats, flops }),
    (rows, j) => {
      if (!more || !moreStats) return;
      launchAttention(l, node, { qkv: rows, ranges: ranges[j], B, T, half, out: more, stats: moreStats, flops });
      launchMerge(l, { out, stats, more, moreStats, ranges: ranges[j], half }, layout, [B, T]);
    },
  );
}

/**
 * Backward: inputs dO, O, qkv, log-sum-exp and ranges; output the gradient by qkv. Gradients of a block's keys and values travel behind it, each rank
 * adding its own, in f32; after the last rank one more step brings them home.
 */
export function lowerRingGrad(l: Lowering, node: Node): void {
  const [dOut, out, qkv, stats, ...ranges] = node.inputs;
  const [dqkv] = node.outputs;
  const { ranks, B, T, half, width, qWidth, kvWidth, box, fused, shape, block, shift } = ringOf(l, node, qkv);
  const flops = node.op.cost(node).flops / ranks;
  const pairs = [dOut, qkv, dqkv].some((v) => v.dtype === 'f16');
  const backward = attentionBackward(l, node, { dOut, out, stats, flops, pairs });
  const [grads, travelling] = ranks > 1 ? [l.scratch(B * T * width * 4), l.scratch(block * 4)] : [];
  let flight: number | null = null;
  forBlocks(
    l,
    node,
    qkv,
    () => {
      const own = { qkv, ranges: ranges[0], B, T, half };
      backward.dots();
      backward.query(own, dqkv, l.accumulates(0));
      backward.keys(own, dqkv, l.accumulates(0));
    },
    (rows, j) => {
      if (!grads || !travelling) return;
      const on = { qkv: rows, ranges: ranges[j], B, T, half };
      backward.query(on, dqkv, true);
      backward.keys(on, grads, false);
      if (flight !== null) l.await(flight);
      copyColumns(l, fused(grads, qWidth, false), box(travelling, false), { width: kvWidth, ...shape, accumulate: j > 1 });
      flight = shift(travelling, block * 4);
    },
  );
  if (flight === null || !travelling) return;
  l.await(flight);
  copyColumns(l, box(travelling, false), fused(dqkv, qWidth, dqkv.dtype === 'f16'), { width: kvWidth, ...shape, accumulate: true });
}
