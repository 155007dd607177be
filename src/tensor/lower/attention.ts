/**
 * From attention nodes to kernel launches: one for the forward pass, three for the backward pass
 * (row dots, dQ, dK and dV). Which kernels run is decided by profile and size and can be forced
 * through `facts.choices`: `attention` and `attention_grad`, each `naive`, `rows` or `tile`.
 */
import { ScionError } from '../../base/errors.ts';
import type { Node } from '../graph.ts';
import type { Lowering, ParamValue } from '../op.ts';
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

/** Picks the kernels of a node. */
function chooseAttention(l: Lowering, node: Node): Family {
  const op = node.op.name === 'attention_cached' ? 'attention' : node.op.name;
  const forced = l.facts.choices[op];
  if (forced) {
    if (!(forced in FAMILIES)) throw new ScionError('plan', `${op}: no kernels "${forced}"; there are ${Object.keys(FAMILIES).join(', ')}`);
    return forced as Family;
  }
  if (l.facts.profile === 'specialised') return 'tile';
  // A block of rows is mostly empty where few tokens meet a cache.
  if (node.op.name === 'attention_cached' && node.inputs[0].shape[1] < 8) return 'naive';
  return node.op.cost(node).flops < SMALL ? 'naive' : 'rows';
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

/** Lowers the forward pass, with or without a cache. */
export function lowerAttention(l: Lowering, node: Node): void {
  const { heads, headSize } = headLayout(node.op.name, node.attrs);
  const cached = node.op.name === 'attention_cached';
  const [qkv] = node.inputs;
  const ranges = node.inputs[cached ? 2 : 1];
  const [B, T] = qkv.shape;
  const keys = cached ? node.inputs[1].shape[1] : T;
  const family = chooseAttention(l, node);
  // The forward pass reads pairs in f32 too: a fifth faster, and its kernel compiles in time all the same.
  const VEC = vecOf(family, headSize, family === 'rows' || node.inputs.slice(0, cached ? 2 : 1).some((v) => v.dtype === 'f16'));
  l.dispatch({
    kernel: `attention/attention_${family}`,
    switches: { VEC, SIZE: sizeClass(headSize, VEC), CACHED: cached, SOURCE: cached ? 'KV' : 'QKV' },
    bind: { QKV: qkv, O: node.outputs[0], R: ranges, L: node.outputs[1], ...(cached ? { KV: node.inputs[1] } : {}) },
    params: paramsOf(node, VEC, T, keys, cached, false),
    grid: gridOf(family, T, FAMILIES[family].forward, heads, B),
  });
}

/** Lowers the backward pass: D, dQ, then dK and dV; all three write or read one scratch of B H T floats. */
export function lowerAttentionGrad(l: Lowering, node: Node): void {
  const { heads, kvHeads, headSize } = headLayout(node.op.name, node.attrs);
  const [dOut, out, qkv, stats, ranges] = node.inputs;
  const [B, T] = qkv.shape;
  const family = chooseAttention(l, node);
  const { query, key } = FAMILIES[family];
  const VEC = vecOf(
    family,
    headSize,
    [dOut, qkv, node.outputs[0]].some((v) => v.dtype === 'f16'),
  );
  const switches = { VEC, SIZE: sizeClass(headSize, VEC) };
  const params = paramsOf(node, VEC, T, T, false, l.accumulates(0));
  const dots = l.scratch(B * heads * T * 4);
  const { flops } = node.op.cost(node);
  l.dispatch({
    kernel: 'attention/attention_grad_dot',
    switches: { VEC },
    bind: { DO: dOut, O: out, D: dots },
    params,
    grid: [Math.ceil(T / 64), heads, B],
    flops: 2 * B * heads * T * headSize,
  });
  const bind = { QKV: qkv, DO: dOut, DQKV: node.outputs[0], R: ranges, L: stats, D: dots };
  l.dispatch({ kernel: `attention/attention_grad_q_${family}`, switches, bind, params, grid: gridOf(family, T, query, heads, B), flops: (flops * 3) / 7 });
  l.dispatch({ kernel: `attention/attention_grad_kv_${family}`, switches, bind, params, grid: [Math.ceil(T / key), kvHeads, B], flops: (flops * 4) / 7 });
}
