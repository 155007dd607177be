/**
 * Where a model's weights come from: a Hugging Face folder, a llama2.c or GGUF file, a checkpoint. One narrow
 * interface, so that whoever fills a session asks each of them the same question. Also the assembly of fused
 * parameters from Hugging Face's tensors, which all of them share.
 */
import { ScionError } from '../base/errors.ts';
import { shown } from '../formats/bytes.ts';
import type { LlamaConfig } from '../nn/config.ts';
import { type HfView, listHfViews, listParameters, type Parameter } from '../nn/parameters.ts';
import { sizeOf } from '../tensor/types.ts';

/** Reads a parameter by scion's name, row-major f32. */
export type ReadParameter = (parameter: string) => Promise<Float32Array>;

/** An open source of weights. */
export interface ModelSource {
  readonly config: LlamaConfig;
  /** Oddities that change no weight; for the caller to report. */
  readonly warnings: readonly string[];
  /** f32 values of a parameter, by scion's name; one tensor in memory at a time. */
  read(parameter: string): Promise<Float32Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** What a file knows of one tensor. */
export interface FoundTensor {
  readonly shape: readonly number[];
}

const MOST_NAMED = 5;

/** The first few of many, and how many more. */
export function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).map(shown).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** A view by its tensor's name in a file; the HF name unless the file has names of its own. */
export type NameOf = (view: HfView) => string;

/**
 * Holds a file's tensors against what the config needs, in both directions; kind `input` naming missing, extra and
 * wrong-shaped ones under the file's names. `ignored` are tensors that may be there and are not weights.
 */
export function checkTensors(
  what: string,
  config: LlamaConfig,
  tensors: ReadonlyMap<string, FoundTensor>,
  ignored: (name: string) => boolean,
  nameOf: NameOf = (view) => view.hf,
): void {
  const views = listHfViews(config);
  const wanted = new Map(views.map((view) => [nameOf(view), view.shape]));
  const missing = [...wanted.keys()].filter((name) => !tensors.has(name));
  const extra = [...tensors.keys()].filter((name) => !wanted.has(name) && !ignored(name));
  const wrong: string[] = [];
  for (const [name, shape] of wanted) {
    const found = tensors.get(name)?.shape;
    if (found && (found.length !== shape.length || found.some((n, i) => n !== shape[i])))
      wrong.push(`${shown(name)} is [${found.join(', ')}], the config needs [${shape.join(', ')}]`);
  }
  const problems: string[] = [];
  if (missing.length > 0) problems.push(`missing: ${listed(missing)}`);
  if (extra.length > 0) problems.push(`not part of this architecture: ${listed(extra)}`);
  if (wrong.length > 0)
    problems.push(`wrong shapes: ${wrong.slice(0, MOST_NAMED).join('; ')}${wrong.length > MOST_NAMED ? ` and ${wrong.length - MOST_NAMED} more` : ''}`);
  if (problems.length === 0) return;
  const tied = missing.length === 1 && missing[0] === 'lm_head.weight' ? '. If its head shares the embedding, set tie_word_embeddings in its config.json' : '';
  throw new ScionError('input', `${what} does not hold the weights its config describes: ${problems.join('; ')}${tied}`, { missing, extra, wrong });
}

/** Parameters put together from tensors under Hugging Face's names, already in Hugging Face's row order. */
export function assembler(config: LlamaConfig, readTensor: (view: HfView) => Promise<Float32Array>): (parameter: string) => Promise<Float32Array<ArrayBuffer>> {
  const parameters = new Map<string, Parameter>(listParameters(config).map((p) => [p.name, p]));
  const views = listHfViews(config);
  return async (name) => {
    const parameter = parameters.get(name);
    if (!parameter) throw new ScionError('internal', `the model has no parameter ${shown(name)}`, { name });
    const out = new Float32Array(sizeOf(parameter.shape));
    const rowSize = parameter.shape.length === 1 ? 1 : sizeOf(parameter.shape) / parameter.shape[0];
    for (const view of views.filter((v) => v.parameter === name)) out.set(await readTensor(view), view.row * rowSize);
    return out;
  };
}

/** The values of a view, cut out of its parameter's; shares memory with them. */
export function cutView(view: HfView, parameter: Float32Array): Float32Array {
  const size = sizeOf(view.shape);
  const start = view.row * (view.shape.length === 1 ? 1 : size / view.shape[0]);
  if (start + size > parameter.length)
    throw new ScionError('internal', `parameter ${view.parameter} has ${parameter.length} numbers; ${view.hf} needs ${start} to ${start + size}`);
  return parameter.subarray(start, start + size);
}

/**
 * Rows of a rotated projection, [heads x headSize, columns], from one pairing to the other. Hugging Face rotates row i
 * of a head with row i + headSize/2; llama2.c and GGUF's llama rotate 2i with 2i + 1, as Su et al. (2021) write it.
 */
export function permuteRotary(values: Float32Array, heads: number, headSize: number, to: 'half-split' | 'interleaved'): Float32Array<ArrayBuffer> {
  const columns = values.length / (heads * headSize);
  const half = headSize / 2;
  const out = new Float32Array(values.length);
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < headSize; i++) {
      const split = h * headSize + (i % 2) * half + (i >> 1);
      const pair = h * headSize + i;
      const [from, into] = to === 'half-split' ? [pair, split] : [split, pair];
      out.set(values.subarray(from * columns, (from + 1) * columns), into * columns);
    }
  }
  return out;
}

/** The heads of a view that is rotated, q or k; null for any other. */
export function rotatedHeads(config: LlamaConfig, hf: string): number | null {
  const part = /\.self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(hf)?.[1];
  return part === undefined ? null : part === 'q' ? config.numHeads : config.numKvHeads;
}
