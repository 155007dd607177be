/** Histograms of scores: every value in the bin whose edges hold it, whatever the values are like. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { scoreHistogram } from './gather.ts';

const of = (values: readonly number[]) => {
  const counts = new Map<string, number>();
  for (const v of values) counts.set(String(v), (counts.get(String(v)) ?? 0) + 1);
  return scoreHistogram(counts);
};

describe('histogram of a score', () => {
  const random = new Random(8);
  it.each([
    ['shares', Array.from({ length: 300 }, () => random.uniform())],
    ['of either sign', Array.from({ length: 300 }, () => 50 * random.normal())],
    ['with a long tail', Array.from({ length: 300 }, () => Math.exp(4 + 3 * random.normal()))],
    ['from zero', [0, 0, 1e-3, 5, 1e6]],
    ['one value', [7]],
    ['no value', []],
  ])('%s', (_, given) => {
    const values = given.map((v) => Number(v.toPrecision(3)));
    const { edges, counts } = of(values);
    expect(edges).toHaveLength(counts.length + 1);
    for (let i = 1; i < edges.length; i++) expect(edges[i]).toBeGreaterThanOrEqual(edges[i - 1]);
    expect(counts.reduce((a, b) => a + b, 0)).toBe(values.length);
    // Edges are rounded to six digits, so a value at an edge may lie on either side; what is beyond the ends lies in them.
    const near = (a: number, b: number): boolean => a <= b + 1e-5 * Math.abs(b) + 1e-12;
    let below = 0;
    for (let i = 0; i < counts.length; i++) {
      below += counts[i];
      const surely = values.filter((v) => v < edges[i + 1] && !near(edges[i + 1], v)).length;
      const perhaps = values.filter((v) => near(v, edges[i + 1])).length;
      if (i + 1 === counts.length) break;
      expect(below).toBeGreaterThanOrEqual(surely);
      expect(below).toBeLessThanOrEqual(perhaps);
    }
  });

  it('a long tail does not push all the rest into one bin', () => {
    const { counts } = of(Array.from({ length: 300 }, () => Number(Math.exp(4 + 3 * random.normal()).toPrecision(3))));
    expect(Math.max(...counts)).toBeLessThan(60);
  });
});
