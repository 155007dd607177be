/**
 * Histograms by powers of two: bin k counts what has from 2^k to 2^(k+1) - 1, bin 0 also what is below 1. A list is as long as its largest
 * value asks for.
 */

/** Counts a value into `bins`, which grows. */
export function countPower(bins: number[], value: number): void {
  const bin = value < 2 ? 0 : Math.floor(Math.log2(value));
  while (bins.length <= bin) bins.push(0);
  bins[bin]++;
}

/** Adds the counts of `more` to `bins`, which grows. */
export function addPowers(bins: number[], more: readonly number[]): void {
  while (bins.length < more.length) bins.push(0);
  for (const [bin, n] of more.entries()) bins[bin] += n;
}
