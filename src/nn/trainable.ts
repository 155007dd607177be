/**
 * What learns: a trainable set resolved to rows of scion's parameters. One form serves whole parameters, the new rows of an
 * embedding, and parts of fused matrices (q_proj alone is the first rows of qkv): the optimizer touches only these rows, at
 * the price of full gradients and moments for a parameter of which a part learns.
 */
import { ScionError } from '../base/errors.ts';
import type { LlamaConfig } from './config.ts';
import { FROZEN, listHfViews, listParameters, type Parameter } from './parameters.ts';

/** What learns in a stage of training. */
export interface Trainable {
  /**
   * `all`; `embeddings` (embedding and head); `rows` (their rows from `firstRow` on); `none` (only adapters); or globs over
   * Hugging Face's names (`*` any characters, `?` one), as `model.layers.1?.mlp.*`.
   */
  readonly parameters: 'all' | 'embeddings' | 'rows' | 'none' | readonly string[];
  /** First row that learns, for `rows`: customarily the size of the vocabulary before it was extended. */
  readonly firstRow?: number;
}

/** Rows from <= r < to of a parameter; of a vector, its elements. */
export interface RowRun {
  readonly from: number;
  readonly to: number;
}

/** The rows that learn of each parameter that learns at all, in order and not touching each other. */
export type TrainedRows = ReadonlyMap<string, readonly RowRun[]>;

/** Whether a glob (`*` any characters, `?` one) means a tensor's name. */
export function matchesTensor(glob: string, name: string): boolean {
  const text = [...glob].map((ch) => (ch === '*' ? '.*' : ch === '?' ? '.' : ch.replace(/[.+^${}()|[\]\\]/g, '\\$&'))).join('');
  return new RegExp(`^${text}$`, 'u').test(name);
}

function rowsOfGlobs(c: LlamaConfig, globs: readonly string[]): Map<string, RowRun[]> {
  const views = listHfViews(c);
  const taken = new Set<string>();
  for (const glob of globs) {
    const matched = views.filter((v) => matchesTensor(glob, v.hf));
    if (matched.length === 0) {
      const tied = c.tied && matchesTensor(glob, 'lm_head.weight') ? '; the head of this model is its embedding, model.embed_tokens.weight' : '';
      throw new ScionError(
        'usage',
        `trainable: "${glob}" matches no tensor of this model; write Hugging Face names such as ${views[2].hf} or model.layers.*${tied}`,
        { glob },
      );
    }
    for (const v of matched) taken.add(v.hf);
  }
  const out = new Map<string, RowRun[]>();
  for (const v of views) {
    if (!taken.has(v.hf)) continue;
    const runs = out.get(v.parameter) ?? [];
    out.set(v.parameter, runs);
    const last = runs.at(-1);
    const run = { from: v.row, to: v.row + v.shape[0] };
    // Views of a parameter come in order of their rows, so neighbours join.
    if (last && last.to === run.from) runs[runs.length - 1] = { from: last.from, to: run.to };
    else runs.push(run);
  }
  return out;
}

/**
 * Resolves a trainable set against a model.
 * @throws ScionError `usage` for a glob that matches nothing (named) and for a `firstRow` that is missing, superfluous or out of range.
 */
export function trainedRows(c: LlamaConfig, trainable: Trainable = { parameters: 'all' }): TrainedRows {
  const { parameters, firstRow } = trainable;
  if (parameters !== 'rows' && firstRow !== undefined) {
    throw new ScionError('usage', `trainable: firstRow ${firstRow} goes with parameters "rows", found ${JSON.stringify(parameters)}`, { firstRow });
  }
  if (typeof parameters !== 'string') return rowsOfGlobs(c, parameters);
  const whole = listParameters(c).filter((p) => parameters === 'all' || (parameters !== 'none' && p.group === 'vocab'));
  if (parameters === 'rows' && !(firstRow !== undefined && Number.isInteger(firstRow) && firstRow >= 0 && firstRow < c.vocabSize)) {
    throw new ScionError('usage', `trainable: "rows" needs a firstRow from 0 to ${c.vocabSize - 1}, the last row of this model, got ${firstRow}`, { firstRow });
  }
  return new Map(whole.map((p) => [p.name, [{ from: firstRow ?? 0, to: p.shape[0] }]]));
}

/** True if every row of the parameter learns. */
export function learnsWhole(p: Parameter, runs: readonly RowRun[]): boolean {
  return runs.length === 1 && runs[0].from === 0 && runs[0].to === p.shape[0];
}

/** Ends the name of a group whose parameters learn in part; their updates go row run by row run. */
const PART = '-part';

/** True for a state group of parameters that learn in part. */
export const isPartGroup = (group: string): boolean => group.endsWith(PART);

/** The state group of a parameter: its own, its own with `-part`, or `frozen`. Adapters always learn. */
export function groupOfTrained(rows: TrainedRows): (p: Parameter) => string {
  return (p) => {
    if (p.adapter) return p.group;
    const runs = rows.get(p.name);
    if (!runs) return FROZEN;
    return learnsWhole(p, runs) ? p.group : `${p.group}${PART}`;
  };
}

/** Whether weight decay applies to a group by default: to matrices of layers and their adapters, not to embedding, head, norms and biases. */
export const decaysByDefault = (group: string): boolean => /^(decay|lora)(-part)?$/.test(group);
