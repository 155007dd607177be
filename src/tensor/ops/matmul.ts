/**
 * Matrix multiplication, batched or not, either operand transposed, f32 or f16 storage, f32 sums.
 * The leading axes of `a` are folded into rows when `b` has two axes. Which kernel runs is decided by
 * `chooseMatmul` from shapes and device facts; large tensors go through in row windows.
 */
import { type Attrs, type Scalar, type Value, view } from '../graph.ts';
import { lowerMatmul } from '../lower/matmul.ts';
import { matmulDims } from '../lower/matmul_dims.ts';
import type { Op } from '../op.ts';
import { byteSize, type DType, require_, sizeOf, type TensorType } from '../types.ts';
import { COPY, cast } from './copy.ts';

/** How a matmul reads its operands. */
export interface MatmulAttrs {
  /** `a` is stored [K, M] instead of [M, K]. */
  readonly transposeA?: boolean;
  /** `b` is stored [N, K] instead of [K, N]. */
  readonly transposeB?: boolean;
  readonly alpha?: Scalar;
  /** Storage of the result; by default that of `a`. */
  readonly dtype?: DType;
  /** Added to the product; as large as the result. */
  readonly add?: Value;
}

export const MATMUL: Op = {
  name: 'matmul',
  accumulates: [true],
  infer(inputs, attrs) {
    require_(
      'matmul',
      inputs.length >= 2 && inputs.length <= 3 && inputs[0].shape.length >= 2 && inputs[1].shape.length >= 2,
      'two inputs with at least two axes',
      inputs,
    );
    const float = (t: TensorType) => t.dtype === 'f32' || t.dtype === 'f16';
    require_('matmul', inputs.every(float), 'f32 or f16 inputs', inputs);
    const [a, b] = inputs;
    const ta = attrs.transposeA === true;
    const d = matmulDims(a.shape, b.shape, ta, attrs.transposeB === true);
    require_('matmul', d.k === d.kb, `inner sizes must agree (K of a is ${d.k}, of b is ${d.kb})`, inputs);
    require_('matmul', b.shape.length === 2 || d.z === d.zb, 'batch axes must agree', inputs);
    const lead = b.shape.length > 2 ? a.shape.slice(0, -2) : [];
    const rows = b.shape.length > 2 || ta ? [d.m] : a.shape.slice(0, -1);
    require_('matmul', inputs.length === 2 || sizeOf(inputs[2].shape) === d.z * d.m * d.n, `what is added must hold ${d.z} x ${d.m} x ${d.n} elements`, inputs);
    return [{ shape: [...lead, ...rows, d.n], dtype: (attrs.dtype as DType | undefined) ?? a.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy) return;
    const [a, b] = node.inputs;
    const ta = node.attrs.transposeA === true;
    const tb = node.attrs.transposeB === true;
    const alpha = node.attrs.alpha as Scalar;
    const graph = node.graph;
    const batched = b.shape.length > 2;
    // dB first: the adjoint of a weight is wanted as soon as dY is there, and dY may then be overwritten.
    if (g.wants(1)) {
      g.contribute([1], ([into]) => {
        // Folded rows: contract over all leading axes of dy and a.
        const flatDy = batched ? dy : rows2(dy);
        const flatA = batched || ta ? a : rows2(a);
        return [
          tb
            ? graph.apply1(MATMUL, [flatDy, flatA], { transposeA: true, transposeB: ta, alpha, dtype: into?.dtype ?? b.dtype }, into)
            : graph.apply1(MATMUL, [flatA, flatDy], { transposeA: !ta, transposeB: false, alpha, dtype: into?.dtype ?? b.dtype }, into),
        ];
      });
    }
    if (g.wants(0)) {
      g.contribute([0], ([into]) => [
        ta
          ? graph.apply1(MATMUL, [b, batched ? dy : rows2(dy)], { transposeA: tb, transposeB: true, alpha, dtype: a.dtype }, into)
          : graph.apply1(MATMUL, [dy, b], { transposeA: false, transposeB: !tb, alpha, dtype: a.dtype }, into),
      ]);
    }
    // What was added gets dy as it is: the same tensor unless another adjoint is there already.
    if (node.inputs.length > 2 && g.wants(2)) {
      const { shape, dtype } = node.inputs[2];
      g.contribute([2], ([into]) => [into ? graph.apply1(COPY, [dy], { scale: 1, dtype: into.dtype }, into) : view(cast(dy, dtype), shape)]);
    }
  },
  lower: lowerMatmul,
  cost(node) {
    const d = matmulDims(node.inputs[0].shape, node.inputs[1].shape, node.attrs.transposeA === true, node.attrs.transposeB === true);
    return { flops: 2 * d.z * d.m * d.n * d.k, bytes: [...node.inputs, ...node.outputs].reduce((sum, v) => sum + byteSize(v), 0) };
  },
  place: { rule: 'contract', rows: [0], joins: { k: 'all-reduce' } },
  reference(inputs, attrs: Attrs) {
    const [a, b] = inputs;
    const add = inputs.length > 2 ? inputs[2].data : null;
    const ta = attrs.transposeA === true;
    const tb = attrs.transposeB === true;
    const { z, m, n, k } = matmulDims(a.shape, b.shape, ta, tb);
    const alpha = attrs.alpha as number;
    const out = new Float64Array(z * m * n);
    for (let s = 0; s < z; s++) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let q = 0; q < k; q++) sum += a.data[s * m * k + (ta ? q * m + i : i * k + q)] * b.data[s * k * n + (tb ? j * k + q : q * n + j)];
          const at = (s * m + i) * n + j;
          out[at] = alpha * sum + (add ? add[at] : 0);
        }
      }
    }
    return [out];
  },
};

/** A value with its leading axes folded into rows. */
function rows2(v: Value): Value {
  const width = v.shape[v.shape.length - 1];
  return view(v, [sizeOf(v.shape) / width, width]);
}

/** alpha * op(a) op(b) + add, with f32 sums. Shapes: a [..., M, K], b [K, N] or [..., K, N]; see `MatmulAttrs` for transposes. */
export function matmul(a: Value, b: Value, attrs: MatmulAttrs = {}): Value {
  const { transposeA = false, transposeB = false, alpha = 1, dtype, add } = attrs;
  return a.node.graph.apply1(MATMUL, add ? [a, b, add] : [a, b], { transposeA, transposeB, alpha, dtype });
}
