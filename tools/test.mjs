/**
 * The test tiers, one runner. `npm run check`: types, lint, kernel index, architecture and unit tests,
 * under three minutes. `npm test`: every test file on all three hosts. `npm run test:full`: the same
 * with full fault and fuzz counts. Installs what is missing, runs Vitest, and ends with the one line
 * `N passed, N failed` (`, N skipped` if any); a crash counts as a failure, and so does a run of nothing. A full run adds
 * its counts to docs/proof.md.
 *
 *   node tools/test.mjs [--tier=check|test|full] [--no-static] [words of vitest: path parts, -t name ...]
 *
 * Tests find in the environment: SCION_TIER, SCION_NODE, SCION_CHROMIUM, SCION_DENO (programs), and
 * SCION_COUNTS, a folder for the counts of suites that run on other hosts: one JSON file each,
 * `{ name, passed, failed, skipped, cells?: { run, possible } }`, added to the last line.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { ensureChromium, ensureDeno } from './lib/browser.mjs';
import { ensureGpu } from './lib/gpu.mjs';
import { at, root, SetupError, say } from './lib/log.mjs';
import { ensureMpi } from './lib/mpi.mjs';
import { ensureNode, ensurePackages } from './lib/packages.mjs';
import { addProof, deviceNow } from './lib/proof.mjs';
import { passThrough } from './lib/run.mjs';

const TIERS = ['check', 'test', 'full'];
const RESULTS = at('.cache', 'test');
const counts = { passed: 0, failed: 0, skipped: 0 };
/** What a full run proves beside its counts: rows for docs/proof.md, without their device. */
const proven = [];

function add({ passed = 0, failed = 0, skipped = 0 }) {
  counts.passed += passed;
  counts.failed += failed;
  counts.skipped += skipped;
}

/** Types, lint and the generated kernel index: each counts as one test. */
async function runStatic(node, env) {
  const checks = [
    ['types', [at('node_modules', 'typescript', 'bin', 'tsc'), '-p', '.']],
    ['lint and format', [at('node_modules', '@biomejs', 'biome', 'bin', 'biome'), 'check', '--reporter=summary']],
  ];
  if (existsSync(at('tools', 'kernels.mjs'))) checks.push(['kernels/index.ts is fresh', [at('tools', 'kernels.mjs'), '--check']]);
  for (const [what, args] of checks) {
    const start = performance.now();
    const code = await passThrough(node, args, { cwd: root, env });
    say(`${code === 0 ? 'passed' : 'FAILED'}: ${what} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    add(code === 0 ? { passed: 1 } : { failed: 1 });
  }
}

/** Counts of Vitest's JSON report. A file that failed before its first test counts as one failure. */
function readReport(path) {
  if (!existsSync(path)) return { failed: 1 };
  const report = JSON.parse(readFileSync(path, 'utf8'));
  const broken = report.testResults.filter((file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'));
  for (const file of broken) say(`FAILED before its first test: ${file.name}: ${file.message}`);
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** Adds what the suites of other hosts left in SCION_COUNTS. */
function readHostCounts(folder) {
  const cells = { run: 0, possible: 0 };
  for (const name of readdirSync(folder).sort()) {
    if (!name.endsWith('.json')) continue;
    const host = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    add(host);
    say(`${host.name}: ${host.passed} passed, ${host.failed} failed, ${host.skipped ?? 0} skipped`);
    proven.push({ name: host.name, figure: `${host.passed} passed, ${host.failed} failed, ${host.skipped ?? 0} skipped` });
    cells.run += host.cells?.run ?? 0;
    cells.possible += host.cells?.possible ?? 0;
  }
  if (cells.possible > 0) {
    say(`cells (op x dtype x host): ${cells.run} run of ${cells.possible} possible`);
    proven.push({ name: 'op suite, cells', figure: `${cells.run} run of ${cells.possible} possible (op x dtype x host)` });
  }
}

async function runVitest(node, env, tier, words) {
  const report = join(RESULTS, 'vitest.json');
  const args = [at('node_modules', 'vitest', 'vitest.mjs'), 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const chosen = words.length > 0 ? words : tier === 'check' ? ['src/', 'test/architecture.test.ts'] : [];
  const code = await passThrough(node, [...args, ...chosen], { cwd: root, env });
  const before = counts.failed;
  add(readReport(report));
  readHostCounts(env.SCION_COUNTS);
  // Vitest also fails for errors outside every test (an unhandled rejection, a dead worker).
  if (code !== 0 && counts.failed === before) {
    say(`vitest ended with ${code} although no test failed`);
    add({ failed: 1 });
  }
}

async function main() {
  const words = process.argv.slice(2);
  const tier = words.find((word) => word.startsWith('--tier='))?.slice('--tier='.length) ?? 'test';
  if (!TIERS.includes(tier)) throw new SetupError(`--tier=${tier}: the tiers are ${TIERS.join(', ')}`, 2);
  const rest = words.filter((word) => !word.startsWith('--tier=') && word !== '--no-static');
  await ensurePackages({ dev: true });
  const node = await ensureNode();
  rmSync(RESULTS, { recursive: true, force: true });
  const env = { ...(await ensureGpu(node)), SCION_TIER: tier, SCION_NODE: node, SCION_COUNTS: join(RESULTS, 'hosts') };
  env.PATH = `${dirname(node)}${delimiter}${env.PATH}`;
  mkdirSync(env.SCION_COUNTS, { recursive: true });
  if (tier !== 'check') {
    env.SCION_DENO = await ensureDeno();
    env.SCION_CHROMIUM = await ensureChromium();
    const { mpich, openmpi } = await ensureMpi();
    Object.assign(env, { SCION_MPICH: mpich, SCION_OPENMPI: openmpi });
  }
  if (rest.length === 0 && !words.includes('--no-static')) await runStatic(node, env);
  const began = performance.now();
  await runVitest(node, env, tier, rest);
  // Part of a tier proves nothing of the whole.
  if (tier === 'full' && rest.length === 0) {
    const { passed, failed, skipped } = counts;
    const minutes = ((performance.now() - began) / 60_000).toFixed(0);
    proven.push({ name: 'test:full', figure: `${passed} passed, ${failed} failed, ${skipped} skipped in ${minutes} min` });
    const device = await deviceNow(node, env);
    await addProof(proven.map((row) => ({ ...row, command: 'npm run test:full', device })));
  }
  if (counts.passed + counts.failed === 0) throw new SetupError('no test ran');
}

let code = 0;
try {
  await main();
} catch (error) {
  // Whatever stops the run is a failure with its counts, never silence.
  say(error instanceof SetupError ? `scion: ${error.message}` : String(error?.stack ?? error));
  code = error instanceof SetupError ? error.code : 1;
  add({ failed: 1 });
}
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed${skipped}\n`);
process.exitCode = code || (counts.failed > 0 ? 1 : 0);
