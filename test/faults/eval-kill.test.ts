/**
 * `scion eval` killed at random moments and started again until it is done: samples, results and page must be those of an undisturbed
 * evaluation, byte for byte. Questions and models are the project's own.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Random } from '../../src/base/random.ts';
import { scion, scionJson } from '../e2e/cli.ts';
import { ROOT } from '../runtime/expect.ts';

const full = process.env.SCION_TIER === 'full';
const KILLS = full ? 25 : 2;
const QUESTIONS = full ? 400 : 120;

let folder = '';
let whole = 0;
const FILES = ['samples.jsonl', 'results.json', 'report.html'] as const;

const args = (out: string): string[] => [
  'eval',
  ...['--model', join(folder, 'model')],
  // Two tasks by two methods that share their programs: what is generated is taken up again in engine.test.ts.
  ...['--tasks', 'mmlu,gsm8k', '--method', 'letters', 'target-loss', '--data', folder],
  ...['--limit', String(QUESTIONS), '--few-shot', '1', '--out', join(folder, out)],
];

const read = (out: string): string[] => FILES.map((name) => readFileSync(join(folder, out, name), 'utf8').replaceAll(`/${out}/`, '/OUT/'));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-eval-kill-'));
  const golden = join(ROOT, 'test/golden');
  for (const name of ['model', 'mmlu', 'mmlu/test', 'mmlu/dev', 'gsm8k']) mkdirSync(join(folder, name));
  for (const name of ['config.json', 'model.safetensors']) copyFileSync(join(golden, 'eval/llama', name), join(folder, 'model', name));
  copyFileSync(join(golden, 'text/hf-llama-new.tokenizer.json'), join(folder, 'model/tokenizer.json'));
  const sum = (i: number, n: number): string => `What is ${i} and ${n}?,${i + n},${i + n + 1},${i + n + 2},${i},${'ABCD'[i % 4]}\n`;
  for (const subject of ['anatomy', 'virology', 'marketing']) {
    writeFileSync(join(folder, `mmlu/test/${subject}_test.csv`), Array.from({ length: QUESTIONS / 3 }, (_, i) => sum(i, subject.length)).join(''));
    writeFileSync(join(folder, `mmlu/dev/${subject}_dev.csv`), sum(3, 4));
  }
  const word = (i: number): string =>
    `${JSON.stringify({ question: `Ann has ${i} apples and eats one. How many are left?`, answer: `One is gone.\n#### ${i - 1}` })}\n`;
  writeFileSync(join(folder, 'gsm8k/test.jsonl'), Array.from({ length: full ? 60 : 9 }, (_, i) => word(i + 2)).join(''));
  writeFileSync(join(folder, 'gsm8k/train.jsonl'), word(40));
  const start = performance.now();
  const found = await scionJson<{ samples: number; tasks: Record<string, Record<string, { value: number; low: number; high: number; n: number }>> }>(
    'node',
    args('whole'),
    { seconds: 280 },
  );
  whole = performance.now() - start;
  expect(found.samples).toBe(QUESTIONS + (full ? 60 : 9));
  // A model with drawn weights knows nothing: chance lies in its interval.
  const { low, high, n } = found.tasks.mmlu.letters;
  expect(n).toBe(QUESTIONS);
  expect(low).toBeLessThan(0.25);
  expect(high).toBeGreaterThan(0.25);
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true }));

it(`killed ${KILLS} times, started again each time: the same bytes`, { timeout: full ? 3_600_000 : 600_000 }, async () => {
  const seed = Date.now() % 2 ** 31;
  const random = new Random(seed, 4);
  const moments: number[] = [];
  for (let kills = 0; kills < KILLS; ) {
    const wait = random.uniform() * whole;
    const ran = await scion('node', args('killed'), { seconds: 280, started: (child) => setTimeout(() => child.kill('SIGKILL'), wait), input: '' });
    if (ran.code === null) {
      kills++;
      moments.push(Math.round(wait));
    } else if (existsSync(join(folder, 'killed', 'report.html'))) rmSync(join(folder, 'killed'), { recursive: true });
  }
  const last = await scion('node', args('killed'), { seconds: 280 });
  expect(last.code, last.err).toBe(0);
  expect(read('killed'), `seed ${seed}, killed at ${moments.join(', ')} ms`).toEqual(read('whole'));
});
