/**
 * Attacks on the safetensors reader; the numbers are those of README.md. Fixtures are built here,
 * not stored: a header as text and a buffer of zeros say what is wrong better than a binary file.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BytesWriter, joinBytes, sameBytes } from '../../src/formats/bytes.ts';
import { openSafetensors, type SafetensorsFile, tensorBytes } from '../../src/formats/safetensors.ts';
import { tensorEntry, writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { CountingReader, cpuMs, FUZZ_COUNT, fuzz, isRefusal, REJECT_MS } from './mutate.ts';

/** A file from header text, buffer length and, where it lies, the header length it claims. */
function file(header: string | Uint8Array, dataBytes = 0, claimed?: bigint): Uint8Array<ArrayBuffer> {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, claimed ?? BigInt(text.length), true);
  return joinBytes([length, text, new Uint8Array(dataBytes)]);
}

const tensor = (dtype: string, shape: string, begin: number | string, end: number | string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
const one = (dtype: string, shape: string, begin: number | string, end: number | string, dataBytes = 0) =>
  file(`{"a":${tensor(dtype, shape, begin, end)}}`, dataBytes);
const two = (a: string, b: string, dataBytes: number) => file(`{"a":${a},"b":${b}}`, dataBytes);
const deep = (n: number) => '['.repeat(n);

/** Number in README.md, name, file, part of the message. */
const refused: [string, string, Uint8Array, string][] = [
  ['S1', 'no bytes', new Uint8Array(), 'has 0 bytes in all'],
  ['S2', 'seven bytes', new Uint8Array(7), 'has 7 bytes in all'],
  ['S3', 'header length 0', file('', 0), 'the header is empty'],
  ['S4', 'header length past the file', file('{}', 0, 3n), 'only 2 follow'],
  ['S5', 'header length over the cap', file('{}', 0, 100_000_001n), 'at most 100000000 are allowed'],
  ['S6', 'header length 2^63', file('{}', 0, 2n ** 63n), 'claims 9223372036854775808 bytes'],
  ['S7', 'header length 2^64 - 1', file('{}', 0, 2n ** 64n - 1n), 'at most 100000000 are allowed'],
  ['S8', 'header that is no UTF-8', file(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])), 'not valid UTF-8'],
  ['S9', 'overlong UTF-8', file(new Uint8Array([0x7b, 0x22, 0xc0, 0xa2, 0x22, 0x7d])), 'not valid UTF-8'],
  ['S10', 'header that is no JSON', file('{what}'), 'expected a key'],
  ['S11', 'header cut off', file('{"a":{"dtype":"U8"'), 'expected "," or "}"'],
  ['S12', 'leading space', file(' {}'), 'must start with "{"'],
  ['S13', 'byte order mark', file('\ufeff{}'), 'must start with "{"'],
  ['S14', 'an array for a header', file('[]'), 'must start with "{"'],
  ['S15', 'text behind the header', file('{} x'), 'only spaces may follow'],
  ['S16', 'line feed behind the header', file('{}\n'), 'only spaces may follow'],
  ['S17', 'a second object', file('{}{}'), 'only spaces may follow'],
  ['S18', 'tensor name twice', two(tensor('U8', '[1]', 0, 1), tensor('U8', '[1]', 1, 2), 2).map((b) => (b === 98 ? 97 : b)), 'stands twice'],
  ['S19', 'tensor name twice, once escaped', file(`{"a":${tensor('U8', '[0]', 0, 0)},"\\u0061":${tensor('U8', '[0]', 0, 0)}}`), 'stands twice'],
  ['S20', 'dtype twice in a tensor', file('{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]}}', 1), 'stands twice'],
  ['S21', '__metadata__ twice', file('{"__metadata__":{},"__metadata__":{}}'), 'stands twice'],
  ['S22', 'metadata key twice', file('{"__metadata__":{"a":"1","a":"2"}}'), 'stands twice'],
  ['S23', 'overlap', two(tensor('U8', '[2]', 0, 2), tensor('U8', '[2]', 1, 3), 3), 'overlaps'],
  ['S24', 'two tensors over the same bytes', two(tensor('U8', '[2]', 0, 2), tensor('U8', '[2]', 0, 2), 2), 'overlaps'],
  ['S25', 'hole between tensors', two(tensor('U8', '[1]', 0, 1), tensor('U8', '[1]', 2, 3), 3), 'leaves a hole of 1'],
  ['S26', 'hole at the start', one('U8', '[1]', 1, 2, 2), 'leaves a hole of 1'],
  ['S27', 'bytes behind the last tensor', one('U8', '[1]', 0, 1, 2), 'cover 1 bytes, the file holds 2'],
  ['S28', 'bytes and no tensor', file('{}', 1), 'cover 0 bytes'],
  ['S29', 'tensor past the end', one('U8', '[2]', 0, 2, 1), 'claims bytes 0 to 2 of a buffer of 1'],
  ['S30', 'reversed offsets', one('U8', '[1]', 1, 0, 1), 'claims bytes 1 to 0'],
  ['S31', 'negative offset', one('U8', '[1]', -1, 0), 'not negative'],
  ['S32', 'fractional offset', one('U8', '[1]', 0, '1.0', 1), 'in digits only'],
  ['S33', 'offset with exponent', one('U8', '[1]', 0, '1e0', 1), 'in digits only'],
  ['S34', 'offset in quotes', one('U8', '[1]', 0, '"1"', 1), 'in digits only'],
  ['S35', 'offset with a leading zero', one('U8', '[1]', 0, '01', 1), 'needless zero'],
  ['S36', 'offset over 2^53', one('U8', '[1]', 0, '9007199254740993', 1), 'passes 2^53 - 1'],
  ['S37', 'offset of a thousand digits', one('U8', '[1]', 0, '9'.repeat(1000), 1), 'passes 2^53 - 1'],
  ['S38', 'one offset', file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1]}}', 1), 'has 1 data_offsets'],
  ['S39', 'three offsets', file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', 1), 'more than 2 numbers'],
  ['S40', 'shape whose product wraps 64 bits to the right size', one('U8', '[4294967296,4294967296,1]', 0, 0), 'more than can be counted'],
  ['S41', 'shape times width over 2^53', one('F64', '[4503599627370496]', 0, 0), 'more than can be counted'],
  ['S42', 'shape of one number over 2^53', one('U8', '[9007199254740992]', 0, 0), 'passes 2^53 - 1'],
  ['S43', 'overflow hidden behind a zero', one('U8', '[9007199254740991,9007199254740991,0]', 0, 0), 'more than can be counted'],
  ['S44', 'negative dimension', one('U8', '[-1]', 0, 0), 'not negative'],
  ['S45', 'shape smaller than the offsets', one('F32', '[1]', 0, 8, 8), 'need 4 bytes, its offsets give 8'],
  ['S46', 'half a byte', one('F4', '[1]', 0, 1, 1), 'no whole number of bytes'],
  ['S47', 'unknown dtype', one('F99', '[1]', 0, 1, 1), 'unknown dtype "F99"'],
  ['S48', 'dtype from the prototype', one('constructor', '[1]', 0, 1, 1), 'unknown dtype "constructor"'],
  ['S49', 'dtype in lower case', one('u8', '[1]', 0, 1, 1), 'unknown dtype "u8"'],
  ['S50', 'dtype that is no string', file('{"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}}', 1), 'expected a string'],
  ['S51', 'missing shape', file('{"a":{"dtype":"U8","data_offsets":[0,1]}}', 1), 'one is missing'],
  ['S52', 'empty tensor object', file('{"a":{}}'), 'one is missing'],
  ['S53', 'unknown field', file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}}'), 'unknown field "x"'],
  ['S54', '__proto__ as a field', file('{"a":{"__proto__":{"dtype":"U8"},"shape":[0],"data_offsets":[0,0]}}'), 'unknown field "__proto__"'],
  ['S55', 'null for a tensor', file('{"a":null}'), 'expected "{"'],
  ['S56', 'rank over the cap', one('U8', `[${'1,'.repeat(64)}1]`, 0, 1, 1), 'more than 64 numbers'],
  ['S57', 'metadata with a number', file('{"__metadata__":{"a":1}}'), 'strings only'],
  ['S58', 'metadata with an object', file('{"__metadata__":{"a":{}}}'), 'strings only'],
  ['S59', 'metadata that is null', file('{"__metadata__":null}'), 'expected "{"'],
  ['S60', '10,000 arrays deep', file(`{"a":${deep(10_000)}`), 'expected "{"'],
  ['S61', '1,000,000 deep in a shape', file(`{"a":{"shape":${deep(1_000_000)}`), 'whole number'],
  ['S62', 'deep objects in metadata', file(`{"__metadata__":${'{"a":'.repeat(10_000)}`), 'strings only'],
  ['S63', 'lone surrogate in a name', file(`{"\\ud800":${tensor('U8', '[0]', 0, 0)}}`), 'half of a surrogate pair'],
  ['S64', 'bare control character in a name', file(`{"a\n":${tensor('U8', '[0]', 0, 0)}}`), 'control character'],
  ['S65', 'bad escape in a name', file(`{"\\x41":${tensor('U8', '[0]', 0, 0)}}`), 'unknown escape'],
  ['S66', 'trailing comma', file(`{"a":${tensor('U8', '[0]', 0, 0)},}`), 'expected a key'],
  ['S67', 'a comment', file('{/**/}'), 'expected a key'],
];

describe('named malformed files are refused, cheaply, without allocating', () => {
  it.each(refused)('%s %s', async (_, name, bytes, message) => {
    const reader = new CountingReader(bytes);
    const start = cpuMs();
    const heap = process.memoryUsage();
    const error: unknown = await openSafetensors(reader, name).then(
      () => new Error('it loaded'),
      (reason: unknown) => reason,
    );
    const grown = process.memoryUsage();
    expect(isRefusal(error), String(error)).toBe(true);
    expect(String(error)).toContain(message);
    expect(String(error).length).toBeLessThan(1000);
    expect(cpuMs() - start).toBeLessThan(REJECT_MS);
    expect(reader.asked).toBeLessThanOrEqual(bytes.length);
    // Header text and its tokens; file size + 16 MB is the promise (garbage is counted as well).
    expect(grown.heapUsed + grown.arrayBuffers - heap.heapUsed - heap.arrayBuffers).toBeLessThan(bytes.length + 16e6);
  });

  it('has no number twice', () => {
    expect(new Set(refused.map(([number]) => number)).size).toBe(refused.length);
  });

  it('S68 a file that says it is huge is asked for no more than its first bytes', async () => {
    const reader = new CountingReader(file('{}', 0, 100_000_001n), 2 ** 50);
    await expect(openSafetensors(reader, 'huge')).rejects.toMatchObject({ kind: 'format' });
    expect(reader.asked).toBe(8);
  });

  it('S69 more tensors than the cap', async () => {
    const names = Array.from({ length: 200_001 }, (_, i) => `"${i}":${tensor('U8', '[0]', 0, 0)}`);
    await expect(openSafetensors(file(`{${names.join(',')}}`), 'many')).rejects.toThrow('more than 200000 tensors');
  });
});

describe('odd but legal files load', () => {
  it.each([
    ['no tensor', file('{}'), 0],
    ['no tensor, padded', file('{}      '), 0],
    ['scalar', one('F32', '[]', 0, 4, 4), 1],
    ['empty tensor', one('F32', '[0]', 0, 0), 1],
    ['empty tensor with a huge side', one('F32', '[0,9007199254740991]', 0, 0), 1],
    ['many empty tensors at one place', two(tensor('U8', '[0]', 0, 0), tensor('F64', '[3,0]', 0, 0), 0), 2],
    ['an empty tensor at the start of a full one', two(tensor('U8', '[2]', 0, 2), tensor('U8', '[0]', 0, 0), 2), 2],
    ['tensors out of order', two(tensor('U8', '[1]', 1, 2), tensor('U8', '[1]', 0, 1), 2), 2],
    ['white space between tokens', file(`{ "a" :\t${tensor('U8', '[ 0 ]', 0, 0)}\n}`), 1],
    ['metadata and no tensor', file('{"__metadata__":{"":"","__proto__":"x"}}'), 0],
    ['two 4-bit numbers in a byte', one('F4', '[2]', 0, 1, 1), 1],
  ])('%s', async (_, bytes, count) => {
    const open = await openSafetensors(bytes, 'legal');
    expect(open.tensors.size).toBe(count);
    await check(open, bytes);
  });

  it('S70 names such as __proto__ are plain names and touch no prototype', async () => {
    const names = ['__proto__', 'constructor', 'prototype', '../x', '/etc/passwd', 'toString', 'a\\u0000b'];
    const open = await openSafetensors(file(`{${names.map((name) => `"${name}":${tensor('U8', '[0]', 0, 0)}`).join(',')}}`), 'names');
    expect(open.tensors.size).toBe(names.length);
    expect(open.tensors.has('hasOwnProperty')).toBe(false);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
    expect(Object.getOwnPropertyNames(Object.prototype).length).toBe(12);
    expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  });
});

/** What must hold of any file that loads: sizes add up, and every tensor gives its own bytes. */
async function check(open: SafetensorsFile, bytes: Uint8Array): Promise<void> {
  let total = 0;
  for (const info of open.tensors.values()) {
    if (tensorBytes(info.dtype, info.shape) !== info.bytes) throw new Error(`size of ${info.name}`);
    const read = await open.read(info.name);
    if (!sameBytes(read, bytes.subarray(info.offset, info.offset + info.bytes))) throw new Error(`bytes of ${info.name}`);
    total += read.length;
  }
  const header = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (8 + header + total !== bytes.length) throw new Error(`${total} bytes in tensors, ${bytes.length} in the file, ${header} in the header`);
}

async function valid(dataBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const writer = new BytesWriter();
  const fill = (n: number) => Uint8Array.from({ length: n }, (_, i) => (i * 37) & 255);
  await writeSafetensors(
    writer,
    [
      tensorEntry('model.embed_tokens.weight', 'F32', [dataBytes / 8, 1], fill(dataBytes / 2)),
      tensorEntry('model.layers.0.w', 'BF16', [2, dataBytes / 8], fill(dataBytes / 2)),
      tensorEntry('scalar', 'I64', [], fill(8)),
      tensorEntry('empty', 'F16', [3, 0], fill(0)),
    ],
    { format: 'pt', note: 'a "quoted" note' },
  );
  return writer.bytes();
}

describe('truncation', () => {
  it('every prefix of a 4 KB file is refused', async () => {
    const bytes = await valid(3760);
    expect(bytes.length).toBeGreaterThanOrEqual(4096);
    await check(await openSafetensors(bytes, 'whole'), bytes);
    for (let n = 0; n < bytes.length; n++) {
      const error: unknown = await openSafetensors(bytes.subarray(0, n), 'prefix').catch((reason: unknown) => reason);
      expect(isRefusal(error), `prefix of ${n}`).toBe(true);
    }
  });
});

describe('fuzz', () => {
  it(`${FUZZ_COUNT} mutants`, { timeout: 60_000 + FUZZ_COUNT }, async () => {
    const seeds = [await valid(3760), await valid(64), file('{}'), one('F32', '[2,2]', 0, 16, 16), file('{"__metadata__":{"a":"b"}}')];
    const { loaded } = await fuzz('safetensors', FUZZ_COUNT, seeds, async (bytes) => {
      const reader = new CountingReader(bytes);
      const open = await openSafetensors(reader, 'mutant').finally(() => {
        if (reader.asked > bytes.length) throw new Error(`asked for ${reader.asked} bytes of ${bytes.length}`);
      });
      await check(open, bytes);
    });
    // Flips inside tensor data must load: a checksum is the manifest's business, not the format's.
    expect(loaded).toBeGreaterThan(0);
  });

  it('headers of random JSON', async () => {
    const runs = Math.max(100, Math.floor(FUZZ_COUNT / 50));
    await fc.assert(
      fc.asyncProperty(fc.json({ maxDepth: 4 }), fc.nat(64), async (json, dataBytes) => {
        const bytes = file(json, dataBytes);
        const result = await openSafetensors(bytes, 'json').catch((reason: unknown) => {
          expect(isRefusal(reason), String(reason)).toBe(true);
          return null;
        });
        if (result) await check(result, bytes);
      }),
      { numRuns: runs },
    );
  });
});
