/**
 * `npm start [-- args]` and `deno task start [args]`: installs what a bare machine lacks to run scion
 * (npm packages, Node 24, a GPU driver; no test, bench or browser package), then trains the sample by
 * running `scion start` with the same arguments. What is installed is said on standard error.
 */
import process from 'node:process';
import { denoCommand } from './lib/deno.mjs';
import { ensureGpu } from './lib/gpu.mjs';
import { at, isDeno, root, runMain } from './lib/log.mjs';
import { ensureNode, ensurePackages, nodeFlags } from './lib/packages.mjs';
import { passThrough } from './lib/run.mjs';

async function main() {
  if (!isDeno) await ensurePackages({ dev: false });
  const runtime = isDeno ? process.execPath : await ensureNode();
  const gpuEnv = await ensureGpu(runtime);
  const words = ['start', ...process.argv.slice(2)];
  const { args, env } = isDeno ? denoCommand(words, gpuEnv) : { args: [...nodeFlags, at('src', 'cli', 'main.ts'), ...words], env: gpuEnv };
  // Paths among the arguments are relative to where the user stands, which npm and Deno tell.
  return passThrough(runtime, args, { cwd: process.env.INIT_CWD ?? root, env });
}

await runMain(main);
