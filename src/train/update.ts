/**
 * The optimizer's part of a step as a graph: norm, clip, optimizer, gradients zeroed. On ranks, gradients are summed first (or have
 * been, as parts), each rank updates the elements that are its own, and parameters that lie whole are joined again. The norm is
 * the sum of partial sums of fixed blocks in global order, whoever makes them: dp and every ZeRO stage give equal bits.
 */
import { hasOffBlocks, listLora } from '../nn/lora.ts';
import { gradName } from '../nn/parameters.ts';
import { decaysByDefault, isPartGroup, type RowRun, type TrainedRows } from '../nn/trainable.ts';
import { axisOf, dataAxis, ownedRuns, type Place } from '../shard/place.ts';
import { Graph, type Value } from '../tensor/graph.ts';
import { adamw, sgd } from '../tensor/ops/adamw.ts';
import { blockMask } from '../tensor/ops/block_mask.ts';
import { ema } from '../tensor/ops/ema.ts';
import { exchangeGather, exchangeScatter, exchangeSum, type RankAxis } from '../tensor/ops/exchange.ts';
import { blocksOf, finishStep, finishStepFrom, normPartials, STEP, STEP_RING, type StepFinishAttrs } from '../tensor/ops/step_state.ts';
import { zero } from '../tensor/ops/zero.ts';
import type { StateBuffer, States } from '../tensor/states.ts';
import type { TrainSetup } from './programs.ts';

/** The group of vectors of which each tensor-parallel rank has a part; `plain` ones lie whole on all of them. */
export const SPLIT_PLAIN = 'plain-split';

/** Entries of the bias-correction table: one more than steps between two readbacks. */
export const BIAS_ENTRIES = STEP_RING + 1;

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

/** The parts of runs inside own.from <= i < own.to, counted from there. */
function inside(runs: readonly RowRun[], own: RowRun): RowRun[] {
  const cut = runs.map(({ from, to }) => ({ from: Math.max(from, own.from) - own.from, to: Math.min(to, own.to) - own.from }));
  return cut.filter(({ from, to }) => from < to);
}

/**
 * The optimizer's part of a step on one rank, or on a device alone (`place` null); `parts` are the states of each rank of the tensor-parallel axis. Step scalars
 * `lr`, `biasBase` and `ceiling`; data `bias`.
 */
export function traceUpdate(states: States, setup: TrainSetup, rows: TrainedRows, place: Place | null = null, parts: readonly States[] = [states]): Graph {
  const g = new Graph(states);
  return g.phase('update', () => {
    const { optimizer, lora } = setup;
    const at = place ? dataAxis(place) : null;
    const ranks = at?.ranks ?? 1;
    const zeroStage = ranks > 1 ? (place?.zero ?? 0) : 0;
    const buffers = states.buffers().filter((b) => b.kind === 'grad');
    const keyOf = (kind: string, key: string): string => key.replace(/^grad/, kind);
    // What this rank updates: all of it, or its own blocks. A leaf a buffer where it is whole, so that nothing is read by two names.
    const own = buffers.map((b): RowRun => (zeroStage === 0 ? { from: 0, to: b.whole } : { ...ownedRuns(b.whole, ranks)[at?.rank ?? 0] }));
    const part = (key: string, { from, to }: RowRun): Value => (zeroStage === 0 ? g.stateBuffer(key) : g.stateRange(key, from, to));
    const runs = buffers.map((b) => (isPartGroup(b.group) ? runsOfBuffer(states, keyOf('param', b.key), b.whole, rows) : null));
    // What does not learn must not count in the norm either. Gradients that are cut were masked before they were summed.
    for (const m of lora && zeroStage < 2 ? listLora(setup.model, lora) : []) {
      if (hasOffBlocks(m)) {
        const blocks = m.views.map((v) => ({ from: v.row, to: v.row + v.shape[0] }));
        blockMask(g.state(gradName(m.b.name)), lora?.rank ?? 0, blocks);
      }
    }
    const handedOut = at && zeroStage === 1 ? buffers.map((b) => exchangeScatter(g.stateBuffer(b.key), at, ownedRuns(b.whole, ranks))) : null;
    const grads = buffers.map((b, i): Value | null => {
      if (own[i].from === own[i].to) return null;
      const whole = part(b.key, own[i]);
      const sum = at && ranks > 1 && zeroStage === 0 ? exchangeSum(whole, at) : whole;
      return inside(runs[i]?.rest ?? [], own[i]).reduce((grad, run) => zero(grad, run), sum);
    });
    const bias = g.data('bias', [2 * BIAS_ENTRIES], 'f32');
    const attrs: StepFinishAttrs = {
      clip: setup.clip,
      lr: { step: 'lr' },
      biasBase: { step: 'biasBase' },
      dynamicScale: setup.precision === 'mixed',
      growthInterval: setup.growthInterval ?? 1000,
      maxScale: setup.maxLossScale ?? 65536,
      ceiling: setup.outlier ? { step: 'ceiling' } : 0,
    };
    const step =
      place && at && (ranks > 1 || parts.length > 1)
        ? finishOnRanks(g, { at, tp: axisOf(place, 'tp'), parts, buffers, own, grads, bias, attrs, whole: zeroStage === 0 })
        : finishStep(g.state('step'), bias, all(grads), attrs);
    buffers.forEach((b, i) => {
      const grad = grads[i];
      const [paramKey, weightKey] = [keyOf('param', b.key), keyOf('weight', b.key)];
      const half = states.buffer(weightKey);
      if (grad) {
        const of = (kind: string): Value => part(keyOf(kind, b.key), own[i]);
        const decay = setup.decayAll || decaysByDefault(b.group) ? optimizer.decay : 0;
        const learn = runs[i] && inside(runs[i]?.learn ?? [], own[i]).flatMap(({ from, to }) => [from, to]);
        const options = { ...optimizer, decay, runs: learn ?? undefined };
        const weight = half ? of('weight') : null;
        const [next] =
          options.kind === 'adamw'
            ? adamw(of('param'), grad, of('moment1'), of('moment2'), step, weight, options)
            : sgd(of('param'), grad, of('moment1'), step, weight, options);
        if (setup.ema !== undefined) ema(of('ema'), next, step, setup.ema);
      }
      if (at && (zeroStage === 1 || zeroStage === 2)) exchangeGather(g.stateBuffer(half ? weightKey : paramKey), at, ownedRuns(b.whole, ranks));
    });
    buffers.forEach((_, i) => {
      const grad = grads[i];
      if (handedOut) zero(handedOut[i]);
      else if (grad) zero(grad);
    });
    return g;
  });
}

/** A device alone has every gradient. */
const all = (grads: readonly (Value | null)[]): Value[] => grads.filter((x) => x !== null);

/** Norm, found-inf and records that all ranks agree on: partial sums joined in block order, losses and labels summed in rank order. */
function finishOnRanks(
  g: Graph,
  by: {
    readonly at: RankAxis;
    readonly tp: RankAxis;
    /** The states of each rank of `tp`. */
    readonly parts: readonly States[];
    readonly buffers: readonly StateBuffer[];
    readonly own: readonly RowRun[];
    readonly grads: readonly (Value | null)[];
    readonly bias: Value;
    readonly attrs: StepFinishAttrs;
    /** Every rank has every gradient. */
    readonly whole: boolean;
  },
): Value {
  const { at, tp, parts, buffers, own, grads } = by;
  /** What lies whole on all ranks of `tp` counts once. */
  const counts = (b: StateBuffer, part: number): boolean => b.kind === 'grad' && (part === 0 || b.group !== 'plain');
  const sizes = parts.map((states, t) => states.buffers().reduce((n, b) => n + (counts(b, t) ? blocksOf(b.whole) : 0), 0));
  const starts = sizes.map((_, t) => sizes.slice(0, t).reduce((a, b) => a + b, 0));
  const first: number[] = [];
  let next = starts[tp.rank];
  for (const b of buffers) {
    first.push(next);
    if (counts(b, tp.rank)) next += blocksOf(b.whole);
  }
  const mine = grads.flatMap((grad, i) => (grad && counts(buffers[i], tp.rank) ? [{ grad, first: first[i] + blocksOf(own[i].from) }] : []));
  let partials = normPartials(g, mine, starts[parts.length - 1] + sizes[parts.length - 1]);
  if (!by.whole) {
    const runs = buffers.flatMap((b, i) =>
      counts(b, tp.rank)
        ? ownedRuns(b.whole, at.ranks).map(({ rank, from, to }) => ({ rank, from: first[i] + blocksOf(from), to: first[i] + blocksOf(to) }))
        : [],
    );
    partials = exchangeGather(partials, at, runs);
  }
  if (tp.ranks > 1) {
    partials = exchangeGather(
      partials,
      tp,
      sizes.map((n, rank) => ({ rank, from: starts[rank], to: starts[rank] + n })),
    );
  }
  if (at.ranks === 1) return finishStepFrom(g.state('step'), by.bias, partials, by.attrs);
  const losses = exchangeSum(g.state('step'), at, [{ from: STEP.lossSum, to: STEP.lossSum + 1 }], 'f32');
  const counted = exchangeSum(losses, at, [{ from: STEP.tokens, to: STEP.tokens + 1 }], 'u32');
  return finishStepFrom(counted, by.bias, partials, by.attrs);
}
