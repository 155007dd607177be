/**
 * What follows from a report and is said in more than one place, on the page and in the terminal: the order of steps, sums by
 * step, what a category lost, shares. A report comes from a file, so numbers that are none count as 0.
 */
import type { BuildReport, FunnelRow } from './types.ts';

/** Sums of a step over categories. Tokens are null where any category has none. */
export interface StepSum {
  readonly step: string;
  readonly documents: number;
  readonly bytes: number;
  readonly tokens: number | null;
}

export const count = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0);
export const sum = (values: Iterable<unknown>): number => {
  let total = 0;
  for (const value of values) total += count(value);
  return total;
};
/** a / b; 0 where b is 0. */
export const share = (a: number, b: number): number => (b > 0 ? a / b : 0);

const sumOf = (step: string, rows: readonly FunnelRow[]): StepSum => ({
  step,
  documents: sum(rows.map((row) => row.documents)),
  bytes: sum(rows.map((row) => row.bytes)),
  tokens: rows.length === 0 || rows.some(({ tokens }) => typeof tokens !== 'number') ? null : sum(rows.map((row) => row.tokens)),
});

/** Steps in their order, summed. */
export function stepSums(report: BuildReport): StepSum[] {
  const rows = new Map<string, FunnelRow[]>();
  for (const row of report.funnel) {
    const held = rows.get(row.step);
    if (held) held.push(row);
    else rows.set(row.step, [row]);
  }
  return [...rows].map(([step, held]) => sumOf(step, held));
}

/** From here on documents are chosen by quota, not judged: what goes or comes twice from this step on is intended. */
export const SAMPLING = 'sample';

/** Index of the last step that judges documents. */
export function lastJudging(steps: readonly { readonly step: string }[]): number {
  const at = steps.findIndex(({ step }) => step === SAMPLING || step.startsWith(`${SAMPLING}.`));
  return at < 0 ? steps.length - 1 : at - 1;
}

/** A category on its way. */
export interface CategoryWay {
  readonly category: string;
  /** By step, in the order of `stepSums`; zeros where no row names it. */
  readonly documents: readonly number[];
  readonly bytes: readonly number[];
  /** Tokens in the packs. */
  readonly packed: number;
}

/** Categories, those with most bytes first. */
export function categoryWays(report: BuildReport): CategoryWay[] {
  const steps = new Map(stepSums(report).map(({ step }, i) => [step, i]));
  const ways = new Map<string, { documents: number[]; bytes: number[] }>();
  for (const row of report.funnel) {
    let way = ways.get(row.category);
    if (!way) {
      way = { documents: new Array<number>(steps.size).fill(0), bytes: new Array<number>(steps.size).fill(0) };
      ways.set(row.category, way);
    }
    const at = steps.get(row.step) ?? 0;
    way.documents[at] += count(row.documents);
    way.bytes[at] += count(row.bytes);
  }
  const packed = wholeMix(report);
  return [...ways]
    .map(([category, way]) => ({ category, ...way, packed: packed.get(category) ?? 0 }))
    .sort((a, b) => b.bytes[0] - a.bytes[0] || (a.category < b.category ? -1 : 1));
}

/** Packed tokens by category over all buckets, most first. */
export function wholeMix(report: BuildReport): Map<string, number> {
  const mix = new Map<string, number>();
  for (const bucket of report.buckets) for (const [category, tokens] of Object.entries(bucket.mix)) mix.set(category, (mix.get(category) ?? 0) + count(tokens));
  return new Map([...mix].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)));
}

/** How far the shares of a category in the buckets lie from its share of the whole. */
export interface MixSpread {
  readonly category: string;
  readonly tokens: number;
  /** Of all packed tokens. */
  readonly share: number;
  /** Least and greatest share in a bucket. */
  readonly low: number;
  readonly high: number;
  /** The signed difference of shares that is largest without its sign, and the bucket where it is. */
  readonly worst: number;
  readonly worstBucket: number;
}

/** Categories in the order of `wholeMix`. Linear in the entries of the mixes: a bucket that lacks a category is met once. */
export function mixSpreads(report: BuildReport): MixSpread[] {
  const whole = wholeMix(report);
  const total = sum(whole.values());
  const buckets = report.buckets.filter(({ mix }) => sum(Object.values(mix)) > 0);
  const states = new Map([...whole].map(([category]) => [category, { low: Infinity, high: -Infinity, lowBucket: 0, highBucket: 0, seen: 0, absent: -1 }]));
  buckets.forEach(({ bucket, mix }, i) => {
    const size = sum(Object.values(mix));
    for (const [category, tokens] of Object.entries(mix)) {
      const state = states.get(category);
      if (!state) continue;
      const part = share(count(tokens), size);
      if (part < state.low) Object.assign(state, { low: part, lowBucket: bucket });
      if (part > state.high) Object.assign(state, { high: part, highBucket: bucket });
      if (state.absent < 0 && state.seen < i) state.absent = state.seen;
      state.seen++;
    }
  });
  return [...whole].map(([category, tokens]) => {
    const own = share(tokens, total);
    const state = states.get(category);
    if (!state || state.seen === 0) return { category, tokens, share: own, low: 0, high: 0, worst: 0, worstBucket: 0 };
    if (state.seen < buckets.length) Object.assign(state, { low: 0, lowBucket: buckets[state.absent < 0 ? state.seen : state.absent].bucket });
    const below = own - state.low;
    const above = state.high - own;
    const worst = below > above ? { worst: -below, worstBucket: state.lowBucket } : { worst: above, worstBucket: state.highBucket };
    return { category, tokens, share: own, low: state.low, high: state.high, ...worst };
  });
}

/** Reasons, most documents first, with the categories they took from. */
export interface ReasonRow {
  readonly reason: string;
  readonly documents: number;
  readonly categories: readonly { readonly category: string; readonly documents: number }[];
}

export function reasonRows(report: BuildReport): ReasonRow[] {
  const from = new Map<string, { category: string; documents: number }[]>();
  for (const [category, drops] of Object.entries(report.dropsByCategory)) {
    for (const [reason, documents] of Object.entries(drops)) {
      const held = from.get(reason) ?? [];
      held.push({ category, documents: count(documents) });
      from.set(reason, held);
    }
  }
  return Object.entries(report.drops)
    .map(([reason, documents]) => ({
      reason,
      documents: count(documents),
      categories: (from.get(reason) ?? []).sort((a, b) => b.documents - a.documents || (a.category < b.category ? -1 : 1)),
    }))
    .filter(({ documents }) => documents > 0)
    .sort((a, b) => b.documents - a.documents || (a.reason < b.reason ? -1 : 1));
}

/** The reason that took most from a category before sampling. */
export function mainReason(report: BuildReport, category: string): { reason: string; documents: number } | null {
  const drops = Object.hasOwn(report.dropsByCategory, category) ? report.dropsByCategory[category] : {};
  let best: { reason: string; documents: number } | null = null;
  for (const [reason, documents] of Object.entries(drops)) {
    if (!isChoice(reason) && count(documents) > (best?.documents ?? 0)) best = { reason, documents: count(documents) };
  }
  return best;
}

/** True for drops by quota and not by judgement. */
export const isChoice = (reason: string): boolean => reason.startsWith(`${SAMPLING}.`) || reason.startsWith('pack.');
/** True for what never became a document. */
export const isReading = (reason: string): boolean => reason.startsWith('read.');
