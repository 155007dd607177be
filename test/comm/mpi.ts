/**
 * Starts programs as MPI jobs, for the tests: either library, either host. Ranks are children of the launcher, so what is left of a job after its end is
 * found by a mark in the ranks' environment.
 */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { child, DENO, NODE, need, ROOT } from '../runtime/expect.ts';

export type Library = 'mpich' | 'openmpi';

export interface JobOptions {
  readonly library: Library;
  readonly runtime?: 'node' | 'deno';
  readonly ranks: number;
  /** Path of the program from the root, and its words. */
  readonly program: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly seconds?: number;
  readonly started?: (child: ChildProcess) => void;
}

export interface JobEnd {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly ms: number;
}

/** The launcher of a library, from the set-up (`npm test`) or by Debian's name. */
export function launcherOf(library: Library): string {
  return process.env[library === 'mpich' ? 'SCION_MPICH' : 'SCION_OPENMPI'] ?? `mpiexec.${library}`;
}

const MARK = 'SCION_TEST_JOB';

/** Runs a job to its end. */
export async function runJob({ library, runtime = 'node', ranks, program, env = {}, seconds = 200, started }: JobOptions): Promise<JobEnd & { mark: string }> {
  const mark = `${process.pid}-${Math.random().toString(36).slice(2)}`;
  const host =
    runtime === 'node'
      ? [need(NODE, 'SCION_NODE'), '--disable-sigusr1']
      : [need(DENO, 'SCION_DENO'), 'run', '-A', '--no-check', '--no-lock', '--config', `${ROOT}/deno.json`];
  // Root and more ranks than cores are both unusual enough for Open MPI to ask.
  const flags = library === 'openmpi' ? ['--allow-run-as-root', '--oversubscribe'] : [];
  const start = performance.now();
  const ran = await child(launcherOf(library), [...flags, '-n', String(ranks), ...host, ...program], {
    env: { ...env, [MARK]: mark },
    seconds,
    started,
    input: '',
  });
  return { ...ran, ms: performance.now() - start, mark };
}

/** Processes that live with this job's mark (Linux). */
export function left(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`${MARK}=${mark}`) && !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** The JSON lines that ranks printed, by rank. */
export function lines<T extends { readonly rank: number }>(out: string): T[] {
  return out
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as T)
    .sort((a, b) => a.rank - b.rank);
}
