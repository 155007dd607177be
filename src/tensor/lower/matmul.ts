/**
 * From a matmul node to kernel launches: picks the kernel by profile and shape, cuts operands that
 * exceed one binding into row windows. Every choice can be forced through `facts.choices.matmul`.
 */
import { ScionError } from '../../base/errors.ts';
import type { Node, Scalar, Value } from '../graph.ts';
import type { Lowering, Operand } from '../op.ts';
import { matmulDims } from '../ops/matmul.ts';
import { resolveScalar } from '../reference.ts';

/**
 * One matmul on operands that each fit a binding: also used by ops that contain matmuls (the loss).
 * C[z, m, n] (+)= alpha * A B, leading dimensions in elements; scratch operands are f32.
 */
export interface MatmulLaunch {
  readonly a: Operand;
  readonly b: Operand;
  readonly c: Operand;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly lda: number;
  readonly ldb: number;
  readonly ldc: number;
  /** `a` is stored [K, M]; `b` is stored [N, K]. */
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly alpha?: Scalar;
  readonly accumulate?: boolean;
  readonly batch?: { readonly z: number; readonly za: number; readonly zb: number; readonly zc: number };
}

/** Emits the launches of one matmul. */
export function launchMatmul(l: Lowering, s: MatmulLaunch): void {
  const alpha = s.alpha ?? 1;
  const batch = s.batch ?? { z: 1, za: 0, zb: 0, zc: 0 };
  l.dispatch({
    kernel: 'matmul/matmul_naive',
    switches: { TA: s.transposeA, TB: s.transposeB },
    bind: { A: s.a, B: s.b, C: s.c },
    params: {
      m: s.m,
      n: s.n,
      k: s.k,
      lda: s.lda,
      ldb: s.ldb,
      ldc: s.ldc,
      za: batch.za,
      zb: batch.zb,
      zc: batch.zc,
      alpha: typeof alpha === 'number' ? alpha : (step) => resolveScalar(alpha, step),
      accumulate: s.accumulate ? 1 : 0,
    },
    grid: [Math.ceil(s.n / 64), s.m, batch.z],
    flops: 2 * batch.z * s.m * s.n * s.k,
  });
}

/** Lowers Z x [M, K] x [K, N]. */
export function lowerMatmul(l: Lowering, node: Node): void {
  const [a, b] = node.inputs;
  const [c] = node.outputs;
  const ta = node.attrs.transposeA === true;
  const tb = node.attrs.transposeB === true;
  const { z, m, n, k } = matmulDims(a.shape, b.shape, ta, tb);
  const whole = (v: Value) => l.windows(v).length === 1;
  if (!whole(a) || !whole(b) || !whole(c)) throw new ScionError('internal', 'matmul: windows not yet lowered');
  launchMatmul(l, {
    a,
    b,
    c,
    m,
    n,
    k,
    lda: ta ? m : k,
    ldb: tb ? k : n,
    ldc: n,
    transposeA: ta,
    transposeB: tb,
    alpha: node.attrs.alpha as Scalar,
    accumulate: l.accumulates(0),
    batch: { z, za: m * k, zb: k * n, zc: m * n },
  });
}
