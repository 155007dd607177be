/**
 * The op suite in a dedicated Worker of a headless Chromium, bundled by Vite. Without a GPU the adapter is
 * SwiftShader, where a pipeline costs seconds rather than milliseconds: most of the time goes there.
 */
import { join } from 'node:path';
import { describe } from 'vitest';
import { runWorker } from './browser/page.ts';
import type { WorkerMessage } from './browser/worker.ts';
import { suiteTests } from './expect.ts';
import type { SuiteResult } from './suite.ts';

async function runInChromium(): Promise<SuiteResult> {
  let result: SuiteResult | undefined;
  let last = 'none';
  const onMessage = (message: WorkerMessage): boolean => {
    if (message.kind === 'case') last = message.result.case;
    else if (message.kind === 'done') result = message.result;
    else throw new Error(message.message);
    return message.kind === 'done';
  };
  try {
    await runWorker(join(import.meta.dirname, 'browser/worker.ts'), '', onMessage, 600);
  } catch (error) {
    throw new Error(`the suite broke off in Chromium; the last finished case is "${last}": ${String(error)}`);
  }
  if (!result) throw new Error('the worker ended without a result');
  return result;
}

describe('op suite in Chromium', () => {
  suiteTests('browser', runInChromium, 660);
});
