/** gzip streams: round trips, caps on size and ratio, damaged input. */
import { gunzipSync, gzipSync, constants as zlibConstants, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { joinBytes } from './bytes.ts';
import { gunzip, gzip, unzstd, unzstdFrame } from './compress.ts';
import { zstdFrames } from './zstd-frames.ts';

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

/** The same file through the decoder in JavaScript, as a page reads it. */
async function unzstdInPage(bytes: Uint8Array): Promise<Uint8Array> {
  const out: Uint8Array[] = [];
  for await (const frame of zstdFrames(chunks(bytes, 1000), 'f.zst')) out.push(await collect(unzstdFrame(frame, { out: () => undefined })));
  return joinBytes(out);
}

describe('unzstd', () => {
  const words = new TextEncoder().encode(Array.from({ length: 40_000 }, (_, i) => `word${(i * 7919) % 997} `).join(''));
  const checksummed = { params: { [zlibConstants.ZSTD_c_checksumFlag]: 1 } };

  it.each([
    ['noise', noise, {}],
    ['words, with a checksum', words, checksummed],
    ['one byte a thousand times', new Uint8Array(1000).fill(7), {}],
    ['three bytes', Uint8Array.of(1, 2, 3), checksummed],
    ['nothing', new Uint8Array(), {}],
  ])('unpacks %s, natively and in JavaScript', async (_, plain, params) => {
    const packed = zstdCompressSync(plain, params);
    expect(Buffer.compare(await collect(unzstd(chunks(packed, 1000), { name: 'f.zst' })), plain)).toBe(0);
    expect(Buffer.compare(await unzstdInPage(packed), plain)).toBe(0);
  });

  it('unpacks every frame of a file and passes over skippable ones', async () => {
    const skippable = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5]);
    const packed = Buffer.concat([zstdCompressSync('abc'), skippable, zstdCompressSync('def', checksummed), skippable]);
    expect(Buffer.from(await collect(unzstd([packed], { name: 'f.zst' }))).toString()).toBe('abcdef');
    expect(Buffer.from(await unzstdInPage(packed)).toString()).toBe('abcdef');
  });

  it('stops at the caps of size and ratio', async () => {
    await expect(collect(unzstd([zstdCompressSync(noise)], { name: 'f.zst', maxBytes: 100_000 }))).rejects.toMatchObject({ kind: 'format' });
    const bomb = zstdCompressSync(new Uint8Array(64 * 2 ** 20));
    let out = 0;
    const run = async () => {
      for await (const chunk of unzstd([bomb], { name: 'f.zst' })) out += chunk.length;
    };
    await expect(run()).rejects.toMatchObject({ kind: 'format', message: expect.stringContaining('more than 200 times') });
    expect(out).toBeLessThanOrEqual(2 ** 20 + 200 * bomb.length);
  });

  it('refuses every truncation', async () => {
    const packed = zstdCompressSync(words.subarray(0, 3000), checksummed);
    for (let n = 0; n < packed.length; n++) {
      await expect(collect(unzstd([packed.subarray(0, n)], { name: 'f.zst' })), `${n} bytes`).rejects.toMatchObject({ kind: 'format' });
    }
  });

  it.each([
    ['other data', new TextEncoder().encode('plain text')],
    ['bytes behind the end', Buffer.concat([zstdCompressSync('abc'), Buffer.from('junk')])],
    ['a window of 2 TiB', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0)],
    ['a dictionary', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x21, 9, 0, 1, 0, 0)],
    ['a reserved block', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 7, 0, 0)],
    ['a block over 128 KiB', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 3, 0, 0x20, 65)],
  ])('refuses %s', async (_, bytes) => {
    await expect(collect(unzstd([bytes], { name: 'f.zst' }))).rejects.toMatchObject({ kind: 'format' });
    await expect(unzstdInPage(bytes)).rejects.toMatchObject({ kind: 'format' });
  });

  const count = process.env.SCION_TIER === 'full' ? 20_000 : 1000;
  it('gives the text or a format error for damaged files', { timeout: 60_000 + 20 * count }, async () => {
    const plain = words.subarray(0, 5000);
    const packed = zstdCompressSync(plain, checksummed);
    for (let n = 0; n < count; n++) {
      const bytes = Uint8Array.from(packed);
      bytes[(n * 7919) % bytes.length] ^= 1 + ((n * 31) % 255);
      try {
        expect(Buffer.compare(await collect(unzstd([bytes], { name: 'f.zst' })), plain)).toBe(0);
      } catch (error) {
        expect(error).toMatchObject({ kind: 'format' });
      }
    }
  });
});
