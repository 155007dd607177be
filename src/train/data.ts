/**
 * From texts, or from a folder of packed data, to what a run trains on: batches with a position, and the validation side
 * with the bytes its labels stand for (bits per byte compare across tokenizers; the end mark is predicted and counted, as
 * the n-gram baseline does).
 */
import { ScionError } from '../base/errors.ts';
import { PackLoader } from '../data/loader.ts';
import { type Pack, type PackOptions, type PackStatistics, packDocuments } from '../data/pack.ts';
import { BucketLoader } from '../data/packed/bucket-loader.ts';
import type { PackedFolder } from '../data/packed/open.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import type { BatchSource } from './trainer.ts';

/** The held-out side: packs, and the bytes of text that their labels stand for. */
export interface HeldOut {
  readonly packs: readonly Pack[];
  readonly bytes: number;
}

/** Packed data of a run. */
export interface RunData {
  /** Training packs, and how full they are, from 0 to 1. */
  readonly packs: number;
  readonly fill: number;
  /** Bytes of training text, where known. */
  readonly trainBytes: number | null;
  /** Null: the run has no validation. */
  readonly validation: HeldOut | null;
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
}

const encoder = new TextEncoder();
const bytesOf = (texts: readonly string[]): number => texts.reduce((sum, t) => sum + encoder.encode(t).length, 0);

function packOptions(tokenizer: Tokenizer, options: RunDataOptions): PackOptions {
  const { bosId, eosId } = tokenizer;
  if (bosId === null || eosId === null)
    throw new ScionError('input', 'this tokenizer names no begin and end of text; training needs both (tokenizer_config.json: bos_token, eos_token)');
  return { T: options.tokens, bos: bosId, eos: eosId, pad: tokenizer.padId ?? 0, window: options.window ?? 0 };
}

/**
 * Encodes and packs held-out texts.
 * @throws ScionError `input` if there is none, or the tokenizer has no begin and end marks.
 */
export function prepareHeldOut(tokenizer: Tokenizer, texts: readonly string[], options: RunDataOptions): HeldOut {
  const pack = packOptions(tokenizer, options);
  if (texts.length === 0) throw new ScionError('input', 'there is no validation text; give more data, or a larger validation share');
  function* all(): Iterable<number[]> {
    for (const text of texts) yield tokenizer.encode(text);
  }
  return { packs: packDocuments(all(), pack).packs, bytes: bytesOf(texts) };
}

/**
 * Encodes and packs both sides of the split.
 * @throws ScionError `input` if a side has no text, or the tokenizer has no begin and end marks.
 */
export function prepareRunData(tokenizer: Tokenizer, train: readonly string[], validation: readonly string[], options: RunDataOptions): TextRunData {
  const pack = packOptions(tokenizer, options);
  if (train.length === 0) throw new ScionError('input', 'there is no training text: the files are empty, or all of it fell to validation; give more data');
  const held = prepareHeldOut(tokenizer, validation, options);
  const total = train.length + validation.length;
  function* all(): Iterable<number[]> {
    for (const [i, text] of train.entries()) {
      if (i % 256 === 255) options.onProgress?.(i + 1, total);
      yield tokenizer.encode(text);
    }
  }
  const { packs, statistics } = packDocuments(all(), pack);
  return {
    train: packs,
    statistics,
    packs: packs.length,
    fill: statistics.fill,
    trainBytes: bytesOf(train),
    validation: held,
    open: (B, seed) => new PackLoader(packs, { B, seed }),
  };
}

/** Data that was packed before: read bucket by bucket as the run goes. */
export function packedRunData(folder: PackedFolder, options: { readonly window?: number; readonly validation?: HeldOut | null } = {}): RunData {
  const { window = 0, validation = null } = options;
  const { packs, fill } = folder.manifest;
  return { packs, fill, trainBytes: null, validation, open: (B, seed) => new BucketLoader(folder, { B, seed, window }) };
}
