/**
 * Writes a generated file where it differs, or with `--check` only says that it is stale and fails.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';

/** `name` is how the message calls the file, `command` what makes it anew. */
export function writeGenerated(target, text, name, command) {
  let current = '';
  try {
    current = readFileSync(target, 'utf8');
  } catch {}
  if (current === text) return;
  if (!process.argv.includes('--check')) {
    writeFileSync(target, text);
    return;
  }
  process.stderr.write(`${name} is stale; run: ${command}\n`);
  process.exitCode = 1;
}
