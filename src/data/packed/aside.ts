/**
 * Files that are there as a whole or not at all: written under another name, hashed as the bytes go by, then renamed.
 * The name aside is fixed, so that a second try after a crash writes over what the first one left; two writers of
 * one file at a time are the caller's to prevent (the lock of the output folder).
 */
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
  const hasher = await host.sha256();
  let length = 0;
  const inner = await files.create(aside);
  const writer: FileWriter = {
    write(bytes) {
      hasher.update(bytes);
      length += bytes.length;
      return inner.write(bytes);
    },
    sync: () => inner.sync(),
    close: () => inner.close(),
  };
  try {
    await fill(writer);
    await writer.sync();
    await writer.close();
  } catch (error) {
    // The first error tells the story; what fails after it would hide it.
    await writer.close().catch(() => undefined);
    await files.remove(aside).catch(() => undefined);
    throw error;
  }
  await files.rename(aside, path);
  return { bytes: length, sha256: hasher.hex() };
}
