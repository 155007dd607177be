/**
 * Linear layer and cross-entropy in one op: logits exist only for a chunk of rows at a time, in planned
 * scratch, so a vocabulary of 69,104 costs no [N, V] tensor. The gradient op computes the loss
 * too: after differentiation `fuseLoss` drops the forward node, and logits are made once.
 * A low-rank term may stand beside the head (an adapter): its logits are added to each chunk, its gradients made with the others.
 * Ignore index: labels outside 0..V-1 (customarily -100) give zero loss and zero gradient.
 */
import { ScionError } from '../../base/errors.ts';
import type { Graph, Node, Value } from '../graph.ts';
import { launchMatmul } from '../lower/matmul.ts';
import { foldGrid, type Lowering, type Op, type RefTensor, type Scratch, type Slice } from '../op.ts';
import { byteSize, dtypeBytes, require_, roundUp, type TensorType } from '../types.ts';

/** Most bytes of logits scratch; the bound for V = 69,104. */
const MAX_SCRATCH = 128 << 20;

function check(name: string, inputs: readonly TensorType[]): { n: number; v: number; d: number } {
  const [x, w, labels] = inputs;
  require_(name, x.shape.length === 2 && w.shape.length === 2 && x.shape[1] === w.shape[1], 'x [N, D] and w [V, D] must share D', inputs);
  require_(name, labels.dtype === 'i32' && labels.shape.length === 1 && labels.shape[0] === x.shape[0], 'labels must be i32 [N]', inputs);
  const [n, v, d] = [x.shape[0], w.shape[0], x.shape[1]];
  const [, , , t, b] = inputs;
  if (b) {
    const fits = t.shape.length === 2 && b.shape.length === 2 && t.shape[0] === n && b.shape[0] === v && t.shape[1] === b.shape[1];
    require_(name, fits, 't [N, R] and b [V, R] must go with x [N, D] and w [V, D]', inputs);
  }
  return { n, v, d };
}

/** The inputs of either op: x, w, labels, with a term t and b. */
const termOf = (node: Node): { t: Value; b: Value } | null => (node.attrs.term ? { t: node.inputs[3], b: node.inputs[4] } : null);

/** What the gradient op makes, in order; each is an output only where wanted. */
const WANTED = ['dx', 'dw', 'dt', 'db'] as const;
/** The input each is the gradient of. */
const OF_INPUT = { dx: 0, dw: 1, dt: 3, db: 4 } as const;

/** Rows whose logits fit the scratch budget, and whose slice of x starts at a legal offset. */
function chunkRows(l: Lowering, n: number, v: number, ldv: number, rowBytes: number): number {
  const budget = Math.min(MAX_SCRATCH, l.facts.limits.maxStorageBufferBindingSize);
  const most = Math.floor(budget / (ldv * 4));
  if (n <= most) return n;
  for (let r = most; r > 0; r--) if ((r * rowBytes) % 256 === 0) return r;
  throw new ScionError('plan', `linear_cross_entropy: one row of ${v} logits needs ${ldv * 4} bytes, this device binds ${budget}; use a smaller vocabulary`);
}

/** What one rank knows of rows whose vocabulary is split: made here, or joined from so many ranks. */
export interface RowStats {
  readonly value: Value;
  readonly ranks: number;
  readonly make: boolean;
}

/** Emits the chunk loop; `grads` asks for the backward half of each chunk. With `stats` the vocabulary is a rank's part of it. */
export function lowerChunks(
  l: Lowering,
  node: Node,
  loss: Value | null,
  nll: Value | null,
  grads: ({ g: Value; into: (v: Value) => boolean } & Record<(typeof WANTED)[number], Value | null>) | null,
  stats: RowStats | null = null,
): void {
  const [x, w, labels] = node.inputs;
  const { n, v, d } = check(node.op.name, node.attrs.term ? node.inputs.slice(0, 5) : node.inputs.slice(0, 3));
  const term = termOf(node);
  // Rows of scratch start at multiples of four elements, so that vector loads stay legal for odd vocabularies cut in windows.
  const ldv = l.windows(w).length > 1 ? roundUp(v, 4) : v;
  const rowBytes = d * dtypeBytes(x.dtype);
  const rowTensors = [x, ...(term ? [term.t] : []), ...[grads?.dx, grads?.dt].filter((t): t is Value => t !== null && t !== undefined)];
  const most = chunkRows(l, n, v, ldv, term ? gcd(...rowTensors.map(rowBytesOf)) : grads?.dx ? lcmBytes(d, x, grads.dx) : rowBytes);
  const logits = l.scratch(Math.min(most, n) * ldv * 4);
  const windows = l.windows(w);
  const wide = l.facts.profile === 'specialised';
  for (let row = 0; row < n; row += most) {
    const rows = Math.min(most, n - row);
    const whole = rows === n;
    const part = (of: Value): Value | Slice =>
      whole && byteSize(of) <= l.facts.limits.maxStorageBufferBindingSize ? of : l.rows(of, rowBytesOf(of), row, rows);
    const weight = (i: number): Value | Slice => (windows.length === 1 ? w : windows[i].slice);
    windows.forEach((win, i) => {
      launchMatmul(l, {
        a: part(x),
        b: weight(i),
        c: logits,
        offsets: { c: win.row },
        m: rows,
        n: win.rows,
        k: d,
        lda: d,
        ldb: d,
        ldc: ldv,
        transposeA: false,
        transposeB: true,
      });
    });
    if (term) addTerm(l, term, part(term.t), logits, rows, ldv);
    l.dispatch({
      kernel: 'loss/cross_entropy_rows',
      switches: { GRAD: grads !== null, WIDE: wide, ...(stats && (stats.make ? { MAKE: true } : { JOINED: true })) },
      bind: {
        X: logits,
        LABELS: labels,
        ...(loss && nll ? { LOSS: loss, NLL: nll } : {}),
        ...(grads ? { G: grads.g } : {}),
        ...(stats ? { STATS: stats.value } : {}),
      },
      params: { rows, v, ldx: ldv, row0: row, z: (node.attrs.zLoss as number | undefined) ?? 0, ...(stats && !stats.make ? { ranks: stats.ranks, n } : {}) },
      grid: foldGrid(wide ? rows : Math.ceil(rows / 16)),
      flops: 8 * rows * v,
      bytes: rows * v * (grads ? 12 : 8),
    });
    if (!grads) continue;
    const { dx, dw } = grads;
    windows.forEach((win, i) => {
      if (!dx) return;
      const b = weight(i);
      launchMatmul(l, {
        a: logits,
        offsets: { a: win.row },
        b,
        c: part(dx),
        m: rows,
        n: d,
        k: win.rows,
        lda: ldv,
        ldb: d,
        ldc: d,
        transposeA: false,
        transposeB: false,
        accumulate: grads.into(dx) || i > 0,
      });
    });
    // dw may have windows of its own, since it is f32 where w is 16-bit.
    const targets = dw ? l.windows(dw) : [];
    for (const win of targets) {
      if (!dw) continue;
      const c = targets.length === 1 ? dw : win.slice;
      launchMatmul(l, {
        a: logits,
        offsets: { a: win.row },
        b: part(x),
        c,
        m: win.rows,
        n: d,
        k: rows,
        lda: ldv,
        ldb: d,
        ldc: d,
        transposeA: true,
        transposeB: false,
        accumulate: grads.into(dw) || row > 0,
      });
    }
    if (term) termGrads(l, term, part, logits, grads, { row, rows, ldv });
  }
}

const rowBytesOf = (of: Value): number => of.shape[1] * dtypeBytes(of.dtype);

/** Greatest common divisor: a chunk legal for rows of so many bytes is legal for each of them. */
function gcd(...values: readonly number[]): number {
  return values.reduce((a, b) => {
    while (b > 0) [a, b] = [b, a % b];
    return a;
  });
}

/** Adds t B^T to a chunk of logits. */
function addTerm(l: Lowering, { t, b }: { t: Value; b: Value }, rowsOfT: Value | Slice, logits: Scratch, rows: number, ldv: number): void {
  const r = t.shape[1];
  const windows = l.windows(b);
  for (const win of windows) {
    launchMatmul(l, {
      a: rowsOfT,
      b: windows.length === 1 ? b : win.slice,
      c: logits,
      offsets: { c: win.row },
      m: rows,
      n: win.rows,
      k: r,
      lda: r,
      ldb: r,
      ldc: ldv,
      transposeA: false,
      transposeB: true,
      accumulate: true,
    });
  }
}

/** dt and db of a chunk, whose scratch holds d loss / d logits by now. */
function termGrads(
  l: Lowering,
  { t, b }: { t: Value; b: Value },
  part: (of: Value) => Value | Slice,
  logits: Scratch,
  grads: { dt: Value | null; db: Value | null; into: (v: Value) => boolean },
  { row, rows, ldv }: { row: number; rows: number; ldv: number },
): void {
  const r = t.shape[1];
  const { dt, db, into } = grads;
  const common = { a: logits, ldb: r, ldc: r, n: r, lda: ldv, transposeB: false };
  const windows = dt ? l.windows(b) : [];
  for (const [i, win] of windows.entries()) {
    if (!dt) continue;
    const from = windows.length === 1 ? b : win.slice;
    launchMatmul(l, { ...common, offsets: { a: win.row }, b: from, c: part(dt), m: rows, k: win.rows, transposeA: false, accumulate: into(dt) || i > 0 });
  }
  const targets = db ? l.windows(db) : [];
  for (const win of targets) {
    if (!db) continue;
    const c = targets.length === 1 ? db : win.slice;
    launchMatmul(l, { ...common, offsets: { a: win.row }, b: part(t), c, m: win.rows, k: rows, transposeA: true, accumulate: into(db) || row > 0 });
  }
}

/** Bytes of a row such that a chunk legal for it is legal for both x and dx. */
function lcmBytes(d: number, x: Value, dx: Value): number {
  return d * Math.min(dtypeBytes(x.dtype), dtypeBytes(dx.dtype));
}

/** Losses, and d loss / d logits where `g` is given, in float64. */
function referenceRows(x: RefTensor, w: RefTensor, labels: RefTensor, term: readonly RefTensor[], z: number, g: Float64Array | null) {
  const [t, b] = term;
  const R = t ? t.shape[1] : 0;
  const [n, d] = x.shape;
  const v = w.shape[0];
  const loss = new Float64Array(n);
  const nll = new Float64Array(n);
  const dlogits = new Float64Array(g ? n * v : 0);
  for (let i = 0; i < n; i++) {
    const label = labels.data[i];
    const logits = new Float64Array(v);
    for (let j = 0; j < v; j++) for (let k = 0; k < d; k++) logits[j] += x.data[i * d + k] * w.data[j * d + k];
    for (let j = 0; j < v; j++) for (let k = 0; k < R; k++) logits[j] += t.data[i * R + k] * b.data[j * R + k];
    if (label < 0 || label >= v) continue;
    let max = Number.NEGATIVE_INFINITY;
    for (const y of logits) max = Math.max(max, y);
    let sum = 0;
    for (const y of logits) sum += Math.exp(y - max);
    const lse = max + Math.log(sum);
    nll[i] = lse - logits[label];
    loss[i] = nll[i] + z * lse * lse;
    if (g) for (let j = 0; j < v; j++) dlogits[i * v + j] = g[i] * ((1 + 2 * z * lse) * Math.exp(logits[j] - lse) - (j === label ? 1 : 0));
  }
  return { loss, nll, dlogits };
}

/** dx += G W and dw += G^T x, in float64; G [n, v]. */
function referenceProducts(g: Float64Array, n: number, v: number, d: number, x: Float64Array, w: Float64Array, dx: Float64Array, dw: Float64Array): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < v; j++) {
      const t = g[i * v + j];
      if (t === 0) continue;
      for (let k = 0; k < d; k++) {
        dx[i * d + k] += t * w[j * d + k];
        dw[j * d + k] += t * x[i * d + k];
      }
    }
  }
}

const flopsOf = (node: Node) => 2 * node.inputs[0].shape[0] * node.inputs[1].shape[0] * (node.inputs[0].shape[1] + (termOf(node)?.t.shape[1] ?? 0));

/** x [N, D], w [V, D], labels i32 [N][, t [N, R], b [V, R]] -> loss [N], nll [N]. */
export const LINEAR_CROSS_ENTROPY: Op = {
  name: 'linear_cross_entropy',
  infer(inputs) {
    const { n } = check('linear_cross_entropy', inputs);
    return [
      { shape: [n], dtype: 'f32' },
      { shape: [n], dtype: 'f32' },
    ];
  },
  grad(g, node) {
    const dloss = g.adjoint(0);
    if (g.adjoint(1)) throw new ScionError('plan', 'linear_cross_entropy: differentiate the loss output; nll is for reports');
    if (!dloss) return;
    const made = WANTED.filter((d) => OF_INPUT[d] < node.inputs.length && g.wants(OF_INPUT[d]));
    const needs = made.map((d) => OF_INPUT[d]);
    const wanted = Object.fromEntries(WANTED.map((d) => [d, made.includes(d)]));
    g.contribute(needs, (into) =>
      node.graph
        .apply(
          LINEAR_CROSS_ENTROPY_GRAD,
          [...node.inputs, dloss],
          { ...node.attrs, ...wanted, dtypeW: g.wants(1) ? (into[needs.indexOf(1)]?.dtype ?? 'f32') : 'f32' },
          [null, null, ...into],
        )
        .slice(2),
    );
  },
  lower: (l, node) => lowerChunks(l, node, node.outputs[0], node.outputs[1], null),
  cost: (node) => ({ flops: flopsOf(node), bytes: byteSize(node.inputs[0]) + byteSize(node.inputs[1]) }),
  place: { rule: 'vocab', rows: [0, 2], joins: { v: 'all-reduce' } },
  reference([x, w, labels, ...term], attrs) {
    const { loss, nll } = referenceRows(x, w, labels, term, attrs.zLoss as number, null);
    return [loss, nll];
  },
};

/** Inputs x, w, labels[, t, b], dloss [N]; outputs loss, nll, then dx, dw, dt and db as far as wanted. */
export const LINEAR_CROSS_ENTROPY_GRAD: Op = {
  name: 'linear_cross_entropy_grad',
  accumulates: [false, false, true, true, true, true],
  infer(inputs, attrs) {
    const { n } = check('linear_cross_entropy_grad', inputs.slice(0, -1));
    const out: TensorType[] = [
      { shape: [n], dtype: 'f32' },
      { shape: [n], dtype: 'f32' },
    ];
    if (attrs.dx) out.push({ shape: inputs[0].shape, dtype: inputs[0].dtype });
    if (attrs.dw) out.push({ shape: inputs[1].shape, dtype: attrs.dtypeW === 'f16' ? 'f16' : 'f32' });
    if (attrs.dt) out.push({ shape: inputs[3].shape, dtype: inputs[3].dtype });
    if (attrs.db) out.push({ shape: inputs[4].shape, dtype: 'f32' });
    return out;
  },
  lower(l, node) {
    const made = WANTED.filter((d) => node.attrs[d]);
    const at = (d: (typeof WANTED)[number]): Value | null => (made.includes(d) ? node.outputs[2 + made.indexOf(d)] : null);
    const g = node.inputs[node.inputs.length - 1];
    const grads = { g, dx: at('dx'), dw: at('dw'), dt: at('dt'), db: at('db'), into: (v: Value) => l.accumulates(v.index) };
    lowerChunks(l, node, node.outputs[0], node.outputs[1], grads);
  },
  cost: (node) => ({
    flops: flopsOf(node) * (1 + (node.attrs.dx ? 1 : 0) + (node.attrs.dw ? 1 : 0)),
    bytes: 3 * byteSize(node.inputs[1]) + 2 * byteSize(node.inputs[0]),
  }),
  place: { rule: 'vocab', rows: [0, 2, 3], joins: { v: 'all-reduce' } },
  reference([x, w, labels, ...rest], attrs) {
    const dloss = rest[rest.length - 1];
    const term = rest.slice(0, -1);
    const [n, d] = x.shape;
    const v = w.shape[0];
    const { loss, nll, dlogits } = referenceRows(x, w, labels, term, attrs.zLoss as number, dloss.data);
    const dx = new Float64Array(n * d);
    const dw = new Float64Array(v * d);
    referenceProducts(dlogits, n, v, d, x.data, w.data, dx, dw);
    const out = [loss, nll, ...(attrs.dx ? [dx] : []), ...(attrs.dw ? [dw] : [])];
    if (term.length === 0) return out;
    const [t, b] = term;
    const r = t.shape[1];
    const dt = new Float64Array(n * r);
    const db = new Float64Array(v * r);
    referenceProducts(dlogits, n, v, r, t.data, b.data, dt, db);
    return [...out, ...(attrs.dt ? [dt] : []), ...(attrs.db ? [db] : [])];
  },
};

/**
 * Per-row losses of a linear head. Shapes: x [N, D], w [V, D], labels i32 [N].
 * With a term, t [N, R] and b [V, R], the logits are x W^T + t B^T.
 * `loss` = nll + zLoss * lse^2 is what to differentiate; `nll` is what to report.
 */
export function linearCrossEntropy(
  x: Value,
  w: Value,
  labels: Value,
  options: { zLoss?: number; term?: { readonly t: Value; readonly b: Value } | null } = {},
): { loss: Value; nll: Value } {
  const { zLoss = 0, term } = options;
  const [loss, nll] = x.node.graph.apply(LINEAR_CROSS_ENTROPY, term ? [x, w, labels, term.t, term.b] : [x, w, labels], { zLoss, ...(term && { term: true }) });
  return { loss, nll };
}

/** After differentiation: the losses as the gradient node computes them, so that the forward node falls away. */
export function fusedLoss(graph: Graph, forward: { loss: Value; nll: Value }): { loss: Value; nll: Value } {
  const source = forward.loss.node;
  const grad = graph.nodes.find((n) => n.op.name === `${source.op.name}_grad` && source.inputs.every((v, i) => v === n.inputs[i]));
  return grad ? { loss: grad.outputs[0], nll: grad.outputs[1] } : forward;
}
