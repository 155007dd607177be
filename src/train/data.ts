/**
 * From texts to what a run trains on: tokens, packs, the validation side with the bytes its labels stand
 * for (bits per byte compare across tokenizers; the end mark is predicted and counted, as the n-gram baseline does).
 */
import { ScionError } from '../base/errors.ts';
import { type Pack, type PackStatistics, packDocuments } from '../data/pack.ts';
import type { Tokenizer } from '../text/tokenizer.ts';

/** Packed data of a run. */
export interface RunData {
  readonly train: readonly Pack[];
  readonly statistics: PackStatistics;
  readonly validation: { readonly packs: readonly Pack[]; readonly bytes: number };
  readonly trainBytes: number;
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

/**
 * Encodes and packs both sides of the split.
 * @throws ScionError `input` if a side has no text, or the tokenizer has no begin and end marks.
 */
export function prepareRunData(tokenizer: Tokenizer, train: readonly string[], validation: readonly string[], options: RunDataOptions): RunData {
  const { bosId, eosId } = tokenizer;
  if (bosId === null || eosId === null)
    throw new ScionError('input', 'this tokenizer names no begin and end of text; training needs both (tokenizer_config.json: bos_token, eos_token)');
  if (train.length === 0) throw new ScionError('input', 'there is no training text: the files are empty, or all of it fell to validation; give more data');
  if (validation.length === 0) throw new ScionError('input', 'there is no validation text; give more data, or a larger validation share');
  const pack = { T: options.tokens, bos: bosId, eos: eosId, pad: tokenizer.padId ?? 0, window: options.window ?? 0 };
  const total = train.length + validation.length;
  let done = 0;
  const encode = (text: string): number[] => {
    done++;
    if (done % 256 === 0) options.onProgress?.(done, total);
    return tokenizer.encode(text);
  };
  function* all(texts: readonly string[]): Iterable<number[]> {
    for (const text of texts) yield encode(text);
  }
  const bytesOf = (texts: readonly string[]) => texts.reduce((sum, t) => sum + encoder.encode(t).length, 0);
  const trained = packDocuments(all(train), pack);
  const held = packDocuments(all(validation), pack);
  return {
    train: trained.packs,
    statistics: trained.statistics,
    validation: { packs: held.packs, bytes: bytesOf(validation) },
    trainBytes: bytesOf(train),
  };
}
