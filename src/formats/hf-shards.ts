/**
 * The weights of a Hugging Face folder: one `model.safetensors`, or several shards under a
 * `model.safetensors.index.json`. Opening reads every shard's header and holds the index against
 * them in both directions, which costs one small read a shard and means that a tensor is where the
 * index says or the folder is refused. Where a folder holds both, the single file is taken, as
 * transformers does, so that both read the same weights.
 */
import { ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import type { HostFiles } from '../host/types.ts';
import { decodeUtf8, shown } from './bytes.ts';
import { type JsonValue, parseJson } from './json.ts';
import { openSafetensors, type SafetensorsFile, type TensorInfo } from './safetensors.ts';
import { entryBytes, layoutOrder, type TensorEntry, writeSafetensors } from './safetensors-write.ts';

export const SINGLE_NAME = 'model.safetensors';
export const INDEX_NAME = 'model.safetensors.index.json';
/** Shard size of `save_pretrained` in transformers 4: 5 GB. */
export const DEFAULT_SHARD_BYTES = 5_000_000_000;
/** Largest index that is read; 100,000 tensors take about 10 MB. */
const MAX_INDEX_BYTES = 64 * 2 ** 20;
/** Most shards; the largest open models have a few hundred. Each costs an open file. */
const MAX_SHARDS = 4096;

/** What an index file says. */
export interface ShardIndex {
  /** File name by tensor name. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** Bytes of all tensors as declared; some writers get it wrong or leave it out. */
  readonly totalSize: number | null;
}

/** Tensors of a folder under one interface, whatever the number of files. */
export class HfWeights {
  readonly tensors: ReadonlyMap<string, TensorInfo & { readonly file: string }>;
  /** Metadata of the files, later ones winning; normally `format: pt` in each. */
  readonly metadata: ReadonlyMap<string, string>;
  /** File names in the order of their opening. */
  readonly files: readonly string[];
  readonly totalBytes: number;
  /** Oddities that change no weight, such as a wrong `total_size`; for the caller to report. */
  readonly warnings: readonly string[];
  private readonly open: ReadonlyMap<string, SafetensorsFile>;
  private readonly folder: string;

  constructor(folder: string, open: ReadonlyMap<string, SafetensorsFile>, warnings: readonly string[]) {
    this.folder = folder;
    this.open = open;
    this.warnings = warnings;
    this.files = [...open.keys()];
    const tensors = new Map<string, TensorInfo & { readonly file: string }>();
    const metadata = new Map<string, string>();
    let totalBytes = 0;
    for (const [file, shard] of open) {
      for (const [key, value] of shard.metadata) metadata.set(key, value);
      for (const info of shard.tensors.values()) {
        tensors.set(info.name, { ...info, file });
        totalBytes += info.bytes;
      }
    }
    this.tensors = tensors;
    this.metadata = metadata;
    this.totalBytes = totalBytes;
  }

  /** The facts of a tensor; a ScionError of kind `input` if there is none of this name. */
  info(tensor: string): TensorInfo & { readonly file: string } {
    return this.at(tensor).info;
  }

  async read(tensor: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.at(tensor).shard.read(tensor);
  }

  /** Bytes of rows `first` to `first + count` along the leading dimension. */
  async readRows(tensor: string, first: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.at(tensor).shard.readRows(tensor, first, count);
  }

  /** A tensor of F32, F16, BF16 or F64 as f32, row-major. */
  async readF32(tensor: string): Promise<Float32Array<ArrayBuffer>> {
    return this.at(tensor).shard.readF32(tensor);
  }

  async readRowsF32(tensor: string, first: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    return this.at(tensor).shard.readRowsF32(tensor, first, count);
  }

  async close(): Promise<void> {
    await Promise.all([...this.open.values()].map((file) => file.close()));
  }

  private at(tensor: string): { info: TensorInfo & { readonly file: string }; shard: SafetensorsFile } {
    const info = this.tensors.get(tensor);
    const shard = info && this.open.get(info.file);
    if (info && shard) return { info, shard };
    throw new ScionError('input', `${this.folder} has no tensor ${shown(tensor)}; it has ${this.tensors.size} others`, { folder: this.folder, tensor });
  }
}

/** A shard must be a plain file name: the index is a stranger's, and names become paths. */
function checkShardName(file: string, what: string): void {
  const plain = file.length <= 255 && file.endsWith('.safetensors') && !file.startsWith('.') && !/[/\\:\p{Cc}]/u.test(file);
  if (!plain) {
    throw new ScionError('format', `${what}: ${shown(file)} is no plain name of a safetensors file beside the index`, { file });
  }
}

/** Parses an index file. Kind `format` for anything but the published form and plain shard names. */
export function parseShardIndex(text: string, what: string): ShardIndex {
  const root = parseJson(text, what, { maxDepth: 8 });
  const map: JsonValue | undefined = root instanceof Map ? root.get('weight_map') : undefined;
  if (!(root instanceof Map) || !(map instanceof Map)) throw new ScionError('format', `${what}: an object with the object "weight_map" is needed`);
  const weightMap = new Map<string, string>();
  const files = new Set<string>();
  for (const [tensor, file] of map) {
    if (typeof file !== 'string') throw new ScionError('format', `${what}: the shard of tensor ${shown(tensor)} is no string`, { tensor });
    if (!files.has(file)) checkShardName(file, what);
    files.add(file);
    if (files.size > MAX_SHARDS) throw new ScionError('format', `${what}: more than ${MAX_SHARDS} shards`, { files: files.size });
    weightMap.set(tensor, file);
  }
  if (files.size === 0) throw new ScionError('format', `${what}: "weight_map" names no tensor`);
  const metadata = root.get('metadata');
  const declared = metadata instanceof Map ? metadata.get('total_size') : undefined;
  return { weightMap, totalSize: typeof declared === 'number' ? declared : null };
}

/** The text of an index file, as transformers writes it: sorted, indented by two. */
export function formatShardIndex(weightMap: ReadonlyMap<string, string>, totalSize: number): string {
  const sorted = [...weightMap].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const lines = sorted.map(([tensor, file]) => `    ${JSON.stringify(tensor)}: ${JSON.stringify(file)}`);
  return `{\n  "metadata": {\n    "total_size": ${totalSize}\n  },\n  "weight_map": {\n${lines.join(',\n')}\n  }\n}\n`;
}

/** Holds the index against the headers: nothing missing, nothing extra, everything in its shard. */
function checkIndex(index: ShardIndex, shards: ReadonlyMap<string, SafetensorsFile>, what: string): string[] {
  for (const [tensor, file] of index.weightMap) {
    if (shards.get(file)?.tensors.has(tensor)) continue;
    const elsewhere = [...shards].find(([, shard]) => shard.tensors.has(tensor))?.[0];
    const found = elsewhere === undefined ? 'no shard has it' : `it is in ${elsewhere}`;
    throw new ScionError('format', `${what}: tensor ${shown(tensor)} should be in ${file}; ${found}`, { tensor, file, elsewhere });
  }
  let total = 0;
  for (const [file, shard] of shards) {
    for (const { name, bytes } of shard.tensors.values()) {
      total += bytes;
      const home = index.weightMap.get(name);
      if (home === file) continue;
      const said = home === undefined ? 'the index does not list it' : `the index puts it in ${home}`;
      throw new ScionError('format', `${what}: ${file} holds tensor ${shown(name)}, but ${said}`, { tensor: name, file, home });
    }
  }
  return index.totalSize === null || index.totalSize === total ? [] : [`${what}: total_size says ${index.totalSize} bytes, the tensors have ${total}`];
}

/**
 * Opens the weights of a folder. Throws a ScionError: `input` if there are none or a listed shard
 * is missing, `format` if a file or the index is malformed or they contradict each other.
 */
export async function openHfWeights(files: HostFiles, folder: string): Promise<HfWeights> {
  const open = new Map<string, SafetensorsFile>();
  try {
    if ((await files.stat(joinPath(folder, SINGLE_NAME))) !== null) {
      await openShard(files, folder, SINGLE_NAME, open);
      return new HfWeights(folder, open, []);
    }
    const path = joinPath(folder, INDEX_NAME);
    const stat = await files.stat(path);
    if (stat === null)
      throw new ScionError('input', `${folder} holds neither ${SINGLE_NAME} nor ${INDEX_NAME}; is it a model folder with safetensors weights?`, { folder });
    if (stat.size > MAX_INDEX_BYTES) throw new ScionError('format', `${path}: ${stat.size} bytes; an index may have ${MAX_INDEX_BYTES}`, { size: stat.size });
    const index = parseShardIndex(decodeUtf8(await files.read(path), path), path);
    for (const file of [...new Set(index.weightMap.values())].sort()) {
      const found = await files.stat(joinPath(folder, file));
      if (found === null || found.isDirectory)
        throw new ScionError('input', `${path} lists the shard ${file}, which is not in the folder; is the download complete?`, { file });
      await openShard(files, folder, file, open);
    }
    return new HfWeights(folder, open, checkIndex(index, open, path));
  } catch (error) {
    await Promise.all([...open.values()].map((file) => file.close()));
    throw error;
  }
}

async function openShard(files: HostFiles, folder: string, file: string, open: Map<string, SafetensorsFile>): Promise<void> {
  const path = joinPath(folder, file);
  const reader = await files.open(path);
  try {
    open.set(file, await openSafetensors(reader, path));
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Splits entries, in their order, into shards of at most `maxBytes`; a larger tensor stands alone. */
export function planShards(entries: readonly TensorEntry[], maxBytes: number): TensorEntry[][] {
  const shards: TensorEntry[][] = [[]];
  let filled = 0;
  for (const entry of entries) {
    const bytes = entryBytes(entry);
    if (filled > 0 && filled + bytes > maxBytes) {
      shards.push([]);
      filled = 0;
    }
    shards[shards.length - 1].push(entry);
    filled += bytes;
  }
  return shards;
}

/**
 * Writes the weights of a model folder, which must exist and hold no weights yet: stale shards
 * beside new ones would be read as one model. Every file is synced; making the folder appear at
 * once is the caller's business (write aside, then rename). Returns the names of the files written.
 */
export async function writeHfWeights(
  files: HostFiles,
  folder: string,
  entries: readonly TensorEntry[],
  options: { maxShardBytes?: number; metadata?: Readonly<Record<string, string>> } = {},
): Promise<string[]> {
  const maxBytes = options.maxShardBytes ?? DEFAULT_SHARD_BYTES;
  if (!(maxBytes > 0)) throw new ScionError('usage', `a shard of at most ${maxBytes} bytes was asked for; give a positive number`, { maxBytes });
  const stale = (await files.list(folder)).find(({ name }) => /\.safetensors(\.index\.json)?$/.test(name));
  if (stale) throw new ScionError('input', `${folder} already holds weights (${stale.name}); write into a new folder`, { folder, stale: stale.name });
  layoutOrder(entries); // refuses a name used twice, also across shards
  const shards = planShards(entries, maxBytes);
  const metadata = options.metadata ?? { format: 'pt' };
  const number = (n: number) => String(n).padStart(5, '0');
  const names = shards.map((_, i) => (shards.length === 1 ? SINGLE_NAME : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`));
  const weightMap = new Map<string, string>();
  let totalSize = 0;
  for (const [i, shard] of shards.entries()) {
    await writeFile(files, joinPath(folder, names[i]), shard, metadata);
    for (const entry of shard) {
      weightMap.set(entry.name, names[i]);
      totalSize += entryBytes(entry);
    }
  }
  if (shards.length > 1) {
    const writer = await files.create(joinPath(folder, INDEX_NAME));
    try {
      await writer.write(new TextEncoder().encode(formatShardIndex(weightMap, totalSize)));
      await writer.sync();
    } finally {
      await writer.close();
    }
    names.push(INDEX_NAME);
  }
  return names;
}

async function writeFile(files: HostFiles, path: string, entries: readonly TensorEntry[], metadata: Readonly<Record<string, string>>): Promise<void> {
  const writer = await files.create(path);
  let done = false;
  try {
    await writeSafetensors(writer, entries, metadata);
    await writer.sync();
    done = true;
  } finally {
    await writer.close();
    // A torn file is worse than none: it might be taken for a model.
    if (!done) await files.remove(path);
  }
}
