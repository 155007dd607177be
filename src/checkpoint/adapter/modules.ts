/**
 * Where each matrix of an adapter lies: in PEFT's file, one A and one B a module; inside scion, stacked for every fused
 * parameter. Shapes: R = rank times the number of targeted views of a parameter. `lora_a` [R, in] holds view j in rows
 * j*rank and on; `lora_b` [out, R] is block structured: the rows of view j use the columns j*rank and on, the rest is 0.
 * An embedding is looked up and not multiplied, so its A has a row a piece: `embed.lora_a` [V, rank], `embed.lora_b` [D, rank].
 */
import { ScionError } from '../../base/errors.ts';
import type { LlamaConfig } from '../../nn/config.ts';
import { loraModules } from '../../nn/lora.ts';
import type { Shape } from '../../tensor/types.ts';

/** Names of a parameter's two factors. */
export const loraA = (parameter: string): string => `${parameter}.lora_a`;
export const loraB = (parameter: string): string => `${parameter}.lora_b`;

/** What PEFT puts before the names of the model. */
export const PEFT_PREFIX = 'base_model.model.';
export const EMBED_MODULE = 'model.embed_tokens';
export const HEAD_MODULE = 'lm_head';

/** One targeted module as part of a fused parameter. */
export interface AdapterModule {
  /** Hugging Face's path of the module, such as `model.layers.0.self_attn.q_proj`. */
  readonly module: string;
  /** Last part of it. */
  readonly target: string;
  /** scion's parameter: `layers.0.qkv`. */
  readonly parameter: string;
  /** The module's rows in the parameter: first, and how many. */
  readonly row: number;
  readonly out: number;
  readonly in: number;
  /** Its number among the targeted views of the parameter, and their number. */
  readonly index: number;
  readonly count: number;
}

/** The modules whose last name is among the targets, in the order of `listHfViews`. A tied head is one as well: it multiplies by the embedding. */
export function listAdapterModules(c: LlamaConfig, targets: readonly string[]): AdapterModule[] {
  // Which views an adapter has does not hang on its rank.
  return loraModules(c, { rank: 1, targets }).flatMap(({ name, views }) =>
    views.map(({ hf, row, shape }, index) => {
      const module = hf.slice(0, -'.weight'.length);
      return { module, target: module.slice(module.lastIndexOf('.') + 1), parameter: name, row, out: shape[0], in: shape[1], index, count: views.length };
    }),
  );
}

/** The two tensors of a module in PEFT's file. */
export interface PeftPair {
  readonly a: { readonly name: string; readonly shape: Shape };
  readonly b: { readonly name: string; readonly shape: Shape };
}

/** Names and shapes as PEFT writes them: A [r, in], B [out, r]; an embedding's A is [r, V], its B [D, r], both without `.weight`. */
export function peftPair({ module, out, in: columns }: Pick<AdapterModule, 'module' | 'out' | 'in'>, rank: number): PeftPair {
  const at = `${PEFT_PREFIX}${module}`;
  if (module === EMBED_MODULE) {
    return { a: { name: `${at}.lora_embedding_A`, shape: [rank, out] }, b: { name: `${at}.lora_embedding_B`, shape: [columns, rank] } };
  }
  return { a: { name: `${at}.lora_A.weight`, shape: [rank, columns] }, b: { name: `${at}.lora_B.weight`, shape: [out, rank] } };
}

/** [rows, columns] to [columns, rows]. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = values[r * columns + c];
  return out;
}

/** A module's own A and B, laid out as PEFT stores them, out of the stacked factors. */
export function cutPair(m: AdapterModule, rank: number, a: Float32Array, b: Float32Array): { a: Float32Array; b: Float32Array } {
  if (m.module === EMBED_MODULE) return { a: transposed(a, m.out, rank), b };
  const R = rank * m.count;
  const from = m.index * rank;
  const own = new Float32Array(m.out * rank);
  for (let o = 0; o < m.out; o++) {
    const row = (m.row + o) * R;
    for (let k = 0; k < R; k++) {
      const value = b[row + k];
      if (k >= from && k < from + rank) own[o * rank + k - from] = value;
      else if (value !== 0)
        throw new ScionError(
          'internal',
          `${loraB(m.parameter)} holds ${value} at row ${m.row + o}, column ${k}; only columns ${from} to ${from + rank} of ${m.module} may differ from 0`,
        );
    }
  }
  return { a: a.subarray(from * m.in, (from + rank) * m.in), b: own };
}

/** Puts a module's A and B, laid out as PEFT stores them, into the stacked factors. */
export function placePair(m: AdapterModule, rank: number, pair: { a: Float32Array; b: Float32Array }, into: { a?: Float32Array; b?: Float32Array }): void {
  if (m.module === EMBED_MODULE) {
    into.a?.set(transposed(pair.a, rank, m.out));
    into.b?.set(pair.b);
    return;
  }
  const R = rank * m.count;
  const from = m.index * rank;
  into.a?.set(pair.a, from * m.in);
  for (let o = 0; o < m.out; o++) into.b?.set(pair.b.subarray(o * rank, (o + 1) * rank), (m.row + o) * R + from);
}
