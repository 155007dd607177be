/**
 * One trainer a run folder. The lock is a file that says who holds it; whether the holder lives is asked of
 * the process table where holder and asker share a machine, and told by the file's age where they do not (another node
 * of a cluster, another tab), so a holder refreshes it as it works. Every check is by content, so a holder
 * whose lock was taken over learns of it before its next commit.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { joinPath } from '../base/path.ts';
import { newRunId } from '../base/run-id.ts';
import type { Host } from '../host/types.ts';

export const LOCK_NAME = 'lock.json';
/** Age after which the lock of a holder that cannot be asked counts as abandoned. Holders refresh at least ten times as often. */
export const STALE_MS = 5 * 60_000;
/** A file without readable content is being written right now, or its writer died; older than this, it died. */
const UNREADABLE_MS = 10_000;
const ATTEMPTS = 20;
const RETRY_MS = 50;

/** What a lock file says. */
export interface LockHolder {
  readonly runId: string;
  readonly pid: number;
  /** Name of the machine, where the host knows one. */
  readonly machine: string;
  /** Changes with every boot (Linux); empty where unknown. */
  readonly boot: string;
  /** When the process started, in the kernel's ticks (Linux), so that a reused process id is told apart; empty where unknown. */
  readonly started: string;
  /** ISO 8601. */
  readonly time: string;
}

/** The part of a host that locking needs. */
export type LockHost = Pick<Host, 'files' | 'pid' | 'processAlive' | 'env' | 'sleep'>;

/** A held lock. */
export interface FolderLock {
  readonly path: string;
  readonly runId: string;
  readonly holder: LockHolder;
  /** The dead holder that it was taken from. */
  readonly tookOver: LockHolder | null;
  /** Throws kind `locked` if the lock is no longer this run's. */
  check(): Promise<void>;
  /** `check`, and renews the time. Call every half minute or so. */
  refresh(): Promise<void>;
  /** Gives the lock up; does nothing if it is no longer this run's. */
  release(): Promise<void>;
}

async function textOf(host: LockHost, path: string): Promise<string> {
  try {
    return new TextDecoder().decode(await host.files.read(path)).trim();
  } catch {
    return '';
  }
}

/** Start time of a process: field 22 of /proc/PID/stat, counted behind the name, which may hold spaces. */
async function startedAt(host: LockHost, pid: number): Promise<string> {
  const text = await textOf(host, `/proc/${pid}/stat`);
  return text === '' ? '' : (text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '');
}

async function describeSelf(host: LockHost, runId: string): Promise<LockHolder> {
  const machine = (await textOf(host, '/proc/sys/kernel/hostname')) || host.env('HOSTNAME') || host.env('COMPUTERNAME') || '';
  const boot = await textOf(host, '/proc/sys/kernel/random/boot_id');
  return { runId, pid: host.pid, machine, boot, started: await startedAt(host, host.pid), time: new Date().toISOString() };
}

const encode = (holder: LockHolder): Uint8Array => new TextEncoder().encode(`${JSON.stringify(holder)}\n`);

function parseHolder(bytes: Uint8Array): LockHolder | null {
  try {
    const json = JSON.parse(new TextDecoder().decode(bytes)) as Partial<LockHolder> | null;
    const strings = [json?.runId, json?.machine, json?.boot, json?.started, json?.time];
    return typeof json?.pid === 'number' && strings.every((s) => typeof s === 'string') ? (json as LockHolder) : null;
  } catch {
    return null;
  }
}

/** The lock file's content: null if there is none, `holder` null if it cannot be read. */
async function readLock(host: LockHost, path: string): Promise<{ holder: LockHolder | null; age: number } | null> {
  const stat = await host.files.stat(path);
  if (!stat) return null;
  try {
    return { holder: parseHolder(await host.files.read(path)), age: Date.now() - stat.modified };
  } catch (error) {
    // Removed since.
    if (isScionError(error, 'input')) return null;
    throw error;
  }
}

/** Whether a holder is dead for certain. */
async function isDead(host: LockHost, self: LockHolder, holder: LockHolder, age: number): Promise<boolean> {
  const known = holder.machine !== '' && holder.machine === self.machine;
  const alive = known && holder.boot === self.boot ? await host.processAlive(holder.pid) : null;
  if (alive === null) return age > STALE_MS;
  if (!alive) return true;
  const started = await startedAt(host, holder.pid);
  return holder.started !== '' && started !== '' && started !== holder.started;
}

function refusal(path: string, holder: LockHolder): ScionError {
  const where = holder.machine === '' ? '' : ` on ${JSON.stringify(holder.machine)}`;
  return new ScionError(
    'locked',
    `${path}: process ${holder.pid}${where} is using this folder since ${holder.time}; stop it, choose another --out, or delete the file if it is gone`,
    { path, holder },
  );
}

/**
 * Moves a dead holder's lock out of the way. The rename may catch a lock that someone took in the meantime; then that
 * one is put back, and the caller tries again.
 */
async function clear(host: LockHost, path: string, runId: string, dead: LockHolder | null): Promise<void> {
  const aside = `${path}.${runId}`;
  try {
    await host.files.rename(path, aside);
  } catch (error) {
    if (isScionError(error, 'input')) return;
    throw error;
  }
  const caught = await host.files.read(aside);
  if (parseHolder(caught)?.runId !== dead?.runId) await host.files.createExclusive(path, caught);
  await host.files.remove(aside);
  // What a holder that died while refreshing left.
  if (dead) await host.files.remove(`${path}.${dead.runId}`);
}

/**
 * Takes the lock of a folder, which must exist.
 * @throws ScionError `locked` naming the holder, at once if it lives.
 */
export async function acquireLock(host: LockHost, folder: string, runId = newRunId()): Promise<FolderLock> {
  const path = joinPath(folder, LOCK_NAME);
  const self = await describeSelf(host, runId);
  let tookOver: LockHolder | null = null;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (await host.files.createExclusive(path, encode(self))) return held(host, path, self, tookOver);
    const found = await readLock(host, path);
    if (!found) continue;
    const { holder, age } = found;
    if (holder && !(await isDead(host, self, holder, age))) throw refusal(path, holder);
    if (holder || age > UNREADABLE_MS) {
      await clear(host, path, runId, holder);
      tookOver = holder;
    } else {
      await host.sleep(RETRY_MS);
    }
  }
  throw new ScionError(
    'locked',
    `${path}: could not be taken in ${ATTEMPTS} attempts; another process is taking it, or left it unreadable a moment ago: try again in ${UNREADABLE_MS / 1000} s`,
    { path },
  );
}

function held(host: LockHost, path: string, holder: LockHolder, tookOver: LockHolder | null): FolderLock {
  const ours = async () => (await readLock(host, path))?.holder?.runId === holder.runId;
  const check = async () => {
    if (await ours()) return;
    const now = (await readLock(host, path))?.holder;
    throw new ScionError(
      'locked',
      `${path}: run ${holder.runId} lost its lock${now ? ` to run ${now.runId}, process ${now.pid}` : ''}; nothing more is written to this folder`,
      { path, holder: now },
    );
  };
  // One after the other: a refresh that overlapped the release would bring the file back.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = last.then(work, work);
    last = done.catch(() => undefined);
    return done;
  };
  return {
    path,
    runId: holder.runId,
    holder,
    tookOver,
    check,
    refresh: () =>
      inTurn(async () => {
        await check();
        // Beside and renamed: a reader never sees half a file.
        const fresh = `${path}.${holder.runId}`;
        await host.files.write(fresh, encode({ ...holder, time: new Date().toISOString() }));
        await host.files.rename(fresh, path);
      }),
    release: () =>
      inTurn(async () => {
        if (await ours()) await host.files.remove(path);
      }),
  };
}
