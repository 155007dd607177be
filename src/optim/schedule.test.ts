/**
 * Schedules with a rest: the last steps stay at the minimum, what comes before is the same curve on fewer steps.
 */
import { expect, test } from 'vitest';
import { checkSchedule, learningRate, type Schedule } from './schedule.ts';

test.each(['cosine', 'linear', 'wsd'] as const)('%s comes to rest at the minimum', (kind) => {
  const schedule: Schedule = { kind, peak: 0.5, warmup: 10, steps: 100, minimum: 0.1, settle: 0.2 };
  const short: Schedule = { kind, peak: 0.5, warmup: 10, steps: 80, minimum: 0.1 };
  for (let s = 0; s <= 80; s++) expect(learningRate(schedule, s)).toBeCloseTo(learningRate(short, s), 12);
  for (let s = 80; s < 100; s++) expect(learningRate(schedule, s)).toBeCloseTo(0.05, 12);
  expect(learningRate(schedule, 60)).toBeGreaterThan(0.05);
});

test('a rest is a share of the steps', () => {
  const schedule: Schedule = { kind: 'cosine', peak: 1, warmup: 0, steps: 10 };
  expect(checkSchedule({ ...schedule, settle: 0 })).toEqual({ ...schedule, settle: 0 });
  for (const settle of [1, -0.1, Number.NaN]) expect(() => checkSchedule({ ...schedule, settle })).toThrow(/settle is a share/);
});
