/**
 * One set of documents in every kind of file that is read, packed and not: the texts must be the same. Then
 * the caps, and columns under other names.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { posixFiles as files } from '../host/posix.ts';
import { type DocumentOptions, readDocuments } from './documents.ts';
import { dataFileOf } from './file-kinds.ts';
import { parseColumnNames } from './records.ts';

const GOLDEN = resolve(import.meta.dirname, '../../test/golden/tables');
let root = '';
const put = (name: string, content: Uint8Array | string): string => {
  const path = join(root, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
};
const read = (path: string, options?: DocumentOptions) => readDocuments(files, [path], options);
const texts = async (path: string, options?: DocumentOptions) => (await read(path, options)).documents.map(({ text, category }) => [text, category]);

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'scion-kinds-'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const records = Array.from({ length: 300 }, (_, i) => ({ text: `文档 ${i}, "quoted"\nline ${i * i}`, category: i % 2 ? 'odd' : 'even' }));
const expected = records.map(({ text, category }) => [text, category]);

describe('kinds of files', () => {
  it('gives the same documents from every kind', async () => {
    const jsonl = records.map((record) => JSON.stringify(record)).join('\n');
    const quoted = (value: string) => `"${value.replaceAll('"', '""')}"`;
    const table = (separator: string) =>
      ['text', ...records.map((r) => r.text)].map((t, i) => [quoted(t), i ? records[i - 1].category : 'category'].join(separator)).join('\n');
    const parquet = parquetWriteBuffer({
      columnData: [
        { name: 'text', data: records.map((r) => r.text), type: 'STRING' },
        { name: 'category', data: records.map((r) => r.category), type: 'STRING' },
      ],
      rowGroupSize: 64,
    });
    const plain = { 'a.jsonl': jsonl, 'a.ndjson': jsonl, 'a.csv': table(','), 'a.tsv': table('\t') };
    for (const [name, content] of Object.entries(plain)) {
      expect(await texts(put(name, content)), name).toEqual(expected);
      expect(await texts(put(`${name}.gz`, gzipSync(content))), `${name}.gz`).toEqual(expected);
      expect(await texts(put(`${name}.zst`, zstdCompressSync(content))), `${name}.zst`).toEqual(expected);
    }
    expect(await texts(put('a.parquet', new Uint8Array(parquet)))).toEqual(expected);
  });

  it('cuts a packed text as it cuts the plain one', async () => {
    for (const repeat of [3, 3000]) {
      const content = Array.from({ length: repeat }, (_, i) => `paragraph ${i}\nof two lines`).join('\n\n');
      const plain = (await read(put(`t${repeat}.txt`, content))).documents.map(({ text }) => text);
      expect(plain.length > 1).toBe(repeat > 3);
      expect((await read(put(`t${repeat}.txt.gz`, gzipSync(content)))).documents.map(({ text }) => text)).toEqual(plain);
      expect((await read(put(`t${repeat}.md.zst`, zstdCompressSync(content)))).documents.map(({ text }) => text)).toEqual(plain);
    }
  });

  it('reads pairs and conversations from Parquet', async () => {
    const rows = JSON.parse(readFileSync(join(GOLDEN, 'rows.json'), 'utf8'));
    const pairs = rows.pairs.map((r: { source: string; target: string }) => [r.source, r.target].filter((part) => part !== '').join('\n'));
    expect((await read(join(GOLDEN, 'pairs.parquet'))).documents.map(({ text }) => text)).toEqual(pairs.filter((text: string) => text.trim() !== ''));
    const talk = rows.chats.map((r: { messages: { content: string | null }[] | null }) =>
      (r.messages ?? [])
        .map((m) => m.content ?? '')
        .filter((c) => c !== '')
        .join('\n'),
    );
    const chats = (await read(join(GOLDEN, 'chats.parquet'))).documents;
    expect(chats.map(({ text }) => text)).toEqual(talk.filter((text: string) => text.trim() !== ''));
    expect((await read(join(GOLDEN, 'flat-zstd.parquet'))).documents[1].id).toBe('3');
  });

  it('takes columns under other names', async () => {
    const columns = parseColumnNames(['text=body', 'category=kind']);
    const expectedOne = [['hello', 'x']];
    expect(await texts(put('c.jsonl', '{"body": "hello", "kind": "x", "text": "not this"}'), { columns })).toEqual(expectedOne);
    expect(await texts(put('c.csv', 'body,kind\nhello,x'), { columns })).toEqual(expectedOne);
    const data = (name: string, value: string) => ({ name, data: [value], type: 'STRING' as const });
    expect(await texts(put('c.parquet', new Uint8Array(parquetWriteBuffer({ columnData: [data('kind', 'x'), data('body', 'hello')] }))), { columns })).toEqual(
      expectedOne,
    );
    await expect(read(join(root, 'c.csv'))).rejects.toMatchObject({ kind: 'input', message: expect.stringContaining('its columns are body, kind') });
    await expect(read(join(root, 'c.parquet'))).rejects.toMatchObject({ kind: 'input', message: expect.stringContaining('its columns are kind, body') });
    await expect(read(join(root, 'c.csv'), { columns: { text: 'txt' } })).rejects.toMatchObject({ kind: 'input', message: expect.stringContaining('"txt"') });
    expect(() => parseColumnNames(['body'])).toThrow(/FIELD=COLUMN/);
    expect(() => parseColumnNames(['txt=body'])).toThrow(/FIELD=COLUMN/);
  });

  it('stops at the caps and at a long line', async () => {
    const bomb = Buffer.from(`{"text": "${'a'.repeat(8 * 2 ** 20)}"}\n`);
    for (const [name, packed] of [
      ['b.jsonl.gz', gzipSync(bomb)],
      ['b.jsonl.zst', zstdCompressSync(bomb)],
    ] as const) {
      await expect(read(put(name, packed)), name).rejects.toMatchObject({ kind: 'format', message: expect.stringContaining('bomb') });
      await expect(read(join(root, name), { maxUnpackRatio: 1e9, maxUnpackedBytes: 2 ** 20 }), name).rejects.toMatchObject({ kind: 'format' });
      await expect(read(join(root, name), { maxUnpackRatio: 1e9, maxLineBytes: 2 ** 20 }), name).rejects.toMatchObject({
        kind: 'format',
        message: expect.stringContaining(`${name}:1`),
      });
      expect((await read(join(root, name), { maxUnpackRatio: 1e9 })).documents.length).toBe(1);
    }
  });

  it('knows names', () => {
    expect(dataFileOf('x/Y.JSONL.GZ')).toEqual({ kind: 'jsonl', packing: 'gzip' });
    expect(dataFileOf('x.parquet')).toEqual({ kind: 'parquet', packing: null });
    expect(['x.json', 'x.json.gz', 'x.parquet.gz', 'x.gz', 'README'].map(dataFileOf)).toEqual([null, null, null, null, null]);
  });
});
