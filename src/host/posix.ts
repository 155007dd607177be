/**
 * Files, hashing and memory through `node:` modules, shared by the Node and the Deno adapter
 * (Deno implements the same modules). Maps system errors to ScionError with the path inside.
 */
import * as crypto from 'node:crypto';
import * as fs from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import { ScionError } from '../base/errors.ts';
import { dirName } from '../base/path.ts';
import type { DirEntry, FileReader, FileStat, FileWriter, Hasher, HostFiles } from './types.ts';

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

/** Turns a system error into a ScionError that names the operation and the path. */
function fileError(error: unknown, doing: string, path: string): ScionError {
  const code = codeOf(error);
  if (code === 'ENOENT') return new ScionError('input', `cannot ${doing} ${path}: no such file or folder`, { path, code }, error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ScionError('space', `cannot ${doing} ${path}: no space left on the device; free some or choose another --out`, { path, code }, error);
  }
  return new ScionError('io', `cannot ${doing} ${path}: ${code || String(error)}`, { path, code }, error);
}

async function guarded<T>(doing: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, doing, path);
  }
}

class PosixReader implements FileReader {
  readonly size: number;
  private readonly handle: fs.FileHandle;
  private readonly path: string;

  constructor(handle: fs.FileHandle, size: number, path: string) {
    this.handle = handle;
    this.size = size;
    this.path = path;
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    const bytes = new Uint8Array(wanted);
    let done = 0;
    while (done < wanted) {
      const { bytesRead } = await guarded('read', this.path, () => this.handle.read(bytes, done, wanted - done, offset + done));
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done === wanted ? bytes : bytes.slice(0, done);
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

class PosixWriter implements FileWriter {
  private readonly handle: fs.FileHandle;
  private readonly path: string;

  constructor(handle: fs.FileHandle, path: string) {
    this.handle = handle;
    this.path = path;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await guarded('write', this.path, () => this.handle.write(bytes, done, bytes.length - done));
      done += bytesWritten;
    }
  }

  async sync(): Promise<void> {
    await guarded('fsync', this.path, () => this.handle.sync());
  }

  async close(): Promise<void> {
    await guarded('close', this.path, () => this.handle.close());
  }
}

/** Files of a POSIX-like host. */
export const posixFiles: HostFiles = {
  async read(path) {
    const bytes = await guarded('read', path, () => fs.readFile(path));
    return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
  },
  async open(path) {
    const handle = await guarded('open', path, () => fs.open(path, 'r'));
    const { size } = await handle.stat();
    return new PosixReader(handle, size, path);
  },
  async create(path, options) {
    const handle = await guarded('create', path, () => fs.open(path, options?.append ? 'a' : 'w'));
    return new PosixWriter(handle, path);
  },
  async write(path, bytes) {
    await guarded('write', path, () => fs.writeFile(path, bytes));
  },
  async stat(path): Promise<FileStat | null> {
    try {
      const stat = await fs.stat(path);
      return { size: stat.size, isDirectory: stat.isDirectory(), modified: stat.mtimeMs };
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
      throw fileError(error, 'look at', path);
    }
  },
  async list(path): Promise<DirEntry[]> {
    const entries = await guarded('list', path, () => fs.readdir(path, { withFileTypes: true }));
    return entries.map((e) => ({ name: e.name, isDirectory: e.isDirectory() })).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  },
  async makeDir(path) {
    await guarded('create folder', path, () => fs.mkdir(path, { recursive: true }));
  },
  async rename(from, to) {
    await guarded(`rename to ${to}`, from, () => fs.rename(from, to));
  },
  async remove(path) {
    await guarded('remove', path, () => fs.rm(path, { recursive: true, force: true }));
  },
  async syncDir(path) {
    const handle = await guarded('open folder', path, () => fs.open(path, 'r'));
    try {
      await handle.sync();
    } catch (error) {
      // Some file systems refuse fsync on folders; the rename is then as durable as they make it.
      if (codeOf(error) !== 'EINVAL' && codeOf(error) !== 'EPERM') throw fileError(error, 'fsync folder', path);
    } finally {
      await handle.close();
    }
  },
  async free(path) {
    for (let at = path; ; at = dirName(at)) {
      try {
        const { bavail, bsize } = await fs.statfs(at);
        return bavail * bsize;
      } catch {
        if (at === '/' || at === '.') return null;
      }
    }
  },
  async createExclusive(path, bytes) {
    try {
      const handle = await fs.open(path, 'wx');
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw fileError(error, 'create', path);
    }
  },
  async link(from, to) {
    try {
      await fs.link(from, to);
      return true;
    } catch (error) {
      // What says that this pair of places has no links; a missing file or a full disk is an error like any other.
      if (['EXDEV', 'EPERM', 'EACCES', 'EMLINK', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL'].includes(codeOf(error))) return false;
      throw fileError(error, `link to ${to}`, from);
    }
  },
};

/** SHA-256 by the host's own crypto library. */
export async function posixSha256(): Promise<Hasher> {
  const hash = crypto.createHash('sha256');
  return {
    update: (bytes) => {
      hash.update(bytes);
    },
    hex: () => hash.digest('hex'),
  };
}

async function* unzstd(frame: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const unpacker = zlib.createZstdDecompress();
  // One piece ahead at most, so that a caller's count of the bytes that went in stays near the truth.
  const input = Readable.from(frame, { highWaterMark: 1 });
  // Errors of either end reach the loop below through the unpacker.
  pipeline(input, unpacker, () => undefined);
  try {
    for await (const chunk of unpacker) yield chunk as Uint8Array;
  } finally {
    input.destroy();
    unpacker.destroy();
  }
}

/** Unpacks one Zstandard frame; undefined before Node 22.15, which has no decoder. */
export const posixUnzstd = typeof zlib.createZstdDecompress === 'function' ? unzstd : undefined;
