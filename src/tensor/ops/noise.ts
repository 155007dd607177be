/**
 * Noise on embeddings (NEFTune, Jain et al. 2023): uniform in (-s, s) with a scale s for each row, drawn by counter, so that
 * nothing is stored and a replayed program draws afresh. In place where x is not needed afterwards; its gradient is dy itself.
 */
import { philox } from '../../base/random.ts';
import type { Scalar, Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { scalarParam } from '../reference.ts';
import { byteSize, require_, rowsOf, sizeOf } from '../types.ts';
import { COPY } from './copy.ts';
import type { Stream } from './random.ts';

/** Inputs x [..., D] and scale f32 with one number a row; attributes seed, stream, site. */
export const NOISE: Op = {
  name: 'noise',
  inPlace: [[0, 0]],
  infer(inputs) {
    const [x, scale] = inputs;
    const { rows } = rowsOf(x.shape);
    require_('noise', x.dtype === 'f32' || x.dtype === 'f16', 'x must be f32 or f16', inputs);
    require_('noise', scale.dtype === 'f32' && sizeOf(scale.shape) === rows, `scale must be f32 with one number for each of ${rows} rows`, inputs);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy || !g.wants(0)) return;
    g.contribute([0], ([into]) => [into ? node.graph.apply1(COPY, [dy], { scale: 1 }, into) : dy]);
  },
  lower(l, node) {
    const [y] = node.outputs;
    const n = sizeOf(y.shape);
    l.dispatch({
      kernel: 'random/noise',
      bind: { Y: y, SCALE: node.inputs[1] },
      params: {
        n,
        width: rowsOf(y.shape).width,
        seed: scalarParam(node.attrs.seed as Scalar),
        stream: scalarParam(node.attrs.stream as Scalar),
        site: node.attrs.site as number,
      },
      grid: foldGrid(Math.ceil(n / 256)),
    });
  },
  cost: (node) => ({ flops: 20 * sizeOf(node.outputs[0].shape), bytes: 2 * byteSize(node.outputs[0]) }),
  place: { rule: 'rows', rows: [0, 1] },
  reference([x, scale], attrs) {
    const { seed, stream, site } = attrs as { seed: number; stream: number; site: number };
    const { width } = rowsOf(x.shape);
    let words: readonly number[] = [];
    return [
      x.data.map((v, i) => {
        if (i % 4 === 0) words = philox(i / 4, site, 0, 0, seed, stream);
        return v + scale.data[Math.floor(i / width)] * (Math.floor(words[i % 4] / 256) / 2 ** 23 - 1);
      }),
    ];
  },
};

/** x plus uniform noise in [-scale, scale) of each row. x [..., D]; scale f32 [rows]; `site` tells apart what one stream serves. */
export function noise(x: Value, scale: Value, from: Stream & { readonly site: number }): Value {
  const { seed, stream, site } = from;
  return x.node.graph.apply1(NOISE, [x, scale], { seed, stream, site });
}
