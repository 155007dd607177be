/**
 * The KV cache of generation: one state [B, C, 2 K S] a layer, written in place. Slots are data, so
 * one program serves every length; a ring (slot = position mod C) gives a sliding window for nothing.
 */
import type { Value } from '../graph.ts';
import { type HeadLayout, headLayout } from '../lower/heads.ts';
import { foldGrid, type Op } from '../op.ts';
import { byteSize, require_, sizeOf } from '../types.ts';
import { requireFused } from './attention.ts';

/** Inputs cache, qkv, slots; output the cache. */
export const KV_WRITE: Op = {
  name: 'kv_write',
  updates: [[0, 0]],
  infer(inputs, attrs) {
    const layout = headLayout('kv_write', attrs);
    const [cache, qkv, slots] = inputs;
    require_('kv_write', inputs.length === 3, 'cache, qkv and slots', inputs);
    requireFused('kv_write', qkv, layout, inputs);
    const [B, T] = qkv.shape;
    const width = 2 * layout.kvHeads * layout.headSize;
    const float = cache.dtype === 'f32' || cache.dtype === 'f16';
    require_(
      'kv_write',
      float && cache.shape.length === 3 && cache.shape[0] === B && cache.shape[2] === width,
      `cache must be [${B}, C, ${width}], f32 or f16`,
      inputs,
    );
    require_(
      'kv_write',
      slots.dtype === 'u32' && slots.shape.length === 2 && slots.shape[0] === B && slots.shape[1] === T,
      `slots must be u32[${B}, ${T}]`,
      inputs,
    );
    return [{ shape: cache.shape, dtype: cache.dtype }];
  },
  lower(l, node) {
    const { heads, kvHeads, headSize } = headLayout('kv_write', node.attrs);
    const [cache, qkv, slots] = node.inputs;
    const VEC = headSize % 4 === 0 ? 4 : 1;
    const [B, T, row] = qkv.shape;
    const width = (2 * kvHeads * headSize) / VEC;
    const n = B * T * width;
    l.dispatch({
      kernel: 'attention/kv',
      switches: { VEC },
      bind: { QKV: qkv, KV: node.outputs[0], SLOTS: slots },
      params: { n, tokens: T, capacity: cache.shape[1], row: row / VEC, keyAt: (heads * headSize) / VEC, width },
      grid: foldGrid(Math.ceil(n / 64)),
    });
  },
  cost(node) {
    const { heads, kvHeads } = headLayout('kv_write', node.attrs);
    const part = (2 * kvHeads) / (heads + 2 * kvHeads);
    return { flops: 0, bytes: 2 * part * byteSize(node.inputs[1]) + byteSize(node.inputs[2]) };
  },
  place: { rule: 'heads', rows: [1, 2] },
  reference([cache, qkv, slots], attrs) {
    const { heads, headSize } = headLayout('kv_write', attrs);
    const [, C, width] = cache.shape;
    const [B, T, row] = qkv.shape;
    const out = Float64Array.from(cache.data);
    for (let i = 0; i < sizeOf([B, T]); i++) {
      const slot = slots.data[i];
      if (slot >= C) continue;
      const to = (Math.floor(i / T) * C + slot) * width;
      for (let c = 0; c < width; c++) out[to + c] = qkv.data[i * row + heads * headSize + c];
    }
    return [out];
  },
};

/**
 * Writes the keys and values of new tokens into the cache, in place.
 * @param cache state [B, C, 2 K S]; f32 or f16.
 * @param qkv [B, T, (H + 2K) S], keys already rotated.
 * @param slots u32 [B, T]: the cache row of each token; C or more (0xffffffff) skips the token. Two tokens of one
 *   sequence must not name one row.
 * @returns the updated cache; read this value afterwards, not the old one.
 */
export function kvWrite(cache: Value, qkv: Value, slots: Value, layout: HeadLayout): Value {
  const { heads, kvHeads, headSize } = layout;
  return cache.node.graph.apply1(KV_WRITE, [cache, qkv, slots], { heads, kvHeads, headSize });
}
