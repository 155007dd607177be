/**
 * The programs of training one model: `micro` (forward, backward, gradients added up), `update` (norm,
 * clip, optimizer, gradients zeroed) and `evaluate` (forward only). Planned without a device, so that
 * `scion plan` and the trainer use the same numbers.
 */
import { ScionError } from '../base/errors.ts';
import type { DeviceFacts } from '../gpu/facts.ts';
import type { LlamaConfig } from '../nn/config.ts';
import { headParameter, makeLinear, weight } from '../nn/linear.ts';
import { type LlamaInputs, llamaHidden } from '../nn/llama.ts';
import { hasOffBlocks, type LoraSpec, listLora, loraParameters } from '../nn/lora.ts';
import { declareModel, gradName, type Precision } from '../nn/parameters.ts';
import { decaysByDefault, groupOfTrained, isPartGroup, type RowRun, type Trainable, type TrainedRows, trainedRows } from '../nn/trainable.ts';
import { differentiate } from '../tensor/autodiff.ts';
import { Graph, type Value, view } from '../tensor/graph.ts';
import { type AdamWAttrs, adamw, type SgdAttrs, sgd } from '../tensor/ops/adamw.ts';
import { blockMask } from '../tensor/ops/block_mask.ts';
import { ema } from '../tensor/ops/ema.ts';
import { fusedLoss, linearCrossEntropy } from '../tensor/ops/linear_cross_entropy.ts';
import { addTypeLosses } from '../tensor/ops/loss_by_type.ts';
import type { Stream } from '../tensor/ops/random.ts';
import { addLosses, finishStep, lossSeed, STEP_RING, STEP_WORDS } from '../tensor/ops/step_state.ts';
import { zero } from '../tensor/ops/zero.ts';
import { type Plan, planGraph } from '../tensor/plan.ts';
import { type RecomputePolicy, recompute } from '../tensor/recompute.ts';
import { type MemoryUse, memoryOf } from '../tensor/session.ts';
import { States } from '../tensor/states.ts';

/** How a step updates; decay applies to the layers' matrices and their adapters (`decayAll`: to everything). */
export type OptimizerSpec = ({ readonly kind: 'adamw' } & Omit<AdamWAttrs, 'rate' | 'runs'>) | ({ readonly kind: 'sgd' } & Omit<SgdAttrs, 'rate' | 'runs'>);

/** What one training run needs to be planned. */
export interface TrainSetup {
  readonly model: LlamaConfig;
  readonly precision: Precision;
  /** Packs a micro, and tokens a pack. */
  readonly batch: number;
  readonly tokens: number;
  readonly optimizer: OptimizerSpec;
  /** Largest gradient norm; 0 for no clipping. */
  readonly clip: number;
  readonly recompute: RecomputePolicy;
  readonly zLoss?: number;
  /** Dynamic loss scale of mixed precision: good steps before it doubles, and its ceiling. */
  readonly growthInterval?: number;
  readonly maxLossScale?: number;
  /** Types of data whose losses are summed apart, 2 to 64; batches then carry `types`. */
  readonly lossTypes?: number;
  /** Skips steps whose gradient norm exceeds this many times the running median; see `OutlierGuard`. */
  readonly outlier?: number;
  /** What learns; default: all parameters. */
  readonly trainable?: Trainable;
  /** Low-rank adapters beside the model; they learn whatever `trainable` says. */
  readonly lora?: LoraSpec;
  /** Storage of frozen matrices of the base; default: that of the precision. `q8`, `q4`: those of the layers block quantised, embedding and head in 16 bits. */
  readonly baseStorage?: 'f32' | 'f16' | 'q8' | 'q4';
  /**
   * NEFTune's alpha (Jain et al. 2023), training only: uniform(-1, 1) alpha / sqrt(L D) is added to each embedding, L the length
   * of the token's own document in its pack (documents of a pack do not see each other, so each is a sequence of the paper).
   */
  readonly neftune?: number;
  /** Decay of an exponential moving average of the trained weights, from 0 to below 1. */
  readonly ema?: number;
  /** Weight decay on everything that learns, embedding, head, norms and biases too (the original's way). */
  readonly decayAll?: boolean;
  /** Of dropout, NEFTune's noise and the adapters' start; default 0. */
  readonly seed?: number;
}

/** What a setup trains and draws, worked out once. */
interface Training {
  readonly rows: TrainedRows;
  /** The embedding (or its adapter) needs the tables of sorted ids. */
  readonly sort: boolean;
  /** Where dropout and noise draw from; null where there is none. */
  readonly random: Stream | null;
}

/** @throws ScionError `usage` if nothing would learn, or a number is out of range. */
function trainingOf(setup: TrainSetup): Training {
  const { lora, model, neftune = 0, ema: decay } = setup;
  if (!(neftune >= 0) || !Number.isFinite(neftune)) throw new ScionError('usage', `neftune: alpha must be 0 or more, got ${neftune}; 5 is customary`);
  if (decay !== undefined && !(decay >= 0 && decay < 1))
    throw new ScionError('usage', `ema: the decay must be from 0 to below 1, got ${decay}; 0.999 is customary`);
  const rows = trainedRows(model, setup.trainable);
  if (rows.size === 0 && !lora)
    throw new ScionError('usage', 'nothing would learn: trainable is empty and there is no adapter; give lora, or another trainable set');
  const sort = rows.has('embed') || (lora?.targets.includes('embed_tokens') ?? false);
  const random = neftune > 0 || (lora?.dropout ?? 0) > 0 ? { seed: setup.seed ?? 0, stream: { step: 'stream' } } : null;
  return { rows, sort, random };
}

/** AdamW as LLaMA was trained (Touvron et al. 2023): betas 0.9 and 0.95, decay 0.1. */
export const LLAMA_ADAMW: OptimizerSpec = { kind: 'adamw', beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1 };

/** Entries of the bias-correction table: one more than steps between two readbacks. */
export const BIAS_ENTRIES = STEP_RING + 1;

/** The state that holds the losses by type of data. */
export const TYPE_SUMS = 'step:types';

/** Planned programs of a run. */
export interface TrainPlans {
  readonly states: States;
  readonly plans: { readonly micro: Plan; readonly update: Plan; readonly evaluate: Plan };
  readonly memory: MemoryUse;
}

/** The leaves of a batch [B, T]; `sort` only where the embedding is differentiated. */
export function batchLeaves(g: Graph, B: number, T: number, sort: boolean): LlamaInputs & { labels: Value } {
  const N = B * T;
  return {
    ids: g.data('ids', [B, T], 'u32'),
    positions: g.data('positions', [B, T], 'u32'),
    ranges: g.data('ranges', [B, T, 4], 'u32'),
    labels: g.data('labels', [N], 'i32'),
    ...(sort && {
      sort: {
        order: g.data('order', [N], 'u32'),
        starts: g.data('starts', [N + 1], 'u32'),
        segmentIds: g.data('segmentIds', [N], 'u32'),
        segments: 'segments',
      },
    }),
  };
}

/** Losses of a batch: the model, then the fused head. With `random` dropout and noise take part. */
function batchLoss(g: Graph, setup: TrainSetup, leaves: LlamaInputs & { labels: Value }, random?: Stream): { loss: Value; nll: Value } {
  const { model, precision, tokens, lora } = setup;
  const linear = makeLinear(g, model, { precision, lora, random });
  const [B, T] = leaves.ids.shape;
  const hidden = view(llamaHidden(g, model, leaves, { precision, capacity: tokens, random, linear }), [B * T, model.hiddenSize]);
  return linearCrossEntropy(hidden, weight(g, headParameter(model)), leaves.labels, { zLoss: setup.zLoss, term: linear.headTerm(hidden) });
}

/** Names of what learns, in the order of its states. */
function trainedNames(states: States): string[] {
  return states.all().flatMap((s) => (s.kind === 'grad' ? [s.name.slice(gradName('').length)] : []));
}

/** Forward and backward of one micro. Step scalars `weight`: 1 / labels of the whole step; `stream`: what dropout and noise draw from, new with each micro. */
export function traceMicro(states: States, setup: TrainSetup): Graph {
  const g = new Graph(states);
  const { sort, random } = trainingOf(setup);
  const leaves = batchLeaves(g, setup.batch, setup.tokens, sort);
  const noise = setup.neftune ? g.data('noise', [setup.batch, setup.tokens], 'f32') : undefined;
  const losses = batchLoss(g, setup, { ...leaves, noise }, random ?? undefined);
  const step = g.state('step');
  const seed = lossSeed(step, setup.batch * setup.tokens, { step: 'weight' });
  // Only what learns is a target: no gradient of anything else is made, and the backward pass ends at the lowest of them.
  const targets = trainedNames(states).map((name) => ({ by: weight(g, name), into: g.state(gradName(name)) }));
  differentiate(g, [{ value: losses.loss, adjoint: seed }], targets);
  const { nll } = fusedLoss(g, losses);
  addLosses(nll, leaves.labels, step, setup.model.vocabSize);
  if (setup.lossTypes) {
    const types = g.data('types', [setup.batch * setup.tokens], 'u32');
    addTypeLosses(nll, leaves.labels, types, g.state(TYPE_SUMS), setup.model.vocabSize);
  }
  recompute(g, setup.recompute);
  return g;
}

/** Runs of elements that learn in a buffer of parameters that learn in part, and the runs between them. */
function runsOfBuffer(states: States, key: string, elements: number, rows: TrainedRows): { learn: RowRun[]; rest: RowRun[] } {
  const learn: RowRun[] = [];
  for (const spec of states.all()) {
    if (spec.kind !== 'param') continue;
    const place = states.place(spec.name);
    if (place.buffer !== key) continue;
    const width = spec.shape[1] ?? 1;
    const base = place.offset / 4;
    for (const { from, to } of rows.get(spec.name) ?? []) learn.push({ from: base + from * width, to: base + to * width });
  }
  const ends = [0, ...learn.flatMap(({ from, to }) => [from, to]), elements];
  const rest: RowRun[] = [];
  for (let i = 0; i < ends.length; i += 2) if (ends[i] < ends[i + 1]) rest.push({ from: ends[i], to: ends[i + 1] });
  return { learn, rest };
}

/** The optimizer's part of a step. Step scalars `lr` and `biasBase`; data `bias`. */
export function traceUpdate(states: States, setup: TrainSetup): Graph {
  const g = new Graph(states);
  return g.phase('update', () => {
    const { optimizer, lora } = setup;
    const { rows } = trainingOf(setup);
    const buffers = states.buffers().filter((b) => b.kind === 'grad');
    const keyOf = (kind: string, key: string): string => key.replace(/^grad/, kind);
    const of = (kind: string, key: string): Value => g.stateBuffer(keyOf(kind, key));
    const runs = buffers.map((b) => (isPartGroup(b.group) ? runsOfBuffer(states, keyOf('param', b.key), b.elements, rows) : null));
    // What does not learn must not count in the norm either.
    for (const m of lora ? listLora(setup.model, lora) : []) {
      if (hasOffBlocks(m)) {
        const blocks = m.views.map((v) => ({ from: v.row, to: v.row + v.shape[0] }));
        blockMask(g.state(gradName(m.b.name)), lora?.rank ?? 0, blocks);
      }
    }
    const grads = buffers.map((b, i) => (runs[i]?.rest ?? []).reduce((grad, run) => zero(grad, run), g.stateBuffer(b.key)));
    const bias = g.data('bias', [2 * BIAS_ENTRIES], 'f32');
    const step = finishStep(g.state('step'), bias, grads, {
      clip: setup.clip,
      lr: { step: 'lr' },
      biasBase: { step: 'biasBase' },
      dynamicScale: setup.precision === 'mixed',
      growthInterval: setup.growthInterval ?? 1000,
      maxScale: setup.maxLossScale ?? 65536,
      ceiling: setup.outlier ? { step: 'ceiling' } : 0,
    });
    buffers.forEach((b, i) => {
      const decay = setup.decayAll || decaysByDefault(b.group) ? optimizer.decay : 0;
      const half = states.buffer(keyOf('weight', b.key)) ? of('weight', b.key) : null;
      const param = of('param', b.key);
      const moment1 = of('moment1', b.key);
      const learn = runs[i]?.learn.flatMap(({ from, to }) => [from, to]);
      const [next] =
        optimizer.kind === 'adamw'
          ? adamw(param, grads[i], moment1, of('moment2', b.key), step, half, { ...optimizer, decay, runs: learn })
          : sgd(param, grads[i], moment1, step, half, { ...optimizer, decay, runs: learn });
      if (setup.ema !== undefined) ema(of('ema', b.key), next, step, setup.ema);
    });
    for (const grad of grads) zero(grad);
    return g;
  });
}

/** Forward pass alone; output `nll` [N]. */
export function traceEvaluate(states: States, setup: TrainSetup): { graph: Graph; nll: Value } {
  const graph = new Graph(states);
  const { nll } = batchLoss(graph, setup, batchLeaves(graph, setup.batch, setup.tokens, false));
  return { graph, nll };
}

/** Declares what a run keeps on the device; frozen parameters have neither gradient nor moments, nor masters in mixed precision. */
function declareTraining(setup: TrainSetup): States {
  const { model, precision, optimizer, lora, baseStorage } = setup;
  const { rows } = trainingOf(setup);
  const states = new States();
  declareModel(states, model, {
    precision,
    train: { moments: optimizer.kind === 'adamw' ? 2 : 1, ema: setup.ema !== undefined },
    groupOf: groupOfTrained(rows),
    halfBase: baseStorage !== undefined && baseStorage !== 'f32',
    quantBase: baseStorage === 'q8' ? 8 : baseStorage === 'q4' ? 4 : undefined,
    adapters: lora && loraParameters(model, lora),
  });
  return states;
}

/** Declares, lays out and plans everything a run needs on a device of these facts. */
export function planTraining(setup: TrainSetup, facts: DeviceFacts): TrainPlans {
  const states = declareTraining(setup);
  states.declare('step', 'step', 'step', [STEP_WORDS], 'u32');
  // In the step state's buffer, right behind it: one readback gives both.
  if (setup.lossTypes) states.declare(TYPE_SUMS, 'step', 'step', [2 * setup.lossTypes], 'u32');
  states.freeze(facts);
  const evaluate = traceEvaluate(states, setup);
  const plans = {
    micro: planGraph(traceMicro(states, setup), { name: 'micro', facts }),
    update: planGraph(traceUpdate(states, setup), { name: 'update', facts }),
    evaluate: planGraph(evaluate.graph, { name: 'evaluate', facts, outputs: { nll: evaluate.nll } }),
  };
  return { states, plans, memory: memoryOf(Object.values(plans)) };
}
