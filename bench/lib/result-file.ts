/** Result files of benches (`--json FILE`): the figures, and beside them what was run, of which commit, where and under what load. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { argv, version } from 'node:process';

const ROOT = new URL('../..', import.meta.url);

/** The short name of the commit, with `+changes` where tracked files other than results are changed; null outside a repository. */
function commit(): string | null {
  try {
    const git = (...words: string[]): string => execFileSync('git', words, { cwd: ROOT, encoding: 'utf8' }).trim();
    return (
      git('rev-parse', '--short=10', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!bench/results') === '' ? '' : '+changes')
    );
  } catch {
    return null;
  }
}

/** Writes `figures` with the facts of the run. `more`: versions of peers, the device. */
export function writeResults(path: string, script: string, figures: Readonly<Record<string, unknown>>, more: Readonly<Record<string, unknown>> = {}): void {
  // No path of this machine: words that name files are given by their last part.
  const command = ['node', script, ...argv.slice(2).map((word) => (word.startsWith('/') ? (word.split('/').at(-1) ?? word) : word))].join(' ');
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg(), node: version, ...more };
  writeFileSync(path, `${JSON.stringify({ command, commit: commit(), ...figures, machine }, null, 1)}\n`);
}
