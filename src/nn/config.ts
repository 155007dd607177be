/**
 * The model's shape, read from and written to Hugging Face's `config.json` (LLaMA 2 and 3, Mistral,
 * Qwen 2 and 3: families with the same blocks). Unknown architectures and impossible numbers are refused
 * with the field's name; fields scion does not use are kept so that a config survives a round trip.
 */
import { z } from 'zod';
import { ScionError } from '../base/errors.ts';
import type { RopeScaling } from '../tensor/ops/rope.ts';

/** Shape letters: V vocabulary, D width, F feed-forward width, H heads, K key/value heads, S head size. */
export interface LlamaConfig {
  readonly modelType: 'llama' | 'mistral' | 'qwen2' | 'qwen3';
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headSize: number;
  readonly maxPositions: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  /** Own position included; null for none. */
  readonly slidingWindow: number | null;
  readonly tied: boolean;
  readonly qkvBias: boolean;
  readonly qkNorm: boolean;
  readonly initializerRange: number;
  readonly bosId: number | null;
  /** Ids that end a text; LLaMA 3's chat models have three. The first is the one that training puts behind a document. */
  readonly eosIds: readonly number[];
  /** Fields of the file that scion does not use, for writing it back. */
  readonly extra: Readonly<Record<string, unknown>>;
}

const count = z.number().int().positive();
const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: count.optional(),
  beta_fast: z.number().optional(),
  beta_slow: z.number().optional(),
  attention_factor: z.number().nullish(),
  mscale: z.number().optional(),
  mscale_all_dim: z.number().optional(),
  truncate: z.boolean().optional(),
});

const fileSchema = z.looseObject({
  model_type: z.enum(['llama', 'mistral', 'qwen2', 'qwen3']),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  hidden_act: z.literal('silu').default('silu'),
  max_position_embeddings: count.default(2048),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().optional(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  sliding_window: count.nullish(),
  use_sliding_window: z.boolean().optional(),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().optional(),
  mlp_bias: z.boolean().optional(),
  initializer_range: z.number().nonnegative().default(0.02),
  bos_token_id: z.number().int().nullish(),
  eos_token_id: z.union([z.number().int(), z.array(z.number().int()).min(1)]).nullish(),
});

function readScaling(raw: z.infer<typeof ropeSchema> | null | undefined, maxPositions: number): RopeScaling | null {
  if (!raw) return null;
  const type = raw.rope_type ?? raw.type ?? 'default';
  if (type === 'default') return null;
  const need = (name: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number => {
    const value = raw[name];
    if (value === undefined) throw new ScionError('input', `config.json: rope scaling "${type}" needs ${name}`);
    return value;
  };
  const originalMaxPositionEmbeddings = raw.original_max_position_embeddings ?? maxPositions;
  switch (type) {
    case 'linear':
      return { type, factor: need('factor') };
    case 'dynamic':
      return { type, factor: need('factor'), originalMaxPositionEmbeddings };
    case 'llama3':
      return { type, factor: need('factor'), lowFreqFactor: need('low_freq_factor'), highFreqFactor: need('high_freq_factor'), originalMaxPositionEmbeddings };
    case 'yarn':
      return {
        type,
        factor: need('factor'),
        originalMaxPositionEmbeddings,
        betaFast: raw.beta_fast,
        betaSlow: raw.beta_slow,
        attentionFactor: raw.attention_factor ?? undefined,
        mscale: raw.mscale,
        mscaleAllDim: raw.mscale_all_dim,
        truncate: raw.truncate,
      };
    default:
      throw new ScionError('input', `config.json: rope type "${type}" is not supported; scion knows default, linear, dynamic, llama3 and yarn`);
  }
}

function writeScaling(s: RopeScaling | null): Record<string, unknown> | null {
  if (!s || s.type === 'default') return null;
  const { type, ...rest } = s as { type: string } & Record<string, unknown>;
  const snake = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
  return {
    rope_type: type,
    ...Object.fromEntries(
      Object.entries(rest)
        .filter(([, v]) => v !== undefined)
        .map(([k, v]) => [snake(k), v]),
    ),
  };
}

/**
 * Reads the object of a `config.json`.
 * @throws ScionError kind `input` naming the field, what it holds and what it may hold.
 */
export function parseConfig(json: unknown, source = 'config.json'): LlamaConfig {
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ScionError('input', `${source}: ${issue.path.join('.') || 'file'}: ${issue.message}`, { issues: parsed.error.issues.length });
  }
  const c = parsed.data;
  const numKvHeads = c.num_key_value_heads ?? c.num_attention_heads;
  if (c.num_attention_heads % numKvHeads !== 0) {
    throw new ScionError('input', `${source}: num_attention_heads ${c.num_attention_heads} is no multiple of num_key_value_heads ${numKvHeads}`);
  }
  if (!c.head_dim && c.hidden_size % c.num_attention_heads !== 0) {
    throw new ScionError('input', `${source}: hidden_size ${c.hidden_size} is no multiple of num_attention_heads ${c.num_attention_heads}; give head_dim`);
  }
  if (c.mlp_bias) throw new ScionError('input', `${source}: mlp_bias is not supported`);
  if (c.attention_bias && c.model_type !== 'qwen2') throw new ScionError('input', `${source}: attention_bias is not supported for ${c.model_type}`);
  const rope = c.rope_parameters ?? c.rope_scaling;
  const known = new Set(Object.keys(fileSchema.shape));
  const windowed = c.model_type === 'mistral' || c.use_sliding_window === true;
  return {
    modelType: c.model_type,
    vocabSize: c.vocab_size,
    hiddenSize: c.hidden_size,
    intermediateSize: c.intermediate_size,
    numLayers: c.num_hidden_layers,
    numHeads: c.num_attention_heads,
    numKvHeads,
    headSize: c.head_dim ?? c.hidden_size / c.num_attention_heads,
    maxPositions: c.max_position_embeddings,
    rmsNormEps: c.rms_norm_eps,
    ropeTheta: c.rope_theta ?? rope?.rope_theta ?? 10000,
    ropeScaling: readScaling(rope, c.max_position_embeddings),
    slidingWindow: windowed ? (c.sliding_window ?? null) : null,
    tied: c.tie_word_embeddings,
    qkvBias: c.model_type === 'qwen2',
    qkNorm: c.model_type === 'qwen3',
    initializerRange: c.initializer_range,
    bosId: c.bos_token_id ?? null,
    eosIds: [c.eos_token_id ?? []].flat(),
    extra: Object.fromEntries(Object.entries(c).filter(([key]) => !known.has(key))),
  };
}

const ARCHITECTURES = { llama: 'LlamaForCausalLM', mistral: 'MistralForCausalLM', qwen2: 'Qwen2ForCausalLM', qwen3: 'Qwen3ForCausalLM' } as const;

/** `eos_token_id` as the files have it: null, a number, or several. */
export const eosTokenId = ({ eosIds }: LlamaConfig): number | readonly number[] | null => (eosIds.length > 1 ? eosIds : (eosIds[0] ?? null));

/** The object to write as `config.json`; transformers, vLLM and llama.cpp read it. */
export function configToJson(c: LlamaConfig, dtype: 'float32' | 'float16' | 'bfloat16' = 'float32'): Record<string, unknown> {
  return {
    ...c.extra,
    architectures: [ARCHITECTURES[c.modelType]],
    model_type: c.modelType,
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.numLayers,
    num_attention_heads: c.numHeads,
    num_key_value_heads: c.numKvHeads,
    head_dim: c.headSize,
    hidden_act: 'silu',
    max_position_embeddings: c.maxPositions,
    rms_norm_eps: c.rmsNormEps,
    rope_theta: c.ropeTheta,
    rope_scaling: writeScaling(c.ropeScaling),
    ...(c.modelType === 'mistral' && { sliding_window: c.slidingWindow }),
    ...(c.modelType.startsWith('qwen') && { use_sliding_window: c.slidingWindow !== null, sliding_window: c.slidingWindow }),
    tie_word_embeddings: c.tied,
    attention_bias: c.qkvBias,
    initializer_range: c.initializerRange,
    bos_token_id: c.bosId,
    eos_token_id: eosTokenId(c),
    torch_dtype: dtype,
  };
}

/** A config for a new model; what is left out takes LLaMA 2's customary values. */
export function makeConfig(
  given: Pick<LlamaConfig, 'vocabSize' | 'hiddenSize' | 'intermediateSize' | 'numLayers' | 'numHeads'> & Partial<LlamaConfig>,
): LlamaConfig {
  return {
    modelType: 'llama',
    numKvHeads: given.numHeads,
    headSize: given.hiddenSize / given.numHeads,
    maxPositions: 2048,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    ropeScaling: null,
    slidingWindow: null,
    tied: false,
    qkvBias: false,
    qkNorm: false,
    initializerRange: 0.02,
    bosId: 1,
    eosIds: [2],
    extra: {},
    ...given,
  };
}

/** Number of parameters. */
export function countParameters(c: LlamaConfig): number {
  const width = (c.numHeads + 2 * c.numKvHeads) * c.headSize;
  const layer =
    2 * c.hiddenSize +
    width * c.hiddenSize +
    (c.qkvBias ? width : 0) +
    (c.qkNorm ? 2 * c.headSize : 0) +
    c.numHeads * c.headSize * c.hiddenSize +
    3 * c.intermediateSize * c.hiddenSize;
  return c.vocabSize * c.hiddenSize * (c.tied ? 1 : 2) + c.numLayers * layer + c.hiddenSize;
}
