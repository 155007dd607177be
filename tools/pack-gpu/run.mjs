/**
 * The runner inside the GPU pack: finds a Vulkan driver (the machine's, or NVIDIA's libraries by a driver file of its own
 * making), runs the parts one process each under a time limit, goes on behind an item that crashed or hung, and sums up.
 * Everything is in files as soon as it is known; a second start with the same folder does only what is missing.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const APP = dirname(fileURLToPath(import.meta.url));
const HOME = dirname(APP);
/** Seconds a part may take by default; an item that shows no progress for STALL seconds counts as hung. */
const LIMITS = { doctor: 120, ops: 600, bench: 480, tune: 480, train: 300, scion: 240 };
const QUICK_LIMITS = { doctor: 60, ops: 240, bench: 180, tune: 60, train: 90, scion: 60 };
const STALL = 180;
/** Crashes after which a part is given up. */
const MOST_CRASHES = 40;

const HELP = `usage: ./run.sh [flags]                       all parts, results in $OUT or ./results
       ./run.sh --only ops,bench,tune,train,doctor,scion
       ./run.sh scion <verb> [flags]          the command line of scion on this machine

  --out DIR          where results go; a folder with results is gone on with
  --fresh            throws away the results there first
  --quick            small sizes, single rounds
  --filter TEXT      only items (op cases, rows) whose name contains TEXT
  --limits P=S,...   seconds a part may take (${Object.entries(LIMITS)
    .map(([p, s]) => `${p}=${s}`)
    .join(',')})
  --total S          seconds for all of it; parts that do not fit are left for the next start
  --need-gpu         exit 3 where only a CPU driver answers
  --steps N          steps of the training part

Exit codes: 0 all well, 1 something failed (summary.json says what), 2 wrong usage, 3 no device.`;

class Stop extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

const say = (text) => process.stderr.write(`${text}\n`);

/** Reads the flags; unknown ones are an error. */
function readFlags(words) {
  const flags = { only: Object.keys(LIMITS), out: process.env.OUT ?? 'results', limits: {}, filter: '', fresh: false, quick: false, needGpu: false };
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    const next = () => {
      if (words[i + 1] === undefined) throw new Stop(`${word} needs a value\n${HELP}`, 2);
      return words[++i];
    };
    if (word === '--fresh') flags.fresh = true;
    else if (word === '--quick') flags.quick = true;
    else if (word === '--need-gpu') flags.needGpu = true;
    else if (word === '--only') flags.only = next().split(',');
    else if (word === '--out') flags.out = next();
    else if (word === '--filter') flags.filter = next();
    else if (word === '--steps') flags.steps = next();
    else if (word === '--total') flags.total = Number(next());
    else if (word === '--limits')
      flags.limits = Object.fromEntries(
        next()
          .split(',')
          .map((p) => [p.split('=')[0], Number(p.split('=')[1])]),
      );
    else throw new Stop(`no flag ${word}\n${HELP}`, 2);
  }
  for (const name of [...flags.only, ...Object.keys(flags.limits)])
    if (!(name in LIMITS)) throw new Stop(`no part "${name}"; there are ${Object.keys(LIMITS).join(', ')}`, 2);
  if (Object.values(flags.limits).some((s) => !(s > 0)) || (flags.total !== undefined && !(flags.total > 0))) throw new Stop('limits are seconds above 0', 2);
  return flags;
}

/** Runs the pack's Node on one of its programs. Killed at `seconds`, or where `alive` stands still for STALL. */
function node(args, { env, seconds, alive = () => 0, show = false }) {
  return new Promise((done) => {
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', show ? 'inherit' : 'pipe'] });
    let out = '';
    let err = '';
    let why = '';
    const stop = (reason) => {
      why ||= reason;
      child.kill('SIGKILL');
    };
    const late = setTimeout(() => stop('limit'), seconds * 1000);
    let seen = alive();
    let since = Date.now();
    const watch = setInterval(() => {
      const now = alive();
      if (now !== seen) [seen, since] = [now, Date.now()];
      else if (Date.now() - since > STALL * 1000) stop('stall');
    }, 1000);
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      err = (err + chunk).slice(-4000);
    });
    const end = (code) => {
      clearTimeout(late);
      clearInterval(watch);
      done({ code, why, out, err });
    };
    child.on('error', (error) => end(String(error.message)));
    child.on('close', (code, signal) => end(code ?? signal));
  });
}

const FOLDERS = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64',
  '/usr/lib',
  '/lib64',
  '/usr/local/nvidia/lib64',
  '/usr/local/nvidia/lib',
  '/usr/lib/wsl/lib',
  '/run/opengl-driver/lib',
];

/** Where a library lies on this machine, or null. */
function library(name) {
  const folders = [...(process.env.LD_LIBRARY_PATH ?? '').split(':'), ...FOLDERS];
  return (
    folders
      .filter((f) => f !== '')
      .map((f) => join(f, name))
      .find((path) => existsSync(path)) ?? null
  );
}

/** Driver files that the machine brings. */
function driverFiles() {
  const folders = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/usr/local/etc/vulkan/icd.d'];
  return folders.filter(existsSync).flatMap((folder) =>
    readdirSync(folder)
      .filter((n) => n.endsWith('.json'))
      .map((n) => join(folder, n)),
  );
}

/** Environments in which a driver may answer, the machine's own ways first. */
function candidates(folder) {
  const files = driverFiles();
  const nvidia = files.filter((f) => /nvidia/i.test(f));
  const hasLoader = library('libvulkan.so.1') !== null;
  const path = (...names) => [...(process.env.LD_LIBRARY_PATH ? [process.env.LD_LIBRARY_PATH] : []), ...names.map((n) => join(HOME, 'lib', n))].join(':');
  const loaders = [
    ...(hasLoader ? [['the machine’s loader', process.env.LD_LIBRARY_PATH]] : []),
    ['the pack’s loader', path('vulkan')],
    ['the pack’s loader and X11', path('vulkan', 'x11')],
  ];
  const icds = [];
  if (process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES || files.length > 0) icds.push(['drivers of the machine', {}]);
  if (nvidia.length > 0) icds.push(['NVIDIA’s driver file', { VK_DRIVER_FILES: nvidia.join(':'), VK_ICD_FILENAMES: nvidia.join(':') }]);
  const device = existsSync('/dev/nvidiactl') || existsSync('/proc/driver/nvidia');
  for (const name of ['libGLX_nvidia.so.0', 'libEGL_nvidia.so.0']) {
    const found = library(name);
    if (found === null && !device) continue;
    const icd = join(folder, `icd-${basename(name, '.so.0')}.json`);
    writeFileSync(icd, `${JSON.stringify({ file_format_version: '1.0.0', ICD: { library_path: found ?? name, api_version: '1.3.0' } })}\n`);
    icds.push([`${found ?? name} by a driver file of the pack`, { VK_DRIVER_FILES: icd, VK_ICD_FILENAMES: icd }]);
  }
  return icds.flatMap(([what, env]) =>
    loaders.map(([loader, libraries]) => ({
      what: `${what}, ${loader}`,
      env: { ...process.env, ...env, ...(libraries ? { LD_LIBRARY_PATH: libraries } : {}) },
    })),
  );
}

/** The first environment with a real GPU, else the first with any device. */
async function findDevice(folder, needGpu) {
  const tried = [];
  let best = null;
  for (const { what, env } of candidates(folder)) {
    const { code, out, err } = await node([join(APP, 'parts.js'), 'probe'], { env, seconds: 60 });
    let answer = { ok: false, why: `ended with ${code}: ${err.trim().split('\n').slice(-3).join(' ')}` };
    try {
      answer = JSON.parse(out.trim().split('\n').at(-1));
    } catch {}
    tried.push({ what, ...answer });
    if (answer.ok && (best === null || (best.answer.fallback && !answer.fallback))) best = { what, env, answer };
    if (best && !best.answer.fallback) break;
  }
  const names = ['libvulkan.so.1', 'libGLX_nvidia.so.0', 'libEGL_nvidia.so.0', 'libcuda.so.1', 'libX11.so.6'];
  const machine = { driverFiles: driverFiles(), libraries: Object.fromEntries(names.map((n) => [n, library(n)])), nvidiaDevice: existsSync('/dev/nvidiactl') };
  writeFileSync(join(folder, 'device.json'), `${JSON.stringify({ chosen: best?.what ?? null, ...best?.answer, machine, tried }, null, 1)}\n`);
  if (best === null || (needGpu && best.answer.fallback)) {
    const hint = machine.nvidiaDevice && !machine.libraries['libGLX_nvidia.so.0'] && !machine.libraries['libEGL_nvidia.so.0'];
    throw new Stop(
      `no ${best ? 'GPU' : 'device'} answers; device.json in ${folder} tells what was tried${hint ? '. There is an NVIDIA GPU, but not its driver’s graphics libraries: a container needs NVIDIA_DRIVER_CAPABILITIES=all' : ''}`,
      3,
    );
  }
  return best;
}

/** The rows of a part so far; a line cut off by a crash is none. */
function readLines(path) {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line)];
      } catch {
        return [];
      }
    });
}

const cutOff = (path) => existsSync(path) && !/(^|\n)$/.test(readFileSync(path, 'utf8'));

/** Runs one part to its end or its limit, behind crashes too. */
async function runPart(part, folder, env, flags, seconds) {
  const lines = join(folder, `${part}.jsonl`);
  const marker = join(folder, `${part}.at`);
  const end = Date.now() + seconds * 1000;
  const args = [join(APP, 'parts.js'), part, '--out', folder, ...(flags.quick ? ['--quick'] : []), ...(flags.filter ? ['--filter', flags.filter] : [])];
  if (flags.steps) args.push('--steps', flags.steps);
  for (let crashes = 0; crashes < MOST_CRASHES; crashes++) {
    const left = (end - Date.now()) / 1000;
    if (left < 1) return 'limit';
    rmSync(marker, { force: true });
    const { code, why, err } = await node(args, { env, seconds: left, alive: () => readLines(lines).length });
    if (code === 0) return 'complete';
    if (why === 'limit') return 'limit';
    if (!existsSync(marker)) {
      writeFileSync(join(folder, `${part}.error.txt`), err);
      return `ended with ${code} before its first item: ${err.trim().split('\n').slice(-2).join(' ')}`;
    }
    const key = readFileSync(marker, 'utf8');
    appendFileSync(
      lines,
      `${cutOff(lines) ? '\n' : ''}${JSON.stringify({ key, ok: false, crashed: why || String(code), message: err.trim().split('\n').slice(-4).join('\n') })}\n`,
    );
    say(`${part}: ${key}: ${why || `the process ended with ${code}`}; going on behind it`);
  }
  return `given up after ${MOST_CRASHES} crashes`;
}

/** scion's own bench on this device, its JSON kept. */
async function runScion(folder, env, flags, seconds) {
  const path = join(folder, 'scion.jsonl');
  const done = new Set(readLines(path).map((l) => l.key));
  const sizes = flags.quick
    ? [['--quick']]
    : [
        [],
        ['--precision', 'mixed'],
        ['--layers', '8', '--hidden', '1024', '--heads', '16', '--vocab', '8192', '--batch', '8', '--tokens', '512', '--precision', 'mixed'],
      ];
  const end = Date.now() + seconds * 1000;
  for (const size of sizes) {
    const key = ['bench', ...size].join(' ');
    if (done.has(key) || !key.includes(flags.filter)) continue;
    const left = (end - Date.now()) / 1000;
    if (left < 1) return 'limit';
    const { code, out, err } = await node([join(APP, 'cli.js'), 'bench', ...size, '--json'], { env, seconds: left });
    const last = out.trim().split('\n').at(-1) ?? '';
    const row = code === 0 && last.startsWith('{') ? { ok: true, ...JSON.parse(last) } : { ok: false, message: `ended with ${code}: ${err.slice(-1500)}` };
    appendFileSync(path, `${JSON.stringify({ key, ...row })}\n`);
  }
  return 'complete';
}

/** One line for a part. */
function tell(part, ended, rows, seconds) {
  const failed = rows.filter((r) => !r.ok);
  const skipped = rows.filter((r) => r.skipped !== undefined);
  const base = `${part.padEnd(7)} ${ended === 'complete' ? 'complete' : ended}: ${rows.length} items, ${failed.length} failed${skipped.length > 0 ? `, ${skipped.length} left out` : ''}, ${seconds.toFixed(1)} s`;
  return [
    base,
    ...failed.slice(0, 5).map(
      (r) =>
        `        ${r.key}: ${String(r.message ?? r.crashed)
          .split('\n')[0]
          .slice(0, 200)}`,
    ),
  ].join('\n');
}

/** The figures one looks for first. */
function highlights(found) {
  const lines = [];
  const speed = found.doctor?.find((r) => r.key === 'speed' && r.ok);
  if (speed) lines.push(`roofs   f32 matmul ${(speed.flops / 1e12).toFixed(3)} TFLOP/s, copy ${(speed.bytesPerSecond / 1e9).toFixed(1)} GB/s`);
  const fastest = [...(found.bench ?? []), ...(found.tune ?? [])]
    .flatMap((r) => r.results ?? [])
    .filter((r) => r.op === 'matmul')
    .sort((a, b) => b.gflops - a.gflops)[0];
  if (fastest) lines.push(`matmul  fastest ${(fastest.gflops / 1e3).toFixed(3)} TFLOP/s: ${fastest.name} [${fastest.candidate}]`);
  for (const r of found.train ?? [])
    if (r.losses)
      lines.push(
        `train   ${r.key}: loss ${r.start.toFixed(3)} to ${r.end.toFixed(3)} in ${r.steps} steps, twice ${r.equal ? 'bit-equal' : 'DIFFERENT'}, ${r.tokensPerSecond.toFixed(0)} tokens/s`,
      );
  return lines;
}

async function main(words) {
  if (words.includes('--help') && words[0] !== 'scion') {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  if (words[0] === 'scion') {
    const folder = join(HOME, 'device');
    mkdirSync(folder, { recursive: true });
    const { env } = await findDevice(folder, false);
    return new Promise((done) =>
      spawn(process.execPath, [join(APP, 'cli.js'), ...words.slice(1)], { env, stdio: 'inherit' }).on('close', (code) => done(code ?? 1)),
    );
  }
  const flags = readFlags(words);
  const folder = resolve(flags.out);
  if (flags.fresh) for (const part of Object.keys(LIMITS)) rmSync(join(folder, `${part}.jsonl`), { force: true });
  mkdirSync(folder, { recursive: true });
  const began = Date.now();
  const device = await findDevice(folder, flags.needGpu);
  const { answer } = device;
  process.stdout.write(`device  ${answer.name}${answer.fallback ? ' (a CPU device)' : ''} by ${device.what}; ${answer.runtime}, ${answer.profile} kernels\n`);
  const found = {};
  const parts = {};
  const limits = { ...(flags.quick ? QUICK_LIMITS : LIMITS), ...flags.limits };
  const save = () => {
    const ok = Object.values(parts).every((p) => p.ended === 'complete' && p.failed === 0);
    const { name, vendor, architecture, description, fallback, profile } = answer;
    const about = { version: readFileSync(join(HOME, 'VERSION'), 'utf8').trim(), quick: flags.quick, filter: flags.filter, ok };
    writeFileSync(
      join(folder, 'summary.json'),
      `${JSON.stringify({ ...about, device: { name, vendor, architecture, description, fallback, profile }, parts, highlights: highlights(found) }, null, 1)}\n`,
    );
    return ok;
  };
  for (const part of flags.only) {
    const spent = (Date.now() - began) / 1000;
    const seconds = Math.min(limits[part], flags.total === undefined ? Number.POSITIVE_INFINITY : flags.total - spent);
    const start = Date.now();
    let ended = 'no time left';
    if (seconds > 1) ended = part === 'scion' ? await runScion(folder, device.env, flags, seconds) : await runPart(part, folder, device.env, flags, seconds);
    found[part] = readLines(join(folder, `${part}.jsonl`));
    const took = (Date.now() - start) / 1000;
    if (found[part].length === 0 && ended === 'complete') ended = `nothing is called "${flags.filter}"`;
    parts[part] = {
      ended,
      items: found[part].length,
      failed: found[part].filter((r) => !r.ok).length,
      skipped: found[part].filter((r) => r.skipped !== undefined).length,
      seconds: took,
    };
    process.stdout.write(`${tell(part, ended, found[part], took)}\n`);
    save();
  }
  const ok = save();
  for (const line of highlights(found)) process.stdout.write(`${line}\n`);
  process.stdout.write(`${ok ? 'all well' : 'NOT all well'}; results in ${folder}\n`);
  return ok ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Stop)) throw error;
  say(error.message);
  process.exitCode = error.code;
}
