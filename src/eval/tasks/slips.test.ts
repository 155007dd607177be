/**
 * One slip anywhere in a file costs the rows it touches, and they are told by line; all others are read as they were. In tables, JSON Lines and printed JSON a
 * character of one row is dropped, doubled or replaced by one that has a meaning there. The full tier tries more of them.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Random } from '../../base/random.ts';
import { host } from '../../host/index.ts';
import { loadTask } from './index.ts';

const COUNT = 12;
const ROUNDS = process.env.SCION_TIER === 'full' ? 3000 : 60;
const numbers = Array.from({ length: COUNT }, (_, i) => i);
/** A row's own number, such that no slip makes another's of it. */
const mark = (i: number): string => `#${String(i).padStart(2, '0')}#`;
const letter = (i: number): string => 'ABCD'[i % 4];

interface Layout {
  readonly task: string;
  readonly file: string;
  /** Rows that say their own number. */
  readonly rows: readonly string[];
  readonly open: string;
  readonly between: string;
  readonly close: string;
}
const layouts: Readonly<Record<string, Layout>> = {
  csv: {
    task: 'mmlu',
    file: 'mmlu/test/x_test.csv',
    rows: numbers.map((i) => `"q, ${mark(i)}",a${i},"b ""x""",c,d,${letter(i)}`),
    open: '',
    between: '\n',
    close: '\n',
  },
  jsonl: {
    task: 'cvalues',
    file: 'cvalues/cvalues_responsibility_prompts.jsonl',
    rows: numbers.map((i) => JSON.stringify({ id_: mark(i), domain_en: 'x', prompt: `q, ${mark(i)} "x"` })),
    open: '',
    between: '\n',
    close: '\n',
  },
  json: {
    task: 'gaokao-bench',
    file: 'gaokao-bench/data/Objective_Questions/2010-2022_Math_I_MCQs.json',
    rows: numbers.map((i) => JSON.stringify({ question: `q, ${mark(i)} "x" A. [y]`, answer: [letter(i)], index: i }, null, 2).replaceAll('\n', '\n    ')),
    open: '{\n  "keywords": "x",\n  "example": [\n    ',
    between: ',\n    ',
    close: '\n  ]\n}\n',
  },
};
const root = mkdtempSync(join(tmpdir(), 'scion-slips-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const linesOf = (text: string): number => text.split('\n').length;

test.each(Object.entries(layouts))('%s', async (name, { task, file, rows, open, between, close }) => {
  const { files } = await host();
  const dataRoot = join(root, name);
  const path = join(dataRoot, file);
  mkdirSync(dirname(path), { recursive: true });
  const load = (all: readonly string[]) => {
    writeFileSync(path, open + all.join(between) + close);
    return loadTask(files, task, { dataRoot, shots: 0 });
  };
  const right = await load(rows);
  expect(right.problems).toEqual([]);
  expect(right.questions).toHaveLength(COUNT);
  const random = new Random(5);
  let told = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const at = random.below(COUNT);
    const row = rows[at];
    const place = random.below(row.length);
    const made = ['', row[place] + row[place], ['"', '}', '{', ']', ',', '\n', '\\', 'é'][random.below(8)]][random.below(3)];
    const broken = row.slice(0, place) + made + row.slice(place + 1);
    const { questions, problems } = await load(rows.with(at, broken));
    const what = `round ${round}, row ${at}: ${JSON.stringify(broken)}`;
    const found = new Map(questions.map(({ question, body }) => [/#\d\d#/.exec(body)?.[0], question]));
    for (const i of numbers) if (i !== at) expect(found.get(mark(i))?.answer, `${what}; row ${i} is lost`).toEqual(right.questions[i].question.answer);
    // Either it still is a question, or a line of it is told.
    if (problems.length === 0) expect(questions.length, what).toBeGreaterThanOrEqual(COUNT);
    else told++;
    const first = linesOf(
      open +
        rows
          .slice(0, at)
          .map((one) => one + between)
          .join(''),
    );
    for (const { line, message } of problems) {
      expect(line, `${what}; ${message}`).toBeGreaterThanOrEqual(first);
      expect(line, `${what}; ${message}`).toBeLessThan(first + linesOf(broken) + 1);
    }
  }
  // Else nothing was broken, and nothing is shown.
  expect(told).toBeGreaterThan(ROUNDS / 5);
});
