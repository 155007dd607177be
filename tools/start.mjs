/**
 * `npm start [-- args]` and `deno task start [args]`: installs what a bare machine lacks to run scion
 * (npm packages, Node 24, a GPU driver; no test, bench or browser package), then trains the sample by
 * running `scion start` with the same arguments. What is installed is said on standard error.
 */
import { existsSync } from 'node:fs';
import process from 'node:process';
import { ensureGpu } from './lib/gpu.mjs';
import { at, isDeno, root, runMain, SetupError } from './lib/log.mjs';
import { ensureNode, ensurePackages } from './lib/packages.mjs';
import { passThrough } from './lib/run.mjs';

const CLI = at('src', 'cli', 'main.ts');

async function main() {
  if (!isDeno) await ensurePackages({ dev: false });
  const runtime = isDeno ? process.execPath : await ensureNode();
  const env = await ensureGpu(runtime);
  if (!existsSync(CLI)) throw new SetupError(`the command line is missing: ${CLI}`);
  const args = isDeno ? ['run', '-A', '--config', at('deno.json'), CLI] : ['--disable-warning=ExperimentalWarning', CLI];
  // Paths among the arguments are relative to where the user stands, which npm and Deno tell.
  return passThrough(runtime, [...args, 'start', ...process.argv.slice(2)], { cwd: process.env.INIT_CWD ?? root, env });
}

await runMain(main);
