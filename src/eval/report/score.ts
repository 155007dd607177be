/**
 * From outputs to results: which metrics a task asks for by subject and method, each sample's scores, and the figures of them all. Nothing here
 * needs a model, so samples read back from a file give the results that they gave when they were made.
 */
import { type Aggregate, aggregate, type Comparison, compare, holm, metrics, type ScoredSample } from '../metrics/index.ts';
import { type EvalTask, partOf, type TaskPrompt } from '../tasks/index.ts';
import type { Method, SampleOutput } from '../types.ts';
import type { SampleLine } from './samples.ts';

/** A task asked by one method: its questions in the order they were answered. */
export interface AskedTask {
  readonly task: EvalTask;
  readonly method: Method;
  readonly prompts: readonly TaskPrompt[];
}

/** A model's answers to one task by one method. */
export interface TaskResult {
  readonly asked: AskedTask;
  readonly lines: readonly SampleLine[];
  /** By metric, in the task's order; the first is the one that is shown where there is room for one. */
  readonly metrics: Readonly<Record<string, Aggregate>>;
  readonly samples: Readonly<Record<string, readonly ScoredSample[]>>;
}

/** Metrics of a subject by a method, as the task names them. */
export function metricsOf(task: EvalTask, subject: string, method: Method): readonly string[] {
  return partOf(task, subject).metrics[method] ?? [];
}

/**
 * What the first metric that sees a choice sees. Without a published answer metrics score nothing, so any letter stands in for it: what was chosen does not
 * depend on what is right.
 */
function choiceOf({ task, method }: Pick<AskedTask, 'task' | 'method'>, { question }: TaskPrompt, output: SampleOutput): string | null {
  const { subject, letters } = question;
  const asked = question.answer === null && letters ? { ...question, answer: [letters[0]] } : question;
  for (const name of metricsOf(task, subject, method)) {
    const { chosen } = metrics[name](asked, output, partOf(task, subject).language);
    if (chosen !== null) return chosen;
  }
  return null;
}

/** A line of an output: its scores under every metric of its subject. */
export function scoredLine({ task, method }: AskedTask, prompt: TaskPrompt, output: SampleOutput): SampleLine {
  const { subject } = prompt.question;
  const scores: Record<string, number | null> = {};
  for (const name of metricsOf(task, subject, method)) scores[name] = metrics[name](prompt.question, output, partOf(task, subject).language).score;
  return { ...output, scores, chosen: choiceOf({ task, method }, prompt, output) };
}

/** All figures of a task's lines; `lines[i]` answers `asked.prompts[i]`. */
export function resultOf(asked: AskedTask, lines: readonly SampleLine[]): TaskResult {
  const samples: Record<string, ScoredSample[]> = {};
  lines.forEach((output, i) => {
    const { question } = asked.prompts[i];
    const language = partOf(asked.task, question.subject).language;
    for (const metric of metricsOf(asked.task, question.subject, asked.method)) {
      samples[metric] ??= [];
      samples[metric].push({ question, output, scored: metrics[metric](question, output, language) });
    }
  });
  const found = Object.entries(samples).map(([metric, list]) => [metric, aggregate({ name: asked.task.name, metric }, list)] as const);
  return { asked, lines, metrics: Object.fromEntries(found), samples };
}

/** A model and its results, in the order of the tasks. */
export interface ModelResult {
  readonly name: string;
  readonly path: string;
  /** Optimizer step of a training run's checkpoint. */
  readonly step: number | null;
  readonly results: readonly TaskResult[];
}

/** Two models on one metric of one task. */
export interface PairResult {
  readonly task: string;
  readonly method: Method;
  readonly metric: string;
  readonly a: string;
  readonly b: string;
  readonly test: Comparison;
  /** p, corrected for how many pairs were looked at (Holm 1979). */
  readonly pHolm: number;
}

/** Every model against the first, on the first metric of each task. */
export function pairsOf(models: readonly ModelResult[]): PairResult[] {
  const [first, ...others] = models;
  const found = others.flatMap((other) =>
    first.results.flatMap((result, i): Omit<PairResult, 'pHolm'>[] => {
      const [metric] = Object.keys(result.metrics);
      const mine = other.results[i];
      if (metric === undefined || !mine?.samples[metric]) return [];
      const test = compare(mine.samples[metric], result.samples[metric]);
      return test ? [{ task: result.asked.task.name, method: result.asked.method, metric, a: other.name, b: first.name, test }] : [];
    }),
  );
  const corrected = holm(found.map(({ test }) => test.p));
  return found.map((pair, i) => ({ ...pair, pHolm: corrected[i] }));
}
