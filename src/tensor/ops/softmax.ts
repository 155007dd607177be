/**
 * Softmax and its logarithm over the last axis. For small uses (sampling, routers, the playground): attention
 * and the loss carry their own forms and never store probabilities. The gradient reads the result only.
 */
import type { Node, Value } from '../graph.ts';
import { rowFrame } from '../lower/rows.ts';
import type { Lowering, Op } from '../op.ts';
import { byteSize, require_, rowsOf, sizeOf } from '../types.ts';

const bytes = (node: Node): number => [...node.inputs, ...node.outputs].reduce((sum, v) => sum + byteSize(v), 0);

/** What both kernels share: frame, sizes, grid. */
function frame(l: Lowering, node: Node) {
  const { rows, width } = rowsOf(node.inputs[0].shape);
  const { switches, half, grid } = rowFrame(l.facts, 'softmax', width);
  const params = { rows, half, width: width / Number(switches.VEC), logarithm: node.attrs.logarithm === true ? 1 : 0 };
  return { switches, params, grid: grid(rows) };
}

export const SOFTMAX: Op = {
  name: 'softmax',
  infer(inputs) {
    const [x] = inputs;
    require_('softmax', inputs.length === 1 && (x.dtype === 'f32' || x.dtype === 'f16') && x.shape.length > 0, 'one f32 or f16 input with a last axis', inputs);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (dy) g.contribute([0], ([into]) => [node.graph.apply1(SOFTMAX_GRAD, [node.outputs[0], dy], { logarithm: node.attrs.logarithm }, into)]);
  },
  lower(l, node) {
    l.dispatch({ kernel: 'reduce/softmax', bind: { X: node.inputs[0], Y: node.outputs[0] }, ...frame(l, node) });
  },
  cost: (node) => ({ flops: 20 * sizeOf(node.inputs[0].shape), bytes: bytes(node) }),
  place: { rule: 'rows', rows: [0] },
  reference([x], attrs) {
    const { rows, width } = rowsOf(x.shape);
    const y = new Float64Array(x.data.length);
    for (let n = 0; n < rows; n++) {
      const row = x.data.subarray(n * width, (n + 1) * width);
      const m = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const total = row.reduce((a, b) => a + Math.exp(b - m), 0);
      for (let c = 0; c < width; c++) y[n * width + c] = attrs.logarithm === true ? row[c] - m - Math.log(total) : Math.exp(row[c] - m) / total;
    }
    return [y];
  },
};

/** Inputs y (the result) and dy; output dx, added to what it is given. */
export const SOFTMAX_GRAD: Op = {
  name: 'softmax_grad',
  accumulates: [true],
  infer(inputs) {
    require_('softmax_grad', sizeOf(inputs[0].shape) === sizeOf(inputs[1].shape), 'y and dy must have one size', inputs);
    return [{ shape: inputs[0].shape, dtype: inputs[0].dtype }];
  },
  lower(l, node) {
    const { switches, params, grid } = frame(l, node);
    l.dispatch({
      kernel: 'reduce/softmax_grad',
      switches,
      bind: { Y: node.inputs[0], DY: node.inputs[1], DX: node.outputs[0] },
      params: { ...params, accumulate: l.accumulates(0) ? 1 : 0 },
      grid,
    });
  },
  cost: (node) => ({ flops: 12 * sizeOf(node.inputs[0].shape), bytes: bytes(node) }),
  place: { rule: 'rows', rows: [0, 1] },
  reference([y, dy], attrs) {
    const { rows, width } = rowsOf(y.shape);
    const dx = new Float64Array(y.data.length);
    for (let n = 0; n < rows; n++) {
      let total = 0;
      for (let i = n * width; i < (n + 1) * width; i++) total += attrs.logarithm === true ? dy.data[i] : dy.data[i] * y.data[i];
      for (let i = n * width; i < (n + 1) * width; i++) {
        dx[i] = attrs.logarithm === true ? dy.data[i] - Math.exp(y.data[i]) * total : y.data[i] * (dy.data[i] - total);
      }
    }
    return [dx];
  },
};

/** Softmax of x [..., D] over the last axis, in x's dtype. */
export const softmax = (x: Value): Value => x.node.graph.apply1(SOFTMAX, [x], { logarithm: false });
/** log(softmax(x)) over the last axis, in x's dtype. */
export const logSoftmax = (x: Value): Value => x.node.graph.apply1(SOFTMAX, [x], { logarithm: true });
