/**
 * From a product with a quantised matrix to matmul launches. The matrix is cut into windows of its rows, words and scales alike (columns
 * of y forward, terms of the sum backward), and x and y into windows of theirs. Pieces of a sum add up in the
 * output, so an f16 result cut that way is rounded once a piece.
 */
import { ScionError } from '../../base/errors.ts';
import type { Node } from '../graph.ts';
import type { Lowering } from '../op.ts';
import type { QuantBits } from '../quantize.ts';
import { QUANT_BLOCK } from '../quantize.ts';
import { BINDING_ALIGN, roundUp, rowsOf } from '../types.ts';
import { cut, launchMatmul, part, windowRows } from './matmul.ts';

/** Lowers x [M, K] by W [N, K]^T, or dy [M, N] by W under `back`. */
export function lowerQuantMatmul(l: Lowering, node: Node): void {
  const [x, words, scales, add] = node.inputs;
  const [y] = node.outputs;
  const back = node.attrs.back === true;
  const { rows: m } = rowsOf(x.shape);
  const rows = words.shape[0];
  const columns = node.attrs.columns as number;
  const ldb = roundUp(columns, QUANT_BLOCK);
  const matrix = l.windows(words);
  const scaleBytes = 4 * scales.shape[1];
  if (matrix.length > 1 && (matrix[0].rows * scaleBytes) % BINDING_ALIGN !== 0) {
    throw new ScionError(
      'plan',
      `quant_matmul: a window of ${matrix[0].rows} rows has ${matrix[0].rows * scaleBytes} bytes of scales, not a multiple of ${BINDING_ALIGN}; this device binds too little`,
    );
  }
  const [n, k] = back ? [columns, rows] : [rows, columns];
  const into = l.accumulates(0);
  // Windows hold powers of two rows, so the smallest run lies within one window of every tensor.
  const run = Math.min(...[x, y, ...(add ? [add] : [])].map((v) => windowRows(l, v, m)));
  for (const i of cut(m, run)) {
    matrix.forEach((w, at) => {
      // A window of W's rows: columns of the result forward, terms of its sums backward.
      const first = !back || at === 0;
      const a = part(l, x, m, i.at, back ? w.row : 0);
      const c = part(l, y, m, i.at, back ? 0 : w.row);
      const d = add && first ? part(l, add, m, i.at, back ? 0 : w.row) : null;
      launchMatmul(l, {
        a: a.operand,
        b: matrix.length === 1 ? words : w.slice,
        c: c.operand,
        ...(d ? { d: d.operand } : {}),
        offsets: { a: a.offset, c: c.offset, d: d?.offset ?? 0 },
        m: i.size,
        n: back ? n : w.rows,
        k: back ? w.rows : k,
        lda: k,
        ldb,
        ldc: n,
        transposeA: false,
        transposeB: !back,
        accumulate: into || !first,
        quant: { bits: node.attrs.bits as QuantBits, scales: matrix.length === 1 ? scales : l.rows(scales, scaleBytes, w.row, w.rows) },
      });
    });
  }
}
