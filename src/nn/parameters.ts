/**
 * The parameters of a LLaMA-family model: which tensors there are, how q, k, v and gate, up are fused
 * inside, and which views of them carry Hugging Face's names. Import, export, LoRA targets, trainable sets, decay groups and
 * tensor parallelism all read this list; nothing else knows both namings.
 */
import { Random } from '../base/random.ts';
import type { QuantBits } from '../tensor/quantize.ts';
import type { States } from '../tensor/states.ts';
import { type Shape, sizeOf } from '../tensor/types.ts';
import type { LlamaConfig } from './config.ts';
import { declareQuantised, quantBitsOf } from './quantized.ts';

/** One parameter as scion holds it. Matrices are [out, in], row-major, as Hugging Face stores them. */
export interface Parameter {
  readonly name: string;
  readonly shape: Shape;
  /** `decay`: matrices of the layers. `vocab`: embedding and head. `plain`: norms and biases. `lora`: adapters of matrices. */
  readonly group: 'decay' | 'vocab' | 'plain' | 'lora';
  /** Standard deviation of a normal start, bound of a uniform one, or a constant. */
  readonly init: { readonly normal: number } | { readonly uniform: number } | { readonly constant: number };
  /** Part of an adapter beside the model: f32 always. */
  readonly adapter?: true;
}

/** A Hugging Face tensor as rows of a parameter. */
export interface HfView {
  readonly hf: string;
  readonly parameter: string;
  /** First row in the parameter, and the tensor's own shape. */
  readonly row: number;
  readonly shape: Shape;
}

/** `f32` everywhere; `mixed`: 16-bit weights and activations, f32 masters, gradients and statistics. */
export type Precision = 'f32' | 'mixed';

/** All parameters, in the order they lie in memory. Output projections start smaller by sqrt(2 layers) (GPT-2). */
export function listParameters(c: LlamaConfig): Parameter[] {
  const D = c.hiddenSize;
  const qkv = (c.numHeads + 2 * c.numKvHeads) * c.headSize;
  const deep = 1 / Math.sqrt(2 * c.numLayers);
  const matrix = (name: string, shape: Shape, scale = 1): Parameter => ({ name, shape, group: 'decay', init: { normal: c.initializerRange * scale } });
  const table = (name: string): Parameter => ({ ...matrix(name, [c.vocabSize, D]), group: 'vocab' });
  const vector = (name: string, size: number, constant: number): Parameter => ({ name, shape: [size], group: 'plain', init: { constant } });
  const out: Parameter[] = [table('embed')];
  for (let i = 0; i < c.numLayers; i++) {
    const at = `layers.${i}`;
    out.push(vector(`${at}.attn_norm`, D, 1), matrix(`${at}.qkv`, [qkv, D]));
    if (c.qkvBias) out.push(vector(`${at}.qkv_bias`, qkv, 0));
    if (c.qkNorm) out.push(vector(`${at}.q_norm`, c.headSize, 1), vector(`${at}.k_norm`, c.headSize, 1));
    out.push(matrix(`${at}.o`, [D, c.numHeads * c.headSize], deep), vector(`${at}.mlp_norm`, D, 1));
    out.push(matrix(`${at}.gate_up`, [2 * c.intermediateSize, D]), matrix(`${at}.down`, [D, c.intermediateSize], deep));
  }
  out.push(vector('norm', D, 1));
  if (!c.tied) out.push(table('head'));
  return out;
}

/** Every Hugging Face tensor as a view of a parameter; together they cover all parameters exactly. */
export function listHfViews(c: LlamaConfig): HfView[] {
  const D = c.hiddenSize;
  const q = c.numHeads * c.headSize;
  const kv = c.numKvHeads * c.headSize;
  const F = c.intermediateSize;
  const out: HfView[] = [{ hf: 'model.embed_tokens.weight', parameter: 'embed', row: 0, shape: [c.vocabSize, D] }];
  for (let i = 0; i < c.numLayers; i++) {
    const at = `layers.${i}`;
    const hf = `model.layers.${i}`;
    out.push({ hf: `${hf}.input_layernorm.weight`, parameter: `${at}.attn_norm`, row: 0, shape: [D] });
    out.push({ hf: `${hf}.self_attn.q_proj.weight`, parameter: `${at}.qkv`, row: 0, shape: [q, D] });
    out.push({ hf: `${hf}.self_attn.k_proj.weight`, parameter: `${at}.qkv`, row: q, shape: [kv, D] });
    out.push({ hf: `${hf}.self_attn.v_proj.weight`, parameter: `${at}.qkv`, row: q + kv, shape: [kv, D] });
    if (c.qkvBias) {
      out.push({ hf: `${hf}.self_attn.q_proj.bias`, parameter: `${at}.qkv_bias`, row: 0, shape: [q] });
      out.push({ hf: `${hf}.self_attn.k_proj.bias`, parameter: `${at}.qkv_bias`, row: q, shape: [kv] });
      out.push({ hf: `${hf}.self_attn.v_proj.bias`, parameter: `${at}.qkv_bias`, row: q + kv, shape: [kv] });
    }
    if (c.qkNorm) {
      out.push({ hf: `${hf}.self_attn.q_norm.weight`, parameter: `${at}.q_norm`, row: 0, shape: [c.headSize] });
      out.push({ hf: `${hf}.self_attn.k_norm.weight`, parameter: `${at}.k_norm`, row: 0, shape: [c.headSize] });
    }
    out.push({ hf: `${hf}.self_attn.o_proj.weight`, parameter: `${at}.o`, row: 0, shape: [D, q] });
    out.push({ hf: `${hf}.post_attention_layernorm.weight`, parameter: `${at}.mlp_norm`, row: 0, shape: [D] });
    out.push({ hf: `${hf}.mlp.gate_proj.weight`, parameter: `${at}.gate_up`, row: 0, shape: [F, D] });
    out.push({ hf: `${hf}.mlp.up_proj.weight`, parameter: `${at}.gate_up`, row: F, shape: [F, D] });
    out.push({ hf: `${hf}.mlp.down_proj.weight`, parameter: `${at}.down`, row: 0, shape: [D, F] });
  }
  out.push({ hf: 'model.norm.weight', parameter: 'norm', row: 0, shape: [D] });
  if (!c.tied) out.push({ hf: 'lm_head.weight', parameter: 'head', row: 0, shape: [c.vocabSize, D] });
  return out;
}

/** Name of a parameter's 16-bit copy, gradient, moments and moving average among the states. */
export const weightName = (name: string): string => `weight:${name}`;
export const gradName = (name: string): string => `grad:${name}`;
export const emaName = (name: string): string => `ema:${name}`;
export const momentName = (which: 1 | 2, name: string): string => `moment${which}:${name}`;

/** True for what has a 16-bit copy in mixed precision: the model's own matrices. */
export const isMatrix = (p: Parameter): boolean => p.shape.length === 2 && !p.adapter;

/** The group of states that do not learn: no gradient, no moments, no f32 master beside a 16-bit weight. */
export const FROZEN = 'frozen';

/** What a model is declared for. */
export interface DeclareOptions {
  readonly precision: Precision;
  /** Gradients and the optimizer's moments (2 for AdamW, 1 for SGD), and a moving average if asked for; null for inference. */
  readonly train: { readonly moments: 1 | 2; readonly ema?: boolean } | null;
  /** The state group of a parameter, `FROZEN` where it does not learn; by default its own. */
  readonly groupOf?: (p: Parameter) => string;
  /** Frozen matrices are stored in 16 bits whatever the precision. */
  readonly halfBase?: boolean;
  /** Frozen matrices of the layers are stored block quantised in so many bits, whatever the precision. */
  readonly quantBase?: QuantBits;
  /** Declared behind the model's own. */
  readonly adapters?: readonly Parameter[];
  /** Inference: states of another session, whose groups are followed so that its buffers can be shared. */
  readonly like?: States;
}

/**
 * Declares a model's states. In mixed precision the f32 masters of matrices exist only where they learn; kinds of one
 * group hold the same parameters in the same order, so that one offset serves them all.
 */
export function declareModel(states: States, c: LlamaConfig, options: DeclareOptions): Parameter[] {
  const { like, train } = options;
  const parameters = [...listParameters(c), ...(options.adapters ?? [])];
  const groupOf = (p: Parameter): string => (like?.get(weightName(p.name)) ?? like?.get(p.name))?.group ?? options.groupOf?.(p) ?? p.group;
  const learns = (p: Parameter): boolean => train !== null && groupOf(p) !== FROZEN;
  const quant = (p: Parameter): QuantBits | null => {
    if (!isMatrix(p) || p.group !== 'decay') return null;
    return like ? quantBitsOf(like, p.name, p.shape[1]) : groupOf(p) === FROZEN ? (options.quantBase ?? null) : null;
  };
  const half = (p: Parameter): boolean => {
    if (!isMatrix(p) || quant(p)) return false;
    // A frozen matrix of another session may exist in 16 bits alone, whatever the precision here.
    const halfAlone = like?.get(weightName(p.name)) !== undefined && !like.get(p.name);
    return options.precision === 'mixed' || halfAlone || (options.halfBase === true && groupOf(p) === FROZEN);
  };
  const kinds: [
    prefix: (n: string) => string,
    kind: 'param' | 'weight' | 'grad' | 'moment1' | 'moment2' | 'ema',
    dtype: 'f32' | 'f16',
    wanted: (p: Parameter) => boolean,
  ][] = [
    [(n) => n, 'param', 'f32', (p) => learns(p) || !(half(p) || quant(p))],
    [weightName, 'weight', 'f16', half],
    [gradName, 'grad', 'f32', learns],
    [(n) => momentName(1, n), 'moment1', 'f32', learns],
    [(n) => momentName(2, n), 'moment2', 'f32', (p) => learns(p) && train?.moments === 2],
    [emaName, 'ema', 'f32', (p) => learns(p) && train?.ema === true],
  ];
  for (const [prefix, kind, dtype, wanted] of kinds) {
    for (const p of parameters) if (wanted(p)) states.declare(prefix(p.name), kind, groupOf(p), p.shape, dtype);
  }
  for (const p of parameters) {
    const bits = quant(p);
    if (bits) declareQuantised(states, p.name, p.shape, bits);
  }
  return parameters;
}

/** Initial values of a parameter: a stream of its own under the seed, so that adding a parameter changes no other. */
export function initialValues(p: Parameter, seed: number): Float32Array {
  const out = new Float32Array(sizeOf(p.shape));
  if ('constant' in p.init) return out.fill(p.init.constant);
  // FNV-1a of the name.
  let stream = 2166136261;
  for (const ch of p.name) stream = Math.imul(stream ^ ch.charCodeAt(0), 16777619) >>> 0;
  const random = new Random(seed, stream);
  if ('uniform' in p.init) for (let i = 0; i < out.length; i++) out[i] = p.init.uniform * (2 * random.uniform() - 1);
  else for (let i = 0; i < out.length; i++) out[i] = p.init.normal * random.normal();
  return out;
}
