/**
 * A column chunk of a Parquet file looked over before it is decoded: hyparquet believes what pages say of
 * themselves, so a few bytes could ask it for gigabytes. Here every page is unpacked under a cap and the
 * counts that decoding will act on (values, runs, prefixes) are checked against what is really there.
 * The unpacked pages are kept, so nothing is unpacked twice.
 */

import type { ColumnMetaData, CompressionCodec, PageHeader, SchemaTree } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { deltaBinaryUnpack } from 'hyparquet/src/delta.js';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from 'hyparquet/src/schema.js';
import { snappyUncompress } from 'hyparquet/src/snappy.js';
import { ScionError } from '../base/errors.ts';
import { joinBytes } from './bytes.ts';
import { gunzip, unzstd } from './compress.ts';

/** Writers pad the last run of packed values; this many above the count are let pass. */
const PADDING = 512;
/** One page; writers make them of about 1 MiB, but of one value at least. */
const MAX_PAGE_BYTES = 256 * 2 ** 20;

/** Bytes that may still come out of a row group; `take` throws when they are used up. */
export interface Budget {
  take(bytes: number): void;
}

const refuse = (name: string, what: string, details: Record<string, unknown> = {}): ScionError =>
  new ScionError('format', `${name}: damaged Parquet data: ${what}`, details);

const levelWidth = (level: number): number => 32 - Math.clz32(level);

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return parts.length === 1 ? parts[0] : joinBytes(parts);
}

/** The bytes of a page; exactly `length` of them. */
export async function unpackPage(packed: Uint8Array, length: number, codec: CompressionCodec, name: string): Promise<Uint8Array> {
  const options = { name, maxBytes: length, maxRatio: Number.POSITIVE_INFINITY };
  let page: Uint8Array;
  if (codec === 'UNCOMPRESSED') page = packed;
  else if (codec === 'GZIP') page = await collect(gunzip([packed], options));
  else if (codec === 'ZSTD') page = await collect(unzstd([packed], options));
  else if (codec === 'SNAPPY') {
    page = new Uint8Array(length);
    snappyUncompress(packed, page);
  } else if (codec === 'BROTLI' || codec === 'LZ4' || codec === 'LZ4_RAW') {
    const codecs = await import('hyparquet-compressors');
    page = { BROTLI: codecs.decompressBrotli, LZ4: codecs.decompressLz4, LZ4_RAW: codecs.decompressLz4Raw }[codec](packed, length);
  } else throw new ScionError('format', `${name}: packed with ${codec}; read are uncompressed, snappy, gzip, zstd, brotli and lz4`, { codec });
  if (page.length !== length) throw refuse(name, `a page unpacks to ${page.length} bytes, its header says ${length}`);
  return page;
}

/** The runs of a run-length or bit-packed sequence of `count` values: none may promise more than that. */
function checkRuns(bytes: Uint8Array, width: number, count: number, name: string): void {
  let at = 0;
  for (let seen = 0; seen < count && at < bytes.length; ) {
    let header = 0;
    for (let shift = 0; ; shift += 7) {
      if (at >= bytes.length || shift > 28) throw refuse(name, 'a run without an end');
      const byte = bytes[at++];
      header += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    const packed = header % 2 === 1;
    const values = packed ? ((header - 1) / 2) * 8 : header / 2;
    if (values === 0 || seen + values > count + PADDING) throw refuse(name, `a run of ${values} values where ${count - seen} are left`);
    at += packed ? (values / 8) * width : (width + 7) >> 3;
    seen += values;
  }
}

/** DELTA_BYTE_ARRAY builds each value on the one before: the sum of all lengths must fit the budget. */
function checkPrefixes(page: Uint8Array, count: number, name: string, budget: Budget): void {
  const reader = { view: new DataView(page.buffer, page.byteOffset, page.byteLength), offset: 0 };
  const prefixes = new Int32Array(count);
  const suffixes = new Int32Array(count);
  if (count === 0) return;
  deltaBinaryUnpack(reader, count, prefixes);
  deltaBinaryUnpack(reader, count, suffixes);
  let before = 0;
  for (let i = 0; i < count; i++) {
    if (prefixes[i] < 0 || suffixes[i] < 0 || prefixes[i] > before) throw refuse(name, `value ${i} shares ${prefixes[i]} bytes with one of ${before}`);
    before = prefixes[i] + suffixes[i];
    budget.take(before);
  }
}

interface Levels {
  readonly repetition: number;
  readonly definition: number;
}

/** Takes a run of levels off the page and gives how many values are not null, where that was counted. */
function checkLevels(page: Uint8Array, at: number, length: number, level: number, values: number, name: string): void {
  if (!(length >= 0 && at + length <= page.length)) throw refuse(name, `levels of ${length} bytes in a page of ${page.length}`);
  checkRuns(page.subarray(at, at + length), levelWidth(level), values, name);
}

function checkValues(data: Uint8Array, encoding: string, values: number, present: () => number, name: string, budget: Budget): void {
  if (encoding === 'RLE_DICTIONARY' || encoding === 'PLAIN_DICTIONARY') {
    if (data.length === 0 && values > 0) return;
    if (data[0] > 32) throw refuse(name, `dictionary indices of ${data[0]} bits`);
    checkRuns(data.subarray(1), data[0], values, name);
  } else if (encoding === 'DELTA_BYTE_ARRAY') checkPrefixes(data, present(), name, budget);
}

function checkV1(page: Uint8Array, header: NonNullable<PageHeader['data_page_header']>, levels: Levels, name: string, budget: Budget): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const { num_values: values, encoding } = header;
  let at = 0;
  let definitionAt = -1;
  for (const level of [levels.repetition, levels.definition]) {
    if (level === 0) continue;
    if (at + 4 > page.length) throw refuse(name, 'a page without its levels');
    const length = view.getUint32(at, true);
    definitionAt = at;
    checkLevels(page, at + 4, length, level, values, name);
    at += 4 + length;
  }
  const present = (): number => {
    if (levels.definition === 0) return values;
    const defined = new Array<number>(values);
    readRleBitPackedHybrid({ view, offset: definitionAt }, levelWidth(levels.definition), defined);
    return defined.filter((level) => level === levels.definition).length;
  };
  checkValues(page.subarray(at), encoding, values, present, name, budget);
}

/**
 * Unpacks and checks the pages of one column chunk. Gives the unpacked pages by the place of their packed
 * bytes in the chunk. Throws a ScionError of kind `format`.
 */
export async function checkedPages(
  chunk: Uint8Array,
  meta: ColumnMetaData,
  path: SchemaTree[],
  rows: number,
  name: string,
  budget: Budget,
): Promise<Map<number, Uint8Array>> {
  const pages = new Map<number, Uint8Array>();
  const levels = { repetition: getMaxRepetitionLevel(path), definition: getMaxDefinitionLevel(path) };
  const reader = { view: new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength), offset: 0 };
  const total = Number(meta.num_values);
  if (levels.repetition === 0 && total !== rows) throw refuse(name, `a column of ${total} values in a group of ${rows} rows`);
  let seen = 0;
  // The decoder's own condition: it leaves a single byte at the end alone.
  while (reader.offset < chunk.length - 1) {
    const header = parquetHeader(reader);
    const { compressed_page_size: packedBytes, uncompressed_page_size: pageBytes } = header;
    if (!(packedBytes >= 0 && reader.offset + packedBytes <= chunk.length))
      throw refuse(name, `a page of ${packedBytes} bytes where ${chunk.length - reader.offset} are left`);
    if (!(pageBytes >= 0 && pageBytes <= MAX_PAGE_BYTES)) throw refuse(name, `a page of ${pageBytes} bytes; the limit is ${MAX_PAGE_BYTES}`, { pageBytes });
    const packed = chunk.subarray(reader.offset, reader.offset + packedBytes);
    budget.take(pageBytes);
    const { data_page_header: v1, data_page_header_v2: v2, dictionary_page_header: dictionary } = header;
    const values = (v1 ?? v2 ?? dictionary)?.num_values ?? 0;
    if (!(values >= 0 && values <= Math.max(total, rows))) throw refuse(name, `a page of ${values} values in a column of ${total}`);
    if (header.type === 'DATA_PAGE_V2' && v2) {
      const levelBytes = v2.repetition_levels_byte_length + v2.definition_levels_byte_length;
      if (!(v2.repetition_levels_byte_length >= 0 && v2.definition_levels_byte_length >= 0 && levelBytes <= packedBytes && levelBytes <= pageBytes))
        throw refuse(name, `levels of ${levelBytes} bytes in a page of ${packedBytes}`);
      if (!(v2.num_nulls >= 0 && v2.num_nulls <= values)) throw refuse(name, `${v2.num_nulls} nulls among ${values} values`);
      if (!(v2.num_rows >= 0 && v2.num_rows <= rows)) throw refuse(name, `a page of ${v2.num_rows} rows in a group of ${rows}`);
      if (levels.repetition > 0) checkLevels(packed, 0, v2.repetition_levels_byte_length, levels.repetition, values, name);
      if (levels.definition > 0) checkLevels(packed, v2.repetition_levels_byte_length, v2.definition_levels_byte_length, levels.definition, values, name);
      const body = packed.subarray(levelBytes);
      const data = v2.is_compressed === false ? body : await unpackPage(body, pageBytes - levelBytes, meta.codec, name);
      pages.set(reader.offset + levelBytes, data);
      checkValues(data, v2.encoding, values, () => values - v2.num_nulls, name, budget);
    } else {
      const page = await unpackPage(packed, pageBytes, meta.codec, name);
      pages.set(reader.offset, page);
      if (header.type === 'DATA_PAGE' && v1) checkV1(page, v1, levels, name, budget);
    }
    if (header.type !== 'DICTIONARY_PAGE') seen += values;
    if (seen > total) throw refuse(name, `pages hold ${seen} values, the column ${total}`);
    reader.offset += packedBytes;
  }
  if (seen !== total) throw refuse(name, `pages hold ${seen} values, the column ${total}`);
  return pages;
}
