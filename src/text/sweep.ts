/**
 * Which size should a vocabulary grow to? One list of pieces in rank order gives every smaller vocabulary as a
 * head of the list, so nothing is learnt again: for each size the texts are encoded once, which takes about a
 * second for ten megabytes. What a size costs the model is told by the caller; the choice is made here.
 */
import type { SentencePiece, SentencePieceModel } from '../formats/sentencepiece.ts';
import { addTallies, ratesOf, type TextTally, TokenizerTally } from './compare.ts';
import { bareTokenizer } from './expand/reachable.ts';
import { headModel } from './ranked-pieces.ts';
import { type RareRows, rareRows } from './rare-rows.ts';
import { measureText } from './utf8.ts';

/** A text to encode at every size. */
export interface SweepText {
  readonly category: string;
  readonly text: string;
}

/** What training with a vocabulary costs. */
export interface VocabularyCost {
  /** Parameters of the whole model, and of the embedding and the head. */
  readonly parameters: number;
  readonly embeddingParameters: number;
  /** Forward, backward and update, for each token of a step. */
  readonly flopsPerToken: number;
}

export interface SweepOptions {
  /** Tokens that training will see, for the expected meetings of rare rows. */
  readonly tokenBudget?: number;
  /** A row met less often counts as untrained. Default 1000. */
  readonly minOccurrences?: number;
}

/** One size of the sweep. */
export interface SweepPoint {
  readonly size: number;
  /** Rows above the base's. */
  readonly added: number;
  readonly total: TextTally;
  readonly categories: ReadonlyMap<string, TextTally>;
  /** Meetings of the new rows; null without a budget or new rows. */
  readonly rare: RareRows | null;
}

/** Shares of the added rows that are tried by default: dense where the curve bends. */
const SHARES = [0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
/** Rows that matrix kernels like a size to be a multiple of. */
const ALIGN = 64;

/** Sizes to try from the base's to the largest: even ones, rounded to multiples of 64 between the ends. */
export function sweepSizes(baseSize: number, largest: number): number[] {
  const sizes = SHARES.map((share) => {
    const size = baseSize + share * (largest - baseSize);
    return share === 0 || share === 1 ? size : Math.round(size / ALIGN) * ALIGN;
  });
  return [...new Set(sizes)].filter((size) => size >= baseSize && size <= largest).sort((a, b) => a - b);
}

/** The vocabulary of each size, one after the other; `ranked` is an order of `rankedPieces`. A caller shows progress between them. */
export function* sweepVocabulary(
  base: SentencePieceModel,
  ranked: readonly SentencePiece[],
  sizes: readonly number[],
  texts: readonly SweepText[],
  options: SweepOptions = {},
): Generator<SweepPoint> {
  const { tokenBudget, minOccurrences = 1000 } = options;
  const measured = texts.map(({ text }) => measureText(text));
  for (const size of sizes) {
    const tally = new TokenizerTally(bareTokenizer(headModel(base, ranked, size)));
    texts.forEach(({ category, text }, i) => {
      tally.add(category, text, measured[i]);
    });
    const total = addTallies(tally.categories().values());
    const added = size - base.pieces.length;
    const rare = tokenBudget === undefined || added === 0 ? null : rareRows(tally.uses.subarray(base.pieces.length), total.tokens, tokenBudget, minOccurrences);
    yield { size, added, total, categories: tally.categories(), rare };
  }
}

/** A size and why. */
export interface Advice {
  readonly size: number;
  readonly reason: string;
}

/** A size must not cost more than this share above the cheapest to be preferred for being smaller. */
const SAME_COST = 0.005;
/** Share of new rows that may stay below the threshold. */
const RARE_SHARE = 0.1;
/** Without a cost: least saving of tokens, in per cent, for one per cent more rows. */
const LEAST_GAIN = 0.05;

/** Compute for each character of text, against the base's; null without costs. */
export function computePerCharacter(points: readonly SweepPoint[], costs: readonly VocabularyCost[] | null): (number | null)[] {
  const raw = points.map(({ total }, i) => (costs === null ? null : (ratesOf(total).tokensPerCharacter ?? 0) * costs[i].flopsPerToken));
  return raw.map((value) => (value === null || !raw[0] ? null : value / raw[0]));
}

const thousands = (n: number): string => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');

/**
 * The size to take. With a budget, only sizes of which nine in ten new rows are met often enough; among those
 * the smallest whose compute a character is within half a per cent of the least, or, where no cost is known, the
 * last before a per cent more rows saves less than 0.05 % of the tokens. `points` in order of size.
 */
export function adviseSize(points: readonly SweepPoint[], costs: readonly VocabularyCost[] | null, options: SweepOptions = {}): Advice {
  const { minOccurrences = 1000, tokenBudget } = options;
  const trained = points.map(({ rare }) => rare === null || rare.below <= RARE_SHARE * rare.rows);
  const allowed = points.map((_, i) => i).filter((i) => trained[i]);
  const limit = allowed[allowed.length - 1];
  const rareWords = (i: number): string => {
    const { rare } = points[i];
    if (rare === null || tokenBudget === undefined) return '';
    return `${thousands(rare.rows - rare.below)} of its ${thousands(rare.rows)} new rows are met at least ${thousands(minOccurrences)} times in ${thousands(tokenBudget)} tokens`;
  };
  const saving = (i: number): string =>
    `${(100 * (1 - points[i].total.tokens / points[0].total.tokens)).toFixed(1)} % fewer tokens than at ${thousands(points[0].size)}`;
  const next = limit + 1 < points.length ? points[limit + 1] : null;
  const stopped = next?.rare ? `; at ${thousands(next.size)} already ${thousands(next.rare.below)} new rows are met less often` : '';

  const compute = computePerCharacter(points, costs);
  let best = allowed[0];
  let why: string;
  if (costs !== null) {
    const least = Math.min(...allowed.map((i) => compute[i] ?? Number.POSITIVE_INFINITY));
    best = allowed.find((i) => (compute[i] ?? Number.POSITIVE_INFINITY) <= least * (1 + SAME_COST)) ?? best;
    const percent = (100 * (compute[best] ?? 1)).toFixed(1);
    why = `training on the same text costs ${percent} % of the base's compute${best === limit ? '' : ', and no larger size saves another half per cent'}`;
  } else {
    for (const i of allowed.slice(1)) {
      const gain = Math.log(points[best].total.tokens / points[i].total.tokens) / Math.log(points[i].size / points[best].size);
      if (gain < LEAST_GAIN) break;
      best = i;
    }
    why = best === limit ? 'each larger size still saved tokens' : `beyond it, one per cent more rows saves less than ${LEAST_GAIN} % of the tokens`;
  }
  const parts = [saving(best), why, rareWords(best)].filter((part) => part !== '');
  return { size: points[best].size, reason: `${parts.join('; ')}${best === limit ? stopped : ''}.` };
}
