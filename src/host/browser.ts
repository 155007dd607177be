/**
 * The browser adapter: WebGPU of the page or worker, files in the origin private file system
 * (OPFS). Sync access handles exist only in dedicated workers, so writing runs there. OPFS moves files
 * but no folders: renaming one copies it and then deletes it, so that at any moment one of the two is whole.
 * SHA-256 is our own incremental one: `crypto.subtle` cannot be fed in pieces.
 */
import { ScionError } from '../base/errors.ts';
import { baseName, dirName, joinPath, normalPath } from '../base/path.ts';
import { Sha256 } from '../base/sha256.ts';
import { webWorker, webWorkerPort } from './ports.ts';
import type { DirEntry, FileReader, FileStat, FileWriter, Host, HostFiles } from './types.ts';

interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type OpfsFile = FileSystemFileHandle & {
  createSyncAccessHandle(): Promise<SyncHandle>;
  /** Replaces what has the name. Absent in some browsers. */
  move?(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
};

/** Bytes copied at once. */
const COPY_BYTES = 4 << 20;

const parts = (path: string) =>
  normalPath(path)
    .split('/')
    .filter((p) => p !== '' && p !== '.');

function opfsError(error: unknown, doing: string, path: string): ScionError {
  if (error instanceof ScionError) return error;
  const name = (error as { name?: string }).name ?? '';
  if (name === 'QuotaExceededError')
    return new ScionError('space', `cannot ${doing} ${path}: the browser's storage quota is used up; delete old runs`, { path }, error);
  if (name === 'NotFoundError') return new ScionError('input', `cannot ${doing} ${path}: no such file or folder`, { path }, error);
  return new ScionError('io', `cannot ${doing} ${path}: ${name || String(error)}`, { path }, error);
}

async function folder(path: string, create = false): Promise<FileSystemDirectoryHandle> {
  let at = await navigator.storage.getDirectory();
  for (const part of parts(path)) at = await at.getDirectoryHandle(part, { create });
  return at;
}

async function file(path: string, create = false): Promise<OpfsFile> {
  return (await (await folder(dirName(path))).getFileHandle(baseName(path), { create })) as OpfsFile;
}

async function guarded<T>(doing: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw opfsError(error, doing, path);
  }
}

class OpfsReader implements FileReader {
  readonly size: number;
  private readonly blob: Blob;

  constructor(blob: Blob) {
    this.blob = blob;
    this.size = blob.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.blob.slice(offset, offset + length).arrayBuffer());
  }

  async close(): Promise<void> {}
}

class OpfsWriter implements FileWriter {
  private readonly handle: SyncHandle;
  private readonly path: string;
  private at: number;

  constructor(handle: SyncHandle, at: number, path: string) {
    this.handle = handle;
    this.at = at;
    this.path = path;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let written: number;
    try {
      written = this.handle.write(bytes, { at: this.at });
    } catch (error) {
      throw opfsError(error, 'write', this.path);
    }
    this.at += written;
    if (written < bytes.length) {
      throw new ScionError('space', `cannot write ${this.path}: the browser took ${written} of ${bytes.length} bytes; delete old runs`, {
        path: this.path,
        written,
      });
    }
  }

  async sync(): Promise<void> {
    this.handle.flush();
  }

  async close(): Promise<void> {
    this.handle.close();
  }
}

async function copyFile(from: string, to: string): Promise<void> {
  const reader = await opfsFiles.open(from);
  const writer = await opfsFiles.create(to);
  try {
    for (let at = 0; at < reader.size; at += COPY_BYTES) await writer.write(await reader.read(at, COPY_BYTES));
    await writer.sync();
  } finally {
    await writer.close();
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  await opfsFiles.makeDir(to);
  for (const { name, isDirectory } of await opfsFiles.list(from)) {
    await (isDirectory ? copyTree : copyFile)(joinPath(from, name), joinPath(to, name));
  }
}

async function rename(from: string, to: string): Promise<void> {
  const stat = await opfsFiles.stat(from);
  if (stat?.isDirectory) {
    await copyTree(from, to);
  } else {
    const handle = await file(from);
    if (handle.move) {
      await handle.move(await folder(dirName(to)), baseName(to));
      return;
    }
    await copyFile(from, to);
  }
  await opfsFiles.remove(from);
}

/** Files in the origin private file system. */
export const opfsFiles: HostFiles = {
  read: (path) => guarded('read', path, async () => new Uint8Array(await (await (await file(path)).getFile()).arrayBuffer())),
  open: (path) => guarded('open', path, async () => new OpfsReader(await (await file(path)).getFile())),
  create: (path, options) =>
    guarded('create', path, async () => {
      const handle = await (await file(path, true)).createSyncAccessHandle();
      if (!options?.append) handle.truncate(0);
      return new OpfsWriter(handle, options?.append ? handle.getSize() : 0, path);
    }),
  async write(path, bytes) {
    const writer = await this.create(path);
    try {
      await writer.write(bytes);
      await writer.sync();
    } finally {
      await writer.close();
    }
  },
  async stat(path): Promise<FileStat | null> {
    if (parts(path).length === 0) return { size: 0, isDirectory: true, modified: 0 };
    try {
      const parent = await folder(dirName(path));
      try {
        const blob = await (await parent.getFileHandle(baseName(path))).getFile();
        return { size: blob.size, isDirectory: false, modified: blob.lastModified };
      } catch {
        await parent.getDirectoryHandle(baseName(path));
        return { size: 0, isDirectory: true, modified: 0 };
      }
    } catch {
      return null;
    }
  },
  list: (path) =>
    guarded('list', path, async () => {
      const out: DirEntry[] = [];
      for await (const [name, handle] of (await folder(path)).entries()) out.push({ name, isDirectory: handle.kind === 'directory' });
      return out.sort((a, b) => (a.name < b.name ? -1 : 1));
    }),
  makeDir: (path) => guarded('create folder', path, async () => void (await folder(path, true))),
  rename: (from, to) => guarded(`rename to ${to}`, from, () => rename(from, to)),
  async remove(path) {
    try {
      await (await folder(dirName(path))).removeEntry(baseName(path), { recursive: true });
    } catch (error) {
      if ((error as { name?: string }).name !== 'NotFoundError') throw opfsError(error, 'remove', path);
    }
  },
  async syncDir() {},
  async free() {
    const { quota, usage } = await navigator.storage.estimate();
    return quota === undefined ? null : quota - (usage ?? 0);
  },
  async createExclusive(path, bytes) {
    // OPFS has no exclusive creation; a Web Lock keeps other tabs and workers out in between.
    return navigator.locks.request(`scion create ${normalPath(path)}`, async () => {
      if (await this.stat(path)) return false;
      await this.write(path, bytes);
      return true;
    });
  },
};

/**
 * This page or worker under a number, as if it were a process. It holds a Web Lock of that name for as long as it lives;
 * the browser frees it however it ends, so other tabs can ask whether it is still there.
 */
let ownPid = 0;
const pidLock = (pid: number): string => `scion process ${pid}`;

function pid(): number {
  if (ownPid === 0) {
    ownPid = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1 || 1;
    void navigator.locks.request(pidLock(ownPid), () => new Promise(() => {}));
  }
  return ownPid;
}

async function pidAlive(asked: number): Promise<boolean> {
  const { held = [], pending = [] } = await navigator.locks.query();
  return [...held, ...pending].some((lock) => lock.name === pidLock(asked));
}

/** The host of a page or a dedicated worker. */
export const browserHost: Host = {
  kind: 'browser',
  version: typeof navigator === 'undefined' ? 'browser' : navigator.userAgent,
  files: opfsFiles,
  async gpu() {
    const gpu = navigator.gpu as GPU | undefined;
    if (!gpu) {
      throw new ScionError(
        'device',
        'this browser offers no WebGPU here; use Chrome or Edge 113+, Safari 26+ or Firefox 141+ on a secure (https or localhost) page',
      );
    }
    return gpu;
  },
  sha256: async () => new Sha256(),
  now: () => performance.now(),
  // OPFS and Web Locks belong to an origin: all of it is one machine.
  env: (name) => (name === 'HOSTNAME' ? location.origin : undefined),
  cwd: '/',
  get pid() {
    return pid();
  },
  processAlive: pidAlive,
  cacheDir: '/cache',
  residentBytes: () => null,
  peakResidentBytes: () => null,
  memoryBytes: () => null,
  heapBytes: () => (performance as { memory?: { usedJSHeapSize: number } }).memory?.usedJSHeapSize ?? null,
  onInterrupt: () => () => {},
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  cores: typeof navigator === 'undefined' ? 1 : navigator.hardwareConcurrency,
  worker: webWorker,
  workerPort: webWorkerPort,
};
