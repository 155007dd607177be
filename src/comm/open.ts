/**
 * The transport of a process by how it was started: a rank of an MPI job where a launcher started it, else alone. Ranks of one process come from `spawnRanks`.
 */
import type { Host } from '../host/index.ts';
import { localTransport } from './local.ts';
import { type MpiOptions, mpiTransport } from './mpi.ts';
import { underMpi } from './mpi-library.ts';
import type { Transport } from './types.ts';

/** Once a process, on its main thread. */
export async function openTransport(host: Host, options: MpiOptions = {}): Promise<Transport> {
  return underMpi(host) ? mpiTransport(host, options) : localTransport();
}
