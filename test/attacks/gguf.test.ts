/** Attacks on the GGUF reader; the numbers are those of README.md. Fixtures are built field by field. */
import { describe, expect, it } from 'vitest';
import { BytesWriter, joinBytes, sameBytes } from '../../src/formats/bytes.ts';
import { type GgufFile, ggmlBytes, openGguf } from '../../src/formats/gguf.ts';
import { writeGguf } from '../../src/formats/gguf-write.ts';
import { CountingReader, cpuMs, FUZZ_COUNT, fuzz, isRefusal, REJECT_MS } from './mutate.ts';

type Part = Uint8Array | Part[];
const flat = (part: Part): Uint8Array[] => (part instanceof Uint8Array ? [part] : part.flatMap(flat));
const build = (...parts: Part[]): Uint8Array<ArrayBuffer> => joinBytes(flat(parts));
const u32 = (n: number) => new Uint8Array(Uint32Array.of(n).buffer);
const u64 = (n: number | bigint) => new Uint8Array(BigUint64Array.of(BigInt(n)).buffer);
const text = (s: string): Part => [u64(new TextEncoder().encode(s).length), new TextEncoder().encode(s)];
const MAGIC = new TextEncoder().encode('GGUF');
const start = (tensors: number | bigint, keys: number | bigint, version = 3): Part => [MAGIC, u32(version), u64(tensors), u64(keys)];
const key = (name: string, type: number, ...value: Part[]): Part => [text(name), u32(type), value];
const tensor = (name: string, sides: (number | bigint)[], type: number, offset: number | bigint, rank = sides.length): Part => [
  text(name),
  u32(rank),
  sides.map(u64),
  u32(type),
  u64(offset),
];

/** A file with its padding and `data` bytes behind it. */
function file(data: number, ...parts: Part[]): Uint8Array<ArrayBuffer> {
  const head = build(...parts);
  return build(head, new Uint8Array(Math.ceil(head.length / 32) * 32 - head.length + data));
}

const refused: [string, string, Uint8Array, string][] = [
  ['G1', 'no bytes', new Uint8Array(), 'the magic number needs 4 bytes'],
  ['G2', 'another magic number', build(new TextEncoder().encode('GGML'), u32(3)), 'starts with "GGUF"'],
  ['G3', 'magic number only', build(MAGIC), 'the version needs 4 bytes'],
  ['G4', 'version 0', build(start(0, 0, 0)), 'GGUF version 0'],
  ['G5', 'version 1, with 32-bit counts', build(start(0, 0, 1)), 'GGUF version 1'],
  ['G6', 'version 99', build(start(0, 0, 99)), 'GGUF version 99'],
  ['G7', 'big-endian', build(start(0, 0, 0x03000000)), 'big-endian'],
  ['G8', '2^63 tensors', build(start(2n ** 63n, 0)), 'the number of tensors is 9223372036854775808'],
  ['G9', '2^64 - 1 keys', build(start(0, 2n ** 64n - 1n)), 'the number of keys is 18446744073709551615'],
  ['G10', 'more keys than there are', build(start(0, 2), key('a', 0, Uint8Array.of(1))), 'the length of key 1 needs 8 bytes'],
  ['G11', 'key length past the end', build(start(0, 1), u64(60_000)), 'key 0 needs 60000 bytes'],
  ['G12', 'key length 2^63', build(start(0, 1), u64(2n ** 63n)), 'the length of key 0 is 9223372036854775808'],
  ['G13', 'empty key', build(start(0, 1), key('', 0, Uint8Array.of(1))), 'key 0 is empty'],
  ['G14', 'key that is no UTF-8', build(start(0, 1), u64(1), Uint8Array.of(0xff), u32(0), Uint8Array.of(1)), 'not valid UTF-8'],
  ['G15', 'key twice', build(start(0, 2), key('a', 0, Uint8Array.of(1)), key('a', 0, Uint8Array.of(1))), 'the key "a" stands twice'],
  ['G16', 'unknown value type', build(start(0, 1), key('a', 13)), 'is 13; types go from 0 to 12'],
  ['G17', 'value cut off', build(start(0, 1), key('a', 4, Uint8Array.of(1))), 'needs 4 bytes, 1 are left'],
  ['G18', 'a bool of 2', build(start(0, 1), key('a', 7, Uint8Array.of(2))), 'a bool of value 2'],
  ['G19', 'string length past the end', build(start(0, 1), key('a', 8, u64(100))), 'needs 100 bytes'],
  ['G20', 'string that is no UTF-8', build(start(0, 1), key('a', 8, u64(1), Uint8Array.of(0x80))), 'not valid UTF-8'],
  ['G21', 'array of arrays', build(start(0, 1), key('a', 9, u32(9), u64(1))), 'array of arrays'],
  ['G22', 'unknown element type', build(start(0, 1), key('a', 9, u32(77), u64(0))), 'is 77'],
  ['G23', 'array of 2^63', build(start(0, 1), key('a', 9, u32(0), u64(2n ** 63n))), 'at most 0 makes sense'],
  ['G24', 'array longer than the file', build(start(0, 1), key('a', 9, u32(4), u64(3), u32(1))), 'at most 1 makes sense'],
  ['G25', 'strings more than the bytes left', build(start(0, 1), key('a', 9, u32(8), u64(2), text(''))), 'at most 1 makes sense'],
  ['G26', 'array whose size wraps 64 bits', build(start(0, 1), key('a', 9, u32(10), u64(2n ** 61n), new Uint8Array(8))), 'at most 1 makes sense'],
  ['G27', 'alignment 0', build(start(0, 1), key('general.alignment', 4, u32(0))), 'a u32 power of two'],
  ['G28', 'alignment 12', build(start(0, 1), key('general.alignment', 4, u32(12))), 'a u32 power of two'],
  ['G29', 'alignment as text', build(start(0, 1), key('general.alignment', 8, text('32'))), 'of type string'],
  ['G30', 'alignment 2^31', build(start(0, 1), key('general.alignment', 4, u32(2 ** 31))), 'a u32 power of two'],
  ['G31', 'tensor name of 65 bytes', file(4, start(1, 0), tensor('x'.repeat(65), [1], 0, 0)), 'the length of the name of tensor 0 is 65'],
  ['G32', 'tensor without a name', file(4, start(1, 0), tensor('', [1], 0, 0)), 'tensor 0 has no name'],
  ['G33', 'tensor twice', file(36, start(2, 0), tensor('a', [1], 0, 0), tensor('a', [1], 0, 32)), 'tensor "a" stands twice'],
  ['G34', 'rank 0', file(4, start(1, 0), tensor('a', [], 0, 0)), 'rank 0'],
  ['G35', 'rank 5', file(4, start(1, 0), tensor('a', [1, 1, 1, 1, 1], 0, 0)), 'rank 5'],
  ['G36', 'rank 2^32 - 1', file(4, start(1, 0), tensor('a', [1], 0, 0, 2 ** 32 - 1)), 'rank 4294967295'],
  ['G37', 'side of 0', file(0, start(1, 0), tensor('a', [0], 0, 0)), 'a side of 0'],
  ['G38', 'side of 2^63', file(4, start(1, 0), tensor('a', [2n ** 63n], 0, 0)), 'a side of tensor "a" is 9223372036854775808'],
  ['G39', 'sides whose product wraps to 0', file(4, start(1, 0), tensor('a', [2 ** 32, 2 ** 32], 0, 0)), 'or too large'],
  ['G40', 'unknown tensor type', file(4, start(1, 0), tensor('a', [1], 4, 0)), 'type 4, which is not known'],
  ['G41', 'rows that are no whole blocks', file(34, start(1, 0), tensor('a', [33], 8, 0)), 'no whole number of Q8_0 blocks'],
  ['G42', 'tensor larger than the file', file(4, start(1, 0), tensor('a', [2 ** 40], 0, 0)), 'more than the whole file'],
  ['G43', 'tensor cut by one byte', file(3, start(1, 0), tensor('a', [1], 0, 0)), 'the tensors end at byte'],
  ['G44', 'bytes behind the last tensor', file(33, start(1, 0), tensor('a', [1], 0, 0)), 'the tensors end at byte'],
  ['G45', 'hole', file(68, start(2, 0), tensor('a', [1], 0, 0), tensor('b', [1], 0, 64)), 'is at offset 64; 32 was expected'],
  ['G46', 'overlap', file(36, start(2, 0), tensor('a', [1], 0, 0), tensor('b', [1], 0, 0)), 'is at offset 0; 32 was expected'],
  ['G47', 'offset off its alignment', file(36, start(2, 0), tensor('a', [1], 0, 0), tensor('b', [1], 0, 4)), 'is at offset 4'],
  ['G48', 'offset 2^64 - 1', file(4, start(1, 0), tensor('a', [1], 0, 2n ** 64n - 1n)), 'the offset of tensor "a" is 18446744073709551615'],
  ['G49', 'table cut off', build(start(1, 0), text('a'), u32(1)), 'a side of tensor "a" needs 8 bytes'],
];

describe('named malformed files are refused, cheaply', () => {
  it.each(refused)('%s %s', async (_, name, bytes, message) => {
    const reader = new CountingReader(bytes);
    const began = cpuMs();
    const error: unknown = await openGguf(reader, name).then(
      () => new Error('it loaded'),
      (reason: unknown) => reason,
    );
    expect(isRefusal(error), String(error)).toBe(true);
    expect(String(error)).toContain(message);
    expect(cpuMs() - began).toBeLessThan(REJECT_MS);
    expect(reader.asked).toBeLessThanOrEqual(bytes.length);
  });

  it('G50 a huge file with a hostile header is asked for its first piece only', async () => {
    const reader = new CountingReader(build(start(2n ** 63n, 0), new Uint8Array(2 ** 20)), 2 ** 50);
    await expect(openGguf(reader, 'huge')).rejects.toMatchObject({ kind: 'format' });
    expect(reader.asked).toBe(2 ** 20);
  });

  it('loads the smallest file, and one with its last padding and without', async () => {
    await check(await openGguf(build(start(0, 0)), 'empty'), build(start(0, 0)));
    for (const data of [4, 31, 32]) {
      const bytes = file(data, start(1, 0), tensor('__proto__', [1], 0, 0));
      await check(await openGguf(bytes, 'padded'), bytes);
    }
  });
});

async function check(open: GgufFile, bytes: Uint8Array): Promise<void> {
  let last = 0;
  for (const info of open.tensors.values()) {
    if (ggmlBytes(info.dtype, info.shape) !== info.bytes || info.offset < last || info.offset % open.alignment !== 0) throw new Error(`table of ${info.name}`);
    last = info.offset + info.bytes;
    if (!sameBytes(await open.read(info.name), bytes.subarray(info.offset, last))) throw new Error(`bytes of ${info.name}`);
  }
}

async function valid(): Promise<Uint8Array<ArrayBuffer>> {
  const writer = new BytesWriter();
  await writeGguf(
    writer,
    new Map([
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['llama.block_count', { type: 'u32', value: 2 }],
      ['tokenizer.ggml.tokens', { type: 'array', element: 'string', value: ['<unk>', 'a', 'b'] }],
      ['tokenizer.ggml.scores', { type: 'array', element: 'f32', value: [0, -1, -2] }],
    ]),
    [
      { name: 'a', dtype: 'F32', shape: [4, 8], chunks: () => [new Uint8Array(128).fill(7)] },
      { name: 'b', dtype: 'F16', shape: [3], chunks: () => [new Uint8Array(6).fill(9)] },
    ],
  );
  return writer.bytes();
}

describe('truncation and fuzz', () => {
  it('every prefix is refused, but for one cut in the last padding', async () => {
    const bytes = await valid();
    for (let n = 0; n < bytes.length; n++) {
      const error: unknown = await openGguf(bytes.subarray(0, n), 'prefix').then(
        () => null,
        (reason: unknown) => reason,
      );
      if (n < bytes.length - 26) expect(isRefusal(error), `prefix of ${n}: ${String(error)}`).toBe(true);
      else expect(error).toBeNull();
    }
  });

  const count = Math.ceil(FUZZ_COUNT / 5);
  it(`${count} mutants`, { timeout: 60_000 + count }, async () => {
    const { loaded } = await fuzz('gguf', count, [await valid(), file(34, start(1, 0), tensor('q', [32], 8, 0))], async (bytes) => {
      await check(await openGguf(bytes, 'mutant'), bytes);
    });
    expect(loaded).toBeGreaterThan(0);
  });
});
