/**
 * From a matmul node to kernel launches: cuts operands that exceed one binding into row windows (of M, N
 * or K, whichever their rows are) and launches the chosen kernel on each piece. Pieces along K add up in
 * the output, so an f16 result cut that way is rounded once a piece.
 */
import { ScionError } from '../../base/errors.ts';
import { type Node, type Scalar, type Value, view } from '../graph.ts';
import { foldGrid, type Lowering, type Operand } from '../op.ts';
import type { QuantBits } from '../quantize.ts';
import { scalarParam } from '../reference.ts';
import { type DType, dtypeBytes, sizeOf } from '../types.ts';
import { chooseMatmul, MATVEC_QUANT_ROWS, MATVEC_ROWS } from './choose_matmul.ts';
import { matmulDims } from './matmul_dims.ts';

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
  /** `b` holds the words of a block-quantised matrix (see quantize.ts), ldb its padded row; not with `transposeA` or `batch`. */
  readonly quant?: { readonly bits: QuantBits; readonly scales: Operand };
}

function dtypeOf(o: Operand): DType {
  const base = 'of' in o ? o.of : o;
  return 'dtype' in base ? base.dtype : 'f32';
}

/** The number of elements of a binding's vectors along an axis: 4 where everything is a multiple of it. */
function vec(...values: readonly number[]): number {
  return values.every((x) => x % 4 === 0) ? 4 : 1;
}

/** Emits the launches of one matmul. */
export function launchMatmul(l: Lowering, s: MatmulLaunch): void {
  const { m, n, k, lda, ldb, ldc } = s;
  const { z, za, zb, zc } = s.batch ?? { z: 1, za: 0, zb: 0, zc: 0 };
  const { a: a0 = 0, b: b0 = 0, c: c0 = 0, d: d0 = 0 } = s.offsets ?? {};
  const [ta, tb] = [s.transposeA, s.transposeB];
  const choice = chooseMatmul(
    {
      z,
      m,
      n,
      k,
      ta,
      tb,
      quant: s.quant !== undefined,
      dtypes: { a: dtypeOf(s.a), b: dtypeOf(s.b), c: dtypeOf(s.c) },
      alignedK: vec(k, lda, ldb, za, zb, a0, b0) === 4,
      flatC: ldc === n && vec(m * n, c0, d0) === 4,
    },
    l.facts,
  );
  const switches: Record<string, boolean | number> = { TA: ta, TB: tb, ...(s.quant ? { B_QUANT: s.quant.bits } : {}) };
  // Along the axis in which an operand is contiguous.
  const avec = vec(ta ? m : k, lda, za, a0);
  // Rows of a quantised matrix are padded.
  const bvec = s.quant ? 4 : vec(tb ? k : n, ldb, zb, b0);
  const cvec = vec(n, ldc, zc, c0, d0);
  let grid: readonly [number, number, number];
  let parts = 1;
  switch (choice.kernel) {
    case 'naive':
      grid = [Math.ceil(n / 64), m, z];
      break;
    case 'generic': {
      // Rows along K are read by scalars, or by pairs where that makes one word of two terms.
      const pairs = !ta && tb && dtypeOf(s.b) === 'f16' && [k, lda, ldb, za, zb, a0, b0].every((x) => x % 2 === 0);
      Object.assign(switches, { AVEC: ta ? avec : pairs ? 2 : 1, BVEC: tb ? (pairs ? 2 : 1) : bvec, CVEC: cvec });
      Object.assign(switches, { ROWS: choice.rows, COLS: choice.cols, LANES: choice.lanes, HIGH: choice.high });
      grid = [Math.ceil((n * choice.high) / (4 * choice.cols * choice.lanes)), Math.ceil(m / (choice.rows * choice.high)), z];
      break;
    }
    case 'lanes': {
      // Two terms a step where K is even; rows along K are then read by pairs.
      const even = (...values: readonly number[]) => values.every((x) => x % 2 === 0);
      const two = even(k) && (ta || even(lda, za, a0)) && (tb ? even(ldb, zb, b0) : bvec === 4);
      Object.assign(switches, { STEP: two ? 2 : 1, AVEC: two && !ta ? 2 : 1, BVEC: tb ? (two && !s.quant ? 2 : 1) : bvec, CVEC: cvec });
      Object.assign(switches, { ROWS: choice.rows, COLS: choice.cols, W: choice.width });
      grid = [Math.ceil(n / (4 * choice.cols * choice.width)), Math.ceil(m / choice.rows), z];
      break;
    }
    case 'matvec': {
      const lanes = choice.split === 1 ? 16 : 64;
      Object.assign(switches, { ROWS: m === 1 ? 1 : m <= MATVEC_ROWS ? MATVEC_ROWS : MATVEC_QUANT_ROWS, SPLIT: choice.split, LANES: lanes });
      grid = foldGrid(Math.ceil((n * choice.split) / lanes), z);
      break;
    }
    case 'tiled':
      parts = choice.parts;
      Object.assign(switches, { AVEC: avec, BVEC: bvec, CVEC: parts > 1 ? vec(n) : cvec, TM: choice.tm, TN: choice.tn, KT: choice.kt });
      grid = [Math.ceil(n / choice.tn), Math.ceil(m / choice.tm), parts > 1 ? parts : z];
      break;
    case 'subgroup_matrix':
      Object.assign(switches, { AVEC: avec, BVEC: bvec, TILE: choice.tile, LANES: 2 * choice.tile });
      grid = [Math.ceil(n / choice.tile), Math.ceil(m / choice.tile), z];
      break;
  }
  if (grid.some((g) => g > 65535)) {
    throw new ScionError('plan', `matmul ${z} x ${m} x ${n} x ${k} needs a grid of ${grid.join(' x ')} workgroups, one axis holds 65535; use a smaller batch`);
  }
  const bytesOf = (o: Operand, elements: number) => elements * dtypeBytes(dtypeOf(o));
  // Quantised: the codes, and four bytes a block of 64.
  const bytesB = s.quant ? (k * n * (s.quant.bits + 0.5)) / 8 : bytesOf(s.b, z * k * n);
  const read = bytesOf(s.a, z * m * k) + bytesB;
  const written = bytesOf(s.c, z * m * n) + (s.d ? bytesOf(s.d, z * m * n) : 0);
  const flops = 2 * z * m * n * k;
  const alpha = scalarParam(s.alpha ?? 1);
  const accumulate = s.accumulate ? 1 : 0;
  const sizes = { m, n, k, lda, ldb, ldc, za, zb };
  const kernel = `matmul/matmul_${choice.kernel}`;
  const added: Record<string, Operand> = s.d ? { D: s.d } : {};
  const matrix: Record<string, Operand> = s.quant ? { B: s.b, B_scales: s.quant.scales } : { B: s.b };
  if (choice.kernel !== 'tiled' || parts === 1) {
    if (s.d) switches.ADD = true;
    const params = { ...sizes, zc, a0, b0, c0, d0, alpha, accumulate };
    l.dispatch({ kernel, switches, bind: { A: s.a, ...matrix, C: s.c, ...added }, params, grid, flops, bytes: read + written });
    return;
  }
  // Parts of K side by side in scratch, whole tiles deep, then added in order.
  const kpart = Math.ceil(k / parts / choice.kt) * choice.kt;
  const scratch = l.scratch(parts * m * n * 4);
  const params = { ...sizes, zc: m * n, a0, b0, c0: 0, d0: 0, alpha: 1, accumulate: 0, kpart };
  l.dispatch({
    kernel,
    switches: { ...switches, SPLITK: true },
    bind: { A: s.a, ...matrix, C: scratch },
    params,
    grid,
    flops,
    bytes: read + parts * m * n * 4,
  });
  const n4 = (m * n) / 4;
  l.dispatch({
    kernel: 'matmul/matmul_split_sum',
    switches: s.d ? { ADD: true } : {},
    bind: { X: scratch, C: s.c, ...added },
    params: { n4, stride4: n4, parts, c0, d0, alpha, accumulate },
    grid: foldGrid(Math.ceil(n4 / 64)),
    flops: parts * m * n,
    bytes: parts * m * n * 4 + written,
  });
}

/** Rows that a window of `v` seen as [rows, size / rows] holds; `rows` if it fits one binding. */
export function windowRows(l: Lowering, v: Value, rows: number): number {
  return l.windows(view(v, [rows, sizeOf(v.shape) / rows]))[0].rows;
}

/** Runs of at most `run` along an axis. */
export function cut(size: number, run: number): { at: number; size: number }[] {
  const out: { at: number; size: number }[] = [];
  for (let at = 0; at < size; at += run) out.push({ at, size: Math.min(run, size - at) });
  return out;
}

/** What a piece binds of `v` seen as [rows, width], to start at [row, column]: all of it if that fits, else the window of the row. */
export function part(l: Lowering, v: Value, rows: number, row: number, column: number): { operand: Operand; offset: number } {
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
