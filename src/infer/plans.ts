/**
 * The programs of a model in use: one decode step, a few prefill lengths, one scoring pass, all over one
 * set of states. Lengths, slots and positions are step data, so these serve every prompt; a prompt longer than a
 * class goes through in chunks. Planned without a device, as training is.
 */
import { ScionError } from '../base/errors.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import type { LlamaConfig } from '../nn/config.ts';
import { makeLinear } from '../nn/linear.ts';
import { headParameter, llamaHidden, weight } from '../nn/llama.ts';
import { type LoraSpec, loraParameters } from '../nn/lora.ts';
import { declareModel, type Precision } from '../nn/parameters.ts';
import { Graph, type Value, view } from '../tensor/graph.ts';
import { argmax } from '../tensor/ops/argmax.ts';
import { embed } from '../tensor/ops/embed.ts';
import { linearCrossEntropy } from '../tensor/ops/linear_cross_entropy.ts';
import { type Plan, planGraph } from '../tensor/plan.ts';
import { type MemoryUse, memoryOf } from '../tensor/session.ts';
import { States } from '../tensor/states.ts';
import { checkRagged, declareSlots, planRagged, type RaggedOptions } from './ragged.ts';

/** What a model is opened for. */
export interface InferOptions {
  readonly precision: Precision;
  /** Adapters beside the weights; their matrices are parameters of the model like the others. */
  readonly lora?: LoraSpec;
  /** C: tokens of one sequence that the cache holds, prompt and answer together; 0 to score only. */
  readonly capacity: number;
  /** B: sequences generated side by side; 1 by default. */
  readonly batch?: number;
  /** Scoring: rows of so many tokens a run; absent for none. */
  readonly score?: { readonly batch: number; readonly tokens: number };
  /** Passes over many sequences that share prefixes, for evaluation; absent for none. */
  readonly ragged?: RaggedOptions;
}

/** Token counts that prefill is compiled for, as far as they fit the cache. With decode and score: at most six programs. */
export const PREFILL_CLASSES: readonly number[] = [8, 32, 128, 512];

/** Planned programs: `decode` and `prefill<T>` if there is a cache, `score` if asked for. */
export interface InferPlans {
  readonly states: States;
  readonly plans: Readonly<Record<string, Plan>>;
  /** T of each cached program, ascending, 1 (decode) first. */
  readonly classes: readonly number[];
  readonly memory: MemoryUse;
}

const cacheName = (layer: number): string => `cache.${layer}`;

/** Name of the program that takes T tokens a sequence. */
export const stepName = (T: number): string => (T === 1 ? 'decode' : `prefill${T}`);

interface Step {
  readonly graph: Graph;
  /** f32 [B, V] after the token that `last` names. */
  readonly logits: Value;
  /** u32 [B]: the likeliest next token; V where a logit is NaN. */
  readonly best: Value;
}

/** T new tokens of B sequences against their caches. Data `last` (where T > 1): the row of B T whose logits are wanted. */
function traceStep(states: States, c: LlamaConfig, options: InferOptions, B: number, T: number, positions: number): Step {
  const graph = new Graph(states);
  const inputs = {
    ids: graph.data('ids', [B, T], 'u32'),
    positions: graph.data('positions', [B, T], 'u32'),
    ranges: graph.data('ranges', [B, T, 4], 'u32'),
    cache: { layers: Array.from({ length: c.numLayers }, (_, i) => graph.state(cacheName(i))), slots: graph.data('slots', [B, T], 'u32') },
  };
  const linear = makeLinear(graph, c, options);
  const hidden = view(llamaHidden(graph, c, inputs, { precision: options.precision, capacity: positions, linear }), [B * T, c.hiddenSize]);
  // Rows by number are what an embedding gives; only these meet the head.
  const rows = T === 1 ? hidden : embed(hidden, graph.data('last', [B], 'u32'));
  const logits = linear.logits(rows);
  return { graph, logits, best: argmax(logits) };
}

/** Negative log-likelihood of each label of rows [B, T]; the graph of the trainer's evaluation. */
function traceScore(states: States, c: LlamaConfig, options: InferOptions, B: number, T: number, positions: number): { graph: Graph; nll: Value } {
  const graph = new Graph(states);
  const inputs = {
    ids: graph.data('ids', [B, T], 'u32'),
    positions: graph.data('positions', [B, T], 'u32'),
    ranges: graph.data('ranges', [B, T, 4], 'u32'),
  };
  const linear = makeLinear(graph, c, options);
  const hidden = view(llamaHidden(graph, c, inputs, { precision: options.precision, capacity: positions, linear }), [B * T, c.hiddenSize]);
  const { nll } = linearCrossEntropy(hidden, weight(graph, headParameter(c)), graph.data('labels', [B * T], 'i32'), { term: linear.headTerm(hidden) });
  return { graph, nll };
}

/**
 * Declares and plans a model for use.
 * @param like states of a session whose buffers will be shared: groups and storage follow it.
 * @throws ScionError `usage` for impossible sizes, `plan` or `memory` where the device's limits are exceeded.
 */
export function planInference(config: LlamaConfig, options: InferOptions, facts: DeviceFacts, like?: States): InferPlans {
  const { precision, capacity, batch = 1, score, ragged } = options;
  const natural = (name: string, value: number, least: number): void => {
    if (!Number.isInteger(value) || value < least) throw new ScionError('usage', `${name} must be an integer from ${least}, got ${value}`, { name, value });
  };
  natural('capacity', capacity, 0);
  natural('batch', batch, 1);
  if (score) {
    natural('score.batch', score.batch, 1);
    natural('score.tokens', score.tokens, 1);
  }
  if (ragged) checkRagged(ragged);
  if (capacity === 0 && !score && !ragged)
    throw new ScionError('usage', 'a model opened with capacity 0 and without score or ragged passes can do nothing; give one of them');
  const states = new States();
  declareModel(states, config, { precision, train: null, like, adapters: options.lora && loraParameters(config, options.lora) });
  if (capacity > 0) {
    const shape = [batch, capacity, 2 * config.numKvHeads * config.headSize];
    for (let i = 0; i < config.numLayers; i++) states.declare(cacheName(i), 'cache', 'cache', shape, precision === 'mixed' ? 'f16' : 'f32');
  }
  if (ragged) declareSlots(states, config, ragged, precision === 'mixed' ? 'f16' : 'f32');
  states.freeze(facts);
  // One rotary table for all programs, so that scoring and decoding agree where scaling depends on its length.
  const positions = Math.max(capacity, score?.tokens ?? 0, ragged?.positions ?? 0);
  const classes = capacity > 0 ? [1, ...PREFILL_CLASSES.filter((T) => T <= capacity)] : [];
  const plans: Record<string, Plan> = {};
  for (const T of classes) {
    const { graph, best, logits } = traceStep(states, config, options, batch, T, positions);
    plans[stepName(T)] = planGraph(graph, { name: stepName(T), facts, outputs: { best, logits } });
  }
  if (score) {
    const { graph, nll } = traceScore(states, config, options, score.batch, score.tokens, positions);
    plans.score = planGraph(graph, { name: 'score', facts, outputs: { nll } });
  }
  if (ragged) Object.assign(plans, planRagged(states, config, options, ragged, facts, positions));
  return { states, plans, classes, memory: memoryOf(Object.values(plans)) };
}

/** Below so many tokens a chunk costs its launches, not its padding. */
const FREE_PADDING = 8;

/**
 * The class that the next chunk of `n` waiting tokens is put through: the least that holds them all, unless more
 * than half of it would be padding and smaller classes can do it in parts.
 */
export function chunkClass(n: number, classes: readonly number[]): number {
  const above = classes.find((T) => T >= n);
  const below = classes.findLast((T) => T <= n) ?? classes[0];
  return above !== undefined && above <= Math.max(2 * n, FREE_PADDING) ? above : below;
}
