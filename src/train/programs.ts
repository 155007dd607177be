/**
 * The programs of training one model: `micro` (forward, backward, gradients added up), `update` (norm,
 * clip, optimizer, gradients zeroed) and `evaluate` (forward only). Planned without a device, so that
 * `scion plan` and the trainer use the same numbers.
 */
import type { DeviceFacts } from '../gpu/facts.ts';
import type { LlamaConfig } from '../nn/config.ts';
import { headParameter, type LlamaInputs, llamaHidden, weight } from '../nn/llama.ts';
import { declareModel, gradName, listParameters, type Precision, weightName } from '../nn/parameters.ts';
import { differentiate } from '../tensor/autodiff.ts';
import { Graph, type Value, view } from '../tensor/graph.ts';
import { type AdamWAttrs, adamw, type SgdAttrs, sgd } from '../tensor/ops/adamw.ts';
import { fusedLoss, linearCrossEntropy } from '../tensor/ops/linear_cross_entropy.ts';
import { addTypeLosses } from '../tensor/ops/loss_by_type.ts';
import { addLosses, finishStep, lossSeed, STEP_RING, STEP_WORDS } from '../tensor/ops/step_state.ts';
import { zero } from '../tensor/ops/zero.ts';
import { type Plan, planGraph } from '../tensor/plan.ts';
import { type RecomputePolicy, recompute } from '../tensor/recompute.ts';
import { type MemoryUse, memoryOf } from '../tensor/session.ts';
import { States } from '../tensor/states.ts';

/** How a step updates; decay applies to matrices only. */
export type OptimizerSpec = ({ readonly kind: 'adamw' } & Omit<AdamWAttrs, 'rate'>) | ({ readonly kind: 'sgd' } & Omit<SgdAttrs, 'rate'>);

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

/** Losses of a batch: the model, then the fused head. */
function batchLoss(g: Graph, setup: TrainSetup, leaves: LlamaInputs & { labels: Value }): { loss: Value; nll: Value } {
  const { model, precision, tokens } = setup;
  const hidden = llamaHidden(g, model, leaves, { precision, capacity: tokens });
  const [B, T] = leaves.ids.shape;
  return linearCrossEntropy(view(hidden, [B * T, model.hiddenSize]), weight(g, headParameter(model), precision), leaves.labels, { zLoss: setup.zLoss });
}

/** Forward and backward of one micro. Step scalar `weight`: 1 / labels of the whole step. */
export function traceMicro(states: States, setup: TrainSetup): Graph {
  const g = new Graph(states);
  const leaves = batchLeaves(g, setup.batch, setup.tokens, true);
  const losses = batchLoss(g, setup, leaves);
  const step = g.state('step');
  const seed = lossSeed(step, setup.batch * setup.tokens, { step: 'weight' });
  const mixed = setup.precision === 'mixed';
  const targets = listParameters(setup.model).map((p) => ({
    by: g.state(mixed && p.group === 'decay' ? weightName(p.name) : p.name),
    into: g.state(gradName(p.name)),
  }));
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

/** The optimizer's part of a step. Step scalars `lr` and `biasBase`; data `bias`. */
export function traceUpdate(states: States, setup: TrainSetup): Graph {
  const g = new Graph(states);
  return g.phase('update', () => {
    const { optimizer } = setup;
    const params = states.buffers().filter((b) => b.kind === 'param');
    const of = (kind: string, key: string): Value => g.stateBuffer(key.replace(/^param/, kind));
    const grads = params.map((b) => of('grad', b.key));
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
    params.forEach((b, i) => {
      const decay = b.group === 'decay' ? optimizer.decay : 0;
      const half = setup.precision === 'mixed' && b.group === 'decay' ? of('weight', b.key) : null;
      const moment1 = of('moment1', b.key);
      if (optimizer.kind === 'adamw') adamw(g.stateBuffer(b.key), grads[i], moment1, of('moment2', b.key), step, half, { ...optimizer, decay });
      else sgd(g.stateBuffer(b.key), grads[i], moment1, step, half, { ...optimizer, decay });
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

/** Declares, lays out and plans everything a run needs on a device of these facts. */
export function planTraining(setup: TrainSetup, facts: DeviceFacts): TrainPlans {
  const states = new States();
  declareModel(states, setup.model, { precision: setup.precision, train: { moments: setup.optimizer.kind === 'adamw' ? 2 : 1 } });
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
