/**
 * A row as a question: columns to fields, options and letters, answers in all the ways that publishers write them. What a row lacks is thrown
 * as a fault that says so; whoever reads the file knows the line.
 */
import { Random } from '../../base/random.ts';
import { hash32 } from '../../data/hash.ts';
import type { Question } from '../types.ts';
import type { Found } from './files.ts';
import type { Row } from './rows.ts';
import type { RowMap } from './schema.ts';
import { type EvalTask, partOf, type TaskPart } from './task.ts';
import { stripSpace } from './template.ts';

/** A value below a dotted path; undefined where there is none. */
export function pick(record: Readonly<Record<string, unknown>>, path: string): unknown {
  if (Object.hasOwn(record, path)) return record[path];
  let at: unknown = record;
  for (const key of path.split('.')) at = typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined;
  return at;
}

/** What is wrong with a row. */
export class RowFault extends Error {}

function textOf(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new RowFault(`"${what}" is ${value === undefined ? 'missing' : value === null ? 'null' : 'no text'}`);
}

function listOf(value: unknown, what: string): string[] {
  if (!Array.isArray(value)) throw new RowFault(`"${what}" is ${value === undefined ? 'missing' : 'no list'}`);
  return value.map((one, i) => textOf(one, `${what}[${i}]`));
}

export const isNothing = (value: unknown): boolean => value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);

function lettersIn(value: unknown, letters: readonly string[], several: boolean): string[] {
  const words = (Array.isArray(value) ? value : [value]).map((one) => stripSpace(textOf(one, 'answer')));
  // "AD", "A, D" and ["A", "D"] say the same; a class longer than a letter stands whole.
  const found = words.flatMap((word) => (letters.includes(word) ? [word] : [...word.replace(/[\s,，、]/g, '')]));
  const wrong = found.find((one) => !letters.includes(one));
  if (wrong !== undefined || found.length === 0) throw new RowFault(`the answer "${words.join(', ')}" is none of ${letters.join(' ')}`);
  if (new Set(found).size < found.length) throw new RowFault(`the answer "${words.join(', ')}" names a letter twice`);
  if (!several && found.length > 1) throw new RowFault(`${found.length} answers (${found.join(' ')}) where one is asked for`);
  return found;
}

/** Letters of several questions in a row, in their order; one may stand twice. */
function sequenceOf(value: unknown, letters: readonly string[]): string[] {
  const said = listOf(value, 'answer').map(stripSpace);
  const wrong = said.find((one) => !letters.includes(one));
  if (wrong !== undefined) throw new RowFault(`the answer "${said.join(', ')}" holds what is none of ${letters.join(' ')}`);
  return said;
}

/** The answer of a row; null where it is unpublished and may be. */
function answerOf(row: Row, map: RowMap, letters: readonly string[] | null, { kind, answerAs }: TaskPart): string[] | null {
  if (map.answer === undefined) return null;
  const names = map.answer.from.map((name) => name.replace(/\?$/, ''));
  const values = names.map((name) => pick(row.record, name));
  const value = values.find((one) => !isNothing(one));
  if (value === undefined) {
    if (map.answer.from[names.length - 1].endsWith('?')) return null;
    throw new RowFault(`no answer: ${names.map((name) => `"${name}"`).join(', ')} ${names.length === 1 ? 'holds' : 'hold'} nothing`);
  }
  const said = answerAs ?? map.answer.as;
  const as = said === 'label' ? (letters === null ? 'text' : 'letters') : said;
  if (as === 'letters') {
    if (letters === null) throw new RowFault('an answer of letters without options');
    return lettersIn(value, letters, kind === 'multi-choice');
  }
  if (as === 'index') {
    const index = typeof value === 'number' ? value : Number(textOf(value, 'answer'));
    if (letters === null || !Number.isInteger(index) || index < 0 || index >= letters.length)
      throw new RowFault(`the answer ${index} is no option of ${letters?.length ?? 0}, counted from 0`);
    return [letters[index]];
  }
  if (as === 'sequence') return sequenceOf(value, letters ?? []);
  return Array.isArray(value) ? listOf(value, 'answer') : [textOf(value, 'answer')];
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** How rows become questions. */
export interface RowOptions {
  /** For the order of options that are shuffled. */
  readonly seed: number;
  /** Rows are shots: shown, never asked. */
  readonly shots?: boolean;
}

/** A row as a question. @throws RowFault */
export function toQuestion(task: EvalTask, map: RowMap, found: Found, split: string, row: Row, { seed, shots = false }: RowOptions): Question {
  const subject = found.subject ?? (map.subject === undefined ? '' : textOf(pick(row.record, map.subject), map.subject));
  if (subject === '') throw new RowFault(`"${map.subject}", which names the subject, is empty`);
  const part = partOf(task, subject);
  const fields: Record<string, string> = {};
  for (const [name, from] of Object.entries(map.fields ?? {})) {
    const open = from.endsWith('?');
    const names = from.replace(/\?$/, '').split('|');
    const value = names.map((one) => pick(row.record, one)).find((one) => one !== undefined && one !== null);
    fields[name] = part.blank.includes(name) || (open && value === undefined) ? '' : textOf(value, names.join(' or '));
    if (!open && stripSpace(fields[name]) === '' && !part.blank.includes(name)) throw new RowFault(`"${from}" is empty`);
  }
  const id = `${subject}/${split}/${map.id === undefined || map.id === null ? row.index : textOf(pick(row.record, map.id), map.id)}`;
  const choice = part.kind.endsWith('choice');
  let options: string[] | null = null;
  if (map.options !== undefined) {
    const value = typeof map.options === 'string' ? pick(row.record, map.options) : map.options.map((name) => textOf(pick(row.record, name), name));
    if (choice || !isNothing(value)) options = listOf(value, String(map.options));
    // Some published shots hold all options in one text; a prompt can show them all the same.
    if (options !== null && options.length < (shots ? 1 : 2)) throw new RowFault(`${options.length} options; a choice has at least 2`);
    const empty = options === null ? -1 : options.findIndex((option) => stripSpace(option) === '');
    if (empty >= 0) throw new RowFault(`option ${alphabet[empty]} is empty`);
    if (choice && options !== null && options.length > (part.classes?.length ?? alphabet.length))
      throw new RowFault(`${options.length} options, more than there are letters`);
    const { padOptions } = part.prompt;
    if (choice && options !== null && padOptions !== '') options = (part.classes ?? options).map((_, i) => options?.[i] ?? padOptions);
  }
  // Options of an open question are names that its answer is one of; they have no letters.
  const all = part.classes ?? [...alphabet];
  const letters = choice ? (options === null ? part.classes : all.slice(0, options.length === 1 ? all.length : options.length)) : null;
  if (choice && letters === null) throw new RowFault('no options, and the task names no classes');
  let answer = answerOf(row, map, letters, part);
  if (map.shuffle && options !== null && letters !== null) {
    const order = new Random(seed, hash32(id)).shuffle(options.map((_, i) => i));
    const first = answer === null ? 0 : letters.indexOf(answer[0]);
    options = order.map((i) => (options as string[])[i]);
    answer = [letters[order.indexOf(first)]];
  }
  const turns = map.turns === undefined ? null : listOf(pick(row.record, map.turns), map.turns);
  if (turns !== null && turns.length === 0) throw new RowFault('no turns');
  const group = map.group === undefined ? (task.spec.subjects[subject]?.group ?? null) : textOf(pick(row.record, map.group), map.group);
  return { id, subject, group, file: found.path, line: row.line, fields, options, letters, answer, turns };
}
