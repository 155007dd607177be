/**
 * `scion judge`: what models wrote, rated by a judge model behind an endpoint, or by the person at this terminal. Every verdict is a line of a file as soon as
 * it is there, so that what was paid for (in money or patience) is never asked twice; failures are counted apart and averaged into nothing.
 */
import { ScionError } from '../../base/errors.ts';
import { visible } from '../../base/markup.ts';
import { joinPath } from '../../base/path.ts';
import { acquireLock } from '../../checkpoint/lock.ts';
import {
  type Answered,
  type AnswerFile,
  type Asked,
  type Battle,
  battleJobs,
  builtinPrompts,
  byName,
  type Cost,
  conversationJobs,
  Endpoint,
  type JudgePrompts,
  joinAnswers,
  keyFrom,
  loadPrompts,
  readAnswers,
  reportBattles,
  reportRatings,
  runJudge,
  scoreJobs,
} from '../../eval/judge/index.ts';
import type { Estimate } from '../../eval/metrics/statistics.ts';
import { builtinNames, loadTask } from '../../eval/tasks/index.ts';
import { jsonBytes } from '../../formats/json.ts';
import { host } from '../../host/index.ts';
import type { Host } from '../../host/types.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { Command, Context } from '../command.ts';
import { countOf } from '../load-model.ts';
import { judgeByHand } from './judge-human.ts';

const MODES = ['metrics', 'rating', 'battle'] as const;
type Mode = (typeof MODES)[number];

/** Questions of a task, or of a file; null where answers bring their own. */
async function readQuestions({ flags }: Context, machine: Host): Promise<ReadonlyMap<string, Asked> | null> {
  const name = flags.string('questions');
  const { files } = machine;
  if (name === undefined) return null;
  const task = builtinNames().includes(name.split(':')[0]) || name.endsWith('.yaml');
  const asked: readonly Asked[] = task
    ? (await loadTask(files, name, { dataRoot: flags.string('data') ?? '.', shots: 0 })).questions.map(({ question, body }) => ({
        id: question.id,
        category: question.subject,
        turns: question.turns ?? [question.fields.question ?? body],
        references: question.answer,
      }))
    : [...(await readAnswers(files, name)).asked.values()];
  if (asked.length === 0) throw new ScionError('input', `${name} holds no questions`, { name });
  const references = flags.string('references');
  const find = references === undefined ? null : byName((await readAnswers(files, references)).answers);
  const limit = countOf(flags, 'limit') ?? asked.length;
  return new Map(asked.slice(0, limit).map((q) => [q.id, { ...q, references: find?.(q.id) ?? q.references }]));
}

/** Two models' answers to the questions that both answered. */
export function toBattles(first: readonly Answered[], second: readonly Answered[]): Battle[] {
  const others = new Map(second.map((a) => [a.id, a]));
  return first.flatMap((mine): Battle[] => {
    const other = others.get(mine.id);
    if (!other) return [];
    // Turns that only one of them answered decide nothing.
    const n = Math.min(mine.turns.length, mine.answers.length, other.answers.length);
    const { id, category, turns, references } = mine;
    return [{ id, category, turns: turns.slice(0, n), first: mine.answers.slice(0, n), second: other.answers.slice(0, n), references }];
  });
}

function endpointOf({ flags, stop }: Context, machine: Host): { endpoint: Endpoint; end: () => void } {
  const controller = new AbortController();
  const timer = setInterval(() => {
    if (stop.requested) controller.abort();
  }, 100);
  const key = flags.string('key-env');
  if (key !== undefined && keyFrom(machine.env, key) === null) {
    clearInterval(timer);
    throw new ScionError('usage', `--key-env ${key}: no such variable is set`, {});
  }
  try {
    const endpoint = new Endpoint({
      baseUrl: flags.need('endpoint', 'the judge’s address, such as http://localhost:8000/v1 (or --human to judge yourself)'),
      model: flags.need('judge', 'the model that judges, by the name its server knows'),
      key: keyFrom(machine.env, key),
      plainHttp: flags.boolean('plain-http'),
      timeout: 1000 * (countOf(flags, 'timeout') ?? 120),
      tries: countOf(flags, 'tries') ?? 6,
      signal: controller.signal,
    });
    return { endpoint, end: () => clearInterval(timer) };
  } catch (error) {
    clearInterval(timer);
    throw error;
  }
}

/** Prompts of a language, or a user's over them; metrics that are asked for must be there. */
async function promptsOf({ flags }: Context, machine: Host): Promise<JudgePrompts> {
  const base = builtinPrompts(flags.string('language') === 'zh' ? 'zh' : 'en');
  const path = flags.string('prompts');
  const prompts = path === undefined ? base : await loadPrompts(machine, path, base);
  for (const metric of flags.list('metrics'))
    if (!Object.hasOwn(prompts.metrics, metric))
      throw new ScionError('usage', `no metric "${metric}" to judge by; there are ${Object.keys(prompts.metrics).join(', ')}`);
  return prompts;
}

function pricesOf({ flags }: Context) {
  const [prompt, completion] = flags.list('price').map(Number);
  if (!flags.has('price')) {
    if (flags.has('max-price')) throw new ScionError('usage', '--max-price needs --price IN OUT, the price of a million tokens');
    return {};
  }
  if (!(prompt >= 0 && completion >= 0)) throw new ScionError('usage', `--price takes two numbers, got ${flags.list('price').join(' ')}`);
  const most = flags.number('max-price');
  return { prices: { prompt, completion }, ...(most !== undefined && { maxPrice: most }) };
}

const shown = (x: Estimate | null): string => (x ? `${x.value.toFixed(2)} (${x.low.toFixed(2)} to ${x.high.toFixed(2)}, n ${x.n})` : 'nothing was judged');
const costLine = ({ requests, reused, promptTokens, completionTokens, price }: Cost): string =>
  `${requests} requests, ${reused} verdicts from before, ${promptTokens} + ${completionTokens} tokens${price === null ? '' : `, price ${price.toFixed(4)}`}`;

/** Rates each file by itself. */
async function rate(context: Context, machine: Host, mode: Mode, models: readonly Model[], out: string): Promise<Record<string, unknown>[]> {
  const { flags, print, status } = context;
  const prompts = await promptsOf(context, machine);
  const { endpoint, end } = endpointOf(context, machine);
  const results: Record<string, unknown>[] = [];
  try {
    for (const [i, { name, path, answered, missing }] of models.entries()) {
      const metrics = flags.list('metrics');
      const topLogprobs = countOf(flags, 'top-logprobs');
      const jobs =
        mode === 'rating'
          ? conversationJobs(answered, prompts)
          : scoreJobs(
              answered.map(({ id, category, turns, answers, references }) => ({
                id,
                category,
                question: turns[0],
                answer: answers[0],
                reference: references?.[0],
              })),
              prompts,
              { ...(metrics.length > 0 && { metrics }), ...(topLogprobs && { topLogprobs }) },
            );
      const run = await runJudge(endpoint, jobs.jobs, {
        files: machine.files,
        path: joinPath(out, models.length === 1 ? 'judged.jsonl' : `judged-${i + 1}.jsonl`),
        parallel: countOf(flags, 'parallel') ?? 4,
        ...pricesOf(context),
        onProgress: (done, total, cost) => status.set(`${visible(name)}: ${done}/${total} judged, ${costLine(cost)}`),
      });
      status.clear();
      const report = reportRatings(jobs, run, flags.string('compat') === 'colossaleval' ? { compat: 'colossaleval' } : {});
      print(`${visible(name)}: ${shown(report.all.rating)}, ${report.all.failed} failed, ${report.all.notAsked} not asked; ${costLine(run.cost)}`);
      for (const [metric, { rating, failed }] of Object.entries(report.byMetric))
        print(`  ${visible(metric)}: ${shown(rating)}${failed > 0 ? `, ${failed} failed` : ''}`);
      results.push({ name, path, unanswered: missing, ...report, cost: run.cost });
    }
  } finally {
    status.clear();
    end();
  }
  return results;
}

/** Has two models fight. */
async function fight(context: Context, machine: Host, battles: readonly Battle[], out: string): Promise<Record<string, unknown>> {
  const { flags, print, status } = context;
  const prompts = await promptsOf(context, machine);
  const { endpoint, end } = endpointOf(context, machine);
  try {
    const run = await runJudge(endpoint, battleJobs(battles, prompts), {
      files: machine.files,
      path: joinPath(out, 'judged.jsonl'),
      parallel: countOf(flags, 'parallel') ?? 4,
      ...pricesOf(context),
      onProgress: (done, total, cost) => status.set(`${done}/${total} verdicts, ${costLine(cost)}`),
    });
    status.clear();
    const report = reportBattles(battles, run);
    const rate = report.winRate === null ? 'nothing was judged' : `${report.winRate.toFixed(3)} (${report.interval?.map((x) => x.toFixed(3)).join(' to ')})`;
    print(`first wins ${rate}: ${report.win} won, ${report.loss} lost, ${report.tie} ties, ${report.inconsistent} decided by place, ${report.failed} failed`);
    print(`cost       ${costLine(run.cost)}`);
    return { ...report, cost: run.cost };
  } finally {
    status.clear();
    end();
  }
}

/** A file of answers, joined with what was asked. */
interface Model {
  readonly name: string;
  readonly path: string;
  readonly answered: readonly Answered[];
  readonly missing: readonly string[];
}

export const command: Command = {
  name: 'judge',
  summary: 'has answers rated or compared by a judge model, or by you: scores, battles, MT-Bench',
  flags: {
    answers: { kind: 'list', value: 'FILE …', summary: 'a model’s answers each: samples of scion eval, FastChat’s, or rows with id and answer' },
    questions: { kind: 'string', value: 'NAME|FILE', summary: 'what was asked, where answers do not say: a task (mt-bench, vicuna, …) or a file of rows' },
    references: { kind: 'string', value: 'FILE', summary: 'good answers by id, to compare with' },
    data: { kind: 'string', value: 'DIR', summary: 'the folder that holds the publishers’ files of a task' },
    mode: {
      kind: 'string',
      choices: [...MODES],
      summary: 'metrics (1 to 5 each), rating (MT-Bench, 1 to 10 a turn), battle; by default battle for two files, else metrics',
    },
    human: { kind: 'boolean', summary: 'you are the judge: two answers side by side, without names, in drawn order', default: false },
    against: { kind: 'string', value: 'FILE', summary: '--human: results.json of the same battles before a judge model, to measure agreement' },
    seed: { kind: 'integer', summary: '--human: of the order and the places', default: 0 },
    endpoint: { kind: 'string', value: 'URL', summary: 'where the judge answers chats, such as http://localhost:8000/v1' },
    judge: { kind: 'string', value: 'NAME', summary: 'the judge model' },
    'key-env': { kind: 'string', value: 'NAME', summary: 'the variable that holds the key; by default SCION_JUDGE_KEY, else OPENAI_API_KEY' },
    'plain-http': { kind: 'boolean', summary: 'send the key unencrypted to another machine', default: false },
    language: { kind: 'string', choices: ['en', 'zh'], summary: 'of the judge’s prompts', default: 'en' },
    prompts: { kind: 'string', value: 'FILE', summary: 'YAML with prompts of your own, over the built-in ones' },
    metrics: { kind: 'list', value: 'NAME …', summary: 'judge by these; by default those of each answer’s category' },
    'top-logprobs': { kind: 'integer', value: 'N', summary: 'metrics: also the mean score by probability' },
    compat: { kind: 'string', choices: ['colossaleval'], summary: 'average failures in, as ColossalEval does, to compare with it' },
    parallel: { kind: 'integer', value: 'N', summary: 'requests at a time', default: 4 },
    tries: { kind: 'integer', value: 'N', summary: 'requests for one verdict, at most', default: 6 },
    timeout: { kind: 'integer', value: 'SECONDS', summary: 'until an answer counts as lost', default: 120 },
    price: { kind: 'list', value: 'IN OUT', summary: 'prices of a million tokens, for the cost counter' },
    'max-price': { kind: 'number', value: 'N', summary: 'begin no request once so much was spent' },
    limit: { kind: 'integer', value: 'N', summary: 'the first N questions' },
    out: { kind: 'string', value: 'DIR', summary: 'for verdicts and results.json; what is there is not asked again' },
  },
  examples: [
    'scion judge --answers results/graft/samples.jsonl --questions vicuna --data bench --endpoint http://localhost:8000/v1 --judge qwen --out results/judged',
    'scion judge --answers base.jsonl graft.jsonl --questions mt-bench --data bench --endpoint https://api.openai.com/v1 --judge gpt-4o --price 2.5 10 --out results/battle',
    'scion judge --answers base.jsonl graft.jsonl --human --against results/battle/results.json --out results/mine',
  ],
  async run(context) {
    const { flags, result, print } = context;
    const machine = await host();
    const { files } = machine;
    const out = flags.need('out', 'a folder for verdicts and results');
    const paths = flags.list('answers');
    if (paths.length === 0) throw new ScionError('usage', 'scion judge needs --answers FILE …, what the models wrote');
    const human = flags.boolean('human');
    const mode = (human ? 'battle' : (flags.string('mode') ?? (paths.length === 2 ? 'battle' : 'metrics'))) as Mode;
    if (mode === 'battle' && paths.length !== 2) throw new ScionError('usage', `a battle is of two files of --answers, got ${paths.length}`);
    pricesOf(context);
    const asked = await readQuestions(context, machine);
    const read: AnswerFile[] = [];
    for (const path of paths) read.push(await readAnswers(files, path));
    const limit = countOf(flags, 'limit');
    const models = read.map((file): Model => {
      const questions = asked ?? new Map([...(read.map(({ asked: own }) => [...own]).find((own) => own.length > 0) ?? [])].slice(0, limit));
      return { name: file.path, path: file.path, ...joinAnswers(questions, file) };
    });
    for (const { name, missing } of models) if (missing.length > 0) print(`${visible(name)}: ${missing.length} questions without an answer, left out`);
    const battles = mode === 'battle' ? toBattles(models[0].answered, models[1].answered) : [];
    if (mode === 'battle' && battles.length === 0) throw new ScionError('input', 'the two models have no answered question in common', { paths });
    await files.makeDir(out);
    const lock = await acquireLock(machine, out);
    try {
      const found =
        mode === 'battle'
          ? human
            ? await judgeByHand(context, machine, battles, out)
            : await fight(context, machine, battles, out)
          : { models: await rate(context, machine, mode, models, out) };
      const path = joinPath(out, 'results.json');
      const summary = { mode: human ? 'human' : mode, judge: human ? null : flags.string('judge'), answers: paths, ...found };
      await writeWhole(files, path, jsonBytes(summary));
      print(`results    ${path}`);
      result({ ...summary, results: path });
    } finally {
      await lock.release();
    }
  },
};
