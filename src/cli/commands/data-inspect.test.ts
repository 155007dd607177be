/**
 * `scion data inspect` as it is typed, over a folder on disk: what goes to which stream, exit codes, the page, the JSON line, and that
 * a file gets no colours.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { buildReport } from '../../../test/data/build-report.ts';
import { runCommandLine } from '../run.ts';

let folder = '';
let out = '';
let err = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-inspect-'));
  mkdirSync(join(folder, 'build/drops/clean'), { recursive: true });
  writeFileSync(join(folder, 'build/report.json'), JSON.stringify(buildReport()));
  const drop = { id: 'web:4', category: 'en_web', reason: 'clean.too-short', note: 'few', text: '\x1b[31mClick <b>here</b>' };
  writeFileSync(join(folder, 'build/drops/clean/shard-00000.jsonl'), `${JSON.stringify(drop)}\n`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

const inspect = (...words: string[]) => runCommandLine(['data', 'inspect', ...words]);

describe('data inspect', () => {
  test('prints the summary', async () => {
    expect(await inspect(join(folder, 'build'))).toBe(0);
    expect(out).toContain('Every document is accounted for: 7,586 read');
    expect(out).not.toContain('\x1b');
    expect(err).toBe('');
  });

  test('prints drops, safe for a terminal', async () => {
    expect(await inspect(join(folder, 'build'), '--drops', 'clean.too-short')).toBe(0);
    expect(out).toContain('‹U+001B›[31mClick <b>here</b>');
    expect(out).not.toContain('\x1b');
  });

  test('gives one JSON line with the text as it is', async () => {
    expect(await inspect(join(folder, 'build'), '--drops', '--json')).toBe(0);
    expect(out.trim().split('\n').length).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ view: 'drops', reason: null, items: [{ id: 'web:4', step: 'clean', text: '\x1b[31mClick <b>here</b>' }] });
    out = '';
    expect(await inspect(join(folder, 'build'), '--json')).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ view: 'summary', drops: { 'clean.too-short': 1246 }, duplicates: { near: 257 } });
  });

  test('writes a page', async () => {
    const page = join(folder, 'drops.html');
    expect(await inspect(join(folder, 'build'), '--drops', '--html', page)).toBe(0);
    expect(out).toBe(`wrote ${page}\n`);
    expect(readFileSync(page, 'utf8')).toContain('Click &lt;b&gt;here&lt;/b&gt;');
    expect(await inspect(join(folder, 'build'), '--html', page)).toBe(0);
    expect(readFileSync(page, 'utf8')).toContain('What to look at');
  });

  test.each([
    ['no folder', [], 'takes one folder, before the flags; got none'],
    ['a folder behind --drops', ['--drops', 'build'], 'takes one folder, before the flags; got none'],
    ['two folders', ['a', 'b'], 'takes one folder, before the flags; got "a b"'],
    ['a folder that is not there', ['/no/such'], '/no/such is no folder'],
    ['two looks', ['{build}', '--drops', '--documents'], 'one look at a time'],
    ['a limit of nothing', ['{build}', '--limit', '0'], '--limit must be at least 1, got 0'],
    ['a reason that took nothing', ['{build}', '--drops', 'clean.tooshort'], 'nothing was dropped for "clean.tooshort"; reasons are'],
    ['packs where there are none', ['{build}', '--packs'], 'has no manifest.json'],
  ])('%s ends with 2', async (_, words, message) => {
    expect(await inspect(...words.map((word) => word.replace('{build}', join(folder, 'build'))))).toBe(2);
    expect(err).toContain(message);
    expect(out).toBe('');
  });
});
