/**
 * What kind of data file a name stands for, and its bytes: `.jsonl.zst` is JSON Lines packed as Zstandard.
 * Names decide, not contents: a wrong name is told as such by whoever reads the file.
 */
import { ScionError } from '../base/errors.ts';
import { extName } from '../base/path.ts';
import { gunzip, unzstd } from '../formats/compress.ts';
import type { FileReader } from '../host/types.ts';

export type FileKind = 'jsonl' | 'text' | 'csv' | 'tsv' | 'parquet';

/** A name taken apart. */
export interface DataFile {
  readonly kind: FileKind;
  /** How the whole file is packed, if it is. */
  readonly packing: 'gzip' | 'zstd' | null;
}

/** Caps on packed files. */
export interface UnpackLimits {
  /** Most unpacked bytes of one packed file, and of one row group of a Parquet file. Default 1 GiB. */
  readonly maxUnpackedBytes?: number;
  /** Most unpacked bytes for each packed one. Default 200. */
  readonly maxUnpackRatio?: number;
}

const KINDS: Readonly<Record<string, FileKind>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.txt': 'text',
  '.text': 'text',
  '.md': 'text',
  '.markdown': 'text',
  '.csv': 'csv',
  '.tsv': 'tsv',
  '.parquet': 'parquet',
};
const PACKINGS: Readonly<Record<string, DataFile['packing']>> = { '.gz': 'gzip', '.gzip': 'gzip', '.zst': 'zstd', '.zstd': 'zstd' };
/** Kinds that look like data and would otherwise be taken for text. */
const REFUSED = new Set(['.json', '.zip', '.tar', '.tgz', '.xz', '.bz2', '.arrow', '.pdf', '.html', '.bin', '.safetensors', '.gguf', '.model']);
const BLOCK_BYTES = 2 ** 18;

/** What is read, for messages. */
export const READ_KINDS = 'JSON Lines (.jsonl, .ndjson), plain text (.txt, .md), CSV and TSV with a header, each also as .gz or .zst, and Parquet';

/** A name without the ending that tells how the file is packed, and that. */
export function unpackedName(name: string): { readonly name: string; readonly packing: DataFile['packing'] } {
  const ext = extName(name);
  const packing = PACKINGS[ext] ?? null;
  return { name: packing === null ? name : name.slice(0, -ext.length), packing };
}

/** The name taken apart; null for a name that a folder's listing passes over. */
export function dataFileOf(name: string): DataFile | null {
  const { name: inner, packing } = unpackedName(name);
  const kind = KINDS[extName(inner)] ?? null;
  if (kind === null || (kind === 'parquet' && packing !== null)) return null;
  return { kind, packing };
}

/** As `dataFileOf` for a file the user named: any name that is no known other kind is plain text. Throws `input` for those. */
export function needDataFile(path: string): DataFile {
  const found = dataFileOf(path);
  if (found) return found;
  const ext = extName(path);
  const { name: unpacked, packing } = unpackedName(path);
  const inner = extName(unpacked);
  if (REFUSED.has(inner) || (packing !== null && KINDS[inner] === 'parquet')) {
    throw new ScionError('input', `data: ${path} is a ${packing === null ? ext : inner + ext} file; read are ${READ_KINDS}`, { path });
  }
  return { kind: 'text', packing };
}

async function* blocks(reader: FileReader): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < reader.size; ) {
    const block = await reader.read(at, Math.min(BLOCK_BYTES, reader.size - at));
    if (block.length === 0) return;
    yield block;
    at += block.length;
  }
}

/** The file's bytes, unpacked where it is packed; over a cap or damaged they end in a ScionError of kind `format`. */
export function dataBytes(reader: FileReader, packing: DataFile['packing'], name: string, limits: UnpackLimits): AsyncGenerator<Uint8Array> {
  const options = { name, maxBytes: limits.maxUnpackedBytes, maxRatio: limits.maxUnpackRatio };
  if (packing === null) return blocks(reader);
  return packing === 'gzip' ? gunzip(blocks(reader), options) : unzstd(blocks(reader), options);
}
