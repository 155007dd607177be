/** A folder put in the place of another: the new one stands there, or the old one still does. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { host } from './index.ts';
import { replaceFolder } from './replace-folder.ts';

const root = mkdtempSync(join(tmpdir(), 'scion-replace-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function make(name: string, text: string): Promise<string> {
  const { files } = await host();
  const folder = join(root, name);
  await files.makeDir(folder);
  await files.write(join(folder, 'a'), new TextEncoder().encode(text));
  return folder;
}

describe('replaceFolder', () => {
  it('leaves the new folder alone under the name', async () => {
    const { files } = await host();
    const [target, place] = [await make('one', 'old'), await make('one.new', 'new')];
    await replaceFolder(files, place, target, `${target}.old`);
    expect(readFileSync(join(target, 'a'), 'utf8')).toBe('new');
    expect(readdirSync(root).filter((name) => name.startsWith('one'))).toEqual(['one']);
  });

  it('puts the old one back where the new one cannot take its place', async () => {
    const { files } = await host();
    const [target, place] = [await make('two', 'old'), await make('two.new', 'new')];
    let calls = 0;
    const broken = new Proxy(files, {
      get: (held, name) => {
        if (name === 'rename') return (from: string, to: string) => (++calls === 2 ? Promise.reject(new Error('no')) : held.rename(from, to));
        const value: unknown = Reflect.get(held, name);
        return typeof value === 'function' ? value.bind(held) : value;
      },
    });
    await expect(replaceFolder(broken, place, target, `${target}.old`)).rejects.toThrow('no');
    expect(readFileSync(join(target, 'a'), 'utf8')).toBe('old');
    expect(calls).toBe(3);
  });
});
