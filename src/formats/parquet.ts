/**
 * Parquet tables, a row group at a time by range reads: only the asked columns are read, and one row group
 * of them is in memory. Decoding is hyparquet's; sizes and counts are checked before (`parquet-pages.ts`).
 * Encrypted files and columns in other files are refused.
 */
import type { AsyncBuffer, FileMetaData, RowGroup, SchemaTree } from 'hyparquet';
import { parquetMetadata, parquetSchema } from 'hyparquet/src/metadata.js';
import { parquetPlan } from 'hyparquet/src/plan.js';
import { assembleAsync, asyncGroupToRows, readRowGroup } from 'hyparquet/src/rowgroup.js';
import { getTreePath } from 'hyparquet/src/schema.js';
import { isScionError, ScionError } from '../base/errors.ts';
import type { FileReader } from '../host/types.ts';
import { readExactly, shown } from './bytes.ts';
import { checkedPages } from './parquet-pages.ts';

const MAX_FOOTER_BYTES = 64 * 2 ** 20;
const MAX_GROUP_ROWS = 2 ** 24;
/** Below this no ratio is judged. */
const FREE_BYTES = 2 ** 20;

export interface ParquetOptions {
  /** Stands in errors. */
  readonly name: string;
  /** Most unpacked bytes of one row group's asked columns; 1 GiB. */
  readonly maxGroupBytes?: number;
  /** Most unpacked bytes for each packed one; 200. The first MiB of a group is free. */
  readonly maxRatio?: number;
}

/** An open table. The reader stays the caller's to close. */
export interface ParquetTable {
  /** Top-level columns in the file's order. */
  readonly columns: readonly string[];
  /** Number of rows, as the footer says. */
  readonly rowCount: number;
  /**
   * Rows with these columns only, in order. Lists are arrays, structs objects, 64-bit integers bigints. With `onBad` a row group
   * that cannot be read is told and passed over.
   */
  rows(columns: readonly string[], onBad?: (error: ScionError, group: number) => void): AsyncGenerator<Record<string, unknown>>;
}

/** hyparquet's errors are plain ones; whatever it trips over is the file's fault. */
async function asFormat<T>(name: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ScionError) throw error;
    throw new ScionError('format', `${name}: damaged or unsupported Parquet data: ${shown(error instanceof Error ? error.message : String(error))}`, {}, error);
  }
}

async function readFooter(reader: FileReader, name: string): Promise<FileMetaData> {
  const tail = await readExactly(reader, Math.max(0, reader.size - 8), Math.min(8, reader.size), name);
  const magic = new TextDecoder('latin1').decode(tail.subarray(4));
  if (magic === 'PARE') throw new ScionError('format', `${name}: an encrypted Parquet file; decrypt it first`);
  if (tail.length < 8 || magic !== 'PAR1' || reader.size < 12) {
    throw new ScionError('format', `${name}: not a Parquet file, or cut: it must end in "PAR1" and ends in ${shown(magic)} (${reader.size} bytes)`);
  }
  const length = new DataView(tail.buffer).getUint32(0, true);
  if (length > reader.size - 12 || length > MAX_FOOTER_BYTES) {
    throw new ScionError('format', `${name}: a footer of ${length} bytes in a file of ${reader.size}; the limit is ${MAX_FOOTER_BYTES}`, { length });
  }
  const footer = await readExactly(reader, reader.size - length - 8, length + 8, name);
  return asFormat(name, () => parquetMetadata(footer.buffer, { geoparquet: false }));
}

/** Opens a table. Throws a ScionError of kind `format` for what is none. */
export async function openParquet(reader: FileReader, options: ParquetOptions): Promise<ParquetTable> {
  const { name } = options;
  const metadata = await readFooter(reader, name);
  const tree = await asFormat(name, () => parquetSchema(metadata));
  const columns = tree.children.map((child) => child.element.name);
  return {
    columns,
    rowCount: Number(metadata.num_rows),
    async *rows(wanted, onBad) {
      const missing = wanted.find((column) => !columns.includes(column));
      if (missing !== undefined) throw new ScionError('input', `${name}: no column ${shown(missing)}; its columns are ${columns.join(', ')}`, { missing });
      for (const [index, group] of metadata.row_groups.entries()) {
        const where = `${name}: row group ${index}`;
        let rows: Record<string, unknown>[];
        try {
          rows = await asFormat(where, () => readGroup(reader, metadata, tree, group, wanted, { ...options, name: where }));
        } catch (error) {
          if (!onBad || !isScionError(error, 'format')) throw error;
          onBad(error, index);
          continue;
        }
        yield* rows;
      }
    },
  };
}

async function readGroup(
  reader: FileReader,
  metadata: FileMetaData,
  tree: SchemaTree,
  group: RowGroup,
  wanted: readonly string[],
  options: ParquetOptions,
): Promise<Record<string, unknown>[]> {
  const { name, maxGroupBytes = 2 ** 30, maxRatio = 200 } = options;
  const rows = Number(group.num_rows);
  if (!(rows >= 0 && rows <= MAX_GROUP_ROWS)) throw new ScionError('format', `${name} has ${rows} rows; the limit is ${MAX_GROUP_ROWS}`, { rows });
  if (rows === 0) return [];
  // A table of this group alone: hyparquet then plans no other.
  const alone = { ...metadata, row_groups: [group] };
  const empty: AsyncBuffer = { byteLength: reader.size, slice: () => new ArrayBuffer(0) };
  const plan = parquetPlan({ file: empty, metadata: alone, columns: [...wanted] });
  const chunks = plan.groups[0]?.chunks ?? [];
  let packed = 0;
  let unpacked = 0;
  const budget = {
    take(bytes: number): void {
      unpacked += bytes;
      if (unpacked > maxGroupBytes) {
        throw new ScionError('format', `${name} unpacks to more than ${maxGroupBytes} bytes; write the file again with smaller row groups`, {
          unpacked,
          maxGroupBytes,
        });
      }
      if (unpacked > FREE_BYTES && unpacked > maxRatio * packed)
        throw new ScionError('format', `${name}: ${packed} bytes unpack to ${unpacked} so far, more than ${maxRatio} times; this looks like a bomb`, {
          packed,
          unpacked,
        });
    },
  };
  packed = chunks.reduce((sum, { range }) => sum + range.endByte - range.startByte, 0);
  budget.take(packed);
  unpacked = 0;
  const loaded = new Map<number, ArrayBuffer>();
  const pages = new Map<ArrayBuffer, ReadonlyMap<number, Uint8Array>>();
  for (const { range, columnMetadata } of chunks) {
    const bytes = await readExactly(reader, range.startByte, range.endByte - range.startByte, name);
    const path = getTreePath(tree, columnMetadata.path_in_schema);
    loaded.set(range.startByte, bytes.buffer);
    pages.set(bytes.buffer, await checkedPages(bytes, columnMetadata, path, rows, `${name}, column ${columnMetadata.path_in_schema.join('.')}`, budget));
  }
  const file: AsyncBuffer = {
    byteLength: reader.size,
    slice(start) {
      const chunk = loaded.get(start);
      if (!chunk) throw new ScionError('format', `${name}: decoding asked for byte ${start}, where no column begins`, { start });
      return chunk;
    },
  };
  const unpackedPage = (input: Uint8Array): Uint8Array => pages.get(input.buffer as ArrayBuffer)?.get(input.byteOffset) ?? new Uint8Array();
  const strict = new TextDecoder('utf-8', { fatal: true });
  const parsers = { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && strict.decode(bytes) };
  const compressors = Object.fromEntries(['SNAPPY', 'GZIP', 'ZSTD', 'BROTLI', 'LZ4', 'LZ4_RAW'].map((codec) => [codec, unpackedPage]));
  const columnGroup = readRowGroup({ file, metadata: alone, compressors, parsers }, plan, plan.groups[0]);
  // All must settle before one is awaited, or a second failure would have no one to catch it.
  const settled = await Promise.allSettled(columnGroup.asyncColumns.map((column) => column.data));
  for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason;
  const assembled = assembleAsync(columnGroup, tree, parsers);
  const out = await asyncGroupToRows(assembled, 0, rows, [...wanted], 'object');
  for (const { pathInSchema, data } of assembled.asyncColumns) {
    const [column] = pathInSchema;
    const held = (await data).data.reduce((sum, part) => sum + part.length, 0);
    if (held < rows) throw new ScionError('format', `${name}: column ${shown(column)} holds ${held} of ${rows} rows`, { column, held, rows });
    const flat = tree.children.find((child) => child.element.name === column)?.children.length === 0;
    for (const row of out) {
      if (row[column] !== undefined) continue;
      // A list that is null comes as undefined; a flat value does so only where its dictionary has no such entry.
      if (flat) throw new ScionError('format', `${name}: column ${shown(column)} points outside its dictionary`, { column });
      row[column] = null;
    }
  }
  return out;
}
