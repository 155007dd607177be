/**
 * One number of many samples: over all questions (micro), over subjects alike (macro), by subject and by group, each with an interval, and with what could not be scored counted apart. The twins' value is joined as ColossalEval joins it,
 * from its subjects' values weighted by their questions.
 */

import { wilson } from '../interval.ts';
import type { Question, SampleOutput, Scored } from '../types.ts';
import { type Baselines, baselines } from './calibration.ts';
import { factsOf, type MetricFacts } from './facts.ts';
import { OF_RATE, sumsOf } from './loss.ts';
import { bootstrap, type DrawOptions, type Estimate, type PairedTest, pairedTest } from './statistics.ts';

/** A question, what a model gave, and its score by one metric. */
export interface ScoredSample {
  readonly question: Question;
  readonly output: SampleOutput;
  readonly scored: Scored;
}

/** An estimate, and whence its interval: of shares of right and wrong Wilson's, of others a seeded bootstrap. */
export interface Result extends Estimate {
  readonly interval: 'wilson' | 'bootstrap';
}

/** Everything about one metric of one task. */
export interface Aggregate {
  readonly task: string;
  readonly metric: string;
  readonly unit: MetricFacts['unit'];
  readonly better: MetricFacts['better'];
  /** Over all scored questions alike; null where none could be scored. */
  readonly micro: Result | null;
  /** The mean of the subjects' values. */
  readonly macro: Result | null;
  readonly bySubject: Readonly<Record<string, Result>>;
  /** Questions of a group together, and the mean of its subjects. */
  readonly byGroup: Readonly<Record<string, { readonly micro: Result; readonly macro: Result }>>;
  /** Questions that could not be scored, by reason. They are in no value above. */
  readonly unscored: { readonly n: number; readonly why: Readonly<Record<string, number>> };
  readonly baselines: Baselines | null;
}

interface Row {
  readonly subject: string;
  readonly group: string | null;
  /** Numerator and denominator of the value. */
  readonly top: number;
  readonly bottom: number;
}

/** Numerators and denominators of samples. */
function rowsOf(samples: readonly ScoredSample[], facts: MetricFacts): Row[] {
  return samples.flatMap(({ question: { subject, group }, output, scored }) => {
    if (scored.score === null) return [];
    if (!facts.rate) return [{ subject, group, top: scored.score, bottom: 1 }];
    const sums = sumsOf(output, facts.rate.over);
    return typeof sums === 'string' ? [] : [{ subject, group, top: sums.nats, bottom: sums.over }];
  });
}

const isBinary = (rows: readonly Row[]) => rows.every(({ top, bottom }) => bottom === 1 && (top === 0 || top === 1));

/** The value of some rows with its interval; `macro` means over subjects. */
function estimate(rows: readonly Row[], facts: MetricFacts, options: DrawOptions, macro: boolean): Result {
  const tops = rows.map((r) => r.top);
  const share = facts.unit === 'share' && !facts.rate && isBinary(rows);
  // A bootstrap of answers that are all right, or all wrong, would claim to be sure.
  if (share && (!macro || tops.every((t) => t === tops[0]))) {
    const right = tops.reduce((a, b) => a + b, 0);
    const [low, high] = wilson(right, rows.length, options.level === undefined ? undefined : normalQuantile((1 + options.level) / 2));
    return { value: right / rows.length, low, high, n: rows.length, interval: 'wilson' };
  }
  const found = bootstrap(tops, {
    ...options,
    ...(facts.rate ? { over: rows.map((r) => r.bottom), of: OF_RATE[facts.rate.value] } : {}),
    ...(macro ? { strata: rows.map((r) => r.subject) } : {}),
  });
  return { ...found, interval: 'bootstrap' };
}

/** Standard normal quantile by bisection of its distribution function (an integral by Simpson's rule); q between 0.5 and 1. */
function normalQuantile(q: number): number {
  const area = (x: number) => {
    const n = 400;
    let sum = 0;
    for (let i = 0; i <= n; i++) sum += (i === 0 || i === n ? 1 : i % 2 ? 4 : 2) * Math.exp(-(((x * i) / n) ** 2) / 2);
    return 0.5 + (sum * x) / (3 * n * Math.sqrt(2 * Math.PI));
  };
  let [low, high] = [0, 10];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (area(middle) < q) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string | null): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = key(item);
    if (name === null) continue;
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return groups;
}

/** ColossalEval's "ALL": its subjects' values weighted by their questions; what it divides by may hold questions that it never scored. */
function compatValue(samples: readonly ScoredSample[], rows: readonly Row[], facts: MetricFacts): number {
  const total = facts.compat === 'counting-all' ? samples.length : rows.length;
  let all = 0;
  for (const subject of groupBy(rows, (r) => r.subject).values()) {
    const top = subject.reduce((sum, r) => sum + r.top, 0);
    const bottom = subject.reduce((sum, r) => sum + r.bottom, 0);
    const value = facts.rate ? OF_RATE[facts.rate.value](top / bottom) : top / bottom;
    all += value * (subject.length / total);
  }
  return all;
}

/**
 * Joins the scores of one metric on one task. Intervals are seeded, so that equal scores give equal bytes; by default 95 %. For a twin the value of `micro` is the original's "ALL"; its interval is that of the
 * plain mean, moved and stretched with it.
 * @throws ScionError `input` for a metric that does not exist.
 */
export function aggregate(task: { readonly name: string; readonly metric: string }, samples: readonly ScoredSample[], options: DrawOptions = {}): Aggregate {
  const facts = factsOf(task.metric);
  const rows = rowsOf(samples, facts);
  const why: Record<string, number> = {};
  for (const { scored } of samples) if (scored.score === null) why[scored.why ?? 'unknown'] = (why[scored.why ?? 'unknown'] ?? 0) + 1;
  let micro = rows.length > 0 ? estimate(rows, facts, options, false) : null;
  if (micro && facts.compat) {
    const value = compatValue(samples, rows, facts);
    const scale = micro.value === 0 ? 1 : value / micro.value;
    micro = { ...micro, value, low: micro.low * scale, high: micro.high * scale };
  }
  return {
    task: task.name,
    metric: task.metric,
    unit: facts.unit,
    better: facts.better,
    micro,
    macro: rows.length > 0 ? estimate(rows, facts, options, true) : null,
    bySubject: Object.fromEntries([...groupBy(rows, (r) => r.subject)].map(([name, own]) => [name, estimate(own, facts, options, false)])),
    byGroup: Object.fromEntries(
      [...groupBy(rows, (r) => r.group)].map(([name, own]) => [
        name,
        { micro: estimate(own, facts, options, false), macro: estimate(own, facts, options, true) },
      ]),
    ),
    unscored: { n: samples.length - rows.length, why },
    baselines: baselines(samples.map((s) => s.question)),
  };
}

/** What two models' scores of one metric say about each other, on the questions that both were scored on. */
export interface Comparison extends PairedTest {
  /** Questions that only one of the two, or none, was scored on; they are left out. */
  readonly leftOut: number;
}

/** Compares two models by the scores of their questions, matched by id; null where they have none in common. */
export function compare(a: readonly ScoredSample[], b: readonly ScoredSample[], options: DrawOptions = {}): Comparison | null {
  const others = new Map(b.map((s) => [s.question.id, s.scored.score]));
  const pairs = a.flatMap(({ question: { id }, scored: { score } }) => {
    const other = others.get(id);
    return score === null || other === undefined || other === null ? [] : [[score, other] as const];
  });
  if (pairs.length === 0) return null;
  const ids = new Set([...a, ...b].map((s) => s.question.id));
  const test = pairedTest(
    pairs.map(([x]) => x),
    pairs.map(([, y]) => y),
    options,
  );
  return { ...test, leftOut: ids.size - pairs.length };
}
