/**
 * Reading the user's data from a real folder: every record form, text files whole and cut, globs, and
 * the errors, which must name file and line.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isScionError } from '../base/errors.ts';
import { posixFiles as files } from '../host/posix.ts';
import { readDocuments, recordText, streamDocuments } from './documents.ts';
import { findFiles } from './glob.ts';

let root = '';
const at = (...parts: string[]) => join(root, ...parts);
function put(path: string, content: string | Uint8Array): string {
  const full = at(path);
  mkdirSync(join(full, '..'), { recursive: true });
  writeFileSync(full, content);
  return full;
}
async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    expect(isScionError(error)).toBe(true);
    return String(error);
  }
  throw new Error('it did not fail');
}

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'scion-documents-'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

describe('readDocuments', () => {
  it('takes every form of record', async () => {
    const path = put(
      'forms/all.jsonl',
      [
        '\ufeff{"id": "a", "text": "plain", "category": "news", "lang": "en"}',
        '{"source": "", "target": "only target", "category": "x"}',
        '',
        '{"source": "question", "target": "answer"}\r',
        '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}]}',
        '{"text": "   "}',
        '{"id": 7, "text": "中文 🌍"}',
      ].join('\n'),
    );
    const set = await readDocuments(files, [path]);
    expect(set.documents).toEqual([
      { id: 'a', text: 'plain', category: 'news', lang: 'en' },
      { id: `${path}:2`, text: 'only target', category: 'x', lang: null },
      { id: `${path}:4`, text: 'question\nanswer', category: null, lang: null },
      { id: `${path}:5`, text: 'hi\nhello', category: null, lang: null },
      { id: '7', text: '中文 🌍', category: null, lang: null },
    ]);
    expect(set.empty).toBe(1);
    expect(set.files).toEqual([path]);
    expect(set.bytes).toBe(set.documents.reduce((n, d) => n + Buffer.byteLength(d.text), 0));
  });

  it('keeps a small text whole and cuts a big one at blank lines, losing nothing', async () => {
    const small = put('texts/small.md', '\n# Title\r\n\r\nbody  \n\n');
    expect((await readDocuments(files, [small])).documents).toEqual([{ id: small, text: '# Title\n\nbody', category: null, lang: null }]);
    const paragraphs = Array.from({ length: 300 }, (_, i) => `Paragraph ${i} 段落。\nSecond line of ${i}.`);
    const big = put('texts/big.txt', paragraphs.join('\n\n'));
    const { documents } = await readDocuments(files, [big], { wholeFileBytes: 1000, chunkBytes: 500 });
    expect(documents.length).toBeGreaterThan(20);
    expect(documents.map((d) => d.text).join('\n\n')).toBe(paragraphs.join('\n\n'));
    for (const d of documents) expect(d.text.startsWith('Paragraph')).toBe(true);
    expect(documents[1].id).toMatch(/big\.txt:\d+$/);
    const unbroken = put('texts/unbroken.txt', Array.from({ length: 500 }, (_, i) => `line ${i}`).join('\n'));
    const cut = await readDocuments(files, [unbroken], { wholeFileBytes: 100, chunkBytes: 200 });
    expect(cut.documents.length).toBeGreaterThan(3);
    expect(cut.documents.map((d) => d.text).join('\n')).toBe(Array.from({ length: 500 }, (_, i) => `line ${i}`).join('\n'));
  });

  it('keeps every line of any text through cutting', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('', 'a', 'b c', '长 句', '  x'), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 40 }),
        async (lines, chunkBytes) => {
          const path = put('texts/any.txt', lines.join('\n'));
          const kept: string[] = [];
          for await (const d of streamDocuments(files, [path], { wholeFileBytes: 0, chunkBytes })) kept.push(...d.text.split('\n'));
          expect(kept.map((l) => l.trimEnd()).filter((l) => l !== '')).toEqual(lines.filter((l) => l !== ''));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('names file and line of what it cannot take', async () => {
    const bad = async (name: string, content: string | Uint8Array) => failure(readDocuments(files, [put(name, content)]));
    expect(await bad('bad/a.jsonl', '{"text": "ok"}\n{"text": \n')).toMatch(/a\.jsonl:2: not JSON/);
    expect(await bad('bad/b.jsonl', '{"text": "ok"}\n\n{"body": "x", "n": 1}')).toMatch(/b\.jsonl:3: no "text".*its keys are: body, n/);
    expect(await bad('bad/c.jsonl', '["text"]')).toMatch(/c\.jsonl:1: a record must be an object.*an array/);
    expect(await bad('bad/d.jsonl', '{"text": 5}')).toMatch(/d\.jsonl:1: "text" must be a string, found a number/);
    expect(await bad('bad/e.jsonl', '{"messages": [{"role": "user", "content": "x"}, {"role": "tool"}]}')).toMatch(/e\.jsonl:1: message 2 of 2/);
    expect(await bad('bad/f.txt', new Uint8Array([104, 105, 10, 0xff, 0xfe]))).toMatch(/f\.txt:2/);
    expect(await bad('bad/g.txt', 'a\nb\u0000c')).toMatch(/g\.txt:2: a zero byte/);
    expect(await bad('bad/h.json', '{}')).toMatch(/h\.json is a \.json file/);
    expect(await bad('bad/i.txt', '\n \n')).toMatch(/none has any text/);
    expect(await failure(readDocuments(files, [put('bad/j.jsonl', `{"text": "${'x'.repeat(500)}"}`)], { maxLineBytes: 100 }))).toMatch(
      /j\.jsonl:1: a line of more than 100 bytes/,
    );
    expect(await failure(readDocuments(files, [put('bad/k.txt', 'x'.repeat(500))], { maxTotalBytes: 100 }))).toMatch(/hold 500 bytes, the limit is 100/);
    expect(await failure(readDocuments(files, []))).toMatch(/no file, folder or pattern/);
  });

  it('accepts any JSON value with text or an error that names the place', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          expect(typeof recordText(value, 'f:1')).toBe('string');
        } catch (error) {
          expect(isScionError(error, 'input')).toBe(true);
          expect(String(error)).toContain('f:1');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('findFiles', () => {
  it('finds files, folders and globs in a fixed order, each once', async () => {
    for (const name of ['a.txt', 'b.md', 'c.jsonl', 'd.png', '.hidden.txt', 'sub/e.txt', 'sub/deep/f.txt', 'sub/.git/g.txt', '[odd].txt'])
      put(`tree/${name}`, 'x');
    const names = async (...patterns: string[]) =>
      (
        await findFiles(
          files,
          patterns.map((p) => at('tree', p)),
          (n) => !n.endsWith('.png'),
        )
      ).map((p) => p.slice(at('tree').length + 1));
    expect(await names('a.txt')).toEqual(['a.txt']);
    expect(await names('')).toEqual(['[odd].txt', 'a.txt', 'b.md', 'c.jsonl', 'sub/deep/f.txt', 'sub/e.txt']);
    expect(await names('*.txt')).toEqual(['[odd].txt', 'a.txt']);
    expect(await names('**/*.txt')).toEqual(['[odd].txt', 'a.txt', 'sub/e.txt', 'sub/deep/f.txt']);
    expect(await names('*.{md,jsonl}')).toEqual(['b.md', 'c.jsonl']);
    expect(await names('[ab].*')).toEqual(['a.txt', 'b.md']);
    expect(await names('[!ab].*')).toEqual(['c.jsonl', 'd.png']);
    expect(await names('?.png')).toEqual(['d.png']);
    expect(await names('[odd].txt')).toEqual(['[odd].txt']);
    expect(await names('s*/**/f.txt')).toEqual(['sub/deep/f.txt']);
    expect(await names('.hid*')).toEqual(['.hidden.txt']);
    expect(await names('a.txt', '*.txt', 'sub')).toEqual(['a.txt', '[odd].txt', 'sub/deep/f.txt', 'sub/e.txt']);
  });

  it('says what it found instead', async () => {
    put('near/one.txt', 'x');
    expect(await failure(findFiles(files, [at('near/two.txt')]))).toMatch(/no file two\.txt .*holds one\.txt/);
    expect(await failure(findFiles(files, [at('near/*.md')]))).toMatch(/no file matches .*\*\.md/);
    expect(await failure(findFiles(files, [at('near')], () => false))).toMatch(/holds no file of a kind/);
    expect(await failure(findFiles(files, [at('nowhere/x.txt')]))).toMatch(/no file x\.txt/);
  });
});
