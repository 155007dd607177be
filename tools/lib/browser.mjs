/**
 * The other two hosts of the test suite: a Chromium and a Deno. Chromium comes from the machine, from
 * apt (Debian, root; Ubuntu's package is a stub that wants snap) or from the locked npm package that also
 * carries SwiftShader; Deno from its npm package, whose install script may not have run.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { brotliDecompressSync } from 'node:zlib';
import { aptInstall, canApt, distribution } from './apt.mjs';
import { ensureBrowserPackage, unpack } from './gpu.mjs';
import { at, SetupError, say, timed } from './log.mjs';
import { onPath } from './packages.mjs';
import { capture } from './run.mjs';

const FOLDER = at('.scion', 'chromium');

/** The version a program tells; null if it does not run. */
async function version(program, args = ['--version']) {
  const { code, stdout } = await capture(program, args, { timeoutMs: 60_000 });
  return code === 0 ? stdout.trim().split('\n')[0] : null;
}

async function works(program) {
  const found = await version(program, ['--no-sandbox', '--version']);
  if (found === null) return false;
  say(`scion: browser: ${found}`);
  return true;
}

/** Unpacks the package's Chromium with its libraries; gives a script that starts it. */
function unpackChromium(bin) {
  const program = join(FOLDER, 'chromium');
  const script = join(FOLDER, 'run.sh');
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(program, brotliDecompressSync(readFileSync(join(bin, 'chromium.br'))));
  chmodSync(program, 0o755);
  unpack(join(bin, 'swiftshader.tar.br'), FOLDER);
  unpack(join(bin, 'fonts.tar.br'), FOLDER);
  unpack(join(bin, 'al2023.tar.br'), FOLDER);
  // The bundled libraries stand in for those a bare machine lacks; the fonts likewise.
  const lines = [
    '#!/bin/sh',
    `here='${FOLDER}'`,
    'export LD_LIBRARY_PATH="$' + '{LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$here:$here/lib"',
    'export FONTCONFIG_PATH="$here"',
    'exec "$here/chromium" "$@"',
  ];
  writeFileSync(script, `${lines.join('\n')}\n`);
  chmodSync(script, 0o755);
  return script;
}

/** Path of a Chromium that starts, installing one if need be. */
export async function ensureChromium() {
  const named = process.env.SCION_CHROMIUM;
  if (named) {
    if (await works(named)) return named;
    throw new SetupError(`SCION_CHROMIUM names ${named}, which does not start`);
  }
  const script = join(FOLDER, 'run.sh');
  const known = () => ['chromium', 'google-chrome', 'chromium-browser'].map((name) => onPath(name)).find((path) => path !== null);
  if (process.env.SCION_DRIVER !== 'swiftshader') {
    const found = known();
    if (found && (await works(found))) return found;
    if (!existsSync(script) && canApt() && distribution()?.id === 'debian') {
      const installed = await timed('installing chromium by apt', () => aptInstall(['chromium']));
      const program = installed && known();
      if (program && (await works(program))) return program;
    }
  }
  if (existsSync(script) && (await works(script))) return script;
  const bin = await ensureBrowserPackage();
  if (bin !== null) {
    const unpacked = await timed('unpacking Chromium', async () => unpackChromium(bin));
    if (await works(unpacked)) return unpacked;
  }
  throw new SetupError('no Chromium starts on this machine; install one and name it in SCION_CHROMIUM');
}

/**
 * `deno task` takes every file of node_modules/.bin for a Node script, the Deno binary there too, and then no task that calls
 * `deno` runs in this clone any more. The package's own script in its place is one, and starts the binary.
 */
function linkDenoScript() {
  const link = at('node_modules', '.bin', 'deno');
  if (process.platform === 'win32' || !lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() || readlinkSync(link) !== '../deno/deno') return;
  const made = `${link}.${process.pid}`;
  symlinkSync('../deno/bin.cjs', made);
  renameSync(made, link);
}

/** Path of the Deno binary of the npm package `deno` (the development package, or its platform package). */
export async function ensureDeno() {
  linkDenoScript();
  const file = process.platform === 'win32' ? 'deno.exe' : 'deno';
  const places = [at('node_modules', 'deno', file)];
  const { optionalDependencies = {} } = JSON.parse(readFileSync(at('node_modules', 'deno', 'package.json'), 'utf8'));
  for (const name of Object.keys(optionalDependencies)) places.push(at('node_modules', ...name.split('/'), file));
  for (const place of places) {
    if (!existsSync(place)) continue;
    const found = await version(place);
    if (found) {
      say(`scion: ${found}`);
      return place;
    }
  }
  throw new SetupError(
    `the npm package deno holds no binary that runs on ${process.platform}-${process.arch} (looked in ${places.map((place) => dirname(place)).join(', ')})`,
  );
}
