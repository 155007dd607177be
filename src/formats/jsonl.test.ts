/** JSON Lines: byte offsets, line caps, damaged lines. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BytesWriter, bytesReader } from './bytes.ts';
import { type JsonLine, JsonlWriter, type Line, type LineOptions, readJsonl, readLines } from './jsonl.ts';

const encode = (text: string) => new TextEncoder().encode(text);

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

async function* chunked(bytes: Uint8Array, size: number) {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

async function lines(text: string | Uint8Array, options: Partial<LineOptions> = {}): Promise<Line[]> {
  return collect(readLines(bytesReader(typeof text === 'string' ? encode(text) : text), { name: 'f', ...options }));
}

async function values(text: string): Promise<JsonLine[]> {
  return collect(readJsonl(bytesReader(encode(text)), { name: 'f.jsonl' }));
}

describe('readLines', () => {
  it('gives text, number and offsets in bytes', async () => {
    expect(await lines('a\n\né\r\nz')).toEqual([
      { text: 'a', line: 1, offset: 0, next: 2 },
      { text: '', line: 2, offset: 2, next: 3 },
      { text: 'é', line: 3, offset: 3, next: 7 },
      { text: 'z', line: 4, offset: 7, next: 8 },
    ]);
    expect(await lines('')).toEqual([]);
    expect((await lines('a\n')).length).toBe(1);
  });

  it('drops a byte order mark at the very start only', async () => {
    expect((await lines('\ufeffa\n\ufeffb')).map((line) => line.text)).toEqual(['a', '\ufeffb']);
  });

  it('does not depend on how the bytes are cut, and goes on at any line', async () => {
    const text = fc.array(
      fc.string({ unit: 'binary', maxLength: 9 }).filter((s) => s.isWellFormed() && !/[\n\r\ufeff]/.test(s)),
      { minLength: 1, maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 7 }), fc.boolean(), async (parts, size, ended) => {
        const bytes = encode(parts.join('\n') + (ended ? '\n' : ''));
        const whole = await lines(bytes);
        expect(await collect(readLines(chunked(bytes, size), { name: 'f' }))).toEqual(whole);
        expect(whole.map((line) => line.text)).toEqual(ended || parts[parts.length - 1] !== '' ? parts : parts.slice(0, -1));
        for (const [i, { next }] of whole.entries()) expect(await lines(bytes, { offset: next, line: i + 2 })).toEqual(whole.slice(i + 1));
      }),
      { numRuns: 200 },
    );
  });

  it('refuses a line over the cap, exactly', async () => {
    expect((await lines('12345\r\n12345', { maxLineBytes: 5 })).length).toBe(2);
    await expect(lines('ok\n123456\n', { maxLineBytes: 5 })).rejects.toThrow('f:2: a line of more than 5 bytes, from byte 3 on');
    await expect(lines('123456', { maxLineBytes: 5 })).rejects.toThrow('f:1: a line of more than 5');
  });

  it('stops an endless line at the cap', async () => {
    let given = 0;
    async function* endless() {
      for (;;) {
        given += 65536;
        yield new Uint8Array(65536).fill(65);
      }
    }
    await expect(readLines(endless(), { name: 'f', maxLineBytes: 2 ** 20 }).next()).rejects.toMatchObject({ kind: 'format' });
    expect(given).toBeLessThanOrEqual(2 ** 20 + 2 * 65536);
  });

  it('refuses bytes that are no UTF-8, with the line', async () => {
    await expect(lines(new Uint8Array([65, 10, 0xc0, 0x80, 10]))).rejects.toThrow('f:2: line at byte 2: not valid UTF-8');
  });

  it('refuses a start that is not in the file', async () => {
    await expect(lines('abc', { offset: 4 })).rejects.toMatchObject({ kind: 'input' });
    await expect(lines('abc', { offset: -1 })).rejects.toMatchObject({ kind: 'input' });
    await expect(readLines(chunked(encode('abc'), 1), { name: 'f', offset: 1 }).next()).rejects.toMatchObject({ kind: 'input' });
  });
});

describe('readJsonl', () => {
  it('skips blank lines and keeps line numbers', async () => {
    expect((await values('{"a":1}\n \n[2]\n')).map(({ value, line }) => [value, line])).toEqual([
      [{ a: 1 }, 1],
      [[2], 3],
    ]);
  });

  it('names file and line of what is no JSON', async () => {
    await expect(values('{}\n{"a":\n')).rejects.toThrow('f.jsonl:2: not JSON');
  });

  it('refuses deep nesting', async () => {
    await expect(values('['.repeat(10_000))).rejects.toThrow('f.jsonl:1: JSON nested more than 512 deep');
    expect((await values(`${'['.repeat(512)}${']'.repeat(512)}`)).length).toBe(1);
    expect((await values(JSON.stringify('['.repeat(10_000)))).length).toBe(1);
  });

  it('touches no prototype', async () => {
    const [{ value }] = await values('{"__proto__":{"polluted":true}}');
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect('polluted' in {}).toBe(false);
  });
});

describe('JsonlWriter', () => {
  it('writes what readJsonl reads', async () => {
    const sink = new BytesWriter();
    const writer = new JsonlWriter(sink);
    const all = [{ text: 'a\nb\u2028"\ud800' }, [1, null], 'x'.repeat(2 ** 20), 5];
    for (const value of all) await writer.write(value);
    await writer.sync();
    await writer.close();
    expect(sink.bytes().length).toBe(writer.bytes);
    const read = await collect(readJsonl(bytesReader(sink.bytes()), { name: 'f' }));
    expect(read.map(({ value }) => value)).toEqual(all);
  });

  it('refuses what JSON cannot hold', async () => {
    await expect(new JsonlWriter(new BytesWriter()).write(undefined)).rejects.toMatchObject({ kind: 'input' });
  });
});
