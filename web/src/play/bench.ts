/**
 * The playground's Worker with a watch on it: it has a device of its own, and is ended when a kernel does not come back. Edited texts, what ran and
 * the roofs are kept for the visit.
 */
import { signal } from '@preact/signals';
import * as Comlink from 'comlink';
import type { Phase, TrialReport } from '../../../src/index.ts';
import type { KernelDraft, Outcome, RoofView, ScionWorker } from '../protocol.ts';
import { device } from '../state.ts';

/** Seconds without a word before the Worker is ended: a GPU answers soon; a CPU adapter may compile for most of a minute, and so may float64 sums take. */
const patience = (at: Phase | 'compile'): number => (at === 'reference' ? 300 : device.value !== 'none' && device.value?.cpu ? 60 : 12);

/** What is said meanwhile. */
export const PHASES: Readonly<Record<Phase | 'compile', string>> = {
  compile: 'Compiling…',
  guard: 'Running it with its loops counted…',
  device: 'Running on the device…',
  reference: 'Computing the same in float64…',
  time: 'Timing…',
};

/** A run of this visit. */
export interface Entry {
  readonly draft: KernelDraft;
  /** The text is the shipped one. */
  readonly shipped: boolean;
  readonly report: TrialReport;
}

export const entries = signal<readonly Entry[]>([]);
/** Null until measured. */
export const roofs = signal<RoofView | null>(null);
/** What the playground does now; null for nothing. */
export const phase = signal<Phase | 'compile' | 'roofs' | null>(null);
/** Edited texts by kernel. */
export const texts = new Map<string, string>();

interface Bench {
  readonly thread: Worker;
  readonly remote: Comlink.Remote<ScionWorker>;
  /** Settles what waits when the Worker is ended. */
  readonly ended: Promise<never>;
  readonly end: (reason: string) => void;
}
let bench: Bench | null = null;

function open(): Bench {
  if (bench) return bench;
  const thread = new Worker(new URL('../worker/worker.ts', import.meta.url), { type: 'module', name: 'scion kernels' });
  let end: Bench['end'] = () => undefined;
  const ended = new Promise<never>((_, reject) => {
    end = (reason) => {
      thread.terminate();
      bench = null;
      reject(new Error(reason));
    };
  });
  ended.catch(() => undefined);
  thread.addEventListener('error', (event) => end(`the playground's Worker broke: ${event.message || 'its script could not be loaded'}`));
  bench = { thread, remote: Comlink.wrap<ScionWorker>(thread), ended, end };
  return bench;
}

/** Ends what runs; the next request starts another Worker with a device of its own. */
export function endRun(reason = 'Ended by you. The next run starts with a new device.'): void {
  bench?.end(reason);
}

/** Asks the playground's Worker under watch. */
async function watched<T>(
  first: Phase | 'compile',
  ask: (worker: Comlink.Remote<ScionWorker>, heard: (phase: Phase) => void) => Promise<Outcome<T>>,
): Promise<Outcome<T>> {
  const { remote, ended } = open();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (at: Phase | 'compile'): void => {
    clearTimeout(timer);
    const seconds = patience(at);
    timer = setTimeout(
      () => endRun(`the kernel did not come back within ${seconds} s: its Worker was ended, and the next run starts with a new device`),
      seconds * 1000,
    );
  };
  wait(first);
  try {
    return await Promise.race([ask(remote, wait), ended]);
  } catch (error) {
    return { ok: false, failure: { kind: 'device', message: error instanceof Error ? error.message : String(error) } };
  } finally {
    clearTimeout(timer);
  }
}

export const compile = (draft: KernelDraft) => watched('compile', (worker) => worker.compileKernel(draft));

export async function run(draft: KernelDraft): Promise<Outcome<TrialReport>> {
  phase.value = 'compile';
  const outcome = await watched<TrialReport>('guard', (worker, heard) =>
    worker.runKernel(
      draft,
      Comlink.proxy((at: Phase) => {
        phase.value = at;
        heard(at);
      }),
    ),
  );
  phase.value = null;
  return outcome;
}

/** Measures the device once in a visit. */
export async function needRoofs(): Promise<void> {
  if (roofs.value) return;
  phase.value = 'roofs';
  const outcome = await watched<RoofView>('time', (worker) => worker.roofs());
  phase.value = null;
  if (outcome.ok) roofs.value = outcome.value;
}
