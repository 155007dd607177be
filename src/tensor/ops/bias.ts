/**
 * A row vector added to every row, in place where x is not needed afterwards. Its gradient is a column sum in
 * two stages of fixed blocks; x's adjoint is dy itself.
 */
import type { Value } from '../graph.ts';
import { cellGrid, rowSum, vecOf } from '../lower/rows.ts';
import type { Op } from '../op.ts';
import { byteSize, require_, rowsOf, sizeOf } from '../types.ts';
import { COPY } from './copy.ts';

/** Inputs x [..., D] and b f32 [D]. */
export const BIAS: Op = {
  name: 'bias',
  inPlace: [[0, 0]],
  cheap: true,
  infer(inputs) {
    const [x, b] = inputs;
    const width = x.shape[x.shape.length - 1];
    require_('bias', x.dtype === 'f32' || x.dtype === 'f16', 'x must be f32 or f16', inputs);
    require_('bias', b.dtype === 'f32' && b.shape.length === 1 && b.shape[0] === width, `b must be f32[${width}]`, inputs);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy) return;
    if (g.wants(1)) g.contribute([1], ([into]) => [node.graph.apply1(COLUMN_SUM, [dy], {}, into)]);
    if (g.wants(0)) g.contribute([0], ([into]) => [into ? node.graph.apply1(COPY, [dy], { scale: 1 }, into) : dy]);
  },
  lower(l, node) {
    const [y] = node.outputs;
    const { rows, width } = rowsOf(y.shape);
    const VEC = vecOf(width);
    l.dispatch({
      kernel: 'elementwise/bias',
      switches: { VEC },
      bind: { Y: y, B: node.inputs[1] },
      params: { rows, width: width / VEC },
      grid: cellGrid(width / VEC, rows),
    });
  },
  cost: (node) => ({ flops: sizeOf(node.outputs[0].shape), bytes: 2 * byteSize(node.outputs[0]) + byteSize(node.inputs[1]) }),
  place: { rule: 'rows', rows: [0] },
  reference([x, b]) {
    const width = b.data.length;
    return [x.data.map((v, i) => v + b.data[i % width])];
  },
};

/** Input x [..., D]; output f32 [D], the sum over all rows, added to what it is given. */
export const COLUMN_SUM: Op = {
  name: 'column_sum',
  accumulates: [true],
  infer(inputs) {
    const [x] = inputs;
    require_('column_sum', x.shape.length >= 1 && (x.dtype === 'f32' || x.dtype === 'f16'), 'one f32 or f16 input with rows', inputs);
    return [{ shape: [x.shape[x.shape.length - 1]], dtype: 'f32' }];
  },
  lower(l, node) {
    const { rows, width } = rowsOf(node.inputs[0].shape);
    rowSum(l, node.inputs[0], node.outputs[0], rows, width, l.accumulates(0));
  },
  cost: (node) => ({ flops: sizeOf(node.inputs[0].shape), bytes: byteSize(node.inputs[0]) + byteSize(node.outputs[0]) }),
  place: { rule: 'rows', rows: [0] },
  reference([x]) {
    const { rows, width } = rowsOf(x.shape);
    const y = new Float64Array(width);
    for (let n = 0; n < rows; n++) for (let c = 0; c < width; c++) y[c] += x.data[n * width + c];
    return [y];
  },
};

/** x + b in every row. x [..., D] f32 or f16; b f32 [D]; the result has x's dtype. */
export function bias(x: Value, b: Value): Value {
  return x.node.graph.apply1(BIAS, [x, b]);
}
