/**
 * `scion judge` as it is typed, against a real HTTP server on this machine that judges by rule: files of every shape that answers come in, what is paid for once, failures that
 * become no number, a key that goes nowhere but to the server, and a person at the keyboard.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Ran, scion } from '../../../test/e2e/cli.ts';
import { runCommandLine } from '../run.ts';

const KEY = 'sk-judge-0123456789';

interface Asked {
  readonly text: string;
  readonly authorization: string | undefined;
}

let server: Server;
let asked: Asked[];
/** What the judge says to a prompt; a number is an HTTP status. */
let rule: (prompt: string) => string | number;
let folder: string;
let out = '';
let err = '';

beforeEach(async () => {
  asked = [];
  out = '';
  err = '';
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const { messages } = JSON.parse(body) as { messages: { content: string }[] };
      const text = messages[1].content;
      asked.push({ text, authorization: request.headers.authorization });
      const said = rule(text);
      if (typeof said === 'number') {
        response.writeHead(said).end('{}');
        return;
      }
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({ choices: [{ message: { content: said }, finish_reason: 'stop' }], usage: { prompt_tokens: 1000, completion_tokens: 100 } }),
      );
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  folder = mkdtempSync(join(tmpdir(), 'scion-judge-cli-'));
  vi.stubEnv('SCION_JUDGE_KEY', KEY);
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  rmSync(folder, { recursive: true });
});

const path = (name: string): string => join(folder, name);
const rows = (name: string, list: readonly object[]): string => {
  writeFileSync(path(name), list.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return path(name);
};
const endpoint = (): string[] => ['--endpoint', `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, '--judge', 'rule'];

async function judge<T>(args: readonly string[]): Promise<T> {
  out = '';
  const code = await runCommandLine(['judge', ...args, '--json']);
  expect(code, err).toBe(0);
  expect(out.trimEnd().split('\n')).toHaveLength(1);
  return JSON.parse(out) as T;
}

const CHATS = [
  { question_id: 1, category: 'writing', turns: ['Write a line.', 'Now in capitals.'] },
  { question_id: 2, category: 'math', turns: ['What is 2 + 2?', 'And doubled?'], reference: ['4', '8'] },
];
/** As FastChat writes them; the second model answers only one turn of one question. */
const first = (): string =>
  rows('first.jsonl', [
    { question_id: 1, model_id: 'm', choices: [{ index: 0, turns: ['GOOD line', 'GOOD LINE'] }] },
    { question_id: 2, model_id: 'm', choices: [{ index: 0, turns: ['4', '8'] }] },
  ]);
const second = (): string =>
  rows('second.jsonl', [
    { question_id: 1, model_id: 'n', choices: [{ index: 0, turns: ['bad line', 'bad line'] }] },
    { question_id: 2, model_id: 'n', choices: [{ index: 0, turns: ['GOOD 4'] }] },
  ]);

/** A fair judge: the answer that says GOOD wins wherever it stands. */
const fair = (prompt: string): string => (prompt.split('<<<answer_b')[0].includes('GOOD') ? 'First. [[A]]' : 'Second. [[B]]');

describe('a judge model', () => {
  test('metrics: every metric of the category once, failures apart, the second run asks for those alone', async () => {
    const answers = rows('samples.jsonl', [
      { id: 'a', category: 'open_qa', question: 'Why is the sky blue?', answer: 'Light scatters.' },
      { id: 'b', category: 'open_qa', instruction: 'Say it', input: 'in French', output: 'Bonjour' },
    ]);
    rule = (prompt) =>
      prompt.includes('Metric: correctness') && prompt.includes('Bonjour') ? 'no verdict here' : prompt.includes('Bonjour') ? '[[2]]' : '[[4]]';
    const args = ['--answers', answers, ...endpoint(), '--price', '1', '10', '--out', path('out')];
    interface Found {
      readonly mode: string;
      readonly models: {
        all: { rating: { value: number; n: number }; failed: number };
        byMetric: Record<string, { rating: { value: number } }>;
        cost: { requests: number; reused: number; price: number };
      }[];
    }
    const found = await judge<Found>(args);
    const [model] = found.models;
    expect(found.mode).toBe('metrics');
    // Three metrics an answer; the malformed one is asked twice and is no rating.
    expect(model.all.failed).toBe(1);
    expect(model.all.rating).toMatchObject({ n: 5 });
    expect(model.all.rating.value).toBeCloseTo((3 * 4 + 2 * 2) / 5, 12);
    expect(model.byMetric.correctness.rating.value).toBe(4);
    expect(model.cost).toMatchObject({ requests: 7, reused: 0 });
    expect(model.cost.price).toBeCloseTo((7 * 1000 * 1 + 7 * 100 * 10) / 1e6, 12);
    expect(asked.every((a) => a.authorization === `Bearer ${KEY}`)).toBe(true);
    expect(asked.some((a) => a.text.includes('Say it\n\nin French'))).toBe(true);
    rule = () => '[[1]]';
    asked = [];
    const again = await judge<Found>(args);
    expect(asked).toHaveLength(1);
    expect(again.models[0].all.failed).toBe(0);
    expect(again.models[0].cost).toMatchObject({ requests: 1, reused: 5 });
    for (const name of ['results.json', 'judged.jsonl']) expect(readFileSync(path(`out/${name}`), 'utf8')).not.toContain(KEY);
    expect(out + err).not.toContain(KEY);
  });

  test('rating: both turns of MT-Bench, the second with the first before it and the references', async () => {
    const questions = rows('questions.jsonl', CHATS);
    rule = (prompt) => (prompt.includes('first_question') ? '[[6]]' : '[[8.5]]');
    const found = await judge<{ models: { byMetric: Record<string, { rating: { value: number; n: number } }>; unanswered: string[] }[] }>([
      ...['--answers', first(), '--questions', questions, '--mode', 'rating', ...endpoint(), '--out', path('out')],
    ]);
    expect(found.models[0].byMetric).toMatchObject({ 'turn 1': { rating: { value: 8.5, n: 2 } }, 'turn 2': { rating: { value: 6, n: 2 } } });
    const turn2 = asked.find((a) => a.text.includes('And doubled?'))?.text;
    for (const part of ['What is 2 + 2?', 'first_answer', 'first_reference', '8']) expect(turn2).toContain(part);
  });

  test('battle: each twice with places swapped, only turns that both answered; a judge of places wins nothing', async () => {
    const questions = rows('questions.jsonl', CHATS);
    const args = ['--answers', first(), second(), '--questions', questions, ...endpoint()];
    rule = fair;
    const found = await judge<{ mode: string; win: number; loss: number; winRate: number; outcomes: object; firstPlace: { share: number } }>([
      ...args,
      ...['--out', path('fair')],
    ]);
    expect(found).toMatchObject({ mode: 'battle', win: 1, loss: 1, winRate: 0.5, outcomes: { 1: 'win', 2: 'loss' }, firstPlace: { share: 0.5 } });
    expect(asked).toHaveLength(4);
    expect(asked.some((a) => a.text.includes('And doubled?'))).toBe(false);
    rule = () => '[[A]]';
    expect(await judge([...args, '--out', path('unfair')])).toMatchObject({ win: 0, loss: 0, inconsistent: 2, firstPlace: { share: 1 } });
  });

  test('a wrong key ends the run with 2; what cannot be judged is refused before anything is asked', async () => {
    rule = () => 401;
    expect(await runCommandLine(['judge', '--answers', first(), '--questions', rows('q.jsonl', CHATS), ...endpoint(), '--out', path('out')])).toBe(2);
    expect(err).not.toContain(KEY);
    const refused: [string[], string][] = [
      [['--answers', first(), '--out', path('x'), ...endpoint()], 'rows without a question'],
      [['--answers', first(), '--mode', 'battle', '--out', path('x')], 'a battle is of two files'],
      [
        [
          '--answers',
          rows('twice.jsonl', [
            { id: 1, answer: 'a' },
            { id: 1, answer: 'b' },
          ]),
          '--out',
          path('x'),
        ],
        'twice.jsonl:2: 1 is there twice',
      ],
      [['--answers', first(), '--questions', rows('other.jsonl', [{ id: 9, question: 'x' }]), '--out', path('x')], 'no answer to any of 1 questions'],
      [['--answers', first(), '--questions', path('q.jsonl'), '--out', path('x')], '--endpoint is missing'],
      [['--answers', first(), '--questions', path('q.jsonl'), '--out', path('x'), '--max-price', '1'], '--max-price needs --price'],
      [['--answers', first(), '--questions', path('q.jsonl'), '--out', path('x'), ...endpoint(), '--metrics', 'beauty'], 'no metric "beauty"'],
    ];
    for (const [args, message] of refused) {
      asked = [];
      err = '';
      expect(await runCommandLine(['judge', ...args])).toBe(2);
      expect(err).toContain(message);
      expect(asked).toHaveLength(0);
    }
  });
});

describe('a person', () => {
  const typed = (args: readonly string[], input: string): Promise<Ran> => scion('node', ['judge', ...args, '--human', '--json'], { input, seconds: 100 });

  test('is shown answers without names, in drawn places; may leave and come back; is held against the judge model', async () => {
    const n = 12;
    const item = (who: string, i: number) => ({
      id: `q${i}`,
      category: i % 2 ? 'roleplay' : 'long text',
      question: `Task ${i}`,
      answer: `${who === 'm' ? 'GOOD' : 'bad'}\u001b[31m ${i}`,
    });
    const [a, b] = ['m', 'n'].map((who) =>
      rows(
        `${who}.jsonl`,
        Array.from({ length: n }, (_, i) => item(who, i)),
      ),
    );
    rule = fair;
    await judge(['--answers', a, b, ...endpoint(), '--out', path('model')]);
    const args = ['--answers', a, b, '--out', path('mine'), '--against', path('model/results.json')];
    const one = await typed(args, 'a\nwhat\na\nq\n');
    expect(one.code, one.err).toBe(0);
    expect(JSON.parse(one.out)).toMatchObject({ mode: 'human', n: 2, left: n - 2 });
    expect(one.err).toContain('"what" is none of a, b, t, s, q');
    // Escape sequences of a model are written out, and nothing names a model before the verdict.
    expect(one.err).toContain('‹U+001B›[31m');
    expect(one.err).not.toContain('\u001b[31m');
    expect(one.err).not.toContain('m.jsonl');
    // Always A from here on: a person of places, whose wins follow the draw.
    const two = await typed(args, `t\ns\n${'a\n'.repeat(n)}`);
    const found = JSON.parse(two.out) as {
      win: number;
      loss: number;
      tie: number;
      skipped: number;
      left: number;
      n: number;
      outcomes: Record<string, string>;
      placeA: { share: number; n: number };
      byCategory: Record<string, { n: number }>;
      agreement: { n: number; share: number; decided: { n: number; share: number } };
    };
    expect(found).toMatchObject({ tie: 1, skipped: 1, left: 0, n: n - 1, placeA: { share: 1, n: n - 2 } });
    expect(found.win).toBeGreaterThan(0);
    expect(found.loss).toBeGreaterThan(0);
    expect(found.byCategory.roleplay.n + found.byCategory['long text'].n).toBe(n - 1);
    // The model said win throughout, so agreement is the share of wins.
    expect(found.agreement).toMatchObject({ n: n - 1, decided: { n: n - 2, share: found.win / (n - 2) } });
    expect(found.agreement.share).toBeCloseTo(found.win / (n - 1), 12);
    // What is shown first is drawn by seed and id: the two who stood as A are both models.
    const verdicts = readFileSync(path('mine/human.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { a: string });
    expect(verdicts).toHaveLength(n);
    expect(new Set(verdicts.map((v) => v.a))).toEqual(new Set(['first', 'second']));
  }, 200_000);
});
