/**
 * A pool of workers that run named tasks (`tasks.ts`). With fewer than two workers tasks run in this thread, with the
 * same results. A task whose worker dies is given to a fresh one, a few times: each task must be safe to run again
 * (write aside, then rename). Results come back in the order of the inputs, whoever was faster.
 */
import { ScionError } from '../../base/errors.ts';
import { siblingModule } from '../../host/index.ts';
import type { Host, HostWorker } from '../../host/types.ts';
import { TASKS, type TaskContext } from './tasks.ts';

export interface PoolRequest {
  readonly task: string;
  readonly input: unknown;
}

export type PoolReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly output: unknown }
  | { readonly kind: 'failed'; readonly message: string };

/** Times a task is tried on a fresh worker after the one that ran it died. */
const MAX_DEATHS = 5;

/** Texts live shortly and in large numbers: this much keeps a worker small, and more makes it hardly faster. */
const YOUNG_MB = 24;

/** What a host starts as a worker. A bundled page, where modules have other names, gives its own. */
export function pipelineWorkers(machine: Host): () => HostWorker {
  return () => machine.worker(siblingModule(import.meta.url, './worker'), { youngMb: YOUNG_MB });
}

/** Runs tasks; `end` it. */
export class TaskPool {
  readonly workers: number;
  readonly #host: Host;
  readonly #spawn: () => HostWorker;
  readonly #idle: HostWorker[] = [];
  readonly #all = new Set<HostWorker>();
  readonly #local: TaskContext;

  constructor(host: Host, workers: number, spawn: () => HostWorker = pipelineWorkers(host)) {
    this.#host = host;
    this.workers = workers;
    this.#spawn = spawn;
    this.#local = { host: this.#host, cache: new Map() };
  }

  /**
   * Runs `task` on every input, as many at once as there are workers; outputs in the order of inputs. The first failure
   * ends it: no further input is begun, and the error (`internal`, with the worker's stack) is thrown once those under way are done.
   */
  async map<I, O>(task: string, inputs: readonly I[], onDone?: (done: number, total: number) => void): Promise<O[]> {
    const outputs = new Array<O>(inputs.length);
    let next = 0;
    let done = 0;
    let failed: unknown;
    const lane = async (): Promise<void> => {
      while (next < inputs.length && failed === undefined) {
        const at = next++;
        try {
          outputs[at] = (await this.#run(task, inputs[at])) as O;
          onDone?.(++done, inputs.length);
        } catch (error) {
          failed ??= error;
        }
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, Math.min(this.workers, inputs.length)) }, lane));
    if (failed !== undefined) throw failed;
    return outputs;
  }

  /**
   * Between two kinds of work: workers begin anew, without what they kept for the last one and without the slack of their heaps. Nothing
   * may be under way. With no workers only what this thread kept for tasks goes.
   */
  async renew(): Promise<void> {
    this.#local.cache.clear();
    await this.end();
  }

  async end(): Promise<void> {
    const all = [...this.#all];
    this.#all.clear();
    this.#idle.length = 0;
    await Promise.all(all.map((worker) => worker.end()));
  }

  async #run(task: string, input: unknown): Promise<unknown> {
    if (this.workers < 2) return (await TASKS[task]())(input as never, this.#local);
    for (let deaths = 0; ; ) {
      const worker = this.#idle.pop() ?? (await this.#open());
      let reply: PoolReply;
      try {
        const request: PoolRequest = { task, input };
        worker.post(request);
        reply = (await worker.receive()) as PoolReply;
      } catch (error) {
        this.#all.delete(worker);
        if (++deaths < MAX_DEATHS) continue;
        throw new ScionError('internal', `a worker died ${deaths} times over "${task}": ${error instanceof Error ? error.message : String(error)}`, {
          task,
          deaths,
        });
      }
      this.#idle.push(worker);
      if (reply.kind === 'done') return reply.output;
      throw new ScionError('internal', `"${task}" failed in a worker: ${reply.kind === 'failed' ? reply.message : 'it answered out of turn'}`, { task });
    }
  }

  async #open(): Promise<HostWorker> {
    const worker = this.#spawn();
    this.#all.add(worker);
    // Its first word says that it listens.
    await worker.receive();
    return worker;
  }
}
