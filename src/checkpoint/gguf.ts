/**
 * Models from and to GGUF under llama.cpp's names. Its `llama` architecture rotates interleaved pairs, so q and k
 * change their row order on the way (its qwen architectures do not); vectors stay f32 as its kernels demand; LLaMA 3's
 * rope scaling travels as a table of divisors. What GGUF cannot say is refused or told as a warning, never dropped in silence.
 */
import { ScionError } from '../base/errors.ts';
import { baseName, dirName } from '../base/path.ts';
import { newRunId } from '../base/run-id.ts';
import { encodeF32 } from '../formats/dtypes.ts';
import { type GgufFile, type GgufScalar, type GgufValue, openGguf } from '../formats/gguf.ts';
import { type GgufEntry, writeGguf } from '../formats/gguf-write.ts';
import { MODEL, type SentencePieceModel } from '../formats/sentencepiece.ts';
import type { HostFiles } from '../host/types.ts';
import { type LlamaConfig, makeConfig } from '../nn/config.ts';
import { type HfView, listHfViews } from '../nn/parameters.ts';
import { type RopeScaling, ropeFrequencies } from '../tensor/ops/rope.ts';
import { sizeOf } from '../tensor/types.ts';
import { makeDurableDir } from './folders.ts';
import { type ExportDtype, encodeView, lastOne } from './hf.ts';
import { assembler, checkTensors, cutView, type ModelSource, permuteRotary, type ReadParameter, rotatedHeads } from './source.ts';

/** llama.cpp's names by Hugging Face's, for the whole model and within a layer. */
const MODEL_NAMES: Readonly<Record<string, string>> = { 'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', lm_head: 'output' };
const LAYER_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};
const ROPE_FREQS = 'rope_freqs.weight';
/** `general.file_type`, ggml's number for "mostly" this type. */
const FILE_TYPES = { f32: 0, f16: 1, bf16: 32 } as const;

/** `blk.3.attn_q.weight` for `model.layers.3.self_attn.q_proj.weight`. */
export function ggufName(hf: string): string {
  const [, body, end] = /^(.*)\.(weight|bias)$/.exec(hf) ?? [];
  const layer = /^model\.layers\.(\d+)\.(.*)$/.exec(body ?? '');
  const name = layer ? LAYER_NAMES[layer[2]] : MODEL_NAMES[body ?? ''];
  if (name === undefined) throw new ScionError('internal', `${hf} has no name in GGUF`, { hf });
  return layer ? `blk.${layer[1]}.${name}.${end}` : `${name}.${end}`;
}

const ggufViewName = (view: HfView): string => ggufName(view.hf);

/** Architecture in llama.cpp's sense; Mistral is one of its llamas. */
const architectureOf = (config: LlamaConfig): string => (config.modelType === 'mistral' ? 'llama' : config.modelType);
const rotatesPairs = (architecture: string): boolean => architecture === 'llama';

/** Divisors of the rotary frequencies under LLaMA 3's scaling, one a pair. */
function llama3Divisors(headSize: number, theta: number, scaling: RopeScaling, capacity: number): Float32Array {
  const plain = ropeFrequencies({ headSize, theta, capacity }).frequencies;
  const scaled = ropeFrequencies({ headSize, theta, capacity, scaling }).frequencies;
  return Float32Array.from(plain, (f, i) => f / scaled[i]);
}

/** Typed reading of a file's metadata, errors with key and value. */
class Metadata {
  readonly architecture: string;
  private readonly file: GgufFile;

  constructor(file: GgufFile) {
    this.file = file;
    const name = file.metadata.get('general.architecture')?.value;
    if (name !== 'llama' && name !== 'qwen2' && name !== 'qwen3') {
      throw new ScionError('input', `${file.name}: general.architecture is ${JSON.stringify(name)}; llama, qwen2 and qwen3 are read`, { architecture: name });
    }
    this.architecture = name;
  }

  private get(key: string): GgufScalar | undefined {
    const found = this.file.metadata.get(key);
    if (found?.type === 'array')
      throw new ScionError('input', `${this.file.name}: ${key} is an array (one value a layer); models whose layers differ are not read`, { key });
    return found?.value;
  }

  text(key: string): string | undefined {
    const value = this.get(`${this.architecture}.${key}`);
    return typeof value === 'string' ? value : undefined;
  }

  /** A number of the architecture, or under its full name with `whole`. */
  optional(key: string, whole = false): number | undefined {
    const value = this.get(whole ? key : `${this.architecture}.${key}`);
    if (value === undefined) return undefined;
    const number = typeof value === 'bigint' ? Number(value) : value;
    if (typeof number !== 'number') throw new ScionError('input', `${this.file.name}: ${key} is ${JSON.stringify(number)}; a number is needed`, { key });
    return number;
  }

  number(key: string): number {
    const value = this.optional(key);
    if (value === undefined) throw new ScionError('input', `${this.file.name}: ${this.architecture}.${key} is missing`, { key });
    return value;
  }

  count(key: string): number {
    const value = this.number(key);
    if (!Number.isSafeInteger(value) || value < 1)
      throw new ScionError('input', `${this.file.name}: ${this.architecture}.${key} is ${value}; a natural number is needed`, { key, value });
    return value;
  }
}

/** The number with the fewest digits that rounds to the same f32: 1e-5 instead of 9.999999747378752e-6. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

async function readScaling(file: GgufFile, meta: Metadata, headSize: number, theta: number, maxPositions: number): Promise<RopeScaling | null> {
  if (file.tensors.has(ROPE_FREQS)) {
    const divisors = await file.readF32(ROPE_FREQS);
    const factor = shortest(Math.max(...divisors));
    const frequencies = ropeFrequencies({ headSize, theta, capacity: maxPositions }).frequencies;
    // The table does not say what it was made from. Every published LLaMA 3 blends between 1 and 4 turns over the original
    // length, so each blended pair tells that length; without one, the common length is tried.
    const lengths = new Set([8192]);
    divisors.forEach((d, i) => {
      const keep = (1 / d - 1 / factor) / (1 - 1 / factor);
      if (keep > 0.01 && keep < 0.99) lengths.add(Math.round(((1 + 3 * keep) * 2 * Math.PI) / frequencies[i]));
    });
    for (const originalMaxPositionEmbeddings of lengths) {
      const scaling: RopeScaling = { type: 'llama3', factor, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings };
      const made = llama3Divisors(headSize, theta, scaling, maxPositions);
      // 1e-5: the table was made in f32 by another program.
      if (made.length === divisors.length && made.every((d, i) => Math.abs(d - divisors[i]) <= 1e-5 * d)) return scaling;
    }
    throw new ScionError(
      'input',
      `${file.name}: ${ROPE_FREQS} is no table of LLaMA 3's rope scaling with factors 1 and 4 (its largest divisor is ${factor}); import the Hugging Face folder instead`,
    );
  }
  const type = meta.text('rope.scaling.type') ?? 'none';
  if (type === 'none') return null;
  const factor = meta.number('rope.scaling.factor');
  if (type === 'linear') return factor === 1 ? null : { type, factor };
  if (type === 'yarn') return { type, factor, originalMaxPositionEmbeddings: meta.optional('rope.scaling.original_context_length') ?? maxPositions };
  throw new ScionError('input', `${file.name}: rope.scaling.type is ${JSON.stringify(type)}; none, linear and yarn are read`, { type });
}

async function readConfig(file: GgufFile): Promise<LlamaConfig> {
  const meta = new Metadata(file);
  const { architecture } = meta;
  const numHeads = meta.count('attention.head_count');
  const hiddenSize = meta.count('embedding_length');
  const headSize = meta.optional('attention.key_length') ?? hiddenSize / numHeads;
  const rotated = meta.optional('rope.dimension_count') ?? headSize;
  if (rotated !== headSize || !Number.isInteger(headSize / 2)) {
    throw new ScionError('input', `${file.name}: heads of ${headSize} of which ${rotated} are rotated; an even size rotated as a whole is needed`, {
      headSize,
      rotated,
    });
  }
  const maxPositions = meta.count('context_length');
  const ropeTheta = shortest(meta.optional('rope.freq_base') ?? 10000);
  const slidingWindow = meta.optional('attention.sliding_window') || null;
  const embedding = file.tensors.get('token_embd.weight');
  if (embedding?.shape.length !== 2) throw new ScionError('input', `${file.name} has no matrix token_embd.weight`);
  return makeConfig({
    modelType: architecture === 'llama' ? (slidingWindow === null ? 'llama' : 'mistral') : (architecture as 'qwen2' | 'qwen3'),
    vocabSize: embedding.shape[0],
    hiddenSize,
    intermediateSize: meta.count('feed_forward_length'),
    numLayers: meta.count('block_count'),
    numHeads,
    numKvHeads: meta.optional('attention.head_count_kv') ?? numHeads,
    headSize,
    maxPositions,
    rmsNormEps: shortest(meta.number('attention.layer_norm_rms_epsilon')),
    ropeTheta,
    ropeScaling: await readScaling(file, meta, headSize, ropeTheta, maxPositions),
    slidingWindow,
    tied: !file.tensors.has('output.weight'),
    qkvBias: architecture === 'qwen2',
    qkNorm: architecture === 'qwen3',
    bosId: meta.optional('tokenizer.ggml.bos_token_id', true) ?? null,
    eosIds: [meta.optional('tokenizer.ggml.eos_token_id', true) ?? []].flat(),
  });
}

/** An open GGUF model. */
export interface GgufSource extends ModelSource {
  /** All keys, the tokenizer's among them. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

/**
 * Opens a GGUF model of F32, F16, BF16 or Q8_0 tensors.
 * @throws ScionError `input` for other architectures, element types, scalings and for missing or wrong-shaped tensors.
 */
export async function importGguf(files: HostFiles, path: string): Promise<GgufSource> {
  const reader = await files.open(path);
  try {
    const file = await openGguf(reader, baseName(path));
    const config = await readConfig(file);
    checkTensors(file.name, config, file.tensors, (name) => name === ROPE_FREQS, ggufViewName);
    const quantised = [...file.tensors.values()].find((t) => !['F32', 'F16', 'BF16', 'F64', 'Q8_0'].includes(t.dtype));
    if (quantised)
      throw new ScionError('input', `${file.name}: ${quantised.name} is ${quantised.dtype}; F32, F16, BF16 and Q8_0 are read: take a file of one of these`, {
        dtype: quantised.dtype,
      });
    const pairs = rotatesPairs(architectureOf(config));
    const read = assembler(config, async (view) => {
      const values = await file.readF32(ggufName(view.hf));
      const heads = rotatedHeads(config, view.hf);
      return heads === null || !pairs ? values : permuteRotary(values, heads, config.headSize, 'half-split');
    });
    const warnings = [...file.tensors.values()].some((t) => t.dtype === 'Q8_0')
      ? [`${file.name} is quantised to 8 bits; training starts from rounded weights`]
      : [];
    return { config, warnings, metadata: file.metadata, read, close: () => file.close() };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** How a GGUF file is written. */
export interface GgufExportOptions {
  /** Of matrices; vectors are f32. */
  readonly dtype: ExportDtype;
  readonly name?: string;
  /** The tokenizer's keys, from `ggufTokenizer` or another file; without them llama.cpp needs a tokenizer from elsewhere. */
  readonly tokenizer?: ReadonlyMap<string, GgufValue>;
}

const u32 = (value: number): GgufValue => ({ type: 'u32', value });
const f32 = (value: number): GgufValue => ({ type: 'f32', value });
const text = (value: string): GgufValue => ({ type: 'string', value });

function scalingKeys(scaling: RopeScaling | null): [string, GgufValue][] {
  switch (scaling?.type) {
    case undefined:
    case 'default':
    case 'llama3':
      return [];
    case 'linear':
      return [
        ['rope.scaling.type', text('linear')],
        ['rope.scaling.factor', f32(scaling.factor)],
      ];
    case 'yarn': {
      const { betaFast = 32, betaSlow = 1, attentionFactor, mscale, mscaleAllDim, truncate } = scaling;
      if (betaFast === 32 && betaSlow === 1 && [attentionFactor, mscale, mscaleAllDim, truncate].every((x) => x === undefined)) {
        return [
          ['rope.scaling.type', text('yarn')],
          ['rope.scaling.factor', f32(scaling.factor)],
          ['rope.scaling.original_context_length', u32(scaling.originalMaxPositionEmbeddings)],
        ];
      }
      throw new ScionError('input', 'yarn with other than its default betas and attention factor cannot be said in GGUF here; export a Hugging Face folder');
    }
    default:
      throw new ScionError('input', `rope scaling "${scaling?.type}" cannot be said in GGUF; export a Hugging Face folder`);
  }
}

function modelKeys(config: LlamaConfig, options: GgufExportOptions): Map<string, GgufValue> {
  const architecture = architectureOf(config);
  const own: [string, GgufValue][] = [
    ['vocab_size', u32(config.vocabSize)],
    ['context_length', u32(config.maxPositions)],
    ['embedding_length', u32(config.hiddenSize)],
    ['block_count', u32(config.numLayers)],
    ['feed_forward_length', u32(config.intermediateSize)],
    ['attention.head_count', u32(config.numHeads)],
    ['attention.head_count_kv', u32(config.numKvHeads)],
    ['attention.key_length', u32(config.headSize)],
    ['attention.value_length', u32(config.headSize)],
    ['attention.layer_norm_rms_epsilon', f32(config.rmsNormEps)],
    ['rope.dimension_count', u32(config.headSize)],
    ['rope.freq_base', f32(config.ropeTheta)],
    ...(config.slidingWindow === null ? [] : ([['attention.sliding_window', u32(config.slidingWindow)]] as [string, GgufValue][])),
    ...scalingKeys(config.ropeScaling),
  ];
  const ids: [string, GgufValue][] = [];
  if (config.bosId !== null) ids.push(['tokenizer.ggml.bos_token_id', u32(config.bosId)]);
  if (config.eosIds.length > 0) ids.push(['tokenizer.ggml.eos_token_id', u32(config.eosIds[0])]);
  return new Map<string, GgufValue>([
    ['general.architecture', text(architecture)],
    ['general.name', text(options.name ?? 'scion')],
    ['general.file_type', u32(FILE_TYPES[options.dtype])],
    ['general.quantization_version', u32(2)],
    ...own.map(([key, value]): [string, GgufValue] => [`${architecture}.${key}`, value]),
    ...ids,
    ...(options.tokenizer ?? []),
  ]);
}

function ggufEntries(config: LlamaConfig, readParameter: ReadParameter, dtype: ExportDtype): GgufEntry[] {
  const read = lastOne(readParameter);
  const pairs = rotatesPairs(architectureOf(config));
  const entries: GgufEntry[] = listHfViews(config).map((view) => {
    const type = view.shape.length === 1 ? 'f32' : dtype;
    const heads = pairs ? rotatedHeads(config, view.hf) : null;
    return {
      name: ggufName(view.hf),
      dtype: type === 'f32' ? 'F32' : type === 'f16' ? 'F16' : 'BF16',
      shape: view.shape,
      async *chunks() {
        const values = cutView(view, await read(view.parameter));
        yield encodeView(view, heads === null ? values : permuteRotary(values, heads, config.headSize, 'interleaved'), type);
      },
    };
  });
  if (config.ropeScaling?.type === 'llama3') {
    const divisors = llama3Divisors(config.headSize, config.ropeTheta, config.ropeScaling, config.maxPositions);
    entries.push({ name: ROPE_FREQS, dtype: 'F32', shape: [divisors.length], chunks: () => [encodeF32(divisors, 'F32')] });
  }
  return entries;
}

/**
 * Writes a GGUF file, which appears under its name when it is complete. Replaces a file of that name.
 * @returns warnings: what the file says but llama.cpp may not do. @throws ScionError `input` for what GGUF cannot say.
 */
export async function exportGguf(
  files: HostFiles,
  path: string,
  config: LlamaConfig,
  readParameter: ReadParameter,
  options: GgufExportOptions,
): Promise<string[]> {
  const keys = modelKeys(config, options);
  const entries = ggufEntries(config, readParameter, options.dtype);
  const needed = entries.reduce((sum, e) => sum + sizeOf(e.shape) * (e.dtype === 'F32' ? 4 : 2), 1 << 20);
  const parent = dirName(path);
  await makeDurableDir(files, parent);
  const free = await files.free(parent);
  if (free !== null && free < needed)
    throw new ScionError('space', `the model needs ${needed} bytes below ${parent}, ${free} are free; free some or choose another --out`, { needed, free });
  const aside = `${path}.tmp-${newRunId()}`;
  try {
    const writer = await files.create(aside);
    try {
      await writeGguf(writer, keys, entries);
      await writer.sync();
    } finally {
      await writer.close();
    }
    await files.rename(aside, path);
    await files.syncDir(parent);
  } catch (error) {
    await files.remove(aside).catch(() => undefined);
    throw error;
  }
  const warnings: string[] = [];
  if (config.slidingWindow !== null)
    warnings.push(
      `attention is limited to a window of ${config.slidingWindow} tokens; llama.cpp ignores it for the architecture "${architectureOf(config)}" and differs beyond`,
    );
  if (!options.tokenizer) warnings.push('the file has no tokenizer; llama.cpp cannot turn text into ids with it');
  return warnings;
}

/** The tokenizer's keys of a SentencePiece BPE model, as llama.cpp's `llama` tokenizer reads them. Kind `input` for other model types. */
export function ggufTokenizer(model: SentencePieceModel): Map<string, GgufValue> {
  const { trainer, normalizer, pieces } = model;
  if (trainer.modelType !== MODEL.BPE)
    throw new ScionError('input', `GGUF's llama tokenizer is SentencePiece BPE (type ${MODEL.BPE}); this model has type ${trainer.modelType}`, {
      type: trainer.modelType,
    });
  const keys = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.pre', text('default')],
    ['tokenizer.ggml.tokens', { type: 'array', element: 'string', value: pieces.map((p) => p.text) }],
    ['tokenizer.ggml.scores', { type: 'array', element: 'f32', value: pieces.map((p) => p.score) }],
    // Both number the types alike.
    ['tokenizer.ggml.token_type', { type: 'array', element: 'i32', value: pieces.map((p) => p.type) }],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: true }],
    ['tokenizer.ggml.add_eos_token', { type: 'bool', value: false }],
    ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: normalizer.addDummyPrefix }],
  ]);
  const ids: Record<string, number> = { bos: trainer.bosId, eos: trainer.eosId, unknown: trainer.unkId, padding: trainer.padId };
  for (const [name, id] of Object.entries(ids)) if (id >= 0 && id < pieces.length) keys.set(`tokenizer.ggml.${name}_token_id`, u32(id));
  return keys;
}
