/**
 * Copy, cast and scale: y = scale * x in the dtype asked for. Copies where an in-place sum would be
 * wrong, casts at the borders of mixed precision. `scale` may be a step scalar.
 */
import type { Attrs, Scalar, Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { resolveScalar } from '../reference.ts';
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
    const scale = node.attrs.scale as Scalar;
    // Flat: the tail of the last vector falls into the allocation's padding.
    const n4 = Math.ceil(sizeOf(node.outputs[0].shape) / 4);
    const xs = l.windows(node.inputs[0]);
    const ys = l.windows(node.outputs[0]);
    if (xs.length === 1 && ys.length === 1) {
      l.dispatch({
        kernel: 'elementwise/copy',
        bind: { X: node.inputs[0], Y: node.outputs[0] },
        params: { n4, scale: typeof scale === 'number' ? scale : (s) => resolveScalar(scale, s), accumulate: l.accumulates(0) ? 1 : 0 },
        grid: foldGrid(Math.ceil(n4 / 64)),
      });
      return;
    }
    // The finer of the two window lists fits both, since both are cut at powers of two rows.
    const fine = xs.length >= ys.length ? xs : ys;
    const width = sizeOf(node.outputs[0].shape) / Math.max(1, node.outputs[0].shape[0]);
    const bytes = (v: Value) => (byteSize(v) / Math.max(1, sizeOf(v.shape))) * width;
    for (const w of fine) {
      const part = Math.ceil((w.rows * width) / 4);
      l.dispatch({
        kernel: 'elementwise/copy',
        bind: { X: l.rows(node.inputs[0], bytes(node.inputs[0]), w.row, w.rows), Y: l.rows(node.outputs[0], bytes(node.outputs[0]), w.row, w.rows) },
        params: { n4: part, scale: typeof scale === 'number' ? scale : (s) => resolveScalar(scale, s), accumulate: l.accumulates(0) ? 1 : 0 },
        grid: foldGrid(Math.ceil(part / 64)),
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
