/**
 * Folders of the page's storage as one zip, stored without compressing (weights do not shrink) and written piece by piece into a file beside
 * them, so that a large model never lies in memory. Zip files end at 4 GiB, and so does this: larger is refused.
 */
import { Zip, ZipPassThrough } from 'fflate';
import { type HostFiles, host, ScionError } from '../../../src/index.ts';
import { checkName, runDir } from './runs.ts';

const PIECE = 1 << 20;
const MOST = 2 ** 32 - 1;
/** Finished zips, one of each kind; the next export writes over them. */
const EXPORTS = '/exports';
/** Locks and caches of a run are nobody else's. */
const LEFT_OUT = /(^|\/)lock\.json/;

async function filesBelow(files: HostFiles, folder: string): Promise<{ path: string; size: number }[]> {
  const out: { path: string; size: number }[] = [];
  for (const { name, isDirectory } of await files.list(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) out.push(...(await filesBelow(files, path)));
    else if (!LEFT_OUT.test(path)) out.push({ path, size: (await files.stat(path))?.size ?? 0 });
  }
  return out;
}

/** Packs `/runs/NAME/model`, or the whole run, under `NAME/`. Gives the path of the zip. */
export async function exportZip(name: string, what: 'model' | 'run'): Promise<string> {
  checkName(name);
  const { files } = await host();
  const from = what === 'model' ? `${runDir(name)}/model` : runDir(name);
  if ((await files.stat(from)) === null) throw new ScionError('input', `the run ${name} has no ${what} to pack yet; let it finish`);
  const found = await filesBelow(files, from);
  const total = found.reduce((sum, { size }) => sum + size, 0);
  if (total > MOST) throw new ScionError('space', `${name} holds ${total} bytes; a zip ends at 4 GiB`);
  await files.makeDir(EXPORTS);
  const path = `${EXPORTS}/${name}${what === 'run' ? '-run' : ''}.zip`;
  const writer = await files.create(path);
  try {
    // fflate hands pieces over without waiting; they are written in turn before more is read.
    let waiting: Uint8Array[] = [];
    let failure: Error | null = null;
    const zip = new Zip((error, piece) => {
      failure ??= error;
      if (piece) waiting.push(piece);
    });
    const drain = async (): Promise<void> => {
      if (failure) throw new ScionError('io', `the zip could not be made: ${(failure as Error).message}`, {}, failure);
      const pieces = waiting;
      waiting = [];
      for (const piece of pieces) await writer.write(piece);
    };
    for (const { path: inner } of found) {
      const entry = new ZipPassThrough(`${name}/${inner.slice(from.length + 1)}`);
      zip.add(entry);
      const reader = await files.open(inner);
      try {
        for (let at = 0; at < reader.size; at += PIECE) {
          entry.push(await reader.read(at, PIECE), false);
          await drain();
        }
      } finally {
        await reader.close();
      }
      entry.push(new Uint8Array(0), true);
      await drain();
    }
    zip.end();
    await drain();
    await writer.sync();
  } finally {
    await writer.close();
  }
  return path;
}
