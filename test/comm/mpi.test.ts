/**
 * MPI jobs against threads: the same program in four processes of Debian's MPICH and of its Open MPI, in Node and in Deno, must leave the bits and count the
 * bytes of four workers.
 */
import { describe, expect, it } from 'vitest';
import { spawnRanks } from '../../src/comm/launch.ts';
import { child, DENO, NODE, need } from '../runtime/expect.ts';
import { lines, runJob } from './mpi.ts';
import type { ProgramResult } from './program.ts';

const RANKS = 4;
/** `big`: messages of a quarter of a megabyte, beyond what MPI sends without being asked for. */
const DATA = { seed: 11, big: 300_007 };

async function byThreads(): Promise<ProgramResult[]> {
  const run = await spawnRanks(RANKS, new URL('worker.ts', import.meta.url), DATA);
  return (await run.results) as ProgramResult[];
}

let wanted: Promise<ProgramResult[]> | undefined;

/** Seconds on a quiet machine; four ranks on two busy cores take their turns. */
describe('mpiexec -n 4', { timeout: 240_000 }, () => {
  for (const library of ['mpich', 'openmpi'] as const) {
    for (const runtime of ['node', 'deno'] as const) {
      it(`${library} in ${runtime} leaves the bits of threads`, async () => {
        wanted ??= byThreads();
        const job = await runJob({ library, runtime, ranks: RANKS, program: ['test/comm/mpi-main.ts', JSON.stringify(DATA)] });
        expect(job.code, job.err).toBe(0);
        const found = lines<ProgramResult & { library: string }>(job.out);
        expect(found[0].library).toMatch(library === 'mpich' ? /^MPICH/ : /^Open MPI/);
        expect(found.map(({ library: _, ...result }) => result)).toEqual(await wanted);
      });
    }
  }

  it('a rank behind a wrapper process belongs to its job all the same', async () => {
    for (const library of ['mpich', 'openmpi'] as const) {
      const job = await runJob({ library, ranks: 2, program: ['test/comm/wrapped.mjs', 'test/comm/mpi-main.ts', '{"seed":2}'] });
      expect(job.code, job.err).toBe(0);
      expect(lines<ProgramResult>(job.out).map(({ rank }) => rank)).toEqual([0, 1]);
    }
  });

  it('workers of Deno leave the bits of workers of Node', async () => {
    wanted ??= byThreads();
    const args = ['run', '-A', '--no-check', '--no-lock', 'test/comm/threads-main.ts', String(RANKS), JSON.stringify(DATA)];
    const { code, out, err } = await child(need(DENO, 'SCION_DENO'), args, { seconds: 200 });
    expect(code, err).toBe(0);
    expect(JSON.parse(out.trim().split('\n').at(-1) ?? '')).toEqual(await wanted);
  });

  it('a library that is not there is named, with what to do', async () => {
    const { code, err } = await child(need(NODE, 'SCION_NODE'), ['test/comm/mpi-main.ts', '{"seed":1}'], {
      env: { SCION_MPI: '/nowhere/libmpi.so' },
      seconds: 60,
    });
    expect(code).not.toBe(0);
    expect(err).toContain('no MPI library loads (tried /nowhere/libmpi.so); install MPICH or Open MPI');
  });
});
