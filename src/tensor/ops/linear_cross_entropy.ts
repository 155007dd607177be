/**
 * Linear layer and cross-entropy in one op: logits exist only for a chunk of rows at a time, in planned
 * scratch, so a vocabulary of 69,104 costs no [N, V] tensor. The gradient op computes the loss
 * too: after differentiation `fuseLoss` drops the forward node, and logits are made once.
 * Ignore index: labels outside 0..V-1 (customarily -100) give zero loss and zero gradient.
 */
import { ScionError } from '../../base/errors.ts';
import type { Graph, Node, Value } from '../graph.ts';
import { launchMatmul } from '../lower/matmul.ts';
import { foldGrid, type Lowering, type Op, type RefTensor, type Slice } from '../op.ts';
import { byteSize, dtypeBytes, require_, roundUp, type TensorType } from '../types.ts';

/** Most bytes of logits scratch; the bound for V = 69,104. */
const MAX_SCRATCH = 128 << 20;

function check(name: string, inputs: readonly TensorType[]): { n: number; v: number; d: number } {
  const [x, w, labels] = inputs;
  require_(name, x.shape.length === 2 && w.shape.length === 2 && x.shape[1] === w.shape[1], 'x [N, D] and w [V, D] must share D', inputs);
  require_(name, labels.dtype === 'i32' && labels.shape.length === 1 && labels.shape[0] === x.shape[0], 'labels must be i32 [N]', inputs);
  return { n: x.shape[0], v: w.shape[0], d: x.shape[1] };
}

/** Rows whose logits fit the scratch budget, and whose slice of x starts at a legal offset. */
function chunkRows(l: Lowering, n: number, v: number, ldv: number, rowBytes: number): number {
  const budget = Math.min(MAX_SCRATCH, l.facts.limits.maxStorageBufferBindingSize);
  const most = Math.floor(budget / (ldv * 4));
  if (n <= most) return n;
  for (let r = most; r > 0; r--) if ((r * rowBytes) % 256 === 0) return r;
  throw new ScionError('plan', `linear_cross_entropy: one row of ${v} logits needs ${ldv * 4} bytes, this device binds ${budget}; use a smaller vocabulary`);
}

/** Emits the chunk loop; `grads` asks for the backward half of each chunk. */
function lowerChunks(
  l: Lowering,
  node: Node,
  loss: Value,
  nll: Value,
  grads: { g: Value; dx: Value | null; dw: Value | null; intoX: boolean; intoW: boolean } | null,
): void {
  const [x, w, labels] = node.inputs;
  const { n, v, d } = check(node.op.name, node.inputs);
  // Rows of scratch start at multiples of four elements, so that vector loads stay legal for odd vocabularies cut in windows.
  const ldv = l.windows(w).length > 1 ? roundUp(v, 4) : v;
  const rowBytes = d * dtypeBytes(x.dtype);
  const most = chunkRows(l, n, v, ldv, grads?.dx ? lcmBytes(d, x, grads.dx) : rowBytes);
  const logits = l.scratch(Math.min(most, n) * ldv * 4);
  const windows = l.windows(w);
  const wide = l.facts.profile === 'specialised';
  for (let row = 0; row < n; row += most) {
    const rows = Math.min(most, n - row);
    const whole = rows === n;
    const part = (of: Value): Value | Slice =>
      whole && byteSize(of) <= l.facts.limits.maxStorageBufferBindingSize ? of : l.rows(of, d * dtypeBytes(of.dtype), row, rows);
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
    l.dispatch({
      kernel: 'loss/cross_entropy_rows',
      switches: { GRAD: grads !== null, WIDE: wide },
      bind: { X: logits, LABELS: labels, LOSS: loss, NLL: nll, ...(grads ? { G: grads.g } : {}) },
      params: { rows, v, ldx: ldv, row0: row, z: node.attrs.zLoss as number },
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
        accumulate: grads.intoX || i > 0,
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
        accumulate: grads.intoW || row > 0,
      });
    }
  }
}

/** Bytes of a row such that a chunk legal for it is legal for both x and dx. */
function lcmBytes(d: number, x: Value, dx: Value): number {
  return d * Math.min(dtypeBytes(x.dtype), dtypeBytes(dx.dtype));
}

/** Losses, and d loss / d logits where `g` is given, in float64. */
function referenceRows(x: RefTensor, w: RefTensor, labels: RefTensor, z: number, g: Float64Array | null) {
  const [n, d] = x.shape;
  const v = w.shape[0];
  const loss = new Float64Array(n);
  const nll = new Float64Array(n);
  const dlogits = new Float64Array(g ? n * v : 0);
  for (let i = 0; i < n; i++) {
    const label = labels.data[i];
    const logits = new Float64Array(v);
    for (let j = 0; j < v; j++) for (let k = 0; k < d; k++) logits[j] += x.data[i * d + k] * w.data[j * d + k];
    if (label < 0 || label >= v) continue;
    let max = Number.NEGATIVE_INFINITY;
    for (const t of logits) max = Math.max(max, t);
    let sum = 0;
    for (const t of logits) sum += Math.exp(t - max);
    const lse = max + Math.log(sum);
    nll[i] = lse - logits[label];
    loss[i] = nll[i] + z * lse * lse;
    if (g) for (let j = 0; j < v; j++) dlogits[i * v + j] = g[i] * ((1 + 2 * z * lse) * Math.exp(logits[j] - lse) - (j === label ? 1 : 0));
  }
  return { loss, nll, dlogits };
}

const flopsOf = (node: Node) => 2 * node.inputs[0].shape[0] * node.inputs[1].shape[0] * node.inputs[0].shape[1];

/** x [N, D], w [V, D], labels i32 [N] -> loss [N], nll [N]. */
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
    const needs = [0, 1].filter((i) => g.wants(i));
    g.contribute(needs, (into) =>
      node.graph
        .apply(
          LINEAR_CROSS_ENTROPY_GRAD,
          [...node.inputs, dloss],
          { ...node.attrs, dx: g.wants(0), dw: g.wants(1), dtypeW: g.wants(1) ? (into[needs.indexOf(1)]?.dtype ?? 'f32') : 'f32' },
          [null, null, ...into],
        )
        .slice(2),
    );
  },
  lower: (l, node) => lowerChunks(l, node, node.outputs[0], node.outputs[1], null),
  cost: (node) => ({ flops: flopsOf(node), bytes: byteSize(node.inputs[0]) + byteSize(node.inputs[1]) }),
  place: { rule: 'vocab', rows: [0, 2], joins: { v: 'all-reduce' } },
  reference([x, w, labels], attrs) {
    const { loss, nll } = referenceRows(x, w, labels, attrs.zLoss as number, null);
    return [loss, nll];
  },
};

/** Inputs x, w, labels, dloss [N]; outputs loss, nll, then dx and dw as far as wanted. */
export const LINEAR_CROSS_ENTROPY_GRAD: Op = {
  name: 'linear_cross_entropy_grad',
  accumulates: [false, false, true, true],
  infer(inputs, attrs) {
    const { n } = check('linear_cross_entropy_grad', inputs);
    const out: TensorType[] = [
      { shape: [n], dtype: 'f32' },
      { shape: [n], dtype: 'f32' },
    ];
    if (attrs.dx) out.push({ shape: inputs[0].shape, dtype: inputs[0].dtype });
    if (attrs.dw) out.push({ shape: inputs[1].shape, dtype: attrs.dtypeW === 'f16' ? 'f16' : 'f32' });
    return out;
  },
  lower(l, node) {
    const at = (wanted: unknown, index: number) => (wanted ? node.outputs[index] : null);
    const dx = at(node.attrs.dx, 2);
    const dw = at(node.attrs.dw, node.attrs.dx ? 3 : 2);
    const into = (v: Value | null) => v !== null && l.accumulates(v.index);
    lowerChunks(l, node, node.outputs[0], node.outputs[1], { g: node.inputs[3], dx, dw, intoX: into(dx), intoW: into(dw) });
  },
  cost: (node) => ({
    flops: flopsOf(node) * (1 + (node.attrs.dx ? 1 : 0) + (node.attrs.dw ? 1 : 0)),
    bytes: 3 * byteSize(node.inputs[1]) + 2 * byteSize(node.inputs[0]),
  }),
  place: { rule: 'vocab', rows: [0, 2, 3], joins: { v: 'all-reduce' } },
  reference([x, w, labels, dloss], attrs) {
    const [n, d] = x.shape;
    const v = w.shape[0];
    const { loss, nll, dlogits } = referenceRows(x, w, labels, attrs.zLoss as number, dloss.data);
    const dx = new Float64Array(n * d);
    const dw = new Float64Array(v * d);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < v; j++) {
        const t = dlogits[i * v + j];
        if (t === 0) continue;
        for (let k = 0; k < d; k++) {
          dx[i * d + k] += t * w.data[j * d + k];
          dw[j * d + k] += t * x.data[i * d + k];
        }
      }
    }
    return [loss, nll, ...(attrs.dx ? [dx] : []), ...(attrs.dw ? [dw] : [])];
  },
};

/**
 * Per-row losses of a linear head. Shapes: x [N, D], w [V, D], labels i32 [N].
 * `loss` = nll + zLoss * lse^2 is what to differentiate; `nll` is what to report.
 */
export function linearCrossEntropy(x: Value, w: Value, labels: Value, options: { zLoss?: number } = {}): { loss: Value; nll: Value } {
  const [loss, nll] = x.node.graph.apply(LINEAR_CROSS_ENTROPY, [x, w, labels], { zLoss: options.zLoss ?? 0 });
  return { loss, nll };
}

/** After differentiation: the losses as the gradient node computes them, so that the forward node falls away. */
export function fusedLoss(graph: Graph, forward: { loss: Value; nll: Value }): { loss: Value; nll: Value } {
  const source = forward.loss.node;
  const grad = graph.nodes.find((n) => n.op === LINEAR_CROSS_ENTROPY_GRAD && source.inputs.every((v, i) => v === n.inputs[i]));
  return grad ? { loss: grad.outputs[0], nll: grad.outputs[1] } : forward;
}
