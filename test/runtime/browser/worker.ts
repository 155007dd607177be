/** The op suite in a dedicated Worker of a page: posts each case's result, then the whole. */
import { GpuDevice } from '../../../src/gpu/device.ts';
import { runSuite, type SuiteCase, type SuiteResult } from '../suite.ts';

/** What the worker posts; infinite errors survive structured cloning, so no JSON here. */
export type WorkerMessage = { kind: 'case'; result: SuiteCase } | { kind: 'done'; result: SuiteResult } | { kind: 'error'; message: string };

const post = (message: WorkerMessage): void => globalThis.postMessage(message);
const only = new URL(globalThis.location.href).searchParams.get('only') ?? '';

try {
  const result = await runSuite(() => GpuDevice.open(), { filter: (c) => c.name.includes(only), onResult: (r) => post({ kind: 'case', result: r }) });
  post({ kind: 'done', result });
} catch (error) {
  post({ kind: 'error', message: error instanceof Error ? `${error.message}\n${error.stack ?? ''}` : String(error) });
}
