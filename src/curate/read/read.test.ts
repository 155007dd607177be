/**
 * Reading for a build: every kind of file gives the documents that were put in, whatever is wrong comes as a reason while the others
 * follow, and the ranges of one file together give what the file gives. What is expected is written down by hand.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeHost } from '../../host/node.ts';
import { readSchema, type Source, sourceSchema } from './config.ts';
import { nodeText, pageDecoder, pageText } from './html.ts';
import { type Piece, READ_REASONS, type ReadItem, readUnit } from './read-unit.ts';
import { docOf } from './record.ts';
import { findSourceFiles, planUnits, surveyTask } from './units.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-read-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const put = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
};
const source = (more: Record<string, unknown> = {}): Source => sourceSchema.parse({ paths: 'x', ...more });
async function read(pieces: readonly (string | Piece)[], from: Source = source(), limits: Record<string, number> = {}): Promise<ReadItem[]> {
  const items: ReadItem[] = [];
  const wanted = pieces.map((piece) => (typeof piece === 'string' ? { path: piece } : piece));
  for await (const item of readUnit(nodeHost.files, from, readSchema.parse(limits), wanted)) items.push(item);
  return items;
}
/** Texts of documents and reasons of what is none, in order. */
const gist = (items: readonly ReadItem[]): string[] => items.map((item) => ('doc' in item ? item.doc.target : item.drop.reason));

describe('kinds of files', () => {
  it('JSON Lines: text, source and target, chats, other names, several columns', async () => {
    const path = put(
      'kinds.jsonl',
      [
        { id: 7, text: 'plain', category: 'own', lang: 'en', title: 'T', scores: { quality: 0.5, bad: 'x' }, tags: ['a', 3] },
        { source: 'read', target: 'learnt' },
        {
          messages: [
            { role: 'user', content: 'hi' },
            { from: 'assistant', value: [{ type: 'text', text: 'ho' }] },
          ],
        },
        { text: null, target: 'both' },
      ]
        .map((line) => JSON.stringify(line))
        .join('\r\n'),
    );
    const items = await read([path], source({ lang: 'zh' }));
    expect(items).toEqual([
      { doc: { id: '7', category: 'own', lang: 'en', title: 'T', target: 'plain', scores: { quality: 0.5 }, tags: ['a'] } },
      { doc: { id: `${path}:2`, category: 'kinds', lang: 'zh', source: 'read', target: 'learnt' } },
      {
        doc: {
          id: `${path}:3`,
          category: 'kinds',
          lang: 'zh',
          target: '',
          messages: [
            { role: 'user', content: 'hi' },
            { role: 'assistant', content: 'ho' },
          ],
        },
      },
      { doc: { id: `${path}:4`, category: 'kinds', lang: 'zh', target: 'both' } },
    ]);
    const other = put('other.jsonl', '{"instruction":"do","input":"this","output":"done"}\n{"instruction":"do","input":"","output":"so"}\n');
    const mapped = await read([other], source({ category: 'sft', fields: { source: ['instruction', 'input'], target: 'output' } }));
    expect(mapped.map((item) => 'doc' in item && [item.doc.category, item.doc.source, item.doc.target])).toEqual([
      ['sft', 'do\nthis', 'done'],
      ['sft', 'do', 'so'],
    ]);
  });

  it('CSV, TSV, JSON lists, Parquet, packed files', async () => {
    const rows = parquetWriteBuffer({ columnData: [{ name: 'text', data: ['p1', 'p2'], type: 'STRING' }] });
    const paths = [
      put('a.csv', 'text,id\n"one, two",1\nthree,2\n'),
      put('a.tsv', 'text\tid\nfour\t3\n'),
      put('a.json', '[{"text":"five"},{"text":"six"}]'),
      put('a.parquet', new Uint8Array(rows)),
      put('a.jsonl.gz', gzipSync('{"text":"seven"}\n')),
      put('b.txt.zst', zstdCompressSync('eight\n\nnine')),
    ];
    expect(gist(await read(paths))).toEqual(['one, two', 'three', 'four', 'five', 'six', 'p1', 'p2', 'seven', 'eight\n\nnine']);
  });

  it('plain text whole, large text at blank lines, Markdown without its head', async () => {
    expect(gist(await read([put('t.txt', 'a\n\nb\n\nc\n')], source(), { textBytes: 4 }))).toEqual(['a\n\nb', 'c']);
    const [item] = await read([put('m.md', '---\ntitle: "Two words"\nx: 1\n---\n\n# Head\n\nbody\n')]);
    expect(item).toMatchObject({ doc: { title: 'Two words', target: '# Head\n\nbody' } });
    expect(await read([put('n.md', 'text\n\n# The head #\n\nmore')])).toMatchObject([{ doc: { title: 'The head', target: 'text\n\n# The head #\n\nmore' } }]);
  });

  it('HTML: the main part with its title, not the menus around it', async () => {
    const story = Array.from({ length: 12 }, (_, i) => `<p>Sentence number ${i} of the story goes on for a good while, and says something.</p>`).join('');
    const html = `<!doctype html><html><head><title>A story</title><style>p{}</style></head><body><nav><ul><li><a href="/">Home</a></li></ul></nav>
      <article><h1>A story</h1>${story}<pre>  kept\n    as is</pre></article><footer>Imprint</footer><script>evil()</script></body></html>`;
    const [item] = await read([put('page.html', html)]);
    if (!('doc' in item)) throw new Error(item.drop.reason);
    expect(item.doc.title).toBe('A story');
    expect(item.doc.target.split('\n\n').filter((line) => line.startsWith('Sentence'))).toHaveLength(12);
    expect(item.doc.target).toContain('  kept\n    as is');
    expect(item.doc.target).not.toMatch(/evil|Home|Imprint|p\{/);
    const gbk = Buffer.concat([Buffer.from('<meta charset="gbk"><p>'), Buffer.from([0xd6, 0xd0, 0xce, 0xc4]), Buffer.from('</p>')]);
    expect(gist(await read([put('gbk.html', gbk)]))).toEqual(['中文']);
  });

  it('text of nodes: blocks end lines, runs of spaces are one, lists have dashes', async () => {
    const { parseHTML } = await import('linkedom');
    const text = (body: string): string => nodeText(parseHTML(`<html><body>${body}</body></html>`).document.body);
    expect(text('<div>a <b> b</b>\n c</div>d<ul><li>x<li>y</ul>')).toBe('a b c\nd\n\n- x\n- y');
    expect(text('<p>one<br>two</p><p>three</p>')).toBe('one\ntwo\n\nthree');
    expect(text('')).toBe('');
    // Nesting beyond any stack.
    expect(text(`${'<div>'.repeat(3000)}deep`)).toBe('deep');
    expect(pageDecoder(new TextEncoder().encode('<meta charset=nonsense>')).encoding).toBe('utf-8');
    expect((await pageText('')).text).toBe('');
  });
});

describe('what is wrong', () => {
  it('is a reason, in its place, and the others follow', async () => {
    const lines = [
      '{"text":"good"}',
      '{"text":',
      '[1]',
      '{"body":"x"}',
      '{"text":"  "}',
      '{"text":5}',
      '{"messages":[{"role":"user"}]}',
      '{"messages":"x"}',
      `{"text":"${'x'.repeat(200)}"}`,
      '{"source":"only"}',
      '{"text":"last"}',
    ];
    const bytes = Buffer.concat([Buffer.from(`${lines.join('\n')}\n`), Buffer.from([0x22, 0xff, 0x22, 0x0a]), Buffer.from('{"text":"\\ud800 end"}')]);
    const items = await read([put('wrong.jsonl', bytes)], source(), { maxLineBytes: 100 });
    expect(gist(items)).toEqual([
      'good',
      'read.bad-json',
      'read.no-record',
      'read.no-fields',
      'read.no-text',
      'read.no-record',
      'read.bad-messages',
      'read.bad-messages',
      'read.too-long-line',
      'read.no-text',
      'last',
      'read.bad-utf8',
      '\ud800 end',
    ]);
    const known = new Set(Object.keys(READ_REASONS));
    for (const item of items) if ('drop' in item) expect(known).toContain(item.drop.reason);
    expect(items.filter((item) => 'id' in item).map((item) => 'id' in item && item.id.split(':').pop())).toEqual('2 3 4 5 6 7 8 9 10 12'.split(' '));
  });

  it('ends one file and not the next', async () => {
    const after = put('z.txt', 'fine');
    const torn = gzipSync(Array.from({ length: 5000 }, (_, i) => `{"text":"line ${i * 7919}"}`).join('\n'));
    const cases: [string, string | Uint8Array, string][] = [
      ['zero.txt', 'a\u0000b', 'read.binary'],
      ['bomb.txt.gz', gzipSync(Buffer.alloc(30 << 20)), 'read.unpack-limit'],
      ['bomb.jsonl.zst', zstdCompressSync(Buffer.alloc(30 << 20, 0x20)), 'read.unpack-limit'],
      ['no.jsonl.gz', 'no gzip', 'read.damaged'],
      ['no.parquet', 'no parquet at all', 'read.damaged'],
      ['no.json', '{', 'read.bad-json'],
      ['deep.json', '['.repeat(100_000), 'read.bad-json'],
      ['no.html', new Uint8Array([0x3c, 0xff, 0xfe]), 'read.bad-utf8'],
      ['empty.txt', '', 'read.no-text'],
      ['empty.html', '<html><body><script>x</script></body></html>', 'read.no-text'],
      ['row.csv', 'text,id\nonly\n', 'read.bad-row'],
      ['open.csv', 'text\n"never closed\n', 'read.bad-row'],
      ['torn.jsonl.gz', torn.subarray(0, torn.length - 20), 'read.damaged'],
    ];
    for (const [name, content, reason] of cases) {
      const found = gist(await read([put(name, content), after]));
      expect(found.slice(-2), name).toEqual([reason, 'fine']);
    }
    expect(gist(await read([put('large.html', `<p>${'x'.repeat(2000)}`)], source(), { maxHtmlBytes: 1000 }))).toEqual(['read.too-large']);
  });

  it('names that are objects’ own are names', () => {
    const defaults = { id: 'i', category: 'c', fields: {} };
    expect(docOf(JSON.parse('{"text":"x","category":"__proto__","id":"constructor"}'), defaults)).toEqual({
      id: 'constructor',
      category: '__proto__',
      target: 'x',
    });
    expect(docOf({}, { ...defaults, fields: { text: 'toString' } })).toMatchObject({ reason: 'read.no-fields' });
  });
});

describe('units', () => {
  it('ranges of one file give what the file gives, for any size of a shard', async () => {
    const lines = Array.from({ length: 200 }, (_, i) => JSON.stringify({ text: `${i} ${'é'.repeat((i * 37) % 90)}` }));
    lines[50] = '';
    lines[120] = 'no json';
    const path = put('ranges/r.jsonl', `\ufeff${lines.join('\n')}`);
    const whole = await read([path]);
    expect(whole).toHaveLength(199);
    const files = await findSourceFiles(nodeHost.files, [source({ paths: path })]);
    for (const shardBytes of [1, 100, 1000, 5000, 1 << 30]) {
      const surveys = await surveyTask({ paths: [path], shardBytes }, { host: nodeHost });
      const units = planUnits(files, surveys, shardBytes);
      expect(units.length > 1).toBe(shardBytes < 1 << 30);
      const items = (await Promise.all(units.map(({ pieces }) => read(pieces)))).flat();
      expect(items, `${shardBytes}`).toEqual(whole);
    }
  });

  it('a line longer than many ranges belongs to one of them and is told once', async () => {
    const path = put('ranges/long.jsonl', `{"text":"a"}\n{"text":"${'x'.repeat(50_000)}"}\n{"text":"b"}\n`);
    const surveys = await surveyTask({ paths: [path], shardBytes: 1000 }, { host: nodeHost });
    const units = planUnits(await findSourceFiles(nodeHost.files, [source({ paths: path })]), surveys, 1000);
    const items = (await Promise.all(units.map(({ pieces }) => read(pieces, source(), { maxLineBytes: 500 })))).flat();
    expect(gist(items)).toEqual(['a', 'read.too-long-line', 'b']);
  });

  it('small files share a unit, sources do not; a file named twice is read once', async () => {
    for (let i = 0; i < 10; i++) put(`many/${i}.txt`, `text ${i}`);
    put('many/skipped.bin', 'x');
    const sources = [
      source({ paths: [join(folder, 'many/1.txt'), join(folder, 'many')] }),
      source({ paths: join(folder, 'many/*.txt') }),
      source({ paths: join(folder, 'a.csv') }),
    ];
    const files = await findSourceFiles(nodeHost.files, sources);
    expect(files.map(({ source: of }) => of)).toEqual([...new Array(10).fill(0), 2]);
    const surveys = await surveyTask({ paths: files.map(({ path }) => path), shardBytes: 30 }, { host: nodeHost });
    const units = planUnits(files, surveys, 30);
    expect(units.map(({ pieces }) => pieces.length)).toEqual([5, 5, 1]);
    await expect(findSourceFiles(nodeHost.files, [source({ paths: join(folder, 'many/skipped.bin') })])).rejects.toThrow(/\.bin file/);
  });
});
