/**
 * Packed streams: gzip through the web's own `CompressionStream` and `DecompressionStream`, which all three
 * hosts have, and Zstandard. Unpacking is capped by ratio and by size, checked as the bytes come out, so a
 * bomb costs the cap and no more. One gzip member a file: what a browser refuses, no host accepts.
 */
import { ScionError } from '../base/errors.ts';
import { host } from '../host/index.ts';
import { zstdFrames } from './zstd-frames.ts';

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

/** Counts what goes in and comes out of an unpacker and stops it at the caps. */
class Meter {
  bytesIn = 0;
  bytesOut = 0;
  private readonly options: UnpackOptions;

  constructor(options: UnpackOptions) {
    this.options = options;
  }

  /** Notes bytes that came out; throws where a cap is passed. */
  out(bytes: number): void {
    const { name, maxBytes = 2 ** 30, maxRatio = 200 } = this.options;
    const bytesIn = this.bytesIn;
    this.bytesOut += bytes;
    const bytesOut = this.bytesOut;
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
  }
}

/** Runs an unpacker with its errors told apart: our own and the source's pass, the codec's become `format`. */
async function* guarded(
  source: Chunks,
  options: UnpackOptions,
  kind: string,
  unpack: (source: AsyncGenerator<Uint8Array>, meter: Meter) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const meter = new Meter(options);
  let sourceError: { error: unknown } | undefined;
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* source;
    } catch (error) {
      sourceError = { error };
      throw error;
    }
  }
  try {
    yield* unpack(watched(), meter);
  } catch (error) {
    if (error instanceof ScionError) throw error;
    if (sourceError) throw sourceError.error;
    const { bytesIn, bytesOut } = meter;
    throw new ScionError('format', `${options.name}: damaged or cut ${kind} data, after ${bytesOut} unpacked bytes`, { bytesIn, bytesOut }, error);
  }
}

/**
 * The bytes of a gzip stream, in chunks. Throws a ScionError of kind `format` for a damaged or cut
 * stream, for bytes behind its end, and where a cap is passed; errors of the source pass through.
 */
export function gunzip(source: Chunks, options: UnpackOptions): AsyncGenerator<Uint8Array> {
  return guarded(source, options, 'gzip', async function* (watched, meter) {
    const stream = feed(watched, (bytes) => {
      meter.bytesIn += bytes;
    });
    for await (const chunk of drain(stream.pipeThrough(new DecompressionStream('gzip')))) {
      meter.out(chunk.length);
      yield chunk;
    }
  });
}

/**
 * The bytes of a Zstandard file, in chunks; several frames follow one another. The host's own decoder is
 * used where it has one (it also proves checksums), else one in JavaScript. Errors as for `gunzip`.
 */
export function unzstd(source: Chunks, options: UnpackOptions): AsyncGenerator<Uint8Array> {
  return guarded(source, options, 'zstd', async function* (watched, meter) {
    const native = (await host()).unzstd;
    for await (const frame of zstdFrames(watched, options.name)) {
      const counted = count(frame, meter);
      if (native === undefined) yield* unzstdFrame(counted, meter);
      else {
        for await (const chunk of native(counted)) {
          meter.out(chunk.length);
          yield chunk;
        }
      }
    }
  });
}

async function* count(source: AsyncIterable<Uint8Array>, meter: Meter): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    meter.bytesIn += piece.length;
    yield piece;
  }
}

/** One frame through the decoder in JavaScript, which must be told which piece is the last. */
export async function* unzstdFrame(frame: AsyncIterable<Uint8Array>, meter: { out(bytes: number): void }): AsyncGenerator<Uint8Array> {
  const { Decompress } = await import('fzstd');
  let ready: Uint8Array[] = [];
  const decoder = new Decompress((chunk) => {
    meter.out(chunk.length);
    ready.push(chunk);
  });
  let held: Uint8Array | undefined;
  for await (const piece of frame) {
    if (held) decoder.push(held, false);
    held = piece;
    yield* ready;
    ready = [];
  }
  if (held) decoder.push(held, true);
  yield* ready;
}

/** Packs a stream as gzip. */
export async function* gzip(source: Chunks): AsyncGenerator<Uint8Array> {
  yield* drain(feed(source, () => undefined).pipeThrough(new CompressionStream('gzip')));
}
