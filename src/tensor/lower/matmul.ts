/**
 * From a matmul node to kernel launches: cuts operands that exceed one binding into row windows (of M, N
 * or K, whichever their rows are) and launches the chosen kernel on each piece. Pieces along K add up in
 * the output, so an f16 result cut that way is rounded once a piece.
 */
import { ScionError } from '../../base/errors.ts';
import { type Node, type Scalar, type Value, view } from '../graph.ts';
import type { Lowering, Operand } from '../op.ts';
import { matmulDims } from '../ops/matmul.ts';
import { resolveScalar } from '../reference.ts';
import { type DType, dtypeBytes, sizeOf } from '../types.ts';
import { chooseMatmul } from './choose_matmul.ts';

/**
 * One matmul on operands that each fit a binding: also used by ops that contain matmuls (the loss).
 * C[z, m, n] = alpha * A B (+ C) (+ D), leading dimensions and offsets in elements; scratch operands are f32.
 */
export interface MatmulLaunch {
  readonly a: Operand;
  readonly b: Operand;
  readonly c: Operand;
  /** Added to the product; lies as C does. */
  readonly d?: Operand;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly lda: number;
  readonly ldb: number;
  readonly ldc: number;
  /** Where in its binding each operand starts, in elements. */
  readonly offsets?: { readonly a?: number; readonly b?: number; readonly c?: number; readonly d?: number };
  /** `a` is stored [K, M]; `b` is stored [N, K]. */
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly alpha?: Scalar;
  readonly accumulate?: boolean;
  readonly batch?: { readonly z: number; readonly za: number; readonly zb: number; readonly zc: number };
}

function dtypeOf(o: Operand): DType {
  const base = 'of' in o ? o.of : o;
  return 'dtype' in base ? base.dtype : 'f32';
}

/** Emits the launches of one matmul. */
export function launchMatmul(l: Lowering, s: MatmulLaunch): void {
  const { m, n, k, lda, ldb, ldc } = s;
  const alpha = s.alpha ?? 1;
  const { z, za, zb, zc } = s.batch ?? { z: 1, za: 0, zb: 0, zc: 0 };
  const { a: a0 = 0, b: b0 = 0, c: c0 = 0, d: d0 = 0 } = s.offsets ?? {};
  const layout = { ta: s.transposeA, tb: s.transposeB };
  const choice = chooseMatmul({ z, m, n, k }, layout, { a: dtypeOf(s.a), b: dtypeOf(s.b), c: dtypeOf(s.c) }, l.facts);
  const by4 = (...values: readonly number[]) => values.every((x) => x % 4 === 0);
  const switches: Record<string, boolean | number> = { TA: layout.ta, TB: layout.tb };
  if (s.d) switches.ADD = true;
  let grid: readonly [number, number, number];
  switch (choice.kernel) {
    case 'naive':
      grid = [Math.ceil(n / 64), m, z];
      break;
    case 'generic':
      switches.AVEC = layout.ta && by4(m, lda, za, a0) ? 4 : 1;
      switches.BVEC = !layout.tb && by4(n, ldb, zb, b0) ? 4 : 1;
      switches.CVEC = by4(n, ldc, zc, c0, d0) ? 4 : 1;
      switches.ROWS = choice.rows;
      switches.COLS = choice.cols;
      switches.LANES = choice.lanes;
      grid = [Math.ceil(n / (4 * choice.cols * choice.lanes)), Math.ceil(m / choice.rows), z];
      break;
  }
  if (grid.some((g) => g > 65535)) {
    throw new ScionError('plan', `matmul ${z} x ${m} x ${n} x ${k} needs a grid of ${grid.join(' x ')} workgroups, one axis holds 65535; use a smaller batch`);
  }
  const bytesOf = (o: Operand, elements: number) => elements * dtypeBytes(dtypeOf(o));
  l.dispatch({
    kernel: `matmul/matmul_${choice.kernel}`,
    switches,
    bind: { A: s.a, B: s.b, C: s.c, ...(s.d ? { D: s.d } : {}) },
    params: {
      m,
      n,
      k,
      lda,
      ldb,
      ldc,
      za,
      zb,
      zc,
      a0,
      b0,
      c0,
      d0,
      alpha: typeof alpha === 'number' ? alpha : (step) => resolveScalar(alpha, step),
      accumulate: s.accumulate ? 1 : 0,
    },
    grid,
    flops: 2 * z * m * n * k,
    bytes: bytesOf(s.a, z * m * k) + bytesOf(s.b, z * k * n) + bytesOf(s.c, z * m * n) + (s.d ? bytesOf(s.d, z * m * n) : 0),
  });
}

/** Rows that a window of `v` seen as [rows, size / rows] holds; `rows` if it fits one binding. */
function windowRows(l: Lowering, v: Value, rows: number): number {
  return l.windows(view(v, [rows, sizeOf(v.shape) / rows]))[0].rows;
}

/** Runs of at most `run` along an axis. */
function cut(size: number, run: number): { at: number; size: number }[] {
  const out: { at: number; size: number }[] = [];
  for (let at = 0; at < size; at += run) out.push({ at, size: Math.min(run, size - at) });
  return out;
}

/** What a piece binds of `v` seen as [rows, width], to start at [row, column]: all of it if that fits, else the window of the row. */
function part(l: Lowering, v: Value, rows: number, row: number, column: number): { operand: Operand; offset: number } {
  const width = sizeOf(v.shape) / rows;
  const windows = l.windows(view(v, [rows, width]));
  if (windows.length === 1) return { operand: v, offset: row * width + column };
  const w = windows[Math.floor(row / windows[0].rows)];
  return { operand: w.slice, offset: (row - w.row) * width + column };
}

/** Lowers Z x [M, K] x [K, N]. */
export function lowerMatmul(l: Lowering, node: Node): void {
  const [a, b] = node.inputs;
  const add = node.inputs.length > 2 ? node.inputs[2] : null;
  const [c] = node.outputs;
  const transposeA = node.attrs.transposeA === true;
  const transposeB = node.attrs.transposeB === true;
  const { z, m, n, k } = matmulDims(a.shape, b.shape, transposeA, transposeB);
  const like = { lda: transposeA ? m : k, ldb: transposeB ? k : n, ldc: n, transposeA, transposeB, alpha: node.attrs.alpha as Scalar };
  const launch = (
    size: { z: number; m: number; n: number; k: number },
    accumulate: boolean,
    parts: Record<'a' | 'b' | 'c', ReturnType<typeof part>>,
    d: ReturnType<typeof part> | null,
  ) =>
    launchMatmul(l, {
      ...like,
      ...size,
      a: parts.a.operand,
      b: parts.b.operand,
      c: parts.c.operand,
      ...(d ? { d: d.operand } : {}),
      offsets: { a: parts.a.offset, b: parts.b.offset, c: parts.c.offset, d: d?.offset ?? 0 },
      accumulate,
      batch: { z: size.z, za: m * k, zb: k * n, zc: m * n },
    });
  const into = l.accumulates(0);
  const results = add ? [c, add] : [c];
  if (z > 1) {
    // A batch is cut along z; one matrix of it must fit a binding.
    const run = Math.min(...[a, b, ...results].map((v) => windowRows(l, v, z)));
    for (const s of cut(z, run)) {
      const of = (v: Value) => part(l, v, z, s.at, 0);
      launch({ z: s.size, m, n, k }, into, { a: of(a), b: of(b), c: of(c) }, add ? of(add) : null);
    }
    return;
  }
  // Windows hold powers of two rows, so the smallest run of an axis lies within one window of every tensor.
  const run = { m, n, k };
  const limit = (axis: 'm' | 'n' | 'k', v: Value) => {
    run[axis] = Math.min(run[axis], windowRows(l, v, { m, n, k }[axis]));
  };
  limit(transposeA ? 'k' : 'm', a);
  limit(transposeB ? 'n' : 'k', b);
  for (const v of results) limit('m', v);
  for (const i of cut(m, run.m)) {
    for (const j of cut(n, run.n)) {
      for (const q of cut(k, run.k)) {
        const first = q.at === 0;
        const parts = {
          a: transposeA ? part(l, a, k, q.at, i.at) : part(l, a, m, i.at, q.at),
          b: transposeB ? part(l, b, n, j.at, q.at) : part(l, b, k, q.at, j.at),
          c: part(l, c, m, i.at, j.at),
        };
        launch({ z: 1, m: i.size, n: j.size, k: q.size }, into || !first, parts, add && first ? part(l, add, m, i.at, j.at) : null);
      }
    }
  }
}
