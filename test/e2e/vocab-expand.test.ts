/**
 * `scion vocab expand` as a user types it: a folder with all five files, refusals with exit code 2, and nothing half-written.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { scion } from './cli.ts';

const GOLDEN = join(import.meta.dirname, '../golden/vocab');
const BASE = join(GOLDEN, 'small.model');
const LIST = join(GOLDEN, 'small.jsonl');
const scratch = mkdtempSync(join(tmpdir(), 'scion-expand-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const expand = (...args: string[]) => scion('node', ['vocab', 'expand', '--base', BASE, '--json', ...args]);
const lastLine = (out: string): Record<string, unknown> => JSON.parse(out.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;

describe('scion vocab expand', { timeout: 120_000 }, () => {
  it('writes a folder, refuses to write it again, and replaces it on request', async () => {
    const out = join(scratch, 'new');
    const first = await expand('--pieces', LIST, '--out', out, '--size', '1200', '--pad-to', '64', '--special', '<|a|>', '<|b|>');
    expect(first.code, first.err).toBe(0);
    expect(lastLine(first.out)).toMatchObject({ baseSize: 700, size: 1216, added: 498, padding: 16, specials: [{ id: 1198 }, { id: 1199 }] });
    const files = ['report.json', 'special_tokens_map.json', 'tokenizer.json', 'tokenizer.model', 'tokenizer_config.json'];
    expect(readdirSync(out).sort()).toEqual(files);
    const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as { inputs: { sha256: string }[]; size: number };
    expect(report.size).toBe(1216);
    expect(report.inputs.map((input) => input.sha256.length)).toEqual([64, 64]);

    const model = readFileSync(join(out, 'tokenizer.model'));
    const again = await expand('--pieces', LIST, '--out', out);
    expect(again.code).toBe(2);
    expect(again.err).toMatch(/exists and holds 5 entries/);
    expect(readFileSync(join(out, 'tokenizer.model'))).toEqual(model);
    const forced = await expand('--pieces', LIST, '--out', out, '--force', '--intermediates', 'drop');
    expect(forced.code, forced.err).toBe(0);
    expect(lastLine(forced.out).intermediates).toBe(0);
    expect(readdirSync(scratch)).toEqual(['new']);
  });

  it('leaves out what would change protected texts', async () => {
    const out = join(scratch, 'protected');
    const { piece } = JSON.parse(
      readFileSync(LIST, 'utf8')
        .split('\n')
        .find((line) => [...line].length > 15) ?? '',
    ) as { piece: string };
    const texts = join(scratch, 'texts.jsonl');
    writeFileSync(texts, `${JSON.stringify({ target: `ab ${piece}${piece}` })}\n`);
    const free = lastLine((await expand('--pieces', LIST, '--out', out)).out) as unknown as { added: number };
    const kept = await expand('--pieces', LIST, '--out', out, '--force', '--protect', texts);
    expect(kept.code, kept.err).toBe(0);
    const report = lastLine(kept.out) as unknown as { added: number; dropped: { protected: number } };
    expect(report.dropped.protected).toBeGreaterThan(0);
    expect(report.added).toBeLessThan(free.added);
  });

  it.each([
    [['--pieces', LIST, '--size', '300'], /300 rows was asked for, but the base and the special tokens have 700 already/],
    [['--pieces', LIST, '--size', '99999'], /a vocabulary of 99999 rows needs 99299 new pieces/],
    [['--pieces', join(GOLDEN, 'make.py')], /is no list of pieces by its name/],
    [[], /--pieces is missing/],
  ])('%j: exit code 2, and no folder', async (args, message) => {
    const out = join(scratch, 'refused');
    const ran = await expand('--out', out, ...args);
    expect(ran.code).toBe(2);
    expect(ran.err).toMatch(message);
    expect(existsSync(out)).toBe(false);
  });
});
