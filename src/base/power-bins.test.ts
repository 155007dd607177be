/**
 * Bins against their own definition, at every border.
 */
import { expect, it } from 'vitest';
import { addPowers, countPower } from './power-bins.ts';

it('a value lies in the bin of its power of two', () => {
  for (let k = 0; k < 31; k++) {
    for (const value of k === 0 ? [0, 1] : [2 ** k, 2 ** (k + 1) - 1]) {
      const bins: number[] = [];
      countPower(bins, value);
      expect(bins, String(value)).toEqual([...new Array<number>(k).fill(0), 1]);
    }
  }
});

it('lists of any length add up', () => {
  const bins = [1, 2];
  addPowers(bins, [10, 0, 0, 5]);
  addPowers(bins, [1]);
  expect(bins).toEqual([12, 2, 0, 5]);
});
