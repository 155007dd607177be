/**
 * Questions as prompts: header, shots and the question's own text up to where the answer begins, and the continuations that a method
 * compares. Where lm-evaluation-harness has the protocol, the default texts are its texts, byte for byte; what stands before the
 * question is the same string for all questions of a subject, so that it can be computed once.
 */
import type { Method, Prompted, Question } from '../types.ts';
import { type EvalTask, partOf, type TaskPart } from './task.ts';
import { fillTemplate } from './template.ts';

/** A prompt that knows its parts, so that shots can be taken off it. */
export interface TaskPrompt extends Prompted {
  readonly header: string;
  /** Each with what separates it from the next. */
  readonly shots: readonly string[];
  /** What stands before the question where no shot is left. */
  readonly zeroHeader: string;
}

/** Words with a capital each; the one that is an abbreviation wholly. */
const titled = (words: string): string => words.replace(/\S+/g, (word) => (word === 'us' ? 'US' : word[0].toUpperCase() + word.slice(1).toLowerCase()));

function subjectValues(task: EvalTask, subject: string): Record<string, string> {
  const words = subject.replaceAll('_', ' ');
  return { subject, subject_name: task.spec.subjects[subject]?.name ?? words, subject_title: titled(words) };
}

/** All that templates may name of a question. */
function valuesOf(task: EvalTask, part: TaskPart, question: Question): Record<string, string> {
  const { letters, answer } = question;
  const { option, optionJoin } = part.prompt;
  const classes = part.classes ?? letters ?? [];
  const options = (question.options ?? []).map((text, i) => fillTemplate(option, { letter: classes[i] ?? '', text }));
  const right = letters === null || answer === null ? -1 : letters.indexOf(answer[0]);
  return {
    ...question.fields,
    ...Object.fromEntries(part.blank.map((name) => [name, ''])),
    ...subjectValues(task, question.subject),
    options: options.join(optionJoin),
    last_letter: letters?.[letters.length - 1] ?? '',
    answer: letters === null ? (answer?.[0] ?? '') : (answer ?? []).join(''),
    answer_text: question.options?.[right] ?? answer?.[0] ?? '',
  };
}

/** A shot: its text, its answer, and what separates it from what follows. */
export function shotText(task: EvalTask, part: TaskPart, shot: Question): string {
  const { body, shotBody, delimiter, answer, separator } = part.prompt;
  const values = valuesOf(task, part, shot);
  return fillTemplate(shotBody ?? body, values) + delimiter + fillTemplate(answer, values) + separator;
}

/** Continuations that a method compares or asks the likelihood of; null where it asks for none. */
function continuationsOf(part: TaskPart, question: Question, method: Method): readonly string[] | null {
  const { letters, options, answer } = question;
  const { delimiter, letter, choice } = part.prompt;
  if (method === 'target-loss') return answer === null ? [] : [letters === null ? answer : [answer.join('')]].flat().map((text) => delimiter + text);
  if (letters === null || method === 'generate' || method === 'text-loss') return null;
  if (method === 'option-likelihood' && options !== null) return options.map((text, i) => delimiter + fillTemplate(choice, { letter: letters[i], text }));
  return letters.map((one) => delimiter + fillTemplate(letter, { letter: one }));
}

/** The prompt of a question with these shots, for a method. */
export function toPrompt(task: EvalTask, question: Question, shots: readonly string[], method: Method): TaskPrompt {
  const part = partOf(task, question.subject);
  const { header, zeroHeader, body, cue } = part.prompt;
  const subject = subjectValues(task, question.subject);
  const [full, zero] = [header, zeroHeader ?? header].map((text) => fillTemplate(text, subject));
  const values = valuesOf(task, part, question);
  return {
    question,
    header: full,
    zeroHeader: zero,
    shots,
    prefix: prefixOf(full, zero, shots),
    body: fillTemplate(body, values),
    continuations: continuationsOf(part, question, method),
    baseline: fillTemplate(cue, values),
    stop: part.stop,
    maxNewTokens: part.maxNewTokens,
  };
}

function prefixOf(header: string, zeroHeader: string, shots: readonly string[]): string {
  return shots.length === 0 ? zeroHeader : header + shots.join('');
}

/** The same prompt with its first `count` shots. */
export function withShots(prompt: TaskPrompt, count: number): TaskPrompt {
  if (count >= prompt.shots.length) return prompt;
  const shots = prompt.shots.slice(0, count);
  return { ...prompt, shots, prefix: prefixOf(prompt.header, prompt.zeroHeader, shots) };
}
