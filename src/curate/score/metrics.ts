/**
 * Measures of a classifier. Area under the ROC curve: the probability that a positive is scored above a negative,
 * ties counted half; computed from ranks, exactly.
 */

/** AUC of scores by whether each belongs to a positive. NaN where one side is empty. */
export function auc(scores: ArrayLike<number>, positive: ArrayLike<boolean | number>): number {
  const n = scores.length;
  const order = Uint32Array.from({ length: n }, (_, i) => i).sort((a, b) => scores[a] - scores[b]);
  let rankSum = 0;
  let positives = 0;
  for (let i = 0; i < n; ) {
    let end = i + 1;
    while (end < n && scores[order[end]] === scores[order[i]]) end++;
    // Ranks i + 1 … end share their mean.
    const rank = (i + 1 + end) / 2;
    for (let k = i; k < end; k++) {
      if (!positive[order[k]]) continue;
      rankSum += rank;
      positives++;
    }
    i = end;
  }
  const negatives = n - positives;
  return positives === 0 || negatives === 0 ? Number.NaN : (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}
