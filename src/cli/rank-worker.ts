/**
 * The module of a worker that is one rank of `scion train`. It runs when it is loaded, so nothing imports it; `ranks.ts` starts it. Only the
 * first rank speaks.
 */
import { isScionError } from '../base/errors.ts';
import { serveRank } from '../comm/launch.ts';
import { host } from '../host/index.ts';
import { openMesh } from '../shard/mesh.ts';
import { meshOf, train } from './commands/train.ts';
import { Flags } from './flags.ts';
import { type RankEnd, type RankJob, type RankSaid, rankContext } from './ranks.ts';

await serveRank<RankJob>(async ({ transport, port }, job): Promise<RankEnd> => {
  const machine = await host();
  const say = (said: RankSaid): void => {
    if (transport.rank === 0) port.post(said);
  };
  const context = rankContext(machine, new Flags(new Map(job.flags), []), job, say);
  const listen = async (): Promise<void> => {
    while ((await port.receive()) !== 'stop') {}
    context.stop.requested = true;
  };
  // It ends with the worker.
  listen().catch(() => undefined);
  try {
    await train(context, await openMesh(meshOf(context.flags), transport));
    return null;
  } catch (error) {
    if (isScionError(error, 'interrupted')) return { interrupted: error.message };
    throw error;
  } finally {
    context.status.clear();
  }
});
