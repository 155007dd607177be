/**
 * The user's own data as documents: JSON Lines and plain text, from files, folders and globs. It reads
 * line by line, so memory is bounded by one document and one line, and it says file and line of whatever
 * it cannot take. Nothing is cleaned here; that is the work of `curate`.
 */
import { ScionError } from '../base/errors.ts';
import { extName } from '../base/path.ts';
import { readJsonl, readLines } from '../formats/jsonl.ts';
import type { HostFiles } from '../host/types.ts';
import { findFiles } from './glob.ts';

/** One text of the user's. */
export interface TextDocument {
  /** The record's own id, else `path:line`. */
  readonly id: string;
  readonly text: string;
  readonly category: string | null;
  readonly lang: string | null;
}

/** Limits; all in bytes of UTF-8. */
export interface DocumentOptions {
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

const JSONL = new Set(['.jsonl', '.ndjson']);
const TEXT = new Set(['.txt', '.text', '.md', '.markdown']);
/** Kinds that look like data and would otherwise be taken for text. */
const REFUSED = new Set(['.json', '.parquet', '.gz', '.zst', '.zip', '.csv', '.tsv', '.pdf', '.html', '.bin', '.safetensors', '.gguf', '.model']);
const encoder = new TextEncoder();

/** True for names that are read when a folder is given. */
export function isDataFile(name: string): boolean {
  const ext = extName(name);
  return JSONL.has(ext) || TEXT.has(ext);
}

/** The text of a message: a string, or parts of which the text ones count. */
function contentOf(content: unknown): string | null {
  if (typeof content === 'string') return content;
  if (content === null) return '';
  if (!Array.isArray(content)) return null;
  const parts = content.map((part: unknown) =>
    typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string' ? part.text : null,
  );
  return parts.some((part) => part === null) ? null : parts.join('');
}

/**
 * The text of one record: `messages` (their contents, one under the other), else `text`, else `source`
 * and `target` (one under the other). Throws `input` naming `where` and the keys that were found.
 */
export function recordText(value: unknown, where: string): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ScionError(
      'input',
      `${where}: a record must be an object with "text", "source" and "target", or "messages"; found ${Array.isArray(value) ? 'an array' : value === null ? 'null' : `a ${typeof value}`}`,
      { where },
    );
  }
  const record = value as Record<string, unknown>;
  if (record.messages !== undefined) {
    if (!Array.isArray(record.messages))
      throw new ScionError('input', `${where}: "messages" must be an array of {role, content}, found ${typeof record.messages}`, { where });
    return record.messages
      .map((message: unknown, i) => {
        const content = typeof message === 'object' && message !== null && 'content' in message ? contentOf(message.content) : null;
        if (content === null)
          throw new ScionError('input', `${where}: message ${i + 1} of ${(record.messages as unknown[]).length} has no text in "content"`, {
            where,
            message: i,
          });
        return content;
      })
      .filter((content) => content !== '')
      .join('\n');
  }
  const field = (name: string): string => {
    const found = record[name];
    if (found === undefined || found === null) return '';
    if (typeof found !== 'string')
      throw new ScionError('input', `${where}: "${name}" must be a string, found ${Array.isArray(found) ? 'an array' : `a ${typeof found}`}`, { where, name });
    return found;
  };
  if (record.text !== undefined) return field('text');
  if (record.source === undefined && record.target === undefined) {
    const keys = Object.keys(record).slice(0, 8).join(', ');
    throw new ScionError('input', `${where}: no "text", "source"/"target" or "messages" in this record; its keys are: ${keys === '' ? '(none)' : keys}`, {
      where,
    });
  }
  return [field('source'), field('target')].filter((part) => part !== '').join('\n');
}

const stringOr = (value: unknown): string | null => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : null);

async function* jsonlDocuments(files: HostFiles, path: string, maxLineBytes: number | undefined): AsyncGenerator<TextDocument> {
  const reader = await files.open(path);
  try {
    for await (const { value, line } of readJsonl(reader, { name: path, maxLineBytes })) {
      const text = recordText(value, `${path}:${line}`);
      const record = value as Record<string, unknown>;
      yield { id: stringOr(record.id) ?? `${path}:${line}`, text, category: stringOr(record.category), lang: stringOr(record.lang) };
    }
  } finally {
    await reader.close();
  }
}

async function* textDocuments(files: HostFiles, path: string, options: DocumentOptions): AsyncGenerator<TextDocument> {
  const { wholeFileBytes = 16 * 1024, chunkBytes = 8 * 1024, maxLineBytes } = options;
  const reader = await files.open(path);
  const whole = reader.size <= wholeFileBytes;
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
  try {
    for await (const { text, line } of readLines(reader, { name: path, maxLineBytes })) {
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
  } finally {
    await reader.close();
  }
  if (whole || lines.some((line) => line.trim() !== '')) yield finish();
}

/**
 * The documents of the files that the patterns name, one after the other, in a fixed order. Documents
 * without text come too, with an empty `text`. Errors (`input`, `format`) name file and line.
 */
export async function* streamDocuments(files: HostFiles, patterns: readonly string[], options: DocumentOptions = {}): AsyncGenerator<TextDocument> {
  for (const path of await findDataFiles(files, patterns, options)) {
    yield* JSONL.has(extName(path)) ? jsonlDocuments(files, path, options.maxLineBytes) : textDocuments(files, path, options);
  }
}

/** The files themselves, checked: kinds that are not read and too much data are `input` errors before anything is read. */
export async function findDataFiles(files: HostFiles, patterns: readonly string[], options: DocumentOptions = {}): Promise<string[]> {
  if (patterns.length === 0) throw new ScionError('usage', 'data: no file, folder or pattern was given; for example --data notes/*.txt');
  const paths = await findFiles(files, patterns, isDataFile);
  const { maxTotalBytes = 4 * 2 ** 30 } = options;
  let total = 0;
  for (const path of paths) {
    if (REFUSED.has(extName(path))) {
      throw new ScionError('input', `data: ${path} is a ${extName(path)} file; read are JSON Lines (.jsonl, .ndjson) and plain text (.txt, .md)`, { path });
    }
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
