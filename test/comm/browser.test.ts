/** Ranks as workers in Chromium against messages in one thread of Node: the same program, the same bits, the same bytes. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { localRanks } from '../../src/comm/local.ts';
import { bundleWorker, runWorker } from '../runtime/browser/page.ts';
import type { PageMessage } from './page-worker.ts';
import { program } from './program.ts';

it('workers of a page leave the bits of Node', { timeout: 120_000 }, async () => {
  const rank = await bundleWorker(join(import.meta.dirname, 'worker.ts'));
  const beside = new Map([...rank].map(([name, code]) => [`rank/${name}`, new TextEncoder().encode(code)]));
  const size = 3;
  let came: PageMessage | undefined;
  await runWorker<PageMessage>(
    join(import.meta.dirname, 'page-worker.ts'),
    `?size=${size}&seed=12`,
    (message) => {
      came = message;
      return true;
    },
    60,
    beside,
  );
  const wanted = await Promise.all(localRanks(size).map((t) => program(t, { seed: 12 })));
  expect(came).toEqual({ kind: 'done', results: wanted });
});
