/**
 * What `scion eval` keeps in its folder beside samples and results: who works in it, what the questions were, and answer files to send in. Samples of questions that have
 * changed since are no samples of these; a prompt's hash does not show a changed answer, so each question's digest is kept (no text, which licences would forbid).
 */
import { ScionError } from '../../base/errors.ts';
import { visible } from '../../base/markup.ts';
import { joinPath } from '../../base/path.ts';
import type { SampleLine } from '../../eval/report/index.ts';
import { changedRows, type Digests, digestsOf, type EvalTask, toSubmission } from '../../eval/tasks/index.ts';
import type { Question } from '../../eval/types.ts';
import { jsonBytes, readJsonObject } from '../../formats/json.ts';
import type { HostFiles } from '../../host/types.ts';
import { writeWhole } from '../../host/whole-file.ts';

/** Questions of a task, whatever they are asked by. */
export interface TaskQuestions {
  readonly task: EvalTask;
  readonly questions: readonly Question[];
}

/** Each question of each task once. */
export function questionsOf(asked: readonly { readonly task: EvalTask; readonly prompts: readonly { readonly question: Question }[] }[]): TaskQuestions[] {
  const byTask = new Map<string, { task: EvalTask; questions: Map<string, Question> }>();
  for (const { task, prompts } of asked) {
    const entry = byTask.get(task.name) ?? { task, questions: new Map<string, Question>() };
    for (const { question } of prompts) entry.questions.set(question.id, question);
    byTask.set(task.name, entry);
  }
  return [...byTask.values()].map(({ task, questions }) => ({ task, questions: [...questions.values()] }));
}

/**
 * Holds questions against those that the folder's samples are of, and keeps what they are now. Questions that are new or gone are the samples' to judge.
 * @throws ScionError `input` naming file and line of rows that have changed.
 */
export async function checkQuestions(files: HostFiles, out: string, tasks: readonly TaskQuestions[], fresh: boolean): Promise<void> {
  const path = joinPath(out, 'questions.json');
  const known = fresh || !(await files.stat(path)) ? null : await readJsonObject(files, path);
  for (const { task, questions } of tasks) {
    const before = known && Object.hasOwn(known, task.name) ? (known[task.name] as Digests) : null;
    if (!before) continue;
    const { problems } = changedRows(
      questions.filter(({ id }) => Object.hasOwn(before, id)),
      before,
    );
    if (problems.length > 0)
      throw new ScionError(
        'input',
        `${problems.length} rows of ${task.name} have changed since ${out} was begun: ${problems
          .slice(0, 3)
          .map(({ file, line, message }) => visible(`${file}:${line}: ${message}`))
          .join('; ')}; put them back, name another --out, or --fresh to begin anew`,
        { task: task.name, rows: problems.length },
      );
  }
  // What is not asked this time stays known: the samples may yet refuse this command.
  const merged: Record<string, unknown> = { ...known };
  for (const { task, questions } of tasks) merged[task.name] = { ...(known?.[task.name] as Digests | undefined), ...digestsOf(questions) };
  await writeWhole(files, path, jsonBytes(merged));
}

/** Writes the answer files that tasks without published answers want; gives their paths. `lines` are the model's, of all tasks. */
export async function writeSubmissions(files: HostFiles, dir: string, tasks: readonly TaskQuestions[], lines: readonly SampleLine[]): Promise<string[]> {
  const out: string[] = [];
  for (const { task, questions } of tasks) {
    if (task.spec.submission === undefined) continue;
    const chosen = new Map<string, string | null>();
    // Of several methods the one asked first that saw a choice.
    for (const line of lines) if (line.task === task.name && !chosen.get(line.id)) chosen.set(line.id, line.chosen);
    const { name, json } = toSubmission(task, questions, chosen);
    const path = joinPath(dir, name);
    await writeWhole(files, path, jsonBytes(json));
    out.push(path);
  }
  return out;
}
