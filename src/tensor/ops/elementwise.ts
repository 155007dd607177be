/**
 * Pointwise functions of one or two tensors of equal shape, and with a scalar that may change from step to
 * step. One op and one kernel that picks the function from its parameters: each function is a row of the table below, with its float64
 * form and its derivative as another row. Where a graph is hot, fused ops (swiglu, rmsnorm) do this work instead.
 */
import type { Attrs, Scalar, Value } from '../graph.ts';
import { foldGrid, type Op } from '../op.ts';
import { scalarParam } from '../reference.ts';
import { byteSize, require_, sizeOf } from '../types.ts';
import { COPY, scaled } from './copy.ts';

/** What one function computes and which of a, b and y its derivative reads. */
interface Pointwise {
  readonly inputs: 1 | 2;
  /** The kernel's number for it, apart for one and for two inputs. */
  readonly code: number;
  readonly f: (a: number, b: number, c: number) => number;
  /** For each input: the adjoint's function of (dy, the operand named), or a factor of dy. Absent: no gradient. */
  readonly grad?: readonly (number | { readonly f: string; readonly of: 'a' | 'b' | 'y' } | 'quotient')[];
  readonly flops: number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const GELU = Math.sqrt(2 / Math.PI);
const geluInner = (x: number): number => GELU * (x + 0.044715 * x ** 3);

const POINTWISE: Readonly<Record<string, Pointwise>> = {
  add: { inputs: 2, code: 0, f: (a, b) => a + b, grad: [1, 1], flops: 1 },
  sub: { inputs: 2, code: 1, f: (a, b) => a - b, grad: [1, -1], flops: 1 },
  mul: {
    inputs: 2,
    code: 2,
    f: (a, b) => a * b,
    grad: [
      { f: 'mul', of: 'b' },
      { f: 'mul', of: 'a' },
    ],
    flops: 1,
  },
  div: { inputs: 2, code: 3, f: (a, b) => a / b, grad: [{ f: 'div', of: 'b' }, 'quotient'], flops: 1 },
  div_grad: { inputs: 2, code: 4, f: (a, b) => -a / b, flops: 2 },
  shift: { inputs: 1, code: 0, f: (a, _, c) => a + c, grad: [1], flops: 1 },
  exp: { inputs: 1, code: 1, f: (a) => Math.exp(a), grad: [{ f: 'mul', of: 'y' }], flops: 8 },
  log: { inputs: 1, code: 2, f: (a) => Math.log(a), grad: [{ f: 'div', of: 'a' }], flops: 8 },
  sqrt: { inputs: 1, code: 3, f: (a) => Math.sqrt(a), grad: [{ f: 'sqrt_grad', of: 'y' }], flops: 2 },
  sqrt_grad: { inputs: 2, code: 5, f: (dy, y) => (0.5 * dy) / y, flops: 2 },
  tanh: { inputs: 1, code: 4, f: (a) => Math.tanh(a), grad: [{ f: 'tanh_grad', of: 'y' }], flops: 8 },
  tanh_grad: { inputs: 2, code: 6, f: (dy, y) => dy * (1 - y * y), flops: 3 },
  silu: { inputs: 1, code: 5, f: (a) => a * sigmoid(a), grad: [{ f: 'silu_grad', of: 'a' }], flops: 10 },
  silu_grad: { inputs: 2, code: 7, f: (dy, x) => dy * sigmoid(x) * (1 + x * (1 - sigmoid(x))), flops: 14 },
  gelu: { inputs: 1, code: 6, f: (a) => 0.5 * a * (1 + Math.tanh(geluInner(a))), grad: [{ f: 'gelu_grad', of: 'a' }], flops: 14 },
  gelu_grad: {
    inputs: 2,
    code: 8,
    f: (dy, x) => {
      const t = Math.tanh(geluInner(x));
      return dy * 0.5 * (1 + t + x * (1 - t * t) * GELU * (1 + 3 * 0.044715 * x * x));
    },
    flops: 22,
  },
  relu: { inputs: 1, code: 7, f: (a) => Math.max(a, 0), grad: [{ f: 'relu_grad', of: 'a' }], flops: 1 },
  relu_grad: { inputs: 2, code: 9, f: (dy, x) => (x > 0 ? dy : 0), flops: 1 },
  square: { inputs: 1, code: 8, f: (a) => a * a, grad: [{ f: 'square_grad', of: 'a' }], flops: 1 },
  square_grad: { inputs: 2, code: 10, f: (dy, x) => 2 * dy * x, flops: 2 },
};

export const ELEMENTWISE: Op = {
  name: 'elementwise',
  accumulates: [true],
  cheap: true,
  infer(inputs, attrs) {
    const name = String(attrs.f);
    const row = POINTWISE[name];
    require_(
      name,
      inputs.every((x) => x.dtype === 'f32' || x.dtype === 'f16'),
      'inputs must be f32 or f16',
      inputs,
    );
    require_(name, inputs.length === row.inputs, `takes ${row.inputs} inputs`, inputs);
    require_(
      name,
      inputs.every((x) => sizeOf(x.shape) === sizeOf(inputs[0].shape)),
      'inputs must have one shape (use bias to add a row)',
      inputs,
    );
    return [{ shape: inputs[0].shape, dtype: inputs[0].dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy) return;
    const graph = node.graph;
    const [a, b] = node.inputs;
    const [y] = node.outputs;
    const rules = POINTWISE[String(node.attrs.f)].grad;
    require_(String(node.attrs.f), rules !== undefined, 'is itself a gradient and has none', node.inputs);
    rules.forEach((rule, index) => {
      if (!g.wants(index)) return;
      g.contribute([index], ([into]) => {
        if (rule === 1 && !into && dy.dtype === node.inputs[index].dtype) return [dy];
        if (typeof rule === 'number') return [graph.apply1(COPY, [dy], { scale: rule, dtype: node.inputs[index].dtype }, into)];
        if (rule === 'quotient') return [graph.apply1(ELEMENTWISE, [graph.apply1(ELEMENTWISE, [dy, y], { f: 'mul' }), b], { f: 'div_grad' }, into)];
        return [graph.apply1(ELEMENTWISE, [dy, { a, b, y }[rule.of]], { f: rule.f }, into)];
      });
    });
  },
  lower(l, node) {
    const [a, b] = node.inputs;
    const n4 = Math.ceil(sizeOf(node.outputs[0].shape) / 4);
    const c = (node.attrs.c ?? 0) as Scalar;
    l.dispatch({
      kernel: 'elementwise/elementwise',
      switches: { BINARY: b !== undefined },
      bind: b ? { A: a, Y: node.outputs[0], B: b } : { A: a, Y: node.outputs[0] },
      params: { n4, f: POINTWISE[String(node.attrs.f)].code, c: scalarParam(c), accumulate: l.accumulates(0) ? 1 : 0 },
      grid: foldGrid(Math.ceil(n4 / 64)),
    });
  },
  cost: (node) => ({
    flops: POINTWISE[String(node.attrs.f)].flops * sizeOf(node.outputs[0].shape),
    bytes: [...node.inputs, ...node.outputs].reduce((sum, v) => sum + byteSize(v), 0),
  }),
  place: { rule: 'elementwise' },
  reference([a, b], attrs) {
    const { f } = POINTWISE[String(attrs.f)];
    const c = (attrs.c ?? 0) as number;
    return [a.data.map((x, i) => f(x, b ? b.data[i] : 0, c))];
  },
};

const apply = (f: string, inputs: readonly Value[], attrs: Attrs = {}): Value => inputs[0].node.graph.apply1(ELEMENTWISE, inputs, { f, ...attrs });

/** a + b of one shape; the result has a's dtype (as for all two-operand functions here). */
export const add = (a: Value, b: Value): Value => apply('add', [a, b]);
/** a - b. */
export const sub = (a: Value, b: Value): Value => apply('sub', [a, b]);
/** a * b. */
export const mul = (a: Value, b: Value): Value => apply('mul', [a, b]);
/** a / b. */
export const div = (a: Value, b: Value): Value => apply('div', [a, b]);
/** x + c; the number may be a step scalar. */
export const addScalar = (x: Value, c: Scalar): Value => apply('shift', [x], { c });
/** c * x; the number may be a step scalar. */
export const mulScalar = scaled;
/** -x. */
export const neg = (x: Value): Value => scaled(x, -1);
/** e^x, the argument clamped to [-87, 88] so that f32 results stay finite. */
export const exp = (x: Value): Value => apply('exp', [x]);
/** Natural logarithm of positive numbers. */
export const log = (x: Value): Value => apply('log', [x]);
/** Square root of positive numbers. */
export const sqrt = (x: Value): Value => apply('sqrt', [x]);
/** Hyperbolic tangent. */
export const tanh = (x: Value): Value => apply('tanh', [x]);
/** x * sigmoid(x). */
export const silu = (x: Value): Value => apply('silu', [x]);
/** GELU in its tanh form (Hendrycks and Gimpel 2016). */
export const gelu = (x: Value): Value => apply('gelu', [x]);
/** max(x, 0). */
export const relu = (x: Value): Value => apply('relu', [x]);
/** x * x. */
export const square = (x: Value): Value => apply('square', [x]);
