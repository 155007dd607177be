/**
 * Joins attention over one set of keys with attention over another, by their log-sum-exps (the online softmax of Milakov and Gimelshein 2018, as
 * ring attention uses it). Forward only: whoever joins makes the gradient of the whole (`ring_attention.ts`).
 */
import type { Value } from '../graph.ts';
import { unitOf } from '../lower/columns.ts';
import { type HeadLayout, headLayout } from '../lower/heads.ts';
import type { Lowering, Op, Operand } from '../op.ts';
import { byteSize, require_, sizeOf } from '../types.ts';

/** The launch: `out` and `stats` become those of both sets. `half`: both outputs hold 16 bits. */
export function launchMerge(
  l: Lowering,
  on: { readonly out: Operand; readonly stats: Operand; readonly more: Operand; readonly moreStats: Operand; readonly ranges: Value; readonly half: boolean },
  { heads, headSize }: HeadLayout,
  [B, T]: readonly [number, number],
): void {
  const VEC = unitOf(headSize);
  l.dispatch({
    kernel: 'attention/attention_merge',
    switches: { VEC, ...(on.half && { O_F16: true, O2_F16: true }) },
    bind: { O: on.out, O2: on.more, L: on.stats, L2: on.moreStats, R: on.ranges },
    params: { tokens: T, heads, size: headSize / VEC },
    grid: [Math.ceil(T / 64), heads, B],
    flops: 3 * B * T * heads * headSize,
  });
}

/** Inputs out, stats, out and stats of other keys, ranges of those; outputs out and stats of all keys, in the memory of the first where that is free. */
export const ATTENTION_MERGE: Op = {
  name: 'attention_merge',
  inPlace: [
    [0, 0],
    [1, 1],
  ],
  infer(inputs, attrs) {
    const { heads, headSize } = headLayout('attention_merge', attrs);
    const [out, stats, more, moreStats, ranges] = inputs;
    require_('attention_merge', inputs.length === 5, 'two outputs with their log-sum-exps, and ranges', inputs);
    const [B, T] = ranges.shape;
    const like = (v: { shape: readonly number[] }, ...shape: readonly number[]): boolean => v.shape.join() === shape.join();
    require_('attention_merge', like(ranges, B, T, 4) && ranges.dtype === 'u32', 'ranges must be u32 [B, T, 4]', inputs);
    require_('attention_merge', like(out, B, T, heads * headSize) && like(more, B, T, heads * headSize), `outputs must be [B, T, ${heads * headSize}]`, inputs);
    require_('attention_merge', out.dtype === more.dtype, 'outputs must share a dtype', inputs);
    require_('attention_merge', like(stats, B, heads, T) && like(moreStats, B, heads, T), `log-sum-exps must be [B, ${heads}, T]`, inputs);
    return [out, stats];
  },
  lower(l, node) {
    const [, , more, moreStats, ranges] = node.inputs;
    const [out, stats] = node.outputs;
    const [B, T] = ranges.shape;
    launchMerge(l, { out, stats, more, moreStats, ranges, half: out.dtype === 'f16' }, headLayout('attention_merge', node.attrs), [B, T]);
  },
  cost: (node) => ({ flops: 3 * sizeOf(node.outputs[0].shape), bytes: 3 * byteSize(node.outputs[0]) + 3 * byteSize(node.outputs[1]) }),
  place: { rule: 'heads', rows: [0, 1, 2, 3, 4] },
  reference([out, stats, more, moreStats, ranges], attrs) {
    const { heads, headSize } = headLayout('attention_merge', attrs);
    const [B, T] = ranges.shape;
    const o = out.data.slice();
    const lse = stats.data.slice();
    for (let b = 0; b < B; b++) {
      for (let t = 0; t < T; t++) {
        const row = b * T + t;
        if (ranges.data[4 * row] >= ranges.data[4 * row + 1]) continue;
        for (let h = 0; h < heads; h++) {
          const at = (b * heads + h) * T + t;
          const high = Math.max(stats.data[at], moreStats.data[at]);
          lse[at] = high + Math.log(Math.exp(stats.data[at] - high) + Math.exp(moreStats.data[at] - high));
          for (let i = (row * heads + h) * headSize; i < (row * heads + h + 1) * headSize; i++) {
            o[i] = Math.exp(stats.data[at] - lse[at]) * out.data[i] + Math.exp(moreStats.data[at] - lse[at]) * more.data[i];
          }
        }
      }
    }
    return [o, lse];
  },
};

/**
 * Attention over two sets of keys that do not overlap.
 * @param first out [B, T, HS] and stats f32 [B, H, T] over the first set, in which every query that sees any key sees one.
 * @param second the same over the second set. @param ranges u32 [B, T, 4]: a query sees keys of the second set where lo < hi.
 */
export function attentionMerge(
  first: { readonly out: Value; readonly stats: Value },
  second: { readonly out: Value; readonly stats: Value },
  ranges: Value,
  { heads, kvHeads, headSize }: HeadLayout,
): { out: Value; stats: Value } {
  const inputs = [first.out, first.stats, second.out, second.stats, ranges];
  const [out, stats] = ranges.node.graph.apply(ATTENTION_MERGE, inputs, { heads, kvHeads, headSize });
  return { out, stats };
}
