/**
 * Keys of finished work. A key is a hash of what a step was told, of the key of the step before it, and of the files that came
 * in; a folder of work belongs to one key, and is emptied before it is given to another. So a build that is run again goes on
 * where it stopped, and one that is told something else does the steps from there on again.
 */
import { joinPath } from '../../base/path.ts';
import { hashFile, hashJson } from '../../host/hashing.ts';
import type { Host } from '../../host/types.ts';
import { readText, writeJson } from './shard-files.ts';

const KEY = 'key.json';

/** SHA-256 of a value as JSON. */
export const keyOf = (host: Host, value: unknown): Promise<string> => hashJson(() => host.sha256(), value);

/** SHA-256 of a file's content; of all files below a folder, with their names. */
export async function contentKey(host: Host, path: string): Promise<string> {
  const { files } = host;
  const stat = await files.stat(path);
  if (stat === null) return 'missing';
  if (stat.isDirectory) {
    const inner: [string, string][] = [];
    for (const { name } of await files.list(path)) inner.push([name, await contentKey(host, joinPath(path, name))]);
    return keyOf(host, inner);
  }
  return (await hashFile(files, path, () => host.sha256())).sha256;
}

/**
 * Makes `folder` belong to `key`: as it is if it does, else emptied, with what else stands for the same work (`also`). The old
 * key goes first and the new one comes last, so that a folder half emptied belongs to none.
 */
export async function claimFolder(host: Host, folder: string, key: string, also: readonly string[] = []): Promise<boolean> {
  const { files } = host;
  const path = joinPath(folder, KEY);
  const old = await readText(files, path);
  if (old !== null) {
    try {
      if ((JSON.parse(old) as { key?: unknown }).key === key) return true;
    } catch {
      // Not ours, or cut off: as good as none.
    }
  }
  await files.remove(path);
  await files.remove(folder);
  for (const other of also) await files.remove(other);
  await files.makeDir(folder);
  await writeJson(files, path, { key });
  return false;
}
