/**
 * Sampling: amounts against sums done by hand, the choice against its own rules on random data, soft sampling against its formula.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { CHOSEN, type Columns, choose, keepProbability, WHY, waterFill } from './choose.ts';
import { sampleSchema, stagesOf } from './config.ts';

const stage = (config: Record<string, unknown>, i = 0) => stagesOf(sampleSchema.parse(config), true)[i];

/** Documents of categories a (100 x 10), b (50 x 20), c (10 x 5), with a score that rises. */
function columns(sizes: Readonly<Record<string, readonly [count: number, size: number]>> = { a: [100, 10], b: [50, 20], c: [10, 5] }): Columns {
  const categories = Object.keys(sizes);
  const rows = categories.flatMap((name, c) => Array.from({ length: sizes[name][0] }, (_, i) => ({ c, size: sizes[name][1], score: i / sizes[name][0] })));
  return {
    categories,
    category: Uint16Array.from(rows, ({ c }) => c),
    size: Float64Array.from(rows, ({ size }) => size),
    shard: Uint32Array.from(rows, (_, i) => i >> 5),
    index: Uint32Array.from(rows, (_, i) => i & 31),
    scores: new Map([['quality', Float64Array.from(rows, ({ score }) => score)]]),
  };
}
const reasons = ({ why }: { why: Uint8Array }): Record<string, number> => {
  const found: Record<string, number> = {};
  for (const one of why) if (one !== CHOSEN) found[WHY[one]] = (found[WHY[one]] ?? 0) + 1;
  return found;
};
const taken = (config: Record<string, unknown>, all = columns(), seed = 1) => choose(stage(config), 0, seed, all).categories.map((c) => c.taken);

describe('amounts', () => {
  it('without a word every document once', () => {
    const { copies, why } = choose(stage({}), 0, 1, columns());
    expect([...copies].every((n) => n === 1)).toBe(true);
    expect([...why].every((one) => one === CHOSEN)).toBe(true);
  });

  it('a budget is shared by size, by weight, by temperature', () => {
    expect(taken({ budget: 205 * 5 })).toEqual([500, 500, 25]);
    // 1000 x 1 : 1000 x 3 : 50 x 1 of 1,025, in whole documents.
    expect(taken({ budget: 1025, categories: { b: { weight: 3 } } }).map((n) => Math.round(n / 10))).toEqual([25, 76, 2]);
    // All alike: 100 each, the small one capped at one epoch, the rest shared out.
    expect(taken({ budget: 300, temperature: 0, maxEpochs: 1 })).toEqual([130, 120, 50]);
  });

  it('kinds share the budget; a kind is filled by its own categories', () => {
    const kinds = { informative: 0.7, functional: 0.2, replay: 0.1 };
    const categories = { a: { kind: 'informative' }, b: { kind: 'functional' }, c: { kind: 'replay' } };
    expect(taken({ budget: 500, kinds, categories })).toEqual([350, 100, 50]);
    expect(() => choose(stage({ budget: 500, kinds, categories: { a: { kind: 'informative' } } }), 0, 1, columns())).toThrow(/category b has none/);
  });

  it('epochs: whole copies of all and a seeded part once more; a quota and a number of documents limit', () => {
    const all = columns();
    const { copies, categories } = choose(stage({ categories: { a: { epochs: 2.5 } } }), 0, 1, all);
    const own = copies.slice(0, 100);
    expect(own.filter((n) => n === 3)).toHaveLength(50);
    expect(own.filter((n) => n === 2)).toHaveLength(50);
    expect(categories[0].epochs).toBe(2.5);
    const half = choose(stage({ categories: { a: { epochs: 0.25 }, b: { quota: 100 }, c: { documents: 3 } } }), 0, 1, all);
    expect(half.categories.map((c) => c.taken)).toEqual([250, 100, 15]);
    expect(reasons(half)).toEqual({ 'sample.epochs': 75, 'sample.quota': 45 + 7 });
    expect(reasons(choose(stage({ categories: { a: { epochs: 0 } } }), 0, 1, all))).toEqual({ 'sample.excluded': 100 });
  });

  it('a budget above all data repeats up to maxEpochs and says so by what it took', () => {
    expect(taken({ budget: 1e6 })).toEqual([4000, 4000, 200]);
    expect(taken({ budget: 1e6, maxEpochs: 1 })).toEqual([1000, 1000, 50]);
  });

  it('weights without a budget are refused, and scores nobody has', () => {
    expect(() => choose(stage({ categories: { a: { weight: 2 } } }), 0, 1, columns())).toThrow(/no budget/);
    expect(() => choose(stage({ others: { atLeast: { qualty: 1 } } }), 0, 1, columns())).toThrow(/"qualty"; there are quality/);
  });

  it('water under caps: nothing is lost, nothing above its cap (random)', () => {
    const random = new Random(3, 1);
    for (let n = 0; n < 500; n++) {
      const shares = Array.from({ length: 1 + random.below(8) }, () => random.below(5));
      const caps = shares.map(() => random.below(100));
      const budget = random.below(300);
      const out = waterFill(budget, shares, caps);
      const room = caps.reduce((sum, cap, i) => sum + (shares[i] > 0 ? cap : 0), 0);
      expect(out.reduce((a, b) => a + b, 0)).toBeCloseTo(Math.min(budget, room), 6);
      out.forEach((x, i) => {
        expect(x).toBeLessThanOrEqual(caps[i] + 1e-9);
        // Those below their caps stand in the proportion of their shares.
        out.forEach((y, j) => {
          if (x < caps[i] - 1e-9 && y < caps[j] - 1e-9 && shares[i] > 0 && shares[j] > 0) expect(x / shares[i]).toBeCloseTo(y / shares[j], 6);
        });
      });
    }
  });
});

describe('choice', () => {
  it('is that of seed and place, not of what else is there', () => {
    const all = columns({ a: [1000, 3] });
    const config = stage({ categories: { a: { epochs: 0.3 } } });
    const first = choose(config, 0, 7, all).copies;
    expect(choose(config, 0, 7, all).copies).toEqual(first);
    expect(choose(config, 0, 8, all).copies).not.toEqual(first);
    expect(choose(config, 1, 7, all).copies).not.toEqual(first);
    const more = choose(stage({ categories: { a: { epochs: 0.3 } } }), 0, 7, columns({ a: [1000, 3], z: [77, 9] })).copies;
    expect(more.slice(0, 1000)).toEqual(first);
  });

  it('thresholds; a document without the score stays', () => {
    const all = columns({ a: [100, 1] });
    all.scores.get('quality')?.fill(Number.NaN, 0, 10);
    const found = choose(stage({ others: { atLeast: { quality: 0.5 }, atMost: { quality: 0.8 } } }), 0, 1, all);
    // 0.50 to 0.80, and ten without.
    expect(found.copies.reduce((sum, n) => sum + n, 0)).toBe(31 + 10);
    expect(reasons(found)).toEqual({ 'sample.below-threshold': 59 });
  });

  it.each([
    ['logistic', { score: 'quality', middle: 0.5, width: 0.1 }, (s: number) => 1 / (1 + Math.exp((0.5 - s) / 0.1))],
    ['pareto', { score: 'quality', pareto: 9 }, (s: number) => (1 + (1 - s)) ** -9],
  ])('soft sampling keeps as often as its formula says: %s', (_, soft, formula) => {
    const all = columns({ a: [20_000, 1] });
    const scores = all.scores.get('quality') as Float64Array;
    const { copies } = choose(stage({ others: { soft } }), 0, 5, all);
    for (let bin = 0; bin < 10; bin++) {
      const inside = [...scores.keys()].filter((i) => Math.floor(scores[i] * 10) === bin);
      const expected = inside.reduce((sum, i) => sum + formula(scores[i]), 0);
      const kept = inside.reduce((sum, i) => sum + copies[i], 0);
      // Five standard deviations of a binomial sum.
      expect(Math.abs(kept - expected)).toBeLessThan(5 * Math.sqrt(expected) + 1);
    }
    expect(keepProbability(stage({ others: { soft } }).others.soft ?? { score: '' }, 0.9)).toBeCloseTo(formula(0.9), 12);
  });

  it('stages: each its own mix; fresh ones use what none used before', () => {
    const config = {
      stages: [
        { name: 'one', others: { epochs: 0.4 } },
        { name: 'two', fresh: true },
      ],
    };
    const all = columns({ a: [1000, 2] });
    const first = choose(stage(config), 0, 1, all);
    const used = Uint8Array.from(first.copies, (n) => (n > 0 ? 1 : 0));
    const second = choose(stage(config, 1), 1, 1, all, used);
    expect(first.copies.filter((n) => n > 0)).toHaveLength(400);
    expect(second.copies.every((n, i) => n === 1 - used[i])).toBe(true);
    expect(reasons(second)).toEqual({ 'sample.used': 400 });
  });

  it('what has no size is not there; no document at all is no error', () => {
    const all = columns({ a: [3, 1] });
    all.size[1] = 0;
    const { copies, why } = choose(stage({}), 0, 1, all);
    expect([...copies]).toEqual([1, 0, 1]);
    expect([...why]).toEqual([CHOSEN, CHOSEN, CHOSEN]);
    expect(choose(stage({}), 0, 1, columns({})).categories).toEqual([]);
  });
});
