/** GGUF: reading and writing against bytes of the reference package. */
import { describe, expect, it } from 'vitest';
import { BytesWriter } from './bytes.ts';
import { encodeF32 } from './dtypes.ts';
import { GGML_TYPES, type GgufValue, ggmlBytes, openGguf } from './gguf.ts';
import { type GgufEntry, writeGguf } from './gguf-write.ts';

/** Written by the Python package gguf 0.19.0: nine keys, tensors F32, F16 and Q8_0. */
const REFERENCE =
  'R0dVRgMAAAADAAAAAAAAAAkAAAAAAAAAFAAAAAAAAABnZW5lcmFsLmFyY2hpdGVjdHVyZQgAAAAFAAAAAAAAAGxsYW1hEQAAAAAAAABsbGFtYS5ibG9ja19jb3VudAQAAAACAAAACQAA' +
  'AAAAAABsbGFtYS5lcHMGAAAArMUnNwEAAAAAAAAAYgcAAAABDAAAAAAAAABnZW5lcmFsLm5hbWUIAAAAAwAAAAAAAADmsLQVAAAAAAAAAHRva2VuaXplci5nZ21sLnRva2VucwkAAAAI' +
  'AAAAAgAAAAAAAAAFAAAAAAAAADx1bms+AQAAAAAAAABhAwAAAAAAAABpZHMJAAAABQAAAAMAAAAAAAAAAQAAAP7///8DAAAAAwAAAAAAAABiaWcKAAAAAAAAAAAAABAFAAAAAAAAAHNt' +
  'YWxsAQAAAP0RAAAAAAAAAHRva2VuX2VtYmQud2VpZ2h0AgAAAAMAAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAABAAAAAAAAAGgBAAAAAwAAAAAAAAABAAAAIAAAAAAAAAABAAAAAAAA' +
  'AHECAAAAIAAAAAAAAAACAAAAAAAAAAgAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgwAAAwL8AAAC/AAAAPwAAwD8AACBAAAAAAAAAAAAAPADA/3sAAAAAAAAA' +
  'AAAAAAAAAAAAAAAAAAAAAAAAAAgggYWJjZGVmZ2hpamtsbW5vcLGys7S1tre4ubq7vL2+v4IIAIGCg4SFhoeIiYqLjI2Oj5DR0tPU1dbX2Nna29zd3t/AAAAAAAAAAAAAAAAAAAAAAAA' +
  'AAAAAAAAAAAAAA==';

const reference = () => new Uint8Array(Buffer.from(REFERENCE, 'base64'));

const entry = (name: string, dtype: GgufEntry['dtype'], shape: number[], values: number[]): GgufEntry => ({
  name,
  dtype,
  shape,
  chunks: () => [encodeF32(Float32Array.from(values), dtype)],
});

async function written(metadata: ReadonlyMap<string, GgufValue>, entries: GgufEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  const writer = new BytesWriter();
  const total = await writeGguf(writer, metadata, entries);
  expect(writer.bytes().length).toBe(total);
  return writer.bytes();
}

describe('openGguf', () => {
  it('reads what the reference writer wrote', async () => {
    const file = await openGguf(reference(), 'reference.gguf');
    expect(file.version).toBe(3);
    expect(file.metadata.get('general.architecture')).toEqual({ type: 'string', value: 'llama' });
    expect(file.metadata.get('llama.block_count')).toEqual({ type: 'u32', value: 2 });
    expect(file.metadata.get('llama.eps')).toEqual({ type: 'f32', value: Math.fround(1e-5) });
    expect(file.metadata.get('b')).toEqual({ type: 'bool', value: true });
    expect(file.metadata.get('general.name')).toEqual({ type: 'string', value: '水' });
    expect(file.metadata.get('tokenizer.ggml.tokens')).toEqual({ type: 'array', element: 'string', value: ['<unk>', 'a'] });
    expect(file.metadata.get('ids')).toEqual({ type: 'array', element: 'i32', value: [1, -2, 3] });
    expect(file.metadata.get('big')).toEqual({ type: 'u64', value: 2n ** 60n });
    expect(file.metadata.get('small')).toEqual({ type: 'i8', value: -3 });
    expect(file.info('token_embd.weight')).toMatchObject({ dtype: 'F32', shape: [2, 3], bytes: 24 });
    expect([...(await file.readF32('token_embd.weight'))]).toEqual([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]);
    expect([...(await file.readF32('h'))]).toEqual([1, -2, 65504]);
    const q = await file.readF32('q');
    // Dequantised by the Python package.
    expect([...q.slice(0, 3)]).toEqual([-0.99993896484375, -0.96844482421875, -0.93695068359375]);
    expect([...q.slice(62)]).toEqual([0.96844482421875, 0.99993896484375]);
    await expect(file.read('none')).rejects.toMatchObject({ kind: 'input' });
    await file.close();
  });

  it('reads a header longer than its first piece', async () => {
    const words = Array.from({ length: 120_000 }, (_, i) => `word${i}`);
    const bytes = await written(new Map([['tokens', { type: 'array', element: 'string', value: words }]]), [entry('a', 'F32', [1], [5])]);
    expect(bytes.length).toBeGreaterThan(2 ** 20);
    const file = await openGguf(bytes, 'long.gguf');
    expect(file.metadata.get('tokens')?.value).toEqual(words);
    expect([...(await file.readF32('a'))]).toEqual([5]);
  });

  it('knows the sizes of quantised types it does not decode', async () => {
    expect(ggmlBytes('Q4_K', [2, 512])).toBe(2 * 2 * 144);
    expect(ggmlBytes('Q4_K', [512, 2])).toBeNull();
    expect(ggmlBytes('F64', [2 ** 51])).toBeNull();
    expect(new Set(Object.values(GGML_TYPES).map(({ id }) => id)).size).toBe(Object.keys(GGML_TYPES).length);
  });
});

describe('writeGguf', () => {
  it('writes every type so that it reads back', async () => {
    const metadata = new Map<string, GgufValue>([
      ['u8', { type: 'u8', value: 255 }],
      ['i8', { type: 'i8', value: -128 }],
      ['u16', { type: 'u16', value: 65535 }],
      ['i16', { type: 'i16', value: -32768 }],
      ['u32', { type: 'u32', value: 2 ** 32 - 1 }],
      ['i32', { type: 'i32', value: -(2 ** 31) }],
      ['f32', { type: 'f32', value: 0.5 }],
      ['f64', { type: 'f64', value: 0.1 }],
      ['u64', { type: 'u64', value: 2n ** 64n - 1n }],
      ['i64', { type: 'i64', value: -(2n ** 63n) }],
      ['no', { type: 'bool', value: false }],
      ['text', { type: 'string', value: '水\n' }],
      ['none', { type: 'array', element: 'f32', value: [] }],
      ['flags', { type: 'array', element: 'bool', value: [true, false] }],
    ]);
    const bytes = await written(metadata, [
      entry('a', 'F32', [2, 2], [1, 2, 3, 4]),
      entry('b', 'F16', [3], [1, 2, 3]),
      entry('c', 'BF16', [1, 1, 1, 2], [5, -6]),
    ]);
    const file = await openGguf(bytes, 'all.gguf');
    expect(new Map(file.metadata)).toEqual(metadata);
    expect([...(await file.readF32('a'))]).toEqual([1, 2, 3, 4]);
    expect([...(await file.readF32('b'))]).toEqual([1, 2, 3]);
    expect([...(await file.readF32('c'))]).toEqual([5, -6]);
    expect(file.info('c').shape).toEqual([1, 1, 1, 2]);
    for (const { offset } of file.tensors.values()) expect(offset % 32).toBe(0);
  });

  it('writes the bytes of the reference writer', async () => {
    const source = await openGguf(reference(), 'reference.gguf');
    const bytes = await written(source.metadata, [
      entry('token_embd.weight', 'F32', [2, 3], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]),
      entry('h', 'F16', [3], [1, -2, 65504]),
    ]);
    // All but the counts and the table's third tensor: the metadata lies in the same order and place.
    const end = Buffer.from(reference()).indexOf('token_embd.weight') + 40;
    expect(Buffer.compare(bytes.subarray(16, end), reference().subarray(16, end))).toBe(0);
  });

  it.each([
    ['a number out of range', { type: 'u8', value: 256 }],
    ['a fraction', { type: 'i32', value: 0.5 }],
    ['a number for a 64-bit integer', { type: 'u64', value: 5 }],
    ['a text for a number', { type: 'f32', value: 'x' }],
    ['half a surrogate pair', { type: 'string', value: '\ud800' }],
  ] as const)('refuses %s', async (_, value) => {
    await expect(written(new Map([['key', value]]), [])).rejects.toMatchObject({ kind: 'input', message: expect.stringContaining('GGUF key "key"') });
  });

  it('refuses tensors that ggml cannot hold', async () => {
    const none = new Map<string, GgufValue>();
    await expect(written(none, [entry('', 'F32', [1], [1])])).rejects.toThrow('cannot be named');
    await expect(written(none, [entry('x'.repeat(64), 'F32', [1], [1])])).rejects.toThrow('cannot be named');
    await expect(written(none, [entry('a', 'F32', [0], [])])).rejects.toThrow('cannot have shape [0]');
    await expect(written(none, [entry('a', 'F32', [1, 1, 1, 1, 1], [1])])).rejects.toThrow('cannot have shape');
    await expect(written(none, [entry('a', 'F32', [1], [1]), entry('a', 'F32', [1], [1])])).rejects.toThrow('given twice');
    await expect(written(none, [entry('a', 'F32', [2], [1])])).rejects.toThrow('gives 4 bytes, its shape needs 8');
    await expect(written(none, [entry('a', 'F32', [1], [1, 2])])).rejects.toThrow('gives more than the 4 bytes');
    await expect(written(new Map([['general.alignment', { type: 'u32', value: 64 }]]), [])).rejects.toThrow('set by the writer');
  });
});
