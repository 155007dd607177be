/**
 * The files of a task below a folder: patterns whose `{subject}` tells what a file is about, and where among the usual places a task's folder is.
 */
import { ScionError } from '../../base/errors.ts';
import { baseName, joinPath } from '../../base/path.ts';
import type { HostFiles } from '../../host/types.ts';
import type { Source } from './schema.ts';
import { type EvalTask, fits } from './task.ts';

/** A file of a source, and the subject that its name tells. */
export interface Found {
  readonly path: string;
  readonly subject: string | null;
}

/** Files that a pattern names below a folder, in order of their names. */
async function expand(files: HostFiles, folder: string, segments: readonly string[], subject: string | null): Promise<Found[]> {
  const [segment, ...rest] = segments;
  if (segment === undefined) return [{ path: folder, subject }];
  if (!/[*{]/.test(segment)) {
    const stat = await files.stat(joinPath(folder, segment));
    return stat !== null && stat.isDirectory === rest.length > 0 ? expand(files, joinPath(folder, segment), rest, subject) : [];
  }
  const pattern = new RegExp(
    `^${segment
      .replace(/[.+?^$()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*?')
      .replace('{subject}', '(?<subject>.+)')}$`,
    's',
  );
  const entries = [...(await files.list(folder))].sort((a, b) => (a.name < b.name ? -1 : 1));
  const out: Found[] = [];
  for (const { name, isDirectory } of entries) {
    const match = isDirectory === rest.length > 0 && !name.startsWith('.') ? pattern.exec(name) : null;
    if (match) out.push(...(await expand(files, joinPath(folder, name), rest, match.groups?.subject ?? subject)));
  }
  return out;
}

/** The files of a source: those of its first path that has any. */
export async function findSource(files: HostFiles, root: string, source: Pick<Source, 'path' | 'except'>): Promise<Found[]> {
  for (const path of source.path) {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    const found = (await expand(files, root, parts, null)).filter((one) => !source.except.some((pattern) => fits(pattern, baseName(one.path))));
    if (found.length > 0) return found;
  }
  return [];
}

/**
 * The folder of a task: below the data, below its `eval`, or the data folder itself.
 * @throws ScionError `input` naming what was looked for and where.
 */
export async function findFolder(files: HostFiles, task: EvalTask, dataRoot: string): Promise<string> {
  const names = task.spec.folder;
  const roots = [...names.flatMap((name) => [joinPath(dataRoot, name), joinPath(dataRoot, 'eval', name)]), dataRoot];
  if (task.base !== null) roots.push(...names.map((name) => joinPath(task.base as string, name)), task.base);
  for (const root of roots) {
    if (!(await files.stat(root))?.isDirectory) continue;
    for (const source of task.spec.questions) if ((await findSource(files, root, source)).length > 0) return root;
  }
  const wanted = task.spec.questions
    .flatMap(({ path }) => path)
    .slice(0, 4)
    .join(', ');
  throw new ScionError(
    'input',
    `task ${task.name}: no file of its questions (${wanted}) in ${names.join(' or ')} below ${dataRoot}; give the folder that holds it with --data`,
    { task: task.name, dataRoot },
  );
}
