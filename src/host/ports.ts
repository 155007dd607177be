/**
 * Messages between a thread and its workers, as a queue that is awaited: events are turned into `receive()` calls, so
 * that code on both sides reads from top to bottom. Workers of pages and of Deno are the same; Node's have their own door.
 */
import { ScionError } from '../base/errors.ts';
import type { HostPort, HostWorker } from './types.ts';

/** Messages that came, or calls that wait for them. */
export class MessageQueue {
  readonly #arrived: unknown[] = [];
  readonly #waiting: { readonly resolve: (message: unknown) => void; readonly reject: (error: unknown) => void }[] = [];
  #failure: ScionError | null = null;

  push(message: unknown): void {
    const next = this.#waiting.shift();
    if (next) next.resolve(message);
    else this.#arrived.push(message);
  }

  /** Nothing will come any more: all calls that wait, and later ones, fail. */
  fail(error: ScionError): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }

  receive(): Promise<unknown> {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift());
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }
}

/** What a worker that broke is told as. */
export function workerFailure(entry: URL, why: string, cause?: unknown): ScionError {
  return new ScionError('internal', `the worker ${entry.pathname.split('/').at(-1) ?? ''} ended: ${why}`, { entry: entry.href }, cause);
}

/**
 * The module beside another one, by its name without an ending: `.ts` in a checkout, `.js` in the built package, as the
 * module at `from` (its `import.meta.url`) is.
 */
export function siblingModule(from: string, name: string): URL {
  return new URL(`${name}${/\.[jt]s(?=$|[?#])/.exec(from)?.[0] ?? '.js'}`, from);
}

/** A module worker of a page or of Deno. */
export function webWorker(entry: URL): HostWorker {
  const worker = new Worker(entry, { type: 'module' });
  const queue = new MessageQueue();
  worker.onmessage = (event: MessageEvent) => queue.push(event.data);
  worker.onmessageerror = () => queue.fail(workerFailure(entry, 'a message could not be read'));
  worker.onerror = (event: ErrorEvent) => {
    event.preventDefault();
    queue.fail(workerFailure(entry, event.message || 'it could not be loaded', event.error));
  };
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    receive: () => queue.receive(),
    async end() {
      worker.terminate();
      queue.fail(workerFailure(entry, 'it was told to'));
    },
  };
}

interface WorkerScope {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
}

let ownPort: HostPort | undefined;

/** This worker's way to the thread that made it; null in a page or a main thread. */
export function webWorkerPort(): HostPort | null {
  if (ownPort) return ownPort;
  if (typeof (globalThis as { WorkerGlobalScope?: unknown }).WorkerGlobalScope === 'undefined') return null;
  const scope = globalThis as unknown as WorkerScope;
  const queue = new MessageQueue();
  scope.addEventListener('message', (event) => queue.push(event.data));
  ownPort = { post: (message, transfer = []) => scope.postMessage(message, [...transfer]), receive: () => queue.receive() };
  return ownPort;
}
