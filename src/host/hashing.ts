/**
 * SHA-256 while writing and while reading back. Hashing as the bytes go by costs no second pass, and
 * neither way holds more than a piece of a file.
 */

import { host } from './index.ts';
import type { FileWriter, Hasher, HostFiles } from './types.ts';

/** Bytes read at a time. */
const PIECE_BYTES = 4 << 20;

/** Makes hashers; the host's own by default. */
export type HasherMaker = () => Promise<Hasher>;

/** The given maker, or the host's. */
export async function hasherMaker(given: HasherMaker | undefined): Promise<HasherMaker> {
  if (given) return given;
  const machine = await host();
  return () => machine.sha256();
}

/** A writer that hashes and counts what goes through it. */
export class HashingWriter implements FileWriter {
  bytes = 0;
  private readonly inner: FileWriter;
  private readonly hasher: Hasher;

  constructor(inner: FileWriter, hasher: Hasher) {
    this.inner = inner;
    this.hasher = hasher;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.hasher.update(bytes);
    this.bytes += bytes.length;
    await this.inner.write(bytes);
  }

  sync(): Promise<void> {
    return this.inner.sync();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  /** Ends the hash. */
  hex(): string {
    return this.hasher.hex();
  }
}

/** Creates, fills, syncs and closes a file; gives its length and SHA-256. A failed file is left to the caller. */
export async function writeHashed(
  files: HostFiles,
  path: string,
  sha256: HasherMaker,
  fill: (writer: FileWriter) => Promise<unknown>,
): Promise<{ bytes: number; sha256: string }> {
  const writer = new HashingWriter(await files.create(path), await sha256());
  try {
    await fill(writer);
    await writer.sync();
  } catch (error) {
    // The first error tells the story; a failing close on top of it would hide it.
    await writer.close().catch(() => undefined);
    throw error;
  }
  await writer.close();
  return { bytes: writer.bytes, sha256: writer.hex() };
}

/** Length and SHA-256 of a file. */
export async function hashFile(files: HostFiles, path: string, sha256: HasherMaker): Promise<{ bytes: number; sha256: string }> {
  const reader = await files.open(path);
  try {
    const hasher = await sha256();
    let bytes = 0;
    while (bytes < reader.size) {
      const piece = await reader.read(bytes, PIECE_BYTES);
      if (piece.length === 0) break;
      hasher.update(piece);
      bytes += piece.length;
    }
    return { bytes, sha256: hasher.hex() };
  } finally {
    await reader.close();
  }
}

/** SHA-256 of a value as JSON. */
export async function hashJson(sha256: HasherMaker, value: unknown): Promise<string> {
  const hasher = await sha256();
  hasher.update(new TextEncoder().encode(JSON.stringify(value)));
  return hasher.hex();
}
