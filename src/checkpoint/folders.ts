/**
 * The names in a checkpoint folder and what each means. `step-00001234` is a complete checkpoint: the
 * rename to that name is the only commit. `.tmp-RUN` is being written or removed, `.old-RUN` was moved
 * out of the way of a new one of the same step, `.aside-RUN` belongs to a future that was abandoned.
 */
import { dirName, joinPath } from '../base/path.ts';
import type { HostFiles } from '../host/types.ts';

/** A folder that may be loaded. */
export interface CheckpointFolder {
  readonly path: string;
  readonly step: number;
  /** The only copy of this step, left under its `.old-` name by a crash between two renames. */
  readonly displaced: boolean;
}

const NAME = /^step-(\d{8,15})(?:\.(tmp|old|aside)-([\w-]+))?$/;

/** `step-00001234`. */
export const stepFolder = (step: number): string => `step-${String(step).padStart(8, '0')}`;

/** Complete checkpoints of a folder, newest first; none if it does not exist. Reads names only. */
export async function listCheckpoints(files: HostFiles, dir: string): Promise<CheckpointFolder[]> {
  const stat = await files.stat(dir);
  if (!stat?.isDirectory) return [];
  const out: CheckpointFolder[] = [];
  for (const entry of await files.list(dir)) {
    const match = NAME.exec(entry.name);
    if (!match || !entry.isDirectory) continue;
    const [, digits, state] = match;
    if (state === undefined || state === 'old') out.push({ path: joinPath(dir, entry.name), step: Number(digits), displaced: state === 'old' });
  }
  const committed = new Set(out.filter((c) => !c.displaced).map((c) => c.step));
  return out.filter((c) => !c.displaced || !committed.has(c.step)).sort((a, b) => b.step - a.step || (a.path < b.path ? -1 : 1));
}

/**
 * Tidies up after dead runs: removes unfinished folders, gives a displaced checkpoint its name back. Only for the
 * holder of the folder's lock: a living run's unfinished folder looks the same. Returns the names of what was removed or renamed.
 */
export async function recoverCheckpoints(files: HostFiles, dir: string): Promise<string[]> {
  const stat = await files.stat(dir);
  if (!stat?.isDirectory) return [];
  const touched: string[] = [];
  for (const entry of await files.list(dir)) {
    const match = NAME.exec(entry.name);
    if (match?.[2] !== 'tmp' && match?.[2] !== 'old') continue;
    const path = joinPath(dir, entry.name);
    const home = joinPath(dir, `step-${match[1]}`);
    if (match[2] === 'old' && (await files.stat(home)) === null) await files.rename(path, home);
    else await files.remove(path);
    touched.push(entry.name);
  }
  if (touched.length > 0) await files.syncDir(dir);
  return touched;
}

/** Makes a folder and, where parents are missing, those; each name is durable when this returns. */
export async function makeDurableDir(files: HostFiles, dir: string): Promise<void> {
  const created: string[] = [];
  for (let at = dir; (await files.stat(at)) === null; at = dirName(at)) {
    created.push(at);
    if (dirName(at) === at) break;
  }
  if (created.length === 0) return;
  await files.makeDir(dir);
  for (const path of created) await files.syncDir(dirName(path));
}
