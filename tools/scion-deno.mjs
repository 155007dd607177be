/**
 * `deno task scion <verb> ...`: the command line run from the sources by Deno, with the GPU driver that
 * `deno task start` found. Needs no Node and no npm.
 */
import process from 'node:process';
import { denoCommand } from './lib/deno.mjs';
import { savedEnv } from './lib/gpu.mjs';
import { runMain } from './lib/log.mjs';
import { passThrough } from './lib/run.mjs';

await runMain(() => {
  const { args, env } = denoCommand(process.argv.slice(2), savedEnv());
  return passThrough(process.execPath, args, { cwd: process.env.INIT_CWD, env });
});
