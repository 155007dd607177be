/**
 * From texts, or from a folder of packed data, to what a run trains on: batches with a position and with each token's type
 * of data, and the validation side by category with the bytes its labels stand for (bits per byte compare across tokenizers;
 * the end mark is predicted and counted, as the n-gram baseline does).
 */
import { ScionError } from '../base/errors.ts';
import { PackLoader } from '../data/loader.ts';
import { type Pack, type PackOptions, type PackStatistics, packDocuments } from '../data/pack.ts';
import { BucketLoader } from '../data/packed/bucket-loader.ts';
import type { PackedFolder } from '../data/packed/open.ts';
import { MOST_TYPES } from '../tensor/ops/loss_by_type.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { byCategory, bytesOf, categoryOf, chooseByHash, type HeldOut, type HeldOutLimits, type RunText, textOf } from './held-out.ts';
import type { BatchSource } from './trainer.ts';

export type { HeldOut, HeldOutLimits, HeldOutSet, RunText } from './held-out.ts';

/** Packed data of a run. */
export interface RunData {
  /** Training packs, and how full they are, from 0 to 1. */
  readonly packs: number;
  readonly fill: number;
  /** Bytes of training text, where known. */
  readonly trainBytes: number | null;
  /** Null: the run has no validation. */
  readonly validation: HeldOut | null;
  /** Types of data that batches tell apart, by number; fewer than two where they do not. */
  readonly types?: readonly string[];
  /** Buckets that the packs lie in, if any. */
  readonly buckets?: number;
  /** A fresh source of batches of B packs. */
  open(B: number, seed: number): BatchSource;
}

/** Data made from texts at hand. */
export interface TextRunData extends RunData {
  readonly train: readonly Pack[];
  readonly statistics: PackStatistics;
  readonly trainBytes: number;
  readonly validation: HeldOut;
}

/** How texts are packed. */
export interface RunDataOptions {
  /** Tokens a pack. */
  readonly tokens: number;
  /** The model's sliding window, or 0. */
  readonly window?: number;
  readonly onProgress?: (done: number, of: number) => void;
  /** How much held-out text of each category is kept; default all. */
  readonly limits?: HeldOutLimits;
}

/** What the smallest categories are called together where there are more than the device tells apart. */
const OTHERS = 'others';

/** Numbers for categories as types of data, the largest first if not all can have one of their own. */
export function numberTypes(categories: readonly { readonly category: string; readonly tokens: number }[]): { types: string[]; numbers: number[] } {
  if (categories.length <= MOST_TYPES) return { types: categories.map(({ category }) => category), numbers: categories.map((_, i) => i) };
  const bySize = categories.map((_, i) => i).sort((a, b) => categories[b].tokens - categories[a].tokens || a - b);
  const own = bySize.slice(0, MOST_TYPES - 1);
  const numbers = categories.map((_, i) => (own.includes(i) ? own.indexOf(i) : MOST_TYPES - 1));
  return { types: [...own.map((i) => categories[i].category), OTHERS], numbers };
}

function packOptions(tokenizer: Tokenizer, options: RunDataOptions): PackOptions {
  const { bosId, eosId } = tokenizer;
  if (bosId === null || eosId === null)
    throw new ScionError('input', 'this tokenizer names no begin and end of text; training needs both (tokenizer_config.json: bos_token, eos_token)');
  return { T: options.tokens, bos: bosId, eos: eosId, pad: tokenizer.padId ?? 0, window: options.window ?? 0 };
}

/**
 * Encodes and packs held-out texts, each category apart.
 * @throws ScionError `input` if there is none, or the tokenizer has no begin and end marks.
 */
export function prepareHeldOut(tokenizer: Tokenizer, texts: readonly RunText[], options: RunDataOptions): HeldOut {
  const pack = packOptions(tokenizer, options);
  if (texts.length === 0) throw new ScionError('input', 'there is no validation text; give more data, or a larger validation share');
  const sets = [...byCategory(texts)].map(([category, all]) => {
    const chosen = chooseByHash(all, options.limits ?? {});
    const encoded = chosen.map((text) => tokenizer.encode(text));
    return { category, packs: packDocuments(encoded, pack).packs, bytes: bytesOf(chosen) };
  });
  return { sets };
}

/**
 * Encodes and packs both sides of the split.
 * @throws ScionError `input` if a side has no text, or the tokenizer has no begin and end marks.
 */
export function prepareRunData(tokenizer: Tokenizer, train: readonly RunText[], validation: readonly RunText[], options: RunDataOptions): TextRunData {
  const pack = packOptions(tokenizer, options);
  if (train.length === 0) throw new ScionError('input', 'there is no training text: the files are empty, or all of it fell to validation; give more data');
  const held = prepareHeldOut(tokenizer, validation, options);
  const total = train.length + validation.length;
  function* all(): Iterable<number[]> {
    for (const [i, text] of train.entries()) {
      if (i % 256 === 255) options.onProgress?.(i + 1, total);
      yield tokenizer.encode(textOf(text));
    }
  }
  const sizes = [...byCategory(train)].map(([category, texts]) => ({ category, tokens: bytesOf(texts) }));
  const { types, numbers } = numberTypes(sizes);
  const numberOf = new Map(sizes.map(({ category }, i) => [category, numbers[i]]));
  const typeOf = types.length > 1 ? (i: number): number => numberOf.get(categoryOf(train[i])) ?? 0 : undefined;
  const { packs, statistics } = packDocuments(all(), pack, typeOf);
  return {
    train: packs,
    statistics,
    packs: packs.length,
    fill: statistics.fill,
    trainBytes: bytesOf(train),
    validation: held,
    types,
    open: (B, seed) => new PackLoader(packs, { B, seed }),
  };
}

/** Data that was packed before: read bucket by bucket as the run goes. */
export function packedRunData(folder: PackedFolder, options: { readonly window?: number; readonly validation?: HeldOut | null } = {}): RunData {
  const { window = 0, validation = null } = options;
  const { packs, fill, categories, buckets } = folder.manifest;
  const { types, numbers } = numberTypes(categories);
  return {
    packs,
    fill,
    trainBytes: null,
    validation,
    types,
    buckets: buckets.length,
    open: (B, seed) => new BucketLoader(folder, { B, seed, window, ...(types.length > 1 && { types: numbers }) }),
  };
}
