/**
 * Reads shards of documents that a build itself wrote: JSON Lines of the record, one document at a time. What came so far passed
 * the limits of reading, so the cap on a line only keeps a damaged file from filling memory.
 */
import { readJsonl } from '../formats/jsonl.ts';
import type { HostFiles } from '../host/types.ts';
import type { Doc } from './doc.ts';

/** Longest line of a shard. Larger than any limit of reading: steps may add to a record, and JSON escapes its text. */
export const SHARD_LINE_BYTES = 512 * 2 ** 20;

/** The documents of a shard in their order. The file is closed when the caller stops. @throws ScionError `format` for a damaged line. */
export async function* readDocShard(files: HostFiles, path: string): AsyncGenerator<Doc> {
  const reader = await files.open(path);
  try {
    for await (const { value } of readJsonl(reader, { name: path, maxLineBytes: SHARD_LINE_BYTES })) yield value as Doc;
  } finally {
    await reader.close();
  }
}
