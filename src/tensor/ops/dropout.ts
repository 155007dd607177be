/**
 * Dropout (Srivastava et al. 2014), inverted: what is kept grows by 1 / (1 - p). The mask is a function of (seed, stream, site,
 * element), so it is never stored: the gradient draws it again. Seed and stream may be step scalars; a replayed program drops afresh.
 */
import { philox } from '../../base/random.ts';
import type { Scalar, Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { scalarParam } from '../reference.ts';
import { byteSize, require_, sizeOf } from '../types.ts';
import type { Stream } from './random.ts';

/** An element is dropped where its random word lies below this. */
const thresholdOf = (p: number): number => Math.floor(p * 2 ** 32);

/** Input x; attributes p, seed, stream, site. */
export const DROPOUT: Op = {
  name: 'dropout',
  accumulates: [true],
  cheap: true,
  infer(inputs, attrs) {
    const [x] = inputs;
    const p = attrs.p as number;
    require_('dropout', x.dtype === 'f32' || x.dtype === 'f16', 'x must be f32 or f16', inputs);
    require_('dropout', p >= 0 && p < 1, 'p must be a share from 0 to below 1', `${p}`);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy || !g.wants(0)) return;
    g.contribute([0], ([into]) => [node.graph.apply1(DROPOUT, [dy], node.attrs, into)]);
  },
  lower(l, node) {
    const { p, site } = node.attrs as { p: number; site: number };
    const n4 = Math.ceil(sizeOf(node.outputs[0].shape) / 4);
    l.dispatch({
      kernel: 'random/dropout',
      bind: { X: node.inputs[0], Y: node.outputs[0] },
      params: {
        n4,
        seed: scalarParam(node.attrs.seed as Scalar),
        stream: scalarParam(node.attrs.stream as Scalar),
        site,
        threshold: thresholdOf(p),
        scale: 1 / (1 - p),
        accumulate: l.accumulates(0) ? 1 : 0,
      },
      grid: foldGrid(Math.ceil(n4 / 64)),
    });
  },
  cost: (node) => ({ flops: 20 * sizeOf(node.outputs[0].shape), bytes: byteSize(node.inputs[0]) + byteSize(node.outputs[0]) }),
  place: { rule: 'replicated' },
  reference([x], attrs) {
    const { p, seed, stream, site } = attrs as { p: number; seed: number; stream: number; site: number };
    let words: readonly number[] = [];
    return [
      x.data.map((v, i) => {
        if (i % 4 === 0) words = philox(i / 4, site, 0, 0, seed, stream);
        return words[i % 4] < thresholdOf(p) ? 0 : v / (1 - p);
      }),
    ];
  },
};

/** Drops each element of x with probability p. `site` (u32) tells the masks of one stream apart. */
export function dropout(x: Value, p: number, from: Stream & { readonly site: number }): Value {
  const { seed, stream, site } = from;
  return x.node.graph.apply1(DROPOUT, [x], { p, seed, stream, site });
}
