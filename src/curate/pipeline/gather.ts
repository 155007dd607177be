/**
 * From counts to `report.json`: the funnel in the order of the steps, reasons, histograms, duplicates with their texts, buckets.
 * Everything here is small; texts are read again only for the few examples of duplicates.
 */
import { addPowers } from '../../base/power-bins.ts';
import type { Doc } from '../../data/doc.ts';
import { docText } from '../../data/doc.ts';
import { readDocShard } from '../../data/doc-shard.ts';
import type { HostFiles } from '../../host/types.ts';
import type { DedupResult } from '../dedup/index.ts';
import type { BucketRow, BuildReport, DuplicateExample, FunnelRow, ScoreHistogram } from '../report/types.ts';
import { type Counts, startOf } from './counts.ts';
import { HELD_OUT, VALIDATION } from './holdout.ts';
import type { BucketOutput } from './pack-tasks.ts';

/** Names of decontamination tallies that list rows; they go to a file of their own. */
const ROW_TALLY = /^decontaminate\.row /;
const SCORE_BINS = 40;
/** From this ratio of greatest to least on, bins are equal in ratio, not in difference: perplexities have a long tail. */
const LOG_RATIO = 100;

const sortedEntries = <T>(map: Iterable<readonly [string, T]>): [string, T][] =>
  [...map].map(([k, v]): [string, T] => [k, v]).sort(([a], [b]) => (a < b ? -1 : 1));

/** Tokens of a category before and after sampling. */
export interface TokenRow {
  documents: number;
  bytes: number;
  characters: number;
  tokens: number;
}

/** One stage's packs. */
export interface StagePacks {
  readonly name: string;
  readonly categories: readonly string[];
  readonly T: number;
  readonly tokens: number;
  readonly packs: number;
  readonly buckets: readonly BucketOutput[];
}

export interface GatherInput {
  readonly counts: Counts;
  /** In the order of the list, `read` first; without those of tokens. */
  readonly steps: readonly string[];
  readonly tokenized: ReadonlyMap<string, TokenRow> | null;
  readonly sampled: ReadonlyMap<string, TokenRow> | null;
  readonly lengthKept: ReadonlyMap<string, readonly number[]>;
  readonly duplicates: BuildReport['duplicates'];
  readonly stages: readonly StagePacks[];
  readonly T: number;
  readonly tokensAfterSampling: number;
  readonly tokenizer: string | null;
  readonly thresholds: Readonly<Record<string, { readonly below?: number; readonly above?: number }>>;
  readonly scorers: NonNullable<BuildReport['scorers']>;
  readonly seconds: ReadonlyMap<string, number>;
  readonly peakRssBytes: number | null;
  readonly config: unknown;
}

/** A histogram of coarse values; the outermost half percent lies in the end bins. Bins are equal in width, or in ratio where values differ much. */
export function scoreHistogram(values: ReadonlyMap<string, number>, limits: { readonly below?: number; readonly above?: number } = {}): ScoreHistogram {
  const sorted = [...values].map(([value, n]): [number, number] => [Number(value), n]).sort((a, b) => a[0] - b[0]);
  const total = sorted.reduce((sum, [, n]) => sum + n, 0);
  const quantile = (q: number): number => {
    let seen = 0;
    for (const [value, n] of sorted) {
      seen += n;
      if (seen >= q * total) return value;
    }
    return sorted[sorted.length - 1]?.[0] ?? 0;
  };
  const unit = sorted.length > 0 && sorted[0][0] >= 0 && sorted[sorted.length - 1][0] <= 1;
  const low = unit ? 0 : quantile(0.005);
  const high = unit ? 1 : Math.max(quantile(0.995), low + 1e-9);
  const ratio = !unit && low > 0 && high >= LOG_RATIO * low ? high / low : 0;
  const edge = (i: number): number => (ratio > 0 ? low * ratio ** (i / SCORE_BINS) : low + ((high - low) * i) / SCORE_BINS);
  const place = (value: number): number => (ratio > 0 ? Math.log(Math.max(value, low) / low) / Math.log(ratio) : (value - low) / (high - low));
  const edges = Array.from({ length: SCORE_BINS + 1 }, (_, i) => Number(edge(i).toPrecision(6)));
  const counts = new Array<number>(SCORE_BINS).fill(0);
  for (const [value, n] of sorted) counts[Math.min(SCORE_BINS - 1, Math.max(0, Math.floor(place(value) * SCORE_BINS)))] += n;
  const { below, above } = limits;
  return { edges, counts, ...(below === undefined ? {} : { atLeast: below }), ...(above === undefined ? {} : { atMost: above }) };
}

/** Texts of documents by shard and index, in one pass over each shard that has one. */
async function textsAt(
  files: HostFiles,
  paths: readonly string[],
  places: readonly { readonly shard: number; readonly index: number }[],
): Promise<Map<string, Doc>> {
  const found = new Map<string, Doc>();
  for (const shard of new Set(places.map((place) => place.shard))) {
    const wanted = new Set(places.filter((place) => place.shard === shard).map((place) => place.index));
    let index = 0;
    for await (const doc of readDocShard(files, paths[shard])) {
      if (wanted.delete(index)) found.set(`${shard}:${index}`, doc);
      if (wanted.size === 0) break;
      index++;
    }
  }
  return found;
}

/** What the report says of duplicates. `paths`: the shards that deduplication looked at. */
export async function gatherDuplicates(files: HostFiles, paths: readonly string[], result: DedupResult | null): Promise<BuildReport['duplicates']> {
  if (result === null) return { exact: 0, near: 0, clusters: 0, pairsVerified: 0, examples: [] };
  const { stats, examples } = result;
  const docs = await textsAt(
    files,
    paths,
    examples.flatMap(({ kept, dropped }) => [kept, dropped]),
  );
  const shown = (place: { readonly shard: number; readonly index: number; readonly id: string }) => {
    const doc = docs.get(`${place.shard}:${place.index}`);
    return { id: place.id, category: doc?.category ?? '', text: doc ? startOf(docText(doc)) : '' };
  };
  return {
    exact: stats.exact,
    near: stats.near + stats.contained,
    clusters: stats.clusters,
    pairsVerified: stats.pairsVerified,
    examples: examples.map(({ kept, dropped, similarity, reason }): DuplicateExample => ({ a: shown(kept), b: shown(dropped), similarity, reason })),
  };
}

function funnelOf({ counts, steps, tokenized, sampled }: GatherInput): FunnelRow[] {
  const categories = [...(counts.funnel.get('read')?.keys() ?? [])].sort();
  const rows: FunnelRow[] = [];
  for (const step of steps) {
    const held = counts.funnel.get(step);
    for (const category of categories) {
      const amount = held?.get(category);
      rows.push({ step, category, documents: amount?.documents ?? 0, bytes: amount?.bytes ?? 0, tokens: null });
    }
  }
  for (const [step, table] of [['tokenize', tokenized] as const, ['sample', sampled] as const]) {
    if (table === null) continue;
    for (const category of categories) {
      const amount = table.get(category);
      rows.push({
        step,
        category,
        documents: amount?.documents ?? 0,
        bytes: amount?.bytes ?? 0,
        tokens: step === 'sample' && tokenized === null ? null : (amount?.tokens ?? 0),
      });
    }
  }
  return rows;
}

/** All buckets of all stages, numbered on. */
function bucketRows(stages: readonly StagePacks[]): BucketRow[] {
  const rows: BucketRow[] = [];
  for (const { buckets, categories, T } of stages) {
    for (const { facts } of buckets) {
      const { tokens, packs, mix } = facts;
      rows.push({
        bucket: rows.length,
        tokens,
        packs,
        fill: packs > 0 ? tokens / (packs * T) : 0,
        mix: Object.fromEntries(mix.map((n, c): [string, number] => [categories[c], n]).filter(([, n]) => n > 0)),
      });
    }
  }
  return rows;
}

function addBins(lists: Iterable<readonly number[]>): number[] {
  const sum: number[] = [];
  for (const bins of lists) addPowers(sum, bins);
  return sum;
}

/** The report. */
export function gatherReport(input: GatherInput): BuildReport {
  const { counts, stages, tokenized, steps } = input;
  const drops = new Map<string, number>();
  for (const reasons of counts.drops.values()) for (const [reason, n] of reasons) drops.set(reason, (drops.get(reason) ?? 0) + n);
  const tokensPacked = stages.reduce((sum, { tokens }) => sum + tokens, 0);
  const packs = stages.reduce((sum, stage) => sum + stage.packs, 0);
  return {
    version: 1,
    funnel: funnelOf(input),
    drops: Object.fromEntries(sortedEntries(drops)),
    dropsByCategory: Object.fromEntries(sortedEntries(counts.drops).map(([category, reasons]) => [category, Object.fromEntries(sortedEntries(reasons))])),
    examples: Object.fromEntries(sortedEntries(counts.examples())),
    ...(steps.includes(VALIDATION)
      ? {
          heldOut: Object.fromEntries(
            sortedEntries(counts.funnel.get(HELD_OUT) ?? []).map(([category, { documents, bytes }]) => [category, { documents, bytes }]),
          ),
        }
      : {}),
    tallies: Object.fromEntries(sortedEntries([...counts.tallies].filter(([name]) => !ROW_TALLY.test(name)))),
    histograms: {
      length: Object.fromEntries(sortedEntries(counts.lengths)),
      lengthKept: Object.fromEntries(sortedEntries(input.lengthKept)),
      scores: Object.fromEntries(sortedEntries(counts.scores).map(([name, values]) => [name, scoreHistogram(values, input.thresholds[name])])),
    },
    duplicates: input.duplicates,
    buckets: bucketRows(stages),
    packing: {
      tokensAfterSampling: input.tokensAfterSampling,
      tokensPacked,
      packs,
      fill: packs > 0 ? tokensPacked / (packs * input.T) : 0,
      T: input.T,
      lengthHistogram: addBins(stages.flatMap(({ buckets }) => buckets.map(({ lengths }) => lengths))),
    },
    compression: {
      tokenizer: input.tokenizer ?? '',
      charactersPerToken: Object.fromEntries(
        sortedEntries(tokenized ?? [])
          .filter(([, { tokens }]) => tokens > 0)
          .map(([category, { characters, tokens }]) => [category, Number((characters / tokens).toPrecision(6))]),
      ),
    },
    seconds: Object.fromEntries([...input.seconds].map(([step, seconds]) => [step, Number(seconds.toFixed(3))])),
    peakRssBytes: input.peakRssBytes,
    ...(Object.keys(input.scorers).length > 0 ? { scorers: input.scorers } : {}),
    config: input.config,
  };
}
