/**
 * A HostFiles that fails on purpose. It counts the operations that change the disk and, at the n-th, either
 * dies (the sentinel is thrown there and at everything after, since a dead process does nothing more; or the process
 * really is killed), or reports an I/O error or a full disk, once or from then on. A write that fails has
 * written half its bytes. Run n = 1, 2, 3 … until a run ends without its fault: then every point was hit.
 */
import { ScionError } from '../../src/base/errors.ts';
import type { DirEntry, FileReader, FileStat, FileWriter, HostFiles } from '../../src/host/types.ts';

/** Thrown where the process would have died. */
export class Killed extends Error {}

/** What goes wrong, and when. */
export interface Fault {
  /** The operation that fails, counted from 1. */
  readonly at: number;
  /** `die` throws `Killed`, `kill` sends SIGKILL to this process, `io` and `space` are the disk's own errors. */
  readonly kind: 'die' | 'kill' | 'io' | 'space';
  /** An error that stays; `die` always does. */
  readonly forever?: boolean;
}

/** The wrapper. `operations` tells what was done, for messages. */
export class FaultFiles implements HostFiles {
  readonly operations: string[] = [];
  /** Whether the fault came. */
  struck = false;
  private readonly inner: HostFiles;
  private readonly fault: Fault | null;

  constructor(inner: HostFiles, fault: Fault | null = null) {
    this.inner = inner;
    this.fault = fault;
  }

  /** Counts an operation; `partly` is what still happens of one that fails. */
  private async change<T>(doing: string, path: string, work: () => Promise<T>, partly?: () => Promise<unknown>): Promise<T> {
    this.operations.push(`${doing} ${path}`);
    const { fault } = this;
    const n = this.operations.length;
    if (!fault || n < fault.at || (n > fault.at && !fault.forever && fault.kind !== 'die')) return work();
    if (n === fault.at) await partly?.();
    this.struck = true;
    if (fault.kind === 'kill') process.kill(process.pid, 'SIGKILL');
    if (fault.kind === 'die') throw new Killed(`killed at operation ${n}, ${doing} ${path}`);
    if (fault.kind === 'space') throw new ScionError('space', `cannot ${doing} ${path}: no space left on the device`, { path, code: 'ENOSPC' });
    throw new ScionError('io', `cannot ${doing} ${path}: EIO`, { path, code: 'EIO' });
  }

  async create(path: string, options?: { append?: boolean }): Promise<FileWriter> {
    const writer = await this.change('create', path, () => this.inner.create(path, options));
    return {
      write: (bytes) =>
        this.change(
          'write',
          path,
          () => writer.write(bytes),
          () => writer.write(bytes.subarray(0, bytes.length >> 1)),
        ),
      sync: () => this.change('sync', path, () => writer.sync()),
      // The handle is closed whatever is reported, as a kernel does.
      close: () =>
        this.change(
          'close',
          path,
          () => writer.close(),
          () => writer.close(),
        ),
    };
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    return this.change(
      'write',
      path,
      () => this.inner.write(path, bytes),
      () => this.inner.write(path, bytes.subarray(0, bytes.length >> 1)),
    );
  }

  makeDir(path: string): Promise<void> {
    return this.change('makeDir', path, () => this.inner.makeDir(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.change(`rename to ${to}`, from, () => this.inner.rename(from, to));
  }

  /** Dying in the middle of removing a folder leaves what comes later in it. */
  remove(path: string): Promise<void> {
    return this.change(
      'remove',
      path,
      () => this.inner.remove(path),
      () => this.removeHalf(path),
    );
  }

  private async removeHalf(path: string): Promise<void> {
    if (!(await this.inner.stat(path))?.isDirectory) return;
    const entries = await this.inner.list(path);
    for (const { name } of entries.slice(0, Math.ceil(entries.length / 2))) await this.inner.remove(`${path}/${name}`);
  }

  syncDir(path: string): Promise<void> {
    return this.change('syncDir', path, () => this.inner.syncDir(path));
  }

  createExclusive(path: string, bytes: Uint8Array): Promise<boolean> {
    return this.change('createExclusive', path, () => this.inner.createExclusive(path, bytes));
  }

  link(from: string, to: string): Promise<boolean> {
    return this.change(`link to ${to}`, from, async () => (await this.inner.link?.(from, to)) ?? false);
  }

  read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.inner.read(path);
  }

  open(path: string): Promise<FileReader> {
    return this.inner.open(path);
  }

  stat(path: string): Promise<FileStat | null> {
    return this.inner.stat(path);
  }

  list(path: string): Promise<DirEntry[]> {
    return this.inner.list(path);
  }

  free(path: string): Promise<number | null> {
    return this.inner.free(path);
  }
}
