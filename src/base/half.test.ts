/** 16-bit conversions held to the engine’s own, bit pattern by bit pattern. */
import { describe, expect, it } from 'vitest';
import {
  bfloatToFloat,
  doubleToBfloat,
  doubleToHalf,
  floatToBfloat,
  floatToHalf,
  fromBfloatBits,
  fromHalfBits,
  halfToFloat,
  toBfloatBits,
  toHalfBits,
} from './half.ts';

const every = Uint16Array.from({ length: 65536 }, (_, i) => i);
/** The engine's own half type is the oracle. */
const engine = new Float16Array(every.buffer);

describe('f16', () => {
  it('every bit pattern to f32, as the engine has it', () => {
    const floats = halfToFloat(every);
    for (let i = 0; i < 65536; i++) {
      expect(Object.is(floats[i], Math.fround(engine[i]))).toBe(true);
      expect(Object.is(fromHalfBits(i), engine[i])).toBe(true);
    }
  });

  it('from f32 to the nearest, ties to even, as the engine has it', () => {
    const words = new Uint32Array(200_000);
    // A multiplicative walk through all f32 bit patterns, and every tie and its neighbours.
    for (let i = 0; i < 100_000; i++) words[i] = Math.imul(i, 2654435761) >>> 0;
    for (let i = 0; i < 65536; i++) words[100_000 + i] = ((i << 13) + 0x1000 + ((i % 3) - 1)) >>> 0;
    for (let i = 0; i < 34_464; i++) words[165_536 + i] = 0x33000000 + i * 5000;
    const floats = new Float32Array(words.buffer);
    const oracle = new Uint16Array(new Float16Array(floats).buffer);
    const ours = floatToHalf(floats);
    let wrong = 0;
    for (let i = 0; i < floats.length; i++) {
      if (Number.isNaN(floats[i])) wrong += Number.isNaN(fromHalfBits(ours[i])) ? 0 : 1;
      else if (ours[i] !== oracle[i]) wrong++;
    }
    expect(wrong).toBe(0);
    expect(toHalfBits(65519.99)).toBe(0x7bff);
    expect(toHalfBits(65520)).toBe(0x7c00);
  });
});

describe('bf16', () => {
  it('every bit pattern to f32 and back', () => {
    const floats = bfloatToFloat(every);
    const words = new Uint32Array(floats.buffer);
    const back = floatToBfloat(floats);
    for (let i = 0; i < 65536; i++) {
      expect(words[i]).toBe(i * 65536);
      if (Number.isNaN(floats[i])) expect(Number.isNaN(fromBfloatBits(back[i]))).toBe(true);
      else expect(back[i]).toBe(i);
    }
  });

  it('rounds to the nearest, ties to even', () => {
    // 1 + k/256 lies half-way between 1 + (k-1)/256 and 1 + (k+1)/256 for odd k, as bf16 has 7 bits.
    expect([1, 1.00390625, 1.01171875, 1.0039063692092896].map(toBfloatBits)).toEqual([0x3f80, 0x3f80, 0x3f82, 0x3f81]);
  });
});

describe('doubles', () => {
  /** Doubles near every rounding boundary of a 16-bit format: the middle between neighbours, and as little beside it as a double can tell. */
  const near = (value: (bits: number) => number): Float64Array => {
    const out: number[] = [];
    for (let i = 0; i < 0x7c00; i++) {
      const middle = (value(i) + value(i + 1)) / 2;
      if (!Number.isFinite(middle)) continue;
      for (const x of [middle, middle * (1 + 2 ** -52), middle * (1 - 2 ** -53), middle * (1 + 2 ** -30), middle * (1 - 2 ** -30)]) out.push(x, -x);
    }
    return Float64Array.from([...out, 0, -0, Number.NaN, 1e300, -1e300, 5e-324, Number.POSITIVE_INFINITY]);
  };

  it('to f16 once, as the engine has it', () => {
    const doubles = near((bits) => engine[bits]);
    const ours = new Uint16Array(doubles.length);
    doubleToHalf(doubles, ours);
    const oracle = new Uint16Array(new Float16Array(doubles).buffer);
    let wrong = 0;
    doubles.forEach((x, i) => {
      if (Number.isNaN(x) ? !Number.isNaN(fromHalfBits(ours[i])) : ours[i] !== oracle[i]) wrong++;
    });
    expect(wrong).toBe(0);
  });

  it('to bf16 once: the nearer neighbour, the even one of a tie', () => {
    let wrong = 0;
    for (let i = 0x0001; i < 0x7f7e; i += 7) {
      const [low, high] = [fromBfloatBits(i), fromBfloatBits(i + 1)];
      const middle = low + (high - low) / 2;
      const ours = new Uint16Array(3);
      doubleToBfloat([middle, middle * (1 - 2 ** -53), middle * (1 + 2 ** -52)], ours);
      if (ours[0] !== (i % 2 === 0 ? i : i + 1) || ours[1] !== i || ours[2] !== i + 1) wrong++;
    }
    expect(wrong).toBe(0);
  });
});
