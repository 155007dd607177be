/**
 * A tokenizer folder under every fault: a death, an I/O error or a full disk at each operation, and any tree that a loss of power may
 * leave. Under the folder's name there is nothing, the tokenizer that was there, or the new one; never a part, never a mix.
 */
import { describe, expect, it } from 'vitest';
import { isScionError } from '../../src/base/errors.ts';
import { Random } from '../../src/base/random.ts';
import { writeTokenizerFolder } from '../../src/text/expand/index.ts';
import { FaultFiles, Killed } from './fault-files.ts';
import { MemoryFiles } from './memory-files.ts';

const OUT = '/models/new';
const bytes = (text: string, length: number): Uint8Array => new TextEncoder().encode(text.repeat(length));
const contents = (word: string) =>
  new Map([
    ['tokenizer.model', bytes(word, 3000)],
    ['tokenizer.json', bytes(word, 2000)],
    ['tokenizer_config.json', bytes(word, 10)],
    ['special_tokens_map.json', bytes(word, 5)],
    ['report.json', bytes(word, 100)],
  ]);

/** What stands under the name: `none`, `old`, `new`, or what is wrong with it. */
async function found(disk: MemoryFiles): Promise<string> {
  if ((await disk.stat(OUT)) === null) return 'none';
  const names = (await disk.list(OUT)).map((entry) => entry.name).sort();
  for (const word of ['old', 'new']) {
    const wanted = contents(word);
    if (names.join() !== [...wanted.keys()].sort().join()) return `holds ${names.join()}`;
    const same = await Promise.all([...wanted].map(async ([name, content]) => Buffer.compare(await disk.read(`${OUT}/${name}`), content) === 0));
    if (same.every(Boolean)) return word;
  }
  return 'a mix';
}

async function disk(held: boolean): Promise<MemoryFiles> {
  const files = new MemoryFiles();
  await files.makeDir('/models');
  await files.syncDir('/');
  if (held) await writeTokenizerFolder(files, OUT, contents('old'));
  return files;
}

describe.each([
  ['a new folder', false],
  ['a folder that is replaced', true],
] as const)('%s', (_, held) => {
  const before = held ? ['old'] : ['none'];

  it.each(['die', 'io', 'space'] as const)('a fault of kind %s at every operation', async (kind) => {
    let points = 0;
    for (let at = 1; ; at++) {
      const inner = await disk(held);
      const files = new FaultFiles(inner, { at, kind });
      const error: unknown = await writeTokenizerFolder(files, OUT, contents('new'), { force: held }).catch((reason: unknown) => reason);
      if (!files.struck) break;
      points++;
      const where = `operation ${at}, ${files.operations[at - 1]}`;
      if (error !== undefined)
        expect(error instanceof Killed || isScionError(error, 'io') || isScionError(error, 'space'), `${where}: ${String(error)}`).toBe(true);
      // Dead between the two renames, the old tokenizer stands whole beside its name.
      const between = kind === 'die' && held ? ['none'] : [];
      expect([...before, 'new', ...between], where).toContain(await found(inner));
      if (kind !== 'die') {
        const rest = (await inner.list('/models')).map((entry) => entry.name).filter((name) => name !== 'new');
        // Only a removal that itself failed leaves something behind.
        if (!files.operations[at - 1].startsWith('remove') && !files.operations[at - 1].startsWith('syncDir /models')) expect(rest, where).toEqual([]);
      }
      for (let seed = 0; seed < 10; seed++) {
        const random = new Random(at * 100 + seed, 3);
        expect([...before, 'new', 'none'], `${where}, loss of power ${seed}`).toContain(await found(inner.crash(() => random.uniform() < 0.5)));
      }
    }
    expect(points).toBeGreaterThan(15);
  });

  it('stays after a loss of power, once written', async () => {
    const files = await disk(held);
    await writeTokenizerFolder(files, OUT, contents('new'), { force: held });
    expect(await found(files.crash(() => false))).toBe('new');
  });
});

describe('what is in the way', () => {
  it('a folder with anything in it is refused without force, a file always', async () => {
    const files = await disk(true);
    await expect(writeTokenizerFolder(files, OUT, contents('new'))).rejects.toThrow(/exists and holds 5 entries/);
    await files.write('/models/file', new Uint8Array());
    await expect(writeTokenizerFolder(files, '/models/file', contents('new'), { force: true })).rejects.toThrow(/is a file/);
    expect(await found(files)).toBe('old');
  });

  it('force replaces nothing but a tokenizer', async () => {
    const files = await disk(true);
    await files.write(`${OUT}/model.safetensors`, new Uint8Array());
    await expect(writeTokenizerFolder(files, OUT, contents('new'), { force: true })).rejects.toThrow(/holds model.safetensors/);
  });

  it('an empty folder is taken', async () => {
    const files = await disk(false);
    await files.makeDir(OUT);
    await writeTokenizerFolder(files, OUT, contents('new'));
    expect(await found(files)).toBe('new');
  });
});
