/**
 * Evaluation files as items: the texts of one question, in order. Reads JSON Lines, JSON (lists of records, wherever in
 * the file they stand), CSV and TSV with a header or without (MMLU has none), all of a file at once: evaluation sets
 * are small. Which fields are text is decided by name; ids, labels and answer letters say nothing.
 */
import { ScionError } from '../../base/errors.ts';
import { baseName, extName } from '../../base/path.ts';
import { findFiles } from '../../data/glob.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import { readCsv } from '../../formats/csv.ts';
import { readJsonl } from '../../formats/jsonl.ts';
import type { HostFiles } from '../../host/types.ts';

/** One text of an item. */
export interface ItemPart {
  readonly text: string;
  /** An answer to choose: too common in itself to be looked for unless it is long. */
  readonly option: boolean;
}

export interface EvalItem {
  readonly file: string;
  /** Line of the file for JSON Lines and CSV, else the record's number from 1. */
  readonly row: number;
  readonly parts: readonly ItemPart[];
}

/** Largest evaluation file. */
const MAX_BYTES = 256 * 2 ** 20;
const EXTENSIONS = new Set(['.jsonl', '.ndjson', '.json', '.csv', '.tsv']);
/** Fields that carry no text of the question. */
const NO_TEXT =
  /^(|id_?|_id|idx|index|qid|question_id|label|labels|category|categories|domain.*|subject|source|keywords?|year|score|level|type|split|other|model_id|answer_id)$/i;
const OPTION = /^([a-j]|options?|choices?|endings?|choice_?\d+|option_?\w)$/i;
/** A header row names at least one of these. */
const HEADER = /^(question|prompt|instruction|problem|query|input|text|answer|context|passage|premise|sentence|query_en)$/i;
const MAX_DEPTH = 6;

export interface ItemOptions {
  /** Only these fields, in this order; by default all that carry text. */
  readonly fields?: readonly string[];
  /** Whether CSV files have a header row; `auto` looks for a known name in it. */
  readonly header?: boolean | 'auto';
}

/** The files that patterns name; a folder gives the kinds that are read. */
export async function findEvalFiles(files: HostFiles, patterns: readonly string[]): Promise<string[]> {
  const found = await findFiles(files, patterns, (name) => EXTENSIONS.has(extName(name)));
  const wrong = found.find((path) => !EXTENSIONS.has(extName(path)));
  if (wrong !== undefined)
    throw new ScionError('input', `decontaminate: ${wrong} is no evaluation file that is read; read are ${[...EXTENSIONS].join(' ')}`, { path: wrong });
  return found;
}

/** The items of one file. @throws ScionError `format` or `input` naming file and line. */
export async function* readItems(files: HostFiles, path: string, options: ItemOptions = {}): AsyncGenerator<EvalItem> {
  const file = baseName(path);
  const size = (await files.stat(path))?.size ?? 0;
  if (size > MAX_BYTES)
    throw new ScionError('input', `decontaminate: ${path} has ${size} bytes; evaluation files of up to ${MAX_BYTES} are read`, { path, size });
  const bytes = await files.read(path);
  const item = (value: unknown, row: number): EvalItem => ({ file, row, parts: partsOf(value, options.fields) });
  const extension = extName(path);
  if (extension === '.json') {
    let json: unknown;
    try {
      json = JSON.parse(decodeUtf8(bytes, path));
    } catch (error) {
      if (error instanceof ScionError) throw error;
      throw new ScionError('format', `${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`, { path });
    }
    let row = 0;
    for (const record of recordsIn(json, 0)) yield item(record, ++row);
    return;
  }
  async function* once(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
    yield* chunks;
  }
  if (extension === '.csv' || extension === '.tsv') {
    const separator = extension === '.csv' ? ',' : '\t';
    const text = decodeUtf8(bytes, path).replace(/^\ufeff/, '');
    const encoder = new TextEncoder();
    const body = encoder.encode(text);
    const first = firstRow(text, separator);
    const header = options.header === undefined || options.header === 'auto' ? first.some((name) => HEADER.test(name.trim())) : options.header;
    // Without a header the columns get names of their own: the question first, then answers to choose.
    const names = first.map((_, i) => (i === 0 ? 'question' : i < 10 ? String.fromCharCode(64 + i) : `column ${i}`)).join(separator);
    const source = header ? once(body) : once(encoder.encode(`${names}\n`), body);
    for await (const { record, line } of readCsv(source, separator, { name: path })) yield item(record, header ? line : line - 1);
    return;
  }
  for await (const { value, line } of readJsonl(once(bytes), { name: path })) yield item(value, line);
}

/** Fields of the first row of a table; a quoted field may hold separators and line ends. */
function firstRow(text: string, separator: string): string[] {
  const fields: string[] = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') quoted = !quoted;
    else if (!quoted && c === separator) {
      fields.push(field);
      field = '';
    } else if (!quoted && c === '\n') break;
    else field += c;
  }
  fields.push(field.replace(/\r$/, ''));
  return fields;
}

/** The records of a JSON value: the objects and strings of its outermost lists. */
function* recordsIn(value: unknown, depth: number): Generator<unknown> {
  if (depth > MAX_DEPTH || typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    yield* value;
    return;
  }
  const entries = Object.values(value);
  const lists = entries.some((v) => typeof v === 'object' && v !== null);
  // An object of texts alone is itself a record.
  if (!lists && entries.some((v) => typeof v === 'string')) yield value;
  else for (const inner of entries) yield* recordsIn(inner, depth + 1);
}

function partsOf(value: unknown, fields: readonly string[] | undefined): ItemPart[] {
  const parts: ItemPart[] = [];
  const add = (inner: unknown, option: boolean, depth: number): void => {
    if (typeof inner === 'string') {
      // A letter that names the right answer is no text.
      if (!/^\W*[a-jA-J]?\W*$/.test(inner) || /\p{L}{2,}|\p{Script=Han}/u.test(inner)) parts.push({ text: inner, option });
    } else if (Array.isArray(inner)) {
      if (depth < MAX_DEPTH) for (const one of inner) add(one, option, depth + 1);
    } else if (typeof inner === 'object' && inner !== null && depth < MAX_DEPTH) {
      const names = fields !== undefined && depth === 0 ? fields : Object.keys(inner);
      for (const name of names) {
        if (fields === undefined && NO_TEXT.test(name)) continue;
        add((inner as Record<string, unknown>)[name], option || OPTION.test(name), depth + 1);
      }
    }
  };
  add(value, false, 0);
  return parts;
}
