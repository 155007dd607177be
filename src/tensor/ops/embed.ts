/**
 * Embedding: rows of a table by token id. The table may exceed one binding: each of its row windows has a
 * launch that serves the ids in it. The gradient uses no atomics: the host sorts the positions of a batch by id
 * (`batchTables` in src/data), and each distinct id's rows are summed in order and added to its row.
 */
import { type Scalar, type Value, view } from '../graph.ts';
import { cellGrid, vecOf } from '../lower/rows.ts';
import { foldGrid, type Op } from '../op.ts';
import { resolveScalar } from '../reference.ts';
import { byteSize, type DType, require_, sizeOf } from '../types.ts';

/** Step data that only the gradient reads; N is the number of ids. */
export interface EmbedSegments {
  /** u32[N]: positions sorted by id, equal ids in order of position. */
  readonly order: Value;
  /** u32[N + 1]: where each segment of `order` starts; a valid segment's end is the next one's start. */
  readonly starts: Value;
  /** u32[N]: the id of each segment. */
  readonly segmentIds: Value;
  /** Name of the step scalar that counts valid segments; `segments` by default. */
  readonly segments?: string;
}

/** Rows of fewer units share workgroups: one each would leave most of its 64 lanes idle (an embedding bag has rows of one number). */
const NARROW = 16;

/** The grid of `rows` rows of `units` units; flat where they are narrow. */
function gridOf(units: number, rows: number): readonly [number, number, number] {
  return units < NARROW ? foldGrid(Math.ceil((units * rows) / 64)) : cellGrid(units, rows);
}

/** Inputs table, ids and optionally order, starts, segmentIds. */
export const EMBED: Op = {
  name: 'embed',
  cheap: true,
  infer(inputs, attrs) {
    const [table, ids, order, starts, segmentIds] = inputs;
    const n = sizeOf(ids.shape);
    require_('embed', table.shape.length === 2 && (table.dtype === 'f32' || table.dtype === 'f16'), 'the table must be f32 or f16 [V, D]', inputs);
    require_('embed', ids.dtype === 'u32', 'ids must be u32', inputs);
    require_('embed', inputs.length === 2 || inputs.length === 5, 'takes a table, ids and either all segment tables or none', inputs);
    if (order) {
      const sizes = sizeOf(order.shape) === n && sizeOf(starts.shape) === n + 1 && sizeOf(segmentIds.shape) === n;
      require_('embed', sizes && [order, starts, segmentIds].every((x) => x.dtype === 'u32'), `segment tables must be u32 of ${n}, ${n + 1} and ${n}`, inputs);
    }
    return [{ shape: [...ids.shape, table.shape[1]], dtype: (attrs.dtype as DType | undefined) ?? table.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy || !g.wants(0)) return;
    const [table, , order, starts, segmentIds] = node.inputs;
    require_('embed', order !== undefined, 'to be differentiated it needs the segment tables (order, starts, segmentIds)', node.inputs);
    g.contribute([0], ([into]) => [
      // Seen under another shape, the rows' adjoint comes in that shape.
      node.graph.apply1(
        EMBED_GRAD,
        [view(dy, node.outputs[0].shape), order, starts, segmentIds],
        { rows: table.shape[0], width: table.shape[1], segments: node.attrs.segments },
        into,
      ),
    ]);
  },
  lower(l, node) {
    const [table, ids] = node.inputs;
    const [vocabulary, width] = table.shape;
    const rows = sizeOf(ids.shape);
    const VEC = vecOf(width);
    for (const w of l.windows(table)) {
      l.dispatch({
        kernel: 'embed/embed',
        switches: { VEC, FLAT: width / VEC < NARROW, TABLE_F16: table.dtype === 'f16' },
        bind: { TABLE: w.slice, Y: node.outputs[0], IDS: ids },
        params: { rows, width: width / VEC, first: w.row, count: w.rows, vocabulary },
        grid: gridOf(width / VEC, rows),
      });
    }
  },
  cost: (node) => ({ flops: 0, bytes: byteSize(node.inputs[1]) + 2 * byteSize(node.outputs[0]) }),
  place: { rule: 'vocab', rows: [1], joins: { vocab: 'all-reduce' } },
  reference([table, ids]) {
    const [V, D] = table.shape;
    const y = new Float64Array(ids.data.length * D);
    ids.data.forEach((id, n) => {
      if (id < V) y.set(table.data.subarray(id * D, (id + 1) * D), n * D);
    });
    return [y];
  },
};

/** Inputs dy [..., D], order, starts, segmentIds; output the table's gradient, added to what it is given (f32 where fresh). */
export const EMBED_GRAD: Op = {
  name: 'embed_grad',
  accumulates: [true],
  infer(inputs, attrs) {
    const { rows, width } = attrs as { rows: number; width: number };
    require_('embed_grad', inputs[0].shape[inputs[0].shape.length - 1] === width, `dy must have rows of ${width}`, inputs);
    return [{ shape: [rows, width], dtype: 'f32' }];
  },
  lower(l, node) {
    const [dy, order, starts, segmentIds] = node.inputs;
    const [dtable] = node.outputs;
    const width = node.attrs.width as number;
    const n = sizeOf(order.shape);
    const VEC = vecOf(width);
    const segments = node.attrs.segments as Scalar;
    if (!l.accumulates(0)) l.clear(dtable);
    for (const w of l.windows(dtable)) {
      l.dispatch({
        kernel: 'embed/embed_grad',
        switches: { VEC, FLAT: width / VEC < NARROW, DTABLE_F16: dtable.dtype === 'f16' },
        bind: { DY: dy, DTABLE: w.slice, ORDER: order, STARTS: starts, IDS: segmentIds },
        params: { segments: (s) => Math.min(n, resolveScalar(segments, s)), width: width / VEC, first: w.row, count: w.rows },
        grid: (s) => gridOf(width / VEC, Math.min(n, resolveScalar(segments, s))),
      });
    }
  },
  cost: (node) => ({
    flops: sizeOf(node.inputs[0].shape),
    bytes: 3 * byteSize(node.inputs[0]) + node.inputs.slice(1).reduce((sum, v) => sum + byteSize(v), 0),
  }),
  place: { rule: 'vocab', rows: [0] },
  reference([dy, order, starts, segmentIds], attrs) {
    const { rows, width, segments } = attrs as { rows: number; width: number; segments: number };
    const d = new Float64Array(rows * width);
    for (let s = 0; s < segments; s++) {
      for (let k = starts.data[s]; k < starts.data[s + 1]; k++) {
        for (let c = 0; c < width; c++) d[segmentIds.data[s] * width + c] += dy.data[order.data[k] * width + c];
      }
    }
    return [d];
  },
};

/**
 * table[ids]: table f32 or f16 [V, D], ids u32 [...] -> [..., D] stored as `dtype` (by default the table's).
 * An id of V or more gives a row of zeros. The segment tables are needed only where the table is differentiated.
 */
export function embed(table: Value, ids: Value, options: { dtype?: DType } & Partial<EmbedSegments> = {}): Value {
  const { dtype, order, starts, segmentIds, segments = 'segments' } = options;
  if (!order || !starts || !segmentIds) return table.node.graph.apply1(EMBED, [table, ids], { dtype });
  return table.node.graph.apply1(EMBED, [table, ids, order, starts, segmentIds], { dtype, segments: { step: segments } });
}
