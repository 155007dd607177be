/**
 * What a set of questions was, in few bytes: a hash a row, kept beside results, so that a row that has since been changed can be named by
 * file and line. Text of the questions is not kept, which their licences would forbid.
 */
import { baseName } from '../../base/path.ts';
import { hash32 } from '../../data/hash.ts';
import type { Question } from '../types.ts';
import type { Problem } from './rows.ts';

/** By id of the question, 8 hexadecimal digits. */
export type Digests = Readonly<Record<string, string>>;

/** All of a question that a score depends on; where it was read does not count. */
export function digestOf(question: Question): string {
  const { id, subject, group, fields, options, letters, answer, turns } = question;
  const names = Object.keys(fields).sort();
  const text = JSON.stringify([id, subject, group, names.map((name) => [name, fields[name]]), options, letters, answer, turns]);
  return hash32(text).toString(16).padStart(8, '0');
}

export function digestsOf(questions: readonly Question[]): Digests {
  return Object.fromEntries(questions.map((question) => [question.id, digestOf(question)]));
}

/** Rows that differ from what was known, rows that are new, and known ones that are gone. */
export function changedRows(questions: readonly Question[], known: Digests): { readonly problems: readonly Problem[]; readonly gone: readonly string[] } {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const question of questions) {
    seen.add(question.id);
    const before = Object.hasOwn(known, question.id) ? known[question.id] : undefined;
    const at = { file: question.file, line: question.line };
    if (before === undefined) problems.push({ ...at, message: `${question.id} was not in ${baseName(question.file)} before` });
    else if (before !== digestOf(question)) problems.push({ ...at, message: `${question.id} is not what it was` });
  }
  return { problems, gone: Object.keys(known).filter((id) => !seen.has(id)) };
}
