/**
 * The file checks in a dedicated Worker. With `?hold` it takes a lock and keeps it for as long as it lives,
 * with `?take` it asks for that lock: what a second tab does, or the same one after a reload.
 */
import { isScionError } from '../../src/base/errors.ts';
import { acquireLock } from '../../src/checkpoint/lock.ts';
import { host } from '../../src/host/index.ts';
import { checkFiles } from './host-files.ts';

/** What the worker posts: one message. */
export type FilesMessage =
  | { readonly kind: 'checks'; readonly passed: string[]; readonly failed: Record<string, string> }
  | { readonly kind: 'lock'; readonly outcome: string };

const post = (message: FilesMessage): void => globalThis.postMessage(message);
const query = globalThis.location.search;
const machine = await host();

if (query === '') {
  post({ kind: 'checks', ...(await checkFiles(machine, '/checks')) });
} else {
  await machine.files.makeDir('/held');
  try {
    const lock = await acquireLock(machine, '/held');
    post({ kind: 'lock', outcome: lock.tookOver ? 'took over' : 'taken' });
    if (query === '?take') await lock.release();
  } catch (error) {
    post({ kind: 'lock', outcome: isScionError(error) ? error.kind : String(error) });
  }
}
