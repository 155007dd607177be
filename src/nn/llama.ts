/**
 * The LLaMA block and its relatives, as ordinary tensor code over the graph. Shapes: B sequences of T
 * tokens, width D, H query and K key/value heads of size S, feed-forward width F, vocabulary V. Residual sums
 * ride in the epilogue of the projections, so that only the layer's input crosses a layer's border.
 */

import { type Graph, type Value, view } from '../tensor/graph.ts';
import { attention, attentionCached, attentionRanges } from '../tensor/ops/attention.ts';
import { bias } from '../tensor/ops/bias.ts';
import type { EmbedSegments } from '../tensor/ops/embed.ts';
import { kvWrite } from '../tensor/ops/kv.ts';
import { noise } from '../tensor/ops/noise.ts';
import { headnorm, rmsnorm } from '../tensor/ops/rmsnorm.ts';
import { rope, ropeTable } from '../tensor/ops/rope.ts';
import { swiglu } from '../tensor/ops/swiglu.ts';
import type { LlamaConfig } from './config.ts';
import { headParameter, type Linear, type LinearOptions, makeLinear, weight } from './linear.ts';

export { attentionRanges, headParameter, weight };

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
  /** Training: f32 [B, T], the size of the noise on each token's embedding (NEFTune). */
  readonly noise?: Value;
  /** Generation: cache state of each layer [B, C, 2KS] and the slot of each new token. */
  readonly cache?: { readonly layers: readonly Value[]; readonly slots: Value };
}

/** How a forward pass is traced. */
export interface HiddenOptions extends LinearOptions {
  /** Positions that the rotary table covers. */
  readonly capacity: number;
  /** The model's matrices, where the caller uses them too (the head); by default made from these options. */
  readonly linear?: Linear;
}

/** The site of NEFTune's noise in its stream; adapters count theirs from 0. */
const NOISE_SITE = 0xffffffff;

/** Final hidden states [B, T, D] after the last norm. With `lora` its adapters take part; with `random` dropout and noise do. */
export function llamaHidden(g: Graph, c: LlamaConfig, inputs: LlamaInputs, options: HiddenOptions): Value {
  const { precision, random, linear = makeLinear(g, c, options) } = options;
  const [B, T] = inputs.ids.shape;
  const layout = { heads: c.numHeads, kvHeads: c.numKvHeads, headSize: c.headSize };
  const spec = { headSize: c.headSize, theta: c.ropeTheta, capacity: options.capacity, ...(c.ropeScaling ? { scaling: c.ropeScaling } : {}) };
  const table = g.constant('rope', [options.capacity, c.headSize / 2, 2], ropeTable(spec));
  const eps = c.rmsNormEps;
  let x = linear.embed(inputs.ids, precision === 'mixed' ? 'f16' : 'f32', inputs.sort);
  if (inputs.noise && random) x = noise(x, inputs.noise, { ...random, site: NOISE_SITE });
  for (let i = 0; i < c.numLayers; i++) {
    const at = `layers.${i}`;
    x = g.segment(at, () => {
      let qkv = linear(rmsnorm(x, g.state(`${at}.attn_norm`), { eps }), `${at}.qkv`);
      if (c.qkvBias) qkv = bias(qkv, g.state(`${at}.qkv_bias`));
      if (c.qkNorm) qkv = headnorm(qkv, g.state(`${at}.q_norm`), g.state(`${at}.k_norm`), { ...layout, eps });
      qkv = rope(qkv, inputs.positions, table, layout);
      const { out } = inputs.cache
        ? attentionCached(qkv, kvWrite(inputs.cache.layers[i], qkv, inputs.cache.slots, layout), inputs.ranges, layout)
        : attention(qkv, inputs.ranges, layout);
      const mid = linear(out, `${at}.o`, { add: x });
      const gated = swiglu(linear(rmsnorm(mid, g.state(`${at}.mlp_norm`), { eps }), `${at}.gate_up`));
      return linear(gated, `${at}.down`, { add: mid });
    });
  }
  return view(rmsnorm(x, g.state('norm'), { eps }), [B, T, c.hiddenSize]);
}
