/**
 * The sample's graft as data: shares that add up, and an arm without replay that differs by the replay alone.
 */
import { expect, test } from 'vitest';
import { learningRate } from '../optim/schedule.ts';
import { SAMPLE_GRAFT, sampleGraftTexts, withoutReplay } from './sample-run.ts';

/** Packs of a category over all stages. */
const packsOf = (stages: typeof SAMPLE_GRAFT.stages, category: 'en' | 'zh' | 'facts'): number =>
  stages.reduce((sum, { mix, schedule }) => sum + (mix[category] ?? 0) * schedule.steps * SAMPLE_GRAFT.model.batch, 0);

test('shares of every stage add up to 1', () => {
  for (const { mix } of [SAMPLE_GRAFT.base, ...SAMPLE_GRAFT.stages]) expect(Object.values(mix).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
});

test('without replay there is the same Chinese at the same rates, and nothing else', () => {
  const bare = withoutReplay(SAMPLE_GRAFT.stages);
  expect(packsOf(bare, 'en')).toBe(0);
  // Steps are whole: half a step of packs a stage at most.
  const slack = SAMPLE_GRAFT.stages.length * SAMPLE_GRAFT.model.batch;
  for (const category of ['zh', 'facts'] as const)
    expect(Math.abs(packsOf(bare, category) - packsOf(SAMPLE_GRAFT.stages, category))).toBeLessThanOrEqual(slack / 2);
  bare.forEach((stage, i) => {
    const whole = SAMPLE_GRAFT.stages[i].schedule;
    const { schedule } = stage;
    expect(Object.values(stage.mix).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    // The rate at each tenth of the way, behind the warm-up.
    for (let tenth = 2; tenth <= 9; tenth++) {
      const rate = (s: typeof whole) => learningRate(s, Math.round((tenth / 10) * s.steps));
      // Whole steps: half of one is at most 0.4 % of the way, over which a rate at nine tenths of its way to a floor of 1 % falls by 14 times that.
      expect(Math.abs(rate(schedule) / rate(whole) - 1)).toBeLessThan(0.06);
    }
  });
  expect(withoutReplay([SAMPLE_GRAFT.base])).toEqual([]);
});

test('texts come by category, both sides', () => {
  const { train, validation } = sampleGraftTexts({ ...SAMPLE_GRAFT, texts: { seed: 3, english: 60, englishFacts: 40, chinese: 50, facts: 70 } });
  expect(train.en.length + validation.en.length).toBe(100);
  expect(train.zh.length + validation.zh.length).toBe(50);
  expect(train.facts.length + validation.facts.length).toBe(70);
  expect(train.facts.every((text) => /\p{Script=Han}/u.test(text))).toBe(true);
});
