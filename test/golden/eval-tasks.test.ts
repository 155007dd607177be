/**
 * The publishers' own files: every row is read (counts and contents against Python's readers), prompts equal lm-evaluation-harness (hashes made by `eval-tasks/make.py`).
 * The data is not in the repository; without it there is nothing to test.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { builtinNames, type LoadedTask, loadTask } from '../../src/eval/tasks/index.ts';
import { readRows } from '../../src/eval/tasks/rows.ts';
import { chooseShots } from '../../src/eval/tasks/select.ts';
import type { Question } from '../../src/eval/types.ts';
import { host } from '../../src/host/index.ts';

const DATA = process.env.SCION_DATA;
const EVAL = join(DATA ?? '', 'eval');
const FOLDER = join(import.meta.dirname, 'eval-tasks');
type Hashes = Record<string, Record<string, string[]>>;
const prompts: { gsm8kShots: number[]; tasks: Hashes; colossaleval: Hashes } = JSON.parse(readFileSync(join(FOLDER, 'prompts.json'), 'utf8'));
const rows: Record<string, [number, string | null]> = JSON.parse(readFileSync(join(FOLDER, 'rows.json'), 'utf8'));

if (DATA === undefined) console.log('skipped: no SCION_DATA');
const withData = describe.skipIf(DATA === undefined);

const sha = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);
const files = (await host()).files;
const loaded = new Map<string, Promise<LoadedTask>>();
/** A task as these options load it; most are looked at more than once. */
function load(name: string, options = {}): Promise<LoadedTask> {
  const key = JSON.stringify([name, options]);
  const made = loaded.get(key) ?? loadTask(files, name, { dataRoot: DATA ?? '', ...options });
  loaded.set(key, made);
  return made;
}

/** The tasks whose files are in the catalogue, and its rows (data/README.md): questions, shots and joined rows together. */
const CATALOGUE: Readonly<Record<string, [asked: number, rows: number]>> = {
  mmlu: [3420, 285 + 3420],
  cmmlu: [4020, 335 + 4020],
  ceval: [874, 260 + 874],
  // The few-shot table has 73 shots in its 18 columns.
  agieval: [1252, 1252 + 73],
  'gaokao-bench': [949, 949],
  gsm8k: [800, 1000 + 800],
  'gsm8k-leak': [1800, 1800],
  'mt-bench': [80, 80 + 30],
  vicuna: [80, 80],
  cvalues: [399, 399],
  'safetybench-zh': [700, 700 + 700 + 35],
  'colossal-zh': [25, 25],
  'colossal-en': [25, 25],
};
/** Their data is brought by the user. */
const BROUGHT = ['ceval-test', 'cvalues-mc', 'longbench', 'safetybench-en'];

withData('the catalogue', () => {
  test('has every built-in task, or it is known whose data is the user’s', () => {
    expect([...Object.keys(CATALOGUE), ...BROUGHT, 'corpus'].sort()).toEqual(builtinNames().sort());
  });

  test.each(Object.entries(CATALOGUE))('%s: all rows, none broken, as many as Python reads in each file', async (name, [asked, all]) => {
    const { questions, problems, files: read } = await load(name);
    expect(problems).toEqual([]);
    expect(questions).toHaveLength(asked);
    expect(new Set(questions.map(({ question }) => question.id)).size).toBe(asked);
    expect(read.reduce((sum, { rows: n }) => sum + n, 0)).toBe(all);
    for (const { path, rows: n } of read) {
      const known = rows[relative(EVAL, path)];
      if (known) expect(n, path).toBe(known[0]);
      else expect(path).toMatch(/few_shot_prompts\.csv$/);
    }
    // What the questions hold, file by file.
    const byFile = Map.groupBy(
      questions.map(({ question }) => question),
      ({ file }) => relative(EVAL, file),
    );
    for (const [file, list] of byFile) {
      const hash = rows[file][1];
      const text = ({ fields, options, answer }: Question): string => [fields.question, ...(options ?? []), ...(answer ?? [])].join('\x1f');
      if (hash !== null && name !== 'gsm8k-leak') expect(sha(list.map(text).join('\x1e')), file).toBe(hash);
    }
  });

  test('every file under eval is read by some task, or by the one whose questions the user brings', async () => {
    const seen = new Set<string>();
    for (const name of Object.keys(CATALOGUE)) for (const { path } of (await load(name)).files) seen.add(relative(EVAL, path));
    expect(Object.keys(rows).filter((file) => !seen.has(file))).toEqual(['safetybench/dev_en.json']);
    let n = 0;
    for await (const { bad } of readRows(files, join(EVAL, 'safetybench/dev_en.json'), { format: 'json' })) {
      expect(bad).toBeUndefined();
      n++;
    }
    expect(n).toBe(35);
  });

  test('the corpora, by category', async () => {
    const { questions, problems } = await load('corpus');
    expect(problems).toEqual([]);
    // Documents of the catalogue's table, by its rows.
    expect(questions).toHaveLength(69 + 22 + 85 + 932 + 60 + 200 + 74 + 69 + 848 + 196 + 500 + 49 + 635 + 3697 + 60);
    expect(new Set(questions.map(({ question }) => question.subject)).size).toBe(15);
  });
});

withData('prompts of lm-evaluation-harness', () => {
  test.each([
    ['mmlu', 'letters', {}],
    ['cmmlu', 'letters', {}],
    ['ceval', 'letters', {}],
    ['agieval', 'option-likelihood', { shots: 0 }],
    ['gsm8k', 'generate', {}],
  ])('%s: 200 of them, byte for byte', async (name, method, options) => {
    const { questions } = await load(name, { method, ...options });
    let compared = 0;
    for (const [subject, hashes] of Object.entries(prompts.tasks[name])) {
      const mine = questions.filter(({ question }) => question.subject === subject).slice(0, hashes.length);
      const found = mine.map(({ prefix, body, continuations, question }) => {
        // The harness scores likelihood on exams of several answers too; here they are generated, with the same prompt.
        const tails = continuations ?? question.options?.map((option) => ` ${option}`) ?? [];
        return sha(['', prefix + body, ...tails].join('\0'));
      });
      expect(found, subject).toEqual(hashes);
      compared += found.length;
    }
    expect(compared).toBe(200);
  });

  test('the shots of GSM8K are those that seed 0 draws', () => {
    expect(chooseShots([...Array(rows['gsm8k/train.jsonl'][0]).keys()], 8, 'seeded', 0)).toEqual(prompts.gsm8kShots);
  });
});

withData('prompts of ColossalEval', () => {
  test.each([
    ['mmlu', 200, {}],
    ['cmmlu', 200, {}],
    ['ceval', 200, {}],
    ['agieval', 200, {}],
    ['gaokao-bench', 196, {}],
    // Its shots are its own; without a file of them there are none.
    ['gsm8k', 200, { shots: 0 }],
    ['safetybench-zh', 203, {}],
  ])('%s: %i of them, byte for byte', async (name, n, options) => {
    const { questions } = await load(name, { compat: 'colossaleval', ...options });
    let compared = 0;
    for (const [subject, hashes] of Object.entries(prompts.colossaleval[name])) {
      const mine = questions.filter(({ question }) => question.subject === subject).slice(0, hashes.length);
      expect(
        mine.map(({ prefix, body }) => sha(`\0${prefix}${body}`)),
        subject,
      ).toEqual(hashes);
      compared += mine.length;
    }
    expect(compared).toBe(n);
  });
});

test('fixtures hold hashes and counts, no text', () => {
  expect(existsSync(join(FOLDER, 'make.py'))).toBe(true);
  for (const hashes of [prompts.tasks, prompts.colossaleval].flatMap((set) => Object.values(set)).flatMap((task) => Object.values(task)))
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{16}$/);
});
