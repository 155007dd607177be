/**
 * An adapter folder opened, whether scion or PEFT wrote it. What the adapter covers is what its weight file holds, not
 * what its config says it targets (a list, a pattern, `all-linear`); every tensor must be one that is understood and
 * fit the model, so that an adapter of another model, or of another method, is refused and not half used.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { shown } from '../../formats/bytes.ts';
import { readJsonObject } from '../../formats/json.ts';
import { openSafetensors, type SafetensorsFile } from '../../formats/safetensors.ts';
import type { HostFiles } from '../../host/types.ts';
import type { LlamaConfig } from '../../nn/config.ts';
import { LORA_TARGETS, loraModules } from '../../nn/lora.ts';
import { sizeOf } from '../../tensor/types.ts';
import { listed } from '../source.ts';
import { ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, type AdapterConfig, type AdapterSpec, parseAdapterConfig } from './config.ts';
import { type AdapterModule, EMBED_MODULE, HEAD_MODULE, listAdapterModules, PEFT_PREFIX, peftPair, placePair } from './modules.ts';

/** A matrix that the adapter brings whole: in place of the base's, or under a product. */
export type WholeModule = 'model.embed_tokens' | 'lm_head';

/** An open adapter. */
export interface OpenAdapter {
  readonly config: AdapterConfig;
  /** Rank, alpha and targets of its products; no targets if it only brings whole matrices. */
  readonly spec: AdapterSpec;
  /** Oddities that change no number; for the caller to report. */
  readonly warnings: readonly string[];
  /** Modules that have a product, in the order of `listHfViews`. */
  readonly modules: readonly AdapterModule[];
  /** Matrices that it brings whole; `underProduct` where the product is added to them. */
  readonly whole: ReadonlyMap<WholeModule, { readonly tensor: string; readonly underProduct: boolean }>;
  /** A and B of a module as PEFT stores them: [r, in] and [out, r]; an embedding's [r, V] and [D, r]. f32. */
  readPair(m: AdapterModule): Promise<{ a: Float32Array; b: Float32Array }>;
  /** A matrix that is brought whole, f32 [V, D]. */
  readWhole(module: WholeModule): Promise<Float32Array<ArrayBuffer>>;
  /** scion's stacked factor by its name (`layers.0.qkv.lora_a`), f32; a module without a product gives zeros. For going on with training. */
  read(parameter: string): Promise<Float32Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** What the end of a tensor's name says it is. */
const ENDS = [
  ['.lora_A.weight', 'a'],
  ['.lora_B.weight', 'b'],
  ['.lora_embedding_A', 'a'],
  ['.lora_embedding_B', 'b'],
  ['.base_layer.weight', 'base'],
  ['.weight', 'whole'],
] as const;

const isWhole = (module: string): module is WholeModule => module === EMBED_MODULE || module === HEAD_MODULE;

/** What a file's tensors are, by module. */
interface Sorted {
  readonly pairs: Map<string, Set<'a' | 'b'>>;
  readonly whole: Map<WholeModule, { tensor: string; underProduct: boolean }>;
  readonly unknown: string[];
}

function sortTensors(names: Iterable<string>): Sorted {
  const out: Sorted = { pairs: new Map(), whole: new Map(), unknown: [] };
  for (const name of names) {
    const end = ENDS.find(([suffix]) => name.endsWith(suffix));
    const module = end && name.startsWith(PEFT_PREFIX) ? name.slice(PEFT_PREFIX.length, -end[0].length) : '';
    const kind = end?.[1];
    if (module === '' || kind === undefined) out.unknown.push(name);
    else if (kind === 'a' || kind === 'b') out.pairs.set(module, (out.pairs.get(module) ?? new Set()).add(kind));
    else if (isWhole(module)) out.whole.set(module, { tensor: name, underProduct: kind === 'base' });
    else out.unknown.push(name);
  }
  return out;
}

/** Holds the file against the model and the config; the modules that have a product. */
function checkAdapterTensors(folder: string, file: SafetensorsFile, sorted: Sorted, config: AdapterConfig, base: LlamaConfig): AdapterModule[] {
  const problems: string[] = [];
  const possible = listAdapterModules(base, LORA_TARGETS);
  const known = new Map(possible.map((m) => [m.module, m]));
  const strange = [...sorted.pairs.keys()].filter((module) => !known.has(module));
  if (sorted.unknown.length > 0) problems.push(`tensors that are no part of a LoRA: ${listed(sorted.unknown)}`);
  if (strange.length > 0) problems.push(`modules that the model does not have: ${listed(strange)}`);
  const wrong: string[] = [];
  const missing: string[] = [];
  const wantShape = (name: string, shape: readonly number[]): void => {
    const found = file.tensors.get(name)?.shape;
    if (found === undefined) missing.push(name);
    else if (found.join() !== shape.join()) wrong.push(`${shown(name)} is [${found.join(', ')}], wanted is [${shape.join(', ')}]`);
  };
  const modules = possible.filter((m) => sorted.pairs.has(m.module));
  for (const m of modules) {
    const { a, b } = peftPair(m, config.rank);
    wantShape(a.name, a.shape);
    wantShape(b.name, b.shape);
  }
  for (const { tensor } of sorted.whole.values()) wantShape(tensor, [base.vocabSize, base.hiddenSize]);
  if (missing.length > 0) problems.push(`missing: ${listed(missing)}`);
  if (wrong.length > 0)
    problems.push(
      `wrong shapes for rank ${config.rank} and this model: ${wrong.slice(0, 3).join('; ')}${wrong.length > 3 ? ` and ${wrong.length - 3} more` : ''}`,
    );
  for (const name of config.savedModules) {
    const saved = sorted.whole.get(name === 'lm_head' ? HEAD_MODULE : EMBED_MODULE);
    if (saved === undefined || saved.underProduct) problems.push(`modules_to_save names ${name}, which the file does not hold`);
  }
  for (const [module, { underProduct }] of sorted.whole) {
    if (underProduct !== sorted.pairs.has(module))
      problems.push(`${module} is stored ${underProduct ? 'as the base of a product that is missing' : 'whole and with a product'}`);
  }
  if (problems.length === 0 && modules.length === 0 && sorted.whole.size === 0) problems.push('it holds nothing');
  if (problems.length > 0) {
    const other = strange.length > 0 || wrong.length > 0 ? '. Is it an adapter of this model?' : '';
    throw new ScionError('input', `${joinPath(folder, ADAPTER_WEIGHTS_NAME)} is no adapter that scion can use: ${problems.join('; ')}${other}`, { problems });
  }
  return modules;
}

/** The targets, each on all of its modules or reported. */
function targetsOf(base: LlamaConfig, modules: readonly AdapterModule[], warnings: string[]): string[] {
  const targets = LORA_TARGETS.filter((t) => modules.some((m) => m.target === t));
  const covered = new Set(modules.map((m) => m.module));
  const left = listAdapterModules(base, targets).filter((m) => !covered.has(m.module));
  if (left.length > 0) warnings.push(`the adapter has no product for ${listed(left.map((m) => m.module))}; they count as zero`);
  return targets;
}

/**
 * Opens an adapter folder for a model of this config; no weight is read yet.
 * @throws ScionError `input` for missing files, methods other than LoRA, and tensors that do not fit the model; `format` for damaged files.
 */
export async function openAdapter(files: HostFiles, folder: string, base: LlamaConfig): Promise<OpenAdapter> {
  const path = joinPath(folder, ADAPTER_CONFIG_NAME);
  const json = await readJsonObject(files, path);
  if (json === null)
    throw new ScionError('input', `${path} does not exist; an adapter folder holds ${ADAPTER_CONFIG_NAME} and ${ADAPTER_WEIGHTS_NAME}`, { path });
  const config = parseAdapterConfig(json, path);
  const weights = joinPath(folder, ADAPTER_WEIGHTS_NAME);
  if ((await files.stat(weights)) === null) {
    const pickled = (await files.stat(joinPath(folder, 'adapter_model.bin'))) !== null;
    const found = pickled ? '; adapter_model.bin is a Python pickle, which can run code and is not read: save it with safe_serialization=True' : '';
    throw new ScionError('input', `${weights} does not exist${found}`, { path: weights });
  }
  const reader = await files.open(weights);
  try {
    const file = await openSafetensors(reader, weights);
    const sorted = sortTensors(file.tensors.keys());
    const covered = checkAdapterTensors(folder, file, sorted, config, base);
    const warnings: string[] = [];
    const targets = targetsOf(base, covered, warnings);
    const stacked = listAdapterModules(base, targets);
    const modules = stacked.filter((m) => sorted.pairs.has(m.module));
    const { rank, alpha, dropout, rslora } = config;
    const spec: AdapterSpec = { rank, alpha, dropout, targets, rslora };
    const factors = loraModules(base, spec).flatMap(({ a, b }) => [a, b]);
    const readHalf = (m: AdapterModule, half: 'a' | 'b') => file.readF32(peftPair(m, rank)[half].name);
    return {
      config,
      spec,
      warnings,
      modules,
      whole: sorted.whole,
      readPair: async (m) => ({ a: await readHalf(m, 'a'), b: await readHalf(m, 'b') }),
      async readWhole(module) {
        const found = sorted.whole.get(module);
        if (!found) throw new ScionError('internal', `the adapter does not hold ${module} whole`, { module });
        return file.readF32(found.tensor);
      },
      async read(name) {
        const parameter = factors.find((p) => p.name === name);
        if (!parameter) throw new ScionError('internal', `the adapter has no parameter ${shown(name)}`, { name });
        const half = name.endsWith('.lora_a') ? 'a' : 'b';
        const owner = name.slice(0, -'.lora_a'.length);
        const out = new Float32Array(sizeOf(parameter.shape));
        const none = new Float32Array(0);
        for (const m of modules.filter((x) => x.parameter === owner)) {
          const values = await readHalf(m, half);
          placePair(m, rank, { a: none, b: none, [half]: values }, { [half]: out });
        }
        return out;
      },
      close: () => reader.close(),
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}
