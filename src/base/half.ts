/**
 * Conversions between f32 and the two 16-bit storage formats, f16 (IEEE half) and bf16.
 * Integer arithmetic with round-to-nearest-even, so the bits do not depend on the engine;
 * `Float16Array` is not used because Node 20 lacks it.
 */

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** Half bits of a number, nearest even; overflow gives infinity, NaN stays NaN. */
export function toHalfBits(value: number): number {
  f32[0] = value;
  const x = u32[0];
  const sign = (x >>> 16) & 0x8000;
  const abs = x & 0x7fffffff;
  if (abs > 0x7f800000) return sign | 0x7e00;
  if (abs >= 0x477ff000) return sign | 0x7c00;
  if (abs < 0x38800000) {
    // Subnormal half: shift the mantissa with its hidden bit, round to nearest even.
    if (abs < 0x33000000) return sign;
    const shift = 126 - (abs >>> 23);
    const mantissa = (abs & 0x7fffff) | 0x800000;
    const kept = mantissa >>> shift;
    const rest = mantissa & ((1 << shift) - 1);
    const half = 1 << (shift - 1);
    return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
  }
  const rounded = abs + 0xfff + ((abs >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** The number that half bits stand for. */
export function fromHalfBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** bf16 bits of a number, nearest even; NaN stays NaN. */
export function toBfloatBits(value: number): number {
  f32[0] = value;
  const x = u32[0];
  if ((x & 0x7fffffff) > 0x7f800000) return (x >>> 16) | 0x40;
  return (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
}

/** The number that bf16 bits stand for. */
export function fromBfloatBits(bits: number): number {
  u32[0] = (bits & 0xffff) << 16;
  return f32[0];
}

/** Converts a whole array of f16 bits to f32. */
export function halfToFloat(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(bits.length);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) {
    const h = bits[i];
    const exponent = h & 0x7c00;
    // Normal numbers, nearly all of them, only move their bits and shift the exponent's bias by 112.
    if (exponent !== 0 && exponent !== 0x7c00) words[i] = ((h & 0x8000) << 16) | (((h & 0x7fff) << 13) + 0x38000000);
    else out[i] = fromHalfBits(h);
  }
  return out;
}

/** Converts a whole array of f32 values to f16 bits. */
export function floatToHalf(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = toHalfBits(values[i]);
  return out;
}

/** Converts a whole array of bf16 bits to f32. */
export function bfloatToFloat(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}

/** Converts a whole array of f32 values to bf16 bits. */
export function floatToBfloat(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = toBfloatBits(values[i]);
  return out;
}

const f64AsF32 = new Float32Array(1);
const f64AsU32 = new Uint32Array(f64AsF32.buffer);

/**
 * f32 bits of a double, rounded to odd: towards zero, the last bit set where anything was cut off. Rounding these to a format at least two
 * bits narrower gives what rounding the double once would give (Boldo and Melquiond 2008); through nearest-even f32 it would be rounded twice.
 */
function toOddFloat(value: number): number {
  f64AsF32[0] = value;
  const near = f64AsF32[0];
  // NaN equals nothing, and stays one.
  if (near === value || Number.isNaN(value)) return near;
  f64AsU32[0] = (Math.abs(near) > Math.abs(value) ? f64AsU32[0] - 1 : f64AsU32[0]) | 1;
  return f64AsF32[0];
}

/** Half bits of doubles, each rounded once to nearest even. */
export function doubleToHalf(values: ArrayLike<number>, out: Uint16Array): void {
  for (let i = 0; i < values.length; i++) out[i] = toHalfBits(toOddFloat(values[i]));
}

/** bf16 bits of doubles, each rounded once to nearest even. */
export function doubleToBfloat(values: ArrayLike<number>, out: Uint16Array): void {
  for (let i = 0; i < values.length; i++) out[i] = toBfloatBits(toOddFloat(values[i]));
}
