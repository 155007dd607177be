/**
 * The records of a unit of work: some files, or one range of a JSON Lines file. Whatever is wrong with one record, or with
 * the rest of one file, comes as a drop with its reason, and the others follow. Memory holds a line, a page or a row group.
 */
import { isScionError, type ScionError } from '../../base/errors.ts';
import { baseName } from '../../base/path.ts';
import type { Doc } from '../../data/doc.ts';
import { textDocuments } from '../../data/documents.ts';
import { dataBytes } from '../../data/file-kinds.ts';
import { decodeUtf8, joinBytes } from '../../formats/bytes.ts';
import { readCsv } from '../../formats/csv.ts';
import { nestsDeeper } from '../../formats/json.ts';
import { type BadLine, readJsonl } from '../../formats/jsonl.ts';
import type { FileReader, HostFiles } from '../../host/types.ts';
import type { Drop } from '../step.ts';
import type { Fields, ReadConfig, Source } from './config.ts';
import { pageDecoder, pageText } from './html.ts';
import { needBuildFile } from './kinds.ts';
import { type Defaults, docOf } from './record.ts';

/** A file, or the lines of it that begin in a range of bytes. */
export interface Piece {
  readonly path: string;
  readonly from?: number;
  readonly to?: number;
  /** Number of the line at `from`. */
  readonly line?: number;
}

/** What reading gives: a document, or a place where one should be. */
export type ReadItem = { readonly doc: Doc } | { readonly id: string; readonly category: string; readonly drop: Drop; readonly text: string };

/** Every reason for which a record is not read. */
export const READ_REASONS: Readonly<Record<string, string>> = {
  'read.too-long-line': 'a line over the limit; it is never held in memory',
  'read.bad-utf8': 'bytes that are no UTF-8',
  'read.bad-json': 'a line or file that is no JSON',
  'read.bad-row': 'a row that does not fit the header of its table',
  'read.no-record': 'JSON that is no record, or a field that is no text',
  'read.no-fields': 'a record without text, source/target or messages',
  'read.bad-messages': 'a chat whose turns have no role or no text',
  'read.no-text': 'a record or file without text',
  'read.binary': 'a file with zero bytes: no text',
  'read.too-large': 'a page or JSON file over the limit',
  'read.bad-html': 'a page that could not be taken apart',
  'read.unpack-limit': 'a packed file that unpacks to more than the limits allow; what came before the limit is kept',
  'read.damaged': 'a file that is cut or damaged; what came before the damage is kept',
};

const MAX_DEPTH = 512;
const SHOWN = 300;

class TooLarge extends Error {}

/** Why a file ended early. */
function reasonOf(error: ScionError): string {
  const { details, message } = error;
  if ('maxBytes' in details || 'maxRatio' in details || 'maxGroupBytes' in details || 'unpacked' in details) return 'read.unpack-limit';
  if (message.includes('a zero byte')) return 'read.binary';
  return message.includes('UTF-8') ? 'read.bad-utf8' : 'read.damaged';
}

/** All bytes of a small file. */
async function allBytes(source: AsyncIterable<Uint8Array>, most: number, path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of source) {
    length += part.length;
    if (length > most) throw new TooLarge(`${path}: more than ${most} bytes`);
    parts.push(part);
  }
  return joinBytes(parts, length);
}

/** Takes a YAML head off a Markdown text; its title, else that of the first heading. */
function markdownOf(text: string): { title: string; text: string } {
  const head = /^---[ \t]*\n([\s\S]*?)\n---[ \t]*(?:\n|$)/.exec(text.slice(0, 16 * 1024));
  const body = head ? text.slice(head[0].length).replace(/^\s*\n/, '') : text;
  const named = head ? /^title:[ \t]*(.+)$/m.exec(head[1])?.[1].replace(/^(["'])(.*)\1[ \t]*$/, '$2') : undefined;
  return { title: (named ?? /^#[ \t]+(.+?)[ \t#]*$/m.exec(body.slice(0, 4096))?.[1] ?? '').trim(), text: body };
}

class PieceReader {
  readonly #files: HostFiles;
  readonly #source: Source;
  readonly #config: ReadConfig;
  readonly #path: string;
  readonly #category: string;

  constructor(files: HostFiles, source: Source, config: ReadConfig, path: string) {
    this.#files = files;
    this.#source = source;
    this.#config = config;
    this.#path = path;
    this.#category = source.category ?? (baseName(path).split('.')[0] || 'data');
  }

  #bad(id: string, reason: string, note: string, text = ''): ReadItem {
    return { id, category: this.#category, drop: { reason, note }, text: text.slice(0, SHOWN) };
  }

  #item(value: unknown, id: string, fields: Fields = this.#source.fields): ReadItem {
    const { lang } = this.#source;
    const defaults: Defaults = { id, category: this.#category, fields, ...(lang === undefined ? {} : { lang }) };
    const doc = docOf(value, defaults);
    return 'reason' in doc ? { id, category: this.#category, drop: doc, text: JSON.stringify(value)?.slice(0, SHOWN) ?? '' } : { doc };
  }

  /** All of a piece. The error that ends a file early is its last item. */
  async *read(piece: Piece): AsyncGenerator<ReadItem> {
    const path = this.#path;
    const reader = await this.#files.open(path);
    const items = this.#items(reader, piece);
    try {
      for (;;) {
        let next: IteratorResult<ReadItem>;
        try {
          next = await items.next();
        } catch (error) {
          if (error instanceof TooLarge) yield this.#bad(path, 'read.too-large', error.message);
          else if (isScionError(error, 'format') || isScionError(error, 'input')) yield this.#bad(path, reasonOf(error), error.message);
          else throw error;
          return;
        }
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await reader.close();
    }
  }

  async *#items(reader: FileReader, { from, to, line }: Piece): AsyncGenerator<ReadItem> {
    const path = this.#path;
    const { kind, packing } = needBuildFile(path);
    const { maxLineBytes, maxUnpackedBytes, maxUnpackRatio, textBytes, maxHtmlBytes, maxJsonBytes } = this.#config;
    const lines = { name: path, maxLineBytes, keepBad: true };
    const badLine = (line: number, { reason, message }: BadLine): ReadItem => this.#bad(`${path}:${line}`, `read.${reason}`, message);
    const bytes = () => dataBytes(reader, packing, path, { maxUnpackedBytes, maxUnpackRatio });
    switch (kind) {
      case 'jsonl': {
        const source = packing === null ? reader : bytes();
        const range = from === undefined ? {} : { offset: from, line, ...(to === undefined ? {} : { end: to }) };
        for await (const { value, line: at, bad } of readJsonl(source, { ...lines, ...(from === undefined && to !== undefined ? { end: to } : range) })) {
          yield bad ? badLine(at, bad) : this.#item(value, `${path}:${at}`);
        }
        break;
      }
      case 'csv':
      case 'tsv':
        for await (const { record, line: at, bad } of readCsv(bytes(), kind === 'csv' ? ',' : '\t', lines)) {
          yield bad ? badLine(at, bad) : this.#item(record, `${path}:${at}`);
        }
        break;
      case 'parquet':
        yield* this.#parquet(reader);
        break;
      case 'html': {
        const raw = await allBytes(bytes(), maxHtmlBytes, path);
        let html: string;
        try {
          html = pageDecoder(raw).decode(raw);
        } catch {
          yield this.#bad(path, 'read.bad-utf8', 'the page names no encoding and is no UTF-8');
          return;
        }
        try {
          yield this.#item(await pageText(html), path, {});
        } catch (error) {
          yield this.#bad(path, 'read.bad-html', error instanceof Error ? error.message.slice(0, SHOWN) : String(error), html);
        }
        return;
      }
      case 'json': {
        const text = decodeUtf8(await allBytes(bytes(), maxJsonBytes, path), path);
        let list: unknown;
        try {
          if (nestsDeeper(text, MAX_DEPTH)) throw new SyntaxError(`nested more than ${MAX_DEPTH} deep`);
          list = JSON.parse(text.replace(/^\ufeff/, ''));
        } catch (error) {
          yield this.#bad(path, 'read.bad-json', error instanceof Error ? error.message.slice(0, SHOWN) : String(error), text);
          return;
        }
        const records = Array.isArray(list) ? list : [list];
        for (const [i, record] of records.entries()) yield this.#item(record, `${path}:${i + 1}`);
        return;
      }
      default:
        for await (const { id, text, bad } of textDocuments(bytes(), path, { wholeFileBytes: textBytes, chunkBytes: textBytes, maxLineBytes, keepBad: true })) {
          if (bad) yield this.#bad(id, `read.${bad.reason}`, bad.message);
          else yield this.#item(kind === 'markdown' && id === path ? markdownOf(text) : { text }, id, {});
        }
    }
  }

  async *#parquet(reader: FileReader): AsyncGenerator<ReadItem> {
    const path = this.#path;
    const { openParquet } = await import('../../formats/parquet.ts');
    const { fields } = this.#source;
    const { maxUnpackedBytes, maxUnpackRatio } = this.#config;
    const table = await openParquet(reader, { name: path, maxGroupBytes: Math.min(maxUnpackedBytes, 2 ** 30), maxRatio: maxUnpackRatio });
    const names = ['text', 'source', 'target', 'messages', 'id', 'category', 'lang', 'title'] as const;
    const wanted = new Set([...names.flatMap((name) => fields[name] ?? name), 'scores', 'tags'].filter((name) => table.columns.includes(name)));
    let row = 0;
    const waiting: ReadItem[] = [];
    const rows = table.rows([...wanted], (error, group) => waiting.push(this.#bad(`${path}#${group}`, reasonOf(error), error.message)));
    for await (const record of rows) {
      yield* waiting.splice(0);
      yield this.#item(record, `${path}:${++row}`);
    }
    yield* waiting;
  }
}

/** The records of some pieces of one source, in order. */
export async function* readUnit(files: HostFiles, source: Source, config: ReadConfig, pieces: readonly Piece[]): AsyncGenerator<ReadItem> {
  for (const piece of pieces) yield* new PieceReader(files, source, config, piece.path).read(piece);
}
