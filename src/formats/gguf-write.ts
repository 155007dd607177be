/**
 * The writing half of GGUF: version 3, tensors of F32, F16 or BF16, streamed in the order given.
 * Shapes are given row-major and written reversed, as ggml counts sides from the innermost.
 */
import { invariant, ScionError } from '../base/errors.ts';
import type { FileWriter } from '../host/types.ts';
import { joinBytes, shown } from './bytes.ts';
import { alignUp, DEFAULT_ALIGNMENT, GGML_TYPES, GGUF_MAGIC, GGUF_TYPES, type GgufScalar, type GgufType, type GgufValue, ggmlBytes } from './gguf.ts';
import type { ByteChunks } from './safetensors-write.ts';

/** One tensor to write; `chunks` is called once, when its turn comes. */
export interface GgufEntry {
  readonly name: string;
  readonly dtype: 'F32' | 'F16' | 'BF16';
  readonly shape: readonly number[];
  readonly chunks: () => ByteChunks;
}

const encoder = new TextEncoder();

function fixed(bytes: number, set: (view: DataView) => void): Uint8Array {
  const out = new Uint8Array(bytes);
  set(new DataView(out.buffer));
  return out;
}

const u32 = (value: number): Uint8Array => fixed(4, (view) => view.setUint32(0, value, true));
const u64 = (value: number | bigint): Uint8Array => fixed(8, (view) => view.setBigUint64(0, BigInt(value), true));

function text(value: string): Uint8Array[] {
  const bytes = encoder.encode(value);
  return [u64(bytes.length), bytes];
}

/** Ranges of the integer types. */
const RANGES: Readonly<Partial<Record<GgufType, readonly [number, number]>>> = {
  u8: [0, 255],
  i8: [-128, 127],
  u16: [0, 65535],
  i16: [-32768, 32767],
  u32: [0, 2 ** 32 - 1],
  i32: [-(2 ** 31), 2 ** 31 - 1],
};

function scalar(type: Exclude<GgufType, 'array'>, value: GgufScalar, key: string): Uint8Array[] {
  const range = RANGES[type];
  if (type === 'string' && typeof value === 'string' && value.isWellFormed()) return text(value);
  if (type === 'bool' && typeof value === 'boolean') return [Uint8Array.of(value ? 1 : 0)];
  if (type === 'f32' && typeof value === 'number') return [fixed(4, (view) => view.setFloat32(0, value, true))];
  if (type === 'f64' && typeof value === 'number') return [fixed(8, (view) => view.setFloat64(0, value, true))];
  if (type === 'u64' && typeof value === 'bigint' && BigInt.asUintN(64, value) === value) return [u64(value)];
  if (type === 'i64' && typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return [u64(BigInt.asUintN(64, value))];
  if (range && typeof value === 'number' && Number.isInteger(value) && value >= range[0] && value <= range[1]) {
    const wide = fixed(4, (view) => view.setInt32(0, value | 0, true));
    return [wide.subarray(0, type.endsWith('8') ? 1 : type.endsWith('16') ? 2 : 4)];
  }
  throw new ScionError('input', `GGUF key ${shown(key)}: ${shown(String(value))} is no ${type}`, { key, type });
}

function encodeValue(key: string, value: GgufValue): Uint8Array[] {
  const id = u32(GGUF_TYPES.indexOf(value.type));
  if (value.type !== 'array') return [id, ...scalar(value.type, value.value, key)];
  const parts = [id, u32(GGUF_TYPES.indexOf(value.element)), u64(value.value.length)];
  for (const one of value.value) parts.push(...scalar(value.element, one, key));
  return parts;
}

function entryBytes({ name, dtype, shape }: GgufEntry): number {
  const nameBytes = encoder.encode(name).length;
  if (nameBytes === 0 || nameBytes > 63 || !name.isWellFormed())
    throw new ScionError('input', `a GGUF tensor cannot be named ${shown(name)}: 1 to 63 bytes are allowed`, { name });
  const legal = shape.length >= 1 && shape.length <= 4 && shape.every((n) => Number.isSafeInteger(n) && n > 0);
  const bytes = legal ? ggmlBytes(dtype, shape) : null;
  if (bytes === null) throw new ScionError('input', `GGUF tensor ${shown(name)} of ${dtype} cannot have shape [${shape.join(', ')}]`, { name, dtype, shape });
  return bytes;
}

/**
 * Writes a whole file and returns its length; neither syncs nor closes the writer. Kind `input` for
 * values that do not fit their type, `internal` for an entry that gives other bytes than its shape needs.
 */
export async function writeGguf(writer: FileWriter, metadata: ReadonlyMap<string, GgufValue>, entries: readonly GgufEntry[]): Promise<number> {
  if (metadata.has('general.alignment')) throw new ScionError('input', `general.alignment is set by the writer, to ${DEFAULT_ALIGNMENT}; leave it out`);
  const parts: Uint8Array[] = [u32(GGUF_MAGIC), u32(3), u64(entries.length), u64(metadata.size)];
  for (const [key, value] of metadata) {
    parts.push(...text(key));
    // One by one: a vocabulary has more parts than a call may have arguments.
    for (const part of encodeValue(key, value)) parts.push(part);
  }
  const names = new Set<string>();
  let offset = 0;
  for (const entry of entries) {
    const bytes = entryBytes(entry);
    if (names.has(entry.name)) throw new ScionError('input', `tensor ${shown(entry.name)} is given twice`, { name: entry.name });
    names.add(entry.name);
    parts.push(...text(entry.name), u32(entry.shape.length), ...[...entry.shape].reverse().map(u64), u32(GGML_TYPES[entry.dtype].id), u64(offset));
    offset = alignUp(offset + bytes, DEFAULT_ALIGNMENT);
  }
  const header = joinBytes(parts);
  const start = alignUp(header.length, DEFAULT_ALIGNMENT);
  await writer.write(header);
  await writer.write(new Uint8Array(start - header.length));
  for (const entry of entries) {
    const bytes = entryBytes(entry);
    let given = 0;
    for await (const chunk of entry.chunks()) {
      given += chunk.length;
      invariant(given <= bytes, `tensor ${shown(entry.name)} gives more than the ${bytes} bytes of its shape`, { name: entry.name, bytes });
      await writer.write(chunk);
    }
    invariant(given === bytes, `tensor ${shown(entry.name)} gives ${given} bytes, its shape needs ${bytes}`, { name: entry.name, given, bytes });
    await writer.write(new Uint8Array(alignUp(bytes, DEFAULT_ALIGNMENT) - bytes));
  }
  return start + offset;
}
