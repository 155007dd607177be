/**
 * Answer files that a publisher scores where it keeps the answers to itself: C-Eval's, a letter by subject and id, and SafetyBench's, a number
 * from 0 by id. The original reads these sets and can do nothing with them.
 */
import { ScionError } from '../../base/errors.ts';
import type { Question } from '../types.ts';
import type { EvalTask } from './task.ts';

/** A file to send in. */
export interface Submission {
  readonly name: string;
  readonly json: Readonly<Record<string, unknown>>;
  /** Questions without a choice; they stand as the first letter, since the form has no other word for them. */
  readonly missing: number;
}

/** `chosen` gives the letter by the question's id, null where none was seen. @throws ScionError `usage` for a task that has no such file. */
export function toSubmission(task: EvalTask, questions: readonly Question[], chosen: ReadonlyMap<string, string | null>): Submission {
  const { submission } = task.spec;
  if (submission === undefined) throw new ScionError('usage', `task ${task.name} has no answer file to send in`, { task: task.name });
  let missing = 0;
  const bySubject: Record<string, Record<string, string>> = {};
  const byId: Record<string, number> = {};
  for (const { id, subject, letters } of questions) {
    const row = id.slice(id.lastIndexOf('/') + 1);
    const letter = chosen.get(id) ?? null;
    const place = letter === null ? -1 : (letters ?? []).indexOf(letter);
    if (place < 0) missing++;
    byId[row] = Math.max(0, place);
    bySubject[subject] ??= {};
    bySubject[subject][row] = letters?.[Math.max(0, place)] ?? 'A';
  }
  return { name: `${task.name}-submission.json`, json: submission === 'ceval' ? bySubject : byId, missing };
}
