/**
 * Starts the ranks of one process and looks after them: one worker a rank, each with its transport. Where one fails, stops answering or ends, all are
 * ended at once, and the error names the rank; nothing of a broken run lives on. A rank that is still there but silent (an endless loop) is told from a
 * slow one by its heartbeat, which its event loop keeps up while it waits for others or for a GPU.
 */
import { type ErrorKind, isScionError, ScionError } from '../base/errors.ts';
import { type Host, type HostPort, type HostWorker, host } from '../host/index.ts';
import { Mailboxes, mailBytes, mailLayout } from './mailbox.ts';
import { growingMemory } from './shared.ts';
import { BEAT_MS, type ThreadWorld, threadTransport } from './threads.ts';
import type { Transport } from './types.ts';

/** Silence after which a rank counts as stuck, in milliseconds; a minute is promised, with time left to end the others. */
export const SILENCE_MS = 45_000;

/** Milliseconds that ranks get to end by themselves once one has failed: most fail of the same at the same time, and a thread that is ended inside a driver takes the process along. */
const GRACE_MS = 2000;

/** What the launcher says to a rank, and what comes back. */
type ToRank = { readonly kind: 'start'; readonly world: ThreadWorld; readonly data: unknown } | { readonly kind: 'message'; readonly message: unknown };
type FromRank =
  | { readonly kind: 'ready' }
  | { readonly kind: 'message'; readonly message: unknown }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly errorKind: ErrorKind; readonly message: string; readonly details: Record<string, unknown>; readonly stack: string };

export interface SpawnOptions {
  /** What ranks post beside their transport: progress, lines for a log. */
  readonly onMessage?: (rank: number, message: unknown) => void;
  readonly silenceMs?: number;
}

/** Ranks that run. */
export interface RankRun {
  /** What each rank's part gave, by rank. Rejects with the first failure, once all ranks have ended. */
  readonly results: Promise<unknown[]>;
  /** Says something to a rank, which gets it by its port's `receive`. */
  post(rank: number, message: unknown): void;
  /** Ends all ranks at once; `results` rejects unless they were done. */
  end(): Promise<void>;
}

/** The failure of a rank, named. */
function rankError(rank: number, size: number, error: unknown): ScionError {
  const kind = isScionError(error) ? error.kind : 'internal';
  const message = error instanceof Error ? error.message : String(error);
  return new ScionError(kind, `rank ${rank} of ${size}: ${message}`, { ...(isScionError(error) ? error.details : {}), rank }, error);
}

function sharedMemory(bytes: number): WebAssembly.Memory {
  if (typeof SharedArrayBuffer !== 'function') {
    throw new ScionError('device', 'several ranks need shared memory, which this page has not: serve it with COOP same-origin and COEP require-corp headers');
  }
  return growingMemory(bytes);
}

/**
 * Starts `size` ranks as workers of the module `entry`, which calls `serveRank`.
 * @param data given to every rank; cloned, so plain data and shared memory
 */
export async function spawnRanks(size: number, entry: URL, data: unknown, options: SpawnOptions = {}): Promise<RankRun> {
  if (!Number.isInteger(size) || size < 1) throw new ScionError('usage', `${size} ranks: a whole number from 1`, { size });
  const machine = await host();
  const layout = mailLayout(size);
  const memory = sharedMemory(mailBytes(layout));
  const mail = new Mailboxes(memory, layout);
  mail.begin();
  const workers = Array.from({ length: size }, () => machine.worker(entry));
  const end = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.end()));
  };
  /** What is posted to a rank that has not begun, for which a message would be lost. */
  const early: (ToRank[] | null)[] = workers.map(() => []);
  const begun = (rank: number): void => {
    for (const message of early[rank] ?? []) workers[rank].post(message);
    early[rank] = null;
  };
  const watch = watchBeats(machine, mail, options.silenceMs ?? SILENCE_MS);
  const parts = workers.map((worker, rank) =>
    runRank(worker, { memory, layout, rank }, data, begun, options).then(
      (result) => {
        watch.leave(rank);
        return result;
      },
      (error: unknown) => {
        throw rankError(rank, size, error);
      },
    ),
  );
  // Those that are ended because another one failed fail too; the first one counts.
  for (const part of parts) part.catch(() => {});
  const results = Promise.race([Promise.all(parts), watch.stuck]).finally(async () => {
    watch.stop();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, GRACE_MS);
    });
    await Promise.race([Promise.allSettled(parts), grace]);
    clearTimeout(timer);
    await end();
  });
  results.catch(() => {});
  return {
    results,
    post(rank, message) {
      const said: ToRank = { kind: 'message', message };
      if (early[rank] === null) workers[rank].post(said);
      else early[rank].push(said);
    },
    end,
  };
}

async function runRank(worker: HostWorker, world: ThreadWorld, data: unknown, begun: (rank: number) => void, { onMessage }: SpawnOptions): Promise<unknown> {
  for (;;) {
    const came = (await worker.receive()) as FromRank;
    if (came.kind === 'ready') {
      worker.post({ kind: 'start', world, data } satisfies ToRank);
      begun(world.rank);
    } else if (came.kind === 'message') onMessage?.(world.rank, came.message);
    else if (came.kind === 'done') return came.result;
    else throw new ScionError(came.errorKind, came.message, { ...came.details, stack: came.stack });
  }
}

/** Rejects once a rank that has begun has not beaten for so long. */
function watchBeats(machine: Host, mail: Mailboxes, silenceMs: number): { stuck: Promise<never>; leave(rank: number): void; stop(): void } {
  const { size } = mail.layout;
  const seen = Array.from({ length: size }, () => ({ beat: 0, at: machine.now(), left: false }));
  let timer: ReturnType<typeof setInterval> | undefined;
  let last = machine.now();
  const stuck = new Promise<never>((_, reject) => {
    const look = (): void => {
      const now = machine.now();
      // This thread slept itself (a machine in standby, a page in the background): nobody is to blame for that time.
      const slept = now - last > 10 * BEAT_MS;
      last = now;
      for (const [rank, state] of seen.entries()) {
        const beat = Atomics.load(mail.control, mail.beat(rank));
        if (beat !== state.beat || beat === 0 || slept) Object.assign(state, { beat, at: now });
        else if (!state.left && now - state.at > silenceMs) {
          const seconds = Math.round((now - state.at) / 1000);
          reject(new ScionError('lost', `rank ${rank} of ${size} is stuck: no sign of life for ${seconds} s; all ranks are ended`, { rank, seconds }));
        }
      }
    };
    timer = setInterval(look, BEAT_MS);
  });
  stuck.catch(() => {});
  return {
    stuck,
    leave: (rank) => {
      seen[rank].left = true;
    },
    stop: () => clearInterval(timer),
  };
}

/** What a rank has at hand beside its data. */
export interface RankContext {
  readonly transport: Transport;
  /** To the thread that started the ranks; `receive` gives what it posted. */
  readonly port: HostPort;
}

/** In the worker's module: runs this rank's part and reports its result, which is cloned. Does nothing outside a worker. */
export async function serveRank<T>(part: (context: RankContext, data: T) => Promise<unknown>): Promise<void> {
  const machine = await host();
  const port = machine.workerPort();
  if (port === null) return;
  const say = (message: FromRank): void => port.post(message);
  say({ kind: 'ready' });
  const start = (await port.receive()) as ToRank;
  if (start.kind !== 'start') return;
  let transport: Transport | null = null;
  try {
    transport = threadTransport(start.world, machine);
    const own: HostPort = {
      post: (message) => say({ kind: 'message', message }),
      receive: async () => ((await port.receive()) as Extract<ToRank, { kind: 'message' }>).message,
    };
    say({ kind: 'done', result: await part({ transport, port: own }, start.data as T) });
  } catch (error) {
    const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
    const details = isScionError(error) ? plain(error.details) : {};
    say({ kind: 'failed', errorKind: isScionError(error) ? error.kind : 'internal', message, details, stack });
  } finally {
    await transport?.close();
  }
}

/** What of an error's details can be cloned: errors of hosts may carry anything. */
function plain(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(details).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value)));
}
