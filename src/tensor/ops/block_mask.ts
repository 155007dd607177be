/**
 * Keeps the blocks of a block-structured matrix and zeroes the rest, in place: what a fused adapter's gradient needs before its
 * norm is taken. One small launch a matrix and step, against one product for each of its parts in every micro.
 */
import type { Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { require_, sizeOf } from '../types.ts';

/** Input g f32 [N, R]; attributes rank, and blocks as first, last of each block's rows. Updated in place. */
export const BLOCK_MASK: Op = {
  name: 'block_mask',
  updates: [[0, 0]],
  infer(inputs, attrs) {
    const [g] = inputs;
    const blocks = attrs.blocks as readonly number[];
    const rank = attrs.rank as number;
    require_('block_mask', g.dtype === 'f32' && g.shape.length === 2, 'g must be f32 [N, R]', inputs);
    require_(
      'block_mask',
      blocks.length >= 2 && blocks.length <= 6 && g.shape[1] * 2 === rank * blocks.length,
      'R must be rank x blocks, of 1 to 3 blocks',
      inputs,
    );
    return [g];
  },
  lower(l, node) {
    const [g] = node.inputs;
    const [n, width] = [sizeOf(g.shape), g.shape[1]];
    const b = node.attrs.blocks as readonly number[];
    const at = (i: number): number => b[i] ?? 0;
    l.dispatch({
      kernel: 'optim/block_mask',
      bind: { G: g },
      params: { n, width, rank: node.attrs.rank as number, first0: at(0), last0: at(1), first1: at(2), last1: at(3), first2: at(4), last2: at(5) },
      grid: foldGrid(Math.ceil(n / 64)),
    });
  },
  cost: (node) => ({ flops: 0, bytes: 4 * sizeOf(node.inputs[0].shape) }),
  place: { rule: 'elementwise' },
  reference([g], attrs) {
    const blocks = attrs.blocks as readonly number[];
    const rank = attrs.rank as number;
    const width = g.shape[1];
    return [
      g.data.map((x, i) => {
        const j = Math.floor((i % width) / rank);
        const row = Math.floor(i / width);
        return row >= blocks[2 * j] && row < blocks[2 * j + 1] ? x : 0;
      }),
    ];
  },
};

/** g with zeros outside its blocks, in place. Block j: rows from <= n < to, columns [j rank, (j + 1) rank). */
export function blockMask(g: Value, rank: number, blocks: readonly { readonly from: number; readonly to: number }[]): Value {
  return g.node.graph.apply1(BLOCK_MASK, [g], { rank, blocks: blocks.flatMap((b) => [b.from, b.to]) });
}
