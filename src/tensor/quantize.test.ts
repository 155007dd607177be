/**
 * Quantisation on the host: the NF4 values against their definition and the published table, codes against a plain nearest-value search, errors on
 * normal weights against what theory gives, short blocks, ties, refusals.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { dequantize, NF4, QUANT_BLOCK, type QuantBits, quantize, quantShapes } from './quantize.ts';

/** Phi(x) in float64: Taylor series of erf, exact to rounding for |x| < 3. */
function phi(x: number): number {
  let term = x;
  let sum = x;
  for (let i = 1; i < 200; i++) {
    term *= (-x * x) / (2 * i);
    sum += term / (2 * i + 1);
  }
  return 0.5 + sum / Math.sqrt(2 * Math.PI);
}

/** The normal quantile of p, by bisection. */
function quantile(p: number): number {
  let [low, high] = [-3, 3];
  for (let i = 0; i < 80; i++) {
    const mid = (low + high) / 2;
    if (phi(mid) < p) low = mid;
    else high = mid;
  }
  return (low + high) / 2;
}

const normal = (n: number, scale = 1) => {
  const random = new Random(5);
  return Float32Array.from({ length: n }, () => scale * random.normal());
};

describe('NF4', () => {
  it('holds the values that QLoRA defines: eight positive and seven negative quantiles of N(0, 1), and zero, scaled to 1', () => {
    // Dettmers et al. 2023, section 3; the offset is that of bitsandbytes' create_normal_map.
    const offset = 0.9677083;
    const run = (n: number) => Array.from({ length: n - 1 }, (_, i) => quantile(offset + (i * (0.5 - offset)) / (n - 1)));
    const values = [...run(9), 0, ...run(8).map((x) => -x)].sort((a, b) => a - b);
    // The published table was computed in f32 from a seven-digit offset.
    for (const [i, v] of values.entries()) expect(Math.abs(v / values[15] - NF4[i])).toBeLessThan(1e-6);
    expect(NF4).toHaveLength(16);
    for (const x of NF4) expect(Math.fround(x)).toBe(x);
  });

  it('gives the nearest value on both sides of every border, first element in the lowest bits', () => {
    // One block that holds every value, one weight just below and one just above each border between two values.
    const borders = NF4.slice(1).map((x, i) => (x + NF4[i]) / 2);
    const weights = [...NF4, ...borders.flatMap((b) => [b - 1e-6, b + 1e-6])].map(Math.fround);
    const q = quantize(weights, 1, weights.length, 4);
    const codes = weights.map((_, i) => (q.words[i >> 3] >>> (4 * (i & 7))) & 15);
    expect(codes).toEqual([...NF4.keys(), ...borders.flatMap((_, i) => [i, i + 1])]);
  });
});

describe('quantize', () => {
  it.each([
    [1, 1],
    [3, 63],
    [2, 64],
    [5, 65],
    [7, 131],
  ])('finds the nearest code of every weight of [%i, %i], block by block', (rows, columns) => {
    const values = normal(rows * columns, 0.02);
    for (const bits of [8, 4] as QuantBits[]) {
      const q = quantize(values, rows, columns, bits);
      const shapes = quantShapes(rows, columns, bits);
      expect([q.words.length, q.scales.length]).toEqual([shapes.words[0] * shapes.words[1], shapes.scales[0] * shapes.scales[1]]);
      const table = bits === 4 ? NF4 : Array.from({ length: 255 }, (_, i) => (i - 127) / 127);
      const back = dequantize(q);
      for (let n = 0; n < rows; n++) {
        for (let k = 0; k < columns; k++) {
          const start = Math.floor(k / QUANT_BLOCK) * QUANT_BLOCK;
          const block = values.subarray(n * columns + start, n * columns + Math.min(columns, start + QUANT_BLOCK));
          const most = block.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
          const x = values[n * columns + k];
          const best = table.reduce((a, b) => (Math.abs(b * most - x) < Math.abs(a * most - x) ? b : a));
          // The 8-bit scale is rounded to f32: 2^-24 of the value.
          expect(Math.abs(back[n * columns + k] - best * most)).toBeLessThanOrEqual(1e-7 * most);
        }
      }
    }
  });

  it('loses of normal weights what is known: 9.2 % of the norm in NF4 and 0.60 % in 8 bit, in blocks of 64', () => {
    const values = normal(1 << 18);
    const error = (bits: QuantBits) => {
      const back = dequantize(quantize(values, 64, values.length / 64, bits));
      let [lost, norm] = [0, 0];
      values.forEach((x, i) => {
        lost += (back[i] - x) ** 2;
        norm += x * x;
      });
      return Math.sqrt(lost / norm);
    };
    // 8 bit: a step is absmax / 127 and its error uniform, so rms = E[absmax^2]^0.5 / 127 / sqrt(12); the largest of 64 normals has rms 2.63.
    expect(error(8)).toBeGreaterThan(0.97 * (2.63 / 127 / Math.sqrt(12)));
    expect(error(8)).toBeLessThan(1.03 * (2.63 / 127 / Math.sqrt(12)));
    // 4 bit: the same integral over the sixteen cells, by Monte Carlo in numpy with bitsandbytes' table (60,000 blocks): 0.0920.
    expect(error(4)).toBeGreaterThan(0.092 * 0.97);
    expect(error(4)).toBeLessThan(0.092 * 1.03);
  });

  it('is odd in 8 bit, keeps zeros exact, and pads with zeros', () => {
    const values = normal(100);
    values[3] = 0;
    const minus = quantize(
      values.map((x) => -x),
      1,
      100,
      8,
    );
    expect([...dequantize(minus)]).toEqual([...dequantize(quantize(values, 1, 100, 8)).map((x) => -x || 0)]);
    for (const bits of [8, 4] as QuantBits[]) {
      const q = quantize(values, 1, 100, bits);
      expect(dequantize(q)[3]).toBe(0);
      expect([...dequantize({ ...q, columns: 128 }).subarray(100)].every((x) => x === 0)).toBe(true);
      expect([...dequantize(quantize(new Float32Array(70), 1, 70, bits))].every((x) => x === 0)).toBe(true);
    }
  });

  it('keeps the largest and the smallest magnitudes finite', () => {
    for (const bits of [8, 4] as QuantBits[]) {
      const back = dequantize(quantize(Float32Array.of(3.4e38, -3.4e38, 1e-45, -1e-40), 2, 2, bits));
      for (const x of back) expect(Number.isFinite(x)).toBe(true);
      expect(back[0] / 3.4e38).toBeCloseTo(1, 6);
    }
  });

  it('refuses weights that are not finite, and sizes that do not fit', () => {
    expect(() => quantize([1, Number.NaN, 2], 1, 3, 4)).toThrow(/weight \[0, 1\] is NaN/);
    expect(() => quantize([1, 2, 3, Number.POSITIVE_INFINITY], 2, 2, 8)).toThrow(/weight \[1, 1\] is Infinity/);
    expect(() => quantize([1, 2, 3], 2, 2, 8)).toThrow(/3 weights cannot be \[2, 2\]/);
  });
});
