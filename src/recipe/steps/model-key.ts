/**
 * A key for a model folder: small files by content, weights by name, size, header and both ends. Reading 13 GB at every start to learn that
 * nothing changed would cost more than it finds; a file that was written anew differs in its header or its ends.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { hashFile, hashJson } from '../../host/hashing.ts';
import type { Host } from '../../host/types.ts';

/** Files up to this size are hashed whole. */
const WHOLE_BYTES = 64 << 20;
/** Of larger ones, so much from each end. */
const END_BYTES = 1 << 20;

async function endsKey(host: Host, path: string, size: number): Promise<string> {
  const hasher = await host.sha256();
  const reader = await host.files.open(path);
  try {
    hasher.update(await reader.read(0, END_BYTES));
    hasher.update(await reader.read(size - END_BYTES, END_BYTES));
  } finally {
    await reader.close();
  }
  return `${size}:${hasher.hex()}`;
}

/** The key of a file, or of a folder and its files (not of folders in it). @throws ScionError `input` if there is none. */
export async function modelKey(host: Host, path: string): Promise<string> {
  const { files } = host;
  const stat = await files.stat(path);
  if (stat === null) throw new ScionError('input', `there is nothing at ${path}`, { path });
  const one = async (file: string, size: number): Promise<string> =>
    size <= WHOLE_BYTES ? (await hashFile(files, file, () => host.sha256())).sha256 : endsKey(host, file, size);
  if (!stat.isDirectory) return one(path, stat.size);
  const parts: [string, string][] = [];
  for (const { name, isDirectory } of await files.list(path)) {
    if (isDirectory) continue;
    const file = joinPath(path, name);
    parts.push([name, await one(file, (await files.stat(file))?.size ?? 0)]);
  }
  return hashJson(
    () => host.sha256(),
    parts.sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
