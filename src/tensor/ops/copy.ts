/**
 * Copy, cast and scale: y = scale * x in the dtype asked for. Copies where an in-place sum would be
 * wrong, casts at the borders of mixed precision. `scale` may be a step scalar.
 */
import type { Attrs, Scalar, Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { scalarParam } from '../reference.ts';
import { byteSize, type DType, require_, sizeOf } from '../types.ts';

/** y = scale * x, stored as `dtype`. */
export const COPY: Op = {
  name: 'copy',
  accumulates: [true],
  inPlace: [],
  cheap: true,
  infer(inputs, attrs) {
    require_('copy', inputs.length === 1 && (inputs[0].dtype === 'f32' || inputs[0].dtype === 'f16'), 'one f32 or f16 input', inputs);
    return [{ shape: inputs[0].shape, dtype: (attrs.dtype as DType | undefined) ?? inputs[0].dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (dy) g.contribute([0], ([into]) => [node.graph.apply1(COPY, [dy], { scale: node.attrs.scale, dtype: node.inputs[0].dtype }, into)]);
  },
  lower(l, node) {
    const [x] = node.inputs;
    const [y] = node.outputs;
    const scale = scalarParam(node.attrs.scale as Scalar);
    const width = sizeOf(y.shape) / Math.max(1, y.shape[0] ?? 1);
    const rowBytes = (v: Value) => (byteSize(v) / Math.max(1, sizeOf(v.shape))) * width;
    // The finer of the two window lists fits both, since both are cut at powers of two rows.
    const [xs, ys] = [l.windows(x), l.windows(y)];
    for (const w of xs.length >= ys.length ? xs : ys) {
      const part = (v: Value) => (xs.length === 1 && ys.length === 1 ? v : l.rows(v, rowBytes(v), w.row, w.rows));
      // Flat: the tail of the last vector falls into the allocation's padding.
      const n4 = Math.ceil((w.rows * width) / 4);
      l.dispatch({
        kernel: 'elementwise/copy',
        bind: { X: part(x), Y: part(y) },
        params: { n4, scale, accumulate: l.accumulates(0) ? 1 : 0 },
        grid: foldGrid(Math.ceil(n4 / 64)),
      });
    }
  },
  cost: (node) => ({ flops: sizeOf(node.outputs[0].shape), bytes: byteSize(node.inputs[0]) + byteSize(node.outputs[0]) }),
  place: { rule: 'elementwise' },
  reference([x], attrs: Attrs) {
    const scale = attrs.scale as number;
    return [x.data.map((v) => v * scale)];
  },
};

/** A copy of `x`. */
export function copy(x: Value): Value {
  return x.node.graph.apply1(COPY, [x], { scale: 1 });
}

/** `x` in another dtype; itself if it has that already. */
export function cast(x: Value, dtype: DType): Value {
  return x.dtype === dtype ? x : x.node.graph.apply1(COPY, [x], { scale: 1, dtype });
}

/** scale * x; the scale may be a step scalar. */
export function scaled(x: Value, scale: Scalar): Value {
  return x.node.graph.apply1(COPY, [x], { scale });
}
