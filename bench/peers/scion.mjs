/** scion as a contender: kernels chosen by itself, steps by the same Stepper that the trainer uses. */
import { GpuDevice } from '../../src/gpu/device.ts';
import { makeConfig } from '../../src/nn/config.ts';
import { listHfViews, listParameters } from '../../src/nn/parameters.ts';
import { Graph } from '../../src/tensor/graph.ts';
import { attentionRanges } from '../../src/tensor/ops/attention.ts';
import { matmul } from '../../src/tensor/ops/matmul.ts';
import { planGraph } from '../../src/tensor/plan.ts';
import { planTraining } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { Replay } from '../lib/replay.ts';
import { batch, EPSILON, fill, LEARNING_RATE, operands, weightShapes, weightValues } from './model.mjs';

/** Values of scion's fused parameters, from the views that carry the common names. */
function parameterValues(config, model) {
  const shapes = weightShapes(model);
  const values = new Map(listParameters(config).map((p) => [p.name, new Float32Array(p.shape.reduce((a, b) => a * b, 1))]));
  for (const view of listHfViews(config)) values.get(view.parameter).set(weightValues(view.hf, shapes[view.hf]), view.row * (view.shape[1] ?? 1));
  return values;
}

function batchOf(i, model) {
  const { B, T } = model;
  const { ids, labels } = batch(i, model);
  const ranges = new Uint32Array(B * T * 4);
  for (let b = 0; b < B; b++) ranges.set(attentionRanges(T), b * T * 4);
  return { ids: Uint32Array.from(ids), labels, positions: Uint32Array.from(ids, (_, j) => j % T), ranges, tokens: B * T, used: B * T, epoch: 0 };
}

export async function open() {
  const device = await GpuDevice.open();
  return {
    about: device.facts.name,
    matmul(shape) {
      const { ta, tb, a, b } = operands(shape);
      const g = new Graph();
      const y = matmul(g.data('a', a, 'f32'), g.data('b', b, 'f32'), { transposeA: ta, transposeB: tb });
      const plan = planGraph(g, { facts: device.facts, outputs: { y } });
      const replay = new Replay(device, plan, { a: fill('a', a[0] * a[1], 1), b: fill('b', b[0] * b[1], 1) });
      return { run: (times) => replay.submit(times), free: () => replay.destroy() };
    },
    async train(model) {
      const { L, D, H, F, V, B, T } = model;
      const config = makeConfig({ vocabSize: V, hiddenSize: D, intermediateSize: F, numLayers: L, numHeads: H, rmsNormEps: EPSILON });
      const optimizer = { kind: 'sgd', momentum: 0, decay: 0 };
      const setup = { model: config, precision: 'f32', batch: B, tokens: T, optimizer, clip: 0, recompute: 'none' };
      const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
      const values = parameterValues(config, model);
      await stepper.start(async (name) => values.get(name));
      let i = 0;
      return {
        async run(times) {
          for (let t = 0; t < times; t++) stepper.step([batchOf(i++ % 4, model)], LEARNING_RATE);
          const { records } = await stepper.records();
          return records.map((r) => r.lossSum / r.tokens);
        },
        free: () => stepper.destroy(),
      };
    },
  };
}
