/**
 * The command line as a whole, run in this process with its streams caught: help, exit codes, what `--json` prints, and
 * the public surface, which changes only on purpose. What needs a device of its own state runs in a child.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Runtime, scion } from '../../test/e2e/cli.ts';
import { runCommandLine } from './run.ts';

const GOLDEN = resolve(import.meta.dirname, '../../test/golden');
const MODEL = join(GOLDEN, 'llama/llama-tied');

let out = '';
let err = '';

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

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Every verb with its flags, as users' scripts rely on them. Whoever changes a line changes what those scripts may say:
 * write it into CHANGELOG.md.
 */
const SURFACE: Readonly<Record<string, string>> = {
  start: 'data device fresh help json out quick seed steps',
  run: 'device dry-run fresh gflops gpu help json out price workers',
  graft: 'add base batch data device dry-run fresh help json length lr out precision replay seed tokens workers',
  doctor: 'device help json seconds',
  train:
    'accumulate batch clip config data device devices first-row help json keep lr mesh min-lr model optimizer out outlier precision profile prompts recompute resume save-every schedule seed sequence steps tokenizer tokens transport validate-every validation validation-bytes validation-share warmup weight-decay z-loss zero',
  plan: 'accumulate batch budget config device gflops help html json limits model precision profile recompute steps tokens',
  score: 'adapter data device ema help json limit max-tokens model precision tokenizer window',
  eval: 'adapter budget compat data device ema few-shot fresh help json limit method model out precision seed shots-file subjects tasks tokenizer',
  judge:
    'against answers compat data endpoint help human json judge key-env language limit max-price metrics mode out parallel plain-http price prompts questions references seed timeout top-logprobs tries',
  generate: 'adapter device ema help json max-new-tokens model precision prompt repetition-penalty seed stop temperature tokenizer top-k top-p',
  chat: 'adapter context device ema help json max-new-tokens model precision repetition-penalty seed system temperature template tokenizer top-k top-p',
  import: 'dtype force help json out tokenizer',
  export: 'adapter dtype ema force format help json model out tokenizer',
  init: 'base base-tokenizer copy data help json method out pad-to seed tokenizer verify',
  'vocab stats': 'base columns config data gflops help html json min-occurrences pieces sample sizes sweep token-budget tokenizer tokens',
  'data build': 'buckets columns data eval help json keep-work length only out rules seed tokenizer transport workers',
  'data inspect': 'category documents drops duplicates help html id json limit packs',
  bench: 'batch device heads help hidden json layers precision quick tokens vocab',
};

describe('help', () => {
  test('lists the verbs; without a verb it is a usage error', async () => {
    expect(await runCommandLine(['--help'])).toBe(0);
    const listed = [...out.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) {2,}\S/gm)].map(([, verb]) => verb);
    expect(listed).toEqual(expect.arrayContaining(Object.keys(SURFACE)));
    expect(out).toContain('Exit codes: 0 done');
    expect(await runCommandLine([])).toBe(2);
  });

  test.each(Object.entries(SURFACE))('%s: examples, and exactly these flags', async (verb, flags) => {
    expect(await runCommandLine([verb, '--help'])).toBe(0);
    const [before, examples] = out.split('\nexamples:\n');
    expect(before.startsWith(`scion ${verb}: `)).toBe(true);
    const found = [...before.matchAll(/^ {2}--([a-z0-9-]+)/gm)].map(([, name]) => name);
    expect(found.toSorted().join(' ')).toBe(flags);
    const lines = examples.trim().split('\n');
    expect(lines.length).toBeGreaterThan(0);
    // An example uses flags that exist.
    for (const line of lines) {
      expect(line).toContain(`scion ${verb}`);
      for (const [, name] of line.matchAll(/--(?:no-)?([a-z0-9-]+)/g)) expect(flags.split(' '), line).toContain(name);
    }
    expect(err).toBe('');
  });

  test('the version is that of the package', async () => {
    expect(await runCommandLine(['--version'])).toBe(0);
    const { version } = JSON.parse(readFileSync(resolve(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string };
    expect(out).toBe(`${version}\n`);
  });
});

describe('wrong usage and input end with 2', () => {
  test.each([
    ['an unknown verb', ['scroe'], 'unknown verb "scroe"; did you mean score?'],
    ['an unknown flag', ['score', '--modl', 'x'], 'did you mean --model?'],
    ['a word where none belongs', ['score', 'x'], 'takes only flags; found "x"'],
    ['no model', ['score', '--data', 'x'], '--model is missing'],
    ['a tokenizer of another model', ['score', '--model', MODEL, '--tokenizer', join(GOLDEN, 'text/sp-llama.model')], 'do not belong together'],
    ['a missing model', ['generate', '--model', '/no/such/model'], 'no model at /no/such/model'],
    ['a model without a tokenizer', ['chat', '--model', MODEL], 'name one with --tokenizer'],
    ['no file to import', ['import', '--out', 'x'], 'takes one FILE or DIR, got none'],
    ['two files to import', ['import', 'a', 'b', '--out', 'x'], 'takes one FILE or DIR, got a b'],
    ['a file of another kind', ['import', join(GOLDEN, 'llama/index.json'), '--out', 'x'], 'index.json is no model that scion reads'],
    ['weights without their folder', ['import', join(MODEL, 'model.safetensors'), '--out', 'x'], 'name the folder it lies in'],
    ['no --out', ['import', MODEL], '--out is missing'],
    ['an impossible temperature', ['generate', '--model', MODEL, '--temperature', '-1'], 'temperature must be a number from 0, got -1'],
    ['a tokenizer that is not there', ['score', '--model', MODEL, '--data', 'x', '--tokenizer', '/no/such'], 'no tokenizer at /no/such'],
    ['a size of nothing', ['bench', '--layers', '0'], '--layers must be at least 1, got 0'],
    ['a model to grow that is not there', ['init', '--base', '/no/such', '--tokenizer', 'x', '--out', 'x'], '/no/such/config.json does not exist'],
    ['a folder to check that is not there', ['init', '--verify', '/no/such'], '/no/such is no folder'],
    ['an unknown way to make rows', ['init', '--base', 'x', '--tokenizer', 'x', '--out', 'x', '--method', 'maen'], '--method takes one of mean, mean-bare,'],
    ['a mesh said twice', ['train', '--mesh', 'dp=2', '--devices', '2'], '--devices 2 is short for --mesh dp=2; give one of the two'],
    ['an axis of no mesh', ['train', '--mesh', 'dq=2'], '"dq=2" is no axis with a number of ranks'],
    ['a ZeRO stage of no paper', ['train', '--devices', '2', '--zero', '4'], 'ZeRO stage 4: 0, 1, 2 or 3'],
    ['an axis that is not built', ['train', '--mesh', 'dp=2,pp=2'], 'the mesh has pp=2; this version spreads training over dp, sp and tp'],
    ['a kind of sequence of no ranks', ['train', '--mesh', 'dp=2', '--sequence', 'ring'], '--sequence says how sp ranks split packs; the mesh dp=2 has none'],
    ['a foreign choice', ['export', '--model', MODEL, '--out', 'x', '--dtype', 'q4'], '--dtype takes one of f32, f16, bf16; got "q4"'],
  ] as [string, string[], string][])('%s', async (_, argv, message) => {
    expect(await runCommandLine(argv)).toBe(2);
    expect(err).toContain(message);
    expect(out).toBe('');
  });
});

describe('--json', () => {
  test('prints one object as the only line of standard output; what is for people goes elsewhere', async () => {
    const target = join(folder, 'one');
    expect(await runCommandLine(['import', MODEL, '--out', target, '--json'])).toBe(0);
    expect(out.endsWith('\n')).toBe(true);
    expect(out.trimEnd().split('\n')).toHaveLength(1);
    expect(JSON.parse(out)).toMatchObject({ out: target, kind: 'folder', dtype: 'f32', tokenizer: null });
    expect(err).toContain(`written    ${target}`);
    expect(err).toContain('no tokenizer');
  });

  test('an error is an object too', async () => {
    expect(await runCommandLine(['generate', '--model', '/no/such/model', '--json'])).toBe(2);
    expect(out.trimEnd().split('\n')).toHaveLength(1);
    expect(JSON.parse(out)).toEqual({ error: expect.stringContaining('no model at'), kind: 'input' });
  });

  test('a flag error before the verb was understood is one as well', async () => {
    expect(await runCommandLine(['generate', '--json', '--nonsense'])).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ kind: 'usage' });
  });
});

describe('import and export', () => {
  const listing = () => readdirSync(folder).toSorted();

  test('refuse what is in the way; --force replaces a model and nothing else', async () => {
    const target = join(folder, 'two');
    expect(await runCommandLine(['export', '--model', MODEL, '--out', target])).toBe(0);
    const before = readFileSync(join(target, 'model.safetensors'));
    expect(await runCommandLine(['export', '--model', MODEL, '--out', target, '--dtype', 'bf16'])).toBe(2);
    expect(err).toContain('add --force to replace');
    expect(readFileSync(join(target, 'model.safetensors')).equals(before)).toBe(true);
    expect(await runCommandLine(['export', '--model', MODEL, '--out', target, '--dtype', 'bf16', '--force'])).toBe(0);
    expect(readFileSync(join(target, 'model.safetensors')).length).toBeLessThan(before.length);
    // Nothing is left beside it.
    expect(listing().filter((name) => name.startsWith('two'))).toEqual(['two']);
    writeFileSync(join(folder, 'note.txt'), 'mine');
    for (const [place, message] of [
      [folder, 'is no model folder'],
      [join(folder, 'note.txt'), 'is a file'],
    ]) {
      expect(await runCommandLine(['export', '--model', MODEL, '--out', place, '--force'])).toBe(2);
      expect(err).toContain(message);
    }
    expect(readFileSync(join(folder, 'note.txt'), 'utf8')).toBe('mine');
  });

  test('a folder may be written over itself', async () => {
    const target = join(folder, 'three');
    await runCommandLine(['export', '--model', MODEL, '--out', target]);
    const before = readFileSync(join(target, 'model.safetensors'));
    expect(await runCommandLine(['export', '--model', target, '--out', `${target}/`, '--force'])).toBe(0);
    expect(readFileSync(join(target, 'model.safetensors')).equals(before)).toBe(true);
  });

  test('keep the element type, and every bit through GGUF', async () => {
    const half = join(folder, 'half');
    await runCommandLine(['export', '--model', MODEL, '--out', half, '--dtype', 'bf16', '--json']);
    const file = join(folder, 'half.gguf');
    out = '';
    expect(await runCommandLine(['export', '--model', half, '--out', file, '--json'])).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ format: 'gguf', dtype: 'bf16', files: ['half.gguf'] });
    expect(await runCommandLine(['export', '--model', half, '--out', file])).toBe(2);
    expect(await runCommandLine(['import', file, '--out', join(folder, 'back')])).toBe(0);
    expect(readFileSync(join(folder, 'back/model.safetensors')).equals(readFileSync(join(half, 'model.safetensors')))).toBe(true);
  });
});

describe('no adapter ends with 3', () => {
  /** A Vulkan loader that finds no driver; Deno would turn to OpenGL. */
  const env = { VK_ICD_FILENAMES: '/nonexistent', VK_DRIVER_FILES: '/nonexistent', DENO_WEBGPU_BACKEND: 'vulkan' };

  test.each<Runtime>(['node', 'deno'])('on %s, and says what to install', async (runtime) => {
    const ran = await scion(runtime, ['bench', '--quick', '--json'], { env });
    expect(ran.code, ran.err).toBe(3);
    expect(ran.err).toMatch(/no WebGPU adapter/);
    expect(JSON.parse(ran.out)).toMatchObject({ kind: 'device' });
  });
});
