/**
 * Where a quantised matrix of a model lies among its states: codes and scales instead of weights, for frozen matrices of the
 * layers. Nothing but the names says so, and `linear` multiplies with whichever is there. The trade is QLoRA's: a base of 4.5 or 8.5 bits a weight
 * that cannot learn, and that is near what was imported but not equal to it.
 */
import { ScionError } from '../base/errors.ts';
import type { Graph } from '../tensor/graph.ts';
import type { QuantWeight } from '../tensor/ops/quant_matmul.ts';
import { dequantize, QUANT_BLOCK, type QuantBits, quantize, quantShapes } from '../tensor/quantize.ts';
import type { States } from '../tensor/states.ts';
import { roundUp, type Shape } from '../tensor/types.ts';

/** Names of a quantised parameter's codes and scales among the states. Columns are told, since rows are stored padded. */
export const wordsName = (name: string, columns: number): string => `words:${columns}:${name}`;
export const scalesName = (name: string): string => `scales:${name}`;

/** Columns of a quantised parameter, from the names of states or of a checkpoint's tensors; null where it is not quantised. */
export function quantColumns(names: Iterable<string>, name: string): number | null {
  for (const state of names) {
    const found = /^words:(\d+):(.*)$/.exec(state);
    if (found?.[2] === name) return Number(found[1]);
  }
  return null;
}

const bitsOf = (words: Shape, columns: number): QuantBits => ((words[1] * 32) / roundUp(columns, QUANT_BLOCK)) as QuantBits;

/** Declares a matrix [N, K] as codes and scales: weights that no master stands behind, so checkpoints keep them as they are. */
export function declareQuantised(states: States, name: string, [rows, columns]: Shape, bits: QuantBits): void {
  const shapes = quantShapes(rows, columns, bits);
  states.declare(wordsName(name, columns), 'weight', 'frozen-words', shapes.words, 'u32');
  states.declare(scalesName(name), 'weight', 'frozen-scales', shapes.scales, 'f32');
}

/** Bits of a parameter's codes, given its columns; null where the parameter is not quantised. */
export function quantBitsOf(states: States | null, name: string, columns: number): QuantBits | null {
  const words = states?.get(wordsName(name, columns));
  return words ? bitsOf(words.shape, columns) : null;
}

/** A quantised matrix with `columns` inputs in a graph; null where the parameter is not quantised. */
export function quantWeight(g: Graph, name: string, columns: number): QuantWeight | null {
  const bits = quantBitsOf(g.states, name, columns);
  return bits && { words: g.state(wordsName(name, columns)), scales: g.state(scalesName(name)), bits };
}

/** What the states of a parameter's codes and scales are to hold for these values [N, columns], by name. */
export function quantisedStates(states: States, name: string, columns: number, values: ArrayLike<number>): Record<string, Uint32Array | Float32Array> {
  const bits = quantBitsOf(states, name, columns);
  if (bits === null) throw new ScionError('internal', `${name} is not quantised`);
  const { words, scales } = quantize(values, values.length / columns, columns, bits);
  return { [wordsName(name, columns)]: words, [scalesName(name)]: scales };
}

/** The weights [N, columns], f32, that codes [N, W] and scales stand for; to the bit those that kernels multiply with. */
export function weightsOf(columns: number, rows: number, words: Uint32Array, scales: Float32Array): Float32Array<ArrayBuffer> {
  const bits = bitsOf([rows, words.length / rows], columns);
  return Float32Array.from(dequantize({ bits, rows, columns, words, scales }));
}
