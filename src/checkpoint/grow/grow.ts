/**
 * A model grown to a larger vocabulary: a new folder with more rows in the embedding and the head, the configs, index and tokenizer files that go
 * with them, and everything else as it was. Shards without these two matrices are linked, or copied byte for byte. The folder is
 * written aside and renamed, so under its own name it is whole or absent.
 */
import { ScionError } from '../../base/errors.ts';
import { dirName, joinPath } from '../../base/path.ts';
import { newRunId } from '../../base/run-id.ts';
import { shown } from '../../formats/bytes.ts';
import { formatShardIndex, type HfWeights, INDEX_NAME, openHfWeights, SINGLE_NAME } from '../../formats/hf-shards.ts';
import { jsonBytes } from '../../formats/json.ts';
import { entryBytes, type TensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { HostFiles } from '../../host/types.ts';
import type { LlamaConfig } from '../../nn/config.ts';
import { loadTokenizer, type Tokenizer } from '../../text/tokenizer.ts';
import { makeDurableDir } from '../folders.ts';
import { importHf } from '../hf.ts';
import { companionFiles, grownConfigs, plainNeighbours } from './folder-files.ts';
import { copiedEntry, grownEntry, type MatrixReport, rowDtype } from './matrices.ts';
import { type GrowMethod, prepareMethod } from './methods.ts';
import { EMBED_NAME, HEAD_NAME, NOTE_NAME } from './names.ts';
import type { Texts } from './similarity.ts';
import { type NewWord, sourcesOf } from './sources.ts';

/** Old rows of one matrix held at once: all of LLaMA-2-7B's in 16 bits. */
const ROW_BUDGET = 288 * 2 ** 20;
/** Bytes of a block when files are copied. */
const COPY_BYTES = 4 << 20;
/** What the folder takes beside what is counted. */
const SLACK_BYTES = 1 << 20;

/** What is grown, and how. */
export interface GrowOptions {
  /** Model folder of the base. */
  readonly base: string;
  /** Folder or file of the base's tokenizer; by default the one in `base`. */
  readonly baseTokenizer?: string;
  /** Folder of the grown tokenizer. */
  readonly tokenizer: string;
  /** Folder to make. */
  readonly out: string;
  readonly method: GrowMethod;
  readonly seed?: number;
  /** Texts for `weighted`, `focus` and `omp`. */
  readonly texts?: Texts | null;
  /** Rows are rounded up to a multiple of this; the rows beyond the tokenizer are padding. */
  readonly padTo?: number;
  /** Copies files where the host could link them. */
  readonly copy?: boolean;
  /** Called as rows are written: done and all, over both matrices. */
  readonly onProgress?: (done: number, all: number) => void;
  /** Old rows of a matrix held at once, in bytes. */
  readonly rowBudget?: number;
}

/** What was made. */
export interface GrowReport {
  /** Rows of each matrix now, and before. */
  readonly rows: number;
  readonly baseRows: number;
  /** First new id: the size of the base's tokenizer. */
  readonly firstNew: number;
  /** New pieces, special tokens and padding rows. */
  readonly pieces: number;
  readonly marks: number;
  readonly padding: number;
  readonly matrices: readonly MatrixReport[];
  readonly rewritten: readonly string[];
  readonly linked: readonly string[];
  readonly copied: readonly string[];
  readonly warnings: readonly string[];
}

/** Both tokenizers and what the new ids are made of. */
interface Words {
  readonly base: Tokenizer;
  readonly grown: Tokenizer;
  readonly words: readonly NewWord[];
  readonly rows: number;
}

async function readWords(files: HostFiles, options: GrowOptions, config: LlamaConfig): Promise<Words> {
  const base = await loadTokenizer(files, options.baseTokenizer ?? options.base);
  const grown = await loadTokenizer(files, options.tokenizer);
  if (config.vocabSize < base.vocabSize)
    throw new ScionError(
      'input',
      `${options.base} has ${config.vocabSize} rows, its tokenizer ${base.vocabSize} pieces: ${base.vocabSize - config.vocabSize} pieces have no row. Is this the tokenizer of this model? (--base-tokenizer names another)`,
      { rows: config.vocabSize, pieces: base.vocabSize },
    );
  const padTo = options.padTo ?? 1;
  if (!Number.isSafeInteger(padTo) || padTo < 1)
    throw new ScionError('usage', `rows cannot be padded to a multiple of ${padTo}; give a whole number from 1`, { padTo });
  const rows = Math.ceil(grown.vocabSize / padTo) * padTo;
  const words = sourcesOf(base, grown, rows);
  if (words.length === 0)
    throw new ScionError('input', `${options.tokenizer} has ${grown.vocabSize} pieces, as many as the base's tokenizer: there is nothing to add`, {
      size: grown.vocabSize,
    });
  return { base, grown, words, rows };
}

/** Refuses an --out that holds something. */
async function checkFree(files: HostFiles, out: string): Promise<void> {
  const stat = await files.stat(out);
  if (stat && (!stat.isDirectory || (await files.list(out)).length > 0))
    throw new ScionError('input', `${out} exists and is not empty; choose another --out or remove it`, { out });
}

async function needSpace(files: HostFiles, parent: string, needed: number): Promise<void> {
  const free = await files.free(parent);
  if (free !== null && free < needed)
    throw new ScionError('space', `the grown model needs ${needed} bytes below ${parent}, ${free} are free; free some or choose another --out`, {
      needed,
      free,
    });
}

/**
 * Grows a model. Memory is bounded by `rowBudget` and some blocks; the base is not touched.
 * @throws ScionError `input` for tokenizers, rows or configs that do not belong together, `usage` for impossible options, `space` before anything is
 * written, `numeric` for rows that leave the range of their type. The folder `out` is then absent.
 */
export async function growModel(files: HostFiles, options: GrowOptions): Promise<GrowReport> {
  const { base, out, onProgress = () => {} } = options;
  await checkFree(files, out);
  const source = await importHf(files, base);
  const { config, warnings } = source;
  await source.close();
  const all = await readWords(files, options, config);
  const { words, rows } = all;
  const firstNew = all.base.vocabSize;
  const makerOf = await prepareMethod({
    method: options.method,
    base: all.base,
    grown: all.grown,
    words,
    baseSize: firstNew,
    seed: options.seed ?? 0,
    texts: options.texts ?? null,
  });
  const weights = await openHfWeights(files, base);
  try {
    const names = [EMBED_NAME, HEAD_NAME].filter((name) => weights.tensors.has(name));
    const matrices: MatrixReport[] = [];
    let done = 0;
    const grown = new Map(
      names.map((name) => {
        const info = weights.info(name);
        rowDtype(info, `${base}: ${name}`);
        // A stored head that is tied must stay equal to the embedding, so both draw from one stream.
        const maker = makerOf(name === HEAD_NAME && !config.tied ? 1 : 0);
        const onRows = (count: number): void => {
          done += count;
          onProgress(done, rows * names.length);
        };
        const rowBudget = options.rowBudget ?? ROW_BUDGET;
        if (info.shape.length !== 2 || info.shape[0] < firstNew)
          throw new ScionError(
            'input',
            `${base}: ${name} is [${info.shape.join(', ')}], the base's tokenizer has ${firstNew} pieces; a row for each is needed`,
            {
              tensor: name,
            },
          );
        return [name, grownEntry(weights, name, { baseSize: firstNew, words, maker, rowBudget, onRows, onDone: (r) => matrices.push(r) })];
      }),
    );
    const entries = shardEntries(weights, grown);
    const beside = { ...(await grownConfigs(files, base, all.grown, rows)), ...(await companionFiles(files, options.tokenizer, all.grown)) };
    const index = indexOf(weights, entries);
    if (index !== null) beside[INDEX_NAME] = index;
    beside[NOTE_NAME] = jsonBytes({ method: options.method, seed: options.seed ?? 0, firstNew, baseRows: config.vocabSize, rows });
    const neighbours = await plainNeighbours(files, base, new Set(Object.keys(beside)));
    const placed = await placeFolder(files, options, {
      entries,
      metadata: Object.fromEntries(weights.metadata),
      beside,
      other: [...weights.files.filter((f) => !entries.has(f)), ...neighbours],
    });
    const count = (kind: NewWord['kind']): number => words.filter((word) => word.kind === kind).length;
    return {
      rows,
      baseRows: config.vocabSize,
      firstNew,
      pieces: count('piece'),
      marks: count('mark'),
      padding: count('padding'),
      matrices,
      rewritten: [...entries.keys()],
      ...placed,
      warnings: [...warnings, ...weights.warnings],
    };
  } finally {
    await weights.close();
  }
}

/** The tensors of every shard that must be written anew. */
function shardEntries(weights: HfWeights, grown: ReadonlyMap<string, TensorEntry>): Map<string, TensorEntry[]> {
  const touched = new Set([...grown.keys()].map((name) => weights.info(name).file));
  const out = new Map<string, TensorEntry[]>();
  for (const info of weights.tensors.values()) {
    if (!touched.has(info.file)) continue;
    const entries = out.get(info.file) ?? [];
    entries.push(grown.get(info.name) ?? copiedEntry(weights, info));
    out.set(info.file, entries);
  }
  return out;
}

/** The index with the new total, where the base has one. */
function indexOf(weights: HfWeights, entries: ReadonlyMap<string, readonly TensorEntry[]>): Uint8Array | null {
  if (weights.files.length === 1 && weights.files[0] === SINGLE_NAME) return null;
  let total = 0;
  for (const info of weights.tensors.values()) if (!entries.has(info.file)) total += info.bytes;
  for (const shard of entries.values()) for (const entry of shard) total += entryBytes(entry);
  const map = new Map([...weights.tensors.values()].map((info) => [info.name, info.file]));
  return new TextEncoder().encode(formatShardIndex(map, total));
}

/** Everything that the new folder holds. */
interface Contents {
  readonly entries: ReadonlyMap<string, readonly TensorEntry[]>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly beside: Readonly<Record<string, Uint8Array>>;
  /** Files of the base that stay as they are. */
  readonly other: readonly string[];
}

async function placeFolder(files: HostFiles, options: GrowOptions, contents: Contents): Promise<{ linked: string[]; copied: string[] }> {
  const { base, out } = options;
  const { entries, beside, other } = contents;
  const sizes = new Map<string, number>();
  for (const name of other) sizes.set(name, (await files.stat(joinPath(base, name)))?.size ?? 0);
  const written = [...entries.values()].flat().reduce((sum, e) => sum + entryBytes(e), 0) + Object.values(beside).reduce((sum, b) => sum + b.length, 0);
  const copies = (names: readonly string[]): number => names.reduce((sum, name) => sum + (sizes.get(name) ?? 0), 0);
  const parent = dirName(out);
  const mayLink = options.copy !== true && files.link !== undefined;
  await needSpace(files, parent, written + SLACK_BYTES + (mayLink ? 0 : copies(other)));
  await makeDurableDir(files, parent);
  const aside = `${out}.tmp-${newRunId()}`;
  try {
    await files.makeDir(aside);
    const linked: string[] = [];
    // Links first: they take no space, and show what has to be copied.
    if (mayLink) for (const name of other) if (await files.link?.(joinPath(base, name), joinPath(aside, name))) linked.push(name);
    const copied = other.filter((name) => !linked.includes(name));
    if (mayLink && copied.length > 0) await needSpace(files, parent, written + SLACK_BYTES + copies(copied));
    for (const [name, bytes] of Object.entries(beside)) await writeDurable(files, joinPath(aside, name), [bytes]);
    for (const name of copied) await writeDurable(files, joinPath(aside, name), fileChunks(files, joinPath(base, name)));
    for (const [name, shard] of entries) {
      const writer = await files.create(joinPath(aside, name));
      try {
        await writeSafetensors(writer, shard, contents.metadata);
        await writer.sync();
      } finally {
        await writer.close();
      }
    }
    await files.syncDir(aside);
    await files.rename(aside, out);
    await files.syncDir(parent);
    return { linked, copied };
  } catch (error) {
    await files.remove(aside).catch(() => undefined);
    throw error;
  }
}

async function* fileChunks(files: HostFiles, path: string): AsyncGenerator<Uint8Array> {
  const reader = await files.open(path);
  try {
    for (let at = 0; at < reader.size; at += COPY_BYTES) {
      const bytes = await reader.read(at, Math.min(COPY_BYTES, reader.size - at));
      if (bytes.length === 0) throw new ScionError('io', `${shown(path)} became shorter while it was copied`, { path });
      yield bytes;
    }
  } finally {
    await reader.close();
  }
}

async function writeDurable(files: HostFiles, path: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
  const writer = await files.create(path);
  try {
    for await (const chunk of chunks) await writer.write(chunk);
    await writer.sync();
  } finally {
    await writer.close();
  }
}
