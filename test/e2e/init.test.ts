/** `scion init` and `--verify` as a user runs them, on Node and on Deno: the same bytes from both, one JSON object, exit codes. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { posixFiles } from '../../src/host/posix.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { baseModel, grownModel, writeModelFolder, writeTokenizer } from '../vocab/synthetic.ts';
import { type Runtime, scion } from './cli.ts';

let root = '';
const at = (name: string): string => join(root, name);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'scion-init-'));
  const model = baseModel(500, 40);
  const config = makeConfig({ vocabSize: 500, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 1 });
  await writeModelFolder(posixFiles, at('base'), config, { dtype: 'BF16', seed: 1 });
  await writeTokenizer(posixFiles, at('base'), model);
  await writeTokenizer(posixFiles, at('words'), grownModel(model, 60, 40, 2));
  await writeFile(at('zh.txt'), '\u4e00\u4e07\u4e0e \u4e15\u4e00\u4e07'.repeat(50));
});
afterAll(() => rm(root, { recursive: true }));

const last = (out: string): Record<string, unknown> => JSON.parse(out.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;

describe.each(['node', 'deno'] as const)('%s', (runtime: Runtime) => {
  const methods = ['mean', 'weighted', 'gaussian', 'focus', 'omp', 'mean+noise', 'random', 'copy'];
  it.each(runtime === 'node' ? methods : ['mean', 'focus'])('%s: rows, seconds, memory', async (method) => {
    const out = at(`${runtime}-${method}`);
    const ran = await scion(runtime, [
      'init',
      '--base',
      at('base'),
      '--tokenizer',
      at('words'),
      '--out',
      out,
      '--method',
      method,
      '--data',
      at('zh.txt'),
      '--json',
    ]);
    expect([ran.code, ran.err]).toEqual([0, expect.stringContaining('60 new pieces')]);
    const report = last(ran.out);
    expect(report).toMatchObject({ rows: 560, baseRows: 500, method, matrices: [{ dtype: 'BF16' }, { dtype: 'BF16' }] });
    expect(report.seconds).toBeGreaterThan(0);
    expect(report.peakRssBytes).toBeGreaterThan(2 ** 24);
    const checked = await scion(runtime, ['init', '--verify', out, '--base', at('base'), '--json']);
    expect(checked.code).toBe(0);
    expect((last(checked.out).findings as { level: string }[]).filter((f) => f.level === 'wrong')).toEqual([]);
  });

  it('a folder that is wrong ends with 2 and tells its findings', async () => {
    const dir = at(`bad-${runtime}`);
    await scion(runtime, ['init', '--base', at('base'), '--tokenizer', at('words'), '--out', dir]);
    const path = join(dir, 'config.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"vocab_size": 560', '"vocab_size": 500'));
    const ran = await scion(runtime, ['init', '--verify', dir, '--json']);
    expect(ran.code).toBe(2);
    expect(last(ran.out)).toMatchObject({ kind: 'input', rows: 560, findings: [{ level: 'wrong', check: 'sizes', remedy: expect.stringContaining('560') }] });
    expect(ran.err).toContain('mend: set vocab_size to 560');
  });
});

it('Deno makes the same bytes as Node', async () => {
  for (const method of ['mean', 'focus']) {
    for (const name of await readdir(at(`node-${method}`))) {
      if (name === 'scion_init.json') continue;
      expect((await readFile(join(at(`deno-${method}`), name))).equals(await readFile(join(at(`node-${method}`), name))), name).toBe(true);
    }
  }
});
