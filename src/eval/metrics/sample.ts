/**
 * Questions and outputs for tests of metrics, with all that a test does not care about filled in.
 */
import type { Question, SampleOutput } from '../types.ts';

/** A question of a test; four options A to D unless told otherwise. */
export function question(fields: Partial<Question> = {}): Question {
  return {
    id: 'q',
    subject: 's',
    group: null,
    file: 'f',
    line: 1,
    fields: {},
    options: ['Rome', 'Paris', 'London', 'Oslo'],
    letters: ['A', 'B', 'C', 'D'],
    answer: ['B'],
    turns: null,
    ...fields,
  };
}

/** A question with reference texts instead of options. */
export const openQuestion = (...answer: string[]) => question({ options: null, letters: null, answer });

/** An output of a test. */
export function output(fields: Partial<SampleOutput> = {}): SampleOutput {
  return { id: 'q', task: 't', subject: 's', promptSha256: '', method: 'generate', ...fields };
}
