/**
 * `scion eval`: models asked the questions of benchmarks, side by side. Samples are written as they come, so that a killed evaluation goes on
 * where it was and ends with the same bytes; results and the page are made of the samples alone.
 */

import { ScionError } from '../../base/errors.ts';
import { visible } from '../../base/markup.ts';
import { baseName, joinPath } from '../../base/path.ts';
import { acquireLock, type FolderLock } from '../../checkpoint/lock.ts';
import { ask, fitEvaluation, joinNeeds, type Prepared, prepare, promptHash } from '../../eval/engine/index.ts';
import { metrics } from '../../eval/metrics/index.ts';
import {
  type AskedTask,
  evalPage,
  type ModelResult,
  metricsOf,
  pairsOf,
  resultOf,
  SampleFile,
  type SampleLine,
  scoredLine,
  type TaskResult,
} from '../../eval/report/index.ts';
import { builtinNames, COMPATS, type Compat, fitShots, type LoadedTask, loadTask, partOf, type TaskPrompt } from '../../eval/tasks/index.ts';
import type { Method } from '../../eval/types.ts';
import { jsonBytes } from '../../formats/json.ts';
import { host } from '../../host/index.ts';
import type { Host, HostFiles } from '../../host/types.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { Tokenizer } from '../../text/tokenizer.ts';
import type { Command, Context } from '../command.ts';
import { countOf, MODEL_FLAGS, type ModelOnDisk, openModel, tokenizerOf, withGenerator } from '../load-model.ts';
import { duration } from '../status.ts';
import { checkQuestions, questionsOf, writeSubmissions } from './eval-folder.ts';

const METHODS: readonly Method[] = ['letters', 'letter-perplexity', 'option-likelihood', 'generate', 'target-loss', 'text-loss'];
/** Milliseconds between two syncs of the samples, and between two renewals of the folder's lock. */
const SYNC_MS = 5000;
const RENEW_MS = 30_000;

/** A task by one method, and what was left out of it. */
interface Chosen extends AskedTask {
  readonly loaded: LoadedTask;
}

/** What is asked, and by which method; subjects of a task may want different ones. */
async function chooseTasks({ flags, status, print }: Context, files: HostFiles): Promise<Chosen[]> {
  const dataRoot = flags.string('data') ?? '.';
  const asked = flags.list('method') as readonly Method[];
  for (const method of asked) if (!METHODS.includes(method)) throw new ScionError('usage', `--method takes ${METHODS.join(', ')}; got "${method}"`);
  const names = flags
    .list('tasks')
    .flatMap((word) => word.split(','))
    .filter((word) => word !== '');
  if (names.length === 0)
    throw new ScionError('usage', `scion eval needs --tasks NAME …; there are ${builtinNames().join(', ')}, and any YAML file by its path`);
  const subjects = flags.list('subjects');
  const out: Chosen[] = [];
  for (const name of names) {
    const load = (method: Method | undefined) => {
      status.set(`reading ${name}`);
      return loadTask(files, name, {
        dataRoot,
        seed: flags.number('seed') ?? 0,
        ...(flags.has('few-shot') && { shots: flags.number('few-shot') }),
        ...(flags.has('limit') && { limit: countOf(flags, 'limit') }),
        ...(subjects.length > 0 && { subjects }),
        ...(flags.has('compat') && { compat: flags.string('compat') as Compat }),
        ...(flags.has('shots-file') && { shotsFile: flags.string('shots-file') }),
        ...(method && { method }),
      });
    };
    const before = out.length;
    for (const method of asked.length > 0 ? asked : [undefined]) {
      const loaded = await load(method);
      const { task } = loaded;
      const byMethod = new Map<Method, TaskPrompt[]>();
      for (const prompt of loaded.questions) {
        const { methods } = partOf(task, prompt.question.subject);
        const own = method ?? methods[0];
        if (method && !methods.includes(method)) continue;
        const list = byMethod.get(own);
        if (list) list.push(prompt);
        else byMethod.set(own, [prompt]);
      }
      for (const [own, prompts] of byMethod) out.push({ task, method: own, prompts, loaded });
      for (const { file, line, message } of loaded.problems.slice(0, 5)) status.note(`left out ${visible(`${file}:${line}: ${message}`)}`);
      if (loaded.problems.length > 5) status.note(`left out ${loaded.problems.length - 5} more rows`);
    }
    if (out.length === before) throw new ScionError('input', `task ${name} has no question for ${asked.join(', ') || 'its methods'}`, { name });
    print(
      `task       ${out
        .slice(before)
        .map((c) => `${c.task.name} by ${c.method}: ${c.prompts.length} of ${c.loaded.available} questions`)
        .join('; ')}`,
    );
  }
  for (const { task, method, prompts } of out) {
    const names = new Set(prompts.flatMap(({ question }) => metricsOf(task, question.subject, method)));
    for (const metric of names)
      if (!metrics[metric]) throw new ScionError('input', `task ${task.name} names the metric ${metric}, which there is not`, { metric });
  }
  return out;
}

/** A model's tasks made ready: shots taken off where its context is short. */
interface Ready extends AskedTask {
  readonly prepared: Prepared;
  /** Prompts that lost shots, and that lost their middle. */
  readonly fewer: number;
}

function ready(tasks: readonly AskedTask[], tokenizer: Tokenizer, positions: number, bosId: number | null): Ready[] {
  const count = (text: string): number => tokenizer.encode(text).length + (bosId === null ? 0 : 1);
  return tasks.map(({ task, method, prompts }) => {
    const fitted = method === 'text-loss' ? { prompts, fewer: 0 } : fitShots(prompts, count, positions, method === 'generate', task.compat === null ? 0 : 1);
    const prepared = prepare(tokenizer, fitted.prompts, { task: task.name, method, positions, bosId });
    return { task, method, prompts: prepared.questions as readonly TaskPrompt[], prepared, fewer: fitted.fewer };
  });
}

/** Names of models that tell them apart, as short as can be. */
function namesOf(paths: readonly string[]): string[] {
  const parts = paths.map((path) => path.split('/').filter((part) => part !== '' && part !== '.' && part !== '..'));
  for (let n = 1; n <= 8; n++) {
    const names = parts.map((p) => p.slice(-n).join('/') || 'model');
    if (new Set(names).size === names.length) return names;
  }
  return paths.map((path, i) => `${i + 1} ${baseName(path)}`);
}

/** Asks one model everything that its file of samples does not hold yet. */
async function askModel(
  context: Context,
  machine: Host,
  model: ModelOnDisk,
  tokenizer: Tokenizer,
  tasks: readonly Ready[],
  path: string,
  name: string,
  lock: FolderLock,
): Promise<SampleLine[][]> {
  const { flags, status, stop } = context;
  const expected = tasks.flatMap(({ task, method, prompts }) =>
    prompts.map((p) => ({ task: task.name, method, id: p.question.id, promptSha256: promptHash(p) })),
  );
  const { source } = model;
  const file = await SampleFile.open(machine.files, path, expected).catch(async (error: unknown) => {
    await source.close();
    throw error;
  });
  const lines: SampleLine[] = [...file.known];
  try {
    if (lines.length === expected.length) await source.close();
    else {
      const needs = joinNeeds(tasks.map(({ prepared }) => prepared.needs));
      const budget = flags.number('budget');
      await withGenerator(
        context,
        model,
        (facts, precision) => ({
          capacity: 0,
          ragged: fitEvaluation(source.config, needs, facts, { precision, ...(budget !== undefined && { budget: budget * 2 ** 20 }) }),
        }),
        async (generator) => {
          const began = machine.now();
          const first = lines.length;
          let synced = machine.now();
          let renewed = synced;
          let begin = 0;
          for (const task of tasks) {
            const end = begin + task.prompts.length;
            if (lines.length < end) {
              for await (const output of ask(generator, tokenizer, task.prepared, lines.length - begin)) {
                const line = scoredLine(task, task.prompts[lines.length - begin], output);
                await file.add(line);
                lines.push(line);
                const now = machine.now();
                if (now - synced > SYNC_MS) {
                  await file.sync();
                  synced = machine.now();
                }
                if (now - renewed > RENEW_MS) {
                  await lock.refresh();
                  renewed = now;
                }
                const left = ((expected.length - lines.length) * (now - began)) / Math.max(1, lines.length - first) / 1000;
                status.set(
                  `${visible(name)}: ${task.task.name} ${lines.length - begin}/${task.prompts.length}, ${lines.length}/${expected.length} in all, ${duration(left)} left`,
                );
                if (stop.requested)
                  throw new ScionError(
                    'interrupted',
                    `stopped after ${lines.length} of ${expected.length} samples of ${name}; the same command goes on from there`,
                  );
              }
            }
            begin = end;
          }
        },
      );
    }
  } finally {
    await file.close();
    status.clear();
  }
  const ends = tasks.map((_, t) => tasks.slice(0, t + 1).reduce((n, { prompts }) => n + prompts.length, 0));
  return ends.map((end, t) => lines.slice(end - tasks[t].prompts.length, end));
}

/** What stands in results.json of one task. */
function toJson({ asked, metrics: found }: TaskResult, fewer: number): Record<string, unknown> {
  return { questions: asked.prompts.length, promptsWithFewerShots: fewer, metrics: found };
}

/** By task and method the first metric: what the command prints. */
function short(results: readonly TaskResult[]): Record<string, Record<string, unknown>> {
  const out: Record<string, Record<string, unknown>> = {};
  for (const { asked, metrics: found } of results) {
    const [entry] = Object.entries(found);
    const micro = entry?.[1].micro;
    out[asked.task.name] = {
      ...out[asked.task.name],
      [asked.method]: micro ? { metric: entry[0], value: micro.value, low: micro.low, high: micro.high, n: micro.n } : null,
    };
  }
  return out;
}

/** Asks every model, writes what they gave and how they compare. */
async function compare(context: Context, machine: Host, tasks: readonly Chosen[], paths: readonly string[], out: string, lock: FolderLock): Promise<void> {
  const { flags, print, status, result } = context;
  const { files } = machine;
  const names = namesOf(paths);
  const submissions: string[] = [];
  const models: (ModelResult & { fewer: readonly number[]; cut: number })[] = [];
  for (const [i, path] of paths.entries()) {
    const model = await openModel(files, path);
    const { config, warnings } = model.source;
    let tokenizer: Tokenizer | null;
    let asked: Ready[];
    try {
      tokenizer = await tokenizerOf(files, model, flags.string('tokenizer'));
      if (!tokenizer) throw new ScionError('input', `${path} brings no tokenizer that is read; name one with --tokenizer`, { path });
      for (const warning of warnings) status.note(`note: ${warning}`);
      status.set(`encoding for ${visible(names[i])}`);
      asked = ready(tasks, tokenizer, config.maxPositions, tokenizer.bosId ?? config.bosId);
    } catch (error) {
      await model.source.close();
      throw error;
    }
    const dir = paths.length === 1 ? out : joinPath(out, `model-${i + 1}`);
    await files.makeDir(dir);
    const samples = joinPath(dir, 'samples.jsonl');
    if (flags.boolean('fresh')) await files.remove(samples);
    const { step } = model;
    const lines = await askModel(context, machine, model, tokenizer, asked, samples, names[i], lock);
    const results = asked.map((a, t) => resultOf(a, lines[t]));
    for (const sent of await writeSubmissions(files, dir, questionsOf(asked), lines.flat())) {
      submissions.push(sent);
      print(`to send in ${sent}`);
    }
    models.push({ name: names[i], path, step, results, fewer: asked.map((a) => a.fewer), cut: asked.reduce((n, a) => n + a.prepared.cut, 0) });
    for (const r of results) {
      for (const [metric, { micro, unscored }] of Object.entries(r.metrics))
        print(
          `${visible(names[i]).padEnd(10)} ${r.asked.task.name} ${r.asked.method} ${metric}: ${micro ? `${micro.value.toFixed(4)} (${micro.low.toFixed(4)} to ${micro.high.toFixed(4)}, n ${micro.n})` : 'nothing could be scored'}${unscored.n > 0 ? `, ${unscored.n} unscored` : ''}`,
        );
    }
  }
  const pairs = pairsOf(models);
  const notes = [
    ...tasks.map(
      ({ loaded, method, prompts }) =>
        `${loaded.task.name} by ${method}: ${prompts.length} of ${loaded.available} questions, ${loaded.problems.length} broken rows left out${Object.keys(loaded.fewerShots).length > 0 ? `, fewer examples than asked for in ${Object.keys(loaded.fewerShots).length} subjects` : ''}${loaded.task.compat ? `, protocol of ${loaded.task.compat}` : ''}.`,
    ),
    ...models.flatMap(({ name, fewer, cut }) =>
      fewer.some((n) => n > 0) || cut > 0
        ? [`${name}: ${fewer.reduce((a, b) => a + b, 0)} prompts with fewer examples, ${cut} with their middle cut out, since its context is short.`]
        : [],
    ),
  ];
  const report = joinPath(out, 'report.html');
  const summary = {
    models: models.map(({ name, path, step, results, fewer }) => ({
      name,
      path,
      step,
      tasks: results.map((r, t) => ({ task: r.asked.task.name, method: r.asked.method, compat: r.asked.task.compat, ...toJson(r, fewer[t]) })),
    })),
    tasks: tasks.map(({ task, method, prompts, loaded }) => ({
      task: task.name,
      method,
      title: task.title,
      questions: prompts.length,
      available: loaded.available,
      fewerShots: loaded.fewerShots,
      problems: loaded.problems,
    })),
    comparisons: pairs,
  };
  await writeWhole(files, joinPath(out, 'results.json'), jsonBytes(summary));
  await writeWhole(files, report, new TextEncoder().encode(evalPage(models, pairs, { notes })));
  for (const { task, method, a, b, test, pHolm } of pairs)
    print(
      `paired     ${task} ${method}: ${visible(a)} ${test.difference >= 0 ? '+' : ''}${test.difference.toFixed(4)} against ${visible(b)}, p ${pHolm.toFixed(4)}`,
    );
  print(`report     ${report}`);
  result({
    tasks: short(models[0].results),
    ...(models.length > 1 && { models: models.map((m) => ({ name: m.name, path: m.path, tasks: short(m.results) })), comparisons: pairs }),
    samples: models.reduce((n, m) => n + m.results.reduce((k, r) => k + r.lines.length, 0), 0),
    results: joinPath(out, 'results.json'),
    report,
    ...(submissions.length > 0 && { submissions }),
  });
}

export const command: Command = {
  name: 'eval',
  summary: 'asks models the questions of benchmarks: scores with intervals, one page to compare them',
  flags: {
    ...MODEL_FLAGS,
    model: { kind: 'list', value: 'DIR …', summary: 'models to compare: Hugging Face folders, training runs, .gguf files' },
    tasks: { kind: 'list', value: 'NAME,…', summary: `built-in tasks (${builtinNames().join(', ')}), NAME:SUBSET, or YAML files` },
    data: { kind: 'string', value: 'DIR', summary: 'the folder that holds the publishers’ files' },
    out: { kind: 'string', value: 'DIR', summary: 'for samples.jsonl, results.json and report.html; an evaluation there goes on' },
    method: { kind: 'list', value: 'NAME …', summary: `${METHODS.join(', ')}; by default the first that a task names` },
    'few-shot': { kind: 'integer', value: 'N', summary: 'examples before each question; by default the task’s' },
    limit: { kind: 'integer', value: 'N', summary: 'at most N questions a task, spread over its subjects' },
    subjects: { kind: 'list', value: 'NAME …', summary: 'only these subjects; * stands for any characters' },
    seed: { kind: 'integer', summary: 'of drawn shots and limits', default: 0 },
    compat: { kind: 'string', choices: [...COMPATS], summary: 'the protocol of another evaluator, quirks included' },
    'shots-file': { kind: 'string', value: 'FILE', summary: 'JSON Lines of examples for all subjects' },
    budget: { kind: 'integer', value: 'MIB', summary: 'device memory for passes and keys, weights apart' },
    fresh: { kind: 'boolean', summary: 'forget the samples that --out holds', default: false },
  },
  examples: [
    'scion eval --model models/base runs/injected --tasks mmlu,cmmlu --data bench --limit 200 --out results/graft',
    'scion eval --model models/base --tasks gsm8k --data bench --few-shot 4 --out results/gsm8k --json',
  ],
  async run(context) {
    const { flags } = context;
    const machine = await host();
    const { files } = machine;
    const out = flags.need('out', 'a folder for samples, results and the report');
    const paths = flags.list('model');
    if (paths.length === 0) throw new ScionError('usage', 'scion eval needs --model DIR …');
    const tasks = await chooseTasks(context, files);
    await files.makeDir(out);
    const lock = await acquireLock(machine, out);
    try {
      await checkQuestions(files, out, questionsOf(tasks), flags.boolean('fresh'));
      await compare(context, machine, tasks, paths, out, lock);
    } finally {
      await lock.release();
    }
  },
};
