/**
 * RMSNorm of every query and key head inside fused qkv rows, as Qwen 3 has it; value heads pass through. One
 * kernel does the work of a split, two norms and a join. Backward as in rmsnorm: recomputed statistics,
 * weight sums in fixed groups, two launches.
 */
import type { Attrs, Node, Value } from '../graph.ts';
import type { HeadLayout } from '../lower/heads.ts';
import { columnSum, rowFrame, rowGroups } from '../lower/rows.ts';
import type { Op } from '../op.ts';
import { byteSize, require_, sizeOf, type TensorType } from '../types.ts';

interface HeadAttrs extends HeadLayout {
  readonly eps: number;
  readonly dw?: boolean;
}

const layoutOf = (attrs: Attrs): HeadAttrs & { slots: number } => {
  const a = attrs as unknown as HeadAttrs;
  return { ...a, slots: a.heads + 2 * a.kvHeads };
};

function check(op: string, inputs: readonly TensorType[], attrs: Attrs): void {
  const { slots, headSize } = layoutOf(attrs);
  const [x, wq, wk] = inputs;
  require_(op, x.dtype === 'f32' || x.dtype === 'f16', 'qkv must be f32 or f16', inputs);
  require_(op, x.shape[x.shape.length - 1] === slots * headSize, `rows of qkv must hold ${slots} heads of ${headSize}`, inputs);
  require_(
    op,
    [wq, wk].every((w) => w.dtype === 'f32' && sizeOf(w.shape) === headSize),
    `both weights must be f32[${headSize}]`,
    inputs,
  );
}

const bytes = (node: Node): number => [...node.inputs, ...node.outputs].reduce((sum, v) => sum + byteSize(v), 0);

/** The parameters both kernels share. */
function shared(
  x: Value,
  attrs: Attrs,
  VEC: number,
): { rows: number; width: number; heads: number; key_end: number; slots: number; per_d: number; eps: number } {
  const { heads, kvHeads, headSize, slots, eps } = layoutOf(attrs);
  return { rows: sizeOf(x.shape) / headSize, width: headSize / VEC, heads, key_end: heads + kvHeads, slots, per_d: 1 / headSize, eps };
}

/** Inputs qkv, wq, wk. */
export const HEADNORM: Op = {
  name: 'headnorm',
  cheap: true,
  infer(inputs, attrs) {
    check('headnorm', inputs, attrs);
    return [{ shape: inputs[0].shape, dtype: inputs[0].dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy) return;
    const dw = g.wants(1) || g.wants(2);
    const attrs = { ...node.attrs, dw };
    g.contribute(dw ? [0, 1, 2] : [0], (into) => node.graph.apply(HEADNORM_GRAD, [...node.inputs, dy], attrs, into));
  },
  lower(l, node) {
    const [x, wq, wk] = node.inputs;
    const { switches, half, grid } = rowFrame(l.facts, 'headnorm', layoutOf(node.attrs).headSize);
    const params = shared(x, node.attrs, Number(switches.VEC));
    l.dispatch({
      kernel: 'norm/headnorm',
      switches,
      bind: { X: x, WQ: wq, WK: wk, Y: node.outputs[0] },
      params: { ...params, half },
      grid: grid(params.rows),
    });
  },
  cost: (node) => ({ flops: 4 * sizeOf(node.inputs[0].shape), bytes: bytes(node) }),
  place: { rule: 'heads', rows: [0] },
  reference([x, wq, wk], attrs) {
    const { heads, kvHeads, headSize, slots, eps } = layoutOf(attrs);
    const y = x.data.slice();
    for (let row = 0; row * headSize < y.length; row++) {
      const slot = row % slots;
      if (slot >= heads + kvHeads) continue;
      const w = slot < heads ? wq.data : wk.data;
      let squares = 0;
      for (let c = 0; c < headSize; c++) squares += x.data[row * headSize + c] ** 2;
      const scale = 1 / Math.sqrt(squares / headSize + eps);
      for (let c = 0; c < headSize; c++) y[row * headSize + c] *= scale * w[c];
    }
    return [y];
  },
};

/** Inputs qkv, wq, wk, dy; outputs dqkv and, with attribute `dw`, dwq and dwk. All add to what they are given. */
export const HEADNORM_GRAD: Op = {
  name: 'headnorm_grad',
  accumulates: [true, true, true],
  infer(inputs, attrs) {
    check('headnorm_grad', inputs, attrs);
    const [x, wq, wk, dy] = inputs;
    require_('headnorm_grad', sizeOf(dy.shape) === sizeOf(x.shape), 'dy must have the size of qkv', inputs);
    const dx = { shape: x.shape, dtype: x.dtype };
    return layoutOf(attrs).dw ? [dx, { shape: wq.shape, dtype: 'f32' }, { shape: wk.shape, dtype: 'f32' }] : [dx];
  },
  lower(l, node) {
    const [x, wq, wk, dy] = node.inputs;
    const [dx, dwq, dwk] = node.outputs;
    const { headSize } = layoutOf(node.attrs);
    const { switches, half, grid } = rowFrame(l.facts, 'headnorm', headSize);
    const params = shared(x, node.attrs, Number(switches.VEC));
    const { block, chunks, groups } = rowGroups(params.rows, 2048);
    const part = dwq ? l.scratch(groups * 2 * headSize * 4) : null;
    const bind = { X: x, WQ: wq, WK: wk, DY: dy, DX: dx };
    l.dispatch({
      kernel: 'norm/headnorm_grad',
      switches: { ...switches, DW: part !== null },
      bind: part ? { ...bind, PART: part } : bind,
      params: { ...params, block, chunks, half, accumulate: l.accumulates(0) ? 1 : 0 },
      grid: grid(groups),
    });
    if (part) columnSum(l, part, dwq, { rows: groups, width: 2 * headSize, accumulate: l.accumulates(1), split: { to: dwk, accumulate: l.accumulates(2) } });
  },
  cost: (node) => ({ flops: 11 * sizeOf(node.inputs[0].shape), bytes: bytes(node) }),
  place: { rule: 'heads', rows: [0, 3] },
  reference([x, wq, wk, dy], attrs) {
    const { heads, kvHeads, headSize, slots, eps, dw } = layoutOf(attrs);
    const dx = dy.data.slice();
    const dwq = new Float64Array(headSize);
    const dwk = new Float64Array(headSize);
    for (let row = 0; row * headSize < dx.length; row++) {
      const slot = row % slots;
      if (slot >= heads + kvHeads) continue;
      const [w, sums] = slot < heads ? [wq.data, dwq] : [wk.data, dwk];
      let squares = 0;
      let products = 0;
      for (let c = 0; c < headSize; c++) {
        const i = row * headSize + c;
        squares += x.data[i] ** 2;
        products += dy.data[i] * w[c] * x.data[i];
      }
      const r = 1 / Math.sqrt(squares / headSize + eps);
      for (let c = 0; c < headSize; c++) {
        const i = row * headSize + c;
        sums[c] += dy.data[i] * x.data[i] * r;
        dx[i] = r * (dy.data[i] * w[c] - (x.data[i] * r * r * products) / headSize);
      }
    }
    return dw ? [dx, dwq, dwk] : [dx];
  },
};

/** Normalises each query head of qkv [..., (H + 2K) * S] with wq f32 [S] and each key head with wk f32 [S]; values are copied. */
export function headnorm(qkv: Value, wq: Value, wk: Value, options: HeadLayout & { eps: number }): Value {
  const { heads, kvHeads, headSize, eps } = options;
  return qkv.node.graph.apply1(HEADNORM, [qkv, wq, wk], { heads, kvHeads, headSize, eps });
}
