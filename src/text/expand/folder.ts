/**
 * Writing a tokenizer folder whole or not at all: every file goes, synced, into a folder beside the wanted one, and a
 * rename gives it its name. A folder that is there is only replaced on request, and only where it holds nothing but
 * a tokenizer: a mistyped name must not cost a model.
 */
import { ScionError } from '../../base/errors.ts';
import { dirName, joinPath, normalPath } from '../../base/path.ts';
import { newRunId } from '../../base/run-id.ts';
import { replaceFolder } from '../../host/replace-folder.ts';
import type { HostFiles } from '../../host/types.ts';

/** What a tokenizer folder may hold besides. */
const OURS = /^(tokenizer\.(model|json)|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|chat_template\.jinja|report\.json|pieces\.jsonl)$/;

/** Refuses an `out` that is in the way. Call it before long work; `writeTokenizerFolder` does it again. */
export async function checkOutFolder(files: HostFiles, out: string, force: boolean): Promise<{ readonly held: boolean; readonly exists: boolean }> {
  const stat = await files.stat(out);
  if (stat === null) return { held: false, exists: false };
  if (!stat.isDirectory) throw new ScionError('input', `${out} is a file; --out names a folder to make`, { out });
  const entries = await files.list(out);
  if (entries.length === 0) return { held: false, exists: true };
  if (!force) {
    throw new ScionError('input', `${out} exists and holds ${entries.length} entries; choose another --out, or add --force to replace a tokenizer there`, {
      out,
      entries: entries.length,
    });
  }
  const odd = entries.find((entry) => entry.isDirectory || !OURS.test(entry.name));
  if (odd !== undefined)
    throw new ScionError('input', `${out} holds ${odd.name}, so it is no tokenizer folder; --force replaces nothing else`, { out, name: odd.name });
  return { held: true, exists: true };
}

/**
 * Writes `contents` (by file name) as the folder `out`. Throws `input` where something is in the way, and what the file
 * system throws; then nothing stands under `out` that did not before, and the unfinished folder is removed if it can be.
 */
export async function writeTokenizerFolder(
  files: HostFiles,
  out: string,
  contents: ReadonlyMap<string, Uint8Array>,
  options: { readonly force?: boolean } = {},
): Promise<void> {
  const target = normalPath(out);
  const { held, exists } = await checkOutFolder(files, target, options.force ?? false);
  const parent = dirName(target);
  await files.makeDir(parent);
  const run = newRunId();
  const place = `${target}.new-${run}`;
  try {
    await files.makeDir(place);
    for (const [name, bytes] of contents) {
      const writer = await files.create(joinPath(place, name));
      try {
        await writer.write(bytes);
        await writer.sync();
      } finally {
        await writer.close();
      }
    }
    await files.syncDir(place);
    if (held) await replaceFolder(files, place, target, `${target}.old-${run}`);
    else {
      if (exists) await files.remove(target);
      await files.rename(place, target);
      await files.syncDir(parent);
    }
  } catch (error) {
    // What failed is told; a failure to tidy up after it would only hide that.
    await files.remove(place).catch(() => undefined);
    throw error;
  }
}
