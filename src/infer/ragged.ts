/**
 * Many sequences of any lengths in one row of tokens, their keys and values in slots of one cache. Each token says where the keys lie that it
 * sees: a run that many sequences share (few-shot examples, computed once) and its sequence's own. So a pass holds no padding but at its
 * end, and a prefix is stored once however many continue it. What it trades for that: slots are given by the caller, and sequences share prefixes
 * one level deep. The same idea as cascade attention (Juravsky et al. 2024, "Hydragen"), with the runs in one softmax.
 */
import { invariant, ScionError } from '../base/errors.ts';
import type { LlamaConfig } from '../nn/config.ts';
import { makeLinear } from '../nn/linear.ts';
import { headParameter, llamaHidden, weight } from '../nn/llama.ts';
import { Graph, type Value, view } from '../tensor/graph.ts';
import { argmax } from '../tensor/ops/argmax.ts';
import { embed } from '../tensor/ops/embed.ts';
import { linearCrossEntropy } from '../tensor/ops/linear_cross_entropy.ts';
import { matmul } from '../tensor/ops/matmul.ts';
import { type Plan, planGraph } from '../tensor/plan.ts';
import type { Program } from '../tensor/session.ts';
import type { States } from '../tensor/states.ts';
import type { Generator } from './generator.ts';
import type { InferOptions } from './plans.ts';

/** What ragged passes are made for. */
export interface RaggedOptions {
  /** T: tokens of a pass. */
  readonly tokens: number;
  /** C: slots for keys and values, of all sequences together. */
  readonly slots: number;
  /** Tokens of the longest sequence, which the rotary table covers. */
  readonly positions: number;
  /** Scoring: rows of a pass that meet the head, and the most ids whose logits are read beside the losses. */
  readonly score?: { readonly rows: number; readonly picks: number };
  /** Generation: the most sequences side by side. */
  readonly sequences?: number;
}

/** Programs: scoring, the first token of generated sequences, their next tokens (many sequences, and few). */
export const RAGGED = { score: 'ragged-score', prefill: 'ragged-prefill', step: 'ragged-step', few: 'ragged-few' } as const;
export type RaggedProgram = (typeof RAGGED)[keyof typeof RAGGED];

/** Sequences of the program for few of them, where there may be many more. */
const FEW = 8;

const slotsName = (layer: number): string => `slots.${layer}`;

/** @throws ScionError `usage` for impossible sizes. */
export function checkRagged({ tokens, slots, positions, score, sequences }: RaggedOptions): void {
  const least = {
    tokens,
    slots,
    positions,
    ...(score && { 'score.rows': score.rows, 'score.picks': score.picks }),
    ...(sequences !== undefined && { sequences }),
  };
  for (const [name, value] of Object.entries(least))
    if (!Number.isInteger(value) || value < 1) throw new ScionError('usage', `ragged.${name} must be an integer from 1, got ${value}`, { name, value });
  if (!score && sequences === undefined) throw new ScionError('usage', 'ragged passes that neither score nor generate can do nothing; give score or sequences');
}

/** Declares the cache of ragged passes. */
export function declareSlots(states: States, c: LlamaConfig, { slots }: RaggedOptions, dtype: 'f32' | 'f16'): void {
  for (let i = 0; i < c.numLayers; i++) states.declare(slotsName(i), 'cache', 'cache', [1, slots, 2 * c.numKvHeads * c.headSize], dtype);
}

/** The rows [N, D] of T tokens that `rows` names; a number of T or more gives zeros. */
function traceRows(graph: Graph, c: LlamaConfig, options: InferOptions, T: number, N: number, positions: number) {
  const inputs = {
    ids: graph.data('ids', [1, T], 'u32'),
    positions: graph.data('positions', [1, T], 'u32'),
    ranges: graph.data('ranges', [1, T, 4], 'u32'),
    cache: { layers: Array.from({ length: c.numLayers }, (_, i) => graph.state(slotsName(i))), slots: graph.data('slots', [1, T], 'u32') },
  };
  const linear = makeLinear(graph, c, options);
  const hidden = view(llamaHidden(graph, c, inputs, { precision: options.precision, capacity: positions, linear }), [T, c.hiddenSize]);
  return { linear, rows: embed(hidden, graph.data('rows', [N], 'u32')) };
}

/** Data `picks`: ids whose logits f32 [N, L] are wanted. Their rows of the head are gathered, so that no [N, V] exists. */
function tracePicks(graph: Graph, c: LlamaConfig, rows: Value, term: { readonly t: Value; readonly b: Value } | null, L: number): Value {
  const ids = graph.data('picks', [L], 'u32');
  const y = matmul(rows, embed(weight(graph, headParameter(c)), ids, { dtype: rows.dtype }), { transposeB: true, dtype: 'f32' });
  return term ? matmul(term.t, embed(term.b, ids, { dtype: 'f32' }), { transposeB: true, add: y, dtype: 'f32' }) : y;
}

/** Plans the programs of ragged passes; `positions` as in the other programs of the session. */
export function planRagged(
  states: States,
  c: LlamaConfig,
  options: InferOptions,
  ragged: RaggedOptions,
  facts: Plan['facts'],
  positions: number,
): Record<string, Plan> {
  const plans: Record<string, Plan> = {};
  const { tokens, score, sequences } = ragged;
  if (score) {
    const graph = new Graph(states);
    const { linear, rows } = traceRows(graph, c, options, tokens, score.rows, positions);
    const term = linear.headTerm(rows);
    const { nll } = linearCrossEntropy(rows, weight(graph, headParameter(c)), graph.data('labels', [score.rows], 'i32'), { term });
    plans[RAGGED.score] = planGraph(graph, { name: RAGGED.score, facts, outputs: { nll, picks: tracePicks(graph, c, rows, term, score.picks) } });
  }
  if (sequences !== undefined) {
    const choose = (name: RaggedProgram, T: number, N: number): void => {
      const graph = new Graph(states);
      const { linear, rows } = traceRows(graph, c, options, T, N, positions);
      plans[name] = planGraph(graph, { name, facts, outputs: { best: argmax(linear.logits(rows)) } });
    };
    choose(RAGGED.prefill, tokens, sequences);
    choose(RAGGED.step, sequences, sequences);
    if (sequences >= 2 * FEW) choose(RAGGED.few, FEW, FEW);
  }
  return plans;
}

/** Where a sequence's keys lie: `length` shared ones from slot `shared` on (positions 0 to length - 1), its own from slot `own` on. */
export interface Place {
  readonly shared: number;
  readonly length: number;
  readonly own: number;
  /**
   * The tokens are such a beginning themselves. Their keys are told as those of a shared run: tokens that are computed together then have
   * their first runs near each other and their second ones too, and a kernel that walks both for a block of rows walks less.
   */
  readonly isShared?: boolean;
}

/** Slot of padding: the cache is not written. */
const NO_SLOT = 0xffffffff;
const IGNORED = -100;

/** A pass being filled: tokens first, then what is asked of them; `score` or `choose` runs it and empties it. */
export class RaggedPass {
  /** Tokens and rows that it holds at most. */
  readonly tokens: number;
  readonly rows: number;
  /** Tokens and rows that it holds. */
  used = 0;
  asked = 0;
  private readonly program: Program;
  private readonly feeds: Record<'ids' | 'positions' | 'ranges' | 'slots' | 'rows', Uint32Array>;
  private readonly labels: Int32Array;
  private readonly window: number;
  private readonly vocabSize: number;

  /** @throws ScionError `usage` for a model that was opened without this program. */
  constructor(model: Generator, name: RaggedProgram) {
    this.program = model.session.programs[name];
    const { ragged } = model.options;
    if (!this.program || !ragged) throw new ScionError('usage', `this model was opened without ${name}; open it with ragged: { tokens, slots, positions, … }`);
    const size = (data: string): number => this.program.plan.data.find((d) => d.name === data)?.shape.reduce((a, b) => a * b, 1) ?? 0;
    this.tokens = size('ids');
    this.rows = size('rows');
    const make = (n: number) => new Uint32Array(n);
    this.feeds = { ids: make(this.tokens), positions: make(this.tokens), ranges: make(4 * this.tokens), slots: make(this.tokens), rows: make(this.rows) };
    this.labels = new Int32Array(this.rows);
    this.window = model.config.slidingWindow ?? 0;
    this.vocabSize = model.config.vocabSize;
    this.clear();
  }

  private clear(): void {
    this.used = 0;
    this.asked = 0;
    this.feeds.ids.fill(0);
    this.feeds.positions.fill(0);
    this.feeds.ranges.fill(0);
    this.feeds.slots.fill(NO_SLOT);
    this.feeds.rows.fill(this.tokens);
    this.labels.fill(IGNORED);
  }

  /** Adds the token at `position` of a sequence; tokens of a sequence come in order. */
  add(id: number, position: number, { shared, length, own, isShared = false }: Place): void {
    if (id >= this.vocabSize) throw new ScionError('input', `id ${id} lies outside the vocabulary of ${this.vocabSize}`, { id });
    invariant(this.used < this.tokens, 'a pass holds no more tokens than it was made for');
    const { ids, positions, ranges, slots } = this.feeds;
    const at = this.used++;
    const first = this.window > 0 ? Math.max(0, position - this.window + 1) : 0;
    ids[at] = id;
    positions[at] = position;
    // A prefix is a sequence that shares nothing; its continuations see it from their own run.
    slots[at] = own + position - length;
    if (first < length) {
      ranges[4 * at] = shared + first;
      ranges[4 * at + 1] = shared + length;
    }
    const run = 4 * at + (isShared ? 0 : 2);
    ranges[run] = own + Math.max(0, first - length);
    ranges[run + 1] = slots[at] + 1;
  }

  /** Asks for what follows the token that was added last: the row of the answer. `label`: the id whose loss is wanted. */
  ask(label = IGNORED): number {
    invariant(this.asked < this.rows, 'a pass holds no more rows than it was made for');
    this.feeds.rows[this.asked] = this.used - 1;
    this.labels[this.asked] = label;
    return this.asked++;
  }

  /** Runs a scoring pass: nll f32 [N] of each row's label, nats (0 without one), and logits f32 [N, L] of `picks`, ids u32 [L]. */
  async score(picks: Uint32Array): Promise<{ readonly nll: Float32Array; readonly picks: Float32Array }> {
    this.program.run({ ...this.feeds, labels: this.labels, picks });
    this.clear();
    const found = await this.program.read();
    return { nll: found.nll as Float32Array, picks: found.picks as Float32Array };
  }

  /** Runs a generating pass: the likeliest next id u32 [N] of each row. @throws ScionError `numeric` where logits hold NaN. */
  async choose(): Promise<Uint32Array> {
    const { asked } = this;
    this.program.run(this.feeds);
    this.clear();
    const best = (await this.program.read()).best as Uint32Array;
    if (best.subarray(0, asked).some((id) => id >= this.vocabSize))
      throw new ScionError('numeric', 'the logits hold NaN: the weights or the run that made them are broken');
    return best;
  }
}
