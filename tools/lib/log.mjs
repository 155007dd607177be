/**
 * Words of the set-up scripts: where the checkout is, and what is said on standard error while things
 * are installed. Standard output stays free for the one JSON line of `--json`. Plain JavaScript for
 * Node 20 and Deno, no dependencies, as everything in this folder: it runs before anything is installed.
 */
import { dirname, join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** The root of the checkout. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** True when Deno runs the scripts: then there may be no Node and no npm. */
export const isDeno = typeof globalThis.Deno === 'object';

/** A path below the checkout. */
export const at = (...parts) => join(root, ...parts);

/** A reason to stop that the user can act on; `code` is the exit code. */
export class SetupError extends Error {
  constructor(message, code = 1) {
    super(message);
    this.name = 'SetupError';
    this.code = code;
  }
}

/** One line on standard error. */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Runs `work`, saying what is done and how long it took. */
export async function timed(what, work) {
  say(`scion: ${what} ...`);
  const start = performance.now();
  const result = await work();
  say(`scion: ${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return result;
}

/** Runs a script's `main`, turning a SetupError into its message and exit code. */
export async function runMain(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`scion: ${error.message}`);
    process.exitCode = error.code;
  }
}
