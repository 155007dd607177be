/**
 * All-reduce of f32 over ranks of one machine: threads, our sums over MPI, and MPI's own MPI_Allreduce, in turn within one run so that a busy machine slows
 * them alike: `node bench/comm/allreduce.ts [--ranks 2] [--rounds 3] [--mb 4,16,64] [--out FILE] [--proof]`. The best of all repeats counts, and the median
 * stands beside it. Needs mpiexec.mpich and mpiexec.openmpi where they are to be compared; what is missing is left out, by name.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { spawnRanks } from '../../src/comm/launch.ts';
import { terminal } from '../../src/host/index.ts';
import { addProof, commandLine } from '../../tools/lib/proof.mjs';
import type { RankJob, Times } from './rank.ts';

const term = await terminal();
const value = (flag: string, otherwise: string): string => (term.args.includes(flag) ? term.args[term.args.indexOf(flag) + 1] : otherwise);
const ranks = Number(value('--ranks', '2'));
const rounds = Number(value('--rounds', '3'));
const megabytes = value('--mb', '4,16,64').split(',').map(Number);
const job: RankJob = { counts: megabytes.map((mb) => (mb * 2 ** 20) / 4), repeats: Number(value('--repeats', '8')) };
const RANK = new URL('rank.ts', import.meta.url);

function mpi(launcher: string, mode: string): Promise<Times | null> {
  const root = launcher.endsWith('openmpi') ? ['--allow-run-as-root', '--oversubscribe'] : [];
  const args = [...root, '-n', String(ranks), process.execPath, '--disable-sigusr1', RANK.pathname, mode, job.counts.join(','), String(job.repeats)];
  return new Promise((done, fail) => {
    execFile(launcher, args, { timeout: 300_000 }, (error, out, err) => {
      if ((error as { code?: unknown } | null)?.code === 'ENOENT') done(null);
      else if (error !== null) fail(new Error(`${launcher} ${mode}: ${err || error.message}`));
      else done(JSON.parse(out.trim().split('\n').at(-1) ?? '') as Times);
    });
  });
}

async function threads(staged: boolean): Promise<Times> {
  const run = await spawnRanks(ranks, RANK, { ...job, staged });
  return ((await run.results) as Times[])[0];
}

const ways: Record<string, () => Promise<Times | null>> = {
  threads: () => threads(true),
  'threads, not staged': () => threads(false),
  'MPICH MPI_Allreduce': () => mpi('mpiexec.mpich', 'raw'),
  'Open MPI MPI_Allreduce': () => mpi('mpiexec.openmpi', 'raw'),
  'ours over MPICH': () => mpi('mpiexec.mpich', 'own'),
  'ours over Open MPI': () => mpi('mpiexec.openmpi', 'own'),
};
const before = loadavg()[0];
const all: Record<string, number[][]> = {};
for (let round = 0; round < rounds; round++) {
  for (const [name, run] of Object.entries(ways)) {
    const times = await run();
    if (times !== null) all[name] = job.counts.map((_, i) => [...(all[name]?.[i] ?? []), ...times[i]]);
  }
}
const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[times.length >> 1];
const round = (x: number): number => Number(x.toPrecision(3));
const rows = Object.entries(all).flatMap(([name, sizes]) =>
  sizes.map((times, i) => ({
    name,
    mb: megabytes[i],
    bestMs: round(Math.min(...times)),
    medianMs: round(median(times)),
    gbPerS: round(megabytes[i] / 1024 / (Math.min(...times) / 1000)),
  })),
);
for (const row of rows)
  term.err(`${row.name.padEnd(24)} ${String(row.mb).padStart(3)} MB  best ${row.bestMs} ms  median ${row.medianMs} ms  ${row.gbPerS} GB/s\n`);
const of = (name: string, mb: number): number => rows.find((row) => row.name === name && row.mb === mb)?.bestMs ?? Number.NaN;
const ratios = ['MPICH', 'Open MPI'].flatMap((library) =>
  megabytes.map((mb) => ({ library, mb, times: round(of(`${library} MPI_Allreduce`, mb) / of('threads', mb)) })),
);
for (const { library, mb, times } of ratios) term.err(`threads against ${library}'s MPI_Allreduce, ${mb} MB: ${times} x\n`);
const report = { ranks, cpu: cpus()[0].model, cores: cpus().length, load: round(before), rows, ratios };
term.out(`${JSON.stringify(report)}\n`);
const out = value('--out', '');
if (out !== '') writeFileSync(out, `${JSON.stringify(report, null, 2)}\n`);
if (term.args.includes('--proof')) {
  const figure = ratios.map(({ library, mb, times }) => `${mb} MB ${times} x ${library}`).join(', ');
  const device = `${report.cores} x ${report.cpu}`;
  await addProof([
    { name: `all-reduce by threads against MPI_Allreduce, ${ranks} ranks`, command: commandLine('node bench/comm/allreduce.ts'), figure, device },
  ]);
}
