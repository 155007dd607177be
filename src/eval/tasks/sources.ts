/**
 * The questions of a task: every file of its sources, row by row. Where a row lacks what its task needs, that is a problem with file and line, and the
 * row is left out; the others are read.
 */
import { baseName, dirName, joinPath } from '../../base/path.ts';
import type { HostFiles } from '../../host/types.ts';
import type { Question } from '../types.ts';
import { findSource } from './files.ts';
import { isNothing, pick, RowFault, type RowOptions, toQuestion } from './question.ts';
import { type Problem, type Row, readRows } from './rows.ts';
import type { Join, RowMap, Source } from './schema.ts';
import { type EvalTask, fits } from './task.ts';

/** The subject of shots that hold for every subject. */
export const ANY_SUBJECT = '*';

/** A file that was read. */
export interface ReadFile {
  readonly path: string;
  /** Rows in it, broken ones counted. */
  readonly rows: number;
  readonly bad: number;
}

/** Questions of some files. */
export interface ReadQuestions {
  readonly questions: readonly Question[];
  readonly files: readonly ReadFile[];
  readonly problems: readonly Problem[];
}

/** Rows of other files by the key they are joined on, as new columns. */
async function readJoins(files: HostFiles, root: string, joins: readonly Join[], problems: Problem[], read: ReadFile[]): Promise<((row: Row) => Row)[]> {
  return Promise.all(
    joins.map(async (join) => {
      const byKey = new Map<string, Record<string, unknown>>();
      const found = await findSource(files, root, join);
      if (found.length === 0 && !join.optional)
        problems.push({ file: joinPath(root, join.path[0]), line: 1, message: 'there is no such file; its columns stay empty' });
      for (const { path } of found) {
        let rows = 0;
        let bad = 0;
        for await (const row of readRows(files, path, join)) {
          rows++;
          const key = row.bad === undefined ? pick(row.record, join.key) : undefined;
          if (row.bad !== undefined || isNothing(key)) {
            bad++;
            problems.push({ file: path, line: row.line, message: row.bad ?? `no "${join.key}" to join it by` });
          } else byKey.set(String(key), Object.fromEntries(Object.entries(join.take).map(([name, from]) => [name, pick(row.record, from)])));
        }
        read.push({ path, rows, bad });
      }
      return (row: Row): Row => {
        const other = byKey.get(String(pick(row.record, join.on)));
        return other === undefined ? row : { ...row, record: { ...row.record, ...other } };
      };
    }),
  );
}

/** What is read of a task. */
export interface ReadOptions extends RowOptions {
  /** Only these subjects; `*` stands for any characters. */
  readonly subjects?: readonly string[];
}

async function readSources(
  files: HostFiles,
  task: EvalTask,
  root: string,
  sources: readonly (Source & { readonly name: string })[],
  map: RowMap,
  options: ReadOptions,
  joins: readonly Join[],
): Promise<ReadQuestions> {
  const problems: Problem[] = [];
  const read: ReadFile[] = [];
  const questions: Question[] = [];
  const seen = new Map<string, Question>();
  const known = new Set<string>();
  const joined = await readJoins(files, root, joins, problems, read);
  const wanted = (subject: string): boolean => options.subjects === undefined || options.subjects.some((pattern) => fits(pattern, subject));
  for (const source of sources) {
    const places = await findSource(files, root, source);
    if (places.length === 0 && !source.optional) problems.push({ file: joinPath(root, source.path[0]), line: 1, message: 'there is no such file' });
    for (const place of places) {
      const found = { path: place.path, subject: source.subject ?? place.subject };
      if (found.subject !== null && !wanted(found.subject)) continue;
      let rows = 0;
      let bad = 0;
      const fault = (line: number, message: string): void => {
        bad++;
        problems.push({ file: found.path, line, message });
      };
      for await (const plain of readRows(files, found.path, source)) {
        rows++;
        if (plain.bad !== undefined) {
          fault(plain.line, plain.bad);
          continue;
        }
        try {
          const row = joined.reduce((one, join) => join(one), plain);
          if (map.once !== undefined) {
            const key = JSON.stringify(map.once.map((name) => pick(row.record, name)));
            if (known.has(key)) continue;
            known.add(key);
          }
          const question = toQuestion(task, map, found, source.split ?? source.name, row, options);
          const twin = seen.get(question.id);
          if (twin) throw new RowFault(`the id ${question.id} is that of ${baseName(twin.file)}:${twin.line} too`);
          seen.set(question.id, question);
          if (wanted(question.subject)) questions.push(question);
        } catch (error) {
          if (!(error instanceof RowFault)) throw error;
          fault(plain.line, error.message);
        }
      }
      read.push({ path: found.path, rows, bad });
    }
  }
  return { questions, files: read, problems };
}

/** The questions of a task. */
export function readQuestions(files: HostFiles, task: EvalTask, root: string, options: ReadOptions): Promise<ReadQuestions> {
  const { questions, row, join } = task.spec;
  return readSources(
    files,
    task,
    root,
    questions.map((source) => ({ ...source, name: 'test' })),
    row,
    options,
    join,
  );
}

/** The rows that its shots are taken from, by their subject; a file of the user's instead (JSON Lines, the same columns) holds for all subjects. */
export function readShots(files: HostFiles, task: EvalTask, root: string, options: ReadOptions, path?: string): Promise<ReadQuestions> {
  const { shotRows, row, shotRow } = task.spec;
  const asShots = { ...options, shots: true };
  if (path === undefined)
    return readSources(
      files,
      task,
      root,
      shotRows.map((source) => ({ ...source, name: 'dev' })),
      { ...row, ...shotRow },
      asShots,
      [],
    );
  const own = { path: [baseName(path)], format: 'jsonl', subject: ANY_SUBJECT, except: [], optional: false, name: 'shots' } as const;
  return readSources(files, task, dirName(path), [{ ...own, path: [...own.path], except: [] }], { ...row, ...shotRow, id: null }, asShots, []);
}
