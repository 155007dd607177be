/**
 * Reports from logs: stages on one axis, steps run again after a resume, thinning, a log that grows or is cut in the middle of a
 * line, hostile text.
 */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildRunReport, RunReport } from './build.ts';
import { StageLog } from './read-log.ts';
import { Timeline } from './timeline.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-report-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Line = Record<string, unknown>;
const put = (dir: string, lines: readonly Line[]): void => {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'log.jsonl'), lines.map((l) => `${JSON.stringify(l)}\n`).join(''));
};
const begin = (step: number, steps: number): Line => ({
  event: 'begin',
  step,
  steps,
  device: 'a device',
  runtime: 'Node',
  parameters: 165_000,
  precision: 'f32',
  plannedBytes: 7e6,
  peakFlops: 6e9,
});
const step = (s: number, loss: number | null, more: Line = {}): Line => ({
  event: 'step',
  step: s,
  loss,
  learningRate: 1e-3,
  gradNorm: 1,
  skipped: false,
  tokensSeen: (s + 1) * 100,
  tokensPerSecond: 1000,
  seconds: 0.1,
  peakShare: 0.5,
  deviceBytes: 1e6,
  residentBytes: 1e8,
  ...more,
});
const validation = (s: number, bits: Record<string, number>, more: Line = {}): Line => ({
  event: 'validation',
  step: s,
  loss: 3,
  bitsPerByte: Object.values(bits).reduce((a, b) => a + b, 0) / Object.keys(bits).length,
  byCategory: Object.fromEntries(Object.entries(bits).map(([name, bitsPerByte]) => [name, { loss: 3, bitsPerByte }])),
  ...more,
});

test('stages stand one behind the other, in steps and in tokens', async () => {
  const dirs = ['base', 'inject', 'replay'].map((name) => ({ name, dir: join(folder, 'three', name) }));
  put(dirs[0].dir, [
    begin(0, 10),
    validation(0, { en: 4, zh: 8 }),
    ...Array.from({ length: 10 }, (_, s) => step(s, 5 - s / 10)),
    validation(10, { en: 2, zh: 7 }),
    { event: 'end', steps: 10, interrupted: false },
  ]);
  put(dirs[1].dir, [
    begin(0, 20),
    validation(0, { en: 2, zh: 7 }),
    ...Array.from({ length: 6 }, (_, s) => step(s, 4, { byType: { en: { loss: 2, labels: 5 }, zh: { loss: 6, labels: 5 } } })),
  ]);
  const logs = dirs.map(({ name, dir }) => new StageLog(name, dir));
  for (const log of logs) await log.update();
  const line = new Timeline(logs);
  expect(line.stages.map((s) => [s.log.name, s.from, s.tokensFrom])).toEqual([
    ['base', 0, 0],
    ['inject', 10, 1000],
  ]);
  expect([line.steps, line.tokens]).toEqual([16, 1600]);
  expect(line.curve((p) => p.loss).x).toEqual(Array.from({ length: 16 }, (_, i) => i + 1));
  expect(line.tokensAt(12.5)).toBe(1250);
  const html = await buildRunReport(dirs, { title: 'a graft' });
  expect(html).toContain('stage 2 of 3: inject');
  expect(html).toContain('step 6 of 20');
  expect(html).toContain('<b>running</b>');
  expect(html).toContain('http-equiv="refresh"');
  // Borders of both stages in the large charts; the table has each stage's ends.
  expect(html.match(/class="part">inject</g)?.length).toBeGreaterThanOrEqual(4);
  expect(html).toContain('<th>base, step 10</th><th>inject, step 0</th>');
  expect(html).toContain('<td class="better">7.0000</td>');
  // The first of a stage has nothing to be better than, and its line begins anew.
  expect(html).toContain('<td>2.0000</td>');
  const held = html.slice(html.indexOf('<b>Held-out text'));
  expect(
    held
      .slice(held.indexOf('<g class="main">'))
      .match(/<path d="([^"]*)"/)?.[1]
      .match(/M/g),
  ).toHaveLength(2);
  appendFileSync(join(dirs[1].dir, 'log.jsonl'), `${JSON.stringify({ event: 'end', failed: '5 steps in a row found NaN' })}\n`);
  expect(await buildRunReport(dirs)).toContain('5 steps in a row found NaN');
});

test('questions asked on the way have curves of their own', async () => {
  const dir = join(folder, 'asked');
  const evaluation = (s: number, zh: number): Line => ({
    event: 'evaluation',
    step: s,
    seconds: 1,
    scores: { '<zh>': { value: zh, low: zh - 0.1, high: zh + 0.1, n: 90 }, en: { value: 0.5, low: null, high: null, n: 9 }, odd: 3 },
  });
  put(dir, [
    begin(0, 9),
    ...[0, 1, 2].map((s) => step(s, 3)),
    evaluation(3, 0.25),
    ...[3, 4].map((s) => step(s, 2)),
    evaluation(5, 0.5),
    begin(3, 9),
    step(3, 2),
    evaluation(5, 0.75),
  ]);
  const log = new StageLog('asked', dir);
  await log.update();
  expect(log.evaluations.map((v) => [v.step, [...v.scores].map(([name, { value }]) => [name, value])])).toEqual([
    [
      3,
      [
        ['<zh>', 0.25],
        ['en', 0.5],
      ],
    ],
    [
      5,
      [
        ['<zh>', 0.75],
        ['en', 0.5],
      ],
    ],
  ]);
  const html = await buildRunReport([{ name: 'asked', dir }]);
  expect(html).toContain('<b>Questions</b>');
  expect(html).toContain('chance alone explains ± 10.0 %');
  expect(html).toContain('&lt;zh&gt; <tspan class="value">75.0 %');
});

test('steps that are run again replace the earlier ones', async () => {
  const dir = join(folder, 'again');
  put(dir, [
    begin(0, 9),
    validation(0, { a: 4 }),
    ...[0, 1, 2, 3, 4, 5].map((s) => step(s, 10 + s, { bucket: s < 3 ? 0 : 1, epoch: 0, skipped: s === 4, byType: { a: { loss: s, labels: 1 } } })),
    validation(5, { a: 3.5 }),
    begin(3, 9),
    ...[3, 4, 5, 6].map((s) => step(s, 20 + s, { bucket: s < 5 ? 0 : 1, epoch: 0, byType: { a: { loss: s, labels: 1 } } })),
    validation(5, { a: 3 }),
  ]);
  const log = new StageLog('again', dir);
  await log.update();
  expect(log.points.map((p) => p.loss)).toEqual([10, 11, 12, 23, 24, 25, 26]);
  expect(log.validations.map((v) => [v.step, v.bitsPerByte])).toEqual([
    [0, 4],
    [5, 3],
  ]);
  expect(log.skipped).toEqual([]);
  expect(log.types.get('a')).toHaveLength(7);
  expect(log.buckets).toEqual([
    { epoch: 0, bucket: 0, from: 0, to: 5 },
    { epoch: 0, bucket: 1, from: 5, to: 7 },
  ]);
});

test('a long log is thinned to means, and read on from where it stopped', async () => {
  const dir = join(folder, 'long');
  const n = 5000;
  const lines = Array.from({ length: n }, (_, s) => step(s, Math.sin(s)));
  put(dir, [begin(0, n), ...lines.slice(0, 1234)]);
  const growing = new StageLog('long', dir);
  await growing.update();
  // Half a line: a writer at work.
  const next = JSON.stringify(lines[1234]);
  appendFileSync(join(dir, 'log.jsonl'), next.slice(0, 40));
  await growing.update();
  expect(growing.steps).toBe(1234);
  appendFileSync(
    join(dir, 'log.jsonl'),
    `${next.slice(40)}\n${lines
      .slice(1235)
      .map((l) => `${JSON.stringify(l)}\n`)
      .join('')}`,
  );
  await growing.update();
  expect(growing.steps).toBe(n);
  expect(growing.points.length).toBeLessThanOrEqual(800);
  const whole = growing.points.reduce((sum, p) => sum + (p.loss ?? 0) * p.steps, 0);
  expect(whole).toBeCloseTo(
    lines.reduce((sum, l) => sum + (l.loss as number), 0),
    6,
  );
  const fresh = new StageLog('long', dir);
  await fresh.update();
  expect(fresh.points).toEqual(growing.points);
  // Another run began in the folder.
  put(dir, [begin(0, 3), step(0, 1)]);
  await growing.update();
  expect(growing.points.map((p) => p.loss)).toEqual([1]);
});

test('text of strangers is shown and never obeyed; odd lines are passed over; no log is no report of anything', async () => {
  const dir = join(folder, 'hostile');
  const evil = '<img src=x onerror=alert(1)>\u202e';
  put(dir, [
    begin(0, 4),
    step(0, 2, { byType: { [evil]: { loss: 2, labels: 1 }, b: { loss: 'no', labels: 1 } } }),
    step(1, null, { skipped: true, gradNorm: null }),
    validation(2, { [evil]: 1, '"&': 2 }, { samples: [{ prompt: evil, text: `a\nb${'x'.repeat(5000)}` }, 'odd'], drift: { new: 0.5, old: null } }),
    { event: 'save-failed', step: 2, message: evil },
    { event: 'step', step: 'x' },
    { odd: true },
  ]);
  appendFileSync(join(dir, 'log.jsonl'), 'no json\n[1]\n');
  const html = await new RunReport([{ name: evil, dir }]).html();
  expect(html).not.toMatch(/<img|\u202e/);
  expect(html).toContain('‹U+202E›');
  expect(html).toContain('a ⏎ b');
  expect(html).not.toContain('x'.repeat(500));
  expect(html).toContain('step 2: skipped, it found NaN or infinity');
  expect(html).not.toMatch(/NaN[^ ]|undefined|Infinity/);
  const empty = await buildRunReport([{ name: 'later', dir: join(folder, 'nowhere') }]);
  expect(empty).toContain('not begun');
  expect(empty).not.toContain('<svg');
});
