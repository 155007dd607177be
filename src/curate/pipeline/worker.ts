/**
 * The module of a worker of the data pipeline: runs one task after the other, answers each. It runs when it is loaded,
 * so nothing imports it; `pool.ts` starts it.
 */
import { host } from '../../host/index.ts';
import type { PoolReply, PoolRequest } from './pool.ts';
import { TASKS, type TaskContext } from './tasks.ts';

async function serve(): Promise<void> {
  const machine = await host();
  const port = machine.workerPort();
  if (port === null) return;
  const context: TaskContext = { host: machine, cache: new Map() };
  const reply = (message: PoolReply): void => port.post(message);
  reply({ kind: 'ready' });
  for (;;) {
    const { task, input } = (await port.receive()) as PoolRequest;
    try {
      const run = await TASKS[task]();
      reply({ kind: 'done', output: await run(input as never, context) });
    } catch (error) {
      reply({ kind: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  }
}

await serve();
