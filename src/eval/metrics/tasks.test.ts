/**
 * Metrics over the questions of every task that ships: each that a task names exists and reads what its method gives; over real questions a model told the answers scores 1, one that guesses and one scored against shuffled labels
 * stay within the interval of chance. Needs SCION_DATA for the questions.
 */
import { describe, expect, test } from 'vitest';
import { Random } from '../../base/random.ts';
import { host } from '../../host/index.ts';
import { wilson } from '../interval.ts';
import { builtinNames, COMPATS, loadTask, partOf, readTask } from '../tasks/index.ts';
import type { Question, SampleOutput } from '../types.ts';
import { baselines, metricFacts, metrics } from './index.ts';
import { output } from './sample.ts';

const data = process.env.SCION_DATA;
/** Questions of a task that are looked at. */
const limit = process.env.SCION_TIER === 'full' ? undefined : 300;

/** What an output holds, by method. */
const GIVEN: Readonly<Record<string, readonly string[]>> = {
  letters: ['letterLogits'],
  'letter-perplexity': ['options'],
  'option-likelihood': ['options'],
  generate: ['text'],
  'target-loss': ['loss'],
  'text-loss': ['loss'],
};

/** Every `metrics` table of a task's fields, wherever it stands. */
function tables(value: unknown): Record<string, readonly string[]>[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === 'metrics' ? [inner as Record<string, readonly string[]>] : tables(inner)));
}

test.each(builtinNames())('%s: its metrics exist and read what is given', async (name) => {
  const task = await readTask((await host()).files, name);
  const named = tables(task.spec).flatMap((table) => Object.entries(table).flatMap(([method, names]) => names.map((metric) => [method, metric] as const)));
  for (const [method, metric] of named) {
    expect(Object.keys(metricFacts), `${name}: ${method}`).toContain(metric);
    // Combined matching reads the logits, too; the engine gives them with the text.
    const fits = metricFacts[metric].reads.some((set) =>
      set.every((part) => GIVEN[method].includes(part) || (method === 'generate' && part === 'letterLogits')),
    );
    expect(fits, `${name}: ${metric} by ${method}`).toBe(true);
  }
});

const random = new Random(17);

/** What a model that has chosen `letter` gives, whatever a metric reads. */
function choosing(q: Question, letter: string): SampleOutput {
  const letters = q.letters as readonly string[];
  const chosen = (l: string) => (l === letter ? 1 : 0);
  return output({
    text: ['%', 'The answer is %.', '(%)', '答案：%'][random.below(4)].replace('%', letter),
    letterLogits: Object.fromEntries(letters.map((l) => [l, 3 * chosen(l) + 0.1 * random.uniform()])),
    options: letters.map((l) => ({ nll: 3 - 2 * chosen(l) + 0.1 * random.uniform(), tokens: 1, bytes: 1, baselineNll: 1 })),
  });
}

const CHOICE = /^(first_token|single_choice|option)_accuracy/;
const names = ['mmlu', 'cmmlu', 'ceval', 'agieval', 'gaokao-bench', 'safetybench-zh'];

describe.skipIf(!data)('real questions', () => {
  test.each(names.flatMap((name) => [null, ...COMPATS].map((compat) => [name, compat] as const)))('%s %s', async (name, compat) => {
    const { task, questions } = await loadTask((await host()).files, name, { dataRoot: `${data}/eval`, ...(compat ? { compat } : {}), shots: 0, limit });
    const byMetric = new Map<string, Question[]>();
    for (const { question } of questions) {
      if (question.answer?.length !== 1 || !question.letters) continue;
      for (const metric of Object.values(partOf(task, question.subject).metrics).flat())
        if (CHOICE.test(metric)) byMetric.set(metric, [...(byMetric.get(metric) ?? []), question]);
    }
    expect(byMetric.size).toBeGreaterThan(0);
    for (const [metric, asked] of byMetric) {
      const right = (q: Question) => (q.answer as readonly string[])[0];
      const total = (pick: (q: Question) => string, labels: (q: Question, i: number) => Question = (q) => q) =>
        asked.reduce((sum, q, i) => sum + (metrics[metric](labels(q, i), choosing(q, pick(q)), 'zh').score as number), 0);
      expect(total(right), `${metric}: told the answers`).toBe(asked.length);
      const chance = baselines(asked)?.random as number;
      // 4 sigma: about sixty such checks are made, under a fixed seed.
      const [low, high] = wilson(
        total((q) => (q.letters as readonly string[])[random.below(q.letters?.length ?? 1)]),
        asked.length,
        4,
      );
      expect(chance, `${metric}: guessing`).toBeGreaterThanOrEqual(low);
      expect(chance, `${metric}: guessing`).toBeLessThanOrEqual(high);
      // Labels drawn anew: whoever knows the old ones knows nothing of these.
      const anew = asked.map((q) => ({ ...q, answer: [(q.letters as readonly string[])[random.below(q.letters?.length ?? 1)]] }));
      const [least, most] = wilson(
        total(right, (_, i) => anew[i]),
        asked.length,
        4,
      );
      expect(chance, `${metric}: other labels`).toBeGreaterThanOrEqual(least);
      expect(chance, `${metric}: other labels`).toBeLessThanOrEqual(most);
    }
  });
});
