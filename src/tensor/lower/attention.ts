/**
 * From attention nodes to kernel launches: one for the forward pass, three for the backward pass
 * (row dots, dQ, dK and dV). Which kernels run is decided by profile and size and can be forced
 * through `facts.choices`: `attention` and `attention_grad`, each `naive`, `rows` or `tile`.
 */
import { ScionError } from '../../base/errors.ts';
import type { Node, Value } from '../graph.ts';
import type { Lowering, Operand, ParamValue } from '../op.ts';
import { headLayout } from './heads.ts';

/** Kernel families: rows of queries (or keys) in a workgroup of each launch, and whether elements go four at a time. */
const FAMILIES = {
  naive: { forward: 64, query: 64, key: 64, wide: false },
  rows: { forward: 32, query: 32, key: 32, wide: false },
  tile: { forward: 64, query: 64, key: 64, wide: true },
} as const;

/** FLOPs of a launch below which compiling the longer kernel takes longer on a CPU adapter than it ever gains. */
const SMALL = 2 ** 23;

type Family = keyof typeof FAMILIES;

/** Picks the kernels of a launch of so many FLOPs. `few`: few tokens meet a cache. */
function chooseAttention(l: Lowering, op: 'attention' | 'attention_grad', flops: number, few = false): Family {
  const forced = l.facts.choices[op];
  if (forced) {
    if (!(forced in FAMILIES)) throw new ScionError('plan', `${op}: no kernels "${forced}"; there are ${Object.keys(FAMILIES).join(', ')}`);
    return forced as Family;
  }
  if (l.facts.profile === 'specialised') return 'tile';
  // A block of rows is mostly empty where few tokens meet a cache.
  if (few) return 'naive';
  return flops < SMALL ? 'naive' : 'rows';
}

/**
 * Elements a load. GPUs take vec4. On CPU adapters a load costs by the element, and compile time by the text, so narrow
 * ones are as fast and compile three times faster; 16-bit storage goes by pairs, since two share a word.
 */
function vecOf(family: Family, headSize: number, pairs: boolean): number {
  if (FAMILIES[family].wide) return headSize % 4 === 0 ? 4 : 1;
  return pairs && headSize % 2 === 0 ? 2 : 1;
}

/** Length of private arrays in units of VEC: few classes, so that head sizes share kernels. */
function sizeClass(headSize: number, vec: number): number {
  return Math.max(16, 2 ** Math.ceil(Math.log2(headSize))) / vec;
}

/** Workgroups of a launch over query rows; the naive kernels fold heads into the first axis. */
function gridOf(family: Family, tokens: number, rows: number, heads: number, batch: number): readonly [number, number, number] {
  return family === 'naive' ? [Math.ceil((tokens * heads) / rows), 1, batch] : [Math.ceil(tokens / rows), heads, batch];
}

/** The uniform fields shared by all attention kernels. */
function paramsOf(node: Node, vec: number, tokens: number, keys: number, cached: boolean, accumulate: boolean): Record<string, ParamValue> {
  const { heads, kvHeads, headSize } = headLayout(node.op.name, node.attrs);
  const size = headSize / vec;
  return {
    tokens,
    keys,
    heads,
    group: heads / kvHeads,
    size,
    qkvRow: (heads + 2 * kvHeads) * size,
    kvRow: cached ? 2 * kvHeads * size : (heads + 2 * kvHeads) * size,
    keyAt: cached ? 0 : heads * size,
    valueAt: cached ? kvHeads * size : (heads + kvHeads) * size,
    scale: node.attrs.scale as number,
    rows: 4,
    accumulate: accumulate ? 1 : 0,
  };
}

/** Fused rows [B, T, (H + 2K) S] that attention reads, on their own or as scratch of a node that has attributes of attention. */
interface Fused {
  readonly qkv: Operand;
  readonly ranges: Value;
  readonly B: number;
  readonly T: number;
  /** Scratch has no dtype: true where it holds 16 bits. */
  readonly half: boolean;
}

/** One forward launch over fused rows, of `flops`. */
export function launchAttention(l: Lowering, node: Node, on: Fused & { readonly out: Operand; readonly stats: Operand; readonly flops: number }): void {
  const { heads, headSize } = headLayout(node.op.name, node.attrs);
  const family = chooseAttention(l, 'attention', on.flops);
  const VEC = vecOf(family, headSize, family === 'rows' || on.half);
  l.dispatch({
    kernel: `attention/attention_${family}`,
    switches: { VEC, SIZE: sizeClass(headSize, VEC), CACHED: false, SOURCE: 'QKV', ...(on.half && { QKV_F16: true, O_F16: true }) },
    bind: { QKV: on.qkv, O: on.out, R: on.ranges, L: on.stats },
    params: paramsOf(node, VEC, on.T, on.T, false, false),
    grid: gridOf(family, on.T, FAMILIES[family].forward, heads, on.B),
    flops: on.flops,
  });
}

/** Lowers the forward pass, with or without a cache. */
export function lowerAttention(l: Lowering, node: Node): void {
  const { heads, headSize } = headLayout(node.op.name, node.attrs);
  const cached = node.op.name === 'attention_cached';
  const [qkv] = node.inputs;
  const [B, T] = qkv.shape;
  const { flops } = node.op.cost(node);
  // The forward pass reads pairs in f32 too: a fifth faster, and its kernel compiles in time all the same.
  if (!cached) {
    launchAttention(l, node, { qkv, ranges: node.inputs[1], B, T, half: qkv.dtype === 'f16', out: node.outputs[0], stats: node.outputs[1], flops });
    return;
  }
  const family = chooseAttention(l, 'attention', flops, T < 8);
  const VEC = vecOf(family, headSize, family === 'rows' || node.inputs.slice(0, 2).some((v) => v.dtype === 'f16'));
  l.dispatch({
    kernel: `attention/attention_${family}`,
    switches: { VEC, SIZE: sizeClass(headSize, VEC), CACHED: true, SOURCE: 'KV' },
    bind: { QKV: qkv, O: node.outputs[0], R: node.inputs[2], L: node.outputs[1], KV: node.inputs[1] },
    params: paramsOf(node, VEC, T, node.inputs[1].shape[1], true, false),
    grid: gridOf(family, T, FAMILIES[family].forward, heads, B),
  });
}

/** What the launches of a backward pass share: row dots are made once, whatever blocks of keys follow. */
export interface AttentionBackward {
  /** D = rowsum(dO O). */
  dots(): void;
  /** The gradient by the queries, over the keys of these rows. */
  query(on: Fused, into: Operand, accumulate: boolean): void;
  /** The gradients by the keys and values of these rows. */
  keys(on: Fused, into: Operand, accumulate: boolean): void;
}

/** Backward launches of a node with attributes of attention; `flops` are those of one `query` and one `keys` together. `pairs`: an operand holds 16 bits. */
export function attentionBackward(
  l: Lowering,
  node: Node,
  given: { readonly dOut: Value; readonly out: Value; readonly stats: Value; readonly flops: number; readonly pairs: boolean },
): AttentionBackward {
  const { heads, kvHeads, headSize } = headLayout(node.op.name, node.attrs);
  const { dOut, out, stats, flops, pairs } = given;
  const [B, T] = out.shape;
  const family = chooseAttention(l, 'attention_grad', flops);
  const { query, key } = FAMILIES[family];
  const VEC = vecOf(family, headSize, pairs);
  const params = (accumulate: boolean) => paramsOf(node, VEC, T, T, false, accumulate);
  const dots = l.scratch(B * heads * T * 4);
  const common = (on: Fused, into: Operand) => ({
    switches: { VEC, SIZE: sizeClass(headSize, VEC), ...(on.half && { QKV_F16: true }) },
    bind: { QKV: on.qkv, DO: dOut, DQKV: into, R: on.ranges, L: stats, D: dots },
  });
  return {
    dots: () =>
      l.dispatch({
        kernel: 'attention/attention_grad_dot',
        switches: { VEC },
        bind: { DO: dOut, O: out, D: dots },
        params: params(false),
        grid: [Math.ceil(T / 64), heads, B],
        flops: 2 * B * heads * T * headSize,
      }),
    query: (on, into, accumulate) =>
      l.dispatch({
        kernel: `attention/attention_grad_q_${family}`,
        ...common(on, into),
        params: params(accumulate),
        grid: gridOf(family, T, query, heads, B),
        flops: (flops * 3) / 7,
      }),
    keys: (on, into, accumulate) =>
      l.dispatch({
        kernel: `attention/attention_grad_kv_${family}`,
        ...common(on, into),
        params: params(accumulate),
        grid: [Math.ceil(T / key), kvHeads, B],
        flops: (flops * 4) / 7,
      }),
  };
}

/** Lowers the backward pass: D, dQ, then dK and dV; all three write or read one scratch of B H T floats. */
export function lowerAttentionGrad(l: Lowering, node: Node): void {
  const [dOut, out, qkv, stats, ranges] = node.inputs;
  const [dqkv] = node.outputs;
  const [B, T] = qkv.shape;
  const pairs = [dOut, qkv, dqkv].some((v) => v.dtype === 'f16');
  const backward = attentionBackward(l, node, { dOut, out, stats, flops: node.op.cost(node).flops, pairs });
  const fused: Fused = { qkv, ranges, B, T, half: qkv.dtype === 'f16' };
  backward.dots();
  backward.query(fused, dqkv, l.accumulates(0));
  backward.keys(fused, dqkv, l.accumulates(0));
}
