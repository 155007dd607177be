/** safetensors: byte-equal writing, strict reading, partial rows. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isScionError } from '../base/errors.ts';
import { posixFiles } from '../host/posix.ts';
import { BytesWriter, bytesReader } from './bytes.ts';
import { DTYPE_BITS, encodeF32, type FileDtype } from './dtypes.ts';
import { openSafetensors, tensorBytes } from './safetensors.ts';
import { encodeSafetensorsHeader, layoutOrder, type TensorEntry, tensorEntry, writeSafetensors } from './safetensors-write.ts';

/** Written by the reference implementation (Python safetensors 0.8.0) from the tensors of `sample()`. */
const REFERENCE =
  'OAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJucCJ9LCJzIjp7ImR0eXBlIjoiSTY0Iiwic2hhcGUiOltdLCJkYXRhX29mZnNldHMiOlswLDhdfSwiYiI6eyJkdHlwZSI6' +
  'IkYzMiIsInNoYXBlIjpbMiwzXSwiZGF0YV9vZmZzZXRzIjpbOCwzMl19LCJlIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlswLDRdLCJkYXRhX29mZnNldHMiOlszMiwzMl19LCJhIjp7' +
  'ImR0eXBlIjoiRjE2Iiwic2hhcGUiOlszXSwiZGF0YV9vZmZzZXRzIjpbMzIsMzhdfSwidSI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlszXSwiZGF0YV9vZmZzZXRzIjpbMzgsNDFdfX0g' +
  'ICAgICAHAAAAAAAAAAAAIMAAAMC/AAAAvwAAAD8AAMA/AAAgQAA8AMD/ewECAw==';

const sample = (): TensorEntry[] => [
  tensorEntry('u', 'U8', [3], new Uint8Array([1, 2, 3])),
  tensorEntry('e', 'F32', [0, 4], new Uint8Array()),
  tensorEntry('s', 'I64', [], new Uint8Array([7, 0, 0, 0, 0, 0, 0, 0])),
  tensorEntry('a', 'F16', [3], encodeF32(new Float32Array([1, -2, 65504]), 'F16')),
  tensorEntry('b', 'F32', [2, 3], encodeF32(new Float32Array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]), 'F32')),
];

async function written(entries: TensorEntry[], metadata?: Record<string, string>): Promise<Uint8Array<ArrayBuffer>> {
  const writer = new BytesWriter();
  const total = await writeSafetensors(writer, entries, metadata);
  expect(total).toBe(writer.bytes().length);
  return writer.bytes();
}

describe('against the reference implementation', () => {
  it('writes the same bytes, whatever the order of the entries', async () => {
    for (const entries of [sample(), sample().reverse()]) {
      expect(Buffer.from(await written(entries, { format: 'np' })).toString('base64')).toBe(REFERENCE);
    }
  });

  it('orders element types as it does', () => {
    // From Python: save() of two zeros in each type lists d f e a c b g i h k j l.
    const types = { a: 'F32', b: 'I32', c: 'U32', d: 'I64', e: 'F64', f: 'U64', g: 'F16', h: 'I16', i: 'U16', j: 'U8', k: 'I8', l: 'BOOL' } as const;
    const entries = Object.entries(types).map(([name, dtype]) => tensorEntry(name, dtype, [0], new Uint8Array()));
    expect(
      layoutOrder(entries)
        .map((entry) => entry.name)
        .join(''),
    ).toBe('fdeacbgihkjl');
  });

  it('reads its file: names, shapes, scalar, empty tensor, metadata, values', async () => {
    const file = await openSafetensors(new Uint8Array(Buffer.from(REFERENCE, 'base64')), 'reference');
    expect([...file.tensors.keys()]).toEqual(['s', 'b', 'e', 'a', 'u']);
    expect(file.metadata).toEqual(new Map([['format', 'np']]));
    expect(file.info('s')).toMatchObject({ dtype: 'I64', shape: [], bytes: 8 });
    expect([...(await file.readF32('b'))]).toEqual([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]);
    expect([...(await file.readF32('a'))]).toEqual([1, -2, 65504]);
    expect([...(await file.readF32('e'))]).toEqual([]);
    expect([...(await file.read('u'))]).toEqual([1, 2, 3]);
    expect([...(await file.readRowsF32('b', 1, 1))]).toEqual([0.5, 1.5, 2.5]);
    expect([...(await file.readRows('e', 0, 0))]).toEqual([]);
  });

  it('reads a file that PyTorch wrote', async (context) => {
    const data = process.env.SCION_DATA;
    if (!data) {
      console.log('skipped: no SCION_DATA');
      context.skip();
      return;
    }
    const file = await openSafetensors(new Uint8Array(await readFile(join(data, 'models/safetensors_sample/multi_layer.safetensors'))), 'sample');
    expect(file.tensors.size).toBe(9);
    const scalar = [...file.tensors.values()].find((tensor) => tensor.shape.length === 0);
    expect(scalar?.dtype).toBe('I64');
    for (const { name, dtype, bytes } of file.tensors.values()) {
      if (dtype === 'F32') expect((await file.readF32(name)).length).toBe(bytes / 4);
    }
    await file.close();
  });
});

describe('openSafetensors', () => {
  it('converts BF16 and F64 to f32', async () => {
    const doubles = new Float64Array([0.1, -1e300, Number.NaN]);
    const file = await openSafetensors(
      await written([
        tensorEntry('d', 'F64', [3], new Uint8Array(doubles.buffer)),
        tensorEntry('h', 'BF16', [2], new Uint8Array(new Uint16Array([0x3fc0, 0xff80]).buffer)),
      ]),
      'floats',
    );
    expect([...(await file.readF32('d'))]).toEqual([Math.fround(0.1), Number.NEGATIVE_INFINITY, Number.NaN]);
    expect([...(await file.readF32('h'))]).toEqual([1.5, Number.NEGATIVE_INFINITY]);
  });

  it('says what was asked where a caller errs', async () => {
    const file = await openSafetensors(await written(sample()), 'x.safetensors');
    await expect(file.read('nope')).rejects.toThrow('x.safetensors has no tensor "nope"; it has 5 others');
    await expect(file.readF32('u')).rejects.toThrow('holds U8, which is not read as f32');
    await expect(file.readRows('b', 1, 2)).rejects.toThrow('rows 1 to 3 of tensor "b" were asked for; it has 2');
    await expect(file.readRows('b', 0.5, 1)).rejects.toThrow('rows 0.5');
    await expect(file.readRows('s', 0, 1)).rejects.toThrow('it has 0');
  });

  it('reads from a file on disk and notices that it was cut behind its back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'scion-'));
    try {
      const path = join(folder, 'a.safetensors');
      const bytes = await written(sample());
      await writeFile(path, bytes);
      const file = await openSafetensors(await posixFiles.open(path), path);
      expect([...(await file.readF32('a'))]).toEqual([1, -2, 65504]);
      await writeFile(path, bytes.slice(0, -2));
      await expect(file.read('u')).rejects.toThrow('was cut while it was read');
      await file.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('gives bytes that do not alias the source', async () => {
    const bytes = await written(sample());
    const file = await openSafetensors(bytes, 'x');
    (await file.read('u')).fill(9);
    expect([...(await file.read('u'))]).toEqual([1, 2, 3]);
  });
});

describe('writeSafetensors', () => {
  it('starts the data at a multiple of 8 for any length of header', () => {
    for (let n = 1; n < 20; n++) expect(encodeSafetensorsHeader([tensorEntry('x'.repeat(n), 'U8', [0], new Uint8Array())]).length % 8).toBe(0);
  });

  it('streams asynchronous chunks', async () => {
    async function* chunks() {
      yield new Uint8Array([1, 2]);
      await Promise.resolve();
      yield new Uint8Array();
      yield new Uint8Array([3]);
    }
    const file = await openSafetensors(await written([{ name: 'x', dtype: 'U8', shape: [3], chunks }]), 'x');
    expect([...(await file.read('x'))]).toEqual([1, 2, 3]);
  });

  it('refuses what a reader would refuse', async () => {
    const zero = new Uint8Array();
    await expect(written([tensorEntry('__metadata__', 'U8', [0], zero)])).rejects.toThrow('cannot be named "__metadata__"');
    await expect(written([tensorEntry('a', 'U8', [0], zero), tensorEntry('a', 'F32', [0], zero)])).rejects.toThrow('"a" is given twice');
    await expect(written([tensorEntry('\ud800', 'U8', [0], zero)])).rejects.toThrow('cannot be named');
    await expect(written([tensorEntry('a', 'U8', [-1], zero)])).rejects.toThrow('cannot have shape [-1]');
    await expect(written([tensorEntry('a', 'F32', [2 ** 52, 8], zero)])).rejects.toThrow('cannot have shape');
    await expect(written([tensorEntry('a', 'F4', [3], zero)])).rejects.toThrow('cannot have shape [3]');
    await expect(written([], { k: '\udfff' })).rejects.toThrow('must be a well-formed string');
  });

  it('refuses too few and too many bytes', async () => {
    await expect(written([tensorEntry('a', 'U8', [2], new Uint8Array(1))])).rejects.toThrow('gives 1 bytes, its shape needs 2');
    await expect(written([tensorEntry('a', 'U8', [2], new Uint8Array(3))])).rejects.toThrow('more than the 2 bytes');
  });

  it('round-trips any names, types, shapes, bytes and metadata', async () => {
    const dtypes = Object.keys(DTYPE_BITS) as FileDtype[];
    const entry = fc
      .record({
        name: fc.string({ unit: 'binary', maxLength: 12 }),
        dtype: fc.constantFrom(...dtypes),
        shape: fc.array(fc.nat(5), { maxLength: 4 }),
        fill: fc.nat(255),
      })
      .filter(({ name, dtype, shape }) => name !== '__metadata__' && tensorBytes(dtype, shape) !== null);
    const all = fc.uniqueArray(entry, { selector: (one) => one.name, maxLength: 6 });
    const meta = fc.dictionary(fc.string({ unit: 'binary', maxLength: 6 }), fc.string({ unit: 'binary', maxLength: 6 }), { maxKeys: 3 });
    await fc.assert(
      fc.asyncProperty(all, meta, async (tensors, metadata) => {
        const content = new Map(tensors.map(({ name, dtype, shape, fill }, i) => [name, new Uint8Array(tensorBytes(dtype, shape) ?? 0).fill(fill ^ i)]));
        const bytes = await written(
          tensors.map(({ name, dtype, shape }) => tensorEntry(name, dtype, shape, content.get(name) ?? new Uint8Array())),
          metadata,
        );
        const file = await openSafetensors(bytesReader(bytes), 'x');
        expect(file.metadata).toEqual(new Map(Object.entries(metadata)));
        expect(file.tensors.size).toBe(tensors.length);
        for (const { name, dtype, shape } of tensors) {
          expect(file.info(name)).toMatchObject({ dtype, shape });
          expect(await file.read(name)).toEqual(content.get(name));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('keeps hostile names as plain names', async () => {
    const names = ['__proto__', 'constructor', '../x', 'toString', '', 'a"\\\n\u0000'];
    const file = await openSafetensors(await written(names.map((name, i) => tensorEntry(name, 'U8', [1], new Uint8Array([i])))), 'x');
    for (const [i, name] of names.entries()) expect([...(await file.read(name))]).toEqual([i]);
    expect(Object.keys(Object.prototype)).toEqual([]);
    await expect(file.read('valueOf')).rejects.toSatisfy((error) => isScionError(error, 'input'));
  });
});
