/**
 * How Deno runs the command line from the sources. Where npm packages are installed (a checkout that Node
 * also uses) they serve Deno too; else Deno fetches the few runtime packages of deno.json by itself, held
 * to their hashes by tools/runtime/deno.lock, and never looks at package.json, whose development packages
 * it would resolve as well.
 */
import { existsSync } from 'node:fs';
import process from 'node:process';
import { at } from './log.mjs';

/** Rewrites the lock after a change of dependencies: `deno run -A tools/lib/deno.mjs`. */
const LOCK = at('tools', 'runtime', 'deno.lock');
const CLI = at('src', 'cli', 'main.ts');

/**
 * Arguments for the Deno program, and the environment it needs on top.
 * @param words the command line of scion
 */
export function denoCommand(words, env) {
  const args = ['run', '-A', '--quiet', '--no-check', '--config', at('deno.json')];
  if (existsSync(at('node_modules', 'webgpu', 'package.json'))) return { args: [...args, CLI, ...words], env };
  return {
    args: [...args, '--node-modules-dir=none', `--lock=${LOCK}`, '--frozen', CLI, ...words],
    env: { ...env, DENO_NO_PACKAGE_JSON: '1' },
  };
}

if (import.meta.main) {
  const { quiet } = await import('./run.mjs');
  const { readFileSync, rmSync } = await import('node:fs');
  const { imports } = JSON.parse(readFileSync(at('deno.json'), 'utf8'));
  rmSync(LOCK, { force: true });
  const args = ['cache', '--node-modules-dir=none', `--lock=${LOCK}`, ...Object.values(imports)];
  process.exitCode = await quiet(process.execPath, args, { cwd: at('tools'), env: { ...process.env, DENO_NO_PACKAGE_JSON: '1' } });
}
