/**
 * Starts programs as MPI jobs, for the tests: either library, either host. Ranks are children of the launcher, so what is left of a job after its end is
 * found by a mark in the ranks' environment.
 */
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
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
  /** `mark` finds the job's processes while it runs. */
  readonly started?: (child: ChildProcess, mark: string) => void;
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
    started: started && ((child) => started(child, mark)),
    input: '',
  });
  return { ...ran, ms: performance.now() - start, mark };
}

/** Processes that live with this job's mark, and their environment (Linux). */
function living(mark: string): { pid: number; environment: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
        const dead = /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
        return dead || !environment.includes(`${MARK}=${mark}`) ? [] : [{ pid: Number(pid), environment }];
      } catch {
        return [];
      }
    });
}

/** Processes that live with this job's mark. */
export const left = (mark: string): number[] => living(mark).map(({ pid }) => pid);

/** Process ids of a job's ranks by rank, as far as they live. */
export function rankPids(mark: string): Map<number, number> {
  const pids = new Map<number, number>();
  for (const { pid, environment } of living(mark)) {
    const rank = /(?:^|\0)(?:PMI_RANK|OMPI_COMM_WORLD_RANK)=(\d+)/.exec(environment)?.[1];
    if (rank !== undefined) pids.set(Number(rank), pid);
  }
  return pids;
}

/** Waits until nothing of the job lives; gives what is left of it after two seconds. */
export async function leftAfterAll(mark: string): Promise<number[]> {
  for (let wait = 0; wait < 20 && left(mark).length > 0; wait++) await sleep(100);
  return left(mark);
}

/** The JSON lines that ranks printed, by rank. */
export function lines<T extends { readonly rank: number }>(out: string): T[] {
  return out
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as T)
    .sort((a, b) => a.rank - b.rank);
}
