/**
 * What every host's files must do, as plain checks that run in Node and in a browser's Worker alike: the run
 * folder, its lock and its checkpoints rest on nothing else.
 */
import { ScionError } from '../../src/base/errors.ts';
import { joinPath } from '../../src/base/path.ts';
import { acquireLock } from '../../src/checkpoint/lock.ts';
import type { Host, HostFiles } from '../../src/host/types.ts';

/** A check: throws where the host is wrong. `dir` exists and is its own. */
type Check = (files: HostFiles, dir: string, host: Host) => Promise<void>;

const bytes = (text: string) => new TextEncoder().encode(text);

async function text(files: HostFiles, path: string): Promise<string> {
  return new TextDecoder().decode(await files.read(path));
}

function same(found: unknown, wanted: unknown, what: string): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: found ${a}, wanted ${b}`);
}

/** The kind of the ScionError that `work` throws. */
async function kindOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'no error';
  } catch (error) {
    return error instanceof ScionError ? error.kind : `a foreign error: ${String(error)}`;
  }
}

export const CHECKS: Readonly<Record<string, Check>> = {
  'create truncates, append goes on, reads past the end are short': async (files, dir) => {
    const path = joinPath(dir, 'a.bin');
    await files.write(path, bytes('longer than what follows'));
    const writer = await files.create(path);
    await writer.write(bytes('abc'));
    await writer.write(bytes('def'));
    await writer.sync();
    await writer.close();
    same(await text(files, path), 'abcdef', 'after truncation');
    const more = await files.create(path, { append: true });
    await more.write(bytes('ghi'));
    await more.close();
    const reader = await files.open(path);
    same(reader.size, 9, 'size');
    same(new TextDecoder().decode(await reader.read(4, 3)), 'efg', 'inside');
    same((await reader.read(7, 10)).length, 2, 'bytes at the end');
    same((await reader.read(20, 4)).length, 0, 'bytes behind the end');
    await reader.close();
  },
  'a file is read and asked about while it is being written': async (files, dir) => {
    const path = joinPath(dir, 'log.jsonl');
    const writer = await files.create(path, { append: true });
    await writer.write(bytes('{"a":1}\n'));
    await writer.sync();
    same(await text(files, path), '{"a":1}\n', 'content');
    same((await files.stat(path))?.size, 8, 'size');
    await writer.close();
  },
  'stat and list tell files from folders': async (files, dir) => {
    await files.makeDir(joinPath(dir, 'deep/er'));
    await files.write(joinPath(dir, 'f'), bytes('12'));
    same((await files.stat(joinPath(dir, 'f')))?.size, 2, 'size');
    same((await files.stat(joinPath(dir, 'deep')))?.isDirectory, true, 'folder');
    same(await files.stat(joinPath(dir, 'none')), null, 'missing');
    same(await files.stat(joinPath(dir, 'none/at/all')), null, 'missing below a missing folder');
    const names = (await files.list(dir)).map((e) => [e.name, e.isDirectory]).sort();
    same(
      names,
      [
        ['deep', true],
        ['f', false],
      ],
      'entries',
    );
  },
  'rename replaces a file': async (files, dir) => {
    const [from, to] = [joinPath(dir, 'new'), joinPath(dir, 'old')];
    await files.write(to, bytes('old and longer'));
    await files.write(from, bytes('new'));
    await files.rename(from, to);
    same(await text(files, to), 'new', 'content');
    same(await files.stat(from), null, 'former name');
  },
  'rename moves a folder with all it holds': async (files, dir) => {
    const [from, to] = [joinPath(dir, 'step-1.tmp'), joinPath(dir, 'step-1')];
    await files.makeDir(joinPath(from, 'inner'));
    await files.write(joinPath(from, 'a'), bytes('1'));
    await files.write(joinPath(from, 'inner/b'), bytes('2'));
    await files.write(joinPath(from, 'empty'), new Uint8Array(0));
    await files.rename(from, to);
    same(await files.stat(from), null, 'former name');
    same(
      [await text(files, joinPath(to, 'a')), await text(files, joinPath(to, 'inner/b')), await text(files, joinPath(to, 'empty'))],
      ['1', '2', ''],
      'contents',
    );
  },
  'remove takes files, folders and nothing at all': async (files, dir) => {
    await files.makeDir(joinPath(dir, 'folder/inner'));
    await files.write(joinPath(dir, 'folder/inner/f'), bytes('1'));
    await files.remove(joinPath(dir, 'folder'));
    same(await files.stat(joinPath(dir, 'folder')), null, 'folder');
    await files.remove(joinPath(dir, 'folder'));
    await files.remove(joinPath(dir, 'none/at/all'));
  },
  'errors are typed': async (files, dir) => {
    same(await kindOf(() => files.read(joinPath(dir, 'none'))), 'input', 'reading a missing file');
    same(await kindOf(() => files.open(joinPath(dir, 'none'))), 'input', 'opening a missing file');
    same(await kindOf(() => files.rename(joinPath(dir, 'none'), joinPath(dir, 'x'))), 'input', 'renaming a missing file');
    same(await kindOf(() => files.list(joinPath(dir, 'none'))), 'input', 'listing a missing folder');
  },
  'free space is a number or unknown': async (files, dir) => {
    const free = await files.free(dir);
    if (free !== null && !(free > 0)) throw new Error(`${free} bytes free`);
  },
  'createExclusive creates once': async (files, dir) => {
    const path = joinPath(dir, 'only');
    same(await files.createExclusive(path, bytes('first')), true, 'first');
    same(await files.createExclusive(path, bytes('second')), false, 'second');
    same(await text(files, path), 'first', 'content');
  },
  'a link is a second name, where the host has such': async (files, dir) => {
    if (!files.link) return;
    await files.write(joinPath(dir, 'one'), bytes('same'));
    same(await files.link(joinPath(dir, 'one'), joinPath(dir, 'two')), true, 'linked');
    await files.remove(joinPath(dir, 'one'));
    same(await text(files, joinPath(dir, 'two')), 'same', 'content under the second name');
    same(await kindOf(async () => files.link?.(joinPath(dir, 'one'), joinPath(dir, 'three'))), 'input', 'linking a missing file');
    same(await kindOf(async () => files.link?.(joinPath(dir, 'two'), joinPath(dir, 'two'))), 'io', 'linking onto a file');
  },
  'of many that create at once, one wins': async (files, dir) => {
    const path = joinPath(dir, 'race');
    const won = await Promise.all(Array.from({ length: 8 }, (_, i) => files.createExclusive(path, bytes(`${i}`))));
    same(won.filter(Boolean).length, 1, 'winners');
    same(await text(files, path), `${won.indexOf(true)}`, 'content');
  },
  'a lock keeps others out until it is released': async (files, dir, host) => {
    const lock = await acquireLock(host, dir);
    same(await kindOf(() => acquireLock(host, dir)), 'locked', 'second holder');
    await lock.refresh();
    await lock.check();
    await lock.release();
    same((await files.list(dir)).length, 0, 'files left');
    await (await acquireLock(host, dir)).release();
  },
};

/** Runs every check in a folder of its own; the messages of those that failed, by name. */
export async function checkFiles(host: Host, base: string): Promise<{ passed: string[]; failed: Record<string, string> }> {
  const passed: string[] = [];
  const failed: Record<string, string> = {};
  for (const [i, [name, check]] of Object.entries(CHECKS).entries()) {
    const dir = joinPath(base, `check-${i}`);
    try {
      await host.files.makeDir(dir);
      await check(host.files, dir, host);
      passed.push(name);
    } catch (error) {
      failed[name] = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    } finally {
      await host.files.remove(dir).catch(() => undefined);
    }
  }
  return { passed, failed };
}
