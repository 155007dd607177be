/** CSV and TSV: quoting, line ends, what is refused, and any table written by the rules read back. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readCsv } from './csv.ts';

async function* bytes(text: string, size = 7) {
  const all = new TextEncoder().encode(text);
  for (let i = 0; i < all.length; i += size) yield all.subarray(i, i + size);
}
async function rows(text: string, separator: ',' | '\t' = ',', maxLineBytes?: number) {
  const out = [];
  for await (const row of readCsv(bytes(text), separator, { name: 'f.csv', maxLineBytes })) out.push(row);
  return out;
}

describe('readCsv', () => {
  it('reads quotes, separators and line ends inside quotes', async () => {
    expect(await rows('\ufefftext,n\r\n"a, ""b""\nc",1\r\n\r\n中文,\r\n"",x')).toEqual([
      { record: { text: 'a, "b"\nc', n: '1' }, line: 2 },
      { record: { text: '中文', n: '' }, line: 5 },
      { record: { text: '', n: 'x' }, line: 6 },
    ]);
    expect(await rows('a\tb\n1,2\t"x\ty"\n', '\t')).toEqual([{ record: { a: '1,2', b: 'x\ty' }, line: 2 }]);
  });

  it('reads back what the rules write', async () => {
    const cell = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', ' ', '中'), maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { maxLength: 5 }), async (table) => {
        const text = ['x,y', ...table.map((row) => row.map((value) => `"${value.replaceAll('"', '""')}"`).join(','))].join('\n');
        expect((await rows(text)).map(({ record }) => [record.x, record.y])).toEqual(table);
      }),
    );
  });

  it.each([
    ['a row of another length', 'a,b\n1,2\n1,2,3', /f\.csv:3: 3 fields where the header names 2/],
    ['an open quote', 'a,b\n1,"2\n3\n', /f\.csv:2: a quoted field that never ends/],
    ['text behind a quote', 'a,b\n"1"2,3', /f\.csv:2: "2,3" stands behind/],
    ['two columns of one name', 'a,a\n1,2', /two columns are called "a"/],
  ])('refuses %s', async (_, text, message) => {
    await expect(rows(text)).rejects.toMatchObject({ kind: 'format', message: expect.stringMatching(message) });
  });

  it('caps a field over many lines', async () => {
    await expect(rows(`a\n"${'line\n'.repeat(100)}"`, ',', 50)).rejects.toMatchObject({ kind: 'format' });
  });
});
