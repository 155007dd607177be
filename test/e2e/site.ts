/**
 * The page built, served and opened in headless Chromium, with what went wrong in it and what it loaded; and what tests ask of any page: its
 * weight, the longest task of its main thread. Used by the end-to-end tests of the page.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { build, preview } from 'vite';
import { CHROMIUM_FLAGS, chromiumPath } from '../runtime/browser/page.ts';
import { ROOT } from '../runtime/expect.ts';

/** Where pictures of the page are left for people to look at. */
export const SHOTS = join(ROOT, '.cache', 'page');
export const PATIENCE = 200_000;

/** A page in a profile. */
export interface OpenPage {
  readonly page: Page;
  /** Errors and warnings of its console, and what was thrown. */
  readonly problems: string[];
  /** Addresses that its context asked for. */
  readonly loaded: string[];
}

export interface Site {
  readonly url: string;
  readonly browser: Browser;
  open(context: BrowserContext): Promise<OpenPage>;
  /** Bytes of the page's own files among these addresses, as gzip sends them. */
  weight(addresses: readonly string[]): number;
  close(): Promise<void>;
}

/** Builds the page and serves it on localhost. */
export async function openSite(): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), 'scion-page-'));
  mkdirSync(SHOTS, { recursive: true });
  const config = { configFile: join(ROOT, 'vite.config.ts'), logLevel: 'warn' as const };
  await build({ ...config, build: { outDir: folder } });
  const server = await preview({ ...config, build: { outDir: folder }, preview: { port: 0, host: '127.0.0.1' } });
  const address = server.httpServer.address();
  const url = `http://localhost:${typeof address === 'object' && address ? address.port : ''}/`;
  const browser = await chromium.launch({ executablePath: chromiumPath(), headless: true, args: CHROMIUM_FLAGS });
  return {
    url,
    browser,
    async open(context) {
      const page = await context.newPage();
      const problems: string[] = [];
      const loaded: string[] = [];
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
      });
      context.on('request', (request) => loaded.push(request.url()));
      page.setDefaultTimeout(PATIENCE);
      return { page, problems, loaded };
    },
    weight(addresses) {
      const own = new Set(addresses.filter((one) => one.startsWith(url)).map((one) => new URL(one).pathname.slice(1) || 'index.html'));
      return [...own].reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name))).length, 0);
    },
    async close() {
      await browser.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Rules of axe that are broken in a way that keeps people out. */
export async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> } };
    const { violations } = await axe.run();
    return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 120)}`);
  });
}

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ph: string;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/**
 * Tasks of the page's main thread while `work` runs: how long the longest took, in milliseconds of that thread's own time and of the clock. Its own time is what a
 * test can hold a page to on a machine that is busy with other things.
 */
export async function longestTask(browser: Browser, page: Page, work: () => Promise<void>): Promise<{ own: number; clock: number; tasks: number }> {
  await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-devtools.timeline', '__metadata'] });
  let trace: Buffer;
  try {
    await work();
  } finally {
    trace = await browser.stopTracing();
  }
  const { traceEvents } = JSON.parse(trace.toString('utf8')) as { traceEvents: TraceEvent[] };
  const main = new Set(traceEvents.flatMap((e) => (e.name === 'thread_name' && e.args?.name === 'CrRendererMain' ? [`${e.pid}/${e.tid}`] : [])));
  const tasks = traceEvents.filter((e) => e.ph === 'X' && /RunTask$/.test(e.name) && main.has(`${e.pid}/${e.tid}`));
  const most = (values: readonly (number | undefined)[]): number => Math.max(0, ...values.map((us) => (us ?? 0) / 1000));
  return { own: most(tasks.map(({ tdur }) => tdur)), clock: most(tasks.map(({ dur }) => dur)), tasks: tasks.length };
}
