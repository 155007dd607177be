/**
 * Rotary position embedding on fused rows: the query and key heads are turned in place, half-split
 * pairs (i, i + S/2) as Hugging Face stores them; values stay. Cosines and sines come from a table
 * that the host computes in float64, since shaders' own are good to 2^-11 only.
 */
import { ScionError } from '../../base/errors.ts';
import type { Value } from '../graph.ts';
import { type HeadLayout, headLayout } from '../lower/heads.ts';
import { foldGrid, type Op } from '../op.ts';
import { byteSize, require_, sizeOf } from '../types.ts';
import { requireFused } from './attention.ts';
import { COPY } from './copy.ts';

/** How frequencies are changed for contexts longer than the model was trained on; the names are Hugging Face's in camel case. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly originalMaxPositionEmbeddings: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalMaxPositionEmbeddings: number;
      /** Default 32 and 1: rotations over the original length between which frequencies are blended. */
      readonly betaFast?: number;
      readonly betaSlow?: number;
      /** Factor of cosines and sines; by default 0.1 ln(factor) + 1, or from the two mscale values. */
      readonly attentionFactor?: number;
      readonly mscale?: number;
      readonly mscaleAllDim?: number;
      /** Whether the blend's borders are rounded to whole frequencies; default true. */
      readonly truncate?: boolean;
    };

/** What a table is made from. */
export interface RopeSpec {
  /** S, even. */
  readonly headSize: number;
  readonly theta: number;
  readonly scaling?: RopeScaling;
  /** C: positions 0 to C - 1; `dynamic` takes it as the sequence's length. */
  readonly capacity: number;
}

/**
 * Angular frequencies (radians a position) of the S/2 pairs and the factor of cosines and sines.
 * Formulas: transformers, `modeling_rope_utils`; NTK-aware scaling by bloc97, YaRN by Peng et al. 2023.
 */
export function ropeFrequencies(spec: RopeSpec): { frequencies: Float64Array; factor: number } {
  const { headSize: S, theta, capacity, scaling = { type: 'default' } } = spec;
  const wrong = (what: string): never => {
    throw new ScionError('input', `rope: ${what}`, { ...spec });
  };
  if (!Number.isInteger(S) || S < 2 || S % 2 !== 0) wrong(`head size must be even, got ${S}`);
  if (!(theta > 1)) wrong(`theta must be above 1, got ${theta}`);
  if (!Number.isInteger(capacity) || capacity < 1) wrong(`capacity must be a positive integer, got ${capacity}`);
  if (scaling.type !== 'default' && !(scaling.factor >= 1)) wrong(`${scaling.type} scaling needs a factor of at least 1, got ${scaling.factor}`);
  const original = 'originalMaxPositionEmbeddings' in scaling ? scaling.originalMaxPositionEmbeddings : 1;
  if (!(original >= 1)) wrong(`${scaling.type} scaling needs the original length (original_max_position_embeddings), got ${original}`);
  const plain = (base: number) => Float64Array.from({ length: S / 2 }, (_, i) => base ** ((-2 * i) / S));
  const frequencies = plain(theta);
  switch (scaling.type) {
    case 'default':
      return { frequencies, factor: 1 };
    case 'linear':
      return { frequencies: frequencies.map((f) => f / scaling.factor), factor: 1 };
    case 'dynamic': {
      const length = Math.max(capacity, original);
      const stretch = (scaling.factor * length) / original - (scaling.factor - 1);
      return { frequencies: S > 2 ? plain(theta * stretch ** (S / (S - 2))) : frequencies, factor: 1 };
    }
    case 'llama3': {
      const { factor, lowFreqFactor: low, highFreqFactor: high } = scaling;
      if (!(high > low && low > 0)) wrong(`llama3 scaling needs 0 < low_freq_factor < high_freq_factor, got ${low} and ${high}`);
      return {
        frequencies: frequencies.map((f) => {
          // Rotations over the original length decide: few are interpolated, many stay, between them a blend.
          const turns = (original * f) / (2 * Math.PI);
          const keep = Math.min(1, Math.max(0, (turns - low) / (high - low)));
          return keep * f + ((1 - keep) * f) / factor;
        }),
        factor: 1,
      };
    }
    case 'yarn': {
      const { factor, betaFast = 32, betaSlow = 1, mscale, mscaleAllDim, truncate = true } = scaling;
      const border = (turns: number) => (S * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
      const first = Math.max(0, truncate ? Math.floor(border(betaFast)) : border(betaFast));
      let end = Math.min(S - 1, truncate ? Math.ceil(border(betaSlow)) : border(betaSlow));
      if (end === first) end += 0.001;
      const size = (m: number) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
      const own = mscale && mscaleAllDim ? size(mscale) / size(mscaleAllDim) : size(1);
      return {
        frequencies: frequencies.map((f, i) => {
          const interpolate = Math.min(1, Math.max(0, (i - first) / (end - first)));
          return (interpolate * f) / factor + (1 - interpolate) * f;
        }),
        factor: scaling.attentionFactor ?? own,
      };
    }
  }
}

/** f32 [C, S/2, 2]: cosine and sine of every position and pair, computed in float64 and rounded once. */
export function ropeTable(spec: RopeSpec): Float32Array<ArrayBuffer> {
  const { frequencies, factor } = ropeFrequencies(spec);
  const half = frequencies.length;
  const table = new Float32Array(spec.capacity * half * 2);
  for (let p = 0; p < spec.capacity; p++) {
    for (let i = 0; i < half; i++) {
      table[(p * half + i) * 2] = Math.cos(p * frequencies[i]) * factor;
      table[(p * half + i) * 2 + 1] = Math.sin(p * frequencies[i]) * factor;
    }
  }
  return table;
}

/** Inputs qkv, positions, table; output the turned rows. `sign` 1 turns forward, -1 back. */
export const ROPE: Op = {
  name: 'rope',
  inPlace: [[0, 0]],
  cheap: true,
  infer(inputs, attrs) {
    const layout = headLayout('rope', attrs);
    const [qkv, positions, table] = inputs;
    require_('rope', inputs.length === 3, 'qkv, positions and table', inputs);
    requireFused('rope', qkv, layout, inputs);
    require_('rope', layout.headSize % 2 === 0, 'head size must be even', `head size ${layout.headSize}`);
    const [B, T] = qkv.shape;
    const { shape, dtype } = positions;
    require_('rope', dtype === 'u32' && shape.length === 2 && shape[0] === B && shape[1] === T, `positions must be u32[${B}, ${T}]`, inputs);
    const half = layout.headSize / 2;
    require_(
      'rope',
      table.dtype === 'f32' && table.shape.length === 3 && table.shape[1] === half && table.shape[2] === 2,
      `table must be f32[C, ${half}, 2]`,
      inputs,
    );
    return [{ shape: qkv.shape, dtype: qkv.dtype }];
  },
  grad(g, node) {
    const dy = g.adjoint(0);
    if (!dy || !g.wants(0)) return;
    const [, positions, table] = node.inputs;
    g.contribute([0], ([into]) => {
      const back = node.graph.apply1(ROPE, [dy, positions, table], { ...node.attrs, sign: -(node.attrs.sign as number) });
      return [into ? node.graph.apply1(COPY, [back], { scale: 1, dtype: into.dtype }, into) : back];
    });
  },
  lower(l, node) {
    const { heads, kvHeads, headSize } = headLayout('rope', node.attrs);
    const [qkv, positions, table] = node.inputs;
    const VEC = headSize % 8 === 0 ? 4 : 1;
    const [B, T] = qkv.shape;
    const half = headSize / 2 / VEC;
    const n = B * T * half;
    l.dispatch({
      kernel: 'rope/rope',
      switches: { VEC },
      bind: { Y: node.outputs[0], POS: positions, TABLE: table },
      params: { n, half, heads: heads + kvHeads, row: (heads + 2 * kvHeads) * half * 2, capacity: table.shape[0], sign: node.attrs.sign as number },
      grid: foldGrid(Math.ceil(n / 64)),
    });
  },
  cost(node) {
    const { heads, kvHeads } = headLayout('rope', node.attrs);
    const part = (heads + kvHeads) / (heads + 2 * kvHeads);
    return { flops: 3 * part * sizeOf(node.outputs[0].shape), bytes: 2 * part * byteSize(node.outputs[0]) };
  },
  place: { rule: 'heads', rows: [0, 1] },
  reference([qkv, positions, table], attrs) {
    const { heads, kvHeads, headSize } = headLayout('rope', attrs);
    const half = headSize / 2;
    const [B, T, row] = qkv.shape;
    const out = Float64Array.from(qkv.data);
    for (let token = 0; token < B * T; token++) {
      const p = positions.data[token];
      if (p >= table.shape[0]) throw new ScionError('input', `rope: position ${p} lies past the table's ${table.shape[0]}`);
      for (let head = 0; head < heads + kvHeads; head++) {
        for (let i = 0; i < half; i++) {
          const at = token * row + head * headSize + i;
          const c = table.data[(p * half + i) * 2];
          const s = table.data[(p * half + i) * 2 + 1] * (attrs.sign as number);
          const [x, y] = [qkv.data[at], qkv.data[at + half]];
          out[at] = x * c - y * s;
          out[at + half] = y * c + x * s;
        }
      }
    }
    return [out];
  },
};

/**
 * Turns the query and key heads by their positions' angles.
 * @param qkv [B, T, (H + 2K) S]; the result may take over its memory.
 * @param positions u32 [B, T], each below the table's capacity C (the device reads the last row for larger ones).
 * @param table f32 [C, S/2, 2] from `ropeTable`.
 */
export function rope(qkv: Value, positions: Value, table: Value, layout: HeadLayout): Value {
  const { heads, kvHeads, headSize } = layout;
  return qkv.node.graph.apply1(ROPE, [qkv, positions, table], { heads, kvHeads, headSize, sign: 1 });
}
