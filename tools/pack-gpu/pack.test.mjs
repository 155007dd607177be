/**
 * The GPU pack as it meets a bare machine: made, then started from an empty folder with an empty environment and a PATH that
 * has no Node. Linux x64 only, where it is made.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NODE, need, ROOT } from '../../test/runtime/expect.ts';
import { tar } from './tar.mjs';

/** All that the target is asked for. */
const PROGRAMS = ['sh', 'tar', 'gzip', 'cat', 'mkdir', 'rm', 'dirname'];
const here = process.platform === 'linux' && process.arch === 'x64';

describe.runIf(here)('npm run gpu:pack', { timeout: 120_000 }, () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'scion-gpu-pack-'));
    execFileSync(need(NODE, 'SCION_NODE'), [join(ROOT, 'tools/pack-gpu/pack.mjs'), '--out', join(folder, 'pack')], { cwd: ROOT, stdio: 'pipe' });
    mkdirSync(join(folder, 'bin'));
    mkdirSync(join(folder, 'work'));
    for (const name of PROGRAMS) symlinkSync(execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim(), join(folder, 'bin', name));
  }, 120_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Only what points this machine to its Vulkan driver is handed on: the pack brings no driver. */
  const start = (...words) =>
    new Promise((done) => {
      const names = ['VK_ICD_FILENAMES', 'VK_DRIVER_FILES', 'LD_LIBRARY_PATH', 'MESA_SHADER_CACHE_DIR'];
      const driver = Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
      const env = { PATH: join(folder, 'bin'), ...driver };
      execFile(join(folder, 'pack/run.sh'), words, { cwd: join(folder, 'work'), env, timeout: 110_000 }, (error, stdout, stderr) => {
        done({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 127, out: `${stdout}${stderr}` });
      });
    });
  const lines = (part) =>
    readFileSync(join(folder, 'work/results', `${part}.jsonl`), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));

  it('holds at most 60 MB', () => {
    const pack = join(folder, 'pack');
    const size = readdirSync(pack).reduce((sum, name) => sum + statSync(join(pack, name)).size, 0);
    expect(size).toBeLessThanOrEqual(60e6);
    expect(size).toBeGreaterThan(30e6);
  });

  it('runs doctor', async () => {
    const { code, out } = await start('--only', 'doctor', '--quick');
    expect(code, out).toBe(0);
    expect(lines('doctor').map((l) => [l.key, l.ok])).toEqual([
      ['facts', true],
      ['speed', true],
      ['large buffer', true],
    ]);
    expect(JSON.parse(readFileSync(join(folder, 'work/results/summary.json'), 'utf8'))).toMatchObject({ ok: true, parts: { doctor: { failed: 0 } } });
  });

  it('runs op cases under both profiles, and goes on where an earlier start ended', async () => {
    const words = ['--only', 'ops', '--filter', 'swiglu f32 3x14'];
    const { code, out } = await start(...words);
    expect(code, out).toBe(0);
    const first = lines('ops');
    expect(first.length).toBeGreaterThanOrEqual(2);
    for (const line of first) expect(Math.max(...Object.values(line.errors ?? {})), line.key).toBeLessThan(1e-5);
    // The last line is lost, half of another one is there: what a killed process leaves.
    const path = join(folder, 'work/results/ops.jsonl');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, `${text.slice(0, text.trimEnd().lastIndexOf('\n') + 1)}{"key":"cut`);
    expect((await start(...words)).code).toBe(0);
    const whole = readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line.endsWith('}'));
    expect(whole.map((line) => JSON.parse(line).key)).toEqual(first.map((l) => l.key));
  });

  it('runs the command line of scion, and refuses unknown flags', async () => {
    const { code, out } = await start('scion', 'plan', '--help');
    expect(code, out).toBe(0);
    expect(out).toContain('usage: scion plan');
    expect((await start('--only', 'ops', '--out', 'none', '--filter', 'no such case')).code).toBe(1);
    expect((await start('--onyl', 'ops')).code).toBe(2);
    expect((await start('--only', 'opps')).code).toBe(2);
    expect(existsSync(join(folder, 'work/node_modules'))).toBe(false);
  });
});

describe('tar', () => {
  it('is read by tar', () => {
    const folder = mkdtempSync(join(tmpdir(), 'scion-tar-'));
    try {
      const files = [
        { name: 'a/b.txt', bytes: Buffer.from('x'.repeat(513)), mode: 0o644 },
        { name: 'empty', bytes: Buffer.alloc(0), mode: 0o755 },
      ];
      execFileSync('tar', ['-xf', '-', '-C', folder], { input: tar(files) });
      expect(readFileSync(join(folder, 'a/b.txt'), 'utf8')).toBe('x'.repeat(513));
      expect(statSync(join(folder, 'empty')).mode & 0o777).toBe(0o755);
      expect(() => tar([{ name: 'n'.repeat(101), bytes: Buffer.alloc(0), mode: 0o644 }])).toThrow(/100 bytes/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
