/**
 * Whole files of packed data, hashed as the bytes go by. The lock of the output folder keeps two writers apart.
 */
import { writeHashed } from '../../host/hashing.ts';
import type { FileWriter, Host } from '../../host/types.ts';
import { wholeFile } from '../../host/whole-file.ts';

/** Length and SHA-256 of a file. */
export interface FileFacts {
  readonly bytes: number;
  readonly sha256: string;
}

/** Creates `path` with what `fill` writes. Whatever fails, no file of that name is left half written. */
export function writeAside(host: Host, path: string, fill: (writer: FileWriter) => Promise<unknown>): Promise<FileFacts> {
  return wholeFile(host.files, path, (aside) => writeHashed(host.files, aside, () => host.sha256(), fill));
}
