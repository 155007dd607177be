/**
 * From attention nodes to kernel launches: one for the forward pass, three for the backward pass
 * (row dots, dQ, dK and dV). Which kernels run is decided by profile and can be forced through
 * `facts.choices.attention`: `naive`.
 */
import type { Node } from '../graph.ts';
import type { Lowering, ParamValue } from '../op.ts';
import { headLayout, readsCache } from '../ops/attention.ts';

/** Vector width of a head size. */
const vecOf = (headSize: number): number => (headSize % 4 === 0 ? 4 : 1);

/** The uniform fields shared by all attention kernels. */
function paramsOf(node: Node, tokens: number, keys: number, cached: boolean, accumulate: boolean): Record<string, ParamValue> {
  const { heads, kvHeads, headSize } = headLayout(node.op.name, node.attrs);
  const size = headSize / vecOf(headSize);
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
    accumulate: accumulate ? 1 : 0,
  };
}

/** Lowers the forward pass, with or without a cache. */
export function lowerAttention(l: Lowering, node: Node): void {
  const { heads, headSize } = headLayout(node.op.name, node.attrs);
  const cached = readsCache(node);
  const [qkv] = node.inputs;
  const ranges = node.inputs[cached ? 2 : 1];
  const [B, T] = qkv.shape;
  const keys = cached ? node.inputs[1].shape[1] : T;
  const VEC = vecOf(headSize);
  l.dispatch({
    kernel: 'attention/attention_naive',
    switches: { VEC, SIZE: headSize / VEC, CACHED: cached, SOURCE: cached ? 'KV' : 'QKV' },
    bind: { QKV: qkv, O: node.outputs[0], R: ranges, L: node.outputs[1], ...(cached ? { KV: node.inputs[1] } : {}) },
    params: paramsOf(node, T, keys, cached, false),
    grid: [Math.ceil(T / 64), heads, B],
  });
}

/** Lowers the backward pass: D, dQ, then dK and dV; all three write or read one scratch of B H T floats. */
export function lowerAttentionGrad(l: Lowering, node: Node): void {
  const { heads, kvHeads, headSize } = headLayout(node.op.name, node.attrs);
  const [dOut, out, qkv, stats, ranges] = node.inputs;
  const [B, T] = qkv.shape;
  const VEC = vecOf(headSize);
  const switches = { VEC, SIZE: headSize / VEC };
  const params = paramsOf(node, T, T, false, l.accumulates(0));
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
  l.dispatch({ kernel: 'attention/attention_grad_q_naive', switches, bind, params, grid: [Math.ceil(T / 64), heads, B], flops: (flops * 3) / 7 });
  l.dispatch({ kernel: 'attention/attention_grad_kv_naive', switches, bind, params, grid: [Math.ceil(T / 64), kvHeads, B], flops: (flops * 4) / 7 });
}
