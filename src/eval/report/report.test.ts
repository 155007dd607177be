/**
 * The page and the samples: hostile text stays text, figures are those of the metrics, a file of samples goes on where it was cut and refuses
 * another evaluation's lines.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { visible } from '../../base/markup.ts';
import { posixFiles } from '../../host/posix.ts';
import { promptHash } from '../engine/index.ts';
import { type EvalTask, readTask, type TaskPrompt } from '../tasks/index.ts';
import type { SampleOutput } from '../types.ts';
import { type AskedTask, evalPage, type ModelResult, pairsOf, resultOf, SampleFile, scoredLine } from './index.ts';

/** Texts that a page, a terminal or a template may take for more than text. */
const HOSTILE = [
  '</script><script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '"><svg/onload=alert(1)>',
  "' onmouseover='alert(1)",
  '\u001b[31mred\u001b]0;title\u0007',
  'left \u202e right \u2066 zero\u200bwidth \ud800',
  '<|im_start|>system </s> [INST] {{7*7}} $& <!-- -->',
  '&lt;b&gt; &amp;amp;',
  'x'.repeat(1 << 20),
  '<b>'.repeat(1000),
];

let folder = '';
let task: EvalTask;
let gsm: EvalTask;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-eval-report-'));
  task = await readTask(posixFiles, 'mmlu');
  gsm = await readTask(posixFiles, 'gsm8k');
});
afterAll(() => rmSync(folder, { recursive: true }));

const promptOf = (i: number, text: string): TaskPrompt => ({
  question: {
    id: `${text.slice(0, 40)}/${i}`,
    subject: i % 2 ? 'anatomy' : text.slice(0, 60),
    group: i % 2 ? 'STEM' : text.slice(0, 30),
    file: text.slice(0, 50),
    line: i + 1,
    fields: { question: text },
    options: [text, 'b', 'c', 'd'],
    letters: ['A', 'B', 'C', 'D'],
    answer: [i % 3 ? 'A' : 'B'],
    turns: null,
  },
  prefix: '',
  body: text,
  continuations: null,
  baseline: '',
  stop: [],
  maxNewTokens: 1,
  header: '',
  shots: [],
  zeroHeader: '',
});

const asked = (method: 'letters' | 'generate', of: EvalTask = task): AskedTask => ({ task: of, method, prompts: HOSTILE.map((text, i) => promptOf(i, text)) });

/** Answers of a model that says `text` and likes the letter `favourite(i)` most. */
function model(name: string, favourite: (i: number) => string): ModelResult {
  const results = [asked('letters'), asked('generate')].map((a) => {
    const lines = a.prompts.map((prompt, i): ReturnType<typeof scoredLine> => {
      const output: SampleOutput = {
        id: prompt.question.id,
        task: 'mmlu',
        subject: prompt.question.subject,
        promptSha256: promptHash(prompt),
        method: a.method,
        ...(a.method === 'letters'
          ? { letterLogits: Object.fromEntries(['A', 'B', 'C', 'D'].map((l) => [l, l === favourite(i) ? 2 : 0])) }
          : { text: HOSTILE[(i + 3) % HOSTILE.length] }),
      };
      return scoredLine(a, prompt, output);
    });
    return resultOf(a, lines);
  });
  return { name, path: name, step: null, results };
}

describe('the page', () => {
  test('what models and questions say is shown and never obeyed', () => {
    const models = [model('<script>alert(1)</script>', () => 'A'), model('\u001b[2J"onload="x', () => 'C')];
    const html = evalPage(models, pairsOf(models), { title: HOSTILE[0], notes: HOSTILE });
    // A page of a few texts of a megabyte stays a page.
    expect(html.length).toBeLessThan(600_000);
    // Nothing is left that cannot be seen, turns the writing or rules a terminal.
    expect(visible(html)).toBe(html);
    const tags = [...html.matchAll(/<([^>]*)>/g)].map(([, inside]) => inside);
    const known = new Set(
      '!doctype html html head meta title style body h1 h2 h3 p b div table tr th td small span details summary svg line text circle'.split(' '),
    );
    const style = html.slice(html.indexOf('<style>'), html.indexOf('</style>'));
    for (const inside of tags) {
      const name = inside.replace(/^\//, '').split(/[\s/]/)[0];
      expect(known.has(name), inside.slice(0, 100)).toBe(true);
      // Attributes are of this page alone: no handler, no address.
      expect(inside, inside.slice(0, 100)).not.toMatch(/\son\w+\s*=|\s(src|href|style)\s*=/i);
    }
    expect(style.length).toBeGreaterThan(100);
    expect(html).toContain("default-src 'none'");
    for (const seen of ['&lt;/script&gt;&lt;script&gt;alert(1)', '‹U+001B›', '‹U+202E›', '&lt;|im_start|&gt;', '&amp;lt;b&amp;gt;', '{{7*7}}'])
      expect(html).toContain(seen);
  });

  test('figures are those of the metrics, and models are tested on the same questions', () => {
    const models = [model('base', () => 'C'), model('tuned', (i) => (i % 3 ? 'A' : 'B'))];
    const [pair] = pairsOf(models);
    const [, better] = models;
    expect(better.results[0].metrics.first_token_accuracy.micro?.value).toBe(1);
    expect(pair).toMatchObject({ a: 'tuned', b: 'base', metric: 'first_token_accuracy', test: { n: HOSTILE.length, difference: 1 } });
    const html = evalPage(models, pairsOf(models));
    expect(html).toContain('100.0 %');
    expect(html).toContain('+100.0');
    expect(html).toContain(`${HOSTILE.length} of ${HOSTILE.length} questions with a wrong answer`);
  });

  test('a task without a metric for its method is told, not hidden', () => {
    const a = { ...asked('letters', gsm) };
    const lines = a.prompts.map((p) =>
      scoredLine(a, p, { id: p.question.id, task: 'gsm8k', subject: p.question.subject, promptSha256: '', method: 'letters' }),
    );
    expect(evalPage([{ name: 'm', path: 'm', step: 3, results: [resultOf(a, lines)] }], [])).toContain('names no metric for this method');
  });
});

describe('samples', () => {
  const expected = HOSTILE.map((text, i) => ({
    task: 'mmlu',
    method: 'letters' as const,
    id: promptOf(i, text).question.id,
    promptSha256: promptHash(promptOf(i, text)),
  }));

  async function write(path: string): Promise<number> {
    const file = await SampleFile.open(posixFiles, path, expected);
    const { lines } = model('m', () => 'A').results[0];
    for (const line of lines.slice(file.known.length)) await file.add(line);
    await file.close();
    return file.known.length;
  }

  test('cut anywhere, the file ends with the same bytes', async () => {
    const path = join(folder, 'samples.jsonl');
    expect(await write(path)).toBe(0);
    const whole = readFileSync(path);
    const ends = [...whole.entries()].filter(([, byte]) => byte === 10).map(([at]) => at + 1);
    expect(ends.length).toBe(HOSTILE.length);
    for (const size of [0, 1, ends[0] - 1, ends[0], ends[4] + 3, whole.length - 1, whole.length]) {
      writeFileSync(path, whole);
      truncateSync(path, size);
      expect(await write(path)).toBe(ends.filter((end) => end <= size).length);
      expect(readFileSync(path).equals(whole)).toBe(true);
    }
  });

  test('lines of another evaluation are refused', async () => {
    const path = join(folder, 'other.jsonl');
    await write(path);
    const changed = expected.map((e, i) => (i === 2 ? { ...e, promptSha256: 'x' } : e));
    await expect(SampleFile.open(posixFiles, path, changed)).rejects.toThrow(/other\.jsonl:3 is of another evaluation/);
    await expect(SampleFile.open(posixFiles, path, expected.slice(0, 4))).rejects.toThrow(/only 4 questions are asked/);
  });
});
