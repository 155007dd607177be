/**
 * The LLaMA block and its relatives, as ordinary tensor code over the graph. Shapes: B sequences of T
 * tokens, width D, H query and K key/value heads of size S, feed-forward width F, vocabulary V. Residual sums
 * ride in the epilogue of the projections, so that only the layer's input crosses a layer's border.
 */

import { type Graph, type Value, view } from '../tensor/graph.ts';
import { attention, attentionCached, attentionRanges } from '../tensor/ops/attention.ts';
import { bias } from '../tensor/ops/bias.ts';
import { type EmbedSegments, embed } from '../tensor/ops/embed.ts';
import { kvWrite } from '../tensor/ops/kv.ts';
import { matmul } from '../tensor/ops/matmul.ts';
import { headnorm, rmsnorm } from '../tensor/ops/rmsnorm.ts';
import { rope, ropeTable } from '../tensor/ops/rope.ts';
import { swiglu } from '../tensor/ops/swiglu.ts';
import type { LlamaConfig } from './config.ts';
import { type Precision, weightName } from './parameters.ts';

export { attentionRanges };

/** Step data of a forward pass. */
export interface LlamaInputs {
  /** u32 [B, T]. */
  readonly ids: Value;
  /** u32 [B, T], restarting with each document. */
  readonly positions: Value;
  /** u32 [B, T, 4]; see `attention`. */
  readonly ranges: Value;
  /** Positions sorted by id, for the embedding's gradient. */
  readonly sort?: EmbedSegments;
  /** Generation: cache state of each layer [B, C, 2KS] and the slot of each new token. */
  readonly cache?: { readonly layers: readonly Value[]; readonly slots: Value };
}

/** A matrix in the precision of the forward pass. */
export function weight(g: Graph, name: string, precision: Precision): Value {
  return g.state(precision === 'mixed' ? weightName(name) : name);
}

/** The name of the matrix that the head multiplies with. */
export function headParameter(c: LlamaConfig): string {
  return c.tied ? 'embed' : 'head';
}

/** Final hidden states [B, T, D] after the last norm; `capacity` is the number of positions the rotary table covers. */
export function llamaHidden(g: Graph, c: LlamaConfig, inputs: LlamaInputs, options: { precision: Precision; capacity: number }): Value {
  const { precision } = options;
  const [B, T] = inputs.ids.shape;
  const layout = { heads: c.numHeads, kvHeads: c.numKvHeads, headSize: c.headSize };
  const spec = { headSize: c.headSize, theta: c.ropeTheta, capacity: options.capacity, ...(c.ropeScaling ? { scaling: c.ropeScaling } : {}) };
  const table = g.constant('rope', [options.capacity, c.headSize / 2, 2], ropeTable(spec));
  const w = (name: string) => weight(g, name, precision);
  const eps = c.rmsNormEps;
  let x = embed(w('embed'), inputs.ids, { dtype: precision === 'mixed' ? 'f16' : 'f32', ...inputs.sort });
  for (let i = 0; i < c.numLayers; i++) {
    const at = `layers.${i}`;
    x = g.segment(at, () => {
      let qkv = matmul(rmsnorm(x, g.state(`${at}.attn_norm`), { eps }), w(`${at}.qkv`), { transposeB: true });
      if (c.qkvBias) qkv = bias(qkv, g.state(`${at}.qkv_bias`));
      if (c.qkNorm) qkv = headnorm(qkv, g.state(`${at}.q_norm`), g.state(`${at}.k_norm`), { ...layout, eps });
      qkv = rope(qkv, inputs.positions, table, layout);
      const { out } = inputs.cache
        ? attentionCached(qkv, kvWrite(inputs.cache.layers[i], qkv, inputs.cache.slots, layout), inputs.ranges, layout)
        : attention(qkv, inputs.ranges, layout);
      const mid = matmul(out, w(`${at}.o`), { transposeB: true, add: x });
      const gated = swiglu(matmul(rmsnorm(mid, g.state(`${at}.mlp_norm`), { eps }), w(`${at}.gate_up`), { transposeB: true }));
      return matmul(gated, w(`${at}.down`), { transposeB: true, add: mid });
    });
  }
  return view(rmsnorm(x, g.state('norm'), { eps }), [B, T, c.hiddenSize]);
}
