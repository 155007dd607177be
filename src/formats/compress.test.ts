/** gzip streams: round trips, caps on size and ratio, damaged input. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { joinBytes } from './bytes.ts';
import { gunzip, gzip } from './compress.ts';

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return joinBytes(parts);
}

async function* chunks(bytes: Uint8Array, size: number) {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

const noise = Uint8Array.from({ length: 200_000 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255);
const options = { name: 'f.gz' };

describe('gunzip', () => {
  it.each([1000, 65_536])('unpacks what zlib packed, in chunks of %d', async (size) => {
    expect(Buffer.compare(await collect(gunzip(chunks(gzipSync(noise), size), options)), noise)).toBe(0);
  });

  it('unpacks the empty file', async () => {
    expect((await collect(gunzip([gzipSync('')], options))).length).toBe(0);
  });

  it('stops at the size cap', async () => {
    const failed = expect(collect(gunzip([gzipSync(noise)], { ...options, maxBytes: 100_000 }))).rejects;
    await failed.toMatchObject({ kind: 'format', message: expect.stringContaining('more than 100000 bytes') });
  });

  it('stops a bomb at the ratio cap', async () => {
    const bomb = gzipSync(new Uint8Array(64 * 2 ** 20)); // ratio about 1000
    let out = 0;
    const run = async () => {
      for await (const chunk of gunzip([bomb], options)) out += chunk.length;
    };
    await expect(run()).rejects.toMatchObject({ kind: 'format', message: expect.stringContaining('more than 200 times') });
    expect(out).toBeLessThanOrEqual(200 * bomb.length);
  });

  it('lets small regular files pass', async () => {
    expect((await collect(gunzip([gzipSync(new Uint8Array(2 ** 20))], options))).length).toBe(2 ** 20);
  });

  it('refuses every truncation of a small file', async () => {
    const packed = gzipSync('hello, hello, hello');
    for (let n = 0; n < packed.length; n++) await expect(collect(gunzip([packed.subarray(0, n)], options))).rejects.toMatchObject({ kind: 'format' });
  });

  it.each([
    ['other data', new TextEncoder().encode('plain text')],
    ['a wrong checksum', new Uint8Array(gzipSync('abc')).fill(0, -8, -4)],
    ['bytes behind the end', Buffer.concat([gzipSync('abc'), Buffer.from('junk')])],
    ['a second member', Buffer.concat([gzipSync('abc'), gzipSync('def')])],
  ])('refuses %s', async (_, bytes) => {
    await expect(collect(gunzip([bytes], options))).rejects.toMatchObject({ kind: 'format' });
  });

  it('passes errors of the source on', async () => {
    async function* broken() {
      yield gzipSync(noise).subarray(0, 1000);
      throw new Error('disk gone');
    }
    await expect(collect(gunzip(broken(), options))).rejects.toThrow('disk gone');
  });

  it('closes the source when the reader stops early', async () => {
    let closed = false;
    async function* source() {
      try {
        yield* chunks(gzipSync(noise), 1000);
      } finally {
        closed = true;
      }
    }
    for await (const _ of gunzip(source(), options)) break;
    expect(closed).toBe(true);
  });
});

describe('gzip', () => {
  it('packs what zlib unpacks', async () => {
    expect(Buffer.compare(gunzipSync(await collect(gzip(chunks(noise, 7777)))), noise)).toBe(0);
  });
});
