/**
 * Files and locks of the hosts: the checks in Node and in a Worker of Chromium (OPFS), and there what becomes of a
 * lock whose tab was closed or reloaded without a word.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { host } from '../../src/host/index.ts';
import { bundleWorker, CHROMIUM_FLAGS, chromiumPath, serve } from '../runtime/browser/page.ts';
import { CHECKS, checkFiles } from './host-files.ts';
import type { FilesMessage } from './host-files-worker.ts';

const NAMES = Object.keys(CHECKS);

describe('files of a host', () => {
  let browser: Browser;
  let context: BrowserContext;
  let server: Awaited<ReturnType<typeof serve>>;

  /** Opens the worker in a page and waits for what it posts. */
  async function answer(page: Page, query: string): Promise<FilesMessage> {
    const message = page.waitForEvent('console', (m) => m.text().startsWith('posted '));
    await page.goto(`${server.url}${query}`);
    return JSON.parse((await message).text().slice('posted '.length)) as FilesMessage;
  }

  async function newPage(): Promise<Page> {
    const page = await context.newPage();
    await page.addInitScript(() => {
      Object.assign(globalThis, { scionMessage: (message: unknown) => console.log(`posted ${JSON.stringify(message)}`) });
    });
    return page;
  }

  beforeAll(async () => {
    server = await serve(await bundleWorker(join(import.meta.dirname, 'host-files-worker.ts')));
    browser = await chromium.launch({ executablePath: chromiumPath(), headless: true, args: CHROMIUM_FLAGS });
    context = await browser.newContext();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  test('Node', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'scion-files-'));
    try {
      expect(await checkFiles(await host(), dir)).toEqual({ passed: NAMES, failed: {} });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test('Chromium', async () => {
    const page = await newPage();
    expect(await answer(page, '')).toEqual({ kind: 'checks', passed: NAMES, failed: {} });
    await page.close();
  });

  test('a lock in Chromium: kept while its tab lives, taken over at once when it is gone', async () => {
    const [first, second] = [await newPage(), await newPage()];
    expect(await answer(first, '?hold')).toEqual({ kind: 'lock', outcome: 'taken' });
    expect(await answer(second, '?take')).toEqual({ kind: 'lock', outcome: 'locked' });
    expect(await answer(first, '?take')).toEqual({ kind: 'lock', outcome: 'took over' });
    expect(await answer(second, '?hold')).toEqual({ kind: 'lock', outcome: 'taken' });
    await second.close();
    expect(await answer(first, '?take')).toEqual({ kind: 'lock', outcome: 'took over' });
    await first.close();
  });
});
