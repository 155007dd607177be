/**
 * Tensor parallel: which part of each parameter a rank has (Megatron-LM, Shoeybi et al. 2019). q, k, v, gate and up are split by
 * rows (heads, hidden units), o and down by columns, embedding and head by rows of the vocabulary, as even as they come; the rest lies whole on each rank.
 */
import { ScionError } from '../base/errors.ts';
import type { LlamaConfig } from '../nn/config.ts';

/** A run of elements of a parameter that lie together on a rank: where in the whole, where on the rank. */
export interface PartRun {
  readonly from: number;
  readonly at: number;
  readonly count: number;
}

/** First row of each rank's part of the vocabulary, and the end. */
export function vocabBounds(vocabSize: number, ranks: number): number[] {
  return Array.from({ length: ranks + 1 }, (_, r) => Math.floor((vocabSize * r) / ranks));
}

/** @throws ScionError `usage` where heads or hidden units do not split. */
export function checkSplit(c: LlamaConfig, ranks: number): void {
  for (const [what, n] of [
    ['heads', c.numHeads],
    ['key/value heads', c.numKvHeads],
    ['hidden units of the feed-forward part', c.intermediateSize],
  ] as const) {
    if (n % ranks !== 0) throw new ScionError('usage', `tp=${ranks}: ${n} ${what} do not split over ${ranks} ranks; choose a divisor`, { ranks, n });
  }
  if (c.vocabSize < ranks) throw new ScionError('usage', `tp=${ranks}: a vocabulary of ${c.vocabSize} has no row for each rank`, { ranks });
}

/** The model as one rank has it: its heads, its hidden units, its rows of the vocabulary. */
export function configOfRank(c: LlamaConfig, ranks: number, rank: number): LlamaConfig {
  if (ranks === 1) return c;
  checkSplit(c, ranks);
  const bounds = vocabBounds(c.vocabSize, ranks);
  return {
    ...c,
    numHeads: c.numHeads / ranks,
    numKvHeads: c.numKvHeads / ranks,
    intermediateSize: c.intermediateSize / ranks,
    vocabSize: bounds[rank + 1] - bounds[rank],
  };
}

/** The part of a layer's parameter after its dots: `layers.3.qkv` is `qkv`. */
export const kindOf = (parameter: string): string => parameter.slice(parameter.lastIndexOf('.') + 1);

/** True for parameters of which each rank has a part. */
export const isSplit = (parameter: string): boolean => ['embed', 'head', 'qkv', 'qkv_bias', 'o', 'gate_up', 'down'].includes(kindOf(parameter));

/** Rows of `width` elements, `blocks` of them: of each, part `rank` of `ranks` equal ones. */
function equalParts(blocks: readonly number[], width: number, ranks: number, rank: number): PartRun[] {
  let [first, at] = [0, 0];
  return blocks.map((rows) => {
    const own = rows / ranks;
    const run = { from: (first + rank * own) * width, at: at * width, count: own * width };
    first += rows;
    at += own;
    return run;
  });
}

/** What of a parameter lies on a rank. `elements` is the whole parameter's size. */
export function partOf(c: LlamaConfig, parameter: string, elements: number, ranks: number, rank: number): PartRun[] {
  if (ranks === 1 || !isSplit(parameter)) return [{ from: 0, at: 0, count: elements }];
  const D = c.hiddenSize;
  const [q, kv, F] = [c.numHeads * c.headSize, c.numKvHeads * c.headSize, c.intermediateSize];
  const kind = kindOf(parameter);
  if (kind === 'qkv') return equalParts([q, kv, kv], D, ranks, rank);
  if (kind === 'qkv_bias') return equalParts([q, kv, kv], 1, ranks, rank);
  if (kind === 'gate_up') return equalParts([F, F], D, ranks, rank);
  if (kind === 'o' || kind === 'down') {
    const columns = kind === 'o' ? q : F;
    const own = columns / ranks;
    return Array.from({ length: D }, (_, row) => ({ from: row * columns + rank * own, at: row * own, count: own }));
  }
  const bounds = vocabBounds(c.vocabSize, ranks);
  return [{ from: bounds[rank] * D, at: 0, count: (bounds[rank + 1] - bounds[rank]) * D }];
}

/** A rank's part of a whole parameter's values. */
export function cutPart(values: Float32Array, runs: readonly PartRun[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(runs.reduce((n, r) => n + r.count, 0));
  for (const { from, at, count } of runs) out.set(values.subarray(from, from + count), at);
  return out;
}

/** Puts a rank's part into a whole parameter's values. */
export function pastePart(values: Float32Array, part: Float32Array, runs: readonly PartRun[]): void {
  for (const { from, at, count } of runs) values.set(part.subarray(at, at + count), from);
}
