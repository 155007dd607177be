/**
 * Chooses documents: two passes over columns of numbers, never over texts. First each category is given its amount (shares of
 * the budget, water-filled under caps), then its documents are taken in an order that is random but fixed: a Philox number of
 * seed, stage and the document's place. The same numbers give the same choice, whoever asks.
 */
import { ScionError } from '../../base/errors.ts';
import { philox } from '../../base/random.ts';
import { ruleOf, type SampleRule, type SampleStage, type Soft } from './config.ts';

/** Every reason for which sampling leaves a document out. */
export const SAMPLE_REASONS: Readonly<Record<string, string>> = {
  'sample.below-threshold': 'a score below atLeast or above atMost',
  'sample.soft': 'soft sampling: the lot fell against it',
  'sample.excluded': 'weight 0 or epochs 0',
  'sample.epochs': 'less than one epoch was asked for',
  'sample.quota': 'the category had its quota',
  'sample.budget': 'the budget of the stage was used up',
  'sample.used': 'an earlier stage used it, and only fresh ones were asked for',
};
const REASONS = Object.keys(SAMPLE_REASONS);
const code = (reason: string): number => REASONS.indexOf(`sample.${reason}`);
/** Codes of `why`; a document that is chosen, or that was never there, has none. */
export const WHY = REASONS;
export const CHOSEN = 255;

const STREAM = 0x73616d70;
const MAX_COPIES = 0xffff;

/** Columns over all documents. */
export interface Columns {
  readonly categories: readonly string[];
  readonly category: Uint16Array;
  /** In the unit of the stage; 0: not there any more (it has no tokens). */
  readonly size: Float64Array;
  readonly shard: Uint32Array;
  readonly index: Uint32Array;
  /** NaN: no such score. */
  readonly scores: ReadonlyMap<string, Float64Array>;
}

export interface CategoryPlan {
  readonly category: string;
  readonly documents: number;
  /** Of the documents that may be chosen. */
  readonly size: number;
  /** What was aimed at, and what was taken; in the unit. */
  readonly target: number;
  readonly taken: number;
  readonly epochs: number;
}

export interface Choice {
  readonly copies: Uint16Array;
  readonly why: Uint8Array;
  readonly categories: readonly CategoryPlan[];
}

/** Probability that soft sampling keeps a score. */
export function keepProbability(soft: Soft, score: number): number {
  if (soft.pareto !== undefined) return Math.max(1, 2 - score) ** -soft.pareto;
  return 1 / (1 + Math.exp(((soft.middle ?? 0) - score) / (soft.width ?? 1)));
}

function judged(rule: SampleRule, scores: Columns['scores'], i: number): boolean {
  for (const [name, limit] of Object.entries(rule.atLeast)) if ((scores.get(name)?.[i] ?? Number.NaN) < limit) return false;
  for (const [name, limit] of Object.entries(rule.atMost)) if ((scores.get(name)?.[i] ?? Number.NaN) > limit) return false;
  return true;
}

interface Group {
  readonly rule: SampleRule;
  readonly members: number[];
  size: number;
  documents: number;
  target: number;
  reason: number;
}

/** Gives each group its amount of `budget`: in proportion to `shares`, none above its cap, what is over goes to the others. */
export function waterFill(budget: number, shares: readonly number[], caps: readonly number[]): number[] {
  const out = shares.map(() => 0);
  let left = budget;
  let open = shares.map((_, i) => i).filter((i) => shares[i] > 0 && caps[i] > 0);
  while (open.length > 0 && left > 0) {
    const sum = open.reduce((total, i) => total + shares[i], 0);
    const full = open.filter((i) => (left * shares[i]) / sum >= caps[i]);
    if (full.length === 0) {
      for (const i of open) out[i] = (left * shares[i]) / sum;
      break;
    }
    for (const i of full) {
      out[i] = caps[i];
      left -= caps[i];
    }
    open = open.filter((i) => !full.includes(i));
  }
  return out;
}

function setTargets(stage: SampleStage, groups: readonly Group[]): void {
  const capOf = ({ rule, size }: Group, most: number): number => Math.min(rule.quota ?? Number.POSITIVE_INFINITY, size * most);
  const quotaReason = (group: Group, otherwise: number): number =>
    group.rule.quota !== undefined && group.target >= group.rule.quota ? code('quota') : otherwise;
  const free: Group[] = [];
  for (const group of groups) {
    const { rule, size } = group;
    if (rule.epochs === 0 || rule.weight === 0) {
      group.target = 0;
      group.reason = code('excluded');
    } else if (rule.epochs !== undefined) {
      group.target = Math.min(rule.epochs * size, rule.quota ?? Number.POSITIVE_INFINITY);
      group.reason = quotaReason(group, code('epochs'));
    } else if (stage.budget === null) {
      group.target = capOf(group, 1);
      group.reason = code('quota');
    } else free.push(group);
  }
  if (stage.budget === null) return;
  const kindOf = ({ rule }: Group): string => rule.kind ?? '';
  const kinds = stage.kinds ?? { '': 1 };
  const total = Object.values(kinds).reduce((sum, share) => sum + share, 0);
  for (const [kind, share] of Object.entries(kinds)) {
    const own = (group: Group): boolean => stage.kinds === null || kindOf(group) === kind;
    const fixed = groups.filter((group) => own(group) && !free.includes(group)).reduce((sum, { target }) => sum + target, 0);
    const mine = free.filter(own);
    const shares = mine.map(({ rule, size }) => (size > 0 ? rule.weight * size ** stage.temperature : 0));
    const caps = mine.map((group) => capOf(group, stage.maxEpochs));
    waterFill(Math.max(0, (stage.budget * share) / total - fixed), shares, caps).forEach((target, i) => {
      mine[i].target = target;
      mine[i].reason = quotaReason(mine[i], code('budget'));
    });
  }
}

/** Takes documents of a group until its target is met; those that are not taken get its reason. */
function take(group: Group, columns: Columns, order: Float64Array, choice: { copies: Uint16Array; why: Uint8Array }): number {
  const { members, size, target, rule } = group;
  const { size: sizes } = columns;
  const whole = size > 0 ? Math.min(MAX_COPIES - 1, Math.floor(target / size + 1e-12)) : 0;
  const sorted = Uint32Array.from(members).sort((a, b) => order[a] - order[b] || a - b);
  const rest = target - whole * size;
  let taken = 0;
  let more = 0;
  let documents = rule.documents ?? Number.POSITIVE_INFINITY;
  let limited = false;
  for (const i of sorted) {
    let copies = whole;
    // The last one comes if that brings the sum nearer to the target.
    if (more + sizes[i] / 2 <= rest) {
      copies++;
      more += sizes[i];
    }
    if (copies > documents) {
      copies = documents;
      limited = true;
    }
    documents -= copies;
    taken += copies * sizes[i];
    choice.copies[i] = copies;
    choice.why[i] = copies > 0 ? CHOSEN : limited ? code('quota') : group.reason;
  }
  return taken;
}

/**
 * Chooses for one stage. `used`: documents that earlier stages used. @throws ScionError `usage` for a mix that says nothing
 * (weights without a budget, a kind without a share).
 */
export function choose(stage: SampleStage, number: number, seed: number, columns: Columns, used: Uint8Array | null = null): Choice {
  const { categories, category, size, shard, index, scores } = columns;
  const n = category.length;
  const copies = new Uint16Array(n);
  const why = new Uint8Array(n).fill(CHOSEN);
  const order = new Float64Array(n);
  const groups = categories.map((name): Group => ({ rule: ruleOf(stage, name), members: [], size: 0, documents: 0, target: 0, reason: code('budget') }));
  check(stage, groups, categories, columns);
  for (let i = 0; i < n; i++) {
    if (size[i] === 0) continue;
    const group = groups[category[i]];
    const { rule } = group;
    group.documents++;
    const [high, low, lot] = philox(shard[i], index[i], number, 0, seed, STREAM);
    order[i] = high * 2 ** 21 + (low >>> 11);
    if (stage.fresh && used?.[i]) why[i] = code('used');
    else if (!judged(rule, scores, i)) why[i] = code('below-threshold');
    else if (rule.soft && lot / 2 ** 32 >= keepProbability(rule.soft, scores.get(rule.soft.score)?.[i] ?? Number.NaN)) why[i] = code('soft');
    else {
      group.members.push(i);
      group.size += size[i];
    }
  }
  setTargets(stage, groups);
  const plans = groups.map((group, c): CategoryPlan => {
    const taken = take(group, columns, order, { copies, why });
    return {
      category: categories[c],
      documents: group.documents,
      size: group.size,
      target: group.target,
      taken,
      epochs: group.size > 0 ? taken / group.size : 0,
    };
  });
  return { copies, why, categories: plans };
}

function check(stage: SampleStage, groups: readonly Group[], categories: readonly string[], { scores }: Columns): void {
  if (stage.budget === null && (stage.kinds !== null || groups.some(({ rule }) => rule.weight !== 1 && rule.weight !== 0))) {
    throw new ScionError('usage', `sample: stage ${stage.name} has weights or kinds, but no budget to share out; give budget, or epochs by category`);
  }
  if (stage.kinds !== null) {
    const { kinds } = stage;
    const lost = groups.findIndex(({ rule }) => rule.epochs === undefined && rule.weight > 0 && !Object.hasOwn(kinds, rule.kind ?? ''));
    if (lost >= 0) {
      const { kind } = groups[lost].rule;
      throw new ScionError(
        'usage',
        `sample: stage ${stage.name} shares its budget by kind (${Object.keys(kinds).join(', ')}), and the category ${categories[lost]} ${kind === undefined ? 'has none' : `is ${kind}`}; name its kind under categories or others`,
      );
    }
  }
  const known = [...scores.keys()];
  for (const { rule } of groups) {
    for (const name of [...Object.keys(rule.atLeast), ...Object.keys(rule.atMost), ...(rule.soft ? [rule.soft.score] : [])]) {
      if (!scores.has(name)) throw new ScionError('usage', `sample: no document has a score "${name}"; there are ${known.join(', ') || 'none'}`, { name });
    }
  }
}
