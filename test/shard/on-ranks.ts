/** Runs a program as several ranks of this thread, for tests: deterministic, and without workers. */
import { localRanks } from '../../src/comm/local.ts';
import type { Transport } from '../../src/comm/types.ts';

/** What the program gave on each of n ranks, which all run at once. */
export function onRanks<T>(n: number, program: (world: Transport) => Promise<T>): Promise<T[]> {
  return Promise.all(localRanks(n).map(program));
}
