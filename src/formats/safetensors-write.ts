/**
 * The writing half of safetensors. The header goes out first, so all shapes must be known, but the
 * bytes may come in chunks from anywhere: nothing larger than a chunk is held. Tensors are laid out
 * by falling element width and then by name, exactly as the reference writer does, and metadata keys are
 * sorted: equal content gives equal files, whatever the order of the entries.
 */
import { invariant, ScionError } from '../base/errors.ts';
import type { FileWriter } from '../host/types.ts';
import { shown } from './bytes.ts';
import { DTYPE_BITS, type FileDtype } from './dtypes.ts';
import { MAX_HEADER_BYTES, tensorBytes } from './safetensors.ts';

/** Chunks of bytes, ready or to come. */
export type ByteChunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** One tensor to write; `chunks` is called once, when its turn comes, and must give all its bytes. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: FileDtype;
  readonly shape: readonly number[];
  readonly chunks: () => ByteChunks;
}

/** An entry whose bytes are at hand. */
export function tensorEntry(name: string, dtype: FileDtype, shape: readonly number[], bytes: Uint8Array): TensorEntry {
  return { name, dtype, shape, chunks: () => [bytes] };
}

/** Wide types first, so that every tensor is aligned to its width. */
const LAYOUT_RANK: ReadonlyMap<string, number> = new Map(Object.keys(DTYPE_BITS).map((dtype, i) => [dtype, i]));

const rank = (dtype: FileDtype): number => LAYOUT_RANK.get(dtype) ?? 0;

const compareNames = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Bytes of an entry, after the checks that a reader will make as well. Kind `input` on failure. */
export function entryBytes(entry: TensorEntry): number {
  const { name, dtype, shape } = entry;
  if (name === '__metadata__' || !name.isWellFormed()) throw new ScionError('input', `a tensor cannot be named ${shown(name)} in a safetensors file`, { name });
  const bytes = shape.every((n) => Number.isSafeInteger(n) && n >= 0) ? tensorBytes(dtype, shape) : null;
  if (bytes === null) throw new ScionError('input', `tensor ${shown(name)} of ${dtype} cannot have shape [${shape.join(', ')}]`, { name, dtype, shape });
  return bytes;
}

/** The entries in the order in which their bytes lie in a file. Kind `input` for a name used twice. */
export function layoutOrder(entries: readonly TensorEntry[]): TensorEntry[] {
  const ordered = [...entries].sort((a, b) => rank(b.dtype) - rank(a.dtype) || compareNames(a.name, b.name));
  const names = new Set<string>();
  for (const { name } of ordered) {
    if (names.has(name)) throw new ScionError('input', `tensor ${shown(name)} is given twice`, { name });
    names.add(name);
  }
  return ordered;
}

/** Header with its 8-byte length, padded with spaces so that the data starts at a multiple of 8. */
export function encodeSafetensorsHeader(ordered: readonly TensorEntry[], metadata: Readonly<Record<string, string>> = {}): Uint8Array<ArrayBuffer> {
  const fields: string[] = [];
  const keys = Object.keys(metadata).sort(compareNames);
  for (const key of keys) {
    if (typeof metadata[key] !== 'string' || !metadata[key].isWellFormed() || !key.isWellFormed()) {
      throw new ScionError('input', `metadata ${shown(key)} must be a well-formed string`, { key });
    }
  }
  if (keys.length > 0) fields.push(`"__metadata__":{${keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`).join(',')}}`);
  let at = 0;
  for (const entry of ordered) {
    const end = at + entryBytes(entry);
    fields.push(`${JSON.stringify(entry.name)}:{"dtype":"${entry.dtype}","shape":[${entry.shape.join(',')}],"data_offsets":[${at},${end}]}`);
    at = end;
  }
  const text = new TextEncoder().encode(`{${fields.join(',')}}`);
  const length = Math.ceil(text.length / 8) * 8;
  if (length > MAX_HEADER_BYTES)
    throw new ScionError('input', `the header needs ${length} bytes, at most ${MAX_HEADER_BYTES} are allowed; write more, smaller shards`, { length });
  const out = new Uint8Array(8 + length).fill(32);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(text, 8);
  return out;
}

/**
 * Writes a whole file and returns its length in bytes; neither syncs nor closes the writer. An
 * entry that gives fewer or more bytes than its shape needs is a ScionError of kind `internal`;
 * what was written so far is then the caller's to remove.
 */
export async function writeSafetensors(writer: FileWriter, entries: readonly TensorEntry[], metadata: Readonly<Record<string, string>> = {}): Promise<number> {
  const ordered = layoutOrder(entries);
  const header = encodeSafetensorsHeader(ordered, metadata);
  await writer.write(header);
  let total = header.length;
  for (const entry of ordered) {
    const bytes = entryBytes(entry);
    let given = 0;
    for await (const chunk of entry.chunks()) {
      given += chunk.length;
      invariant(given <= bytes, `tensor ${shown(entry.name)} gives more than the ${bytes} bytes of its shape`, { name: entry.name, bytes });
      await writer.write(chunk);
    }
    invariant(given === bytes, `tensor ${shown(entry.name)} gives ${given} bytes, its shape needs ${bytes}`, { name: entry.name, given, bytes });
    total += bytes;
  }
  return total;
}
