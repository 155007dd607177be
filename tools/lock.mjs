/**
 * `npm run lock`, after every change of dependencies: brings package-lock.json, deno.json and Deno's lock
 * in line with package.json. A registry mirror may lack other platforms' binaries; npm then leaves them out
 * of the lock, and `npm ci` refuses that lock everywhere. Their entries are filled in here with version and
 * platform but without a hash, since nobody here has seen the file.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { ensureDeno } from './lib/browser.mjs';
import { at, root, runMain, SetupError, say } from './lib/log.mjs';
import { capture } from './lib/run.mjs';

const SYSTEMS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];
const LIBRARIES = { gnu: 'glibc', glibc: 'glibc', musl: 'musl' };

/** Platform fields of a binary package, read from its name; null if the name tells none. */
export function platformOf(name) {
  const words = name.split(/[/_-]/);
  const os = words.find((word) => SYSTEMS.includes(word));
  const cpu = words.find((word) => PROCESSORS.includes(word));
  const libc = words.map((word) => LIBRARIES[word]).find(Boolean);
  return os && cpu ? { cpu: [cpu], ...(libc ? { libc: [libc] } : {}), os: [os] } : null;
}

/** Adds an entry for each optional binary that the lock names but does not hold. Gives the names added. */
export function fillOptional(lock) {
  const added = [];
  for (const entry of Object.values({ ...lock.packages })) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const path = `node_modules/${name}`;
      const platform = platformOf(name);
      if (lock.packages[path] || !platform || !/^\d/.test(version)) continue;
      const { cpu, libc, os } = platform;
      // npm's own order of keys, so that its next run leaves the entry as it is.
      lock.packages[path] = { version, cpu, ...(entry.dev ? { dev: true } : {}), ...(libc ? { libc } : {}), optional: true, os };
      added.push(name);
    }
  }
  const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en'));
  lock.packages = Object.fromEntries(sorted);
  return added;
}

async function main() {
  const npm = await capture('npm', ['install', '--package-lock-only', '--ignore-scripts', '--omit-lockfile-registry-resolved', '--no-audit', '--no-fund'], {
    cwd: root,
  });
  if (npm.code !== 0) throw new SetupError(`npm install --package-lock-only ended with ${npm.code}: ${npm.stderr}`);
  const path = at('package-lock.json');
  const lock = JSON.parse(readFileSync(path, 'utf8'));
  const added = fillOptional(lock);
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
  say(`scion: package-lock.json: ${added.length} entries of other platforms filled in`);
  const { dependencies } = JSON.parse(readFileSync(at('package.json'), 'utf8'));
  const deno = JSON.parse(readFileSync(at('deno.json'), 'utf8'));
  deno.imports = Object.fromEntries(Object.entries(dependencies).map(([name, version]) => [name, `npm:${name}@${version}`]));
  writeFileSync(at('deno.json'), `${JSON.stringify(deno, null, 2)}\n`);
  const cache = await capture(await ensureDeno(), ['run', '-A', at('tools', 'lib', 'deno.mjs')], { cwd: root });
  if (cache.code !== 0) throw new SetupError(`rewriting tools/runtime/deno.lock failed: ${cache.stderr}`);
  return 0;
}

if (process.argv[1] === at('tools', 'lock.mjs')) await runMain(main);
