/**
 * RMSNorm (Zhang and Sennrich 2019) over the last axis, with the residual addition before it fused in on
 * request. The backward pass recomputes the root mean square from its input instead of keeping it: one more
 * read of a row that is read anyway. Its weight sums go through fixed groups of rows.
 */
import type { Attrs, Node, Value } from '../graph.ts';
import { columnSum, rowFrame, rowGroups } from '../lower/rows.ts';
import type { GradContext, Op } from '../op.ts';
import { byteSize, require_, rowsOf, sizeOf, type TensorType } from '../types.ts';
import { COPY } from './copy.ts';

function checkRows(op: string, inputs: readonly TensorType[]): void {
  const [x, w] = inputs;
  const width = x.shape[x.shape.length - 1];
  require_(op, x.shape.length >= 1 && (x.dtype === 'f32' || x.dtype === 'f16'), 'x must be f32 or f16 with at least one axis', inputs);
  require_(op, w.dtype === 'f32' && w.shape.length === 1 && w.shape[0] === width, `the weight must be f32[${width}]`, inputs);
}

export { headnorm } from './headnorm.ts';

/** Inputs x, w and optionally a residual r; outputs y, and with r also s = x + r. */
export const RMSNORM: Op = {
  name: 'rmsnorm',
  cheap: true,
  infer(inputs) {
    checkRows('rmsnorm', inputs);
    const [x, , r] = inputs;
    if (!r) return [{ shape: x.shape, dtype: x.dtype }];
    require_('rmsnorm', r.dtype === x.dtype && sizeOf(r.shape) === sizeOf(x.shape), 'x and the residual must have one type', inputs);
    return [x, x].map(({ shape, dtype }) => ({ shape, dtype }));
  },
  grad(g, node) {
    const [x, w, r] = node.inputs;
    const dy = g.adjoint(0);
    const base = r ? g.adjointInto(1) : null;
    const wanted = g.wants(0) || (r !== undefined && g.wants(2));
    if (!dy) {
      if (base) pass(g, node, base);
      return;
    }
    const from = r ? node.outputs[1] : x;
    const attrs: Attrs = { eps: node.attrs.eps, dw: g.wants(1) };
    if (!r) {
      if (g.wants(1)) g.contribute([0, 1], (into) => node.graph.apply(RMSNORM_GRAD, [from, w, dy], attrs, into));
      else if (wanted) g.contribute([0], (into) => node.graph.apply(RMSNORM_GRAD, [from, w, dy], attrs, into));
      return;
    }
    // x and r have one adjoint; it adds to that of s in place.
    let ds: Value | null = null;
    if (g.wants(1)) {
      g.contribute([1], ([into]) => {
        const [dx, dw] = node.graph.apply(RMSNORM_GRAD, [from, w, dy], attrs, [base, into]);
        ds = dx;
        return [dw];
      });
    } else ds = node.graph.apply1(RMSNORM_GRAD, [from, w, dy], attrs, base);
    if (ds) pass(g, node, ds);
  },
  lower(l, node) {
    const [x, w, r] = node.inputs;
    const [y, s] = node.outputs;
    const { rows, width } = rowsOf(x.shape);
    const { switches, half, grid } = rowFrame(l.facts, 'rmsnorm', width);
    l.dispatch({
      kernel: 'norm/rmsnorm',
      switches: { ...switches, RESIDUAL: r !== undefined },
      bind: r ? { X: x, W: w, Y: y, R: r, S: s } : { X: x, W: w, Y: y },
      params: { half, rows, width: width / Number(switches.VEC), per_d: 1 / width, eps: node.attrs.eps as number },
      grid: grid(rows),
    });
  },
  cost: (node) => ({ flops: 4 * sizeOf(node.inputs[0].shape), bytes: [...node.inputs, ...node.outputs].reduce((sum, v) => sum + byteSize(v), 0) }),
  place: { rule: 'rows', rows: [0, 2] },
  reference([x, w, r], attrs) {
    const { rows, width } = rowsOf(x.shape);
    const s = r ? x.data.map((v, i) => v + r.data[i]) : x.data;
    const y = new Float64Array(s.length);
    for (let n = 0; n < rows; n++) {
      let squares = 0;
      for (let c = 0; c < width; c++) squares += s[n * width + c] ** 2;
      const scale = 1 / Math.sqrt(squares / width + (attrs.eps as number));
      for (let c = 0; c < width; c++) y[n * width + c] = s[n * width + c] * scale * w.data[c];
    }
    return r ? [y, s.slice()] : [y];
  },
};

/** Hands one adjoint to x and to the residual. */
function pass(g: GradContext, node: Node, ds: Value): void {
  for (const index of [0, 2]) {
    if (g.wants(index)) g.contribute([index], ([into]) => [into ? node.graph.apply1(COPY, [ds], { scale: 1 }, into) : ds]);
  }
}

/** Inputs x, w, dy; outputs dx and, with attribute `dw`, dw. Both add to what they are given. */
export const RMSNORM_GRAD: Op = {
  name: 'rmsnorm_grad',
  accumulates: [true, true],
  infer(inputs, attrs) {
    checkRows('rmsnorm_grad', inputs);
    const [x, w, dy] = inputs;
    require_('rmsnorm_grad', sizeOf(dy.shape) === sizeOf(x.shape), 'dy must have the size of x', inputs);
    const dx = { shape: x.shape, dtype: x.dtype };
    return attrs.dw === true ? [dx, { shape: w.shape, dtype: 'f32' }] : [dx];
  },
  lower(l, node) {
    const [x, w, dy] = node.inputs;
    const [dx, dw] = node.outputs;
    const { rows, width } = rowsOf(x.shape);
    const { block, chunks, groups } = rowGroups(rows);
    const { switches, half, grid } = rowFrame(l.facts, 'rmsnorm', width);
    const part = dw ? l.scratch(groups * width * 4) : null;
    l.dispatch({
      kernel: 'norm/rmsnorm_grad',
      switches: { ...switches, DW: part !== null },
      bind: part ? { X: x, W: w, DY: dy, DX: dx, PART: part } : { X: x, W: w, DY: dy, DX: dx },
      params: {
        half,
        rows,
        block,
        chunks,
        width: width / Number(switches.VEC),
        per_d: 1 / width,
        eps: node.attrs.eps as number,
        accumulate: l.accumulates(0) ? 1 : 0,
      },
      grid: grid(groups),
    });
    if (part) columnSum(l, part, dw, { rows: groups, width, accumulate: l.accumulates(1) });
  },
  cost: (node) => ({ flops: 11 * sizeOf(node.inputs[0].shape), bytes: [...node.inputs, ...node.outputs].reduce((sum, v) => sum + byteSize(v), 0) }),
  place: { rule: 'rows', rows: [0, 2] },
  reference([x, w, dy], attrs) {
    const { rows, width } = rowsOf(x.shape);
    const dx = new Float64Array(x.data.length);
    const dw = new Float64Array(width);
    for (let n = 0; n < rows; n++) {
      let squares = 0;
      let products = 0;
      for (let c = 0; c < width; c++) {
        const i = n * width + c;
        squares += x.data[i] ** 2;
        products += dy.data[i] * w.data[c] * x.data[i];
      }
      const r = 1 / Math.sqrt(squares / width + (attrs.eps as number));
      for (let c = 0; c < width; c++) {
        const i = n * width + c;
        dx[i] = r * (dy.data[i] * w.data[c] - (x.data[i] * r * r * products) / width);
        dw[c] += dy.data[i] * x.data[i] * r;
      }
    }
    return attrs.dw === true ? [dx, dw] : [dx];
  },
};

/** y = x / rms(x) * w over the last axis. x [..., D] f32 or f16; w f32 [D]; y like x. */
export function rmsnorm(x: Value, w: Value, options: { eps: number; residual?: undefined }): Value;
/** With a residual r like x: [y, s] where s = x + r and y = s / rms(s) * w. */
export function rmsnorm(x: Value, w: Value, options: { eps: number; residual: Value }): [Value, Value];
export function rmsnorm(x: Value, w: Value, options: { eps: number; residual?: Value }): Value | [Value, Value] {
  const { eps, residual } = options;
  const out = x.node.graph.apply(RMSNORM, residual ? [x, w, residual] : [x, w], { eps });
  return residual ? [out[0], out[1]] : out[0];
}
