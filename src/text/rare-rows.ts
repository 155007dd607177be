/**
 * How often the rarest rows of a vocabulary will be met in training, from counts in a sample. A row the
 * sample never uses is not one that never comes: what the rows seen once or twice weigh tells what the unseen
 * ones weigh together (Good 1953). The sample must not be the text the pieces were learnt on.
 */

/** Expected meetings of the new rows. */
export interface RareRows {
  /** Rows judged. */
  readonly rows: number;
  /** Rows that the sample never uses. */
  readonly unseen: number;
  /** Expected meetings in the budget: of the row below which 1 % of rows lie, 10 %, and half. */
  readonly p1: number;
  readonly p10: number;
  readonly median: number;
  /** Rows expected less often than the threshold. */
  readonly below: number;
}

/** Counts up to here are corrected; above, the estimate is as good as the count. */
const CORRECTED = 5;

/** What a row counted r times should be taken for: (r + 1) N(r+1) / N(r), where that is neither 0 nor above r. */
export function correctedCounts(counts: ArrayLike<number>): number[] {
  const having = new Float64Array(CORRECTED + 2);
  for (let i = 0; i < counts.length; i++) if (counts[i] <= CORRECTED + 1) having[counts[i]]++;
  const corrected = Array.from({ length: CORRECTED + 1 }, (_, r) => {
    const estimate = having[r] > 0 ? ((r + 1) * having[r + 1]) / having[r] : r;
    // Unseen rows may weigh anything below a row seen once; no row seen weighs nothing.
    return r === 0 ? Math.min(estimate, 1) : estimate > 0 && estimate <= r ? estimate : r;
  });
  // A row met more often is never taken for a rarer one.
  for (let r = 1; r <= CORRECTED; r++) corrected[r] = Math.max(corrected[r], corrected[r - 1]);
  return corrected;
}

/**
 * Expected meetings of rows with these counts in a sample of `sampleTokens`, when training sees
 * `budgetTokens` of the same mix.
 */
export function rareRows(counts: ArrayLike<number>, sampleTokens: number, budgetTokens: number, threshold: number): RareRows {
  const corrected = correctedCounts(counts);
  const scale = sampleTokens > 0 ? budgetTokens / sampleTokens : 0;
  const expected = Float64Array.from({ length: counts.length }, (_, i) => (corrected[counts[i]] ?? counts[i]) * scale).sort();
  const quantile = (q: number): number => (expected.length === 0 ? Number.POSITIVE_INFINITY : expected[Math.floor(q * expected.length)]);
  let unseen = 0;
  for (let i = 0; i < counts.length; i++) if (counts[i] === 0) unseen++;
  return {
    rows: counts.length,
    unseen,
    p1: quantile(0.01),
    p10: quantile(0.1),
    median: quantile(0.5),
    below: expected.filter((value) => value < threshold).length,
  };
}
