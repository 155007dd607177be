/**
 * The page as a visitor uses it: built, served, opened in headless Chromium; trains a tiny size in its Worker, stops,
 * goes on after a reload, writes. And what it says where there is no WebGPU.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { build, type PreviewServer, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHROMIUM_FLAGS, chromiumPath } from '../runtime/browser/page.ts';
import { ROOT } from '../runtime/expect.ts';

const STEPS = 40;
/** Two layers would only cost the CPU device more time; the learning rate is the sample's. */
const TINY = `?size=quick&steps=${STEPS}&vocabulary=512&hidden=32&intermediate=64&layers=1&heads=2&tokens=32&batch=4&validation=4`;
/** Where pictures of the page are left for people to look at. */
const SHOTS = join(ROOT, '.cache', 'page');
const PATIENCE = 90_000;

describe('the page', () => {
  let folder = '';
  let server: PreviewServer;
  let browser: Browser;
  let url = '';

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'scion-page-'));
    mkdirSync(SHOTS, { recursive: true });
    const config = { configFile: join(ROOT, 'vite.config.ts'), logLevel: 'warn' as const };
    await build({ ...config, build: { outDir: folder } });
    server = await preview({ ...config, build: { outDir: folder }, preview: { port: 0, host: '127.0.0.1' } });
    const address = server.httpServer.address();
    url = `http://localhost:${typeof address === 'object' && address ? address.port : ''}/`;
    browser = await chromium.launch({ executablePath: chromiumPath(), headless: true, args: CHROMIUM_FLAGS });
  }, PATIENCE);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  /** A page in a fresh profile, with what went wrong in it and what it loaded. */
  async function open(context: BrowserContext): Promise<{ page: Page; problems: string[]; loaded: string[] }> {
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
  }

  const state = (page: Page, text: RegExp) => page.locator('#state').filter({ hasText: text }).waitFor();
  const number = async (page: Page, id: string) => Number.parseFloat((await page.locator(id).textContent()) ?? '');

  /** Pixels of the chart close to each series' colour. Read once: Chromium warns of a canvas that is read often. */
  function painted(page: Page): Promise<number[]> {
    return page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>('#chart canvas');
      const data = canvas?.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
      return ['train', 'held', 'ngram'].map((name) => {
        const swatch = document.querySelector(`#legend .${name}`);
        const wanted = (swatch && getComputedStyle(swatch).color.match(/\d+/g)?.map(Number)) ?? [];
        let count = 0;
        for (let i = 0; i < data.length; i += 4) {
          if (data[i + 3] > 200 && [0, 1, 2].every((c) => Math.abs(data[i + c] - wanted[c]) < 24)) count++;
        }
        return count;
      });
    });
  }

  test('trains, stops, goes on after a reload, and writes', { timeout: 2 * PATIENCE }, async () => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 1000 }, colorScheme: 'light' });
    const { page, problems, loaded } = await open(context);
    await page.goto(url + TINY);
    await state(page, /Ready/);
    expect(await page.locator('#f-device').textContent()).toMatch(/swiftshader/i);
    expect(await page.locator('#steps').inputValue()).toBe(String(STEPS));

    // From here to the stop by keyboard alone: the focus goes with the button that takes the other's place.
    await page.locator('#start').focus();
    await page.keyboard.press('Enter');
    await page.locator('#answers tbody tr').nth(2).waitFor();
    await page.waitForFunction(() => Number.parseInt(document.getElementById('f-step')?.textContent ?? '', 10) >= 12);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('stop');
    await page.keyboard.press('Enter');
    await state(page, /Stopped after step/);
    const stopped = await number(page, '#f-step');
    expect(stopped).toBeGreaterThanOrEqual(12);
    expect(stopped).toBeLessThan(STEPS);
    expect(await page.locator('#f-saved').textContent()).toBe(`step ${stopped}`);
    // Held-out loss falls with every validation; a single step's training loss may jump.
    const heldThen = await number(page, '#held-value');
    for (const pixels of await painted(page)) expect(pixels).toBeGreaterThan(50);
    expect(await page.locator('#chart').getAttribute('aria-label')).toContain(`up to step ${stopped}`);
    // Nobody knows a capital yet, but something is written in every row: before training, and at the stop.
    const before = await page.locator('#answers tbody td:nth-child(3)').allTextContents();
    expect(before).not.toContain('–');
    await page.screenshot({ path: join(SHOTS, 'stopped-light.png'), fullPage: true });

    await page.reload();
    await state(page, new RegExp(`stopped at step ${stopped} of ${STEPS}`));
    await page.getByRole('button', { name: 'Resume' }).click();
    await state(page, new RegExp(`Done: ${STEPS} steps`));
    // What was seen before the reload is there again, and the loss has gone on falling from where it was.
    expect(await page.locator('#answers tbody td:nth-child(3)').allTextContents()).toEqual(before);
    expect(await page.locator('#answers tbody td:nth-child(5)').allTextContents()).not.toContain('–');
    expect(await number(page, '#f-step')).toBe(STEPS);
    expect(await number(page, '#held-value')).toBeLessThan(heldThen);
    // Bytes drawn at random cost 8 bits.
    expect(heldThen).toBeLessThan(8);
    // The n-gram model's level on this corpus: about one bit a byte.
    expect(await number(page, '#ngram-value')).toBeGreaterThan(0.5);
    expect(await page.locator('#f-memory').textContent()).toMatch(/^[\d.]+ [KM]iB$/);

    await page.getByLabel('Your own beginning').fill('The capital of');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => (document.getElementById('written')?.textContent?.length ?? 0) > 'The capital of'.length + 3);
    await page.locator('#write:enabled').waitFor();
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.waitForTimeout(200);
    await page.screenshot({ path: join(SHOTS, 'done-dark.png'), fullPage: true });

    // A second tab may look, not train.
    const second = await open(context);
    await second.page.goto(url + TINY);
    await state(second.page, /finished run is saved/);
    await second.page.getByRole('button', { name: 'Open' }).click();
    await second.page.getByRole('heading', { name: 'In use in another tab' }).waitFor();
    await second.page.close();

    await page.getByRole('button', { name: 'Start over…' }).click();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Start over…' }).click();
    await page.getByRole('button', { name: 'Delete and start over' }).click();
    await state(page, /Ready/);
    expect(await page.locator('#f-saved').textContent()).toBe('–');
    expect(problems).toEqual([]);
    // The page gets by with its own files, and never with those of another host.
    expect(loaded.filter((address) => !address.startsWith(url) && !/^(data|blob):/.test(address))).toEqual([]);
    expect(loaded.filter((address) => /\/(node|deno)-/.test(address))).toEqual([]);
    await context.close();
  });

  test('says what to do where there is no WebGPU', { timeout: PATIENCE }, async () => {
    const blind = await chromium.launch({ executablePath: chromiumPath(), headless: true, args: CHROMIUM_FLAGS.filter((f) => !f.includes('webgpu')) });
    try {
      const { page, problems } = await open(await blind.newContext({ viewport: { width: 390, height: 800 } }));
      await page.goto(url + TINY);
      await page.getByRole('heading', { name: 'No WebGPU here' }).waitFor();
      expect(await page.locator('#alert').textContent()).toMatch(/Chrome and Edge/);
      expect(await page.locator('#start').isDisabled()).toBe(true);
      // Nothing sticks out of a narrow window.
      expect(
        await page.evaluate(() =>
          [...document.querySelectorAll('body *')]
            .filter((e) => !e.closest('.scroll, .unseen, #chart') && e.getBoundingClientRect().right > innerWidth)
            .map((e) => e.outerHTML.slice(0, 80)),
        ),
      ).toEqual([]);
      await page.screenshot({ path: join(SHOTS, 'no-webgpu-narrow.png'), fullPage: true });
      expect(problems).toEqual([]);
    } finally {
      await blind.close();
    }
  });
});
