/**
 * JSON Lines: one JSON value a line, UTF-8. The reader streams in blocks, caps the length of a
 * line (a hostile 2 GB line costs the cap, not 2 GB), knows the byte offset behind each line so that
 * a reader can go on there later, and names file and line in every error. Blank lines are skipped,
 * CR LF is accepted, a byte order mark at the very start is dropped.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import type { FileReader, FileWriter } from '../host/types.ts';
import { decodeUtf8, joinBytes, shown } from './bytes.ts';
import { nestsDeeper } from './json.ts';

const BLOCK_BYTES = 2 ** 20;
const MAX_LINE_BYTES = 16 * 2 ** 20;
const MAX_DEPTH = 512;
const LF = 10;
const CR = 13;

export interface LineOptions {
  /** Stands in errors. */
  readonly name: string;
  /** Longest line in bytes, its end not counted; 16 MiB. */
  readonly maxLineBytes?: number;
  /** Byte offset to start at, the `next` of an earlier line; with a FileReader only. */
  readonly offset?: number;
  /** Number of the line at `offset`, for errors; 1. */
  readonly line?: number;
  /** Byte offset from which on no further line begins here; the file's end. */
  readonly end?: number;
  /** What would else be an error comes as a line with `bad` (and no text), and the others follow. A line too long is never held. */
  readonly keepBad?: boolean;
}

/** Why a line is no record. */
export interface BadLine {
  readonly reason: 'too-long-line' | 'bad-utf8' | 'bad-json' | 'bad-row';
  readonly message: string;
}

/** One line. */
export interface Line {
  readonly text: string;
  /** From 1. */
  readonly line: number;
  /** Byte offset of its first byte, and of the first byte behind its end. */
  readonly offset: number;
  readonly next: number;
  /** With `keepBad` only. */
  readonly bad?: BadLine;
}

/** A JSON value with its line. */
export interface JsonLine extends Omit<Line, 'text'> {
  readonly value: unknown;
}

async function* blocksOf(reader: FileReader, offset: number): AsyncGenerator<Uint8Array> {
  for (let at = offset; at < reader.size; ) {
    const block = await reader.read(at, Math.min(BLOCK_BYTES, reader.size - at));
    if (block.length === 0) return;
    yield block;
    at += block.length;
  }
}

function isReader(source: FileReader | AsyncIterable<Uint8Array>): source is FileReader {
  return 'read' in source;
}

/**
 * The lines of a file or of a stream of chunks, blank ones included. Throws a ScionError of kind
 * `format` for a line over the cap and for bytes that are no UTF-8, naming file, line and offset.
 */
export async function* readLines(source: FileReader | AsyncIterable<Uint8Array>, options: LineOptions): AsyncGenerator<Line> {
  const { name, maxLineBytes = MAX_LINE_BYTES, offset: start = 0 } = options;
  if (!(Number.isSafeInteger(start) && start >= 0) || (start > 0 && !isReader(source))) {
    throw new ScionError('input', `${name}: cannot start at byte ${start} of this source`, { start });
  }
  if (isReader(source) && start > source.size) throw new ScionError('input', `${name}: cannot start at byte ${start}, the file has ${source.size}`, { start });
  const { end = Number.POSITIVE_INFINITY, keepBad = false } = options;
  let line = options.line ?? 1;
  let offset = start;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  /** Bytes of the line at `offset` that were passed over; -1 while lines are taken. */
  let passed = -1;
  const tooLong = (): BadLine => {
    const message = `${name}:${line}: a line of more than ${maxLineBytes} bytes, from byte ${offset} on; split it or raise the limit`;
    if (!keepBad) throw new ScionError('format', message, { line, offset, maxLineBytes });
    return { reason: 'too-long-line', message };
  };
  const decoded = (bytes: Uint8Array): string | BadLine => {
    try {
      return decodeUtf8(bytes, `${name}:${line}: line at byte ${offset}`);
    } catch (error) {
      if (!keepBad || !isScionError(error)) throw error;
      return { reason: 'bad-utf8', message: error.message };
    }
  };
  const finish = (tail: Uint8Array, ended: boolean): Line => {
    let next = offset + (ended ? 1 : 0);
    let text: string | BadLine;
    if (passed >= 0) {
      next += passed + tail.length;
      text = tooLong();
    } else {
      let bytes = heldBytes === 0 ? tail : joinBytes([...held, tail]);
      next += bytes.length;
      if (bytes[bytes.length - 1] === CR) bytes = bytes.subarray(0, -1);
      text = bytes.length > maxLineBytes ? tooLong() : decoded(bytes);
    }
    const at = { line, offset, next };
    held = [];
    heldBytes = 0;
    passed = -1;
    offset = next;
    line++;
    if (typeof text !== 'string') return { text: '', ...at, bad: text };
    return { text: at.offset === 0 && text.startsWith('\ufeff') ? text.slice(1) : text, ...at };
  };
  for await (const block of isReader(source) ? blocksOf(source, start) : source) {
    let from = 0;
    for (let at = block.indexOf(LF); at >= 0; at = block.indexOf(LF, from)) {
      if (offset >= end) return;
      yield finish(block.subarray(from, at), true);
      from = at + 1;
    }
    if (offset >= end) return;
    if (from === block.length) continue;
    if (passed >= 0) passed += block.length - from;
    else {
      held.push(block.slice(from));
      heldBytes += block.length - from;
      // One more byte may be a CR that is not counted.
      if (heldBytes > maxLineBytes + 1) {
        tooLong();
        passed = heldBytes;
        held = [];
        heldBytes = 0;
      }
    }
    // Nobody needs the end of a last line that is too long.
    if (passed >= 0 && offset + passed >= end) break;
  }
  if (heldBytes > 0 || passed >= 0) yield finish(new Uint8Array(), false);
}

/** The values of a JSON Lines file; see `readLines`. A line that is no JSON is a ScionError of kind `format`. */
export async function* readJsonl(source: FileReader | AsyncIterable<Uint8Array>, options: LineOptions): AsyncGenerator<JsonLine> {
  for await (const { text, ...at } of readLines(source, options)) {
    if (at.bad) {
      yield { value: undefined, ...at };
      continue;
    }
    if (text.trim() === '') continue;
    let value: unknown;
    let bad: BadLine | undefined;
    try {
      value = parseLine(text, `${options.name}:${at.line}`);
    } catch (error) {
      if (!options.keepBad || !isScionError(error)) throw error;
      bad = { reason: 'bad-json', message: error.message };
    }
    yield bad ? { value, ...at, bad } : { value, ...at };
  }
}

function parseLine(text: string, where: string): unknown {
  if (nestsDeeper(text, MAX_DEPTH)) throw new ScionError('format', `${where}: JSON nested more than ${MAX_DEPTH} deep`, { where });
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ScionError(
      'format',
      `${where}: not JSON: ${error instanceof Error ? shown(error.message) : ''}; the line starts ${shown(text.slice(0, 60))}`,
      { where },
      error,
    );
  }
}

/** Writes JSON Lines through a buffer. Values that JSON cannot hold are refused, not dropped. */
export class JsonlWriter {
  /** Bytes written so far, buffered ones included. */
  bytes = 0;
  private readonly writer: FileWriter;
  private readonly encoder = new TextEncoder();
  private parts: Uint8Array[] = [];
  private buffered = 0;

  constructor(writer: FileWriter) {
    this.writer = writer;
  }

  async write(value: unknown): Promise<void> {
    const text: string | undefined = JSON.stringify(value);
    if (text === undefined) throw new ScionError('input', `a ${typeof value} is no JSON value`, { type: typeof value });
    const bytes = this.encoder.encode(`${text}\n`);
    this.parts.push(bytes);
    this.buffered += bytes.length;
    this.bytes += bytes.length;
    if (this.buffered >= BLOCK_BYTES) await this.flush();
  }

  /** Hands the buffer to the file. */
  async flush(): Promise<void> {
    if (this.buffered === 0) return;
    const bytes = joinBytes(this.parts, this.buffered);
    this.parts = [];
    this.buffered = 0;
    await this.writer.write(bytes);
  }

  /** Flushes and makes everything durable. */
  async sync(): Promise<void> {
    await this.flush();
    await this.writer.sync();
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.writer.close();
    }
  }
}
