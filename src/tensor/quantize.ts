/**
 * Block quantisation of frozen matrices, on the host: 8 bit (signed integers) or 4 bit (NF4), one f32 scale for each 64 weights
 * along a row, largest magnitude first (absmax). A quarter or an eighth of f32's memory for an error of about 0.6 or 9 % of the
 * weights' norm; training goes through it into what is not frozen (QLoRA, Dettmers et al. 2023, arXiv:2305.14314; blocks after
 * Dettmers et al. 2022, arXiv:2110.02861). Layout: rows padded to whole blocks, codes lowest bits first in 32-bit words, so that element i of the padded
 * matrix is in word i / (32 / bits) and under scale i / 64, and a row starts at a word. Double quantisation of the scales is not done.
 */
import { ScionError } from '../base/errors.ts';
import { roundUp, type Shape } from './types.ts';

/** Weights along a row that share a scale; QLoRA's default. Kernels know it too (kernels/lib/quant.wgsl). */
export const QUANT_BLOCK = 64;

/** Bits of a code: 8 signed integers from -127 to 127, 4 indices into `NF4`. */
export type QuantBits = 4 | 8;

/** A quantised matrix [N, K]. */
export interface Quantised {
  readonly bits: QuantBits;
  readonly rows: number;
  readonly columns: number;
  /** [N, padded K * bits / 32]; padding stands for zeros. */
  readonly words: Uint32Array;
  /** [N, padded K / 64]; a code's weight is its value times this. */
  readonly scales: Float32Array;
}

/** NormalFloat values of QLoRA's appendix E: quantiles of a normal distribution scaled to [-1, 1], with an exact zero. All are f32 numbers. */
export const NF4: readonly number[] = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534,
  0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/** Halfway between neighbouring values: a weight gets the nearest. */
const NF4_BORDERS = NF4.slice(1).map((x, i) => (x + NF4[i]) / 2);

/** The shapes of a quantised [N, K]'s words (u32) and scales (f32). */
export function quantShapes(rows: number, columns: number, bits: QuantBits): { words: Shape; scales: Shape } {
  const padded = roundUp(columns, QUANT_BLOCK);
  return { words: [rows, (padded * bits) / 32], scales: [rows, padded / QUANT_BLOCK] };
}

function nf4Code(x: number): number {
  let code = x > NF4_BORDERS[7] ? 8 : 0;
  if (x > NF4_BORDERS[code + 3]) code += 4;
  if (x > NF4_BORDERS[code + 1]) code += 2;
  return x > NF4_BORDERS[code] ? code + 1 : code;
}

/**
 * Quantises a matrix [N, K]; the last block of a row may be short.
 * @throws ScionError `input` for a size that does not fit, or a weight that is NaN or infinite (its block would be lost).
 */
export function quantize(values: ArrayLike<number>, rows: number, columns: number, bits: QuantBits): Quantised {
  if (values.length !== rows * columns) throw new ScionError('input', `quantize: ${values.length} weights cannot be [${rows}, ${columns}]`);
  const shapes = quantShapes(rows, columns, bits);
  const blocks = shapes.scales[1];
  const perWord = 32 / bits;
  const blockWords = QUANT_BLOCK / perWord;
  // Index 7 is NF4's zero.
  const words = new Uint32Array(rows * shapes.words[1]).fill(bits === 4 ? 0x77777777 : 0);
  const scales = new Float32Array(rows * blocks);
  for (let block = 0; block < scales.length; block++) {
    const row = Math.floor(block / blocks);
    const from = row * columns + (block % blocks) * QUANT_BLOCK;
    const count = Math.min(QUANT_BLOCK, (row + 1) * columns - from);
    let most = 0;
    for (let j = 0; j < count; j++) {
      const size = Math.abs(values[from + j]);
      // A comparison that NaN fails.
      if (!(size <= 3.5e38))
        throw new ScionError('input', `quantize: weight [${row}, ${from + j - row * columns}] is ${values[from + j]}; only finite weights have a scale`);
      if (size > most) most = size;
    }
    scales[block] = bits === 4 ? most : most / 127;
    // As stored; a block whose scale f32 rounds to zero is zero.
    const scale = scales[block];
    if (scale === 0) continue;
    for (let w = 0; w * perWord < count; w++) {
      let word = words[block * blockWords + w];
      const end = Math.min(perWord, count - w * perWord);
      for (let j = 0; j < end; j++) {
        const x = values[from + w * perWord + j] / scale;
        // Ties away from zero; a subnormal scale may be off by more than half a step, hence the clamp.
        const code = bits === 4 ? nf4Code(x) : Math.max(-127, Math.min(127, Math.sign(x) * Math.floor(Math.abs(x) + 0.5)));
        const mask = bits === 4 ? 15 : 255;
        word = (word & ~(mask << (j * bits))) | ((code & mask) << (j * bits));
      }
      words[block * blockWords + w] = word;
    }
  }
  return { bits, rows, columns, words, scales };
}

/** The value of the code that padded element `i` has, before its scale. */
function codeValue(words: ArrayLike<number>, i: number, bits: QuantBits): number {
  const perWord = 32 / bits;
  const word = words[Math.floor(i / perWord)] >>> (bits * (i % perWord));
  return bits === 4 ? NF4[word & 15] : (word << 24) >> 24;
}

/** What a quantised matrix stands for, [N, K] in float64. Rounded to f32, these are the weights that kernels compute with, to the bit. */
export function dequantize(q: { bits: QuantBits; rows: number; columns: number; words: ArrayLike<number>; scales: ArrayLike<number> }): Float64Array {
  const { bits, rows, columns, words, scales } = q;
  const padded = roundUp(columns, QUANT_BLOCK);
  const out = new Float64Array(rows * columns);
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < columns; k++) {
      const i = n * padded + k;
      out[n * columns + k] = codeValue(words, i, bits) * scales[Math.floor(i / QUANT_BLOCK)];
    }
  }
  return out;
}
