/**
 * A person as judge: answers of two models side by side without their names, which of them stands first drawn for every question, so that neither place nor name
 * speaks. Verdicts are counted as a judge model's battles are, by category (role play, extraction, long texts: what the questions are of), and held
 * against those of a judge model. A person sees each battle once, since nobody forgets the first time; so places are drawn, not swapped.
 */
import { ScionError } from '../../base/errors.ts';
import { hash32 } from '../../data/hash.ts';
import type { Interval } from '../interval.ts';
import { bootstrap, type DrawOptions } from '../metrics/statistics.ts';
import { type Battle, type BattleSummary, type Outcome, summarise } from './battle.ts';

/** What a person said of one battle: `a` and `b` are places on the screen. */
export interface HumanVerdict {
  readonly id: string;
  /** The model whose answer stood as A. */
  readonly a: 'first' | 'second';
  readonly said: 'a' | 'b' | 'tie' | 'skip';
  /** Of what was shown: a verdict on other texts is none on these. */
  readonly shown: string;
}

/** What identifies the texts of a battle. */
export const shownHash = ({ turns, first, second }: Battle): string =>
  hash32(JSON.stringify([turns, first, second]))
    .toString(16)
    .padStart(8, '0');

/** Battles in the order they are shown, each with who stands as A; drawn by `seed` and id alone, so that a session taken up goes on in it. */
export function humanOrder(battles: readonly Battle[], seed: number): { readonly battle: Battle; readonly a: 'first' | 'second' }[] {
  return battles
    .map((battle) => ({
      battle,
      at: hash32(`order ${battle.id}`, seed),
      a: hash32(`place ${battle.id}`, seed) % 2 === 0 ? ('first' as const) : ('second' as const),
    }))
    .sort((x, y) => x.at - y.at || (x.battle.id < y.battle.id ? -1 : 1))
    .map(({ battle, a }) => ({ battle, a }));
}

/** How a battle ended for the first model; null where it was skipped. */
export function humanOutcome({ a, said }: HumanVerdict): Outcome | null {
  if (said === 'skip') return null;
  if (said === 'tie') return 'tie';
  return (said === 'a') === (a === 'first') ? 'win' : 'loss';
}

/** How often a person and a judge model said the same, of battles that both decided. */
export interface Agreement {
  readonly n: number;
  readonly share: number;
  readonly interval: Interval;
  /** Cohen's kappa (1960): what is left once agreement by chance is taken off; null where both said one thing throughout. */
  readonly kappa: number | null;
  /** The same, of battles in which neither called a tie. */
  readonly decided: { readonly n: number; readonly share: number | null };
}

export interface HumanReport extends BattleSummary {
  readonly byCategory: Readonly<Record<string, BattleSummary>>;
  readonly outcomes: Readonly<Record<string, Outcome>>;
  readonly skipped: number;
  readonly left: number;
  /** How often the answer in place A won, of those with a winner. */
  readonly placeA: { readonly share: number | null; readonly n: number };
}

/** Verdicts joined: those whose texts are still the ones shown. */
export function reportHuman(battles: readonly Battle[], verdicts: readonly HumanVerdict[], options: DrawOptions = {}): HumanReport {
  const last = new Map(verdicts.map((v) => [v.id, v]));
  const rows = battles.flatMap((battle) => {
    const verdict = last.get(battle.id);
    return verdict && verdict.shown === shownHash(battle) ? [{ battle, verdict, outcome: humanOutcome(verdict) }] : [];
  });
  const judged = rows.flatMap(({ battle, verdict, outcome }) => (outcome === null ? [] : [{ battle, verdict, outcome }]));
  const won = judged.filter(({ outcome }) => outcome !== 'tie');
  const of = (some: typeof judged) =>
    summarise(
      some.map(({ outcome }) => outcome),
      options,
    );
  const categories = [...new Set(judged.map(({ battle }) => battle.category))];
  return {
    ...of(judged),
    byCategory: Object.fromEntries(categories.map((c) => [c, of(judged.filter(({ battle }) => battle.category === c))])),
    outcomes: Object.fromEntries(judged.map(({ battle, outcome }) => [battle.id, outcome])),
    skipped: rows.length - judged.length,
    left: battles.length - rows.length,
    placeA: { share: won.length > 0 ? won.filter(({ verdict }) => verdict.said === 'a').length / won.length : null, n: won.length },
  };
}

/** A judge that goes by place has not decided: it counts as a tie. */
const asVerdict = (outcome: Outcome): 'win' | 'loss' | 'tie' | null => (outcome === 'failed' ? null : outcome === 'inconsistent' ? 'tie' : outcome);

/** @throws ScionError `input` where the two have no battle in common. */
export function agreementOf(person: Readonly<Record<string, Outcome>>, judge: Readonly<Record<string, Outcome>>, options: DrawOptions = {}): Agreement {
  const pairs = Object.entries(person).flatMap(([id, mine]) => {
    const own = asVerdict(mine);
    const theirs = Object.hasOwn(judge, id) ? asVerdict(judge[id]) : null;
    return own && theirs ? [[own, theirs] as const] : [];
  });
  if (pairs.length === 0) throw new ScionError('input', 'person and judge model have no battle in common that both decided', {});
  const { value, low, high } = bootstrap(
    pairs.map(([a, b]) => (a === b ? 1 : 0)),
    options,
  );
  const chance = (['win', 'loss', 'tie'] as const).reduce(
    (sum, v) => sum + (pairs.filter(([a]) => a === v).length * pairs.filter(([, b]) => b === v).length) / pairs.length ** 2,
    0,
  );
  const decided = pairs.filter(([a, b]) => a !== 'tie' && b !== 'tie');
  return {
    n: pairs.length,
    share: value,
    interval: [low, high],
    kappa: chance < 1 ? (value - chance) / (1 - chance) : null,
    decided: { n: decided.length, share: decided.length > 0 ? decided.filter(([a, b]) => a === b).length / decided.length : null },
  };
}
