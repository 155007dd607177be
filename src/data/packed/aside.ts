/**
 * Files that are there as a whole or not at all: written under another name, hashed as the bytes go by, then renamed.
 * The name aside is fixed, so that a second try after a crash writes over what the first one left; two writers of
 * one file at a time are the caller's to prevent (the lock of the output folder).
 */
import { writeHashed } from '../../host/hashing.ts';
import type { FileWriter, Host } from '../../host/types.ts';

/** Length and SHA-256 of a file. */
export interface FileFacts {
  readonly bytes: number;
  readonly sha256: string;
}

/** What stands behind the name of a file that is being written. */
const ASIDE = '.partial';

/** Creates `path` with what `fill` writes. Whatever fails, no file of that name is left half written. */
export async function writeAside(host: Host, path: string, fill: (writer: FileWriter) => Promise<unknown>): Promise<FileFacts> {
  const { files } = host;
  const aside = path + ASIDE;
  let facts: FileFacts;
  try {
    facts = await writeHashed(files, aside, () => host.sha256(), fill);
  } catch (error) {
    // The first error tells the story; what fails after it would hide it.
    await files.remove(aside).catch(() => undefined);
    throw error;
  }
  await files.rename(aside, path);
  return facts;
}
