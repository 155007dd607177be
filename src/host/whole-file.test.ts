/** Whole files: the content or nothing under the name, and no half left beside it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { posixFiles as files } from './posix.ts';
import { fillWhole, PART, writeWhole } from './whole-file.ts';

const root = mkdtempSync(join(tmpdir(), 'scion-whole-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('whole files', () => {
  it('take the place of what was there, and write over what a crash left', async () => {
    const path = join(root, 'a');
    writeFileSync(path, 'old');
    writeFileSync(path + PART, 'half of something longer');
    await writeWhole(files, path, bytes('new'));
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readdirSync(root)).toEqual(['a']);
  });

  it('leave the old one and nothing else where filling fails', async () => {
    const path = join(root, 'a');
    const failing = fillWhole(files, path, async (writer) => {
      await writer.write(bytes('half'));
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readdirSync(root)).toEqual(['a']);
  });

  it('give what filling gives', async () => {
    expect(await fillWhole(files, join(root, 'b'), async (writer) => writer.write(bytes('x')).then(() => 7))).toBe(7);
  });
});
