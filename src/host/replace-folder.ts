/**
 * Puts a finished folder in the place of another: two renames, since no system swaps folders by one call everywhere. Between
 * them the name is missing for a moment; a failure of the second puts the old folder back.
 */
import { dirName } from '../base/path.ts';
import type { HostFiles } from './types.ts';

/**
 * Renames `place` to `target`. What stood under `target` is kept as `old` meanwhile and removed at the end. Throws what the
 * file system throws; `target` is then what it was, and `place` is left for the caller to remove.
 */
export async function replaceFolder(files: HostFiles, place: string, target: string, old: string): Promise<void> {
  await files.rename(target, old);
  try {
    await files.rename(place, target);
  } catch (error) {
    // The first failure is told; one more while putting things back would only hide it.
    await files.rename(old, target).catch(() => undefined);
    throw error;
  }
  await files.syncDir(dirName(target));
  await files.remove(old);
}
