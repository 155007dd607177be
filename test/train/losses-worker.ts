/** The losses of `losses.ts` in a dedicated Worker of a page: posts them, or what went wrong. */
import { type HostLosses, hostLosses } from './tiny.ts';

/** What the worker posts, once. */
export type LossesMessage = { kind: 'done'; result: HostLosses } | { kind: 'error'; message: string };

const post = (message: LossesMessage): void => globalThis.postMessage(message);
const query = new URL(globalThis.location.href).searchParams;

try {
  post({ kind: 'done', result: await hostLosses(Number(query.get('steps')), query.get('precision') === 'mixed' ? 'mixed' : 'f32') });
} catch (error) {
  post({ kind: 'error', message: error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error) });
}
