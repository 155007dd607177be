/**
 * Attention in flash form over fused rows of query, key and value heads: causal, windowed, packed
 * and padded rows by ranges, grouped-query heads, memory linear in T. The backward pass recomputes
 * the probabilities from the stored log-sum-exp instead of keeping them. `attentionCached` is the
 * same against a KV cache, forward only. Keys of one query are one contiguous run, two against a cache (a shared
 * prefix and a sequence's own): what runs cannot say (global tokens, deeper trees) this op cannot do.
 */
import { ScionError } from '../../base/errors.ts';
import type { Attrs, Value } from '../graph.ts';
import { lowerAttention, lowerAttentionGrad } from '../lower/attention.ts';
import { type HeadLayout, headLayout } from '../lower/heads.ts';
import type { Op, RefTensor } from '../op.ts';
import { byteSize, require_, type TensorType } from '../types.ts';

export interface AttentionAttrs extends HeadLayout {
  /** Factor of the scores; by default 1 / sqrt(S). */
  readonly scale?: number;
}

/** Head sizes that the kernels are built for. */
export const HEAD_SIZES = { least: 8, most: 256 } as const;

/** Checks a fused tensor [B, T, (H + 2K) S]. */
export function requireFused(op: string, t: TensorType, { heads, kvHeads, headSize }: HeadLayout, inputs: readonly TensorType[]): void {
  require_(op, t !== undefined && (t.dtype === 'f32' || t.dtype === 'f16'), 'the fused tensor must be f32 or f16', inputs);
  const width = (heads + 2 * kvHeads) * headSize;
  require_(
    op,
    t.shape.length === 3 && t.shape[2] === width,
    `the fused tensor must be [B, T, ${width}] for ${heads} + 2 x ${kvHeads} heads of ${headSize}`,
    inputs,
  );
}

function checkSize(op: string, headSize: number): void {
  if (headSize < HEAD_SIZES.least || headSize > HEAD_SIZES.most) {
    throw new ScionError('plan', `${op}: head size must lie within ${HEAD_SIZES.least} to ${HEAD_SIZES.most}, got ${headSize}`);
  }
}

function requireRanges(op: string, ranges: TensorType, b: number, t: number, inputs: readonly TensorType[]): void {
  const { shape, dtype } = ranges ?? { shape: [], dtype: 'f32' };
  require_(op, dtype === 'u32' && shape.length === 3 && shape[0] === b && shape[1] === t && shape[2] === 4, `ranges must be u32[${b}, ${t}, 4]`, inputs);
}

/** Pairs of one sequence that a causal mask leaves; what the cost counts, since real ranges are step data. */
const causalPairs = (t: number): number => (t * (t + 1)) / 2;

/** Where the rows of one head lie: of a query head in fused rows, or of its key and value heads. */
interface Rows {
  readonly data: Float64Array;
  readonly row: number;
  readonly at: number;
}

function dot(a: Rows, i: number, b: Rows, j: number, size: number): number {
  let sum = 0;
  for (let s = 0; s < size; s++) sum += a.data[i * a.row + a.at + s] * b.data[j * b.row + b.at + s];
  return sum;
}

/** Softmax rows in float64: calls `each` with the probabilities of every query row and head that has keys. */
function forRows(
  q: RefTensor,
  kv: { data: Float64Array; row: number; keyAt: number; valueAt: number; keys: number; runs: 1 | 2 },
  ranges: RefTensor,
  layout: HeadLayout,
  scale: number,
  each: (row: {
    b: number;
    h: number;
    t: number;
    js: readonly number[];
    p: Float64Array;
    lse: number;
    q: Rows;
    k: Rows;
    v: Rows;
    at: number;
    kAt: number;
  }) => void,
): void {
  const { heads, kvHeads, headSize } = layout;
  const [B, T, width] = q.shape;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < heads; h++) {
      const kvh = Math.floor(h / (heads / kvHeads));
      const qr: Rows = { data: q.data, row: width, at: h * headSize };
      const k: Rows = { data: kv.data, row: kv.row, at: kv.keyAt + kvh * headSize };
      const v: Rows = { data: kv.data, row: kv.row, at: kv.valueAt + kvh * headSize };
      for (let t = 0; t < T; t++) {
        const at = b * T + t;
        const js: number[] = [];
        for (let run = at * 4; run < at * 4 + 2 * kv.runs; run += 2)
          for (let j = ranges.data[run]; j < Math.min(ranges.data[run + 1], kv.keys); j++) js.push(j);
        if (js.length === 0) continue;
        const kAt = b * kv.keys;
        const scores = Float64Array.from(js, (j) => scale * dot(qr, at, k, kAt + j, headSize));
        const high = scores.reduce((a, x) => Math.max(a, x), Number.NEGATIVE_INFINITY);
        const p = scores.map((s) => Math.exp(s - high));
        const total = p.reduce((a, x) => a + x, 0);
        each({ b, h, t, js, p: p.map((x) => x / total), lse: high + Math.log(total), q: qr, k, v, at, kAt });
      }
    }
  }
}

function fusedSource(qkv: RefTensor, { heads, kvHeads, headSize }: HeadLayout) {
  return { data: qkv.data, row: qkv.shape[2], keyAt: heads * headSize, valueAt: (heads + kvHeads) * headSize, keys: qkv.shape[1], runs: 1 as const };
}

function forwardReference(q: RefTensor, kv: Parameters<typeof forRows>[1], ranges: RefTensor, attrs: Attrs): Float64Array[] {
  const layout = headLayout('attention', attrs);
  const { heads, headSize } = layout;
  const [B, T] = q.shape;
  const out = new Float64Array(B * T * heads * headSize);
  const stats = new Float64Array(B * heads * T);
  forRows(q, kv, ranges, layout, attrs.scale as number, ({ b, h, t, js, p, lse, v, at, kAt }) => {
    stats[(b * heads + h) * T + t] = lse;
    p.forEach((x, j) => {
      for (let s = 0; s < headSize; s++) out[(at * heads + h) * headSize + s] += x * v.data[(kAt + js[j]) * v.row + v.at + s];
    });
  });
  return [out, stats];
}

/** Forward: inputs qkv, ranges; outputs O [B, T, HS] and log-sum-exp f32 [B, H, T]. */
export const ATTENTION: Op = {
  name: 'attention',
  infer(inputs, attrs) {
    const layout = headLayout('attention', attrs);
    const [qkv, ranges] = inputs;
    require_('attention', inputs.length === 2, 'qkv and ranges', inputs);
    requireFused('attention', qkv, layout, inputs);
    checkSize('attention', layout.headSize);
    const [B, T] = qkv.shape;
    requireRanges('attention', ranges, B, T, inputs);
    return [
      { shape: [B, T, layout.heads * layout.headSize], dtype: qkv.dtype },
      { shape: [B, layout.heads, T], dtype: 'f32' },
    ];
  },
  grad(g, node) {
    const dOut = g.adjoint(0);
    if (g.adjoint(1)) throw new ScionError('plan', 'attention: its log-sum-exp output cannot be differentiated; seed the first output only');
    if (!dOut || !g.wants(0)) return;
    const [qkv, ranges] = node.inputs;
    const [out, stats] = node.outputs;
    g.contribute([0], ([into]) => [node.graph.apply1(ATTENTION_GRAD, [dOut, out, qkv, stats, ranges], node.attrs, into)]);
  },
  lower: lowerAttention,
  cost(node) {
    const { heads, headSize } = headLayout('attention', node.attrs);
    const [B, T] = node.inputs[0].shape;
    return { flops: 4 * B * heads * causalPairs(T) * headSize, bytes: moved([...node.inputs, ...node.outputs]) };
  },
  place: { rule: 'heads', rows: [0, 1] },
  reference([qkv, ranges], attrs) {
    return forwardReference(qkv, fusedSource(qkv, headLayout('attention', attrs)), ranges, attrs);
  },
};

/** Backward: inputs dO, O, qkv, log-sum-exp, ranges; output the gradient by qkv. */
export const ATTENTION_GRAD: Op = {
  name: 'attention_grad',
  accumulates: [true],
  infer(inputs, attrs) {
    const layout = headLayout('attention_grad', attrs);
    const [dOut, out, qkv, stats, ranges] = inputs;
    require_('attention_grad', inputs.length === 5, 'dO, O, qkv, log-sum-exp and ranges', inputs);
    requireFused('attention_grad', qkv, layout, inputs);
    checkSize('attention_grad', layout.headSize);
    const [B, T] = qkv.shape;
    requireRanges('attention_grad', ranges, B, T, inputs);
    const width = layout.heads * layout.headSize;
    const fits = (v: TensorType) => v.shape.length === 3 && v.shape[0] === B && v.shape[1] === T && v.shape[2] === width;
    require_('attention_grad', fits(dOut) && fits(out), `dO and O must be [${B}, ${T}, ${width}]`, inputs);
    require_('attention_grad', stats.dtype === 'f32', 'log-sum-exp must be f32', inputs);
    return [{ shape: qkv.shape, dtype: qkv.dtype }];
  },
  lower: lowerAttentionGrad,
  cost(node) {
    const { heads, headSize } = headLayout('attention_grad', node.attrs);
    const [B, T] = node.inputs[2].shape;
    // Seven products a pair: scores and dP twice, dQ, dK, dV.
    return { flops: 14 * B * heads * causalPairs(T) * headSize, bytes: moved([...node.inputs, ...node.outputs]) };
  },
  place: { rule: 'heads', rows: [0, 1, 2, 4] },
  reference([dOut, , qkv, , ranges], attrs) {
    const layout = headLayout('attention_grad', attrs);
    const { heads, headSize } = layout;
    const scale = attrs.scale as number;
    const grad = new Float64Array(qkv.data.length);
    forRows(qkv, fusedSource(qkv, layout), ranges, layout, scale, ({ h, js, p, q, k, v, at, kAt }) => {
      const dO: Rows = { data: dOut.data, row: heads * headSize, at: h * headSize };
      const dp = p.map((_, j) => dot(dO, at, v, kAt + js[j], headSize));
      const mean = p.reduce((sum, x, j) => sum + x * dp[j], 0);
      p.forEach((x, j) => {
        const ds = scale * x * (dp[j] - mean);
        const to = (kAt + js[j]) * k.row;
        for (let s = 0; s < headSize; s++) {
          grad[at * q.row + q.at + s] += ds * k.data[to + k.at + s];
          grad[to + k.at + s] += ds * q.data[at * q.row + q.at + s];
          grad[to + v.at + s] += x * dO.data[at * dO.row + dO.at + s];
        }
      });
    });
    return [grad];
  },
};

/** Forward against a cache: inputs qkv of the new tokens, cache, ranges; outputs as `ATTENTION`. */
export const ATTENTION_CACHED: Op = {
  name: 'attention_cached',
  infer(inputs, attrs) {
    const layout = headLayout('attention_cached', attrs);
    const [qkv, cache, ranges] = inputs;
    require_('attention_cached', inputs.length === 3, 'qkv, cache and ranges', inputs);
    requireFused('attention_cached', qkv, layout, inputs);
    checkSize('attention_cached', layout.headSize);
    const [B, T] = qkv.shape;
    requireRanges('attention_cached', ranges, B, T, inputs);
    const width = 2 * layout.kvHeads * layout.headSize;
    const float = cache.dtype === 'f32' || cache.dtype === 'f16';
    require_(
      'attention_cached',
      float && cache.shape.length === 3 && cache.shape[0] === B && cache.shape[2] === width,
      `cache must be [${B}, C, ${width}], f32 or f16`,
      inputs,
    );
    return [
      { shape: [B, T, layout.heads * layout.headSize], dtype: qkv.dtype },
      { shape: [B, layout.heads, T], dtype: 'f32' },
    ];
  },
  lower: lowerAttention,
  cost(node) {
    const { heads, headSize } = headLayout('attention_cached', node.attrs);
    const [B, T] = node.inputs[0].shape;
    return { flops: 4 * B * heads * T * node.inputs[1].shape[1] * headSize, bytes: moved([...node.inputs, ...node.outputs]) };
  },
  place: { rule: 'heads', rows: [0, 2] },
  reference([qkv, cache, ranges], attrs) {
    const { kvHeads, headSize } = headLayout('attention_cached', attrs);
    const [, keys, row] = cache.shape;
    return forwardReference(qkv, { data: cache.data, row, keyAt: 0, valueAt: kvHeads * headSize, keys, runs: 2 }, ranges, attrs);
  },
};

const moved = (values: readonly TensorType[]): number => values.reduce((sum, v) => sum + byteSize(v), 0);

const complete = (attrs: AttentionAttrs): Attrs => {
  const { heads, kvHeads, headSize, scale = 1 / Math.sqrt(headSize) } = attrs;
  return { heads, kvHeads, headSize, scale };
};

/**
 * softmax(scale Q K^T) V for each head, over the keys that `ranges` allows.
 * @param qkv [B, T, (H + 2K) S]: H query heads, K key heads, K value heads; query head h reads kv head floor(h / (H / K)).
 * @param ranges u32 [B, T, 4] = lo, hi, qlo, qhi: query t attends keys lo <= j < hi, key t is attended by queries
 *   qlo <= i < qhi. Both must describe the same pairs (`attentionRanges` makes such tables); lo = hi = qlo = qhi = 0 is
 *   padding, whose output and gradients are exactly 0.
 * @returns out [B, T, H S] in qkv's dtype, and stats f32 [B, H, T], the log-sum-exp of each row (0 where it has no keys).
 * @throws ScionError 'plan' for a wrong shape or a head size outside 8 to 256.
 */
export function attention(qkv: Value, ranges: Value, attrs: AttentionAttrs): { out: Value; stats: Value } {
  const [out, stats] = qkv.node.graph.apply(ATTENTION, [qkv, ranges], complete(attrs));
  return { out, stats };
}

/**
 * Attention of new tokens against a KV cache; forward only.
 * @param qkv [B, T, (H + 2K) S] of the new tokens; only its query heads are read: write the cache first (`kvWrite`).
 * @param cache [B, C, 2 K S]: K key heads, then K value heads in each row; f32 or f16.
 * @param ranges u32 [B, T, 4] = two runs lo, hi, lo, hi: query t attends cache rows lo <= j < hi of both, which must not overlap; 0, 0 is none.
 * @returns as `attention`.
 */
export function attentionCached(qkv: Value, cache: Value, ranges: Value, attrs: AttentionAttrs): { out: Value; stats: Value } {
  const [out, stats] = qkv.node.graph.apply(ATTENTION_CACHED, [qkv, cache, ranges], complete(attrs));
  return { out, stats };
}

/**
 * Ranges of one sequence of `T` tokens for `attention`: causal within each document.
 * @param lengths lengths of the packed documents, in order; what is left of T is padding. By default one document of T.
 * @param window a query sees itself and the window - 1 keys before it; 0 for all.
 * @returns u32 [T, 4].
 */
export function attentionRanges(T: number, lengths: readonly number[] = [T], window = 0): Uint32Array<ArrayBuffer> {
  const ranges = new Uint32Array(T * 4);
  let start = 0;
  for (const length of lengths) {
    const end = start + length;
    require_('attentionRanges', length >= 0 && end <= T, `documents must fit in ${T} tokens`, `lengths ${lengths.join(', ')}`);
    for (let t = start; t < end; t++) {
      const lo = window > 0 ? Math.max(start, t - window + 1) : start;
      const qhi = window > 0 ? Math.min(end, t + window) : end;
      ranges.set([lo, t + 1, t, qhi], t * 4);
    }
    start = end;
  }
  return ranges;
}
