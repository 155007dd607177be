/**
 * A rank of the tests in a worker. It runs when it is loaded, so nothing imports it. What it does is in its data: the program of collectives, or one of
 * the ways to go wrong.
 */
import { agree } from '../../src/comm/agree.ts';
import { serveRank } from '../../src/comm/launch.ts';
import { program } from './program.ts';

export type WorkerData = {
  readonly seed: number;
  readonly big?: number;
  readonly fault?: 'throw' | 'loop' | 'exit' | 'settings' | 'echo';
  readonly rank?: number;
};

await serveRank<WorkerData>(async ({ transport, port }, data) => {
  const chosen = transport.rank === data.rank;
  if (data.fault === 'settings') await agree(transport, { seed: chosen ? 8 : 7, optimizer: { peak: 0.1 } });
  if (data.fault === 'echo') {
    port.post(`rank ${transport.rank} heard ${String(await port.receive())}`);
    return transport.rank;
  }
  if (chosen && data.fault === 'throw') throw new Error('told to fail');
  if (chosen && data.fault === 'exit') (await import('node:process')).exit(3);
  if (chosen && data.fault === 'loop') for (;;);
  return program(transport, data);
});
