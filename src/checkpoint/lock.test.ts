/**
 * The run folder's lock: refusal, takeover from the dead, holders that cannot be asked, and a race for a stale lock.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isScionError } from '../base/errors.ts';
import { nodeHost } from '../host/node.ts';
import { acquireLock, LOCK_NAME, type LockHost, STALE_MS } from './lock.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-'));
});
afterEach(() => rm(folder, { recursive: true }));

const path = () => join(folder, LOCK_NAME);

/** Rewrites fields of the lock that is there, and its age. */
async function edit(fields: Record<string, unknown>, age = 0): Promise<void> {
  await writeFile(path(), JSON.stringify({ ...(JSON.parse(await readFile(path(), 'utf8')) as object), ...fields }));
  const then = (Date.now() - age) / 1000;
  await utimes(path(), then, then);
}

describe('acquireLock', () => {
  it('says who holds it, is refreshed, and is gone after release', async () => {
    const lock = await acquireLock(nodeHost, folder, 'first');
    expect(lock.tookOver).toBeNull();
    expect(JSON.parse(await readFile(path(), 'utf8'))).toEqual(lock.holder);
    expect(lock.holder).toMatchObject({ runId: 'first', pid: process.pid });
    await edit({}, 1000 * 60);
    await lock.refresh();
    expect(Date.parse(JSON.parse(await readFile(path(), 'utf8')).time as string)).toBeGreaterThanOrEqual(Date.parse(lock.holder.time));
    await lock.check();
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('stays gone where a refresh overlaps the release', async () => {
    const lock = await acquireLock(nodeHost, folder, 'first');
    const results = await Promise.allSettled([lock.refresh(), lock.release(), lock.refresh(), lock.release()]);
    expect(results.map((r) => r.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(await readdir(folder)).toEqual([]);
  });

  it('refuses a second trainer within a second, naming the first', async () => {
    const lock = await acquireLock(nodeHost, folder, 'first');
    const start = performance.now();
    const refused = await acquireLock(nodeHost, folder, 'second').catch((error: unknown) => error);
    expect(performance.now() - start).toBeLessThan(1000);
    expect(isScionError(refused, 'locked')).toBe(true);
    expect((refused as Error).message).toContain(`process ${process.pid} on "${lock.holder.machine}"`);
    expect((refused as Error).message).toContain(lock.holder.time);
    await lock.check();
    await lock.release();
  });

  it('takes over from a process that died, and the dead would notice', async () => {
    const child = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' });
    await new Promise((resolve) => child.on('close', resolve));
    const dead = await acquireLock(nodeHost, folder, 'dead');
    await edit({ pid: child.pid });
    await writeFile(`${path()}.dead`, 'left by a refresh that was cut short');
    const lock = await acquireLock(nodeHost, folder, 'alive');
    expect(lock.tookOver).toMatchObject({ runId: 'dead', pid: child.pid });
    await expect(dead.check()).rejects.toMatchObject({ kind: 'locked', message: expect.stringContaining('lost its lock to run alive') });
    await expect(dead.refresh()).rejects.toMatchObject({ kind: 'locked' });
    await dead.release();
    await lock.check();
    expect(await readdir(folder)).toEqual([LOCK_NAME]);
    await lock.release();
  });

  it('tells a reused process id by its start time', async () => {
    const lock = await acquireLock(nodeHost, folder, 'first');
    if (lock.holder.started === '') return expect(process.platform).not.toBe('linux');
    await edit({ started: '1' });
    expect((await acquireLock(nodeHost, folder, 'second')).tookOver?.started).toBe('1');
  });

  it('goes by age where the holder cannot be asked: another machine, another boot, a page', async () => {
    const page: LockHost = { ...nodeHost, pid: 0, processAlive: () => null };
    for (const [host, fields] of [
      [nodeHost, { machine: 'elsewhere' }],
      [nodeHost, { boot: 'another' }],
      [page, {}],
    ] as const) {
      await acquireLock(nodeHost, folder, 'first');
      await edit(fields, STALE_MS - 60_000);
      await expect(acquireLock(host, folder, 'second')).rejects.toMatchObject({ kind: 'locked' });
      await edit(fields, STALE_MS + 1000);
      expect((await acquireLock(host, folder, 'second')).tookOver?.runId).toBe('first');
      await rm(path());
    }
  });

  it('waits for a file that is being written, takes over one whose writer died', async () => {
    await writeFile(path(), '');
    await expect(acquireLock(nodeHost, folder)).rejects.toMatchObject({ kind: 'locked', message: expect.stringContaining('could not be taken') });
    await writeFile(path(), '{"pid": 1');
    const then = Date.now() / 1000 - 60;
    await utimes(path(), then, then);
    const lock = await acquireLock(nodeHost, folder, 'next');
    expect(lock.tookOver).toBeNull();
    await lock.check();
    await lock.release();
    await writeFile(path(), '');
    const patient = await acquireLock({ ...nodeHost, sleep: () => rm(path()) }, folder, 'third');
    expect(patient.tookOver).toBeNull();
    await patient.check();
  });

  it('gives a stale lock to exactly one of many', async () => {
    for (let round = 0; round < 20; round++) {
      await acquireLock(nodeHost, folder, 'dead');
      await edit({ machine: 'elsewhere' }, STALE_MS + 1000);
      const results = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => acquireLock(nodeHost, folder, `run-${i}`)));
      const winners = results.flatMap((r) => (r.status === 'fulfilled' ? [r.value] : []));
      const holding = await Promise.all(
        winners.map((lock) =>
          lock.check().then(
            () => true,
            () => false,
          ),
        ),
      );
      expect(holding.filter(Boolean), `round ${round}`).toHaveLength(1);
      for (const r of results) if (r.status === 'rejected') expect(isScionError(r.reason, 'locked'), String(r.reason)).toBe(true);
      expect(await readdir(folder)).toEqual([LOCK_NAME]);
      await rm(path());
    }
  });
});
