/**
 * SwiGLU (Shazeer 2020): silu(gate) * up of a fused projection whose row holds gate, then up. The backward
 * pass recomputes the sigmoid and writes both halves' adjoints in one kernel.
 */
import type { Node, Value } from '../graph.ts';
import { cellGrid, vecOf } from '../lower/rows.ts';
import type { Op } from '../op.ts';
import { byteSize, require_, rowsOf, sizeOf } from '../types.ts';

const bytes = (node: Node): number => [...node.inputs, ...node.outputs].reduce((sum, v) => sum + byteSize(v), 0);

/** [..., 2F] -> [..., F]. */
export const SWIGLU: Op = {
  name: 'swiglu',
  cheap: true,
  infer(inputs) {
    const [gu] = inputs;
    const width = gu.shape[gu.shape.length - 1];
    require_(
      'swiglu',
      inputs.length === 1 && (gu.dtype === 'f32' || gu.dtype === 'f16') && width % 2 === 0,
      'one f32 or f16 input whose last axis holds gate and up',
      inputs,
    );
    return [{ shape: [...gu.shape.slice(0, -1), width / 2], dtype: gu.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (dy) g.contribute([0], ([into]) => [node.graph.apply1(SWIGLU_GRAD, [node.inputs[0], dy], {}, into)]);
  },
  lower(l, node) {
    const { rows, width } = rowsOf(node.outputs[0].shape);
    const VEC = vecOf(width);
    l.dispatch({
      kernel: 'elementwise/swiglu',
      switches: { VEC },
      bind: { GU: node.inputs[0], Y: node.outputs[0] },
      params: { rows, width: width / VEC },
      grid: cellGrid(width / VEC, rows),
    });
  },
  cost: (node) => ({ flops: 11 * sizeOf(node.outputs[0].shape), bytes: bytes(node) }),
  place: { rule: 'elementwise', rows: [0] },
  reference([gu], _attrs, [out]) {
    const { rows, width } = rowsOf(out.shape);
    const y = new Float64Array(rows * width);
    for (let n = 0; n < rows; n++) {
      for (let c = 0; c < width; c++) {
        const gate = gu.data[n * 2 * width + c];
        y[n * width + c] = (gate / (1 + Math.exp(-gate))) * gu.data[n * 2 * width + width + c];
      }
    }
    return [y];
  },
};

/** Inputs gu [..., 2F] and dy [..., F]; output d_gu, added to what it is given. */
export const SWIGLU_GRAD: Op = {
  name: 'swiglu_grad',
  accumulates: [true],
  infer(inputs) {
    const [gu, dy] = inputs;
    require_('swiglu_grad', sizeOf(gu.shape) === 2 * sizeOf(dy.shape), 'dy must have half the size of gu', inputs);
    return [{ shape: gu.shape, dtype: gu.dtype }];
  },
  lower(l, node) {
    const [gu, dy] = node.inputs;
    const { rows, width } = rowsOf(gu.shape);
    const half = width / 2;
    const VEC = vecOf(half);
    l.dispatch({
      kernel: 'elementwise/swiglu_grad',
      switches: { VEC },
      bind: { GU: gu, DY: dy, DGU: node.outputs[0] },
      params: { rows, width: half / VEC, accumulate: l.accumulates(0) ? 1 : 0 },
      grid: cellGrid(half / VEC, rows),
    });
  },
  cost: (node) => ({ flops: 17 * sizeOf(node.inputs[1].shape), bytes: bytes(node) }),
  place: { rule: 'elementwise', rows: [0, 1] },
  reference([gu, dy]) {
    const { rows, width } = rowsOf(gu.shape);
    const F = width / 2;
    const d = new Float64Array(rows * width);
    for (let n = 0; n < rows; n++) {
      for (let c = 0; c < F; c++) {
        const i = n * width + c;
        const s = 1 / (1 + Math.exp(-gu.data[i]));
        const a = dy.data[n * F + c];
        d[i] = a * gu.data[i + F] * s * (1 + gu.data[i] * (1 - s));
        d[i + F] = a * gu.data[i] * s;
      }
    }
    return [d];
  },
};

/** silu(gate) * up. gu [..., 2F] (gate first, f32 or f16) -> [..., F] of the same dtype. */
export function swiglu(gu: Value): Value {
  return gu.node.graph.apply1(SWIGLU, [gu]);
}
