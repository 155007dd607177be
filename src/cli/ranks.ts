/**
 * A command on several ranks. On workers of this process the thread that was started launches and watches them, and shows what the first rank says; it
 * computes nothing itself, so it hears signals and passes them on at once. In an MPI job this process is one rank, its launcher watches, and the first
 * rank alone speaks.
 */
import { isScionError, ScionError } from '../base/errors.ts';
import { agree, type Setting } from '../comm/agree.ts';
import { spawnRanks } from '../comm/launch.ts';
import { mpiTransport } from '../comm/mpi.ts';
import { underMpi } from '../comm/mpi-library.ts';
import type { Transport } from '../comm/types.ts';
import { type Host, type HostTerminal, host, siblingModule } from '../host/index.ts';
import { onAll } from '../shard/say.ts';
import type { Context } from './command.ts';
import type { FlagSpec, Flags } from './flags.ts';
import { StatusLine } from './status.ts';
import { VERSION } from './version.ts';

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

/** The flag of commands that run as ranks of an MPI job. */
export const TRANSPORT_FLAG: FlagSpec = {
  kind: 'string',
  choices: ['threads', 'mpi'],
  summary: 'ranks are workers of this process, or processes of an MPI job; by default mpi where its launcher started this one',
};

/** The context of a rank: it says what it has to say by `say`, so that ranks other than the first can be silent. */
export function rankContext(machine: Host, flags: Flags, shape: Pick<HostTerminal, 'isTerminal' | 'columns'>, say: (said: RankSaid) => void): Context {
  const terminal: HostTerminal = {
    args: [],
    isTerminal: shape.isTerminal,
    outIsTerminal: false,
    columns: shape.columns,
    out: (text) => say({ kind: 'print', text: text.trimEnd() }),
    err: (text) => say({ kind: 'err', text }),
    lines: async function* () {},
    exit: () => {
      throw new Error('a rank does not end the process');
    },
  };
  return {
    flags,
    terminal,
    status: new StatusLine(terminal, machine.now),
    stop: { requested: false },
    print: (text) => say({ kind: 'print', text }),
    result: (value) => say({ kind: 'result', value }),
  };
}

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

/** Flags in which ranks may differ: a device is a machine's own, and only the first rank prints. */
const OWN_FLAGS = ['device', 'json'];

/** Does something on every rank that may fail on some: then it fails on all, and the job can end as one process would. */
export type Together = <T>(work: () => Promise<T>) => Promise<T>;

/** The failure of one rank, named. */
function rankFailure({ rank, size }: Transport, error: unknown): unknown {
  if (!isScionError(error)) return error;
  return new ScionError(error.kind, `rank ${rank} of ${size}: ${error.message}`, { ...error.details, rank }, error);
}

/**
 * Runs `body` as this process's rank of an MPI job, once all ranks are found to have been started with the same flags. Every rank stops where one is told
 * to. What fails on all ranks, and a stop, is told by the first one, with its exit code; a rank that fails alone ends without MPI's end, at which the
 * launcher ends the others.
 * @returns false, without having run it, where this process belongs to no job, is alone in its job, or is told to stay out of it (`--transport threads`)
 * @throws ScionError `usage` naming the flag in which ranks differ; what `body` throws
 */
export async function runOnMpi(context: Context, body: (context: Context, transport: Transport, together: Together) => Promise<void>): Promise<boolean> {
  const { flags, terminal, stop } = context;
  const machine = await host();
  const asked = flags.string('transport');
  if (asked === 'threads' || (asked === undefined && !underMpi(machine))) return false;
  const transport = await mpiTransport(machine, { onStuck: (error) => terminal.err(`scion: ${error.message}\n`) });
  if (asked === undefined && transport.size === 1) {
    await transport.close();
    return false;
  }
  const first = transport.rank === 0;
  // A signal reaches this process by the context it was given.
  const own = first ? context : { ...rankContext(machine, flags, terminal, () => {}), stop };
  let everybody = true;
  const together: Together = async <T>(work: () => Promise<T>): Promise<T> => {
    let value: T | undefined;
    everybody = true;
    await onAll(transport, async () => {
      value = await work();
    });
    everybody = false;
    return value as T;
  };
  try {
    const given = flags.plain.filter(([name]) => !OWN_FLAGS.includes(name));
    await agree(transport, { version: VERSION, words: flags.words, ...Object.fromEntries(given) } as { readonly [name: string]: Setting });
    everybody = false;
    await body(own, transport, together);
  } catch (error) {
    if (!everybody && !isScionError(error, 'interrupted')) throw rankFailure(transport, error);
    await transport.close();
    if (first) throw error;
    return true;
  }
  await transport.close();
  return true;
}

/** What launchers call a rank's number among those of its machine. */
const LOCAL_RANK_VARIABLES = ['OMPI_COMM_WORLD_LOCAL_RANK', 'MPI_LOCALRANKID', 'PALS_LOCAL_RANKID', 'SLURM_LOCALID'];

/**
 * The adapter that a rank opens, as part of its name: that of `--device`; else the entry of `SCION_ADAPTERS` (names between semicolons) at the rank's number
 * on its machine, over and over where there are more ranks; else the first that the machine offers.
 */
export function adapterOf(machine: Host, flags: Flags, transport: Pick<Transport, 'kind' | 'rank'> | undefined): string | undefined {
  const names = (machine.env('SCION_ADAPTERS') ?? '').split(';').flatMap((name) => name.trim() || []);
  const named = flags.string('device');
  if (named !== undefined || names.length === 0) return named;
  const said = transport?.kind === 'mpi' ? LOCAL_RANK_VARIABLES.map((name) => machine.env(name)).find((value) => value !== undefined) : undefined;
  return names[Number(said ?? transport?.rank ?? 0) % names.length];
}
