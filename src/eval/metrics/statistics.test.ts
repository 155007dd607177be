/**
 * Intervals and tests against scipy 1.17 (bootstrap by percentiles with 100,000 resamples, binomtest, permutation_test of pairs) and calibration against scikit-learn's bins; then joining of subjects by hand.
 */
import { describe, expect, test } from 'vitest';
import type { SampleOutput } from '../types.ts';
import { aggregate, baselines, bootstrap, calibration, compare, confidences, holm, metrics, pairedTest, type ScoredSample } from './index.ts';
import { output, question } from './sample.ts';
import { quantile, signTest } from './statistics.ts';

const range = <T>(n: number, f: (i: number) => T) => Array.from({ length: n }, (_, i) => f(i));

describe('bootstrap', () => {
  test('a mean: scipy', () => {
    const found = bootstrap(
      range(60, (i) => ((i * 37) % 101) / 100),
      { resamples: 20_000 },
    );
    expect(found.value).toBeCloseTo(0.4951666666666667, 12);
    // Ends of a percentile interval from 20,000 resamples: standard error about 0.0007.
    expect(Math.abs(found.low - 0.4215)).toBeLessThan(0.003);
    expect(Math.abs(found.high - 0.569)).toBeLessThan(0.003);
  });

  test('a quotient of sums, and what is made of it: scipy', () => {
    const found = bootstrap(
      range(40, (i) => 5 + ((i * 29) % 17)),
      { resamples: 20_000, over: range(40, (i) => 3 + ((i * 13) % 11)), of: Math.exp },
    );
    expect(found.value).toBeCloseTo(5.118755752381903, 12);
    // As above, of an interval twenty times as wide.
    expect(Math.abs(found.low - 3.96376)).toBeLessThan(0.05);
    expect(Math.abs(found.high - 6.91889)).toBeLessThan(0.08);
  });

  test('strata: the mean of their means, redrawn within each', () => {
    const strata = ['a', 'a', 'a', 'a', 'b'];
    const found = bootstrap([0, 1, 0, 1, 1], { strata });
    expect(found.value).toBe(0.75);
    // Subject b is always 1, so the mean stays between 0.5 and 1.
    expect(found.low).toBeGreaterThanOrEqual(0.5);
    expect(found.high).toBeLessThanOrEqual(1);
    expect(bootstrap([1, 1, 0, 0], { strata: ['a', 'a', 'b', 'b'] })).toMatchObject({ value: 0.5, low: 0.5, high: 0.5 });
  });

  test('seeded: the same again, another seed otherwise', () => {
    const values = range(30, (i) => (i * 7) % 11);
    expect(bootstrap(values, { seed: 5 })).toEqual(bootstrap(values, { seed: 5 }));
    expect(bootstrap(values, { seed: 5 })).not.toEqual(bootstrap(values, { seed: 6 }));
    expect(bootstrap([3], {})).toEqual({ value: 3, low: 3, high: 3, n: 1 });
  });

  test('refuses what cannot be', () => {
    expect(() => bootstrap([])).toThrow(/nothing was scored/);
    expect(() => bootstrap([1, 2], { over: [1] })).toThrow(/2 values with 1 weights/);
  });

  test('quantiles as numpy gives them', () => {
    // numpy.quantile([1, 2, 4, 8], [0, .1, .5, 1]).
    expect([0, 0.1, 0.5, 1].map((q) => quantile([1, 2, 4, 8], q))).toEqual([1, 1.3, 3, 8]);
  });
});

test.each([
  [3, 10, 0.34375],
  [0, 7, 0.015625],
  [12, 20, 0.5034446716308594],
  [200, 430, 0.16188409130586115],
  [5, 5, 0.0625],
  [1, 2, 1],
  [0, 0, 1],
])('%d of %d at one half: p as scipy has it', (k, n, p) => {
  expect(signTest(k, n)).toBeCloseTo(p, 10);
});

describe('paired tests', () => {
  test('few questions: all sign flips, scipy', () => {
    const a = [0.9, 0.3, 0.5, 0.72, 0.11, 0.62, 0.8, 0.4, 0.33, 0.58];
    const b = [0.5, 0.4, 0.21, 0.7, 0.3, 0.35, 0.61, 0.1, 0.3, 0.44];
    const found = pairedTest(a, b);
    expect(found).toMatchObject({ n: 10, exact: true, mcnemar: null });
    expect(found.difference).toBeCloseTo(0.135, 12);
    expect(found.p).toBe(0.056640625);
    expect(pairedTest(b, a).p).toBe(found.p);
  });

  test('many: random flips and a paired bootstrap, scipy', () => {
    const a = range(50, (i) => ((i * 31) % 53) / 52);
    const b = range(50, (i) => (((i * 17 + 9) % 53) / 52) * 0.8);
    const found = pairedTest(a, b, { resamples: 20_000 });
    expect(found.difference).toBeCloseTo(0.10146153846153855, 12);
    expect(found.exact).toBe(false);
    // Standard error of p = 0.06 from 20,000 flips: 0.0017.
    expect(Math.abs(found.p - 0.0593)).toBeLessThan(0.007);
    // Standard error of the ends about 0.001.
    expect(Math.abs(found.low + 0.0004)).toBeLessThan(0.005);
    expect(Math.abs(found.high - 0.2022)).toBeLessThan(0.005);
  });

  test('right and wrong: McNemar exactly', () => {
    const a = [...range(7, () => 1), ...range(3, () => 0), ...range(40, () => 1)];
    const b = [...range(7, () => 0), ...range(3, () => 1), ...range(40, () => 1)];
    const found = pairedTest(a, b);
    expect(found.mcnemar).toEqual({ onlyA: 7, onlyB: 3, p: found.p });
    expect(found.p).toBeCloseTo(0.34375, 12);
    expect(pairedTest(a, a)).toMatchObject({ difference: 0, low: 0, high: 0, p: 1, mcnemar: { onlyA: 0, onlyB: 0, p: 1 } });
  });

  test('refuses other questions, and none', () => {
    expect(() => pairedTest([1], [1, 0])).toThrow(/there are 1 and 2 scores/);
    expect(() => pairedTest([], [])).toThrow(/0 and 0/);
  });

  test('equal models: p is uniform enough (a test that always finds something would show here)', () => {
    const ps = range(200, (r) => {
      const x = range(12, (i) => ((((r * 131 + i * 17 + 7) * 2654435761) >>> 8) % 1000) / 1000);
      const y = range(12, (i) => ((((r * 211 + i * 29 + 3) * 2246822519) >>> 7) % 1000) / 1000);
      return pairedTest(x, y, { resamples: 1 }).p;
    });
    // 200 draws of a 5 % test: 10 ± 3.1; four sigma.
    const small = ps.filter((p) => p < 0.05).length;
    expect(small).toBeLessThan(23);
    expect(small).toBeGreaterThan(0);
  });

  test('Holm: smallest times their number, never below a smaller one', () => {
    const found = holm([0.01, 0.04, 0.03, 0.5]);
    for (const [i, p] of [0.04, 0.09, 0.09, 0.5].entries()) expect(found[i]).toBeCloseTo(p, 12);
    expect(holm([0.9, 0.8])).toEqual([1, 1]);
  });
});

test('calibration: bins of scikit-learn, ECE and Brier of numpy', () => {
  const answers = range(12, (i) => {
    const weights = range(4, (k) => 1 + ((i * 5 + k * 7) % 9));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { probabilities: weights.map((w) => w / sum), right: (i * 3) % 4 };
  });
  const found = calibration(answers, 5);
  expect(found.ece).toBeCloseTo(0.16820670039853308, 12);
  expect(found.brier).toBeCloseTo(0.8051797662008321, 12);
  const filled = found.bins.filter((b) => b.n > 0);
  expect(filled.map((b) => b.accuracy)).toEqual([0.25, 0.25]);
  expect(filled[0].confidence).toBeCloseTo(0.38940217, 7);
  expect(filled[1].confidence).toBeCloseTo(0.43260896, 7);
  // Certain and right, certain and wrong.
  expect(calibration([{ probabilities: [1, 0], right: 0 }])).toMatchObject({ ece: 0, brier: 0 });
  expect(calibration([{ probabilities: [1, 0], right: 1 }])).toMatchObject({ ece: 1, brier: 2 });
  // One who knows nothing and says so is well calibrated.
  expect(calibration(range(8, (i) => ({ probabilities: [0.25, 0.25, 0.25, 0.25], right: i % 4 }))).ece).toBe(0);
  expect(() => calibration([])).toThrow(/0 answers/);
});

test('baselines: guessing, and the commonest letter', () => {
  const qs = [...'BBAC'].map((letter) => question({ answer: [letter] }));
  expect(
    baselines([...qs, question({ letters: ['A', 'B'], options: ['x', 'y'], answer: ['B'] }), question({ answer: null }), question({ answer: ['A', 'B'] })]),
  ).toEqual({
    random: (4 / 4 + 1 / 2) / 5,
    majority: 3 / 5,
    letter: 'B',
    n: 5,
  });
  expect(baselines([question({ answer: null })])).toBeNull();
});

/** Samples of a metric by subject: letters right or wrong. */
function answered(rights: Record<string, string>, group: (subject: string) => string | null = () => null): ScoredSample[] {
  return Object.entries(rights).flatMap(([subject, marks]) =>
    [...marks].map((mark, i) => {
      const q = question({ id: `${subject}/${i}`, subject, group: group(subject), ...(mark === '?' ? { answer: null } : {}) });
      const o = output({ letterLogits: { A: mark === '1' ? 0 : 2, B: 1, C: 0, D: 0 } });
      return { question: q, output: o, scored: metrics.first_token_accuracy(q, o, 'en') };
    }),
  );
}

describe('joining', () => {
  const task = { name: 't', metric: 'first_token_accuracy' };

  test('micro over questions, macro over subjects, groups, and what was not scored', () => {
    const samples = answered({ law: '1110', art: '10', physics: '0???' }, (s) => (s === 'physics' ? 'science' : 'humanities'));
    const found = aggregate(task, samples);
    expect(found.micro).toMatchObject({ value: 4 / 7, n: 7, interval: 'wilson' });
    expect(found.macro?.value).toBeCloseTo((3 / 4 + 1 / 2 + 0) / 3, 12);
    expect(found.bySubject.law.value).toBe(0.75);
    expect(found.byGroup.humanities.micro.value).toBe(4 / 6);
    expect(found.byGroup.humanities.macro.value).toBe(0.625);
    expect(found.byGroup.science.micro.n).toBe(1);
    expect(found.unscored).toEqual({ n: 3, why: { 'no published answer': 3 } });
    expect(found.baselines).toMatchObject({ random: 0.25, majority: 1, n: 7 });
    expect(aggregate(task, samples)).toEqual(found);
  });

  test('all right is not certain', () => {
    const found = aggregate(task, answered({ a: '11111', b: '11' }));
    for (const result of [found.micro, found.macro, found.bySubject.b]) {
      expect(result?.value).toBe(1);
      expect(result?.low).toBeLessThan(0.9);
    }
  });

  test('nothing scored: no value, said so', () => {
    const found = aggregate(task, answered({ a: '??' }));
    expect(found).toMatchObject({ micro: null, macro: null, bySubject: {}, unscored: { n: 2 }, baselines: null });
    expect(aggregate(task, []).micro).toBeNull();
  });

  test('another coverage: 99 % as 2.5758 standard errors give it', () => {
    const found = aggregate(task, answered({ a: '1100' }), { level: 0.99 });
    const z = 2.5758293035489004;
    // Wilson of 2 in 4: 1/2 ± z / (2 sqrt(4 + z²)).
    expect(found.micro?.low).toBeCloseTo(0.5 - z / (2 * Math.sqrt(4 + z * z)), 8);
  });

  test('a name that is none is told with those near it', () => {
    expect(() => aggregate({ name: 't', metric: 'first_token_acuracy' }, [])).toThrow(/no metric "first_token_acuracy"; near it are first_token_accuracy/);
  });

  const texts = (losses: readonly (readonly [subject: string, nll: number, tokens: number, bytes: number])[], metric: string): ScoredSample[] =>
    losses.map(([subject, nll, tokens, bytes], i) => {
      const q = question({ id: String(i), subject, options: null, letters: null, answer: null });
      const o: SampleOutput = output({ method: 'text-loss', loss: { nll, tokens, bytes } });
      return { question: q, output: o, scored: metrics[metric](q, o, 'en') };
    });
  const losses = [
    ['a', 6, 2, 8],
    ['a', 10, 10, 30],
    ['b', 4, 4, 10],
  ] as const;
  const of = (metric: string) => aggregate({ name: 't', metric }, texts(losses, metric));

  test('losses: sums over sums, in each unit', () => {
    expect(of('perplexity').micro?.value).toBeCloseTo(Math.exp(20 / 16), 12);
    expect(of('ppl_score').micro?.value).toBeCloseTo(Math.exp(-20 / 16), 12);
    expect(of('per_byte_perplexity').micro?.value).toBeCloseTo(Math.exp(20 / 48), 12);
    expect(of('per_byte_ppl_score').micro?.value).toBeCloseTo(Math.exp(-20 / 48), 12);
    expect(of('loss_over_all_tokens').micro?.value).toBeCloseTo(20 / 16, 12);
    expect(of('bits_per_byte').micro?.value).toBeCloseTo(20 / 48 / Math.LN2, 12);
    expect(of('bits_per_byte').bySubject.a.value).toBeCloseTo(16 / 38 / Math.LN2, 12);
    expect(of('perplexity').macro?.value).toBeCloseTo((Math.exp(16 / 12) + Math.E) / 2, 12);
    expect(of('perplexity')).toMatchObject({ unit: 'perplexity', better: 'lower' });
  });

  test('a loss that is none is not scored', () => {
    const found = aggregate({ name: 't', metric: 'perplexity' }, texts([...losses, ['b', Number.NaN, 3, 9], ['b', 1, 0, 0]], 'perplexity'));
    expect(found.micro?.value).toBeCloseTo(Math.exp(20 / 16), 12);
    expect(found.unscored).toEqual({ n: 2, why: { 'the loss is not a number': 1, 'a text of no tokens': 1 } });
  });

  test('two models: matched by id, the rest left out', () => {
    const a = answered({ x: '1110?', y: '1' });
    const b = answered({ x: '10001' });
    expect(compare(a, b)).toMatchObject({ n: 4, meanA: 0.75, meanB: 0.25, mcnemar: { onlyA: 2, onlyB: 0, p: 0.5 }, leftOut: 2 });
    expect(compare(a, [])).toBeNull();
  });

  test('confidences: of one right option among probabilities', () => {
    expect(confidences(answered({ x: '1?' }), 'letter')).toHaveLength(1);
    expect(confidences(answered({ x: '1' }), 'letter')[0]).toMatchObject({ right: 1 });
  });
});
