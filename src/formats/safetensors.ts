/**
 * safetensors: an 8-byte length, a JSON header, then the tensors back to back. The reader holds to
 * the published rules without mercy (docs/formats.md lists them), because a weight file comes from
 * strangers: nothing is allocated before its size has been checked against the file, and tensors
 * are read on demand. The writer streams, so a file may be larger than memory.
 */
import { ScionError } from '../base/errors.ts';
import type { FileReader } from '../host/types.ts';
import { asReader, checkedProduct, decodeUtf8, readExactly, shown } from './bytes.ts';
import { DTYPE_BITS, decodeF32, type FileDtype, isFileDtype } from './dtypes.ts';
import { JsonReader } from './json.ts';

/** Largest header, the limit of the reference implementation. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Most tensors in one file: bounds the objects a hostile header can make us build. */
export const MAX_TENSORS = 200_000;
/** Most entries of `__metadata__`. */
const MAX_METADATA = 100_000;
/** Most dimensions of a tensor. */
const MAX_RANK = 64;

/** One tensor of a file. `offset` is absolute, `bytes` its length, both in bytes. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: FileDtype;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

/** What a header says. */
export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Bytes that a tensor takes, or null where the number passes 2^53 - 1 or is no whole byte. */
export function tensorBytes(dtype: FileDtype, shape: readonly number[]): number | null {
  const bits = checkedProduct([...shape, DTYPE_BITS[dtype]]);
  return bits === null || bits % 8 !== 0 ? null : bits / 8;
}

function refuse(message: string, details: Record<string, unknown> = {}): never {
  throw new ScionError('format', message, details);
}

function readTensor(json: JsonReader, name: string, dataOffset: number, dataBytes: number): TensorInfo {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  json.object((key) => {
    if (key === 'dtype') dtype = json.string();
    else if (key === 'shape') shape = readNaturals(json, MAX_RANK, 'shape', name);
    else if (key === 'data_offsets') offsets = readNaturals(json, 2, 'data_offsets', name);
    else json.fail(`tensor ${shown(name)} has the unknown field ${shown(key)}`);
  });
  if (dtype === undefined || shape === undefined || offsets === undefined)
    json.fail(`tensor ${shown(name)} needs dtype, shape and data_offsets; before this point one is missing`);
  const who = `${json.what}: tensor ${shown(name)}`;
  if (!isFileDtype(dtype)) refuse(`${who} has the unknown dtype ${shown(dtype)}; known are ${Object.keys(DTYPE_BITS).join(' ')}`, { name, dtype });
  if (offsets.length !== 2) refuse(`${who} has ${offsets.length} data_offsets; two are needed, begin and end`, { name });
  const [begin, end] = offsets;
  if (begin > end || end > dataBytes) refuse(`${who} claims bytes ${begin} to ${end} of a buffer of ${dataBytes}`, { name, begin, end, dataBytes });
  const bytes = tensorBytes(dtype, shape);
  if (bytes !== end - begin) {
    const needs = bytes === null ? 'more than can be counted, or no whole number of bytes' : `${bytes} bytes`;
    refuse(`${who}: dtype ${dtype} and shape [${shape.join(', ')}] need ${needs}, its offsets give ${end - begin}`, { name, dtype, shape, begin, end });
  }
  return { name, dtype, shape, offset: dataOffset + begin, bytes };
}

function readNaturals(json: JsonReader, limit: number, field: string, name: string): number[] {
  const list: number[] = [];
  json.array(() => {
    if (list.length === limit) json.fail(`${field} of tensor ${shown(name)} has more than ${limit} numbers`);
    list.push(json.natural());
  });
  return list;
}

/**
 * Parses and checks a header. `header` are the bytes behind the 8-byte length, `dataBytes` is how
 * many bytes follow it in the file. Throws a ScionError of kind `format` that names the fault.
 */
export function parseSafetensorsHeader(header: Uint8Array, dataBytes: number, what: string): SafetensorsHeader {
  if (header[0] !== 0x7b) refuse(`${what}: the header must start with "{"; it starts with byte ${header[0]}`, { first: header[0] });
  const json = new JsonReader(decodeUtf8(header, `${what}: header`), `${what}: header`);
  const tensors = new Map<string, TensorInfo>();
  const metadata = new Map<string, string>();
  json.object((key) => {
    if (key !== '__metadata__') {
      if (tensors.size === MAX_TENSORS) json.fail(`more than ${MAX_TENSORS} tensors in one file`);
      tensors.set(key, readTensor(json, key, 8 + header.length, dataBytes));
      return;
    }
    json.object((entry) => {
      if (metadata.size === MAX_METADATA) json.fail(`more than ${MAX_METADATA} entries in __metadata__`);
      if (json.peek() !== '"') json.fail(`__metadata__ may hold strings only, but not so ${shown(entry)}`);
      metadata.set(entry, json.string());
    });
  });
  for (let i = json.at; i < json.text.length; i++) {
    if (json.text.charCodeAt(i) !== 32) {
      json.at = i;
      json.fail('only spaces may follow the header');
    }
  }
  checkCover(tensors, 8 + header.length, dataBytes, what);
  return { tensors, metadata };
}

/** The tensors must cover the buffer exactly: a hole may hide data, an overlap may alias it. */
function checkCover(tensors: ReadonlyMap<string, TensorInfo>, dataOffset: number, dataBytes: number, what: string): void {
  let at = dataOffset;
  for (const tensor of [...tensors.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (tensor.offset !== at) {
      const fault = tensor.offset < at ? `overlaps the one before it by ${at - tensor.offset}` : `leaves a hole of ${tensor.offset - at}`;
      refuse(`${what}: tensor ${shown(tensor.name)} at ${tensor.offset - dataOffset} ${fault} bytes`, { name: tensor.name });
    }
    at += tensor.bytes;
  }
  if (at !== dataOffset + dataBytes) {
    refuse(`${what}: the tensors cover ${at - dataOffset} bytes, the file holds ${dataBytes} behind its header`, { covered: at - dataOffset, dataBytes });
  }
}

/** An open file: its tensors by name in the order of the header, and ways to read them. */
export class SafetensorsFile {
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
  private readonly reader: FileReader;

  constructor(reader: FileReader, name: string, header: SafetensorsHeader) {
    this.reader = reader;
    this.name = name;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /** The facts of a tensor; a ScionError of kind `input` if there is none of this name. */
  info(tensor: string): TensorInfo {
    const info = this.tensors.get(tensor);
    if (info) return info;
    throw new ScionError('input', `${this.name} has no tensor ${shown(tensor)}; it has ${this.tensors.size} others`, { file: this.name, tensor });
  }

  /** The bytes of a tensor. */
  async read(tensor: string): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, bytes } = this.info(tensor);
    return readExactly(this.reader, offset, bytes, `${this.name}: tensor ${shown(tensor)}`);
  }

  /** The bytes of rows `first` to `first + count` along the leading dimension. */
  async readRows(tensor: string, first: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const { shape, offset, bytes } = this.info(tensor);
    const rows = shape[0] ?? 0;
    if (!(Number.isSafeInteger(first) && Number.isSafeInteger(count) && first >= 0 && count >= 0 && first + count <= rows)) {
      throw new ScionError('input', `${this.name}: rows ${first} to ${first + count} of tensor ${shown(tensor)} were asked for; it has ${rows}`, {
        tensor,
        first,
        count,
      });
    }
    const rowBytes = rows === 0 ? 0 : bytes / rows;
    if (!Number.isInteger(rowBytes)) throw new ScionError('input', `${this.name}: a row of tensor ${shown(tensor)} is no whole number of bytes`, { tensor });
    return readExactly(this.reader, offset + first * rowBytes, count * rowBytes, `${this.name}: tensor ${shown(tensor)}`);
  }

  /** A tensor of F32, F16, BF16 or F64 as f32, row-major. */
  async readF32(tensor: string): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.info(tensor);
    return decodeF32(await this.read(tensor), dtype, `${this.name}: tensor ${shown(tensor)}`);
  }

  /** Rows of such a tensor as f32. */
  async readRowsF32(tensor: string, first: number, count: number): Promise<Float32Array<ArrayBuffer>> {
    const { dtype } = this.info(tensor);
    return decodeF32(await this.readRows(tensor, first, count), dtype, `${this.name}: tensor ${shown(tensor)}`);
  }

  close(): Promise<void> {
    return this.reader.close();
  }
}

/**
 * Opens a file or bytes: reads and checks the header, no tensor yet. `name` stands in errors.
 * On failure a ScionError of kind `format`; the reader stays the caller's to close.
 */
export async function openSafetensors(source: FileReader | Uint8Array, name: string): Promise<SafetensorsFile> {
  const reader = asReader(source);
  if (reader.size < 8) refuse(`${name}: a safetensors file starts with 8 bytes of length; this one has ${reader.size} bytes in all`, { size: reader.size });
  const start = await readExactly(reader, 0, 8, name);
  const view = new DataView(start.buffer, start.byteOffset, 8);
  // Up to 2^64: inexact beyond 2^53, but far over the cap by then.
  const headerBytes = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  if (headerBytes > MAX_HEADER_BYTES)
    refuse(`${name}: the header claims ${view.getBigUint64(0, true)} bytes; at most ${MAX_HEADER_BYTES} are allowed`, { headerBytes });
  const dataBytes = reader.size - 8 - headerBytes;
  if (dataBytes < 0)
    refuse(`${name}: the header claims ${headerBytes} bytes, but only ${reader.size - 8} follow its length; is the file cut?`, {
      headerBytes,
      size: reader.size,
    });
  if (headerBytes === 0) refuse(`${name}: the header is empty; it needs at least "{}"`, { headerBytes });
  const header = await readExactly(reader, 8, headerBytes, `${name}: header`);
  return new SafetensorsFile(reader, name, parseSafetensorsHeader(header, dataBytes, name));
}
