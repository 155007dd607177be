/**
 * Files that live in memory, and the checked arithmetic every parser shares. A parser takes a
 * FileReader, so bytes at hand are wrapped here; reads copy, which costs one pass and means that
 * no caller can change the bytes behind a parser's back.
 */
import { ScionError } from '../base/errors.ts';
import type { FileReader, FileWriter } from '../host/types.ts';

/** A FileReader over bytes at hand; `read` returns copies. */
export function bytesReader(bytes: Uint8Array): FileReader {
  return {
    size: bytes.length,
    read: (offset, length) => Promise.resolve(bytes.slice(offset, Math.min(bytes.length, offset + length))),
    close: () => Promise.resolve(),
  };
}

/** Either kind of source as a FileReader. */
export function asReader(source: FileReader | Uint8Array): FileReader {
  return source instanceof Uint8Array ? bytesReader(source) : source;
}

/** A FileWriter that collects its bytes; `bytes()` joins them. For tests and downloads in a page. */
export class BytesWriter implements FileWriter {
  private readonly parts: Uint8Array[] = [];
  private length = 0;

  write(bytes: Uint8Array): Promise<void> {
    this.parts.push(bytes.slice());
    this.length += bytes.length;
    return Promise.resolve();
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return joinBytes(this.parts, this.length);
  }
}

/** Several byte arrays as one. */
export function joinBytes(parts: readonly Uint8Array[], length = parts.reduce((sum, part) => sum + part.length, 0)): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** True if both hold the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Product of natural numbers, or null where it passes 2^53 - 1 on the way: beyond that a double
 * is no longer exact, and a size that is not exact must never be compared with a file's.
 */
export function checkedProduct(factors: readonly number[]): number | null {
  let product = 1;
  for (const factor of factors) {
    product *= factor;
    if (product > Number.MAX_SAFE_INTEGER) return null;
  }
  return product;
}

/** Reads exactly `length` bytes; a ScionError of kind `format` if the file has fewer. */
export async function readExactly(reader: FileReader, offset: number, length: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
  if (!(offset >= 0 && length >= 0 && offset + length <= reader.size)) {
    throw new ScionError('format', `${what}: bytes ${offset} to ${offset + length} are needed, but the file has ${reader.size}`, {
      offset,
      length,
      size: reader.size,
    });
  }
  const bytes = await reader.read(offset, length);
  if (bytes.length !== length) {
    throw new ScionError('format', `${what}: ${length} bytes at ${offset} were asked for and ${bytes.length} came; the file was cut while it was read`, {
      offset,
      length,
      found: bytes.length,
    });
  }
  return bytes;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text of UTF-8 bytes; a ScionError of kind `format` if they are none. A byte order mark is kept. */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return strictUtf8.decode(bytes);
  } catch (error) {
    throw new ScionError('format', `${what}: not valid UTF-8 (${bytes.length} bytes); convert the file to UTF-8`, { bytes: bytes.length }, error);
  }
}

/** A value as it may stand in an error message: quoted, control characters escaped, cut at 80. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text).replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, escapeUnit);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
