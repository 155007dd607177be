/**
 * Ratings by a judge: an answer on ten metrics from 1 to 5, and MT-Bench's two turns from 1 to 10 (Zheng et al. 2023). Means are over what was rated, with a bootstrap interval; what failed is counted apart. ColossalEval's
 * way, failures averaged in as 0 or -1, is there for comparison only.
 */
import { bootstrap, type DrawOptions, type Estimate } from '../metrics/statistics.ts';
import type { ChatRequest } from './endpoint.ts';
import { expectedRating, parseRating } from './parse.ts';
import { fill } from './prompts/set.ts';
import type { JudgePrompts } from './prompts/types.ts';
import type { Job, JudgeRun } from './runner.ts';

/** An answer to be scored. */
export interface ScoreItem {
  readonly id: string;
  /** Decides the metrics, by the categories of the prompts. */
  readonly category: string;
  readonly question: string;
  readonly answer: string;
  readonly reference?: string | null;
}

/** What a judge gave: the rating that it wrote, and the mean by probability where its tokens show it. */
export interface Rating {
  readonly rating: number;
  readonly expected: number | null;
}

/** What a rating is of. */
export interface RatingPlace {
  readonly id: string;
  readonly category: string;
  /** The metric, or `turn 1` and `turn 2`. */
  readonly metric: string;
}

/** Jobs and, in the same order, what each rates. */
export interface RatingJobs {
  readonly jobs: readonly Job<Rating>[];
  readonly places: readonly RatingPlace[];
  /** What ColossalEval counts a failure as. */
  readonly failure: number;
}

/** Room for reasons before the verdict. */
const MAX_TOKENS = 1024;

const request = (prompts: JudgePrompts, user: string, topLogprobs?: number): ChatRequest => ({
  messages: [
    { role: 'system', content: prompts.system },
    { role: 'user', content: user },
  ],
  temperature: 0,
  maxTokens: MAX_TOKENS,
  ...(topLogprobs ? { topLogprobs } : {}),
});

/** One job for each answer and metric of its category (or of `metrics`). Categories that the prompts do not know are scored by all metrics. */
export function scoreJobs(items: readonly ScoreItem[], prompts: JudgePrompts, options: { metrics?: readonly string[]; topLogprobs?: number } = {}): RatingJobs {
  const jobs: Job<Rating>[] = [];
  const places: RatingPlace[] = [];
  for (const item of items) {
    const names = options.metrics ?? (Object.hasOwn(prompts.categories, item.category) ? prompts.categories[item.category] : Object.keys(prompts.metrics));
    for (const metric of names) {
      const { definition, steps } = prompts.metrics[metric];
      const plain = { metric, definition, steps: steps.map((step, i) => `${i + 1}. ${step}`).join('\n') };
      const quoted = { question: item.question, answer: item.answer, ...(item.reference ? { reference: item.reference } : {}) };
      places.push({ id: item.id, category: item.category, metric });
      jobs.push({
        key: JSON.stringify([item.id, metric]),
        request: request(prompts, fill(item.reference ? prompts.scoreReference : prompts.score, plain, quoted), options.topLogprobs),
        parse: (reply) => withExpected(parseRating(reply.text, 1, 5, true), expectedRating(reply.tokens, 1, 5)),
        reminder: prompts.scoreReminder,
      });
    }
  }
  return { jobs, places, failure: 0 };
}

function withExpected(parsed: ReturnType<typeof parseRating>, expected: number | null): ReturnType<Job<Rating>['parse']> {
  return 'verdict' in parsed ? { verdict: { rating: parsed.verdict, expected } } : parsed;
}

/** A conversation of one or two turns, with the answers of a model. */
export interface Conversation {
  readonly id: string;
  readonly category: string;
  readonly turns: readonly string[];
  readonly answers: readonly string[];
  /** Good answers, where there are such (mathematics, reasoning, code). */
  readonly references?: readonly string[] | null;
}

/** The user prompt of a turn's rating. */
function ratingPrompt(c: Conversation, turn: number, prompts: JudgePrompts): string {
  const reference = c.references?.[turn];
  const own = { question: c.turns[turn], answer: c.answers[turn], ...(reference ? { reference } : {}) };
  if (turn === 0) return fill(reference ? prompts.ratingReference : prompts.rating, {}, own);
  const first = { first_question: c.turns[turn - 1], first_answer: c.answers[turn - 1] };
  const firstReference = c.references?.[turn - 1];
  return reference && firstReference
    ? fill(prompts.ratingSecondReference, {}, { ...first, ...own, first_reference: firstReference })
    : fill(prompts.ratingSecond, {}, { ...first, ...own });
}

/** One job a turn that was answered. */
export function conversationJobs(conversations: readonly Conversation[], prompts: JudgePrompts): RatingJobs {
  const jobs: Job<Rating>[] = [];
  const places: RatingPlace[] = [];
  for (const c of conversations)
    for (let turn = 0; turn < Math.min(c.turns.length, c.answers.length); turn++) {
      const metric = `turn ${turn + 1}`;
      places.push({ id: c.id, category: c.category, metric });
      jobs.push({
        key: JSON.stringify([c.id, metric]),
        request: request(prompts, ratingPrompt(c, turn, prompts)),
        parse: (reply) => withExpected(parseRating(reply.text, 1, 10, false), null),
        reminder: prompts.ratingReminder,
      });
    }
  return { jobs, places, failure: -1 };
}

/** Ratings of one kind. */
export interface RatingSummary {
  /** Null where nothing was rated. */
  readonly rating: Estimate | null;
  /** Mean by probability of those ratings that have one. */
  readonly expected: number | null;
  readonly failed: number;
  readonly notAsked: number;
  /** Ids of the best and of the worst, at most three each. */
  readonly best: readonly string[];
  readonly worst: readonly string[];
}

export interface RatingReport {
  readonly all: RatingSummary;
  readonly byMetric: Readonly<Record<string, RatingSummary>>;
  readonly byCategory: Readonly<Record<string, RatingSummary>>;
  /** By category, then by metric. */
  readonly byBoth: Readonly<Record<string, Readonly<Record<string, RatingSummary>>>>;
}

type Row = RatingPlace & { readonly result: JudgeRun<Rating>['results'][number] };

function summary(rows: readonly Row[], failure: number, compat: boolean, options: DrawOptions): RatingSummary {
  const rated = rows.flatMap(({ id, result }) => {
    if (result && 'verdict' in result) return [{ id, ...result.verdict }];
    return result && compat ? [{ id, rating: failure, expected: null }] : [];
  });
  const order = [...rated].sort((a, b) => b.rating - a.rating || (a.id < b.id ? -1 : 1));
  const expected = rated.flatMap((r) => (r.expected === null ? [] : [r.expected]));
  return {
    rating:
      rated.length > 0
        ? bootstrap(
            rated.map((r) => r.rating),
            options,
          )
        : null,
    expected: expected.length > 0 ? expected.reduce((a, b) => a + b, 0) / expected.length : null,
    failed: rows.filter(({ result }) => result && 'failed' in result).length,
    notAsked: rows.filter(({ result }) => result === null).length,
    best: order.slice(0, 3).map((r) => r.id),
    worst: order
      .slice(-3)
      .reverse()
      .map((r) => r.id),
  };
}

const names = (rows: readonly Row[], field: 'metric' | 'category') => [...new Set(rows.map((r) => r[field]))];

/**
 * Ratings joined. With `compat: 'colossaleval'` a failure counts as a rating of 0 (metrics) or -1 (MT-Bench), as there; otherwise failures are only counted.
 */
export function reportRatings(
  { places, failure }: RatingJobs,
  run: Pick<JudgeRun<Rating>, 'results'>,
  options: DrawOptions & { readonly compat?: 'colossaleval' } = {},
): RatingReport {
  const rows = places.map((place, i) => ({ ...place, result: run.results[i] }));
  const of = (some: readonly Row[]) => summary(some, failure, options.compat === 'colossaleval', options);
  const by = (some: readonly Row[], field: 'metric' | 'category') =>
    Object.fromEntries(names(some, field).map((name) => [name, of(some.filter((r) => r[field] === name))]));
  return {
    all: of(rows),
    byMetric: by(rows, 'metric'),
    byCategory: by(rows, 'category'),
    byBoth: Object.fromEntries(
      names(rows, 'category').map((name) => [
        name,
        by(
          rows.filter((r) => r.category === name),
          'metric',
        ),
      ]),
    ),
  };
}
