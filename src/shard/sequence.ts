/**
 * Sequence parallel: which tokens of each pack a rank has, and what it is told of the others'. By heads (DeepSpeed-Ulysses, Jacobs et al. 2023) a rank
 * has a run of neighbours; on the ring stripes (tokens r, r + n, r + 2n, …; Brandon et al. 2023): under a causal mask every rank then has equally many
 * pairs of queries and keys, and what a query sees of any rank's keys is one run, whatever documents a pack holds.
 */
import { invariant, ScionError } from '../base/errors.ts';
import type { Batch } from '../data/loader.ts';
import type { LlamaConfig } from '../nn/config.ts';

/** How attention sees other ranks' tokens: all-to-all by heads, or keys and values passed round. */
export type SequenceKind = 'heads' | 'ring';

/** Data leaf of the ranges of whole packs, which attention by heads reads. */
export const WHOLE_RANGES = 'ranges.whole';
/** Data leaf of the ranges of a block of the ring; block 0 is a rank's own. */
export const blockRanges = (block: number): string => (block === 0 ? 'ranges' : `ranges.${block}`);

/**
 * The way that so many ranks split packs of T tokens: the one asked for, else by heads where they divide.
 * @param model as a rank has it, after tensor parallelism. @throws ScionError `usage` where heads or tokens do not divide.
 */
export function sequenceKind(model: LlamaConfig, T: number, ranks: number, asked?: SequenceKind): SequenceKind {
  if (T % ranks !== 0) throw new ScionError('usage', `sp=${ranks}: packs of ${T} tokens do not split over ${ranks} ranks; choose a multiple`, { ranks, T });
  const divides = model.numHeads % ranks === 0 && model.numKvHeads % ranks === 0;
  if (asked === 'heads' && !divides) {
    throw new ScionError(
      'usage',
      `sp=${ranks}: ${model.numHeads} heads and ${model.numKvHeads} key/value heads do not split over ${ranks} ranks; choose a divisor of both, or --sequence ring`,
      { ranks, heads: model.numHeads, kvHeads: model.numKvHeads },
    );
  }
  return asked ?? (divides ? 'heads' : 'ring');
}

/** One rank's part of every pack. */
export interface SequencePart {
  readonly kind: SequenceKind;
  /** T of whole packs. */
  readonly tokens: number;
  readonly ranks: number;
  readonly rank: number;
}

/** Where a rank's token i stands in its pack. */
export function tokenAt({ kind, tokens, ranks, rank }: SequencePart, i: number): number {
  return kind === 'heads' ? (rank * tokens) / ranks + i : i * ranks + rank;
}

/** This rank's elements of an array over the tokens of packs, in its order. */
export function ownTokens<A extends Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>>(part: SequencePart, all: A): A {
  const own = part.tokens / part.ranks;
  const out = all.slice(0, all.length / part.ranks) as A;
  for (let k = 0; k < out.length; k++) out[k] = all[Math.floor(k / own) * part.tokens + tokenAt(part, k % own)];
  return out;
}

/** Puts what every rank has of its tokens back in the packs' order. */
export function joinTokens(part: SequencePart, parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const own = part.tokens / part.ranks;
  const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  for (const [rank, values] of parts.entries()) {
    for (const [k, x] of values.entries()) out[Math.floor(k / own) * part.tokens + tokenAt({ ...part, rank }, k % own)] = x;
  }
  return out;
}

/**
 * The ranges that a rank's attention is fed, by leaf: those of whole packs, or one table a block of the ring, in stripes' places.
 * @param ranges u32 [B, T, 4] as `attention` takes them.
 */
export function rangeFeeds(part: SequencePart, ranges: Uint32Array<ArrayBuffer>): Record<string, Uint32Array<ArrayBuffer>> {
  const { kind, tokens, ranks, rank } = part;
  if (kind === 'heads') return { [WHOLE_RANGES]: ranges };
  const own = tokens / ranks;
  const rows = ranges.length / 4 / ranks;
  const out: Record<string, Uint32Array<ArrayBuffer>> = {};
  for (let block = 0; block < ranks; block++) {
    const other = (rank + ranks - block) % ranks;
    const table = new Uint32Array(rows * 4);
    // Tokens from <= t < to of the pack as places in the stripe of a rank.
    const put = (at: number, from: number, to: number, stripe: number): void => {
      const place = (t: number): number => Math.max(0, Math.ceil((t - stripe) / ranks));
      if (place(from) < place(to)) table.set([place(from), place(to)], at);
    };
    for (let k = 0; k < rows; k++) {
      const pack = Math.floor(k / own) * tokens;
      const query = (pack + (k % own) * ranks + rank) * 4;
      const key = (pack + (k % own) * ranks + other) * 4;
      const self = query / 4 - pack;
      invariant(ranges[query] >= ranges[query + 1] || (ranges[query] <= self && self < ranges[query + 1]), 'a query that sees keys sees its own');
      put(4 * k, ranges[query], ranges[query + 1], other);
      put(4 * k + 2, ranges[key + 2], ranges[key + 3], rank);
    }
    out[blockRanges(block)] = table;
  }
  return out;
}

/** The batch as a rank has it: its tokens alone; `tokens`, `used` and `ranges` stay those of the whole. */
export function batchOfRank(part: SequencePart, batch: Batch): Batch {
  return {
    ...batch,
    ids: ownTokens(part, batch.ids),
    labels: ownTokens(part, batch.labels),
    positions: ownTokens(part, batch.positions),
    ...(batch.types && { types: ownTokens(part, batch.types) }),
  };
}
