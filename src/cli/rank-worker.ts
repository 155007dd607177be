/**
 * The module of a worker that is one rank of `scion train`. It runs when it is loaded, so nothing imports it; `ranks.ts` starts it. Only the
 * first rank speaks.
 */
import { isScionError } from '../base/errors.ts';
import { serveRank } from '../comm/launch.ts';
import { type HostTerminal, host } from '../host/index.ts';
import { openMesh } from '../shard/mesh.ts';
import type { Context } from './command.ts';
import { meshOf, train } from './commands/train.ts';
import { Flags } from './flags.ts';
import type { RankEnd, RankJob, RankSaid } from './ranks.ts';
import { StatusLine } from './status.ts';

await serveRank<RankJob>(async ({ transport, port }, job): Promise<RankEnd> => {
  const machine = await host();
  const say = (said: RankSaid): void => {
    if (transport.rank === 0) port.post(said);
  };
  const terminal: HostTerminal = {
    args: [],
    isTerminal: job.isTerminal,
    outIsTerminal: false,
    columns: job.columns,
    out: (text) => say({ kind: 'print', text: text.trimEnd() }),
    err: (text) => say({ kind: 'err', text }),
    lines: async function* () {},
    exit: () => {
      throw new Error('a rank does not end the process');
    },
  };
  const stop = { requested: false };
  const context: Context = {
    flags: new Flags(new Map(job.flags), []),
    terminal,
    status: new StatusLine(terminal, machine.now),
    stop,
    print: (text) => say({ kind: 'print', text }),
    result: (value) => say({ kind: 'result', value }),
  };
  const listen = async (): Promise<void> => {
    while ((await port.receive()) !== 'stop') {}
    stop.requested = true;
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
