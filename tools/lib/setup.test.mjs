/**
 * The parts of set-up that can be tried without installing anything: sources of apt in both spellings,
 * the tar reader, what counts as a missing package, lock entries of other platforms, exit codes and
 * signals of the child. The whole is tried by a fresh clone on a bare machine.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, describe, expect, it } from 'vitest';
import { fillOptional, platformOf } from '../lock.mjs';
import { backportsLine, lavapipeCommand, readOsRelease, readSources } from './apt.mjs';
import { missingPackages } from './packages.mjs';
import { capture } from './run.mjs';
import { untar } from './untar.mjs';

const DEB822 = `# Written by an installer
Types: deb deb-src
# a snapshot stood here
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://other.example/debian
Suites: bookworm-backports
Components: main
`;

describe('sources of apt', () => {
  it('reads deb822 files, without what is switched off', () => {
    const found = readSources([{ name: 'debian.sources', text: DEB822 }]);
    expect(found.map(({ suite }) => suite)).toEqual(['bookworm', 'bookworm-updates']);
    expect(backportsLine(found, 'bookworm')).toBe(
      'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm-backports main',
    );
  });

  it('reads one-line files with and without options', () => {
    const text =
      '# deb http://no.example/debian bookworm main\ndeb [arch=amd64 trusted=yes] http://a.example/debian bookworm main # ours\ndeb-src http://a.example/debian bookworm main\n';
    const found = readSources([{ name: 'sources.list', text }]);
    expect(found).toEqual([{ options: 'arch=amd64 trusted=yes', uri: 'http://a.example/debian', suite: 'bookworm', components: ['main'] }]);
    expect(backportsLine(found, 'bookworm')).toBe('deb [arch=amd64 trusted=yes] http://a.example/debian bookworm-backports main');
  });

  it('adds no second line for backports, and none without the release itself', () => {
    const line = (text) => backportsLine(readSources([{ name: 'x.list', text }]), 'bookworm');
    expect(line('deb http://a.example/debian bookworm main\ndeb http://a.example/debian bookworm-backports main\n')).toBeNull();
    expect(line('deb http://a.example/debian-security bookworm-security main\n')).toBeNull();
  });

  it('names the whole command', () => {
    const sources = readSources([{ name: 'x.list', text: 'deb http://a.example/debian bookworm main\n' }]);
    expect(lavapipeCommand({ codename: 'bookworm' }, sources)).toBe(
      "echo 'deb http://a.example/debian bookworm-backports main' | sudo tee /etc/apt/sources.list.d/scion-backports.list && sudo apt-get update && sudo apt-get install -y -t bookworm-backports mesa-vulkan-drivers libvulkan1",
    );
    expect(lavapipeCommand({ codename: 'noble' }, [])).toBe('sudo apt-get update && sudo apt-get install -y mesa-vulkan-drivers libvulkan1');
  });

  it('reads os-release', () => {
    expect(readOsRelease('ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nVERSION_ID="24.04"\n')).toEqual({
      id: 'ubuntu',
      like: 'debian',
      codename: 'noble',
      version: '24.04',
    });
  });
});

/** One tar entry as `tar` writes it. */
function entry(name, content, type = '0') {
  const header = new Uint8Array(512);
  const put = (at, text) => header.set(new TextEncoder().encode(text), at);
  put(0, name);
  put(100, '0000755\0');
  put(124, `${content.length.toString(8).padStart(11, '0')}\0`);
  put(156, type);
  const body = new Uint8Array(Math.ceil(content.length / 512) * 512);
  body.set(content);
  return [...header, ...body];
}

describe('untar', () => {
  const end = new Array(1024).fill(0);
  it('gives files with mode and bytes', () => {
    const content = Uint8Array.from({ length: 700 }, (_, i) => i % 251);
    const files = untar(Uint8Array.from([...entry('lib/', new Uint8Array(), '5'), ...entry('lib/a.so', content), ...entry('b', new Uint8Array([7])), ...end]));
    expect(files.map(({ name, mode }) => [name, mode])).toEqual([
      ['lib/a.so', 0o755],
      ['b', 0o755],
    ]);
    expect(files[0].bytes).toEqual(content);
    expect(files[1].bytes).toEqual(new Uint8Array([7]));
  });

  it('refuses paths that lead outside, links, and sizes beyond the archive', () => {
    const bad = (...bytes) => untar(Uint8Array.from([...bytes, ...end]));
    expect(() => bad(...entry('../x', new Uint8Array(1)))).toThrow('outside');
    expect(() => bad(...entry('/x', new Uint8Array(1)))).toThrow('outside');
    expect(() => bad(...entry('x', new Uint8Array(0), '2'))).toThrow('type "2"');
    expect(() => untar(Uint8Array.from(entry('x', new Uint8Array(600)).slice(0, 900)))).toThrow('600 bytes, 388 are left');
  });
});

describe('missingPackages', () => {
  let folder = '';
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A folder whose lock names a, b (development) and c (optional), with some of them installed. */
  function make(installed) {
    folder = mkdtempSync(join(tmpdir(), 'scion-lock-'));
    const lock = {
      '': {},
      'node_modules/a': { version: '1.0.0' },
      'node_modules/a/node_modules/b': { version: '2.0.0', dev: true },
      'node_modules/c': { version: '3.0.0', optional: true },
    };
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: lock }));
    const packages = {};
    for (const [path, version] of Object.entries(installed)) {
      packages[path] = { version };
      mkdirSync(join(folder, path), { recursive: true });
      writeFileSync(join(folder, path, 'package.json'), '{}');
    }
    mkdirSync(join(folder, 'node_modules'), { recursive: true });
    writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));
    return folder;
  }

  it('counts runtime packages always, development packages on request, optional ones only when stale', () => {
    expect(missingPackages(make({}), false)).toEqual(['a']);
    expect(missingPackages(make({ 'node_modules/a': '1.0.0' }), false)).toEqual([]);
    expect(missingPackages(make({ 'node_modules/a': '1.0.0' }), true)).toEqual(['b']);
    expect(missingPackages(make({ 'node_modules/a': '1.0.1' }), false)).toEqual(['a']);
    expect(missingPackages(make({ 'node_modules/a': '1.0.0', 'node_modules/c': '2.9.9' }), false)).toEqual(['c']);
  });

  it('counts those that the package itself calls optional for whoever develops', () => {
    make({ 'node_modules/a': '1.0.0', 'node_modules/a/node_modules/b': '2.0.0' });
    const path = join(folder, 'package-lock.json');
    const { packages } = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ packages: { ...packages, '': { optionalDependencies: { c: '3.0.0' } } } }));
    expect(missingPackages(folder, false)).toEqual([]);
    expect(missingPackages(folder, true)).toEqual(['c']);
  });

  it('does not believe the list where the folder is gone', () => {
    make({ 'node_modules/a': '1.0.0' });
    rmSync(join(folder, 'node_modules/a'), { recursive: true });
    expect(missingPackages(folder, false)).toEqual(['a']);
  });
});

describe('lock entries of other platforms', () => {
  it('reads the platform from the name', () => {
    expect(platformOf('@biomejs/cli-linux-arm64-musl')).toEqual({ cpu: ['arm64'], libc: ['musl'], os: ['linux'] });
    expect(platformOf('@deno/win32-x64')).toEqual({ cpu: ['x64'], os: ['win32'] });
    expect(platformOf('fsevents')).toBeNull();
  });

  it('fills in what is named but absent, and nothing else', () => {
    const lock = {
      packages: {
        '': {},
        'node_modules/b': { dev: true, optionalDependencies: { 'b-linux-x64': '1.2.3', 'b-darwin-arm64': '1.2.3', plain: '1.0.0' } },
        'node_modules/b-linux-x64': { version: '1.2.3' },
      },
    };
    expect(fillOptional(lock)).toEqual(['b-darwin-arm64']);
    expect(lock.packages['node_modules/b-darwin-arm64']).toEqual({ version: '1.2.3', cpu: ['arm64'], dev: true, optional: true, os: ['darwin'] });
    expect(Object.keys(lock.packages)).toEqual(['', 'node_modules/b', 'node_modules/b-darwin-arm64', 'node_modules/b-linux-x64']);
  });
});

describe('capture', () => {
  it('gives output and exit code, 127 for a missing program, 124 past the limit', async () => {
    expect(await capture(process.execPath, ['-e', 'console.log(1); console.error(2); process.exit(5)'])).toEqual({ code: 5, stdout: '1\n', stderr: '2\n' });
    expect((await capture('no-such-program-here', [])).code).toBe(127);
    expect((await capture(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { timeoutMs: 300 })).code).toBe(124);
  });
});

describe('passThrough', () => {
  it('hands SIGINT to the child once and gives back its exit code', async () => {
    const child = `let n = 0; process.on('SIGINT', () => { n++; setTimeout(() => process.exit(100 + n), 200); }); process.kill(process.ppid, 'SIGINT'); setTimeout(() => {}, 20_000);`;
    const run = new URL('./run.mjs', import.meta.url).href;
    const parent = `
      const { passThrough } = await import(${JSON.stringify(run)});
      process.exitCode = await passThrough(process.execPath, ['-e', ${JSON.stringify(child)}], {});`;
    expect(await capture(process.execPath, ['--input-type=module', '-e', parent], { timeoutMs: 15_000 })).toMatchObject({ code: 101 });
  });
});
