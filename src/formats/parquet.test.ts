/**
 * Parquet tables against pyarrow: each golden file's rows, whole and by column. Then hostile files: every
 * truncation, damaged bytes by the thousand, headers that promise gigabytes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import type { FileReader } from '../host/types.ts';
import { bytesReader } from './bytes.ts';
import { openParquet, type ParquetOptions } from './parquet.ts';

const GOLDEN = resolve(import.meta.dirname, '../../test/golden/tables');
const names = readdirSync(GOLDEN)
  .filter((name) => name.endsWith('.parquet'))
  .map((name) => name.replace('.parquet', ''));
const golden = JSON.parse(readFileSync(join(GOLDEN, 'rows.json'), 'utf8')) as Record<string, Record<string, unknown>[]>;
const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(join(GOLDEN, `${name}.parquet`)));

async function rowsOf(source: Uint8Array | FileReader, options: Partial<ParquetOptions> = {}, columns?: string[]): Promise<Record<string, unknown>[]> {
  const table = await openParquet(source instanceof Uint8Array ? bytesReader(source) : source, { name: 'f.parquet', ...options });
  const rows: Record<string, unknown>[] = [];
  for await (const row of table.rows(columns ?? table.columns)) rows.push(row);
  return rows;
}

/** JSON has no bigints and no absent values inside lists. */
const plain = (rows: unknown): unknown => JSON.parse(JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? Number(value) : (value ?? null))));

describe('openParquet', () => {
  it('has a golden file for every codec', () => {
    expect(names.length).toBe(14);
  });

  it.each(names)('%s: the rows that pyarrow reads', async (name) => {
    const table = await openParquet(bytesReader(bytesOf(name)), { name });
    expect(table.rowCount).toBe(golden[name].length);
    expect(plain(await rowsOf(bytesOf(name)))).toEqual(golden[name]);
  });

  it('reads the asked columns only', async () => {
    const bytes = bytesOf('flat-none');
    let read = 0;
    const whole = bytesReader(bytes);
    const counting: FileReader = {
      ...whole,
      read(offset, length) {
        read += length;
        return whole.read(offset, length);
      },
    };
    expect(plain(await rowsOf(counting, {}, ['category']))).toEqual(golden['flat-none'].map(({ category }) => ({ category })));
    // The footer is about half of so small a file; the columns left out are most of the rest.
    expect(read).toBeLessThan(0.75 * bytes.length);
  });

  it('refuses an unknown column by name', async () => {
    await expect(rowsOf(bytesOf('pairs'), {}, ['body'])).rejects.toMatchObject({ kind: 'input', message: expect.stringContaining('source, target, category') });
  });

  it('stops at the size of a row group and at the ratio', async () => {
    await expect(rowsOf(bytesOf('flat-gzip'), { maxGroupBytes: 500 })).rejects.toMatchObject({
      kind: 'format',
      message: expect.stringContaining('row groups'),
    });
    const page = (data: string[]) => new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'text', data, type: 'STRING', encoding: 'PLAIN' }] }));
    const bomb = page(Array.from({ length: 20 }, () => 'a'.repeat(300_000)));
    await expect(rowsOf(bomb, { maxRatio: 10 })).rejects.toMatchObject({ kind: 'format', message: expect.stringContaining('bomb') });
    expect((await rowsOf(bomb)).length).toBe(20);
  });

  it('refuses every truncation', async () => {
    const bytes = bytesOf('chats-v2');
    for (let n = 0; n < bytes.length; n++) await expect(rowsOf(bytes.slice(0, n)), `${n} bytes`).rejects.toMatchObject({ kind: 'format' });
  });

  it('names other files for what they are', async () => {
    await expect(rowsOf(new TextEncoder().encode('{"text": "not a table"}'))).rejects.toMatchObject({
      kind: 'format',
      message: expect.stringContaining('PAR1'),
    });
    const encrypted = bytesOf('pairs');
    encrypted.set(new TextEncoder().encode('PARE'), encrypted.length - 4);
    await expect(rowsOf(encrypted)).rejects.toMatchObject({ kind: 'format', message: expect.stringContaining('encrypted') });
  });

  it.each(names)('%s: rows or a format error for damaged bytes', { timeout: 600_000 }, async (name) => {
    const whole = bytesOf(name);
    // brotli in JavaScript takes about 10 ms a page.
    const count = (process.env.SCION_TIER === 'full' ? 5000 : 500) / (name === 'flat-brotli' ? 10 : 1);
    let refused = 0;
    for (let n = 0; n < count; n++) {
      const bytes = whole.slice();
      const at = (Math.imul(n + 1, 2654435761) >>> 0) % bytes.length;
      bytes[at] = n % 4 === 0 ? 0xff : bytes[at] ^ (1 + (n % 255));
      try {
        await rowsOf(bytes, { maxGroupBytes: 2 ** 24 });
      } catch (error) {
        expect(error, `${name}, change ${n} at byte ${at}`).toMatchObject({ kind: 'format' });
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });
});
