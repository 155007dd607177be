/**
 * Battles of two models before a judge, each fought twice with the answers in either order: judges favour a place (Zheng et al. 2023 found it in every one of them), so a win counts only where both orders agree.
 * What the judge sees twice and decides twice differently is a tie of its own kind, and how often it decided by place is reported.
 */
import type { Interval } from '../interval.ts';
import { bootstrap, type DrawOptions } from '../metrics/statistics.ts';
import { parseWinner, type Winner } from './parse.ts';
import { fill } from './prompts/set.ts';
import type { JudgePrompts } from './prompts/types.ts';
import type { Job, JudgeRun } from './runner.ts';

/** Two answers to one task; several turns of a conversation make one battle. */
export interface Battle {
  readonly id: string;
  readonly category: string;
  readonly turns: readonly string[];
  /** Answers of the first and of the second model, one a turn. */
  readonly first: readonly string[];
  readonly second: readonly string[];
  readonly references?: readonly string[] | null;
}

const MAX_TOKENS = 1024;

/** Turns as one text: a single one as it is, several numbered. */
const joined = (texts: readonly string[]) => (texts.length === 1 ? texts[0] : texts.map((text, i) => `[${i + 1}]\n${text}`).join('\n\n'));

/** Two jobs a battle: the first model's answer as A, then as B. */
export function battleJobs(battles: readonly Battle[], prompts: JudgePrompts): Job<Winner>[] {
  return battles.flatMap((battle) =>
    (['first', 'second'] as const).map((asA) => {
      const quoted = {
        question: joined(battle.turns),
        answer_a: joined(battle[asA]),
        answer_b: joined(asA === 'first' ? battle.second : battle.first),
        ...(battle.references?.length ? { reference: joined(battle.references) } : {}),
      };
      return {
        key: JSON.stringify([battle.id, `${asA} as A`]),
        request: {
          messages: [
            { role: 'system' as const, content: prompts.system },
            { role: 'user' as const, content: fill(battle.references?.length ? prompts.battleReference : prompts.battle, {}, quoted) },
          ],
          temperature: 0,
          maxTokens: MAX_TOKENS,
        },
        parse: (reply) => parseWinner(reply.text),
        reminder: prompts.winnerReminder,
      };
    }),
  );
}

/** How a battle ended, for the first model. `inconsistent`: the judge went by place or by mood. `failed`: an order has no verdict. */
export type Outcome = 'win' | 'loss' | 'tie' | 'inconsistent' | 'failed';

const FLIPPED = { A: 'B', B: 'A', tie: 'tie' } as const;

/** The outcome of two verdicts, each as the judge gave it: the first model stood as A in `asA` and as B in `asB`. */
export function outcomeOf(asA: Winner | null, asB: Winner | null): Outcome {
  if (asA === null || asB === null) return 'failed';
  if (asA !== FLIPPED[asB]) return 'inconsistent';
  return asA === 'tie' ? 'tie' : asA === 'A' ? 'win' : 'loss';
}

/** Outcomes of some battles. */
export interface BattleSummary {
  readonly n: number;
  readonly win: number;
  readonly loss: number;
  readonly tie: number;
  readonly inconsistent: number;
  /** Left out of the rate. */
  readonly failed: number;
  /** (wins + half of ties and of inconsistent ones) / judged battles, with a bootstrap interval; null where none was judged. */
  readonly winRate: number | null;
  readonly interval: Interval | null;
}

export interface BattleReport extends BattleSummary {
  readonly byCategory: Readonly<Record<string, BattleSummary>>;
  readonly outcomes: Readonly<Record<string, Outcome>>;
  /** Of verdicts that named a winner, how many named the answer in first place; one half for a fair judge, since each answer stands there once. */
  readonly firstPlace: { readonly share: number | null; readonly n: number };
}

const VALUE = { win: 1, loss: 0, tie: 0.5, inconsistent: 0.5 } as const;

/** Outcomes counted; the rate is over those that were judged. */
export function summarise(outcomes: readonly Outcome[], options: DrawOptions): BattleSummary {
  const count = (what: Outcome) => outcomes.filter((o) => o === what).length;
  const values = outcomes.flatMap((o) => (o === 'failed' ? [] : [VALUE[o]]));
  const rate = values.length > 0 ? bootstrap(values, options) : null;
  return {
    n: outcomes.length,
    win: count('win'),
    loss: count('loss'),
    tie: count('tie'),
    inconsistent: count('inconsistent'),
    failed: count('failed'),
    winRate: rate?.value ?? null,
    interval: rate ? [rate.low, rate.high] : null,
  };
}

/** Battles joined; `run` is of `battleJobs` of the same battles. */
export function reportBattles(battles: readonly Battle[], run: Pick<JudgeRun<Winner>, 'results'>, options: DrawOptions = {}): BattleReport {
  const verdicts = run.results.map((r) => (r && 'verdict' in r ? r.verdict : null));
  const outcomes = battles.map((_, i) => outcomeOf(verdicts[2 * i], verdicts[2 * i + 1]));
  const named = verdicts.filter((v) => v === 'A' || v === 'B');
  const categories = [...new Set(battles.map((b) => b.category))];
  return {
    ...summarise(outcomes, options),
    byCategory: Object.fromEntries(
      categories.map((c) => [
        c,
        summarise(
          outcomes.filter((_, i) => battles[i].category === c),
          options,
        ),
      ]),
    ),
    outcomes: Object.fromEntries(battles.map((b, i) => [b.id, outcomes[i]])),
    firstPlace: { share: named.length > 0 ? named.filter((v) => v === 'A').length / named.length : null, n: named.length },
  };
}
