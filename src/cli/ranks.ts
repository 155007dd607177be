/**
 * A command on several ranks of this process, a worker each: the thread that was started launches and watches them, and shows what the first rank
 * says. It trains nothing itself, so it hears signals and passes them on at once.
 */
import { ScionError } from '../base/errors.ts';
import { spawnRanks } from '../comm/launch.ts';
import { siblingModule } from '../host/index.ts';
import type { Context } from './command.ts';

/** What a rank is given. */
export interface RankJob {
  readonly flags: Context['flags']['plain'];
  readonly isTerminal: boolean;
  readonly columns: number;
}

/** What the first rank says to the terminal. */
export type RankSaid =
  | { readonly kind: 'print'; readonly text: string }
  | { readonly kind: 'err'; readonly text: string }
  | { readonly kind: 'result'; readonly value: Readonly<Record<string, unknown>> };

/** How a rank ended: null, or why it stopped early after a clean save. */
export type RankEnd = { readonly interrupted: string } | null;

/** Milliseconds between two looks at whether to stop. */
const LISTEN_MS = 50;

/** Runs `scion train` with these flags on `ranks` workers. @throws ScionError the first failure of a rank, by its number. */
export async function runOnThreads(context: Context, ranks: number): Promise<void> {
  const { flags, terminal, stop } = context;
  const job: RankJob = { flags: flags.plain, isTerminal: terminal.isTerminal, columns: terminal.columns };
  const run = await spawnRanks(ranks, siblingModule(import.meta.url, './rank-worker'), job, {
    onMessage: (_, message) => {
      const said = message as RankSaid;
      if (said.kind === 'print') context.print(said.text);
      else if (said.kind === 'err') terminal.err(said.text);
      else context.result(said.value);
    },
  });
  const timer = setInterval(() => {
    if (!stop.requested) return;
    clearInterval(timer);
    for (let rank = 0; rank < ranks; rank++) run.post(rank, 'stop');
  }, LISTEN_MS);
  try {
    const [first] = (await run.results) as RankEnd[];
    if (first) throw new ScionError('interrupted', first.interrupted);
  } finally {
    clearInterval(timer);
  }
}
