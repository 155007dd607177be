/**
 * A record of any kind of file as a `Doc`. A record that is none is a reason and not an error: one bad line of a million
 * must not end a build. Scores and tags that an earlier build left in a record are kept, so that steps can run one by one.
 */
import type { Doc, Message } from '../../data/doc.ts';
import type { Drop } from '../step.ts';
import type { Fields } from './config.ts';

/** Longer ids and categories are a fault of the data; they would be repeated in every list. */
const MAX_NAME = 300;

const bad = (reason: string, note: string): Drop => ({ reason: `read.${reason}`, note });

const kindOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`);

type Row = Readonly<Record<string, unknown>>;

/** The value under a field's name; several columns become one text. */
function fieldOf(record: Row, field: keyof Fields, fields: Fields): unknown {
  const column = fields[field] ?? field;
  if (typeof column === 'string') return Object.hasOwn(record, column) ? record[column] : undefined;
  const parts = column.map((name) => (Object.hasOwn(record, name) ? record[name] : undefined)).filter((part) => part !== undefined && part !== null);
  const strange = parts.find((part) => typeof part !== 'string');
  return strange !== undefined ? strange : parts.filter((part) => part !== '').join('\n');
}

/** Names may be numbers. */
function nameOf(value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  return typeof value === 'string' && value !== '' ? value.slice(0, MAX_NAME).toWellFormed() : undefined;
}

/** The text of a turn: a string, or parts of which all must be texts. */
function contentOf(content: unknown): string | null {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return null;
  const parts = content.map((part: unknown) => (typeof part === 'object' && part !== null && 'text' in part ? part.text : null));
  return parts.every((part) => typeof part === 'string') ? parts.join('') : null;
}

function turnsOf(value: unknown): Message[] | Drop {
  if (!Array.isArray(value)) return bad('bad-messages', `messages must be an array, found ${kindOf(value)}`);
  const turns: Message[] = [];
  for (const [i, one] of value.entries()) {
    const turn = (typeof one === 'object' && one !== null ? one : {}) as Row;
    const role = turn.role ?? turn.from;
    const content = contentOf(turn.content ?? turn.value);
    if (typeof role !== 'string' || content === null) {
      return bad('bad-messages', `message ${i + 1} of ${value.length} needs a role (or from) and a content (or value) that is text`);
    }
    turns.push({ role: role.slice(0, MAX_NAME), content });
  }
  return turns;
}

/** Scores and tags as `Doc` has them; anything else under these names belongs to someone else and is left out. */
function gathered(record: Row): Pick<Doc, 'scores' | 'tags'> {
  const { scores, tags } = record;
  const numbers = typeof scores === 'object' && scores !== null ? Object.entries(scores).filter(([, score]) => typeof score === 'number') : [];
  const words = Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === 'string') : [];
  return { ...(numbers.length > 0 ? { scores: Object.fromEntries(numbers) } : {}), ...(words.length > 0 ? { tags: words } : {}) };
}

/** What a record gets from its file where it says nothing itself. */
export interface Defaults {
  readonly id: string;
  readonly category: string;
  readonly lang?: string;
  readonly fields: Fields;
}

/** The document of a record, or why there is none. `text` counts as the target of a record without a source. */
export function docOf(value: unknown, defaults: Defaults): Doc | Drop {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return bad('no-record', `a record must be an object, found ${kindOf(value)}`);
  const record = value as Row;
  const { fields } = defaults;
  const id = nameOf(fieldOf(record, 'id', fields)) ?? defaults.id;
  const category = nameOf(fieldOf(record, 'category', fields)) ?? defaults.category;
  const lang = nameOf(fieldOf(record, 'lang', fields)) ?? defaults.lang;
  const title = nameOf(fieldOf(record, 'title', fields));
  const about = { ...(lang === undefined ? {} : { lang }), ...(title === undefined ? {} : { title }) };
  const messages = fieldOf(record, 'messages', fields);
  if (messages !== undefined && messages !== null) {
    const turns = turnsOf(messages);
    if (!Array.isArray(turns)) return turns;
    if (turns.every(({ content }) => content.trim() === '')) return bad('no-text', 'no message has any text');
    return { id, category, ...about, target: '', messages: turns, ...gathered(record) };
  }
  const texts: Record<'source' | 'target' | 'text', string> = { source: '', target: '', text: '' };
  let found = false;
  for (const name of ['source', 'target', 'text'] as const) {
    const text = fieldOf(record, name, fields);
    if (text === undefined) continue;
    found = true;
    if (text === null) continue;
    if (typeof text !== 'string') return bad('no-record', `"${name}" must be a string, found ${kindOf(text)}`);
    texts[name] = text;
  }
  if (!found) {
    const keys = Object.keys(record).slice(0, 8).join(', ').slice(0, 200);
    return bad('no-fields', `no text, source/target or messages in this record; its keys are: ${keys || '(none)'}`);
  }
  const target = texts.target || texts.text;
  if (target.trim() === '') return bad('no-text', texts.source === '' ? 'no text' : 'a source, but nothing to learn');
  return { id, category, ...about, ...(texts.source === '' ? {} : { source: texts.source }), target, ...gathered(record) };
}
