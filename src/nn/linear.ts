/**
 * The one door through which a model multiplies with its matrices: the base product, and beside it the low-rank adapter
 * where there is one (two thin launches, their sum in an epilogue). How a matrix is stored is decided here and nowhere in the model.
 */
import type { Graph, Value } from '../tensor/graph.ts';
import { dropout } from '../tensor/ops/dropout.ts';
import { type EmbedSegments, embed } from '../tensor/ops/embed.ts';
import { matmul } from '../tensor/ops/matmul.ts';
import { quantMatmul } from '../tensor/ops/quant_matmul.ts';
import type { Stream } from '../tensor/ops/random.ts';
import type { DType } from '../tensor/types.ts';
import type { LlamaConfig } from './config.ts';
import { type LoraModule, type LoraSpec, listLora, loraScale } from './lora.ts';
import { type Precision, weightName } from './parameters.ts';
import { quantWeight } from './quantized.ts';

/** How a forward pass reads its matrices. */
export interface LinearOptions {
  readonly precision: Precision;
  readonly lora?: LoraSpec;
  /** Where dropout draws from: training only. Without it nothing is dropped. */
  readonly random?: Stream;
}

/** A low-rank term beside a head: t [..., R] holds x A^T, scaled; its logits are t B^T. */
export interface HeadTerm {
  readonly t: Value;
  readonly b: Value;
}

/** The matrices of a model in one graph. */
export interface Linear {
  /** x W^T (+ adapter) (+ add). x [..., in]; the parameter is [out, in]. `add` is as large as the result. */
  (x: Value, parameter: string, options?: { add?: Value; dtype?: DType }): Value;
  /** Rows of the embedding (+ adapter) by id. */
  embed(ids: Value, dtype: DType, sort?: EmbedSegments): Value;
  /** The head's adapter on x [N, D] for ops that hold the head's product inside themselves; null without one. */
  headTerm(x: Value): HeadTerm | null;
  /** Logits [N, V] in f32. */
  logits(x: Value): Value;
}

/** A matrix as the forward pass reads it: its 16-bit copy where there is one. */
export function weight(g: Graph, name: string): Value {
  return g.state(g.states?.get(weightName(name)) ? weightName(name) : name);
}

/** The name of the matrix that the head multiplies with. */
export function headParameter(c: LlamaConfig): string {
  return c.tied ? 'embed' : 'head';
}

/** The matrices of a model for one graph. */
export function makeLinear(g: Graph, c: LlamaConfig, options: LinearOptions): Linear {
  const { lora, random } = options;
  const modules = new Map<string, LoraModule>(lora ? listLora(c, lora).map((m) => [m.name, m]) : []);
  const scale = lora ? loraScale(lora) : 0;
  /** x A^T in f32: thin, so exactness costs nothing. */
  const down = (x: Value, m: LoraModule, alpha = 1): Value => {
    const dropped = random && lora && lora.dropout > 0 ? dropout(x, lora.dropout, { ...random, site: m.site }) : x;
    return matmul(dropped, g.state(m.a.name), { transposeB: true, dtype: 'f32', alpha });
  };
  const linear = (x: Value, parameter: string, { add, dtype }: { add?: Value; dtype?: DType } = {}): Value => {
    const q = quantWeight(g, parameter, x.shape[x.shape.length - 1]);
    const y = q ? quantMatmul(x, q, { add, dtype }) : matmul(x, weight(g, parameter), { transposeB: true, add, dtype });
    const m = modules.get(parameter);
    return m ? matmul(down(x, m), g.state(m.b.name), { transposeB: true, alpha: scale, add: y, dtype: y.dtype }) : y;
  };
  const headTerm = (x: Value): HeadTerm | null => {
    const m = modules.get('head');
    return m ? { t: down(x, m, scale), b: g.state(m.b.name) } : null;
  };
  return Object.assign(linear, {
    embed(ids: Value, dtype: DType, sort?: EmbedSegments): Value {
      const y = embed(weight(g, 'embed'), ids, { dtype, ...sort });
      const m = modules.get('embed');
      if (!m) return y;
      const rows = embed(g.state(m.a.name), ids, { dtype: 'f32', ...sort });
      return matmul(rows, g.state(m.b.name), { transposeB: true, alpha: scale, add: y, dtype });
    },
    headTerm,
    logits(x: Value): Value {
      const y = matmul(x, weight(g, headParameter(c)), { transposeB: true, dtype: 'f32' });
      const term = headTerm(x);
      return term ? matmul(term.t, term.b, { transposeB: true, add: y, dtype: 'f32' }) : y;
    },
  });
}
