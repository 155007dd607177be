/**
 * Files that are there as a whole or not at all: written under another name, synced, then renamed. That name is fixed,
 * so that a second try after a crash writes over what the first one left; two writers of one file at a time are the
 * caller's to prevent.
 */
import type { FileWriter, HostFiles } from './types.ts';

/** What stands behind the name of a file that is being written. */
export const PART = '.part';

/**
 * Gives `path` what `make` writes to the path it is handed. Whatever fails is thrown, no file stands under `path` that
 * did not before, and the unfinished one is removed if it can be.
 */
export async function wholeFile<T>(files: HostFiles, path: string, make: (aside: string) => Promise<T>): Promise<T> {
  const aside = path + PART;
  let result: T;
  try {
    result = await make(aside);
  } catch (error) {
    // The first error tells the story; what fails after it would hide it.
    await files.remove(aside).catch(() => undefined);
    throw error;
  }
  await files.rename(aside, path);
  return result;
}

/** As `wholeFile`, for a file that `fill` writes piece by piece; it is synced and closed here. */
export function fillWhole<T>(files: HostFiles, path: string, fill: (writer: FileWriter) => Promise<T>): Promise<T> {
  return wholeFile(files, path, async (aside) => {
    const writer = await files.create(aside);
    try {
      const result = await fill(writer);
      await writer.sync();
      return result;
    } finally {
      await writer.close();
    }
  });
}

/** As `wholeFile`, for bytes that are there already. */
export async function writeWhole(files: HostFiles, path: string, bytes: Uint8Array): Promise<void> {
  await fillWhole(files, path, (writer) => writer.write(bytes));
}
