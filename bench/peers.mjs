/**
 * `npm run bench:peers [-- --json] [--quick] [--only TEXT] [--out FILE]`: scion beside TensorFlow.js, jax-js and ONNX Runtime (matmul
 * alone) on the same adapter, each in a process of its own. A round takes every contender in turn, so that a busy
 * machine slows them alike; medians over rounds. A step row counts only if the first losses agree.
 * Every row is added to docs/proof.md. Ratio: the best peer's seconds over ours. Cold: an empty driver cache and a new process, to the first loss.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { savedEnv } from '../tools/lib/gpu.mjs';
import { at, runMain, SetupError, say } from '../tools/lib/log.mjs';
import { ensureFolder, ensureNode, ensurePackages, nodeFlags } from '../tools/lib/packages.mjs';
import { addProof, commandLine, machineNow } from '../tools/lib/proof.mjs';
import { MODELS } from './peers/model.mjs';

const folder = at('bench', 'peers');
const MATMUL_GOAL = 1.6;
const STEP_GOAL = 2;
/** First step of the small model: ours is at most half the best peer's; limits in seconds. */
const COLD = { ratio: 2, seconds: 8 };
const WARM = { seconds: 1.5 };
/** Relative difference of a loss beyond which two contenders do not compute the same; f32 sums in another order differ by 1e-6. */
const LOSS_TOLERANCE = 1e-3;
/** A contender whose cold start takes longer than this is started cold only once. */
const SLOW_START_SECONDS = 30;

const square = (n) => ({ label: 'square', m: n, n, k: n });
/** Products of the training rows: rows x columns x depth; each in three layouts. */
const PRODUCTS = [
  square(512),
  square(1024),
  ...[
    { m: 1024, n: 688, k: 256 },
    { m: 1024, n: 256, k: 688 },
    { m: 512, n: 2048, k: 96 },
  ].map((s) => ({ label: 'training', ...s })),
];
const LAYOUTS = ['NT', 'NN', 'TN'];

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const seconds = (ms) => ms / 1000;

/** A worker process that answers one request at a time. */
class Contender {
  constructor(name, node, env) {
    this.name = name;
    this.child = spawn(node, [...nodeFlags, join(folder, 'worker.mjs'), name], { env, cwd: folder, stdio: ['pipe', 'pipe', 'pipe'] });
    this.errors = '';
    this.child.stderr.on('data', (chunk) => {
      this.errors = (this.errors + chunk).slice(-2000);
    });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  async next() {
    const { value, done } = await this.lines.next();
    if (done) throw new SetupError(`${this.name} ended: ${this.errors}`);
    const answer = JSON.parse(value);
    if (answer.error) throw new SetupError(`${this.name}: ${answer.error}`);
    return answer;
  }

  ask(request) {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    return this.next();
  }

  end() {
    this.child.stdin.end();
  }
}

/** Runs what every contender has been given, in turn, for some rounds; name to median seconds. */
async function rounds(contenders, most, count) {
  const times = {};
  for (const c of contenders) times[c.name] = (await c.ask({ do: 'repeats', most })).times;
  const found = Object.fromEntries(contenders.map((c) => [c.name, []]));
  for (let r = 0; r < count; r++) for (const c of contenders) found[c.name].push((await c.ask({ do: 'run', times: times[c.name] })).seconds);
  return Object.fromEntries(Object.entries(found).map(([name, values]) => [name, median(values)]));
}

/** A row from medians by contender. `judge` says whether the goal is met. */
function row(name, shape, found, goal, judge, more = {}) {
  const { scion: ours, ...peers } = found;
  const best = Math.min(...Object.values(peers));
  const ratio = best / ours;
  return { name, shape, ours, peers, ratio, goal, ok: judge(ratio, ours), ...more };
}

/** Processes from their start to their first loss, with an empty driver cache and again with the one they left. */
async function firstStep(name, node, env) {
  const cache = mkdtempSync(join(tmpdir(), 'bench-peers-'));
  const once = () =>
    new Promise((done, fail) => {
      const start = performance.now();
      const child = spawn(node, [...nodeFlags, join(folder, 'worker.mjs'), name, '--first'], {
        env: { ...env, MESA_SHADER_CACHE_DIR: cache },
        cwd: folder,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let text = '';
      let first = 0;
      child.stdout.on('data', (chunk) => {
        first ||= performance.now() - start;
        text += chunk;
      });
      child.on('error', fail);
      child.on('close', (code) =>
        code === 0 && first > 0 ? done({ seconds: seconds(first), ...JSON.parse(text) }) : fail(new SetupError(`${name} --first ended with ${code}`)),
      );
    });
  try {
    return { cold: await once(), warm: await once() };
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
}

const sizeOf = ({ L, D, H, F, V, B, T }) => `${L} layers x ${D}, ${H} heads, F ${F}, V ${V}, ${B} x ${T} tokens`;

async function matmulRows(contenders, wanted, count, report) {
  for (const { label, m, n, k } of PRODUCTS) {
    for (const layout of LAYOUTS) {
      const name = `matmul ${label} ${layout}`;
      const shape = `${m}x${n}x${k}`;
      if (!wanted(`${name} ${shape}`)) continue;
      for (const c of contenders) await c.ask({ do: 'matmul', shape: { m, n, k, layout } });
      report(row(name, shape, await rounds(contenders, 200, count), MATMUL_GOAL, (ratio) => ratio >= MATMUL_GOAL));
    }
  }
}

async function stepRows(contenders, wanted, count, report) {
  const trainers = contenders.filter((c) => c.name !== 'ort');
  for (const [model, size] of Object.entries(MODELS)) {
    if (!wanted(`step ${model}`)) continue;
    const losses = {};
    for (const c of trainers) {
      await c.ask({ do: 'train', model });
      losses[c.name] = (await c.ask({ do: 'run', times: 4 })).losses;
    }
    const differs = Math.max(...Object.values(losses).flatMap((l) => l.map((x, i) => Math.abs(x / losses.scion[i] - 1))));
    const agree = differs <= LOSS_TOLERANCE;
    const found = await rounds(trainers, 10, count);
    report(
      row(`step ${model}`, sizeOf(size), found, STEP_GOAL, (ratio) => agree && ratio >= STEP_GOAL, {
        valid: agree,
        lossDifference: differs,
        firstLoss: losses.scion[0],
      }),
    );
  }
}

async function firstRows(names, start, wanted, count, report) {
  if (!wanted('first step cold') && !wanted('first step warm')) return;
  const empty = () => Object.fromEntries(names.map((name) => [name, []]));
  const found = { cold: empty(), warm: empty() };
  const losses = [];
  for (let r = 0; r < count; r++) {
    for (const name of names) {
      if (r > 0 && found.cold[name][0] > SLOW_START_SECONDS) continue;
      const { cold, warm } = await firstStep(name, ...start);
      losses.push(cold.loss, warm.loss);
      for (const [kind, x] of [
        ['cold', cold],
        ['warm', warm],
      ])
        found[kind][name].push(x.seconds);
    }
  }
  const valid = losses.every((x) => Math.abs(x / losses[0] - 1) <= LOSS_TOLERANCE);
  const medians = (kind) => Object.fromEntries(Object.entries(found[kind]).map(([name, values]) => [name, median(values)]));
  const shape = sizeOf(MODELS.small);
  report(row('first step cold', shape, medians('cold'), COLD, (ratio, ours) => valid && ratio >= COLD.ratio && ours <= COLD.seconds, { valid }));
  report(row('first step warm', shape, medians('warm'), WARM, (_, ours) => valid && ours <= WARM.seconds, { valid }));
}

const goalText = (goal) => (typeof goal === 'number' ? `>= ${goal}x` : `${goal.ratio ? `>= ${goal.ratio}x, ` : ''}<= ${goal.seconds} s`);

/** A row as docs/proof.md has it. */
function proofOf({ name, shape, ours, peers, ratio, goal, ok, valid }, device) {
  const [best] = Object.entries(peers).sort((a, b) => a[1] - b[1])[0];
  const verdict = valid === false ? 'losses differ' : ok ? 'met' : 'missed';
  const figure = `${ours.toPrecision(3)} s, the best peer (${best}) ${(ours * ratio).toPrecision(3)} s: ${ratio.toFixed(2)}x; goal ${goalText(goal)} ${verdict}`;
  return { name: `bench:peers ${name}, ${shape}`, command: commandLine('npm run bench:peers'), figure, device: `${device}, ${machineNow()}` };
}

function print({ name, shape, ours, peers, ratio, goal, ok, valid }) {
  const peer = Object.entries(peers)
    .map(([p, s]) => `${p} ${s.toPrecision(3)}`)
    .join(', ');
  const verdict = valid === false ? 'LOSSES DIFFER' : ok ? 'ok' : 'missed';
  say(`${name.padEnd(20)} ${shape.padEnd(14)} scion ${ours.toPrecision(3)} s; ${peer}; ${ratio.toFixed(2)}x (goal ${goalText(goal)}) ${verdict}`);
}

/** Puts a row into a file of results, in place of an older one of the same name and shape: a long bench may be made in parts. */
function keep(path, head, r) {
  const old = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).rows : [];
  const rows = old.filter((o) => o.name !== r.name || o.shape !== r.shape);
  writeFileSync(path, `${JSON.stringify({ ...head, rows: [...rows, r] }, null, 2)}\n`);
}

async function main() {
  const { argv } = process;
  const value = (flag) => (argv.includes(flag) ? argv[argv.indexOf(flag) + 1] : undefined);
  const quick = argv.includes('--quick');
  const wanted = (name) => name.includes(value('--only') ?? '');
  await ensurePackages({ dev: false });
  const node = await ensureNode();
  // Its install script looks for files of other providers; the one that is used lies in the package.
  process.env.ONNXRUNTIME_NODE_INSTALL = 'skip';
  await ensureFolder(folder, 'the other libraries');
  const env = savedEnv();
  const names = ['scion', 'tfjs', 'jax', 'ort'];
  const rows = [];
  const out = value('--out');
  let device = '';
  const report = (r) => {
    rows.push(r);
    print(r);
    if (out) keep(out, { device, cores: cpus().length }, { ...r, rounds: quick ? 'quick' : 'full' });
  };
  const contenders = names.map((name) => new Contender(name, node, env));
  try {
    for (const c of contenders) {
      const { ready } = await c.next();
      if (c.name === 'scion') device = ready;
    }
    await stepRows(contenders, wanted, quick ? 3 : 7, report);
    await matmulRows(contenders, wanted, quick ? 3 : 7, report);
  } finally {
    for (const c of contenders) c.end();
  }
  await firstRows(names.slice(0, 3), [node, env], wanted, quick ? 1 : 3, report);
  await addProof(rows.map((r) => proofOf(r, device)));
  const result = { device, cores: cpus().length, quick, rows };
  if (argv.includes('--json')) process.stdout.write(`${JSON.stringify(result)}\n`);
  return 0;
}

await runMain(main);
