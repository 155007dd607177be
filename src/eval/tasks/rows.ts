/**
 * Rows of a publisher's file, one record each, with the line it begins at. A row that is broken is given as such and the others follow, also
 * where one open quote would swallow the rest of a table. Files of evaluation sets are small and are held whole.
 */
import { isScionError, ScionError } from '../../base/errors.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import { type CsvRow, readCsv } from '../../formats/csv.ts';
import { readJsonl } from '../../formats/jsonl.ts';
import type { HostFiles } from '../../host/types.ts';
import { jsonRows } from './json-rows.ts';
import { parsePythonLiteral } from './python-literal.ts';

/** Largest file of questions. */
const MAX_BYTES = 2 ** 30;
/** A table with more broken rows than this is another file than was meant. */
const MAX_BAD_ROWS = 1000;

/** How a file is read. `shot-table` is AGIEval's: a column a subject, a printed dictionary a cell, each row followed by one of explanations. */
export const ROW_FORMATS = ['csv', 'tsv', 'jsonl', 'json', 'shot-table'] as const;
export type RowFormat = (typeof ROW_FORMATS)[number];

/** What is wrong in a file. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

/** One record, or why it is none. */
export interface Row {
  readonly record: Readonly<Record<string, unknown>>;
  readonly line: number;
  /** Rows of the file before this one, broken ones counted: what an id is made of. */
  readonly index: number;
  readonly bad?: string;
}

export interface RowOptions {
  readonly format: RowFormat;
  /** Names of the columns of a table without a header row. */
  readonly columns?: readonly string[];
  /** The one key of a JSON file whose list is read. */
  readonly at?: string;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** An error's message without the file and line that stand before it. */
function bare(message: string): string {
  return message.replace(/^(?:[^\s:]*[^\s:]:\d+: )+/, '');
}

/** Rows of a table. Behind a broken row reading begins anew on the next line, since an open quote takes what follows with it. */
async function* tableRows(text: string, separator: ',' | '\t', columns: readonly string[] | undefined): AsyncGenerator<Row> {
  const encoder = new TextEncoder();
  const lines = text.split('\n');
  const header = columns === undefined ? (lines[0] ?? '') : columns.join(separator);
  let from = columns === undefined ? 1 : 0;
  let index = 0;
  for (let bad = 0; ; bad++) {
    const part = [header, ...lines.slice(from)].join('\n');
    let broken: CsvRow | null = null;
    for await (const row of readCsv(once(encoder.encode(part)), separator, { name: 'table', keepBad: true })) {
      // Line 1 of the part is the header.
      const line = row.line - 1 + from;
      if (row.bad) {
        broken = row;
        yield { record: {}, line, index: index++, bad: bare(row.bad.message) };
        from = line;
        break;
      }
      yield { record: row.record, line, index: index++ };
    }
    if (broken === null) return;
    if (bad >= MAX_BAD_ROWS) {
      yield { record: {}, line: from, index, bad: `more than ${MAX_BAD_ROWS} broken rows; the rest is not read` };
      return;
    }
  }
}

/** Cells of AGIEval's few-shot table, as rows that know their column as `subject`; rows of explanations are passed over. */
async function* shotTableRows(text: string): AsyncGenerator<Row> {
  let index = 0;
  for await (const { record, line, bad } of tableRows(text, ',', undefined)) {
    if (bad !== undefined) {
      yield { record: {}, line, index: index++, bad };
      continue;
    }
    for (const [subject, cell] of Object.entries(record)) {
      if (subject === '' || typeof cell !== 'string' || !cell.startsWith('{')) continue;
      const at = index++;
      try {
        yield { record: { ...(parsePythonLiteral(cell, subject) as object), subject }, line, index: at };
      } catch (error) {
        if (!isScionError(error)) throw error;
        yield { record: {}, line, index: at, bad: error.message };
      }
    }
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The rows of a file; keys that lead to a record in a JSON file stand in it as `key`.
 * @throws ScionError `input` for a file too large, `format` for one that is no UTF-8 or a table whose header cannot be read.
 */
export async function* readRows(files: HostFiles, path: string, options: RowOptions): AsyncGenerator<Row> {
  const size = (await files.stat(path))?.size ?? 0;
  if (size > MAX_BYTES) throw new ScionError('input', `${path} has ${size} bytes; files of questions of up to ${MAX_BYTES} are read`, { path, size });
  const bytes = await files.read(path);
  const { format } = options;
  if (format === 'jsonl') {
    let index = 0;
    for await (const { value, line, bad } of readJsonl(once(bytes), { name: path, keepBad: true })) {
      const why = bad ? bare(bad.message) : isRecord(value) ? undefined : 'a JSON object is needed';
      yield why === undefined ? { record: value as Record<string, unknown>, line, index: index++ } : { record: {}, line, index: index++, bad: why };
    }
    return;
  }
  const text = decodeUtf8(bytes, path).replace(/^\ufeff/, '');
  if (format === 'json') {
    let index = 0;
    for (const { key, value, line, bad } of jsonRows(text, options.at)) {
      const why = bad ?? (isRecord(value) ? undefined : 'a JSON object is needed');
      yield why === undefined
        ? { record: { ...(key === null ? {} : { key }), ...(value as object) }, line, index: index++ }
        : { record: {}, line, index: index++, bad: why };
    }
  } else if (format === 'shot-table') yield* shotTableRows(text);
  else yield* tableRows(text, format === 'csv' ? ',' : '\t', options.columns);
}
