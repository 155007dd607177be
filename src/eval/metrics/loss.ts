/**
 * Scores by loss: perplexity and its relatives, over tokens or over UTF-8 bytes. Per byte they compare models with different vocabularies; per token they do not. A value of many samples is made of sums (all nats over all
 * tokens or bytes), as if they were one text, so that a short sample does not weigh as much as a long one; means of per-sample values are what the twins give.
 */
import type { Metric, SampleOutput } from '../types.ts';
import { unscored } from './letters.ts';

/** Nats, and what they are divided by. */
export interface Sums {
  readonly nats: number;
  readonly over: number;
}

export type Unit = 'tokens' | 'bytes';

/** What a sample adds to the sums, or why nothing. */
export function sumsOf(output: SampleOutput, unit: Unit): Sums | string {
  if (!output.loss) return 'no loss';
  if (!Number.isFinite(output.loss.nll)) return 'the loss is not a number';
  const over = output.loss[unit];
  return over > 0 ? { nats: output.loss.nll, over } : `a text of no ${unit}`;
}

/** Values of nats a token or byte. */
export const OF_RATE = {
  /** e to the loss. */
  perplexity: (rate: number) => Math.exp(rate),
  /** e to minus the loss: the mean probability, geometrically. */
  probability: (rate: number) => Math.exp(-rate),
  nats: (rate: number) => rate,
  bits: (rate: number) => rate / Math.LN2,
} as const;

export type OfRate = keyof typeof OF_RATE;

/** A metric by loss: its value for one sample. */
export const lossMetric =
  (unit: Unit, value: OfRate): Metric =>
  (_, output) => {
    const sums = sumsOf(output, unit);
    return typeof sums === 'string' ? unscored(sums) : { score: OF_RATE[value](sums.nats / sums.over), chosen: null };
  };
