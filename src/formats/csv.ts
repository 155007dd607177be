/**
 * Comma- and tab-separated tables with a header row (RFC 4180): quoted fields may hold the separator, line
 * ends and doubled quotes. It streams, and a row is capped like a line is. A field that opens a quote and
 * never closes it is an error at its first line, not a file swallowed whole.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import type { FileReader } from '../host/types.ts';
import { shown } from './bytes.ts';
import { type BadLine, type LineOptions, readLines } from './jsonl.ts';

const MAX_COLUMNS = 10_000;
const DEFAULT_ROW_BYTES = 16 * 2 ** 20;

/** One row by column name, with the line it starts at. */
export interface CsvRow {
  readonly record: Readonly<Record<string, string>>;
  readonly line: number;
  /** With `keepBad` only: a line or row that does not fit, with an empty record. */
  readonly bad?: BadLine;
}

/** Takes fields off one line; `open` is the text of a quoted field that has not ended yet. */
function splitLine(text: string, separator: string, fields: string[], open: string | null, where: string): string | null {
  let at = 0;
  let held = open;
  for (;;) {
    if (held === null && text[at] === '"') {
      held = '';
      at++;
    }
    if (held !== null) {
      const quote = text.indexOf('"', at);
      if (quote < 0) return `${held}${text.slice(at)}\n`;
      held += text.slice(at, quote);
      if (text[quote + 1] === '"') {
        held += '"';
        at = quote + 2;
        continue;
      }
      at = quote + 1;
      if (at < text.length && text[at] !== separator)
        throw new ScionError('format', `${where}: ${shown(text.slice(at, at + 20))} stands behind a closing quote`);
      fields.push(held);
      held = null;
    } else {
      const end = text.indexOf(separator, at);
      fields.push(text.slice(at, end < 0 ? undefined : end));
      at = end < 0 ? text.length : end;
    }
    if (fields.length > MAX_COLUMNS) throw new ScionError('format', `${where}: more than ${MAX_COLUMNS} columns`);
    if (at >= text.length) return null;
    at++;
    if (at === text.length && held === null) {
      fields.push('');
      return null;
    }
  }
}

/**
 * The rows below the header. Throws a ScionError of kind `format` for rows with another number of fields
 * than the header, text behind a closing quote, an unclosed quote and rows over the cap of a line.
 */
export async function* readCsv(source: FileReader | AsyncIterable<Uint8Array>, separator: ',' | '\t', options: LineOptions): AsyncGenerator<CsvRow> {
  const { name, maxLineBytes = DEFAULT_ROW_BYTES } = options;
  let header: string[] | null = null;
  let fields: string[] = [];
  let open: string | null = null;
  let start = 0;
  const refuse = (message: string, details = {}): CsvRow => {
    if (!options.keepBad) throw new ScionError('format', message, details);
    open = null;
    fields = [];
    return { record: {}, line: start, bad: { reason: 'bad-row', message } };
  };
  for await (const { text, line, bad } of readLines(source, options)) {
    if (bad) {
      yield { record: {}, line, bad };
      continue;
    }
    if (open === null && text === '') continue;
    if (open === null) start = line;
    try {
      open = splitLine(text, separator, fields, open, `${name}:${line}`);
    } catch (error) {
      // A header that cannot be read leaves nothing to go on with.
      if (!isScionError(error) || header === null) throw error;
      yield refuse(error.message, error.details);
      continue;
    }
    if (open !== null) {
      if (open.length > maxLineBytes) yield refuse(`${name}:${start}: a quoted field of more than ${maxLineBytes} characters; is its quote closed?`);
      continue;
    }
    if (header === null) {
      header = fields;
      const twice = header.find((column, i) => header?.indexOf(column) !== i);
      if (twice !== undefined) throw new ScionError('format', `${name}:${start}: two columns are called ${shown(twice)}`);
    } else if (fields.length !== header.length) {
      yield refuse(`${name}:${start}: ${fields.length} fields where the header names ${header.length} (${header.slice(0, 8).join(', ')})`);
      continue;
    } else {
      const row = fields;
      yield { record: Object.fromEntries(header.map((column, i) => [column, row[i]])), line: start };
    }
    fields = [];
  }
  if (open !== null) yield refuse(`${name}:${start}: a quoted field that never ends`);
}
