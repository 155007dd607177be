/**
 * Models from and to Hugging Face folders, the form that transformers, vLLM and llama.cpp's converter open. Import
 * reads one tensor at a time and refuses a folder whose tensors are not exactly those its config calls for. Export
 * writes aside and renames, so a folder under its own name is always whole; it holds one parameter in memory.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { dirName, joinPath } from '../base/path.ts';
import { newRunId } from '../base/run-id.ts';
import { shown } from '../formats/bytes.ts';
import { encodeF32 } from '../formats/dtypes.ts';
import { openHfWeights, writeHfWeights } from '../formats/hf-shards.ts';
import { jsonBytes, readJsonObject } from '../formats/json.ts';
import { entryBytes, type TensorEntry } from '../formats/safetensors-write.ts';
import type { HostFiles } from '../host/types.ts';
import { configToJson, eosTokenId, type LlamaConfig, parseConfig } from '../nn/config.ts';
import { type HfView, listHfViews } from '../nn/parameters.ts';
import { makeDurableDir } from './folders.ts';
import { assembler, checkTensors, cutView, type ModelSource, type ReadParameter } from './source.ts';

export const CONFIG_NAME = 'config.json';
export const GENERATION_NAME = 'generation_config.json';
/** What the folder takes beside the tensors: headers, configs, last blocks. */
const SLACK_BYTES = 1 << 20;
/** The largest finite f16; what rounds above it becomes infinite. */
const F16_LIMIT = 65520;

/** Tensors that old checkpoints carry and that are no weights: rotary frequencies, made from the config. */
const isBuffer = (name: string): boolean => name.endsWith('.rotary_emb.inv_freq');

/** An open Hugging Face folder. */
export interface HfSource extends ModelSource {
  /** Content of `generation_config.json`, for writing it back. */
  readonly generationConfig: Readonly<Record<string, unknown>> | null;
  /** Element types of the stored tensors, such as `BF16`. */
  readonly storedDtypes: readonly string[];
}

async function readJson(files: HostFiles, path: string): Promise<Record<string, unknown>> {
  const json = await readJsonObject(files, path);
  if (json === null) throw new ScionError('input', `${path} does not exist; a model folder holds config.json and safetensors weights`, { path });
  return json;
}

/** The model's shape as a folder's `config.json` tells it; no weight is looked for. @throws ScionError `input`, `format`. */
export async function readHfConfig(files: HostFiles, folder: string): Promise<LlamaConfig> {
  const path = joinPath(folder, CONFIG_NAME);
  return parseConfig(await readJson(files, path), path);
}

/**
 * Opens the model in a folder: config, then every weight file's header. No weight is read yet.
 * @throws ScionError `input` for missing, extra or wrong-shaped tensors and for configs of other architectures, `format`
 * for malformed files.
 */
export async function importHf(files: HostFiles, folder: string): Promise<HfSource> {
  const config = await readHfConfig(files, folder);
  const weights = await openHfWeights(files, folder);
  try {
    // transformers ignores a stored head where the config ties it.
    const ignored = (name: string) => isBuffer(name) || (config.tied && name === 'lm_head.weight');
    checkTensors(folder, config, weights.tensors, ignored);
    const warnings = [...weights.warnings];
    if (config.tied && weights.tensors.has('lm_head.weight'))
      warnings.push(`${folder}: lm_head.weight is stored but tied by the config; the embedding is used, as transformers does`);
    let generationConfig: Record<string, unknown> | null = null;
    if ((await files.stat(joinPath(folder, GENERATION_NAME))) !== null) {
      try {
        generationConfig = await readJson(files, joinPath(folder, GENERATION_NAME));
      } catch (error) {
        if (!isScionError(error)) throw error;
        warnings.push(`ignored: ${error.message}`);
      }
    }
    return {
      config,
      warnings,
      generationConfig,
      storedDtypes: [...new Set([...weights.tensors.values()].map((t) => t.dtype))].sort(),
      read: assembler(config, (view) => weights.readF32(view.hf)),
      close: () => weights.close(),
    };
  } catch (error) {
    await weights.close();
    throw error;
  }
}

/** Element type of an exported folder. */
export type ExportDtype = 'f32' | 'f16' | 'bf16';

const FILE_TYPE = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const;
const TORCH_TYPE = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' } as const;

/** How a folder is written. */
export interface ExportOptions {
  readonly dtype: ExportDtype;
  /** Largest shard in bytes; 5 GB by default. */
  readonly maxShardBytes?: number;
  /** Written beside the weights by name: tokenizer.json, tokenizer_config.json, tokenizer.model, README.md, … */
  readonly tokenizerFiles?: Readonly<Record<string, Uint8Array>>;
  /** Replaces the `generation_config.json` made from the config. */
  readonly generationConfig?: Readonly<Record<string, unknown>> | null;
}

/** Bytes of a view's values in the element type; kind `input` where f16 cannot hold them. */
export function encodeView(view: HfView, values: Float32Array, dtype: ExportDtype): Uint8Array {
  if (dtype === 'f16') {
    const at = values.findIndex((x) => Math.abs(x) >= F16_LIMIT && Number.isFinite(x));
    if (at >= 0)
      throw new ScionError('input', `${view.hf} holds ${values[at]}, more than f16 can (65504); export as bf16 or f32`, { tensor: view.hf, index: at });
  }
  return encodeF32(values, FILE_TYPE[dtype]);
}

/** Reads parameters one at a time and remembers the last: neighbouring views share one. */
export function lastOne(read: ReadParameter): ReadParameter {
  let name = '';
  let values = new Float32Array(0) as Float32Array;
  return async (wanted) => {
    if (name !== wanted) {
      values = await read(wanted);
      name = wanted;
    }
    return values;
  };
}

/** The tensors of an export, in the order of Hugging Face's own files. */
function hfEntries(config: LlamaConfig, readParameter: ReadParameter, dtype: ExportDtype): TensorEntry[] {
  const read = lastOne(readParameter);
  return listHfViews(config).map((view) => ({
    name: view.hf,
    dtype: FILE_TYPE[dtype],
    shape: view.shape,
    async *chunks() {
      yield encodeView(view, cutView(view, await read(view.parameter)), dtype);
    },
  }));
}

async function writeDurable(files: HostFiles, path: string, bytes: Uint8Array): Promise<void> {
  const writer = await files.create(path);
  try {
    await writer.write(bytes);
    await writer.sync();
  } finally {
    await writer.close();
  }
}

/** The objects written as `config.json` and `generation_config.json`. */
function configFiles(config: LlamaConfig, options: ExportOptions): Record<string, Uint8Array> {
  const json = configToJson(config, TORCH_TYPE[options.dtype]);
  // transformers 5 spells the element type `dtype`, and reads a stale one before torch_dtype.
  if ('dtype' in json) json.dtype = TORCH_TYPE[options.dtype];
  const generation = options.generationConfig ?? { _from_model_config: true, bos_token_id: config.bosId, eos_token_id: eosTokenId(config) };
  return { [CONFIG_NAME]: jsonBytes(json), [GENERATION_NAME]: jsonBytes(generation) };
}

/**
 * Writes a model folder: config.json, generation_config.json, model.safetensors (or shards and index), tokenizer files. The folder
 * appears under its name only when all of it is on the disk.
 * @returns the names of the files. @throws ScionError `input` if the folder already holds something, `space` if it cannot fit.
 */
export async function exportHf(files: HostFiles, folder: string, config: LlamaConfig, readParameter: ReadParameter, options: ExportOptions): Promise<string[]> {
  const beside = { ...configFiles(config, options), ...options.tokenizerFiles };
  for (const name of Object.keys(beside)) {
    if (!/^[\w][\w.-]{0,200}$/.test(name) || /\.safetensors(\.index\.json)?$/.test(name))
      throw new ScionError('input', `${shown(name)} cannot be written into a model folder; plain file names are`, { name });
  }
  const stat = await files.stat(folder);
  if (stat && (!stat.isDirectory || (await files.list(folder)).length > 0))
    throw new ScionError('input', `${folder} exists and is not empty; choose another --out or remove it`, { folder });
  const entries = hfEntries(config, readParameter, options.dtype);
  const needed = entries.reduce((sum, e) => sum + entryBytes(e), 0) + Object.values(beside).reduce((sum, b) => sum + b.length, 0) + SLACK_BYTES;
  const parent = dirName(folder);
  await makeDurableDir(files, parent);
  const free = await files.free(parent);
  if (free !== null && free < needed)
    throw new ScionError('space', `the model needs ${needed} bytes below ${parent}, ${free} are free; free some or choose another --out`, { needed, free });
  const aside = `${folder}.tmp-${newRunId()}`;
  try {
    await files.makeDir(aside);
    for (const [name, bytes] of Object.entries(beside)) await writeDurable(files, joinPath(aside, name), bytes);
    const written = await writeHfWeights(files, aside, entries, { maxShardBytes: options.maxShardBytes });
    await files.syncDir(aside);
    await files.rename(aside, folder);
    await files.syncDir(parent);
    return [...Object.keys(beside), ...written];
  } catch (error) {
    await files.remove(aside).catch(() => undefined);
    throw error;
  }
}
