/**
 * npm packages and the pinned Node. What is installed is compared with the lock file, entry by entry
 * (npm keeps what it installed in node_modules/.package-lock.json), so a second start costs a file
 * read and a changed lock is noticed. Only `npm ci`: nothing is ever resolved anew here.
 */
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { at, root, SetupError, say, timed } from './log.mjs';
import { capture, quiet } from './run.mjs';

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/**
 * Names the packages of the lock in `folder` that are missing or of another version. Optional ones are
 * mostly other platforms' binaries: absent is fine, another version is not. Those that package.json itself calls
 * optional are for some users only; whoever develops needs them.
 * @param dev count the development packages too
 */
export function missingPackages(folder, dev) {
  const hidden = join(folder, 'node_modules', '.package-lock.json');
  const installed = existsSync(hidden) ? readJson(hidden).packages : {};
  const missing = [];
  const { packages } = readJson(join(folder, 'package-lock.json'));
  const own = dev ? Object.keys(packages['']?.optionalDependencies ?? {}).map((name) => `node_modules/${name}`) : [];
  for (const [path, entry] of Object.entries(packages)) {
    if (path === '' || ((entry.dev || entry.devOptional) && !dev)) continue;
    if ((entry.optional || entry.devOptional) && !installed[path] && !own.includes(path)) continue;
    const same = installed[path]?.version === entry.version && existsSync(join(folder, path, 'package.json'));
    if (!same) missing.push(path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
  }
  return missing;
}

/** The first program of this name on PATH outside the checkout (npm puts node_modules/.bin first, and `npm ci` deletes it). */
export function onPath(name) {
  const names = process.platform === 'win32' ? [`${name}.cmd`, `${name}.exe`] : [name];
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder === '' || folder.startsWith(at('node_modules'))) continue;
    for (const candidate of names) if (existsSync(join(folder, candidate))) return join(folder, candidate);
  }
  return null;
}

/** Runs npm in `folder` with the Node that will survive it. */
async function npm(folder, args) {
  const script = process.env.npm_execpath;
  const node = onPath('node') ?? process.execPath;
  const [command, first] = script?.endsWith('npm-cli.js') ? [node, [script]] : [onPath('npm') ?? 'npm', []];
  // An npm that runs scripts hands its own settings down as npm_*; those must not leak into this one (--silent, --json, omit).
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(config_(loglevel|json|omit|include|prefix|local_prefix)|lifecycle|package)/.test(name)),
  );
  const code = await quiet(command, [...first, ...args, '--no-audit', '--no-fund'], { cwd: folder, env });
  if (code !== 0) throw new SetupError(`npm ${args.join(' ')} failed in ${folder}; the lines above tell why`);
}

/** Installs what `package-lock.json` names, without development packages unless `dev`. */
export async function ensurePackages({ dev }) {
  const missing = missingPackages(root, dev);
  if (missing.length === 0) return;
  // Whoever has the development packages keeps them.
  const all = dev || existsSync(at('node_modules', 'typescript'));
  const shown = missing.length > 4 ? `${missing.slice(0, 4).join(', ')} and ${missing.length - 4} more` : missing.join(', ');
  await timed(`installing npm packages (${shown})`, () => npm(root, all ? ['ci'] : ['ci', '--omit=dev']));
  const still = missingPackages(root, dev);
  if (still.length > 0) throw new SetupError(`npm ci ended well but ${still.join(', ')} are not installed; delete node_modules and try again`);
}

/** Installs a locked folder of its own below tools/ (its node_modules stays there). */
export async function ensureFolder(folder, what) {
  if (missingPackages(folder, false).length === 0 && existsSync(join(folder, 'node_modules', '.package-lock.json'))) return;
  await timed(`installing ${what}`, () => npm(folder, ['ci', '--ignore-scripts']));
}

const major = async (program) => Number((await capture(program, ['-p', 'process.versions.node'])).stdout.split('.')[0]);

/** How Node runs the sources: no word about type stripping, and no debugger for whoever can send a signal (launchers of MPI send that very one). */
export const nodeFlags = ['--disable-warning=ExperimentalWarning', '--disable-sigusr1'];

const nodePackage = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;

/** The pinned version of Node for this platform; undefined where the registry has none. */
const pinnedVersion = () => readJson(at('tools', 'runtime', 'package.json')).optionalDependencies[nodePackage];

/** Path of the pinned Node's program if it is installed: the development package, or the one of tools/runtime. */
export function findPinnedNode() {
  const version = pinnedVersion();
  for (const folder of [at('node_modules', 'node'), at('tools', 'runtime', 'node_modules', nodePackage)]) {
    const program = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    if (existsSync(program) && readJson(join(folder, 'package.json')).version === version) return program;
  }
  return null;
}

/**
 * The Node that runs scion in a checkout: the pinned one, installed if need be. On systems for which
 * the registry has no such package (macOS), any Node from 24 on.
 */
export async function ensureNode() {
  const found = findPinnedNode();
  if (found) return found;
  const version = pinnedVersion();
  if (version) {
    await ensureFolder(at('tools', 'runtime'), `Node ${version}`);
    const installed = findPinnedNode();
    if (installed) return installed;
  }
  for (const candidate of [process.execPath, onPath('node')]) if (candidate && (await major(candidate)) >= 24) return candidate;
  say(`scion: no pinned Node for ${process.platform}-${process.arch}`);
  throw new SetupError('scion needs Node 24 or newer on this system: install it and start again');
}
