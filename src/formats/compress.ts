/**
 * gzip streams through the web's own `CompressionStream` and `DecompressionStream`, which all three
 * hosts have. Unpacking is capped by ratio and by size, checked as the bytes come out, so a bomb
 * costs the cap and no more. One gzip member a file: what a browser refuses, no host accepts.
 */
import { ScionError } from '../base/errors.ts';

export interface UnpackOptions {
  /** Stands in errors. */
  readonly name: string;
  /** Most bytes out; 1 GiB. */
  readonly maxBytes?: number;
  /** Most bytes out for each byte in; 200. The first MiB out is free: small files may be very regular. */
  readonly maxRatio?: number;
}

/** Below this output no ratio is judged. */
const FREE_BYTES = 2 ** 20;
/** Input is fed in pieces: the ratio can only be judged between them. */
const PIECE_BYTES = 16 * 1024;

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** A byte stream that counts what it hands on. Chunks are copied: a stream may keep what it gets. */
function feed(source: Chunks, count: (bytes: number) => void): ReadableStream<Uint8Array<ArrayBuffer>> {
  const iterator = pieces(source);
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else {
          count(value.length);
          controller.enqueue(value);
        }
      },
      async cancel() {
        await iterator.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

async function* pieces(source: Chunks): AsyncGenerator<Uint8Array<ArrayBuffer>, undefined> {
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) yield chunk.slice(at, at + PIECE_BYTES);
  }
  return undefined;
}

async function* drain(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield value;
    }
    ended = true;
  } finally {
    // Whoever stops early must not leave the source open; its own errors were reported already.
    if (!ended) await reader.cancel().catch(() => undefined);
  }
}

/**
 * The bytes of a gzip stream, in chunks. Throws a ScionError of kind `format` for a damaged or cut
 * stream, for bytes behind its end, and where a cap is passed; errors of the source pass through.
 */
export async function* gunzip(source: Chunks, options: UnpackOptions): AsyncGenerator<Uint8Array> {
  const { name, maxBytes = 2 ** 30, maxRatio = 200 } = options;
  let bytesIn = 0;
  let bytesOut = 0;
  let sourceError: { error: unknown } | undefined;
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      sourceError = { error };
      throw error;
    }
  }
  const stream = feed(watched(), (bytes) => {
    bytesIn += bytes;
  }).pipeThrough(new DecompressionStream('gzip'));
  try {
    for await (const chunk of drain(stream)) {
      bytesOut += chunk.length;
      if (bytesOut > maxBytes)
        throw new ScionError('format', `${name}: unpacks to more than ${maxBytes} bytes; raise the limit if the file is trusted`, {
          bytesIn,
          bytesOut,
          maxBytes,
        });
      if (bytesOut > FREE_BYTES && bytesOut > maxRatio * bytesIn) {
        throw new ScionError('format', `${name}: ${bytesIn} bytes unpack to ${bytesOut} so far, more than ${maxRatio} times; this looks like a bomb`, {
          bytesIn,
          bytesOut,
          maxRatio,
        });
      }
      yield chunk;
    }
  } catch (error) {
    if (error instanceof ScionError) throw error;
    if (sourceError) throw sourceError.error;
    throw new ScionError('format', `${name}: damaged or cut gzip data, after ${bytesOut} unpacked bytes`, { bytesIn, bytesOut }, error);
  }
}

/** Packs a stream as gzip. */
export async function* gzip(source: Chunks): AsyncGenerator<Uint8Array> {
  yield* drain(feed(source, () => undefined).pipeThrough(new CompressionStream('gzip')));
}
