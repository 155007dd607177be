/**
 * Records to texts: `messages`, `text` or `source` and `target`, whatever kind of file they come from, and
 * the mapping of columns under other names to these.
 */
import { ScionError } from '../base/errors.ts';

/** The names a record may use, beside what it calls them: `{ text: 'content' }` reads `content` as the text. */
export type ColumnNames = Readonly<Partial<Record<RecordField, string>>>;
export type RecordField = (typeof RECORD_FIELDS)[number];

/** Fields that carry text; one of them must be there. */
const TEXT_FIELDS = ['messages', 'text', 'source', 'target'] as const;
const RECORD_FIELDS = [...TEXT_FIELDS, 'id', 'category', 'lang'] as const;

/** Parses words of the form `text=content`. Throws `usage` for another field or form. */
export function parseColumnNames(words: readonly string[]): ColumnNames {
  return Object.fromEntries(
    words.map((word) => {
      const [field, ...rest] = word.split('=');
      const column = rest.join('=');
      if (column === '' || !(RECORD_FIELDS as readonly string[]).includes(field))
        throw new ScionError('usage', `columns are named FIELD=COLUMN with a field of ${RECORD_FIELDS.join(', ')}; got "${word}"`);
      return [field, column];
    }),
  );
}

/** The columns of a table that make a record, by field. Throws `input` naming what the table has if none carries text. */
export function recordColumns(columns: readonly string[], names: ColumnNames, where: string): Map<RecordField, string> {
  const found = new Map<RecordField, string>();
  for (const field of RECORD_FIELDS) {
    const column = names[field] ?? field;
    if (columns.includes(column)) found.set(field, column);
    else if (names[field] !== undefined)
      throw new ScionError('input', `${where}: no column "${column}" (for ${field}); its columns are ${columns.join(', ')}`, { column });
  }
  if (!TEXT_FIELDS.some((field) => found.has(field))) {
    throw new ScionError(
      'input',
      `${where}: no column "text", "source"/"target" or "messages"; its columns are ${columns.join(', ')}. Name one, for example text=${columns[0] ?? 'body'}`,
      {
        columns,
      },
    );
  }
  return found;
}

/** The record under the house's names; a value that is no object stays as it is. */
export function renameFields(value: unknown, names: ColumnNames): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const renamed: Record<string, unknown> = { ...value };
  for (const [field, column] of Object.entries(names)) renamed[field] = (value as Record<string, unknown>)[column];
  return renamed;
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
  if (record.messages !== undefined && record.messages !== null) {
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
  // A table has every column in every row: null messages are an empty record, absent ones a wrong one.
  if (record.source === undefined && record.target === undefined && record.messages === undefined) {
    const keys = Object.keys(record).slice(0, 8).join(', ');
    throw new ScionError('input', `${where}: no "text", "source"/"target" or "messages" in this record; its keys are: ${keys === '' ? '(none)' : keys}`, {
      where,
    });
  }
  return [field('source'), field('target')].filter((part) => part !== '').join('\n');
}
