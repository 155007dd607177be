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
import { declareModel, gradName, type Precision, weightName } from '../nn/parameters.ts';
import { groupOfTrained, type Trainable, type TrainedRows, trainedRows } from '../nn/trainable.ts';
import { coordinatesOf, rankAt } from '../shard/mesh.ts';
import { type GradientCut, gatherAgain, gatherAhead, gatherSharded, reduceSharded, zeros } from '../shard/passes.ts';
import { axisOf, checkPlace, dataAxis, type Place, zeroSharding } from '../shard/place.ts';
import { type SequenceKind, sequenceKind } from '../shard/sequence.ts';
import { splitSequence } from '../shard/sequence-parallel.ts';
import { configOfRank, isSplit } from '../shard/split.ts';
import { splitTensors } from '../shard/tensor-parallel.ts';
import { differentiate } from '../tensor/autodiff.ts';
import { Graph, type Value, view } from '../tensor/graph.ts';
import type { AdamWAttrs, SgdAttrs } from '../tensor/ops/adamw.ts';
import { fusedLoss, linearCrossEntropy } from '../tensor/ops/linear_cross_entropy.ts';
import { addTypeLosses } from '../tensor/ops/loss_by_type.ts';
import type { Stream } from '../tensor/ops/random.ts';
import { addLosses, lossSeed, STEP_WORDS } from '../tensor/ops/step_state.ts';
import { type Plan, planGraph } from '../tensor/plan.ts';
import { type RecomputePolicy, recompute } from '../tensor/recompute.ts';
import { type MemoryUse, memoryOf } from '../tensor/session.ts';
import { States } from '../tensor/states.ts';
import { SPLIT_PLAIN, traceUpdate } from './update.ts';

export { BIAS_ENTRIES } from './update.ts';

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

/** The state that holds the losses by type of data. */
export const TYPE_SUMS = 'step:types';

/** Planned programs of a run. */
export interface TrainPlans {
  readonly states: States;
  readonly plans: { readonly micro: Plan; readonly update: Plan; readonly evaluate: Plan };
  readonly memory: MemoryUse;
  /** How packs are split over sp ranks; null where each rank has whole packs. */
  readonly sequence: SequenceKind | null;
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

/** The model as a rank has it. */
function modelOfRank({ model }: TrainSetup, place: Place | null): LlamaConfig {
  const tp = place && axisOf(place, 'tp');
  return tp ? configOfRank(model, tp.ranks, tp.rank) : model;
}

/** Losses of a batch: the model, then the fused head; a rank's part of both where the mesh splits tensors. With `random` dropout and noise take part. */
function batchLoss(
  g: Graph,
  setup: TrainSetup,
  leaves: LlamaInputs & { labels: Value },
  random?: Stream,
  place: Place | null = null,
): { loss: Value; nll: Value } {
  const { precision, tokens, lora } = setup;
  const tp = place && axisOf(place, 'tp');
  const model = modelOfRank(setup, place);
  const linear = makeLinear(g, model, { precision, lora, random });
  const [B, T] = leaves.ids.shape;
  const hidden = view(llamaHidden(g, model, leaves, { precision, capacity: tokens, random, linear }), [B * T, model.hiddenSize]);
  const losses = linearCrossEntropy(hidden, weight(g, headParameter(model)), leaves.labels, { zLoss: setup.zLoss, term: linear.headTerm(hidden) });
  let found = [losses.loss, losses.nll];
  if (tp && tp.ranks > 1) found = splitTensors(g, tp, found);
  const kind = sequenceOf(setup, place);
  if (place && kind) found = splitSequence(g, axisOf(place, 'sp'), kind, found);
  return { loss: found[0], nll: found[1] };
}

/** How this rank's packs are split; null where they are whole. */
function sequenceOf(setup: TrainSetup, place: Place | null): SequenceKind | null {
  if (!place || place.shape.sp === 1) return null;
  return sequenceKind(modelOfRank(setup, place), setup.tokens, place.shape.sp, place.sequence);
}

/** Tokens of each pack that are this rank's. */
const tokensOfRank = ({ tokens }: TrainSetup, place: Place | null): number => tokens / (place?.shape.sp ?? 1);

/** Names of what learns, in the order of its states. */
function trainedNames(states: States): string[] {
  return states.all().flatMap((s) => (s.kind === 'grad' ? [s.name.slice(gradName('').length)] : []));
}

/** Forward and backward of one micro. Step scalars `weight`: 1 / labels of the whole step; `stream`: what dropout and noise draw from, new with each micro. */
export function traceMicro(states: States, setup: TrainSetup, place: Place | null = null): Graph {
  const g = new Graph(states);
  const { sort, random } = trainingOf(setup);
  const tokens = tokensOfRank(setup, place);
  const leaves = batchLeaves(g, setup.batch, tokens, sort);
  const noise = setup.neftune ? g.data('noise', [setup.batch, setup.tokens], 'f32') : undefined;
  const losses = batchLoss(g, setup, { ...leaves, noise }, random ?? undefined, place);
  const step = g.state('step');
  const seed = lossSeed(step, setup.batch * tokens, { step: 'weight' });
  const at = place ? dataAxis(place) : null;
  const joined = at ? gatherSharded(g, at) : null;
  // Only what learns is a target: no gradient of anything else is made, and the backward pass ends at the lowest of them.
  const names = trainedNames(states);
  const cut = place !== null && at !== null && at.ranks > 1 && place.zero >= 2;
  const targets = names.map((name) => {
    const by = joined?.get(leafName(states, name)) ?? weight(g, name);
    return { by, into: cut ? (by.dtype === 'f32' ? null : zeros(g, by.shape)) : g.state(gradName(name)) };
  });
  const adjoints = differentiate(g, [{ value: losses.loss, adjoint: seed }], targets);
  const { nll } = fusedLoss(g, losses);
  addLosses(nll, leaves.labels, step, setup.model.vocabSize);
  if (setup.lossTypes) {
    const types = g.data('types', [setup.batch * tokens], 'u32');
    addTypeLosses(nll, leaves.labels, types, g.state(TYPE_SUMS), setup.model.vocabSize);
  }
  recompute(g, setup.recompute);
  if (at && cut) reduceSharded(g, gradientCuts(setup, names, adjoints), at);
  joinAhead(g);
  return g;
}

/** The state that the forward pass reads a parameter from. */
const leafName = (states: States, name: string): string => (states.get(weightName(name)) ? weightName(name) : name);

/** Parameters that are joined: again for each layer that uses them, and a layer ahead. */
function joinAhead(g: Graph): void {
  gatherAgain(g);
  gatherAhead(g);
}

/** Gradients that leave the micro as parts of a sum; what does not learn of a fused adapter is dropped before. */
function gradientCuts({ model, lora }: TrainSetup, names: readonly string[], adjoints: readonly (Value | null)[]): GradientCut[] {
  const masks = new Map(
    (lora ? listLora(model, lora) : []).filter(hasOffBlocks).map((m) => [m.b.name, m.views.map((v) => ({ from: v.row, to: v.row + v.shape[0] }))]),
  );
  return names.flatMap((name, i) => {
    const gradient = adjoints[i];
    const blocks = masks.get(name);
    return gradient ? [{ state: gradName(name), gradient, ...(blocks && { mask: { rank: lora?.rank ?? 0, blocks } }) }] : [];
  });
}

/** Forward pass alone; output `nll` [N]. */
export function traceEvaluate(states: States, setup: TrainSetup, place: Place | null = null): { graph: Graph; nll: Value } {
  const graph = new Graph(states);
  const { nll } = batchLoss(graph, setup, batchLeaves(graph, setup.batch, tokensOfRank(setup, place), false), undefined, place);
  if (place) gatherSharded(graph, dataAxis(place));
  joinAhead(graph);
  return { graph, nll };
}

/** Declares what a run keeps on the device; frozen parameters have neither gradient nor moments, nor masters in mixed precision. */
function declareTraining(setup: TrainSetup, place: Place | null): States {
  const { precision, optimizer, lora, baseStorage } = setup;
  const states = new States();
  const tp = place && axisOf(place, 'tp');
  const model = modelOfRank(setup, place);
  const { rows } = trainingOf({ ...setup, model });
  const groupOf = groupOfTrained(rows);
  declareModel(states, model, {
    precision,
    train: { moments: optimizer.kind === 'adamw' ? 2 : 1, ema: setup.ema !== undefined },
    // Of a split bias each rank has its part, of a norm's weights all have all: they must not share a buffer.
    groupOf: (p) => (tp && tp.ranks > 1 && p.group === 'plain' && isSplit(p.name) ? SPLIT_PLAIN : groupOf(p)),
    halfBase: baseStorage !== undefined && baseStorage !== 'f32',
    quantBase: baseStorage === 'q8' ? 8 : baseStorage === 'q4' ? 4 : undefined,
    adapters: lora && loraParameters(model, lora),
  });
  return states;
}

/** What this version does not split. @throws ScionError `usage`. */
function checkSplitSetup({ lora, trainable, baseStorage }: TrainSetup): void {
  const what = lora
    ? 'adapters'
    : trainable && trainable.parameters !== 'all'
      ? 'training a part of the model'
      : baseStorage
        ? 'a base in other storage'
        : null;
  if (what) throw new ScionError('usage', `${what} and tp do not go together yet; spread over dp, or train the whole model`);
}

/** The states of each rank of the tensor-parallel axis, laid out: whose gradients are how many blocks. */
function tensorParts(setup: TrainSetup, facts: DeviceFacts, place: Place): States[] {
  const at = coordinatesOf(place.shape, place.rank);
  return Array.from({ length: place.shape.tp }, (_, tp) => {
    const other = { ...place, rank: rankAt(place.shape, { ...at, tp }) };
    return declareTraining(setup, other).freeze(facts, zeroSharding(other));
  });
}

/** Declares, lays out and plans everything a run needs on a device of these facts; with `place` what one rank of a mesh needs. */
export function planTraining(setup: TrainSetup, facts: DeviceFacts, place: Place | null = null): TrainPlans {
  if (place) checkPlace(place);
  const tp = place ? axisOf(place, 'tp') : null;
  if (place && tp && tp.ranks > 1) checkSplitSetup(setup);
  const sequence = sequenceOf(setup, place);
  if (sequence && trainingOf(setup).random)
    throw new ScionError('usage', 'dropout and NEFTune draw by the place of a token in its pack, which sp does not know yet; spread over dp, or train without');
  const states = declareTraining(setup, place);
  states.declare('step', 'step', 'step', [STEP_WORDS], 'u32');
  // In the step state's buffer, right behind it: one readback gives both.
  if (setup.lossTypes) states.declare(TYPE_SUMS, 'step', 'step', [2 * setup.lossTypes], 'u32');
  states.freeze(facts, place && zeroSharding(place));
  const evaluate = traceEvaluate(states, setup, place);
  const { rows } = trainingOf({ ...setup, model: modelOfRank(setup, place) });
  const plans = {
    micro: planGraph(traceMicro(states, setup, place), { name: 'micro', facts }),
    update: planGraph(traceUpdate(states, setup, rows, place, tp && place ? tensorParts(setup, facts, place) : [states]), { name: 'update', facts }),
    evaluate: planGraph(evaluate.graph, { name: 'evaluate', facts, outputs: { nll: evaluate.nll } }),
  };
  return { states, plans, memory: memoryOf(Object.values(plans)), sequence };
}
