/**
 * Where a quantised matrix of a model lies among its states: codes and scales instead of weights, for frozen matrices of the
 * layers. Nothing but the names says so, and `linear` multiplies with whichever is there. The trade is QLoRA's: a base of 4.5 or 8.5 bits a weight
 * that cannot learn, and that is near what was imported but not equal to it.
 */
import type { Graph } from '../tensor/graph.ts';
import type { QuantWeight } from '../tensor/ops/quant_matmul.ts';
import { dequantize, QUANT_BLOCK, type QuantBits, quantize, quantShapes } from '../tensor/quantize.ts';
import type { States } from '../tensor/states.ts';
import { roundUp, type Shape } from '../tensor/types.ts';

/** Names of a quantised parameter's codes and scales among the states. */
export const wordsName = (name: string): string => `words:${name}`;
export const scalesName = (name: string): string => `scales:${name}`;

/** Declares a matrix [N, K] as codes and scales: weights that no master stands behind, so checkpoints keep them as they are. */
export function declareQuantised(states: States, name: string, [rows, columns]: Shape, bits: QuantBits): void {
  const shapes = quantShapes(rows, columns, bits);
  states.declare(wordsName(name), 'weight', 'frozen-words', shapes.words, 'u32');
  states.declare(scalesName(name), 'weight', 'frozen-scales', shapes.scales, 'f32');
}

/** Bits of a parameter's codes, given its columns; null where the parameter is not quantised. */
export function quantBitsOf(states: States | null, name: string, columns: number): QuantBits | null {
  const words = states?.get(wordsName(name));
  return words ? (((words.shape[1] * 32) / roundUp(columns, QUANT_BLOCK)) as QuantBits) : null;
}

/** A quantised matrix with `columns` inputs in a graph; null where the parameter is not quantised. */
export function quantWeight(g: Graph, name: string, columns: number): QuantWeight | null {
  const bits = quantBitsOf(g.states, name, columns);
  return bits && { words: g.state(wordsName(name)), scales: g.state(scalesName(name)), bits };
}

/** What the states of a quantised parameter [N, K] are to hold for these values, by name; null where the parameter is not quantised. */
export function quantisedStates(states: States, name: string, values: ArrayLike<number>): [state: string, values: Uint32Array | Float32Array][] | null {
  const rows = states.get(wordsName(name))?.shape[0];
  if (rows === undefined) return null;
  const columns = values.length / rows;
  const q = quantize(values, rows, columns, quantBitsOf(states, name, columns) as QuantBits);
  return [
    [wordsName(name), q.words],
    [scalesName(name), q.scales],
  ];
}

/** The weights [N, K], f32, that codes and scales stand for; to the bit those that kernels multiply with. */
export function weightsOf([rows, columns]: Shape, words: Uint32Array, scales: Float32Array): Float32Array {
  const bits = ((words.length / rows) * 32) / roundUp(columns, QUANT_BLOCK);
  return Float32Array.from(dequantize({ bits: bits as QuantBits, rows, columns, words, scales }));
}
