/**
 * Starts ranks as workers of a page's worker and posts what they gave, once. The module of the ranks lies beside, bundled on its own.
 */
import { spawnRanks } from '../../src/comm/launch.ts';

export type PageMessage = { readonly kind: 'done'; readonly results: unknown[] } | { readonly kind: 'error'; readonly message: string };

const post = (message: PageMessage): void => globalThis.postMessage(message);

try {
  const query = new URL(globalThis.location.href).searchParams;
  const run = await spawnRanks(Number(query.get('size')), new URL('/rank/worker.js', globalThis.location.href), { seed: Number(query.get('seed')) });
  post({ kind: 'done', results: await run.results });
} catch (error) {
  post({ kind: 'error', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
