/** Requests of the page, answered: what is thrown becomes a value, since errors lose their kind on the way between threads. */
import { isScionError, ScionError } from '../../../src/index.ts';
import type { Outcome } from '../protocol.ts';

/** Runs a request and gives its outcome. */
export async function answering<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    const kind = isScionError(error) ? error.kind : 'internal';
    return { ok: false, failure: { kind, message: error instanceof Error ? error.message : String(error) } };
  }
}

/** One request of a kind at a time. */
export class OneAtATime {
  private busy = false;
  private readonly what: string;

  constructor(what: string) {
    this.what = what;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.busy) throw new ScionError('usage', `${this.what} already; stop it first`);
    this.busy = true;
    try {
      return await work();
    } finally {
      this.busy = false;
    }
  }
}
