/**
 * Sum, mean and maximum over the last axis or over everything, stored as f32. Everything is reduced in two
 * stages of fixed runs, so the result does not depend on how many workgroups a device runs at once.
 */
import type { Value } from '../graph.ts';
import { cellGrid, rowFrame, vecOf } from '../lower/rows.ts';
import type { Lowering, Op, Operand } from '../op.ts';
import { byteSize, type DType, require_, rowsOf, type Shape, sizeOf } from '../types.ts';

/** What is reduced. */
export type Over = 'last' | 'all';

/** Elements in one run of the first stage. */
const RUN = 4096;

type Kind = 'sum' | 'mean' | 'max';

/** What the sum is multiplied with. */
const scaleOf = (kind: Kind, over: Over, shape: Shape): number => (kind === 'mean' ? 1 / (over === 'all' ? sizeOf(shape) : rowsOf(shape).width) : 1);

function launch(l: Lowering, x: Operand, y: Operand, size: { rows: number; width: number; total: number; vec: number; largest: boolean; scale: number }): void {
  const { rows, width, total, vec, largest, scale } = size;
  const { switches, half, grid } = rowFrame(l.facts, 'reduce', width);
  l.dispatch({
    kernel: 'reduce/reduce',
    switches: { ...switches, VEC: vec },
    bind: { X: x, Y: y },
    params: { rows, half, width: width / vec, total: total / vec, largest: largest ? 1 : 0, scale },
    grid: grid(rows),
  });
}

export const REDUCE: Op = {
  name: 'reduce',
  infer(inputs, attrs) {
    const [x] = inputs;
    require_(
      String(attrs.kind),
      inputs.length === 1 && (x.dtype === 'f32' || x.dtype === 'f16') && sizeOf(x.shape) > 0,
      'one f32 or f16 input that is not empty',
      inputs,
    );
    require_(String(attrs.kind), attrs.over === 'all' || x.shape.length > 0, 'a number has no last axis', inputs);
    return [{ shape: attrs.over === 'all' ? [] : x.shape.slice(0, -1), dtype: 'f32' }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy) return;
    const { kind, over } = node.attrs as { kind: Kind; over: Over };
    require_(kind, kind !== 'max', 'has no gradient here', node.inputs);
    const [x] = node.inputs;
    g.contribute([0], ([into]) => [node.graph.apply1(SPREAD, [dy], { over, shape: x.shape, dtype: x.dtype, scale: scaleOf(kind, over, x.shape) }, into)]);
  },
  lower(l, node) {
    const [x] = node.inputs;
    const [y] = node.outputs;
    const { kind, over } = node.attrs as { kind: Kind; over: Over };
    const scale = scaleOf(kind, over, x.shape);
    const largest = kind === 'max';
    const size = sizeOf(x.shape);
    if (over === 'last') {
      const { rows, width } = rowsOf(x.shape);
      launch(l, x, y, { rows, width, total: size, vec: vecOf(width), largest, scale });
      return;
    }
    if (size <= RUN) {
      launch(l, x, y, { rows: 1, width: size, total: size, vec: vecOf(size), largest, scale });
      return;
    }
    const runs = Math.ceil(size / RUN);
    const part = l.scratch(runs * 4);
    launch(l, x, part, { rows: runs, width: RUN, total: size, vec: vecOf(size), largest, scale: 1 });
    launch(l, part, y, { rows: 1, width: runs, total: runs, vec: vecOf(runs), largest, scale });
  },
  cost: (node) => ({ flops: sizeOf(node.inputs[0].shape), bytes: byteSize(node.inputs[0]) + byteSize(node.outputs[0]) }),
  place: { rule: 'rows', rows: [0] },
  reference([x], attrs) {
    const { kind, over } = attrs as { kind: Kind; over: Over };
    const { rows, width } = over === 'all' ? { rows: 1, width: x.data.length } : rowsOf(x.shape);
    const scale = scaleOf(kind, over, x.shape);
    const y = new Float64Array(rows);
    for (let n = 0; n < rows; n++) {
      const row = x.data.subarray(n * width, (n + 1) * width);
      y[n] = kind === 'max' ? row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) : scale * row.reduce((a, b) => a + b, 0);
    }
    return [y];
  },
};

/** One number a row (or one for all), scaled, over a whole tensor of attribute `shape`. */
export const SPREAD: Op = {
  name: 'spread',
  accumulates: [true],
  infer(_inputs, attrs) {
    return [{ shape: attrs.shape as Shape, dtype: attrs.dtype as DType }];
  },
  lower(l, node) {
    const [dx] = node.outputs;
    const size = sizeOf(dx.shape);
    const all = node.attrs.over === 'all';
    const { rows, width } = all ? { rows: Math.ceil(size / RUN), width: Math.min(RUN, Math.ceil(size / 4) * 4) } : rowsOf(dx.shape);
    // Flat spreading may run over into the allocation's padding.
    const VEC = all ? 4 : vecOf(width);
    l.dispatch({
      kernel: 'reduce/spread',
      switches: { VEC },
      bind: { DX: dx, DY: node.inputs[0] },
      params: {
        rows,
        width: width / VEC,
        total: Math.ceil(size / VEC),
        step: all ? 0 : 1,
        scale: node.attrs.scale as number,
        accumulate: l.accumulates(0) ? 1 : 0,
      },
      grid: cellGrid(width / VEC, rows),
    });
  },
  cost: (node) => ({ flops: sizeOf(node.outputs[0].shape), bytes: byteSize(node.inputs[0]) + byteSize(node.outputs[0]) }),
  place: { rule: 'rows', rows: [0] },
  reference([dy], attrs, [out]) {
    const { width } = rowsOf(out.shape);
    const d = new Float64Array(sizeOf(out.shape));
    return [d.map((_, i) => (attrs.scale as number) * dy.data[attrs.over === 'all' ? 0 : Math.floor(i / width)])];
  },
};

const reduce = (kind: Kind, x: Value, over: Over): Value => x.node.graph.apply1(REDUCE, [x], { kind, over });

/** Sum of x [..., D] over the last axis ([...]) or over everything ([]); f32. */
export const sum = (x: Value, over: Over = 'all'): Value => reduce('sum', x, over);
/** Mean over the last axis or over everything; f32. */
export const mean = (x: Value, over: Over = 'all'): Value => reduce('mean', x, over);
/** Maximum over the last axis or over everything; f32, without gradient. NaN elements may be passed over. */
export const max = (x: Value, over: Over = 'all'): Value => reduce('max', x, over);
