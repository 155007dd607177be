/** Sampling against its definitions, computed here the long way in float64. */
import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { checkSampling, distribution, draw, isPlainGreedy, Sampler, type SamplingOptions } from './sampler.ts';

const random = new Random(7);
const make = (V: number, spread = 3) => Float32Array.from({ length: V }, () => spread * random.normal());

/** The definition: sort everything, filter step by step, renormalise. */
function defined(logits: Float32Array, o: SamplingOptions, seen: number[] = []): Map<number, number> {
  const { temperature, topK, topP, repetitionPenalty: r } = checkSampling(o);
  const scored = [...logits].map((x, id) => ({ id, s: (seen.includes(id) ? (x > 0 ? x / r : x * r) : x) / temperature }));
  scored.sort((a, b) => b.s - a.s || a.id - b.id);
  let kept = topK > 0 ? scored.slice(0, topK) : scored;
  const softmax = (list: typeof kept) => {
    const sum = list.reduce((a, x) => a + Math.exp(x.s - list[0].s), 0);
    return list.map((x) => Math.exp(x.s - list[0].s) / sum);
  };
  const p = softmax(kept);
  let sum = 0;
  let n = 0;
  while (n < p.length && (topP === 1 || sum < topP)) sum += p[n++];
  kept = kept.slice(0, n);
  return new Map(softmax(kept).map((x, i) => [kept[i].id, x]));
}

const cases: SamplingOptions[] = [
  { temperature: 1 },
  { temperature: 0.3 },
  { temperature: 1.7, topK: 5 },
  { temperature: 1, topK: 1000 },
  { temperature: 0.8, topP: 0.9 },
  { temperature: 1, topP: 0.01 },
  { temperature: 0.9, topP: 0.5, topK: 20, repetitionPenalty: 1.3 },
  { temperature: 1, repetitionPenalty: 0.7 },
];

describe('distribution', () => {
  test.each(cases)('is the definition for %j', (options) => {
    for (const V of [1, 2, 17, 301]) {
      const logits = make(V);
      const seen = [0, 3, 3, 16].filter((id) => id < V);
      const found = distribution(logits, options, seen);
      const wanted = defined(logits, options, seen);
      expect(new Set(found.ids)).toEqual(new Set(wanted.keys()));
      // Two float64 sums in different order.
      for (const [i, id] of found.ids.entries()) expect(found.probabilities[i]).toBeCloseTo(wanted.get(id) as number, 12);
    }
  });

  test('equal logits: the lower ids are kept', () => {
    const flat = new Float32Array(10);
    expect([...distribution(flat, { temperature: 1, topK: 3 }).ids]).toEqual([0, 1, 2]);
    expect([...distribution(flat, { temperature: 1, topP: 0.35 }).ids]).toEqual([0, 1, 2, 3]);
  });

  test('very low temperature does not overflow', () => {
    const { ids, probabilities } = distribution([1000, 999, -1000], { temperature: 1e-3 });
    expect(probabilities[ids.indexOf(0)]).toBe(1);
  });

  test('logits of minus infinity are never drawn', () => {
    const { ids, probabilities } = distribution([Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY], { temperature: 1 });
    expect(draw({ ids, probabilities }, 0)).toBe(1);
    expect(draw({ ids, probabilities }, 1 - 2 ** -32)).toBe(1);
  });
});

describe('draws', () => {
  test('follow the distribution', () => {
    const logits = [0, 1, 2, Math.log(1e-3)];
    const sampler = new Sampler({ temperature: 1, seed: 5 });
    const { probabilities } = distribution(logits, { temperature: 1 });
    const N = 20000;
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < N; i++) counts[sampler.next(logits)]++;
    // Chi-square with 3 degrees of freedom: 16.3 is passed once in 1,000 seeds; this seed is fixed.
    expect(counts.reduce((sum, c, i) => sum + (c - N * probabilities[i]) ** 2 / (N * probabilities[i]), 0)).toBeLessThan(16.3);
  });

  test('a seed and a stream give the same tokens again, others do not', () => {
    const logits = make(50);
    const run = (seed: number, stream = 0) => {
      const sampler = new Sampler({ temperature: 1, seed }, stream);
      return Array.from({ length: 20 }, () => sampler.next(logits));
    };
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
    expect(run(1)).not.toEqual(run(1, 1));
  });

  test('greedy: largest, least of equals, after the penalty', () => {
    expect(new Sampler({}).next([1, 5, 5, 2])).toBe(1);
    expect(new Sampler({ repetitionPenalty: 3 }).next([1, 5, 4, 2], [1])).toBe(2);
    expect(new Sampler({ repetitionPenalty: 3 }).next([-1, -0.5], [1])).toBe(0);
    expect(isPlainGreedy({})).toBe(true);
    expect(isPlainGreedy({ temperature: 1, topK: 1 })).toBe(true);
    expect(isPlainGreedy({ temperature: 1 })).toBe(false);
    expect(isPlainGreedy({ repetitionPenalty: 1.1 })).toBe(false);
  });
});

describe('refusals', () => {
  test.each([
    [{ temperature: -1 }, /temperature must be a number from 0, got -1/],
    [{ temperature: Number.NaN }, /temperature/],
    [{ topP: 0 }, /top-p must be above 0/],
    [{ topP: 1.1 }, /top-p/],
    [{ topK: 1.5 }, /top-k must be an integer/],
    [{ repetitionPenalty: 0 }, /repetition penalty/],
    [{ seed: 0.5 }, /seed/],
  ] as const)('%j', (options, message) => {
    expect(() => new Sampler(options)).toThrow(message);
  });

  test('broken logits', () => {
    for (const sampler of [new Sampler({}), new Sampler({ temperature: 1 })]) {
      expect(() => sampler.next([0, Number.NaN])).toThrow(/logit of token 1 is NaN/);
      expect(() => sampler.next([Number.POSITIVE_INFINITY])).toThrow(/Infinity/);
      expect(() => sampler.next([Number.NEGATIVE_INFINITY])).toThrow(/finite logit/);
    }
  });
});
