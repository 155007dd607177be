/**
 * A rank of bench/comm/allreduce.ts: times an all-reduce of f32 values of several sizes, ours over whichever transport started it, or MPI's own (blocking,
 * in place of nothing, as C programs call it). Loaded as a worker or started by an MPI launcher: `rank.ts own|raw SIZES REPEATS`.
 */
import { allReduceSum } from '../../src/comm/collectives.ts';
import { serveRank } from '../../src/comm/launch.ts';
import { mpiTransport } from '../../src/comm/mpi.ts';
import { underMpi } from '../../src/comm/mpi-library.ts';
import type { Transport } from '../../src/comm/types.ts';
import { host, terminal } from '../../src/host/index.ts';
import { native } from '../../src/host/native.ts';

export interface RankJob {
  /** Elements of each sum. */
  readonly counts: readonly number[];
  readonly repeats: number;
  /** Values lie in memory that the ranks share, as staged gradients do. */
  readonly staged?: boolean;
}

/** Repeats that do not count: engines compile what runs often. */
const WARM_UP = 10;

/** Milliseconds of each repeat, by size. */
export type Times = number[][];

const machine = await host();

async function timed(
  { counts, repeats }: RankJob,
  fill: () => Float32Array[],
  sum: (i: number) => Promise<void> | void,
  barrier: () => Promise<void>,
): Promise<Times> {
  const times: Times = [];
  fill();
  for (const i of counts.keys()) {
    const own: number[] = [];
    for (let r = -WARM_UP; r < repeats; r++) {
      await barrier();
      const start = machine.now();
      await sum(i);
      if (r >= 0) own.push(machine.now() - start);
    }
    times.push(own);
  }
  return times;
}

const buffers = (job: RankJob): Float32Array[] => job.counts.map((count) => new Float32Array(count).fill(1e-3));

export async function timeOwn(transport: Transport, job: RankJob): Promise<Times> {
  const values = job.counts.map((count) => (job.staged && transport.stage ? transport.stage(count) : new Float32Array(count)).fill(1e-3));
  return timed(
    job,
    () => values,
    (i) => allReduceSum(transport, values[i]),
    () => transport.barrier(),
  );
}

/** MPI_Allreduce of Debian's MPICH and Open MPI; the constants are those of their headers. */
async function timeRaw(job: RankJob): Promise<{ rank: number; times: Times }> {
  const door = await native();
  const path = machine.env('OMPI_COMM_WORLD_RANK') === undefined ? 'libmpich.so.12' : 'libmpi.so.40';
  const library = door.open(path);
  if (library === null) throw new Error(`${path} does not load`);
  const open = library.symbol('ompi_mpi_comm_world') !== null;
  const handle = open ? 'u64' : 'i32';
  const constant = (name: string, mpich: number): number | bigint => (open ? (library.symbol(name) ?? 0n) : mpich | 0);
  const [world, float, sum] = [constant('ompi_mpi_comm_world', 0x44000000), constant('ompi_mpi_float', 0x4c00040a), constant('ompi_mpi_op_sum', 0x58000003)];
  library.fn('MPI_Init', 'i32', ['u64', 'u64'])(0, 0);
  const word = new Int32Array(1);
  library.fn('MPI_Comm_rank', 'i32', [handle, 'u64'])(world, door.address(word));
  const barrier = library.fn('MPI_Barrier', 'i32', [handle]);
  const allReduce = library.fn('MPI_Allreduce', 'i32', ['u64', 'u64', 'i32', handle, handle, handle]);
  const from = buffers(job);
  const to = buffers(job);
  const times = await timed(
    job,
    () => from,
    (i) => void allReduce(door.address(from[i]), door.address(to[i]), job.counts[i], float, sum, world),
    async () => void barrier(world),
  );
  library.fn('MPI_Finalize', 'i32', [])();
  return { rank: word[0], times };
}

if (underMpi(machine)) {
  const term = await terminal();
  const [mode, counts, repeats] = term.args;
  const job = { counts: counts.split(',').map(Number), repeats: Number(repeats) };
  if (mode === 'raw') {
    const { rank, times } = await timeRaw(job);
    if (rank === 0) term.out(`${JSON.stringify(times)}\n`);
  } else {
    const transport = await mpiTransport(machine);
    const times = await timeOwn(transport, job);
    if (transport.rank === 0) term.out(`${JSON.stringify(times)}\n`);
    await transport.close();
  }
} else await serveRank<RankJob>(({ transport }, job) => timeOwn(transport, job));
