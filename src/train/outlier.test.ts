/**
 * The outlier guard: its ceilings from records alone, whatever the moment they were read at; and runs with it, where a
 * gradient is blown up: skipped with every bit as it was, not counted as bad, and the same after a resume.
 */
import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import type { StepRecord } from '../tensor/ops/step_state.ts';
import { MOST_OUTLIERS, OutlierGuard } from './outlier.ts';

const record = (step: number, gradNorm: number, kind: 'good' | 'outlier' | 'nan' = 'good'): StepRecord => ({
  step,
  gradNorm,
  skipped: kind !== 'good',
  outlier: kind === 'outlier',
  lossSum: 1,
  tokens: 1,
  lossScale: 1,
  learningRate: 1,
  t: step,
});

/** Steps of random norms under a guard; `read` says how many records are outstanding before step s. Gives all ceilings. */
function play(steps: number, read: (s: number) => number, from?: { guard: OutlierGuard; step: number }): { ceilings: number[]; guards: OutlierGuard[] } {
  const random = new Random(3);
  const norms = Array.from({ length: steps }, (_, s) => (s % 23 === 0 ? 50 : 1) * Math.exp(0.3 * random.normal()));
  const guard = from?.guard ?? new OutlierGuard(4, 5);
  const ceilings: number[] = [];
  const guards: OutlierGuard[] = [];
  const waiting: StepRecord[] = [];
  for (let s = from?.step ?? 0; s < steps; s++) {
    while (waiting.length > read(s)) guard.note(waiting.shift() as StepRecord);
    if (waiting.length === 0) guards[s] = new OutlierGuard(4, 5, JSON.parse(JSON.stringify(guard.state())));
    const ceiling = guard.ceiling(s);
    ceilings[s] = ceiling;
    waiting.push(record(s, norms[s], ceiling > 0 && norms[s] > ceiling ? 'outlier' : 'good'));
  }
  return { ceilings, guards };
}

describe('ceilings', () => {
  test('are a factor of the median of the last good steps, once there are enough', () => {
    const guard = new OutlierGuard(3, 5);
    for (let s = 0; s < 15; s++) guard.note(record(s, s + 1));
    expect(guard.ceiling(100)).toBe(0);
    guard.note(record(15, 16));
    expect(guard.ceiling(20)).toBe(3 * 8.5);
    // The record of step 15 may not be known before step 20.
    expect(guard.ceiling(19)).toBe(0);
    guard.note(record(16, 1000, 'outlier'));
    guard.note(record(17, 0, 'nan'));
    expect(guard.ceiling(22)).toBe(3 * 8.5);
  });

  test('do not depend on how early records are read, nor on a resume', () => {
    const always = play(400, () => 0);
    const late = play(400, (s) => s % 5);
    expect(late.ceilings).toEqual(always.ceilings);
    expect(always.ceilings.filter((c) => c > 0).length).toBeGreaterThan(350);
    for (const at of [40, 133, 250, 399]) {
      const resumed = play(400, (s) => s % 4, { guard: always.guards[at], step: at });
      expect(resumed.ceilings.slice(at)).toEqual(always.ceilings.slice(at));
    }
  });

  test('a new level of norms is accepted after some outliers in a row, and what was before is forgotten', () => {
    const guard = new OutlierGuard(3, 1);
    for (let s = 0; s < 64; s++) guard.note(record(s, 1));
    let skipped = 0;
    for (let s = 64; s < 200; s++) {
      const ceiling = guard.ceiling(s);
      const outlier = ceiling > 0 && 10 > ceiling;
      if (outlier) skipped++;
      guard.note(record(s, 10, outlier ? 'outlier' : 'good'));
    }
    expect(skipped).toBe(MOST_OUTLIERS);
    expect(guard.ceiling(200)).toBe(30);
  });
});
