/**
 * The minimiser on functions whose minimum is known in closed form: a badly scaled quadratic, Rosenbrock's valley, a function with
 * a wall, one whose values are rounded to f32; and the tables of the rows against their definition.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.ts';
import { partsOf, slotsOf, sortSlots } from './fit-programs.ts';
import { type Evaluation, lbfgs } from './lbfgs.ts';

const small =
  (limit: number) =>
  ({ gradient }: Evaluation): boolean =>
    gradient.every((g) => Math.abs(g) <= limit);

describe('L-BFGS', () => {
  it('finds the minimum of a quadratic whose curvatures differ a thousandfold, in as many steps as a peer', async () => {
    const n = 31;
    const curvature = Float64Array.from({ length: n }, (_, i) => 10 ** ((3 * i) / (n - 1) - 1.5));
    const centre = Float64Array.from({ length: n }, (_, i) => Math.sin(i));
    const found = await lbfgs(
      async (x) => {
        const gradient = x.map((v, i) => curvature[i] * (v - centre[i]));
        return { value: gradient.reduce((sum, g, i) => sum + (g * g) / curvature[i] / 2, 0), gradient };
      },
      new Float64Array(n),
      { maxSteps: 500, done: small(1e-9) },
    );
    // A gradient of 1e-9 over the least curvature, 0.03.
    found.x.forEach((v, i) => {
      expect(Math.abs(v - centre[i])).toBeLessThan(1e-7);
    });
    // SciPy 1.17's L-BFGS-B with ten pairs: 236 steps, 249 evaluations.
    expect(found.steps).toBeLessThan(1.2 * 236);
    expect(found.evaluations).toBeLessThan(1.2 * 249);
  });

  it('follows a curved valley', async () => {
    const start = Float64Array.of(-1.2, 1);
    const found = await lbfgs(
      async ([x, y]) => ({
        value: (1 - x) ** 2 + 100 * (y - x * x) ** 2,
        gradient: Float64Array.of(-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)),
      }),
      start,
      { maxSteps: 200, done: small(1e-8) },
    );
    expect(found.x[0]).toBeCloseTo(1, 7);
    expect(found.x[1]).toBeCloseTo(1, 7);
    expect([...start]).toEqual([-1.2, 1]);
  });

  it('steps back from where there is no value', async () => {
    // x - ln x has its minimum 1 at 1 and no value from 0 down; the first steps from 40 lead there.
    const found = await lbfgs(async ([x]) => ({ value: x - Math.log(x), gradient: Float64Array.of(1 - 1 / x) }), Float64Array.of(40), {
      maxSteps: 100,
      done: small(1e-10),
    });
    expect(found.x[0]).toBeCloseTo(1, 8);
    await expect(
      lbfgs(async () => ({ value: Number.NaN, gradient: Float64Array.of(0) }), Float64Array.of(1), { maxSteps: 1, done: () => false }),
    ).rejects.toThrow(/value at the start is NaN/);
  });

  it('comes as near as rounded values allow, and ends where nothing goes down', async () => {
    const rounded = async ([x]: Float64Array): Promise<Evaluation> => ({
      value: Math.fround(1 + 0.5 * (x - 3) ** 2),
      gradient: Float64Array.of(Math.fround(x - 3)),
    });
    const near = await lbfgs(rounded, Float64Array.of(0), { maxSteps: 50, done: small(1e-7) });
    expect(Math.abs(near.x[0] - 3)).toBeLessThan(1e-6);
    // A gradient that lies: no direction goes down, and it does not run for ever.
    const lies = await lbfgs(async ([x]) => ({ value: x, gradient: Float64Array.of(-1) }), Float64Array.of(0), { maxSteps: 50, done: () => false });
    expect(lies.steps).toBe(0);
  });
});

describe('rows of a fit', () => {
  it('lie in few parts with little padding, each row once', () => {
    for (let n = 0; n < 5000; n++) {
      expect(slotsOf(n)).toBeGreaterThanOrEqual(n);
      if (n > 64) expect(slotsOf(n)).toBeLessThanOrEqual(1.25 * n + 16);
    }
    expect(new Set(Array.from({ length: 5000 }, (_, n) => slotsOf(n + 1))).size).toBeLessThan(32);
    const random = new Random(5);
    const starts = [0];
    for (let i = 0; i < 101; i++) starts.push(starts[i] + random.below(300));
    const labels = new Int32Array(101);
    const rows = { starts: Uint32Array.from(starts), ids: new Uint32Array(starts[101]), values: new Float32Array(starts[101]), labels, width: 1, classes: 2 };
    const parts = partsOf(rows, 2048);
    expect(parts.flatMap((part) => part.rows).sort((a, b) => a - b)).toEqual(Array.from(labels.keys()));
    for (const part of parts) {
      expect(part.slots * part.rows.length).toBeLessThanOrEqual(2048);
      for (const row of part.rows) expect(starts[row + 1] - starts[row]).toBeLessThanOrEqual(part.slots);
    }
  });

  it('are sorted by place', () => {
    const random = new Random(6);
    for (const [n, width] of [
      [1, 1],
      [7, 3],
      [500, 89],
    ]) {
      // `width` itself is padding.
      const ids = Uint32Array.from({ length: n }, () => random.below(width + 1));
      const { order, starts, segmentIds, segments } = sortSlots(ids, width);
      const expected = [...new Set(ids)].filter((id) => id < width).sort((a, b) => a - b);
      expect([...segmentIds.subarray(0, segments)]).toEqual(expected);
      expected.forEach((id, s) => {
        const slots = [...ids.keys()].filter((slot) => ids[slot] === id);
        expect([...order.subarray(starts[s], starts[s + 1])]).toEqual(slots);
      });
      expect(starts).toHaveLength(n + 1);
    }
  });
});
