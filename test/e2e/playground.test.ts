/**
 * The kernel playground as a visitor uses it, in headless Chromium: an edit that is wrong is shown wrong with its elements, mended it is right, timed and
 * trained with; a syntax error stands at its line, an endless loop and a shape of a gigabyte are refused. With SCION_TIER=full each
 * shipped kernel is right there, and broken copies of it are caught.
 */
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kernelSources } from '../../kernels/index.ts';
import { TRIALS } from '../../src/tensor/trials/index.ts';
import { barriers, openSite, PATIENCE, SHOTS, type Site } from './site.ts';

const NAIVE = kernelSources['matmul/matmul_naive.wgsl'];
const text = async (page: Page, selector: string): Promise<string> => (await page.locator(selector).textContent()) ?? '';

describe('the kernel playground', () => {
  let site: Site;
  let context: BrowserContext;
  let page: Page;
  let problems: string[] = [];
  beforeAll(async () => {
    site = await openSite();
    context = await site.browser.newContext({ viewport: { width: 1280, height: 1000 }, colorScheme: 'light' });
    ({ page, problems } = await site.open(context));
    // What a visitor would call broken; the slowest step compiles for some seconds on a CPU.
    page.setDefaultTimeout(60_000);
  }, PATIENCE);
  afterAll(() => site?.close());

  /** Opens a kernel with a text and small sizes, as a link would bring them. */
  async function open(kernel: string): Promise<void> {
    await page.goto(`${site.url}#/kernels/${kernel}`);
    await page.getByRole('heading', { name: kernel.split('/')[1], exact: true }).waitFor();
    await page.locator('#editor-text').waitFor();
  }
  /** Puts a text in place of what the editor holds, as a paste does. */
  async function write(next: string): Promise<void> {
    await page.locator('#editor-text').click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.insertText(next);
  }
  async function run(): Promise<void> {
    await page.locator('#run:enabled').click();
    await page.locator('#result, #play-problem').first().waitFor();
    await page.locator('#run:enabled').waitFor();
  }
  async function shoot(name: string): Promise<void> {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(150);
      await page.screenshot({ path: join(SHOTS, `${name}-${colorScheme}.png`), fullPage: true });
    }
    await page.emulateMedia({ colorScheme: 'light' });
  }

  test('an edit is wrong, is told so, is mended, is right, is trained with; and the trainer refuses it while wrong', { timeout: PATIENCE }, async () => {
    await open('matmul/matmul_naive');
    for (const letter of ['M', 'N', 'K']) await page.locator(`#size-${letter}`).fill('64');
    const wrong = NAIVE.replace('block += a * b;', 'block += a * b * 1.01;');
    expect(wrong).not.toBe(NAIVE);
    await write(wrong);
    await run();
    expect(await text(page, '#verdict')).toMatch(/Wrong/);
    // Five elements with what should stand there: every product is one percent too large.
    const rows = await page
      .locator('#result tbody tr')
      .evaluateAll((all) => all.slice(0, 5).map((row) => Array.from(row.querySelectorAll('td'), (cell) => Number(cell.textContent))));
    expect(rows.length).toBe(5);
    for (const [found, wanted] of rows) expect(found / wanted).toBeCloseTo(1.01, 4);
    expect(await text(page, '#result')).toMatch(/NaN: 0, infinite: 0/);
    await shoot('playground-wrong');
    await page.locator('#train-with').click();
    await page
      .locator('#play-problem')
      .filter({ hasText: /trainer does not take/ })
      .waitFor();

    await page.locator('#restore').click();
    await run();
    expect(await text(page, '#verdict')).toMatch(/Right/);
    expect(Number(await page.locator('#time dd').nth(2).textContent())).toBeGreaterThan(0);
    await page.locator('#roofline').waitFor();
    expect(await page.locator('#roofline .point').count()).toBe(1);
    expect(await barriers(page)).toEqual([]);
    // Written otherwise, it is still right: an edited kernel that trains.
    await write(NAIVE.replace('block += a * b;', 'block = block + b * a;'));
    await run();
    expect(await text(page, '#verdict')).toMatch(/Right/);
    expect(await page.locator('#runs-table tbody tr').count()).toBe(2);
    await shoot('playground');
    await page.locator('#train-with').click();
    await page.locator('#edited-note').waitFor();

    // A link brings text, sizes and point to another tab, where nothing runs by itself.
    await page.locator('#share').click();
    await page.waitForFunction(() => location.hash.includes('?z='));
    const other = await site.open(context);
    await other.page.goto(page.url());
    other.page.setDefaultTimeout(60_000);
    await other.page.locator('#restore:enabled').waitFor();
    // The editor draws the lines in sight alone.
    await other.page.locator('.cm-scroller').evaluate((box) => {
      box.scrollTop = box.scrollHeight;
    });
    await other.page.locator('.cm-line').filter({ hasText: 'block = block + b * a;' }).waitFor();
    expect(await other.page.locator('#size-M').inputValue()).toBe('64');
    expect(await other.page.locator('.note').first().textContent()).toMatch(/GFLOP\/s on/);
    await other.page.close();
  });

  test('a syntax error stands at its line and column', { timeout: PATIENCE }, async () => {
    await open('reduce/softmax');
    const softmax = kernelSources['reduce/softmax.wgsl'];
    const at = softmax.split('\n').findIndex((line) => line.includes('let m = row_max'));
    await write(softmax.replace('let m = row_max(largest, at);', 'let m = row_max(largest at);'));
    await page.locator('#diagnostics button').first().waitFor();
    expect(await text(page, '#diagnostics button >> nth=0')).toMatch(new RegExp(`line ${at + 1}, column \\d+`));
    expect(await page.locator('#run').isDisabled()).toBe(true);
    await page.locator('#restore').click();
    await page.locator('#diagnostics').waitFor({ state: 'detached' });
  });

  test('an endless loop does not hang the page, and the next kernel runs', { timeout: PATIENCE }, async () => {
    await open('reduce/softmax');
    await write(kernelSources['reduce/softmax.wgsl'].replace('for (; c < stop; c += ROW_STEP)', 'for (; c < stop; c += 0u)'));
    const from = Date.now();
    await page.locator('#run:enabled').click();
    await page.locator('#play-problem').waitFor();
    const seconds = (Date.now() - from) / 1000;
    expect(await text(page, '#play-problem')).toMatch(/a loop of reduce\/softmax\.wgsl did not end/);
    console.log(`an endless loop was told after ${seconds.toFixed(1)} s`);
    expect(seconds).toBeLessThanOrEqual(15);
    await page.locator('#restore').click();
    await run();
    expect(await text(page, '#verdict')).toMatch(/Right/);
  });

  test('a shape of a gigabyte is refused with the numbers', { timeout: PATIENCE }, async () => {
    await open('elementwise/copy');
    await page.locator('#size-N').fill('16384');
    await page.locator('#size-D').fill('16384');
    await page.locator('#play-problem').waitFor();
    expect(await text(page, '#play-problem')).toMatch(/\[16384, 16384\] f32 takes 1.00 GiB.*at most 256 MiB/);
    // What went wrong in the page itself, in all tests so far: nothing.
    expect(problems).toEqual([]);
  });

  test.runIf(process.env.SCION_TIER === 'full')('each shipped kernel is right, and broken copies of it are caught', { timeout: 3_600_000 }, async () => {
    const missed: string[] = [];
    let copies = 0;
    for (const { kernel } of TRIALS) {
      const shipped = kernelSources[`${kernel}.wgsl`];
      await open(kernel);
      await run();
      const problem = (await page.locator('#play-problem').count()) > 0 ? await text(page, '#play-problem') : '';
      // A kernel that needs what this device lacks is told so.
      if (/ needs .* does not offer here/.test(problem)) {
        console.log(problem);
        continue;
      }
      expect(`${kernel} ${problem}${await text(page, '#verdict')}`).toBe(`${kernel} ✓ Right`);
      let tried = 0;
      let caught = 0;
      for (const broken of brokenCopies(shipped)) {
        if (tried === 2) break;
        await write(broken);
        // Compiled after a rest; what does not compile is no copy.
        await page.waitForTimeout(1500);
        if ((await page.locator('#diagnostics').count()) > 0) continue;
        await run();
        tried++;
        if ((await page.locator('#play-problem').count()) > 0 || /Wrong/.test(await text(page, '#verdict'))) caught++;
      }
      copies += tried;
      console.log(`${kernel}: right; ${caught} of ${tried} broken copies caught`);
      if (caught < tried || tried === 0) missed.push(`${kernel}: ${caught} of ${tried}`);
      await page.locator('#restore').click();
    }
    console.log(`${copies} broken copies, missed: ${missed.join('; ') || 'none'}`);
    expect(missed).toEqual([]);
  });
});

/** Copies with one operator changed in a statement that computes, those near the end first: they are closest to what is stored. */
function brokenCopies(shipped: string): string[] {
  const lines = shipped.split('\n');
  const changes: readonly (readonly [RegExp, string])[] = [
    [/ \+= /, ' -= '],
    [/ \*= /, ' += '],
    [/ \* /, ' + '],
    [/ \+ /, ' - '],
    [/ - /, ' + '],
    [/_store\(([^,]+), (\w[\w.]*)\);/, '_store($1, $2 + $2);'],
    [/(\]) = (.+);/, '$1 = $2 + $2;'],
  ];
  const found: string[] = [];
  for (const [i, line] of [...lines.entries()].reverse()) {
    if (/^\s*(\/\/|#|@|for|while|if)|\b(let|var)\b[^=]*= *P\./.test(line)) continue;
    for (const [what, by] of changes) {
      if (what.test(line)) found.push([...lines.slice(0, i), line.replace(what, by), ...lines.slice(i + 1)].join('\n'));
    }
  }
  return found;
}
