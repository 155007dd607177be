/**
 * How sure a share is: the interval of a proportion from so many trials. Wilson's score interval (Wilson 1927) keeps inside 0 to 1 and holds at small
 * numbers and near the ends, where the usual plus-minus fails. It takes trials as independent; two wordings of one fact are not
 * quite that, so read it as the least that chance alone explains.
 */
import { ScionError } from '../base/errors.ts';

/** Ends of an interval, both included. */
export type Interval = readonly [low: number, high: number];

/** Standard normal quantile of 97.5 %. */
const Z95 = 1.959963984540054;

/** 95 % interval of a share `successes / trials`. Throws `input` unless 0 <= successes <= trials and trials >= 1. */
export function wilson(successes: number, trials: number, z: number = Z95): Interval {
  if (!(trials >= 1 && successes >= 0 && successes <= trials))
    throw new ScionError('input', `interval of ${successes} successes in ${trials} trials: both must be counts, and at least one trial`, { successes, trials });
  const p = successes / trials;
  const scale = 1 / (1 + (z * z) / trials);
  const center = scale * (p + (z * z) / (2 * trials));
  const half = scale * z * Math.sqrt((p * (1 - p)) / trials + (z * z) / (4 * trials * trials));
  return [Math.max(0, center - half), Math.min(1, center + half)];
}
