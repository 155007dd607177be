/**
 * GGUF, the file of llama.cpp: metadata, tensor table, padding, tensors. Versions 2 and 3, little-
 * endian. Own and small rather than a dependency, because a model file comes from strangers: every
 * count is held against the bytes that are left before anything is built from it. Reads every
 * type's bytes, and F32, F16, BF16, F64 and Q8_0 as f32; of the other quantised types only sizes are known.
 */
import { ScionError } from '../base/errors.ts';
import { fromHalfBits } from '../base/half.ts';
import type { FileReader } from '../host/types.ts';
import { asReader, checkedProduct, decodeUtf8, readExactly, shown } from './bytes.ts';
import { decodeF32 } from './dtypes.ts';

export const GGUF_MAGIC = 0x46554747;
export const DEFAULT_ALIGNMENT = 32;
/** Largest metadata and tensor table; a 256,000-word vocabulary with merges takes about 12 MB. */
const MAX_HEADER_BYTES = 256 * 2 ** 20;
const MAX_KEYS = 100_000;
const MAX_TENSORS = 200_000;
/** Limits of ggml: dimensions, bytes of a tensor's name. */
const MAX_RANK = 4;
const MAX_NAME_BYTES = 64;
const MAX_KEY_BYTES = 65_535;
/** Most array elements of a file together; a large vocabulary has about a million with its merges. */
const MAX_ELEMENTS = 8_000_000;
const FIRST_READ = 2 ** 20;

/** Value types, in the order of their numbers in the file. */
export const GGUF_TYPES = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', 'string', 'array', 'u64', 'i64', 'f64'] as const;
export type GgufType = (typeof GGUF_TYPES)[number];
/** Bytes of the types of fixed size. */
const FIXED_BYTES: Readonly<Partial<Record<GgufType, number>>> = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, bool: 1, u64: 8, i64: 8, f64: 8 };

export type GgufScalar = number | bigint | boolean | string;
/** A typed value. 64-bit integers are bigints. `element` is the type inside an array. */
export type GgufValue =
  | { readonly type: Exclude<GgufType, 'array'>; readonly value: GgufScalar }
  | { readonly type: 'array'; readonly element: Exclude<GgufType, 'array'>; readonly value: readonly GgufScalar[] };

/** Tensor types: number in the file, elements a block, bytes a block (ggml). */
export const GGML_TYPES = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q5_0: { id: 6, block: 32, bytes: 22 },
  Q5_1: { id: 7, block: 32, bytes: 24 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q2_K: { id: 10, block: 256, bytes: 84 },
  Q3_K: { id: 11, block: 256, bytes: 110 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
  IQ4_NL: { id: 20, block: 32, bytes: 18 },
  IQ4_XS: { id: 23, block: 256, bytes: 136 },
  I8: { id: 24, block: 1, bytes: 1 },
  I16: { id: 25, block: 1, bytes: 2 },
  I32: { id: 26, block: 1, bytes: 4 },
  I64: { id: 27, block: 1, bytes: 8 },
  F64: { id: 28, block: 1, bytes: 8 },
  BF16: { id: 30, block: 1, bytes: 2 },
} as const;
export type GgmlType = keyof typeof GGML_TYPES;

const TYPE_BY_ID: ReadonlyMap<number, GgmlType> = new Map((Object.keys(GGML_TYPES) as GgmlType[]).map((name) => [GGML_TYPES[name].id, name]));

/** One tensor. `shape` is row-major as in Hugging Face files: GGUF's own order reversed. */
export interface GgufTensor {
  readonly name: string;
  readonly dtype: GgmlType;
  readonly shape: readonly number[];
  /** Absolute, in bytes. */
  readonly offset: number;
  readonly bytes: number;
}

/** Bytes of a tensor, or null where its rows are no whole number of blocks or the size passes 2^53. */
export function ggmlBytes(dtype: GgmlType, shape: readonly number[]): number | null {
  const { block, bytes } = GGML_TYPES[dtype];
  const columns = shape[shape.length - 1];
  if (columns % block !== 0) return null;
  return checkedProduct([...shape.slice(0, -1), columns / block, bytes]);
}

/** `n` rounded up to the alignment. */
export const alignUp = (n: number, alignment: number): number => Math.ceil(n / alignment) * alignment;

/** Thrown and caught here only: the header goes on behind what was read so far. */
class NeedMore extends Error {}

/** Takes values off the first bytes of a file of `size` bytes. */
class Cursor {
  at = 0;
  readonly what: string;
  private elements = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly size: number;

  constructor(bytes: Uint8Array, size: number, what: string) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.size = size;
    this.what = what;
  }

  fail(message: string, details: Record<string, unknown> = {}): never {
    throw new ScionError('format', `${this.what}: ${message}, at byte ${this.at} of ${this.size}`, { at: this.at, size: this.size, ...details });
  }

  /** Claims `length` bytes and gives their offset. */
  take(length: number, purpose: string): number {
    if (length > this.size - this.at) this.fail(`${purpose} needs ${length} bytes, ${this.size - this.at} are left; is the file cut?`);
    if (length > this.bytes.length - this.at) throw new NeedMore();
    const at = this.at;
    this.at += length;
    return at;
  }

  u32(purpose: string): number {
    return this.view.getUint32(this.take(4, purpose), true);
  }

  /** A 64-bit count; kind `format` beyond the limit. */
  count(limit: number, purpose: string): number {
    const value = this.view.getBigUint64(this.take(8, purpose), true);
    if (value > BigInt(limit)) this.fail(`${purpose} is ${value}; at most ${limit} makes sense`);
    return Number(value);
  }

  string(limit: number, purpose: string): string {
    const length = this.count(limit, `the length of ${purpose}`);
    const at = this.take(length, purpose);
    return decodeUtf8(this.bytes.subarray(at, at + length), `${this.what}: ${purpose}`);
  }

  type(purpose: string): GgufType {
    const id = this.u32(purpose);
    return GGUF_TYPES[id] ?? this.fail(`${purpose} is ${id}; types go from 0 to ${GGUF_TYPES.length - 1}`);
  }

  scalar(type: Exclude<GgufType, 'array'>, purpose: string): GgufScalar {
    if (type === 'string') return this.string(MAX_HEADER_BYTES, purpose);
    const at = this.take(FIXED_BYTES[type] ?? 0, purpose);
    switch (type) {
      case 'u8':
        return this.view.getUint8(at);
      case 'i8':
        return this.view.getInt8(at);
      case 'u16':
        return this.view.getUint16(at, true);
      case 'i16':
        return this.view.getInt16(at, true);
      case 'u32':
        return this.view.getUint32(at, true);
      case 'i32':
        return this.view.getInt32(at, true);
      case 'f32':
        return this.view.getFloat32(at, true);
      case 'u64':
        return this.view.getBigUint64(at, true);
      case 'i64':
        return this.view.getBigInt64(at, true);
      case 'f64':
        return this.view.getFloat64(at, true);
      case 'bool': {
        const byte = this.view.getUint8(at);
        if (byte > 1) this.fail(`${purpose} is a bool of value ${byte}`);
        return byte === 1;
      }
    }
  }

  value(key: string): GgufValue {
    const purpose = `the value of ${shown(key)}`;
    const type = this.type(`the type of ${shown(key)}`);
    if (type !== 'array') return { type, value: this.scalar(type, purpose) };
    const element = this.type(`the element type of ${shown(key)}`);
    if (element === 'array') this.fail(`${shown(key)} is an array of arrays, which no reader supports`);
    // A string takes at least its 8 bytes of length, so the count is bounded by the bytes left.
    const each = FIXED_BYTES[element] ?? 8;
    const length = this.count(Math.floor((this.size - this.at - 8) / each), `the length of ${shown(key)}`);
    this.elements += length;
    if (this.elements > MAX_ELEMENTS) this.fail(`the arrays have more than ${MAX_ELEMENTS} elements together`);
    if (length * each > this.bytes.length - this.at) throw new NeedMore();
    const value: GgufScalar[] = [];
    for (let i = 0; i < length; i++) value.push(this.scalar(element, purpose));
    return { type, element, value };
  }
}

interface Header {
  readonly version: number;
  readonly alignment: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

function readMetadata(cursor: Cursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.string(MAX_KEY_BYTES, `key ${i}`);
    if (key === '') cursor.fail(`key ${i} is empty`);
    if (metadata.has(key)) cursor.fail(`the key ${shown(key)} stands twice`);
    metadata.set(key, cursor.value(key));
  }
  return metadata;
}

function alignmentOf(cursor: Cursor, metadata: ReadonlyMap<string, GgufValue>): number {
  const given = metadata.get('general.alignment');
  if (!given) return DEFAULT_ALIGNMENT;
  const value = given.value;
  if (given.type !== 'u32' || typeof value !== 'number' || value < 8 || value > 2 ** 20 || !Number.isInteger(Math.log2(value))) {
    return cursor.fail(`general.alignment is ${String(value)} of type ${given.type}; a u32 power of two from 8 to 2^20 is needed`);
  }
  return value;
}

function readTable(cursor: Cursor, count: number, alignment: number, size: number): Map<string, GgufTensor> {
  const table: GgufTensor[] = [];
  const tensors = new Map<string, GgufTensor>();
  let expected = 0;
  for (let i = 0; i < count; i++) {
    const name = cursor.string(MAX_NAME_BYTES, `the name of tensor ${i}`);
    const who = `tensor ${shown(name)}`;
    if (name === '') cursor.fail(`tensor ${i} has no name`);
    if (tensors.has(name)) cursor.fail(`${who} stands twice`);
    const rank = cursor.u32(`the rank of ${who}`);
    if (rank < 1 || rank > MAX_RANK) cursor.fail(`${who} has rank ${rank}; 1 to ${MAX_RANK} are allowed`);
    const shape = Array.from({ length: rank }, () => cursor.count(Number.MAX_SAFE_INTEGER, `a side of ${who}`)).reverse();
    if (shape.includes(0)) cursor.fail(`${who} has a side of 0: [${shape.join(', ')}]`);
    const id = cursor.u32(`the type of ${who}`);
    const dtype = TYPE_BY_ID.get(id) ?? cursor.fail(`${who} has the type ${id}, which is not known here; convert the model to F16 or Q8_0`, { type: id });
    const offset = cursor.count(Number.MAX_SAFE_INTEGER, `the offset of ${who}`);
    const bytes = ggmlBytes(dtype, shape) ?? cursor.fail(`${who}: shape [${shape.join(', ')}] is no whole number of ${dtype} blocks, or too large`);
    if (offset !== expected) cursor.fail(`${who} is at offset ${offset}; ${expected} was expected, right behind the one before it`);
    if (bytes > size) cursor.fail(`${who} takes ${bytes} bytes, more than the whole file`);
    expected = alignUp(offset + bytes, alignment);
    const tensor = { name, dtype, shape, offset, bytes };
    table.push(tensor);
    tensors.set(name, tensor);
  }
  const base = alignUp(cursor.at, alignment);
  const last = table[table.length - 1];
  const least = last ? base + last.offset + last.bytes : cursor.at;
  const most = base + expected;
  if (size < least || size > most) cursor.fail(`the tensors end at byte ${least} (${most} with padding), the file has ${size}; is it cut?`, { least, most });
  for (const tensor of table) tensors.set(tensor.name, { ...tensor, offset: base + tensor.offset });
  return tensors;
}

function parseHeader(bytes: Uint8Array, size: number, what: string): Header {
  const cursor = new Cursor(bytes, size, what);
  const magic = cursor.u32('the magic number');
  if (magic !== GGUF_MAGIC) cursor.fail(`a GGUF file starts with "GGUF"; this one starts with 0x${magic.toString(16)}`);
  const version = cursor.u32('the version');
  if (version !== 2 && version !== 3)
    cursor.fail(`GGUF version ${version}; 2 and 3 are read${version >= 2 ** 24 ? ' (this looks big-endian)' : ''}`, { version });
  const tensorCount = cursor.count(MAX_TENSORS, 'the number of tensors');
  const keyCount = cursor.count(MAX_KEYS, 'the number of keys');
  const metadata = readMetadata(cursor, keyCount);
  const alignment = alignmentOf(cursor, metadata);
  return { version, alignment, metadata, tensors: readTable(cursor, tensorCount, alignment, size) };
}

/** f32 values of Q8_0 blocks: an f16 scale, then 32 signed bytes. */
export function decodeQ8(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const blocks = bytes.length / 34;
  const out = new Float32Array(blocks * 32);
  for (let b = 0; b < blocks; b++) {
    const at = 34 * b;
    const scale = fromHalfBits(bytes[at] | (bytes[at + 1] << 8));
    for (let i = 0; i < 32; i++) out[32 * b + i] = scale * ((bytes[at + 2 + i] << 24) >> 24);
  }
  return out;
}

/** An open file. */
export class GgufFile {
  readonly name: string;
  readonly version: number;
  readonly alignment: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  private readonly reader: FileReader;

  constructor(reader: FileReader, name: string, header: Header) {
    this.reader = reader;
    this.name = name;
    this.version = header.version;
    this.alignment = header.alignment;
    this.metadata = header.metadata;
    this.tensors = header.tensors;
  }

  /** The bytes of a tensor, as stored. */
  async read(tensor: string): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, bytes } = this.info(tensor);
    return readExactly(this.reader, offset, bytes, `${this.name}: tensor ${shown(tensor)}`);
  }

  /** A tensor of F32, F16, BF16, F64 or Q8_0 as f32, row-major. */
  async readF32(tensor: string): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.info(tensor);
    const bytes = await this.read(tensor);
    return dtype === 'Q8_0' ? decodeQ8(bytes) : decodeF32(bytes, dtype, `${this.name}: tensor ${shown(tensor)}`);
  }

  /** The facts of a tensor; a ScionError of kind `input` if there is none of this name. */
  info(tensor: string): GgufTensor {
    const info = this.tensors.get(tensor);
    if (info) return info;
    throw new ScionError('input', `${this.name} has no tensor ${shown(tensor)}; it has ${this.tensors.size} others`, { file: this.name, tensor });
  }

  close(): Promise<void> {
    return this.reader.close();
  }
}

/**
 * Opens a file or bytes: reads and checks metadata and tensor table. Throws a ScionError of kind
 * `format`; the reader stays the caller's to close.
 */
export async function openGguf(source: FileReader | Uint8Array, name: string): Promise<GgufFile> {
  const reader = asReader(source);
  // The header's length is written nowhere: read a piece, and one four times as long if it goes on.
  for (let length = Math.min(FIRST_READ, reader.size); ; length = Math.min(4 * length, reader.size, MAX_HEADER_BYTES)) {
    const bytes = await readExactly(reader, 0, length, name);
    try {
      return new GgufFile(reader, name, parseHeader(bytes, reader.size, name));
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
      if (length >= MAX_HEADER_BYTES || length >= reader.size) {
        throw new ScionError('format', `${name}: metadata and tensor table take more than ${length} bytes; at most ${MAX_HEADER_BYTES} are read`, { length });
      }
    }
  }
}
