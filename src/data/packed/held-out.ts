/**
 * Held-out documents beside packed data: a file of document records a category, kept as text and not as packs, so that any
 * tokenizer can be measured on them in bits a byte. Packed folders of several stages share one set, two folders up.
 */
import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { type HasherMaker, hashFile } from '../../host/hashing.ts';
import type { HostFiles } from '../../host/types.ts';
import { type Doc, docText } from '../doc.ts';
import { readDocShard } from '../doc-shard.ts';
import { hash32 } from '../hash.ts';

/** Folder beside the manifest. */
export const VALIDATION_FOLDER = 'validation';
/** What the manifest of a stage puts before a file's path. */
export const SHARED_PREFIX = '../../';

const natural = z.number().int().nonnegative();

export const heldOutSchema = z.object({
  category: z.string(),
  /** Path seen from the manifest: `validation/NAME`, for a stage `../../validation/NAME`, and never another. */
  file: z.string().regex(/^(?:\.\.\/\.\.\/)?validation\/[a-z0-9][a-z0-9._-]{0,99}$/),
  documents: natural,
  /** UTF-8 bytes of the documents' text. */
  textBytes: natural,
  /** Of the file. */
  bytes: natural,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
/** A file of held-out documents as a manifest lists it. */
export type HeldOutFile = z.infer<typeof heldOutSchema>;

/** Names that Windows keeps for devices, whatever their ending. */
const DEVICES = /^(?:con|prn|aux|nul|com\d|lpt\d)$/;

/**
 * A file's name for a category, which may be any text: itself where that is a plain short name, else what is plain of it with a
 * hash. Never one of `used`, to which it is added; ask in a fixed order.
 */
export function heldOutName(category: string, used: Set<string>): string {
  const plain = /^[a-z0-9][a-z0-9_-]{0,59}$/.test(category) && !DEVICES.test(category);
  const slug = category
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, '-')
    .replace(/^[-_]+/, '')
    .slice(0, 40);
  const stem = plain ? category : `${slug === '' ? 'category' : slug}-${hash32(category).toString(16).padStart(8, '0')}`;
  let name = `${stem}.jsonl`;
  for (let n = 2; used.has(name); n++) name = `${stem}-${n}.jsonl`;
  used.add(name);
  return name;
}

/** Held-out documents of a category. */
export interface HeldOutTexts {
  readonly category: string;
  readonly documents: readonly Doc[];
  /** `docText` of each. */
  readonly texts: readonly string[];
}

/**
 * Reads the files that a manifest in `dir` lists, each held against its length and SHA-256 first.
 * @throws ScionError `format` naming the file that is missing, cut or damaged.
 */
export async function readHeldOut(files: HostFiles, dir: string, listed: readonly HeldOutFile[], sha256: HasherMaker): Promise<HeldOutTexts[]> {
  const out: HeldOutTexts[] = [];
  for (const entry of listed) {
    const path = joinPath(dir, entry.file);
    const fail = (what: string): never => {
      throw new ScionError('format', `${path} ${what}; build the data again, or name other texts with --validation`, { path });
    };
    if ((await files.stat(path)) === null) fail('is missing, though the manifest lists it (a stage shares the validation folder of its build)');
    const found = await hashFile(files, path, sha256);
    if (found.sha256 !== entry.sha256) fail(`should have the SHA-256 ${entry.sha256} and has ${found.sha256}: it is damaged or was changed`);
    const documents: Doc[] = [];
    for await (const doc of readDocShard(files, path)) documents.push(doc);
    out.push({ category: entry.category, documents, texts: documents.map(docText) });
  }
  return out;
}
