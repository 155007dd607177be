/**
 * Product with a frozen matrix that is stored block quantised (see quantize.ts) and turned back into f32 inside the kernel:
 * y = x W^T (+ add), and for the gradient of x the same op the other way round, dx = dy W. There is no gradient of W; that is the trade. Which
 * kernel runs, and how large tensors are cut, is matmul's business.
 */
import { ScionError } from '../../base/errors.ts';
import { type Attrs, type Node, type Value, view } from '../graph.ts';
import { lowerQuantMatmul } from '../lower/quant_matmul.ts';
import type { Op } from '../op.ts';
import { dequantize, type QuantBits, quantShapes } from '../quantize.ts';
import { byteSize, type DType, require_, rowsOf, sameShape, sizeOf, type TensorType } from '../types.ts';
import { COPY, cast } from './copy.ts';

/** A quantised matrix [N, K] in a graph. */
export interface QuantWeight {
  /** u32 [N, padded K * bits / 32]. */
  readonly words: Value;
  /** f32 [N, padded K / 64]. */
  readonly scales: Value;
  readonly bits: QuantBits;
}

/** Rows of x, and W's rows and columns. `back`: x is [M, N] and the result [M, K]. */
export function quantDims(inputs: readonly TensorType[], attrs: Attrs): { m: number; n: number; k: number; bits: QuantBits; back: boolean } {
  return { m: rowsOf(inputs[0].shape).rows, n: inputs[1].shape[0], k: attrs.columns as number, bits: attrs.bits as QuantBits, back: attrs.back === true };
}

export const QUANT_MATMUL: Op = {
  name: 'quant_matmul',
  accumulates: [true],
  infer(inputs, attrs) {
    const op = 'quant_matmul';
    require_(op, inputs.length === 3 || inputs.length === 4, 'inputs x, words, scales and perhaps what is added', inputs);
    const [x, words, scales, add] = inputs;
    require_(op, attrs.bits === 4 || attrs.bits === 8, 'bits must be 4 or 8', String(attrs.bits));
    const float = (t: TensorType) => t.dtype === 'f32' || t.dtype === 'f16';
    require_(
      op,
      float(x) && (!add || float(add)) && words.dtype === 'u32' && scales.dtype === 'f32',
      'x and add in f32 or f16, words in u32, scales in f32',
      inputs,
    );
    require_(op, x.shape.length >= 2 && words.shape.length === 2, 'x [..., M, K] and a matrix of words', inputs);
    const { m, n, k, bits, back } = quantDims(inputs, attrs);
    const width = x.shape[x.shape.length - 1];
    require_(op, width === (back ? n : k), `x must have ${back ? n : k} columns, as the matrix [${n}, ${k}] has ${back ? 'rows' : 'columns'}`, inputs);
    const shapes = quantShapes(n, k, bits);
    const fits = sameShape(words.shape, shapes.words) && sameShape(scales.shape, shapes.scales);
    require_(op, fits, `a matrix [${n}, ${k}] in ${bits} bits has words [${shapes.words}] and scales [${shapes.scales}]`, inputs);
    const out = back ? k : n;
    require_(op, !add || sizeOf(add.shape) === m * out, `what is added must hold ${m} x ${out} elements`, inputs);
    return [{ shape: [...x.shape.slice(0, -1), out], dtype: (attrs.dtype as DType | undefined) ?? x.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy) return;
    const [x, words, scales, add] = node.inputs;
    if (g.wants(1) || g.wants(2))
      throw new ScionError('plan', 'quant_matmul: a quantised matrix is frozen and has no gradient; differentiate by x, or keep the matrix in f32');
    if (g.wants(0)) {
      const { columns, bits, back } = node.attrs;
      g.contribute([0], ([into]) => [node.graph.apply1(QUANT_MATMUL, [dy, words, scales], { columns, bits, back: back !== true, dtype: x.dtype }, into)]);
    }
    // What was added gets dy as it is, as in matmul.
    if (add && g.wants(3)) {
      const { shape, dtype } = add;
      g.contribute([3], ([into]) => [into ? node.graph.apply1(COPY, [dy], { scale: 1, dtype: into.dtype }, into) : view(cast(dy, dtype), shape)]);
    }
  },
  lower: lowerQuantMatmul,
  cost(node: Node) {
    const { m, n, k } = quantDims(node.inputs, node.attrs);
    return { flops: 2 * m * n * k, bytes: [...node.inputs, ...node.outputs].reduce((sum, v) => sum + byteSize(v), 0) };
  },
  place: { rule: 'contract', rows: [0], joins: { k: 'all-reduce' } },
  reference(inputs, attrs) {
    const types = inputs.map((t): TensorType => ({ shape: t.shape, dtype: 'f32' }));
    const { m, n, k, bits, back } = quantDims(types, attrs);
    const [x, words, scales] = inputs;
    const w = dequantize({ bits, rows: n, columns: k, words: words.data, scales: scales.data });
    const [out, inner] = back ? [k, n] : [n, k];
    const y = new Float64Array(m * out);
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < out; j++) {
        let sum = inputs.length > 3 ? inputs[3].data[i * out + j] : 0;
        for (let q = 0; q < inner; q++) sum += x.data[i * inner + q] * w[back ? q * k + j : j * k + q];
        y[i * out + j] = sum;
      }
    }
    return [y];
  },
};

/** x W^T + add, with f32 sums. Shapes: x [..., M, K], W [N, K] quantised, add and result [..., M, N]; `dtype`: storage of the result, by default that of x. */
export function quantMatmul(x: Value, w: QuantWeight, options: { add?: Value; dtype?: DType } = {}): Value {
  const { add, dtype } = options;
  const columns = x.shape[x.shape.length - 1];
  return x.node.graph.apply1(QUANT_MATMUL, [x, w.words, w.scales, ...(add ? [add] : [])], { columns, bits: w.bits, back: false, dtype });
}
