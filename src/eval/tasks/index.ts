/**
 * Tasks of an evaluation: a YAML and the publisher's files give questions and prompts. `loadTask` is all that a run needs; the rest is
 * for who wants the parts.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import type { HostFiles } from '../../host/types.ts';
import type { Method, Question } from '../types.ts';
import { findFolder } from './files.ts';
import { shotText, type TaskPrompt, toPrompt } from './prompts.ts';
import type { Problem } from './rows.ts';
import type { Compat } from './schema.ts';
import { chooseShots, spread } from './select.ts';
import { ANY_SUBJECT, type ReadFile, readQuestions, readShots } from './sources.ts';
import { builtinNames, type EvalTask, fits, partOf, readTask } from './task.ts';

export { changedRows, type Digests, digestOf, digestsOf } from './digest.ts';
export { type Fitted, fitShots } from './fit.ts';
export { type TaskPrompt, toPrompt, withShots } from './prompts.ts';
export type { Problem } from './rows.ts';
export { COMPATS, type Compat } from './schema.ts';
export { spread } from './select.ts';
export type { ReadFile } from './sources.ts';
export { type Submission, toSubmission } from './submission.ts';
export { builtinNames, type EvalTask, partOf, readTask, type TaskPart } from './task.ts';

/** What is loaded of a task. */
export interface LoadOptions {
  /** The folder of evaluation sets, one above them, or the task's own folder. */
  readonly dataRoot: string;
  /** Shots a question; by default the task's. */
  readonly shots?: number;
  readonly seed?: number;
  /** At most so many questions, spread over subjects. */
  readonly limit?: number;
  /** Only these subjects; `*` stands for any characters. */
  readonly subjects?: readonly string[];
  /** What continuations are made for; by default the first method of each subject. */
  readonly method?: Method;
  /** Another protocol than the task's own. */
  readonly compat?: Compat;
  /** A JSON Lines file of shots for all subjects, with the columns of the task's own. */
  readonly shotsFile?: string;
}

/** A task ready to be asked. */
export interface LoadedTask {
  readonly task: EvalTask;
  readonly questions: readonly TaskPrompt[];
  /** Broken rows, by file and line; they are left out. */
  readonly problems: readonly Problem[];
  readonly folder: string;
  /** Every file that was read. */
  readonly files: readonly ReadFile[];
  /** Questions before `limit`. */
  readonly available: number;
  /** Shots by subject, where they are not as many as were asked for. */
  readonly fewerShots: Readonly<Record<string, number>>;
}

/** Where the YAML of a name lies that is not built in: dropped into the data folder, or into `tasks` there. */
async function dropped(files: HostFiles, nameOrPath: string, dataRoot: string): Promise<string> {
  const name = nameOrPath.split(':')[0];
  if (builtinNames().includes(name) || !/^[\w.-]+$/.test(name)) return nameOrPath;
  for (const path of [joinPath(dataRoot, `${name}.yaml`), joinPath(dataRoot, 'tasks', `${name}.yaml`)]) if ((await files.stat(path)) !== null) return path;
  return nameOrPath;
}

/**
 * Reads a task and its questions and makes their prompts. `nameOrPath` is a name, `name:subset`, the path of a YAML file, or the name of one in the data folder.
 * @throws ScionError `usage` for a name that is none or a subject that is not there, `input` for a task that cannot be read and for data that is not there.
 */
export async function loadTask(files: HostFiles, nameOrPath: string, options: LoadOptions): Promise<LoadedTask> {
  const { dataRoot, seed = 0, limit, subjects: only, compat = null } = options;
  if (options.shots !== undefined && !(Number.isInteger(options.shots) && options.shots >= 0))
    throw new ScionError('usage', `${options.shots} shots; give a whole number from 0 on`);
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1))
    throw new ScionError('usage', `a limit of ${limit} questions; give a whole number from 1 on`);
  const task = await readTask(files, await dropped(files, nameOrPath, dataRoot), compat);
  const folder = await findFolder(files, task, dataRoot);
  const subset = task.subset === null ? undefined : task.spec.subsets[task.subset];
  const read = await readQuestions(files, task, folder, { seed, subjects: subset });
  const wanted = only === undefined ? read.questions : read.questions.filter(({ subject }) => only.some((pattern) => fits(pattern, subject)));
  if (wanted.length === 0 && read.questions.length > 0) {
    const there = [...new Set(read.questions.map(({ subject }) => subject))];
    throw new ScionError(
      'usage',
      `task ${task.name} has no subject ${(only ?? []).join(' or ')}; it has ${there.slice(0, 12).join(', ')}${there.length > 12 ? ', …' : ''}`,
    );
  }
  const kept = limit === undefined ? wanted : spread(wanted, ({ subject }) => subject, limit, seed);
  const most = (subject: string): number => options.shots ?? partOf(task, subject).shots;
  const bySubject = new Map<string, Question[]>();
  let shotProblems: readonly Problem[] = [];
  let shotFiles: readonly ReadFile[] = [];
  if (kept.some(({ subject }) => most(subject) > 0)) {
    const rows = await readShots(files, task, folder, { seed }, options.shotsFile);
    shotProblems = rows.problems;
    shotFiles = rows.files;
    for (const shot of rows.questions) {
      const list = bySubject.get(shot.subject);
      if (list) list.push(shot);
      else bySubject.set(shot.subject, [shot]);
    }
  }
  const texts = new Map<string, readonly string[]>();
  const fewer: Record<string, number> = {};
  const shotsOf = (subject: string): readonly string[] => {
    const known = texts.get(subject);
    if (known) return known;
    const part = partOf(task, subject);
    const rows = bySubject.get(part.shotSubject ?? subject) ?? bySubject.get(ANY_SUBJECT) ?? [];
    const answered = rows.filter(({ answer }) => answer !== null);
    const chosen = chooseShots(answered, most(subject), options.shotsFile === undefined ? part.select : 'first', seed);
    if (chosen.length < most(subject)) fewer[subject] = chosen.length;
    const out = chosen.map((shot) => shotText(task, part, shot));
    texts.set(subject, out);
    return out;
  };
  const questions = kept.map((question) => toPrompt(task, question, shotsOf(question.subject), options.method ?? partOf(task, question.subject).methods[0]));
  return {
    task,
    questions,
    problems: [...read.problems, ...shotProblems],
    folder,
    files: [...read.files, ...shotFiles],
    available: wanted.length,
    fewerShots: fewer,
  };
}
