/**
 * The user's own data as documents: JSON Lines, plain text, CSV, all also packed, and Parquet, from files,
 * folders and globs. It reads line by line (Parquet: row group by row group), so memory is bounded, and it
 * says file and line of whatever it cannot take. Nothing is cleaned here; that is the work of `curate`.
 */
import { ScionError } from '../base/errors.ts';
import { readCsv } from '../formats/csv.ts';
import { type Line, type LineOptions, readJsonl, readLines } from '../formats/jsonl.ts';
import type { FileReader, HostFiles } from '../host/types.ts';
import { dataBytes, dataFileOf, needDataFile, type UnpackLimits } from './file-kinds.ts';
import { findFiles } from './glob.ts';
import { type ColumnNames, recordColumns, recordText, renameFields } from './records.ts';

export { recordText };

/** One text of the user's. */
export interface TextDocument {
  /** The record's own id, else `path:line`. */
  readonly id: string;
  readonly text: string;
  readonly category: string | null;
  readonly lang: string | null;
}

/** Limits; all in bytes of UTF-8. */
export interface DocumentOptions extends UnpackLimits {
  /** What records call their fields, where it is not the house's names. */
  readonly columns?: ColumnNames;
  /** Longest line. Default 16 MiB. */
  readonly maxLineBytes?: number;
  /** Text files up to this size are one document. Default 16 KiB. */
  readonly wholeFileBytes?: number;
  /** Larger ones are cut at blank lines into documents of about this size. Default 8 KiB. */
  readonly chunkBytes?: number;
  /** Most bytes of all files together. Default 4 GiB. */
  readonly maxTotalBytes?: number;
}

/** What was read. */
export interface DocumentSet {
  readonly documents: TextDocument[];
  readonly files: string[];
  /** UTF-8 bytes of all texts. */
  readonly bytes: number;
  /** Records and files without any text, which were left out. */
  readonly empty: number;
}

const encoder = new TextEncoder();

/** True for names that are read when a folder is given. */
export function isDataFile(name: string): boolean {
  return dataFileOf(name) !== null;
}

const stringOr = (value: unknown): string | null =>
  typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'bigint' ? String(value) : null;

/** A record as a document; `where` is its id unless it has one. */
function documentOf(value: unknown, where: string, names: ColumnNames | undefined): TextDocument {
  const renamed = names ? renameFields(value, names) : value;
  const text = recordText(renamed, where);
  const record = renamed as Record<string, unknown>;
  return { id: stringOr(record.id) ?? where, text, category: stringOr(record.category), lang: stringOr(record.lang) };
}

async function* tableDocuments(reader: FileReader, path: string, options: DocumentOptions): AsyncGenerator<TextDocument> {
  const { openParquet } = await import('../formats/parquet.ts');
  const table = await openParquet(reader, { name: path, maxGroupBytes: options.maxUnpackedBytes, maxRatio: options.maxUnpackRatio });
  const fields = recordColumns(table.columns, options.columns ?? {}, path);
  let row = 0;
  for await (const values of table.rows([...new Set(fields.values())])) {
    row++;
    yield documentOf(Object.fromEntries([...fields].map(([field, column]) => [field, values[column]])), `${path}:${row}`, undefined);
  }
}

/** The first bytes of a stream, up to a little over `bytes`, and whether that is all; `all` starts at the beginning again. */
async function peek(source: AsyncGenerator<Uint8Array>, bytes: number): Promise<{ whole: boolean; all: AsyncGenerator<Uint8Array> }> {
  const first: Uint8Array[] = [];
  let held = 0;
  let whole = false;
  while (held <= bytes && !whole) {
    const { done, value } = await source.next();
    if (done) whole = true;
    else {
      first.push(value);
      held += value.length;
    }
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    yield* first.splice(0);
    yield* source;
  }
  return { whole, all: all() };
}

/** A plain text as one document, or cut at blank lines into several. With `keepBad` a line that is left out comes as an empty one. */
export async function* textDocuments(
  source: AsyncGenerator<Uint8Array>,
  path: string,
  options: Pick<DocumentOptions, 'wholeFileBytes' | 'chunkBytes' | 'maxLineBytes'> & Pick<LineOptions, 'keepBad'>,
): AsyncGenerator<TextDocument & Pick<Line, 'bad'>> {
  const { wholeFileBytes = 16 * 1024, chunkBytes = 8 * 1024, maxLineBytes, keepBad } = options;
  const { whole, all } = await peek(source, wholeFileBytes);
  let lines: string[] = [];
  let bytes = 0;
  let first = 1;
  // Blank lines at either end carry nothing; inside they separate paragraphs.
  const finish = (): TextDocument => ({
    id: whole ? path : `${path}:${first}`,
    text: lines
      .join('\n')
      .replace(/^(?:[ \t]*\n)+/, '')
      .trimEnd(),
    category: null,
    lang: null,
  });
  for await (const { text, line, bad } of readLines(all, { name: path, maxLineBytes, keepBad })) {
    if (bad) {
      yield { id: `${path}:${line}`, text: '', category: null, lang: null, bad };
      continue;
    }
    if (text.includes('\u0000')) throw new ScionError('input', `${path}:${line}: a zero byte, so this is not a text file`, { path, line });
    lines.push(text);
    bytes += encoder.encode(text).length + 1;
    const blank = text.trim() === '';
    // A text without blank lines is cut at a line's end, four times later.
    if (!whole && bytes >= (blank ? chunkBytes : 4 * chunkBytes)) {
      yield finish();
      lines = [];
      bytes = 0;
      first = line + 1;
    }
  }
  if (whole || lines.some((line) => line.trim() !== '')) yield finish();
}

/** The documents of one file, in its order. */
export async function* fileDocuments(files: HostFiles, path: string, options: DocumentOptions = {}): AsyncGenerator<TextDocument> {
  const { kind, packing } = needDataFile(path);
  const reader = await files.open(path);
  const lines = { name: path, maxLineBytes: options.maxLineBytes };
  try {
    if (kind === 'parquet') {
      yield* tableDocuments(reader, path, options);
      return;
    }
    const source = dataBytes(reader, packing, path, options);
    if (kind === 'text') yield* textDocuments(source, path, options);
    else if (kind === 'jsonl') {
      for await (const { value, line } of readJsonl(source, lines)) yield documentOf(value, `${path}:${line}`, options.columns);
    } else {
      let checked = false;
      for await (const { record, line } of readCsv(source, kind === 'csv' ? ',' : '\t', lines)) {
        // Told once, with the header's names, and not for every row.
        if (!checked) recordColumns(Object.keys(record), options.columns ?? {}, path);
        checked = true;
        yield documentOf(record, `${path}:${line}`, options.columns);
      }
    }
  } finally {
    await reader.close();
  }
}

/**
 * The documents of the files that the patterns name, one after the other, in a fixed order. Documents
 * without text come too, with an empty `text`. Errors (`input`, `format`) name file and line.
 */
export async function* streamDocuments(files: HostFiles, patterns: readonly string[], options: DocumentOptions = {}): AsyncGenerator<TextDocument> {
  for (const path of await findDataFiles(files, patterns, options)) yield* fileDocuments(files, path, options);
}

/** The files themselves, checked: kinds that are not read and too much data are `input` errors before anything is read. */
export async function findDataFiles(files: HostFiles, patterns: readonly string[], options: DocumentOptions = {}): Promise<string[]> {
  if (patterns.length === 0) throw new ScionError('usage', 'data: no file, folder or pattern was given; for example --data notes/*.txt');
  const paths = await findFiles(files, patterns, isDataFile);
  const { maxTotalBytes = 4 * 2 ** 30 } = options;
  let total = 0;
  for (const path of paths) {
    needDataFile(path);
    total += (await files.stat(path))?.size ?? 0;
    if (total > maxTotalBytes)
      throw new ScionError('input', `data: the files up to ${path} hold ${total} bytes, the limit is ${maxTotalBytes}; name fewer or raise it`, {
        path,
        total,
        maxTotalBytes,
      });
  }
  return paths;
}

/** All documents at once, without the empty ones. Throws `input` when no text is left. */
export async function readDocuments(files: HostFiles, patterns: readonly string[], options: DocumentOptions = {}): Promise<DocumentSet> {
  const paths = await findDataFiles(files, patterns, options);
  const documents: TextDocument[] = [];
  let bytes = 0;
  let empty = 0;
  for await (const document of streamDocuments(files, patterns, options)) {
    if (document.text.trim() === '') {
      empty++;
      continue;
    }
    documents.push(document);
    bytes += encoder.encode(document.text).length;
  }
  if (documents.length === 0)
    throw new ScionError('input', `data: ${paths.length} files were read and none has any text (${empty} empty records): ${paths.slice(0, 3).join(', ')}`, {
      paths: paths.length,
      empty,
    });
  return { documents, files: paths, bytes, empty };
}
