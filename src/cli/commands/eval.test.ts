/**
 * `scion eval` as it is typed: answer files to send in, rows that have changed since, a folder that is in use. Scores and resuming are tested where they are made
 * (`test/golden/eval.test.ts`, `test/faults/eval-kill.test.ts`).
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { acquireLock } from '../../checkpoint/lock.ts';
import { host } from '../../host/index.ts';
import { runCommandLine } from '../run.ts';

const GOLDEN = resolve(import.meta.dirname, '../../../test/golden');
let folder = '';
let out = '';
let err = '';

const put = (name: string, text: string): void => {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
};
const MMLU = 'What is 1 and 1?,1,2,3,4,B\nWhat is 2 and 1?,1,2,3,4,C\n';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'scion-eval-cli-'));
  mkdirSync(join(folder, 'model'));
  for (const name of ['config.json', 'model.safetensors']) copyFileSync(join(GOLDEN, 'eval/llama', name), join(folder, 'model', name));
  copyFileSync(join(GOLDEN, 'text/hf-llama-new.tokenizer.json'), join(folder, 'model/tokenizer.json'));
  put('ceval/test/law_test.csv', 'id,question,A,B,C,D\n0,one,a,b,c,d\n1,two,a,b,c,d\n2,three,a,b,c,d\n');
  put('ceval/dev/law_dev.csv', 'id,question,A,B,C,D,answer,explanation\n0,zero,a,b,c,d,C,x\n');
  put('mmlu/test/anatomy_test.csv', MMLU);
  put('mmlu/dev/anatomy_dev.csv', 'What is 0 and 1?,1,2,3,4,A\n');
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
});
afterAll(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const run = (...more: string[]): Promise<number> => {
  out = '';
  err = '';
  return runCommandLine([
    ...[
      'eval',
      '--model',
      join(folder, 'model'),
      '--tasks',
      'ceval-test,mmlu',
      '--data',
      folder,
      '--few-shot',
      '0',
      '--out',
      join(folder, 'out'),
      '--json',
      ...more,
    ],
  ]);
};

test('a task without answers gives the file to send in: the choices that the samples show', async () => {
  expect(await run(), err).toBe(0);
  const { submissions } = JSON.parse(out) as { submissions: string[] };
  expect(submissions).toEqual([join(folder, 'out/ceval-test-submission.json')]);
  const sent = JSON.parse(readFileSync(submissions[0], 'utf8')) as { law: Record<string, string> };
  const lines = readFileSync(join(folder, 'out/samples.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { task: string; id: string; letterLogits: Record<string, number>; scores: Record<string, number | null> });
  const asked = lines.filter(({ task }) => task === 'ceval-test');
  expect(asked).toHaveLength(3);
  for (const { id, letterLogits, scores } of asked) {
    const best = Object.entries(letterLogits).reduce((a, b) => (b[1] > a[1] ? b : a))[0];
    expect(sent.law[id.slice(id.lastIndexOf('/') + 1)]).toBe(best);
    expect(Object.values(scores).every((score) => score === null)).toBe(true);
  }
}, 120_000);

test('a row whose answer has changed since is told by file and line, though its prompt is what it was', async () => {
  const before = readFileSync(join(folder, 'out/samples.jsonl'), 'utf8');
  put('mmlu/test/anatomy_test.csv', MMLU.replace('4,C', '4,D'));
  expect(await run()).toBe(2);
  expect(err).toMatch(/1 rows of mmlu have changed since .*anatomy_test\.csv:2: anatomy\/test\/1 is not what it was/);
  expect(readFileSync(join(folder, 'out/samples.jsonl'), 'utf8')).toBe(before);
  put('mmlu/test/anatomy_test.csv', MMLU);
  expect(await run(), err).toBe(0);
  expect(readFileSync(join(folder, 'out/samples.jsonl'), 'utf8')).toBe(before);
}, 60_000);

test('a folder in use is left alone', async () => {
  const lock = await acquireLock(await host(), join(folder, 'out'));
  try {
    expect(await run()).toBe(1);
    expect(err).toContain(join(folder, 'out'));
  } finally {
    await lock.release();
  }
});
