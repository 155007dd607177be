/**
 * Trainable sets on the plan, without a device: what is frozen has no gradient, no moment and no master, the backward pass stops
 * where nothing below it learns, and what is off costs not one launch. Numbers are held against a full run's.
 */
import { describe, expect, test } from 'vitest';
import { assumedFacts } from '../../src/gpu/facts.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { listHfViews, listParameters } from '../../src/nn/parameters.ts';
import { type Trainable, trainedRows } from '../../src/nn/trainable.ts';
import type { Plan } from '../../src/tensor/plan.ts';
import { roundUp, sizeOf } from '../../src/tensor/types.ts';
import { planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { TINY_MODEL, TINY_SETUP } from './tiny.ts';

const facts = assumedFacts({ profile: 'generic' });
const plan = (more: Partial<TrainSetup> = {}) => planTraining({ ...TINY_SETUP, ...more }, facts);
const launches = (p: Plan, phase?: string) => p.commands.filter((c) => c.kind === 'dispatch' && (phase === undefined || c.phase === phase)).length;
/** Bytes of f32 parameters as states lie: at multiples of 128 elements. */
const bytesOf = (wanted: (name: string) => boolean): number =>
  listParameters(TINY_MODEL).reduce((sum, p) => sum + (wanted(p.name) ? roundUp(sizeOf(p.shape), 128) * 4 : 0), 0);
const full = plan();
/** Launches of the generic profile, counted at the commit before trainable sets. */
const MICRO = 63;
const EVALUATE = 22;

describe('what is frozen', () => {
  test.each<[string, Trainable, (name: string) => boolean]>([
    ['embeddings', { parameters: 'embeddings' }, (n) => n === 'embed' || n === 'head'],
    ['rows', { parameters: 'rows', firstRow: 100 }, (n) => n === 'embed' || n === 'head'],
    ['one layer', { parameters: ['model.layers.1.*'] }, (n) => n.startsWith('layers.1.')],
    ['down projections', { parameters: ['model.layers.?.mlp.down_proj.weight'] }, (n) => n.endsWith('.down')],
    ['a part of qkv', { parameters: ['*.0.self_attn.q_proj.weight', '*.0.self_attn.v_proj.weight'] }, (n) => n === 'layers.0.qkv'],
  ])('%s: gradients and moments of nothing else, in bytes', (_, trainable, learns) => {
    const { memory, states } = plan({ trainable });
    for (const kind of ['grad', 'moment1', 'moment2']) expect(memory.states[kind], kind).toBe(bytesOf(learns));
    expect(memory.states.param).toBe(bytesOf(() => true));
    expect(states.all().filter((s) => s.kind === 'grad' && !learns(s.name.slice(5)))).toEqual([]);
    const mixed = plan({ trainable, precision: 'mixed' });
    const matrix = (n: string) => listParameters(TINY_MODEL).find((p) => p.name === n)?.shape.length === 2;
    // A frozen matrix of mixed precision is 16 bits and nothing else.
    expect(mixed.memory.states.param).toBe(bytesOf((n) => learns(n) || !matrix(n)));
    expect(mixed.memory.states.weight).toBe(bytesOf(matrix) / 2);
  });

  test('the backward pass stops below the lowest layer that learns', () => {
    const upper = plan({ trainable: { parameters: ['model.layers.1.*'] } }).plans.micro;
    const segments = (p: Plan) => new Set(p.sequence.filter((n) => n.phase === 'backward').map((n) => n.segment));
    expect(segments(full.plans.micro)).toContain('layers.0');
    expect(segments(upper)).not.toContain('layers.0');
    expect(segments(upper)).toContain('layers.1');
    expect(upper.sequence.some((n) => n.op === 'embed_grad')).toBe(false);
    expect(upper.data.map((d) => d.name)).not.toContain('order');
    expect(launches(upper, 'forward')).toBe(launches(full.plans.micro, 'forward'));
    expect(upper.flops).toBeLessThan(full.plans.micro.flops);
  });

  test('a head alone: the whole model is forward, one fused loss makes its gradient', () => {
    const head = plan({ trainable: { parameters: ['lm_head.weight'] } }).plans.micro;
    const backward = head.sequence.filter((n) => n.phase === 'backward').map((n) => n.op);
    expect(backward).toEqual(['linear_cross_entropy_grad']);
    // Activations need no longer be kept: the arena shrinks to what the forward pass holds at once.
    expect(head.arena.reduce((a, b) => a + b, 0)).toBeLessThan(full.plans.micro.arena.reduce((a, b) => a + b, 0) / 2);
  });

  test.each(['none', 'layer', 'selective'] as const)('with recompute %s it plans too', (recompute) => {
    expect(launches(plan({ recompute, trainable: { parameters: ['model.layers.1.*', 'model.norm.weight'] } }).plans.micro)).toBeGreaterThan(0);
  });
});

describe('what is off', () => {
  test('costs no launch and no byte', () => {
    const off = plan({ trainable: { parameters: 'all' }, neftune: 0, decayAll: false, seed: 5 });
    expect(off.memory).toEqual(full.memory);
    for (const name of ['micro', 'update', 'evaluate'] as const) {
      expect(off.plans[name].sequence, name).toEqual(full.plans[name].sequence);
      expect(launches(off.plans[name]), name).toBe(launches(full.plans[name]));
    }
  });

  test('a step of the tiny model launches what it did before there was any of it', () => {
    // Of the micro and the evaluation not one more; the update has a group more since embedding and head do not decay.
    expect(launches(full.plans.micro)).toBe(MICRO);
    expect(launches(full.plans.evaluate)).toBe(EVALUATE);
    expect(full.plans.update.sequence.map((n) => n.op)).toEqual(['step_finish', 'adamw', 'adamw', 'adamw', 'zero', 'zero', 'zero']);
  });
});
test.each<[Partial<TrainSetup>, RegExp]>([
  [{ neftune: -1 }, /alpha must be 0 or more, got -1/],
  [{ neftune: Number.POSITIVE_INFINITY }, /alpha must be 0 or more/],
  [{ ema: 1 }, /from 0 to below 1, got 1/],
])('%j is refused', (more, message) => {
  expect(() => plan(more)).toThrow(message);
});

describe('names', () => {
  test('every Hugging Face tensor can be named alone, and all together are the model', () => {
    const model = makeConfig({
      modelType: 'qwen2',
      vocabSize: 11,
      hiddenSize: 8,
      intermediateSize: 12,
      numLayers: 2,
      numHeads: 2,
      numKvHeads: 1,
      qkvBias: true,
    });
    for (const view of listHfViews(model)) {
      expect(trainedRows(model, { parameters: [view.hf] }), view.hf).toEqual(new Map([[view.parameter, [{ from: view.row, to: view.row + view.shape[0] }]]]));
    }
    expect(trainedRows(model, { parameters: ['*'] })).toEqual(trainedRows(model, { parameters: 'all' }));
  });

  test.each<[string, Trainable, RegExp]>([
    ['a glob without a match', { parameters: ['model.norm.weight', 'model.layers.7.*'] }, /"model\.layers\.7\.\*" matches no tensor/],
    ['a dot is a dot', { parameters: ['modelxnorm.weight'] }, /matches no tensor/],
    ['rows without firstRow', { parameters: 'rows' }, /firstRow from 0 to 258/],
    ['firstRow beyond the end', { parameters: 'rows', firstRow: 259 }, /got 259/],
    ['firstRow with another set', { parameters: 'all', firstRow: 3 }, /goes with parameters "rows"/],
    ['nothing at all', { parameters: 'none' }, /nothing would learn/],
    ['no globs', { parameters: [] }, /nothing would learn/],
  ])('%s is refused', (_, trainable, message) => {
    expect(() => plan({ trainable })).toThrow(message);
  });
});
