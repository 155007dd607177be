/**
 * `npm run oracles`: makes the golden fixtures again and fails where they differ from the committed ones.
 *
 * Builds a Python environment in `.cache/oracles` (ignored; about 5 GB with the pinned torch) from every
 * `requirements.txt` under test/golden, runs every `make*.py` there into a temporary folder, and compares.
 * A generator is called `python make.py --out FOLDER` and writes into FOLDER what its own folder should hold. The other way
 * round, where a folder has `write.ts` and `check.py`, scion writes what other systems then open: `node write.ts FOLDER`, and
 * `python check.py --made FOLDER` fails where they compute something else.
 * Plain JavaScript without dependencies, so that it runs on any Node from 20 on. The tests never need this: they read
 * the committed files. A run that only compares adds its figures to docs/proof.md.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { addProof, commandLine, machineNow } from './lib/proof.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const GOLDEN = join(ROOT, 'test', 'golden');
const CACHE = join(ROOT, '.cache', 'oracles');
/** Another machine's float64 differs by about 1e-15, which may turn a float32 rounding: 6e-8 relative. A changed formula shows far above. */
const TOLERANCE = 1e-6;
const HELP = `usage: node tools/oracles.mjs [--write] [--only WORD] [--json]

  --write      replace the committed fixtures by the regenerated ones instead of failing
  --only WORD  only generators whose path contains WORD (llama, text)
  --json       one JSON object as the last line of standard output
  PYTHON=...   the interpreter that builds the environment (default python3; 3.11 or newer)`;

/** Every file under a folder, as paths from it with forward slashes, sorted. */
function walk(folder, under = '') {
  if (!existsSync(folder)) return [];
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === '__pycache__') continue;
    const path = under ? `${under}/${entry.name}` : entry.name;
    if (entry.isDirectory()) found.push(...walk(join(folder, entry.name), path));
    else found.push(path);
  }
  return found.sort();
}

/** A fixture is whatever a generator writes: not its source, its notes, its tests or its requirements. */
const isFixture = (path) => !/\.(py|md|ts|mjs)$|(^|\/)requirements\.txt$/.test(path);

class Stop extends Error {}

/** Runs a command with its output on standard error (standard output is for the result); stops with its code named. */
function must(command, args, env = {}) {
  const done = spawnSync(command, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 2, 2] });
  if (done.error) throw new Stop(`${command} could not be started (${done.error.message}); install it or name another with PYTHON=`);
  if (done.status !== 0) throw new Stop(`${command} ${args.join(' ')} ended with ${done.status ?? done.signal}`);
}

/** The environment's interpreter; (re)installed only when a requirements file changed since the last time. */
function environment() {
  const venv = join(CACHE, 'venv');
  const python = process.platform === 'win32' ? join(venv, 'Scripts', 'python.exe') : join(venv, 'bin', 'python');
  const files = walk(GOLDEN).filter((path) => path.endsWith('requirements.txt'));
  const hash = createHash('sha256');
  for (const path of files) hash.update(path).update(readFileSync(join(GOLDEN, path)));
  const stamp = join(CACHE, 'installed');
  const wanted = hash.digest('hex');
  if (existsSync(python) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return python;
  mkdirSync(CACHE, { recursive: true });
  rmSync(stamp, { force: true });
  const base = process.env.PYTHON ?? 'python3';
  must(base, [
    '-c',
    'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, this is {v.major}.{v.minor}: set PYTHON=")',
  ]);
  if (!existsSync(python)) must(base, ['-m', 'venv', venv]);
  must(python, ['-m', 'pip', 'install', '--no-compile', ...files.flatMap((path) => ['-r', join(GOLDEN, path)])]);
  writeFileSync(stamp, wanted);
  return python;
}

/** Tensors of a safetensors file: name to { dtype, shape, bytes }. */
function tensors(path) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString('utf8'));
  const found = new Map();
  for (const [name, { dtype, shape, data_offsets: range }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    found.set(name, { dtype, shape, bytes: bytes.subarray(8 + length + range[0], 8 + length + range[1]) });
  }
  return found;
}

/** Norm-wise relative distance of two tensors; `Infinity` where a number is not finite or only the truth is all zero. */
function distance(found, truth, width) {
  const read = width === 8 ? (b, i) => b.readDoubleLE(8 * i) : (b, i) => b.readFloatLE(4 * i);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < truth.length / width; i++) {
    const t = read(truth, i);
    difference += (read(found, i) - t) ** 2;
    size += t * t;
  }
  if (difference === 0) return 0;
  const value = Math.sqrt(difference / size);
  return Number.isNaN(value) ? Number.POSITIVE_INFINITY : value;
}

/** Worst distance over a safetensors file; a tensor that came, went or changed its form is `Infinity`. */
function compareTensors(foundPath, truthPath) {
  const found = tensors(foundPath);
  const truth = tensors(truthPath);
  const worst = { value: 0, where: '', numbers: 0 };
  for (const name of new Set([...found.keys(), ...truth.keys()])) {
    const a = found.get(name);
    const b = truth.get(name);
    let value = Number.POSITIVE_INFINITY;
    if (a && b && a.dtype === b.dtype && a.shape.join() === b.shape.join()) {
      const width = { F32: 4, F64: 8 }[a.dtype];
      if (width) value = distance(a.bytes, b.bytes, width);
      else if (a.bytes.equals(b.bytes)) value = 0;
      worst.numbers += b.shape.reduce((product, n) => product * n, 1);
    }
    if (!(value <= worst.value)) Object.assign(worst, { value, where: name });
  }
  return worst;
}

/** Worst relative distance of two JSON values: whole numbers and everything else must be equal, fractions may round. */
function compareJson(found, truth, where, worst) {
  const note = (value) => {
    if (!(value <= worst.value)) Object.assign(worst, { value, where });
  };
  if (typeof truth === 'number' && typeof found === 'number') {
    worst.numbers++;
    if (found === truth) return;
    note(Number.isInteger(truth) ? Number.POSITIVE_INFINITY : Math.abs(found - truth) / Math.abs(truth));
  } else if (truth !== null && found !== null && typeof truth === 'object' && typeof found === 'object') {
    if (Array.isArray(truth) !== Array.isArray(found)) note(Number.POSITIVE_INFINITY);
    for (const key of new Set([...Object.keys(truth), ...Object.keys(found)])) {
      // `info` at the top of a file tells of the machine and versions that made it; it is nobody's truth.
      if (where === '' && key === 'info') continue;
      compareJson(found[key], truth[key], `${where}/${key}`, worst);
    }
  } else if (found !== truth) note(Number.POSITIVE_INFINITY);
}

function compareFile(found, truth) {
  if (truth.endsWith('.safetensors')) return compareTensors(found, truth);
  const worst = { value: 0, where: '', numbers: 0 };
  const [a, b] = [readFileSync(found), readFileSync(truth)];
  if (truth.endsWith('.json')) compareJson(JSON.parse(a.toString('utf8')), JSON.parse(b.toString('utf8')), '', worst);
  else if (!a.equals(b)) Object.assign(worst, { value: Number.POSITIVE_INFINITY, where: 'bytes' });
  return worst;
}

/** Compares a regenerated folder with the committed one; gives one row, its faults in words. */
function compareFolder(made, committed) {
  const [found, truth] = [walk(made).filter(isFixture), walk(committed).filter(isFixture)];
  const row = { files: truth.length, numbers: 0, worst: 0, where: '', faults: [] };
  for (const path of new Set([...found, ...truth])) {
    if (!truth.includes(path)) row.faults.push(`${path}: made, but not committed`);
    else if (!found.includes(path)) row.faults.push(`${path}: committed, but no generator makes it`);
    else {
      const { value, where, numbers } = compareFile(join(made, path), join(committed, path));
      row.numbers += numbers;
      if (!(value <= row.worst)) Object.assign(row, { worst: value, where: `${path} ${where}` });
      if (!(value <= TOLERANCE)) row.faults.push(`${path}: ${where} differs by ${value.toExponential(2)} (limit ${TOLERANCE})`);
    }
  }
  return row;
}

/** Lets scion write, and other systems read; one row, with the last line that the check printed. */
function checkWritten(python, path, temporary, env) {
  const folder = join(temporary, 'written', dirname(path));
  mkdirSync(folder, { recursive: true });
  // The project's own Node, which runs TypeScript; this file may run on an older one.
  const own = join(ROOT, 'node_modules', '.bin', 'node');
  must(existsSync(own) ? own : process.execPath, [join(GOLDEN, dirname(path), 'write.ts'), folder]);
  const args = [join(GOLDEN, path), '--made', folder];
  const done = spawnSync(python, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 2], encoding: 'utf8' });
  if (done.error) throw new Stop(`${python} could not be started (${done.error.message})`);
  process.stderr.write(done.stdout);
  let said = null;
  try {
    said = JSON.parse(done.stdout.trimEnd().split('\n').at(-1));
  } catch {
    // A check that died has told why on standard error.
  }
  const faults = said?.faults?.map((name) => `${name}: another system computes something else`) ?? [];
  if (done.status !== 0 && faults.length === 0) faults.push(`check.py ended with ${done.status ?? done.signal}`);
  return {
    folder: relative(ROOT, join(GOLDEN, dirname(path)))
      .split(sep)
      .join('/'),
    cases: said?.cases ?? 0,
    worst: said?.worst ?? Number.POSITIVE_INFINITY,
    faults,
  };
}

/** Puts the regenerated fixtures in place of the committed ones. */
function replace(made, committed) {
  const found = walk(made).filter(isFixture);
  for (const path of walk(committed).filter(isFixture)) if (!found.includes(path)) rmSync(join(committed, path));
  for (const path of found) cpSync(join(made, path), join(committed, path));
}

async function main(args) {
  const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : '';
  const unknown = args.filter((a, i) => !['--write', '--only', '--json'].includes(a) && args[i - 1] !== '--only');
  if (unknown.length > 0 || only === undefined) {
    console.error(`${unknown.length > 0 ? `unknown: ${unknown.join(' ')}` : '--only needs a word'}\n${HELP}`);
    return 2;
  }
  const generators = walk(GOLDEN).filter((path) => /(^|\/)make[^/]*\.py$/.test(path) && path.includes(only));
  const checks = walk(GOLDEN).filter((path) => /(^|\/)check\.py$/.test(path) && path.includes(only));
  if (generators.length === 0) throw new Stop(`no make*.py under ${relative(ROOT, GOLDEN)} has '${only}' in its path`);
  const python = environment();
  const temporary = mkdtempSync(join(tmpdir(), 'scion-oracles-'));
  const rows = [];
  const checked = [];
  try {
    // One thread: the sums of a fixture must not depend on how many cores made it. Offline: a fixture uses no downloads.
    const env = { OMP_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1', PYTHONUTF8: '1', HF_HUB_OFFLINE: '1' };
    for (const path of generators) must(python, [join(GOLDEN, path), '--out', join(temporary, dirname(path))], env);
    for (const folder of new Set(generators.map((path) => dirname(path)))) {
      const [made, committed] = [join(temporary, folder), join(GOLDEN, folder)];
      const started = { folder: relative(ROOT, committed).split(sep).join('/') };
      rows.push({ ...started, ...compareFolder(made, committed) });
      if (args.includes('--write')) replace(made, committed);
    }
    for (const path of checks) checked.push(checkWritten(python, path, temporary, env));
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  for (const { folder, files, numbers, worst, where, faults } of rows) {
    console.log(`${folder}: ${files} files, ${numbers} numbers, worst difference ${worst.toExponential(2)}${where ? ` (${where})` : ''}`);
    for (const fault of faults) console.log(`  ${fault}`);
  }
  for (const { folder, cases, worst, faults } of checked) {
    console.log(`${folder}: ${cases} cases that scion wrote opened by others, worst difference ${worst.toExponential(2)}`);
    for (const fault of faults) console.log(`  ${fault}`);
  }
  const faults = rows.reduce((sum, row) => sum + row.faults.length, 0);
  const refused = checked.reduce((sum, row) => sum + row.faults.length, 0);
  const written = args.includes('--write');
  console.log(faults === 0 ? 'oracles: the fixtures are what their generators make' : `oracles: ${faults} files differ${written ? '; replaced' : ''}`);
  if (refused > 0) console.log(`oracles: ${refused} of the folders that scion wrote are not what other systems make of them`);
  if (!written) {
    const row = ({ folder, files, numbers, worst, faults: found }) => ({
      name: `oracles ${folder.split('/').at(-1)}`,
      command: commandLine('npm run oracles'),
      figure: `${files} files, ${numbers} numbers made again, worst difference ${worst.toExponential(1)}, ${found.length} files differ`,
      device: machineNow(),
    });
    const opened = ({ folder, cases, worst, faults: found }) => ({
      name: `oracles ${folder.split('/').at(-1)} written`,
      command: commandLine('npm run oracles'),
      figure: `${cases} cases written by scion and opened by other systems, worst difference ${worst.toExponential(1)}, ${found.length} differ`,
      device: machineNow(),
    });
    await addProof([...rows.map(row), ...checked.map(opened)]);
  }
  if (args.includes('--json')) console.log(JSON.stringify({ ok: faults + refused === 0, written, tolerance: TOLERANCE, rows, checked }));
  return refused === 0 && (faults === 0 || written) ? 0 : 1;
}

if (process.argv.includes('--help')) {
  console.log(HELP);
} else {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    console.error(`oracles: ${error.message}`);
    process.exitCode = 1;
  }
}
