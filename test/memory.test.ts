/**
 * The runtime is held to the plan: bytes allocated on the device equal the planned bytes, a steady step
 * allocates nothing, the arena stays near a lower bound that this test computes from the graph by itself,
 * and recomputation saves what it promises. Buffers are counted by wrapping `createBuffer` and `destroy`.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { collate } from '../src/data/loader.ts';
import { packDocuments } from '../src/data/pack.ts';
import { GpuDevice } from '../src/gpu/device.ts';
import { makeConfig } from '../src/nn/config.ts';
import type { Precision } from '../src/nn/parameters.ts';
import { type Graph, isLeaf, type Value } from '../src/tensor/graph.ts';
import type { RecomputePolicy } from '../src/tensor/recompute.ts';
import { byteSize, roundUp } from '../src/tensor/types.ts';
import { LLAMA_ADAMW, planTraining, type TrainSetup, traceMicro } from '../src/train/programs.ts';
import { Stepper } from '../src/train/stepper.ts';

const models = {
  'two layers of 64': makeConfig({ vocabSize: 128, hiddenSize: 64, intermediateSize: 172, numLayers: 2, numHeads: 4 }),
  'four layers of 128, grouped-query, tied': makeConfig({
    vocabSize: 256,
    hiddenSize: 128,
    intermediateSize: 344,
    numLayers: 4,
    numHeads: 8,
    numKvHeads: 2,
    tied: true,
  }),
  'six layers of 96': makeConfig({ vocabSize: 101, hiddenSize: 96, intermediateSize: 256, numLayers: 6, numHeads: 6, numKvHeads: 3 }),
};

const setupOf = (name: keyof typeof models, precision: Precision, recompute: RecomputePolicy, batch = 2, tokens = 64): TrainSetup => ({
  model: models[name],
  precision,
  recompute,
  batch,
  tokens,
  clip: 1,
  optimizer: LLAMA_ADAMW,
});

/** Bytes that must live at once whatever the addresses: tensors from their first write to their last use, in tracing order. */
function lowerBound(graph: Graph): number {
  const nodes = graph.nodes.filter((n) => !isLeaf(n));
  const home = (v: Value): Value => {
    const update = v.node.op.updates?.find(([o]) => o === v.index);
    const base = v.node.into[v.index] ?? (update ? v.node.inputs[update[1]] : undefined);
    return base ? home(base) : v;
  };
  const lives = new Map<number, { bytes: number; from: number; to: number }>();
  nodes.forEach((node, t) => {
    for (const v of [...node.inputs, ...node.outputs].map(home)) {
      if (isLeaf(v.node)) continue;
      const life = lives.get(v.id);
      if (life) life.to = t;
      else lives.set(v.id, { bytes: byteSize(v), from: t, to: t });
    }
  });
  // An op that works in place needs no second tensor: the input's life ends just before the output's begins.
  nodes.forEach((node, t) => {
    for (const [, input] of node.op.inPlace ?? []) {
      const life = lives.get(home(node.inputs[input]).id);
      if (life && life.to === t) life.to = t - 1;
    }
  });
  // The loss keeps its logits for one node; the op's contract is rows x vocabulary in f32 up to 128 MiB.
  const logits = nodes.map((n) => (n.op.name.startsWith('linear_cross_entropy') ? Math.min(128 << 20, n.inputs[0].shape[0] * n.inputs[1].shape[0] * 4) : 0));
  let most = 0;
  for (let t = 0; t < nodes.length; t++) {
    let live = logits[t];
    for (const l of lives.values()) if (l.from <= t && t <= l.to) live += l.bytes;
    most = Math.max(most, live);
  }
  return most;
}

/** Activation bytes alone at their worst moment, without any op's scratch. */
function activationPeak(plan: { lifetimes: readonly { kind: string; bytes: number; from: number; to: number }[]; sequence: readonly unknown[] }): number {
  let most = 0;
  for (let t = 0; t < plan.sequence.length; t++) {
    most = Math.max(
      most,
      plan.lifetimes.filter((l) => l.kind === 'activation' && l.from <= t && t <= l.to).reduce((s, l) => s + l.bytes, 0),
    );
  }
  return most;
}

let device: GpuDevice;
/** Live bytes by buffer as the GPU object itself saw them. */
const seen = new Map<GPUBuffer, number>();
let made = 0;

beforeAll(async () => {
  device = await GpuDevice.open();
  const create = device.raw.createBuffer.bind(device.raw);
  device.raw.createBuffer = (descriptor) => {
    const buffer = create(descriptor);
    made++;
    seen.set(buffer, descriptor.size);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      seen.delete(buffer);
      return destroy();
    };
    return buffer;
  };
});
afterAll(() => device.destroy());

const live = () => [...seen.values()].reduce((a, b) => a + b, 0);

function batchOf(setup: TrainSetup) {
  const documents = Array.from({ length: 64 }, (_, d) =>
    Array.from({ length: 20 + ((d * 7) % 30) }, (_, i) => 3 + ((i * 13 + d * 5) % (setup.model.vocabSize - 3))),
  );
  const { packs } = packDocuments(documents, { T: setup.tokens, bos: 1, eos: 2, pad: 0 });
  return collate(packs.slice(0, setup.batch));
}

describe.each(Object.keys(models) as (keyof typeof models)[])('%s', (name) => {
  describe.each(['f32', 'mixed'] as const)('%s', (precision) => {
    test.each(['none', 'layer'] as const)('bytes on the device are the planned bytes, recompute %s', async (policy) => {
      const setup = setupOf(name, precision, policy);
      const plans = planTraining(setup, device.facts);
      const before = live();
      const stepper = new Stepper(device, setup, plans);
      expect(live() - before).toBe(plans.memory.total);
      await stepper.startFresh(1);
      const batch = batchOf(setup);
      stepper.step([batch], 1e-3);
      stepper.step([batch], 1e-3);
      await stepper.records();
      // Reading records takes the session's transfer buffer, part of the plan from the start.
      expect(live() - before).toBe(plans.memory.total);
      const buffers = made;
      const groups = device.created.bindGroups;
      const submits = device.created.submits;
      for (let i = 0; i < 3; i++) stepper.step([batch], 1e-3);
      expect(made).toBe(buffers);
      expect(device.created.bindGroups).toBe(groups);
      // One submit a micro, one for the update.
      expect(device.created.submits - submits).toBe(6);
      stepper.destroy();
      expect(live()).toBe(before);
      device.check();
    });

    test.each(['none', 'layer', 'selective'] as const)('the arena is within 1.25 of the lower bound, recompute %s', (policy) => {
      const setup = setupOf(name, precision, policy, 4, 128);
      const plans = planTraining(setup, device.facts);
      const bound = lowerBound(traceMicro(plans.states, setup));
      const arena = plans.plans.micro.arena.reduce((a, b) => a + b, 0);
      expect(arena).toBeGreaterThanOrEqual(bound);
      expect(arena / roundUp(bound, 256), `arena ${arena}, bound ${bound}`).toBeLessThanOrEqual(1.25);
    });
  });
});

test.each(['f32', 'mixed'] as const)('recomputing layers cuts activations by 60 %% or more at four layers and above, %s', (precision) => {
  for (const name of ['four layers of 128, grouped-query, tied', 'six layers of 96'] as const) {
    const [none, layer] = (['none', 'layer'] as const).map((policy) =>
      activationPeak(planTraining(setupOf(name, precision, policy, 4, 128), device.facts).plans.micro),
    );
    expect(layer / none, `${name}: ${layer} of ${none}`).toBeLessThanOrEqual(0.4);
  }
});

test('dispatches of a layer, forward and backward', () => {
  for (const [policy, most] of [
    ['none', 32],
    ['layer', 41],
  ] as const) {
    const { micro } = planTraining(setupOf('four layers of 128, grouped-query, tied', 'f32', policy, 4, 128), device.facts).plans;
    const count = micro.commands.filter((c) => c.kind === 'dispatch' && c.segment === 'layers.1').length;
    expect(count, `recompute ${policy}`).toBeLessThanOrEqual(most);
  }
});
