/**
 * What `--model` and `import` may name: a Hugging Face folder, a training run (its newest sound checkpoint), a llama2.c
 * or GGUF file. Every verb opens models through here, so that they take the same things and refuse them in the same words. Files are
 * looked at before a device is opened: a mistyped path must not cost the start of a driver.
 */
import { ScionError } from '../base/errors.ts';
import { baseName, extName, joinPath } from '../base/path.ts';
import { checkAdapterSpec, mergeAdapter, mergedReader, openAdapter } from '../checkpoint/adapter/index.ts';
import { importGguf } from '../checkpoint/gguf.ts';
import { tokenizerFromGguf } from '../checkpoint/gguf-tokenizer.ts';
import { type ExportDtype, importHf } from '../checkpoint/hf.ts';
import { importLlama2c } from '../checkpoint/llama2c-import.ts';
import { findLatest, openCheckpoint } from '../checkpoint/load.ts';
import type { ModelSource } from '../checkpoint/source.ts';
import { decodeUtf8 } from '../formats/bytes.ts';
import { GpuDevice } from '../gpu/device.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import type { HostFiles } from '../host/types.ts';
import { Generator } from '../infer/generator.ts';
import type { InferOptions } from '../infer/plans.ts';
import { parseConfig } from '../nn/config.ts';
import type { LoraSpec } from '../nn/lora.ts';
import { loadTokenizer, type Tokenizer, tokenizerFromModel } from '../text/tokenizer.ts';
import type { Context } from './command.ts';
import type { FlagSpecs, Flags } from './flags.ts';

/** A model on disk, whichever form it has. Close `source` when the weights are read. */
export interface ModelOnDisk {
  readonly kind: 'folder' | 'run' | 'llama2c' | 'gguf';
  readonly source: ModelSource;
  /** Reads its tokenizer, if it brings one. */
  readonly tokenizer: (() => Promise<Tokenizer>) | null;
  /** The folder that its tokenizer's files lie in, if they do. */
  readonly tokenizerFolder: string | null;
  /** What its weights are stored as; f32 where they are of several kinds. */
  readonly dtype: ExportDtype;
  /** Content of `generation_config.json`, if it has one. */
  readonly generationConfig: Readonly<Record<string, unknown>> | null;
  /** The optimizer step of a run's checkpoint. */
  readonly step: number | null;
}

/** Flags of every verb that runs a model. */
export const MODEL_FLAGS: FlagSpecs = {
  model: { kind: 'string', value: 'DIR', summary: 'a Hugging Face folder, the folder of a training run, or a .gguf file' },
  adapter: { kind: 'string', value: 'DIR', summary: 'a LoRA adapter of this model in PEFT’s layout, added to its weights' },
  ema: { kind: 'boolean', summary: 'of a training run: the moving average of its weights', default: false },
  tokenizer: { kind: 'string', value: 'F', summary: 'folder or file; by default that of --model' },
  precision: { kind: 'string', choices: ['f32', 'mixed'], summary: 'mixed: 16-bit weights and activations', default: 'f32' },
  device: { kind: 'string', value: 'NAME', summary: 'part of an adapter’s name' },
};

/** Flags that choose tokens. */
export const SAMPLING_FLAGS: FlagSpecs = {
  temperature: { kind: 'number', value: 'T', summary: '0 takes the likeliest token each time', default: 0 },
  'top-p': { kind: 'number', value: 'P', summary: 'the fewest tokens whose probabilities reach P', default: 1 },
  'top-k': { kind: 'integer', value: 'K', summary: 'only the K likeliest tokens; 0 for all', default: 0 },
  'repetition-penalty': { kind: 'number', value: 'R', summary: 'above 1: what was said becomes less likely', default: 1 },
  seed: { kind: 'integer', summary: 'of the random choices', default: 0 },
};

/** The sampling that `SAMPLING_FLAGS` ask for. */
export function samplingOf(flags: Flags): { temperature?: number; topP?: number; topK?: number; repetitionPenalty?: number; seed?: number } {
  return {
    temperature: flags.number('temperature'),
    topP: flags.number('top-p'),
    topK: flags.number('top-k'),
    repetitionPenalty: flags.number('repetition-penalty'),
    seed: flags.number('seed'),
  };
}

/** A count given by a flag, or undefined; below `least` is a usage error. */
export function countOf(flags: Flags, name: string, least = 1): number | undefined {
  const value = flags.number(name);
  if (value !== undefined && value < least) throw new ScionError('usage', `--${name} must be at least ${least}, got ${value}`);
  return value;
}

/** `config.json` of a training run, or null for any other folder. */
async function runConfig(files: HostFiles, folder: string): Promise<Record<string, unknown> | null> {
  const path = joinPath(folder, 'config.json');
  if ((await files.stat(path)) === null) return null;
  let json: unknown;
  try {
    json = JSON.parse(decodeUtf8(await files.read(path), path));
  } catch {
    // Whoever reads it as a model's config says what is wrong with it.
    return null;
  }
  if (typeof json !== 'object' || json === null || !('model' in json) || 'model_type' in json) return null;
  return typeof json.model === 'object' && json.model !== null ? (json as Record<string, unknown>) : null;
}

function tokenizerIn(files: HostFiles, folder: string): Pick<ModelOnDisk, 'tokenizer' | 'tokenizerFolder'> {
  return { tokenizer: () => loadTokenizer(files, folder), tokenizerFolder: folder };
}

const NO_TOKENIZER = { tokenizer: null, tokenizerFolder: null } as const;

/** The adapters that a run trains, as its config says; null where it has none. */
function runAdapters(run: Readonly<Record<string, unknown>>): LoraSpec | null {
  const { lora } = (run.setup ?? {}) as { lora?: LoraSpec };
  if (!lora) return null;
  checkAdapterSpec(lora);
  return lora;
}

async function openRun(files: HostFiles, folder: string, run: Readonly<Record<string, unknown>>, { average = false }: OpenModelOptions): Promise<ModelOnDisk> {
  const config = parseConfig(run.model, `${joinPath(folder, 'config.json')}: model`);
  const found = await findLatest(files, joinPath(folder, 'checkpoints'));
  if (!found) throw new ScionError('input', `${folder} is a training run without a checkpoint yet; wait for its first save, or name another model`, { folder });
  const checkpoint = await openCheckpoint(files, found.path);
  if (average && !checkpoint.averaged) {
    await checkpoint.close();
    throw new ScionError('input', `${folder} kept no average of its weights; leave --ema away, or train with ema (a field of a recipe's stage)`, { folder });
  }
  const warnings = found.skipped.map((s) => `passed over ${s.path}: ${s.problem}`);
  const own = average ? checkpoint.readAverage : checkpoint.read;
  const lora = runAdapters(run);
  return {
    kind: 'run',
    // What a run has learnt is its base with its adapters.
    source: { config, warnings, read: lora ? mergedReader(config, lora, own) : own, close: checkpoint.close },
    ...tokenizerIn(files, joinPath(folder, 'tokenizer')),
    dtype: 'f32',
    generationConfig: null,
    step: checkpoint.manifest.step,
  };
}

/** True if a folder holds a vocabulary under one of the names that `loadTokenizer` takes. */
async function hasTokenizer(files: HostFiles, folder: string): Promise<boolean> {
  return (await files.list(folder)).some((e) => !e.isDirectory && (e.name === 'tokenizer.json' || e.name.endsWith('.model')));
}

const DTYPES: Readonly<Record<string, ExportDtype>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };
/** By `general.file_type`, ggml's number for what most tensors are. */
const GGUF_DTYPES: Readonly<Record<string, ExportDtype>> = { 0: 'f32', 1: 'f16', 32: 'bf16' };

async function openFile(files: HostFiles, path: string): Promise<ModelOnDisk> {
  const ext = extName(path);
  if (ext === '.bin') {
    return { kind: 'llama2c', source: await importLlama2c(files, path), ...NO_TOKENIZER, dtype: 'f32', generationConfig: null, step: null };
  }
  if (ext === '.gguf') {
    const source = await importGguf(files, path);
    try {
      const model = tokenizerFromGguf(source.metadata);
      const dtype = GGUF_DTYPES[String(source.metadata.get('general.file_type')?.value)] ?? 'f32';
      const tokenizer = model && (async () => tokenizerFromModel(model));
      return { kind: 'gguf', source, tokenizer, tokenizerFolder: null, dtype, generationConfig: null, step: null };
    } catch (error) {
      await source.close();
      throw error;
    }
  }
  const instead =
    ext === '.safetensors'
      ? 'name the folder it lies in, which holds its config.json'
      : 'read are Hugging Face folders, training runs, llama2.c .bin and .gguf files';
  throw new ScionError('input', `${baseName(path)} is no model that scion reads: ${instead}`, { path });
}

/** What is wanted of a model. */
export interface OpenModelOptions {
  /** Of a training run: the moving average of its weights instead of the weights. */
  readonly average?: boolean;
}

/**
 * Opens a model; no weight is read yet.
 * @throws ScionError `input` naming what was found where no model is, `format` for damaged files.
 */
export async function openModel(files: HostFiles, path: string, options: OpenModelOptions = {}): Promise<ModelOnDisk> {
  const stat = await files.stat(path);
  if (stat === null) throw new ScionError('input', `no model at ${path}: there is no such file or folder`, { path });
  const run = stat.isDirectory ? await runConfig(files, path) : null;
  if (run) return openRun(files, path, run, options);
  if (options.average)
    throw new ScionError('input', `${path} is no training run, so it holds one set of weights; --ema goes with the folder of a run that kept an average`, {
      path,
    });
  if (!stat.isDirectory) return openFile(files, path);
  const source = await importHf(files, path);
  try {
    const stored = source.storedDtypes.length === 1 ? DTYPES[source.storedDtypes[0]] : undefined;
    return {
      kind: 'folder',
      source,
      ...((await hasTokenizer(files, path)) ? tokenizerIn(files, path) : NO_TOKENIZER),
      dtype: stored ?? 'f32',
      generationConfig: source.generationConfig,
      step: null,
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The model that `--model`, `--adapter` and `--ema` name; closed where that fails. No weight is read yet. */
export async function openAsked({ flags }: Pick<Context, 'flags'>, files: HostFiles, why: string): Promise<ModelOnDisk> {
  const model = await openModel(files, flags.need('model', why), { average: flags.boolean('ema') });
  const adapter = flags.string('adapter');
  if (adapter === undefined) return model;
  try {
    return { ...model, source: await mergeAdapter(model.source, await openAdapter(files, adapter, model.source.config)) };
  } catch (error) {
    await model.source.close();
    throw error;
  }
}

/** The tokenizer of a model: the one asked for, else its own; null if there is neither. Held against the model's vocabulary. */
export async function tokenizerOf(files: HostFiles, model: ModelOnDisk, asked: string | undefined): Promise<Tokenizer | null> {
  const tokenizer = asked === undefined ? ((await model.tokenizer?.()) ?? null) : await loadTokenizer(files, asked);
  const { vocabSize } = model.source.config;
  if (tokenizer && tokenizer.vocabSize > vocabSize) {
    throw new ScionError(
      'input',
      `the tokenizer${asked === undefined ? '' : ` of ${asked}`} has ${tokenizer.vocabSize} pieces, the model ${vocabSize} rows; they do not belong together`,
      {
        pieces: tokenizer.vocabSize,
        rows: vocabSize,
      },
    );
  }
  return tokenizer;
}

/** A model's files open, and its tokenizer. */
export interface ModelForUse {
  readonly model: ModelOnDisk;
  readonly tokenizer: Tokenizer;
}

/** Opens what `MODEL_FLAGS` name; oddities are noted. @throws ScionError `input` where there is no tokenizer. */
export async function openForUse({ flags, status }: Context, files: HostFiles): Promise<ModelForUse> {
  const model = await openAsked({ flags }, files, 'a Hugging Face folder, or the folder of a training run');
  try {
    const tokenizer = await tokenizerOf(files, model, flags.string('tokenizer'));
    if (!tokenizer)
      throw new ScionError('input', `${flags.string('model')} brings no tokenizer that is read (tokenizer.json, tokenizer.model); name one with --tokenizer`);
    for (const warning of model.source.warnings) status.note(`note: ${warning}`);
    return { model, tokenizer };
  } catch (error) {
    await model.source.close();
    throw error;
  }
}

/**
 * Puts a model on the device that the flags name and hands it to `work`; all of it is freed afterwards. Options may depend on the device.
 * The model's files are closed once its weights are there.
 */
export async function withGenerator<T>(
  { flags, status }: Context,
  { source }: ModelOnDisk,
  options: Omit<InferOptions, 'precision'> | ((facts: DeviceFacts, precision: InferOptions['precision']) => Omit<InferOptions, 'precision'>),
  work: (generator: Generator, device: GpuDevice) => Promise<T>,
): Promise<T> {
  let device: GpuDevice | null = null;
  let generator: Generator | null = null;
  try {
    try {
      status.set('opening the device');
      device = await GpuDevice.open({ adapter: flags.string('device') });
      const precision = flags.string('precision') === 'mixed' ? 'mixed' : 'f32';
      generator = await Generator.open(
        device,
        source.config,
        (name) => {
          status.set(`loading ${name}`);
          return source.read(name);
        },
        { ...(typeof options === 'function' ? options(device.facts, precision) : options), precision },
      );
    } finally {
      await source.close();
      status.clear();
    }
    return await work(generator, device);
  } finally {
    generator?.destroy();
    device?.destroy();
  }
}
