/**
 * The outer shape of a Zstandard file (RFC 8878): frames, their headers, the lengths of their blocks. It
 * unpacks nothing. Decoders get one frame at a time, because Node's stops silently behind the first and
 * the one in pure JavaScript believes any window size; both are decided here, before a byte is unpacked.
 */
import { ScionError } from '../base/errors.ts';
import { joinBytes } from './bytes.ts';

const FRAME_MAGIC = 0xfd2fb528;
/** Sixteen numbers from here mark frames that carry no data. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAX_BLOCK_BYTES = 128 * 1024;
/** What `zstd --long=27` makes, and the most that its own tool unpacks unless told otherwise. */
const MAX_WINDOW_BYTES = 128 * 2 ** 20;

/** Reads a stream of chunks by exact lengths. */
class Taker {
  /** Bytes taken so far. */
  offset = 0;
  private readonly chunks: AsyncIterator<Uint8Array>;
  private readonly name: string;
  private rest: Uint8Array = new Uint8Array();

  constructor(chunks: AsyncIterable<Uint8Array>, name: string) {
    this.chunks = chunks[Symbol.asyncIterator]();
    this.name = name;
  }

  /** True when nothing is left. */
  async ended(): Promise<boolean> {
    while (this.rest.length === 0) {
      const { done, value } = await this.chunks.next();
      if (done) return true;
      this.rest = value;
    }
    return false;
  }

  async take(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let missing = length; missing > 0; ) {
      if (await this.ended()) throw damaged(this.name, this.offset, `the file ends where ${missing} more bytes belong`);
      const part = this.rest.subarray(0, missing);
      this.rest = this.rest.subarray(part.length);
      missing -= part.length;
      this.offset += part.length;
      parts.push(part);
    }
    return parts.length === 1 ? parts[0] : joinBytes(parts, length);
  }

  async close(): Promise<void> {
    await this.chunks.return?.(undefined);
  }
}

function damaged(name: string, offset: number, what: string): ScionError {
  return new ScionError('format', `${name}: damaged or cut zstd data at byte ${offset}: ${what}`, { offset });
}

/** A little-endian number of up to eight bytes; exact below 2^53. */
function littleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

/** The header of a data frame behind its magic number: its bytes and whether a checksum ends the frame. */
async function frameHeader(taker: Taker, name: string): Promise<{ bytes: Uint8Array; checksum: boolean }> {
  const at = taker.offset;
  const [descriptor] = await taker.take(1);
  if (descriptor & 0x08) throw damaged(name, at, 'a reserved bit of the frame header is set');
  const single = (descriptor & 0x20) !== 0;
  const window = single ? new Uint8Array() : await taker.take(1);
  const dictionary = await taker.take([0, 1, 2, 4][descriptor & 3]);
  if (littleEndian(dictionary) !== 0) throw new ScionError('format', `${name}: packed with a zstd dictionary, which is not here; pack it again without`);
  const content = await taker.take([single ? 1 : 0, 2, 4, 8][descriptor >> 6]);
  const windowBytes = single ? littleEndian(content) : 2 ** (10 + (window[0] >> 3)) * (1 + (window[0] & 7) / 8);
  if (windowBytes > MAX_WINDOW_BYTES) {
    throw new ScionError(
      'format',
      `${name}: needs a zstd window of ${windowBytes} bytes, the limit is ${MAX_WINDOW_BYTES}; pack it again without --long or --ultra`,
      {
        windowBytes,
      },
    );
  }
  return { bytes: joinBytes([Uint8Array.of(descriptor), window, dictionary, content]), checksum: (descriptor & 0x04) !== 0 };
}

async function* frameBytes(taker: Taker, magic: Uint8Array, name: string): AsyncGenerator<Uint8Array> {
  const header = await frameHeader(taker, name);
  yield joinBytes([magic, header.bytes]);
  for (let last = false; !last; ) {
    const at = taker.offset;
    const head = await taker.take(3);
    const word = littleEndian(head);
    last = (word & 1) === 1;
    const type = (word >> 1) & 3;
    const size = word >> 3;
    if (type === 3) throw damaged(name, at, 'a block of the reserved type');
    if (size > MAX_BLOCK_BYTES) throw damaged(name, at, `a block of ${size} bytes, at most ${MAX_BLOCK_BYTES} are allowed`);
    // A run-length block is one byte, repeated `size` times.
    yield joinBytes([head, await taker.take(type === 1 ? 1 : size)]);
  }
  if (header.checksum) yield await taker.take(4);
}

/**
 * The data frames of a file, in order; skippable ones are passed over. Each frame is a stream of pieces (its
 * header, then block by block) and must be read to its end before the next is asked for. Throws a ScionError
 * of kind `format` for anything that is no frame, a cut file, a window over 128 MiB or a missing dictionary.
 */
export async function* zstdFrames(source: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<AsyncGenerator<Uint8Array>> {
  const taker = new Taker(source, name);
  try {
    let first = true;
    while (first || !(await taker.ended())) {
      const at = taker.offset;
      const magic = await taker.take(4);
      const number = littleEndian(magic);
      first = false;
      if (number === FRAME_MAGIC) {
        yield frameBytes(taker, magic, name);
      } else if (number - (number % 16) === SKIPPABLE_MAGIC) {
        let left = littleEndian(await taker.take(4));
        for (; left > 0; left -= Math.min(left, MAX_BLOCK_BYTES)) await taker.take(Math.min(left, MAX_BLOCK_BYTES));
      } else throw damaged(name, at, 'no zstd frame begins here');
    }
  } finally {
    await taker.close();
  }
}
