/**
 * Installing by apt on Debian and Ubuntu, as root only and without a question asked. Debian 12's own
 * Mesa (22.3) is too old for Dawn, so there Mesa comes from backports; the line for them is derived
 * from the machine's own sources, so that a mirror stays a mirror.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { say } from './log.mjs';
import { capture, quiet } from './run.mjs';

/** Options that make apt patient with mirrors and silent towards the user. */
const APT = ['-y', '-q', '--no-install-recommends', '-o', 'Acquire::Retries=3', '-o', 'Dpkg::Use-Pty=0', '-o', 'DPkg::Lock::Timeout=120'];
const ENV = () => ({ ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' });

/** Reads /etc/os-release: `{ id, like, codename, version }`. */
export function readOsRelease(text) {
  const fields = {};
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)="?([^"]*)"?$/.exec(line.trim());
    if (match) fields[match[1]] = match[2];
  }
  return { id: fields.ID ?? '', like: fields.ID_LIKE ?? '', codename: fields.VERSION_CODENAME ?? '', version: fields.VERSION_ID ?? '' };
}

/** The Linux distribution, or null elsewhere. */
export function distribution() {
  if (process.platform !== 'linux' || !existsSync('/etc/os-release')) return null;
  return readOsRelease(readFileSync('/etc/os-release', 'utf8'));
}

/** True on Debian, Ubuntu and what calls itself like them. */
export const isDebianLike = (os) => os !== null && /\b(debian|ubuntu)\b/.test(`${os.id} ${os.like}`) && existsSync('/usr/bin/apt-get');

/** True when apt may be used: root on Debian or Ubuntu. */
export const canApt = () => isDebianLike(distribution()) && process.getuid?.() === 0;

/**
 * Every source of the given sources files as one-line `deb` pieces: `{ options, uri, suite, components }`.
 * Understands one-line `.list` files and deb822 `.sources` files.
 * @param files pairs of name and text
 */
export function readSources(files) {
  const found = [];
  for (const { name, text } of files) {
    if (name.endsWith('.sources')) found.push(...deb822(text));
    else found.push(...oneLine(text));
  }
  return found;
}

function oneLine(text) {
  const found = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)/.exec(line);
    if (match) found.push({ options: match[1]?.trim() ?? '', uri: match[2], suite: match[3], components: match[4].trim().split(/\s+/) });
  }
  return found;
}

function deb822(text) {
  const found = [];
  // Comment lines may stand inside a stanza; stanzas are parted by empty lines.
  for (const stanza of text.replace(/^#.*\n?/gm, '').split(/\n\s*\n/)) {
    const fields = {};
    let last = '';
    for (const line of stanza.split('\n')) {
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (match) {
        last = match[1].toLowerCase();
        fields[last] = match[2].trim();
      } else if (/^\s/.test(line) && last) fields[last] += `\n${line.trim()}`;
    }
    if (!/\bdeb\b/.test(fields.types ?? '') || /^(no|false)$/i.test(fields.enabled ?? '')) continue;
    // A key block written into the file itself cannot stand on one line; apt's own trusted keys must do then.
    const key = fields['signed-by'];
    const options = key?.startsWith('/') ? `signed-by=${key.split(/\s+/).join(',')}` : '';
    for (const uri of fields.uris?.split(/\s+/) ?? [])
      for (const suite of fields.suites?.split(/\s+/) ?? []) found.push({ options, uri, suite, components: fields.components?.split(/\s+/) ?? [] });
  }
  return found;
}

/**
 * The source line for `<codename>-backports` from the source that carries `<codename>` itself.
 * Null if backports are among the sources already, or if no source carries the release.
 */
export function backportsLine(sources, codename) {
  if (sources.some((source) => source.suite === `${codename}-backports`)) return null;
  const base = sources.find((source) => source.suite === codename && source.components.includes('main'));
  if (!base) return null;
  return `deb ${base.options ? `[${base.options}] ` : ''}${base.uri} ${codename}-backports main`;
}

function machineSources() {
  const folder = '/etc/apt/sources.list.d';
  const paths = ['/etc/apt/sources.list'];
  if (existsSync(folder)) for (const name of readdirSync(folder)) if (/\.(list|sources)$/.test(name)) paths.push(join(folder, name));
  return readSources(paths.filter((path) => existsSync(path)).map((path) => ({ name: path, text: readFileSync(path, 'utf8') })));
}

let updated = false;

async function update() {
  if (updated) return true;
  // One broken third-party source must not keep the distribution's own packages away, so its failure is only said.
  const { code, stderr } = await capture('apt-get', ['update', '-q', '-o', 'Acquire::Retries=3', '-o', 'DPkg::Lock::Timeout=120'], {
    env: ENV(),
    timeoutMs: 300_000,
  });
  if (code !== 0) say(`scion: apt-get update ended with ${code}: ${stderr.trim().split('\n').slice(-2).join(' ')}`);
  updated = true;
  return code === 0;
}

/** Installs packages by apt (after one `apt-get update`); true if apt says they are there. */
export async function aptInstall(packages, release) {
  await update();
  const target = release ? ['-t', release] : [];
  return (await quiet('apt-get', ['install', ...APT, ...target, ...packages], { env: ENV(), timeoutMs: 600_000 })) === 0;
}

const LAVAPIPE = ['mesa-vulkan-drivers', 'libvulkan1'];
const BACKPORTS_FILE = '/etc/apt/sources.list.d/scion-backports.list';

/** The release to take Mesa from where the distribution's own is too old for Dawn; else null. */
const backportsOf = (os) => (os?.codename === 'bookworm' ? 'bookworm-backports' : null);

/**
 * The command a user types to get Mesa's CPU Vulkan driver and the loader.
 * @param sources what `readSources` gives; decides whether a source line has to be added first
 */
export function lavapipeCommand(os, sources = machineSources()) {
  const release = backportsOf(os);
  const line = release && backportsLine(sources, os.codename);
  const add = line ? `echo '${line}' | sudo tee ${BACKPORTS_FILE} && ` : '';
  return `${add}sudo apt-get update && sudo apt-get install -y ${release ? `-t ${release} ` : ''}${LAVAPIPE.join(' ')}`;
}

/** Installs Mesa's CPU Vulkan driver (lavapipe) and the Vulkan loader; true if apt says they are there. */
export async function installLavapipe() {
  const os = distribution();
  const release = backportsOf(os);
  const line = release && backportsLine(machineSources(), os.codename);
  if (line) {
    mkdirSync('/etc/apt/sources.list.d', { recursive: true });
    writeFileSync(BACKPORTS_FILE, `# Added by scion: Mesa of Debian 12 is too old for WebGPU.\n${line}\n`);
    updated = false;
  }
  return aptInstall(LAVAPIPE, release);
}
