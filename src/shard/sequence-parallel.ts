/**
 * Sequence parallel as a pass over the forward graph. The model is traced with one rank's tokens of each pack; everything but attention works on tokens
 * alone, so attention is all that changes: exchanges of tokens for heads round it, or the ring. Model code knows nothing of it.
 */
import type { Graph, Value } from '../tensor/graph.ts';
import { headLayout } from '../tensor/lower/heads.ts';
import { ATTENTION, attention } from '../tensor/ops/attention.ts';
import type { RankAxis } from '../tensor/ops/exchange.ts';
import { toHeads, toTokens } from '../tensor/ops/head_exchange.ts';
import { ringAttention } from '../tensor/ops/ring_attention.ts';
import { rewriteForward } from './rewrite.ts';
import { blockRanges, type SequenceKind, WHOLE_RANGES } from './sequence.ts';

/**
 * Splits attention over the ranks of an axis, in place.
 * @param wanted values of the graph that the caller goes on with; given back as they are now.
 */
export function splitSequence(graph: Graph, axis: RankAxis, kind: SequenceKind, wanted: readonly Value[]): Value[] {
  const { ranks } = axis;
  return rewriteForward(
    graph,
    (node) => {
      if (node.op !== ATTENTION) return null;
      const { heads, kvHeads, headSize } = headLayout(node.op.name, node.attrs);
      const scale = node.attrs.scale as number;
      const [qkv, own] = node.inputs;
      const [B, T] = qkv.shape;
      if (kind === 'heads') {
        const whole = graph.data(WHOLE_RANGES, [B, T * ranks, 4], 'u32');
        const part = toHeads(qkv, axis, [heads * headSize, kvHeads * headSize, kvHeads * headSize]);
        const { out, stats } = attention(part, whole, { heads: heads / ranks, kvHeads: kvHeads / ranks, headSize, scale });
        return [toTokens(out, axis, [heads * headSize]), stats];
      }
      const ranges = Array.from({ length: ranks }, (_, block) => (block === 0 ? own : graph.data(blockRanges(block), own.shape, 'u32')));
      const { out, stats } = ringAttention(qkv, ranges, axis, { heads, kvHeads, headSize, scale });
      return [out, stats];
    },
    wanted,
  );
}
