/**
 * Adapters against two oracles that know nothing of them: the same model with merged weights, whose gradients (held to PyTorch by
 * the golden tests) give those of A and B by the chain rule in float64; and the float64 interpreter of the whole graph, dropout and
 * noise included. Widths are odd where the model allows it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../src/base/random.ts';
import type { Batch } from '../../src/data/loader.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { assumedFacts } from '../../src/gpu/facts.ts';
import { Generator } from '../../src/infer/generator.ts';
import { type LlamaConfig, makeConfig } from '../../src/nn/config.ts';
import { makeLinear } from '../../src/nn/linear.ts';
import { attentionRanges, headParameter, llamaHidden, weight } from '../../src/nn/llama.ts';
import { LORA_TARGETS, type LoraModule, type LoraSpec, listLora, loraParameters, loraScale } from '../../src/nn/lora.ts';
import { declareModel, gradName, initialValues, listParameters, type Parameter } from '../../src/nn/parameters.ts';
import { differentiate } from '../../src/tensor/autodiff.ts';
import { runOnce } from '../../src/tensor/eager.ts';
import { Graph, view } from '../../src/tensor/graph.ts';
import { linearCrossEntropy } from '../../src/tensor/ops/linear_cross_entropy.ts';
import { evaluateReference } from '../../src/tensor/reference.ts';
import { States } from '../../src/tensor/states.ts';
import { sizeOf } from '../../src/tensor/types.ts';
import { batchLeaves, LLAMA_ADAMW, planTraining, type TrainSetup } from '../../src/train/programs.ts';
import { Stepper } from '../../src/train/stepper.ts';
import { normError } from '../runtime/case.ts';

const [B, T] = [2, 11];
const shape = { vocabSize: 37, hiddenSize: 12, intermediateSize: 10, numLayers: 2, numHeads: 2, numKvHeads: 1, headSize: 8 };
const UNTIED = makeConfig({ ...shape });
const TIED = makeConfig({ ...shape, tied: true, modelType: 'qwen2', qkvBias: true });
const spec = (targets: readonly string[], more: Partial<LoraSpec> = {}): LoraSpec => ({ rank: 3, alpha: 7, dropout: 0, init: 'kaiming', targets, ...more });
const setupOf = (model: LlamaConfig, more: Partial<TrainSetup> = {}): TrainSetup => ({
  model,
  precision: 'f32',
  batch: B,
  tokens: T,
  optimizer: LLAMA_ADAMW,
  clip: 0,
  recompute: 'none',
  ...more,
});
/** Two f32 paths of some hundred terms: as `F32_TOLERANCE` of the op cases, doubled. */
const SHARP = 2e-5;

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

/** A row of two documents, of 4 and 6 tokens with one of padding, and a row of one. */
function batchOf(V: number): Batch {
  const random = new Random(11, 2);
  const ids = Uint32Array.from({ length: B * T }, () => random.below(V));
  const ranges = new Uint32Array(B * T * 4);
  const positions = new Uint32Array(B * T);
  [[4, 6], [T]].forEach((lengths, b) => {
    ranges.set(attentionRanges(T, lengths), b * T * 4);
    lengths.reduce((at, n) => {
      for (let i = 0; i < n; i++) positions[at + i] = i;
      return at + n;
    }, b * T);
  });
  const labels = Int32Array.from(ids, (_, i) => (i % 5 === 4 || i === T - 1 ? -100 : ids[(i + 1) % (B * T)]));
  return { ids, labels, positions, ranges, tokens: labels.filter((x) => x >= 0).length, used: B * T - 1, epoch: 0 };
}

/** Numbers for every adapter matrix, those of B inside its blocks: what a trained adapter looks like. */
function adaptersOf(c: LlamaConfig, s: LoraSpec): Map<string, Float32Array> {
  const out = new Map<string, Float32Array>();
  for (const m of listLora(c, s)) {
    for (const p of [m.a, m.b]) out.set(p.name, initialValues({ ...p, init: { normal: 0.3 } }, 8));
    const b = out.get(m.b.name) as Float32Array;
    eachOutside(m, s.rank, (i) => {
      b[i] = 0;
    });
  }
  return out;
}

/** Visits the entries of a module's B that belong to no adapter. */
function eachOutside(m: LoraModule, rank: number, visit: (i: number) => void): void {
  if (m.name === 'embed') return;
  const [rows, R] = m.b.shape;
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < R; k++) {
      const {
        row,
        shape: [n],
      } = m.views[Math.floor(k / rank)];
      if (r < row || r >= row + n) visit(r * R + k);
    }
  }
}

/** The update of a module's matrix [out, in] in float64: scale B A; an embedding's is scale A B^T. */
function productOf(m: LoraModule, scale: number, a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  const embedding = m.name === 'embed';
  const [left, right] = embedding ? [a, b] : [b, a];
  const R = embedding ? m.a.shape[1] : m.a.shape[0];
  const rows = embedding ? m.a.shape[0] : m.b.shape[0];
  const width = embedding ? m.b.shape[0] : m.a.shape[1];
  const out = new Float64Array(rows * width);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < width; c++) {
      let sum = 0;
      for (let k = 0; k < R; k++) sum += left[r * R + k] * (embedding ? right[c * R + k] : right[k * width + c]);
      out[r * width + c] = scale * sum;
    }
  }
  return out;
}

/** d loss / d A and d loss / d B from d loss / d W of the merged matrix, in float64. */
function chain(
  m: LoraModule,
  scale: number,
  rank: number,
  dw: ArrayLike<number>,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): { a: Float64Array; b: Float64Array } {
  const da = new Float64Array(sizeOf(m.a.shape));
  const db = new Float64Array(sizeOf(m.b.shape));
  const embedding = m.name === 'embed';
  const R = embedding ? m.a.shape[1] : m.a.shape[0];
  const rows = embedding ? m.a.shape[0] : m.b.shape[0];
  const width = embedding ? m.b.shape[0] : m.a.shape[1];
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < width; c++) {
      const g = scale * dw[r * width + c];
      for (let k = 0; k < R; k++) {
        const [ia, ib] = embedding ? [r * R + k, c * R + k] : [k * width + c, r * R + k];
        da[ia] += g * b[ib];
        db[ib] += g * a[ia];
      }
    }
  }
  eachOutside(m, rank, (i) => {
    db[i] = 0;
  });
  return { a: da, b: db };
}

const weightsOf = (c: LlamaConfig): Map<string, Float32Array> =>
  new Map(listParameters(c).map((p) => [p.name, initialValues(p.shape.length === 2 ? { ...p, init: { normal: 0.2 } } : p, 4)]));

/** The merged model: an untied one, since a tied head and its embedding are adapted apart. */
function merged(
  c: LlamaConfig,
  s: LoraSpec,
  base: Map<string, Float32Array>,
  adapters: Map<string, Float32Array>,
): { model: LlamaConfig; weights: Map<string, Float32Array> } {
  const weights = new Map([...base].map(([name, w]) => [name, w.slice()]));
  if (c.tied) weights.set('head', (base.get('embed') as Float32Array).slice());
  for (const m of listLora(c, s)) {
    const w = weights.get(m.name) as Float32Array;
    const product = productOf(m, loraScale(s), adapters.get(m.a.name) as Float32Array, adapters.get(m.b.name) as Float32Array);
    product.forEach((x, i) => {
      w[i] += x;
    });
  }
  return { model: { ...c, tied: false }, weights };
}

async function open(setup: TrainSetup, weights: Map<string, Float32Array>, adapters?: Map<string, Float32Array>): Promise<Stepper> {
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  await stepper.start(async (n) => weights.get(n) as Float32Array, adapters && { adapters: async (n) => adapters.get(n) as Float32Array });
  return stepper;
}

const LAYERS = LORA_TARGETS.filter((t) => t !== 'embed_tokens' && t !== 'lm_head');
const setups: readonly (readonly [string, LlamaConfig, LoraSpec])[] = [
  ['every target', UNTIED, spec(LORA_TARGETS)],
  ['every target of a tied model with biases', TIED, spec(LORA_TARGETS, { rslora: true })],
  ['parts of fused matrices', UNTIED, spec(['q_proj', 'v_proj', 'up_proj'])],
  ['one part, rank 1', UNTIED, spec(['k_proj'], { rank: 1 })],
  ['rank above the width', UNTIED, spec(['o_proj', 'lm_head'], { rank: 17 })],
];

describe.each(setups)('%s', (_, model, lora) => {
  const base = weightsOf(model);
  const adapters = adaptersOf(model, lora);
  const whole = merged(model, lora, base, adapters);
  const batch = batchOf(model.vocabSize);

  test.each(['none', 'layer'] as const)('losses and every gradient are those of the merged model, recompute %s', async (recompute) => {
    const oracle = await open(setupOf(whole.model), whole.weights);
    const wanted = await oracle.evaluate([batch]);
    oracle.accumulate(batch, 1 / batch.tokens);
    const dw = new Map<string, Float32Array>();
    for (const p of listParameters(whole.model)) dw.set(p.name, (await oracle.session.readState(gradName(p.name))) as Float32Array);
    oracle.destroy();

    const stepper = await open(setupOf(model, { lora, recompute, trainable: { parameters: 'none' } }), base, adapters);
    const found = await stepper.evaluate([batch]);
    expect(Math.abs(found.nll / wanted.nll - 1)).toBeLessThan(SHARP);
    // Before the update masks it: by itself, as a step would see it.
    const lr = 1e-3;
    stepper.step([batch], lr);
    const { records } = await stepper.records();
    let squares = 0;
    for (const m of listLora(model, lora)) {
      const [a, b] = [m.a, m.b].map((p) => adapters.get(p.name) as Float32Array);
      const g = chain(m, loraScale(lora), lora.rank, dw.get(m.name) as Float32Array, a, b);
      for (const [p, grad] of [
        [m.a, g.a],
        [m.b, g.b],
      ] as const) {
        for (const x of grad) squares += x * x;
        // The first moment after one step is a tenth of the gradient: what the optimizer saw, masks included.
        const seen = ((await stepper.session.readState(`moment1:${p.name}`)) as Float32Array).map((x) => x / (1 - 0.9));
        const error = normError(seen, grad);
        expect(error, `${p.name}: norm-wise error ${error}`).toBeLessThan(SHARP);
      }
      const after = await stepper.readParameter(m.b.name);
      eachOutside(m, lora.rank, (i) => expect(Object.is(after[i], 0), `${m.b.name}[${i}] is ${after[i]}`).toBe(true));
      expect(after).not.toEqual(b);
    }
    expect(Math.abs(records[0].gradNorm / Math.sqrt(squares) - 1)).toBeLessThan(SHARP);
    for (const [name, w] of base) expect(await stepper.readParameter(name), name).toEqual(w);
    stepper.destroy();
  });

  test('in use: logits of prefill, decode and score are those of the merged model', async () => {
    const options = { precision: 'f32', capacity: 16, score: { batch: 1, tokens: 16 } } as const;
    const all = new Map([...base, ...adapters]);
    const plain = await Generator.open(device, whole.model, async (n) => whole.weights.get(n) as Float32Array, options);
    const adapted = await Generator.open(device, model, async (n) => all.get(n) as Float32Array, { ...options, lora });
    const ids = [...batch.ids.slice(0, 9)];
    expect(normError(await adapted.logits(ids), await plain.logits(ids))).toBeLessThan(SHARP);
    expect(normError(await adapted.append([3]), await plain.append([3]))).toBeLessThan(SHARP);
    plain.session.destroy();
    adapted.session.destroy();
  });
});

test('base and adapters learn together', async () => {
  const lora = spec(LAYERS);
  const base = weightsOf(UNTIED);
  const adapters = adaptersOf(UNTIED, lora);
  const whole = merged(UNTIED, lora, base, adapters);
  const batch = batchOf(UNTIED.vocabSize);
  const oracle = await open(setupOf(whole.model), whole.weights);
  const stepper = await open(setupOf(UNTIED, { lora }), base, adapters);
  for (const s of [oracle, stepper]) s.accumulate(batch, 1 / batch.tokens);
  for (const p of listParameters(UNTIED)) {
    const [found, wanted] = await Promise.all([stepper, oracle].map((s) => s.session.readState(gradName(p.name))));
    expect(normError(found, wanted), p.name).toBeLessThan(SHARP);
  }
  oracle.destroy();
  stepper.destroy();
});

test('in mixed precision, attached to the session that trains: answers follow the adapter, the base is shared', async () => {
  const lora = spec(['q_proj', 'v_proj', 'down_proj', 'embed_tokens', 'lm_head']);
  const base = weightsOf(UNTIED);
  const setup = setupOf(UNTIED, { lora, precision: 'mixed', trainable: { parameters: ['model.layers.1.self_attn.q_proj.weight'] } });
  const stepper = await open(setup, base);
  const options = { precision: 'mixed', capacity: 16, lora } as const;
  const generator = Generator.attach(stepper.session, UNTIED, options);
  const ids = [...batchOf(UNTIED.vocabSize).ids.slice(0, 9)];
  const before = await generator.logits(ids);
  for (let s = 0; s < 3; s++) stepper.step([batchOf(UNTIED.vocabSize)], 0.02);
  await stepper.records();
  const after = await generator.logits(ids);
  expect(normError(after, before)).toBeGreaterThan(0.01);
  const read = new Map<string, Float32Array>();
  for (const p of [...listParameters(UNTIED), ...loraParameters(UNTIED, lora)]) read.set(p.name, await stepper.readParameter(p.name));
  const alone = await Generator.open(device, UNTIED, async (n) => read.get(n) as Float32Array, options);
  expect(await alone.logits(ids)).toEqual(after);
  for (const g of [alone, generator]) g.session.destroy();
  stepper.destroy();
});

test('with dropout and noise: every gradient against the float64 interpreter of the whole graph', async () => {
  const model = makeConfig({ vocabSize: 13, hiddenSize: 6, intermediateSize: 9, numLayers: 1, numHeads: 1, numKvHeads: 1, headSize: 8 });
  const lora = spec(LORA_TARGETS, { dropout: 0.3, rank: 2 });
  const states = new States();
  const parameters = declareModel(states, model, { precision: 'f32', train: null, adapters: loraParameters(model, lora) });
  states.freeze(device.facts);
  const g = new Graph(states);
  const leaves = { ...batchLeaves(g, B, T, true), noise: g.data('noise', [B, T], 'f32') };
  const random = { seed: 3, stream: { step: 'stream' } };
  const linear = makeLinear(g, model, { precision: 'f32', lora, random });
  const hidden = view(llamaHidden(g, model, leaves, { precision: 'f32', capacity: T, random, linear }), [B * T, model.hiddenSize]);
  const { loss } = linearCrossEntropy(hidden, weight(g, headParameter(model)), leaves.labels, { term: linear.headTerm(hidden) });
  const seed = g.data('seed', [B * T], 'f32');
  const grads = differentiate(
    g,
    [{ value: loss, adjoint: seed }],
    parameters.map((p) => ({ by: g.state(p.name), into: null })),
  );
  const wanted = { loss, ...Object.fromEntries(parameters.map((p, i) => [p.name, grads[i]])) } as Record<string, typeof loss>;
  const setup = setupOf(model, { lora, neftune: 5, seed: 3 });
  const stepper = new Stepper(device, setup, planTraining(setup, device.facts));
  const { feeds, segments } = stepper.feedsOf(batchOf(model.vocabSize));
  stepper.destroy();
  // Each document's tokens get alpha / sqrt(L D), padding nothing.
  const sizes = (feeds.noise as Float32Array).slice(0, T + 1);
  [4, 4, 4, 4, 6, 6, 6, 6, 6, 6, Number.POSITIVE_INFINITY, T].forEach((L, t) => {
    expect(sizes[t]).toBeCloseTo(5 / Math.sqrt(L * model.hiddenSize), 6);
  });
  const values = Object.fromEntries(parameters.map((p: Parameter) => [p.name, initialValues({ ...p, init: { normal: 0.4 } }, 8)]));
  const random2 = new Random(5);
  const fed = { ...feeds, seed: Float32Array.from({ length: B * T }, () => random2.normal()) };
  const results: Float64Array[][] = [];
  for (const stream of [0, 4294967295]) {
    const scalars = { segments, stream };
    const reference = evaluateReference(Object.values(wanted), { ...values, ...fed, rope: g.constants.get('rope') as Float32Array }, scalars);
    const found = await runOnce(device, wanted, fed, { scalars, states: values });
    Object.keys(wanted).forEach((name, i) => {
      const error = normError(found[name], reference[i].data);
      expect(error, `${name}: norm-wise error ${error}`).toBeLessThan(SHARP);
    });
    results.push(reference.map((r) => r.data));
  }
  // Another stream, another draw.
  expect(normError(results[0][0], results[1][0])).toBeGreaterThan(0.01);
});

test('a base stored in 16 bits beside f32 adapters: half the bytes, gradients within its rounding', async () => {
  const lora = spec(LORA_TARGETS);
  const [base, adapters] = [weightsOf(UNTIED), adaptersOf(UNTIED, lora)];
  const batch = batchOf(UNTIED.vocabSize);
  const frozen = { lora, trainable: { parameters: 'none' } } as const;
  const [whole, half] = [await open(setupOf(UNTIED, frozen), base, adapters), await open(setupOf(UNTIED, { ...frozen, baseStorage: 'f16' }), base, adapters)];
  expect(half.memory.states.weight).toBeGreaterThan(0);
  expect(whole.memory.states.param - half.memory.states.param).toBe(2 * half.memory.states.weight);
  for (const s of [whole, half]) s.accumulate(batch, 1 / batch.tokens);
  for (const p of loraParameters(UNTIED, lora)) {
    const [found, wanted] = [await half.session.readState(gradName(p.name)), await whole.session.readState(gradName(p.name))];
    const error = normError(found, wanted);
    // Weights are rounded to 2^-11 of themselves; two layers add a few of these up.
    expect(error, p.name).toBeLessThan(5e-3);
    expect(error, p.name).toBeGreaterThan(1e-6);
  }
  for (const s of [whole, half]) s.destroy();
});

test('recomputed layers drop what they dropped before', async () => {
  const lora = spec(LAYERS, { dropout: 0.4 });
  const base = weightsOf(UNTIED);
  const batch = batchOf(UNTIED.vocabSize);
  const gradients: Float32Array[][] = [];
  for (const recompute of ['none', 'layer', 'selective'] as const) {
    const stepper = await open(setupOf(UNTIED, { lora, recompute }), base, adaptersOf(UNTIED, lora));
    stepper.accumulate(batch, 1 / batch.tokens, 9);
    const names = loraParameters(UNTIED, lora).map((p) => gradName(p.name));
    const own: Float32Array[] = [];
    for (const n of names) own.push((await stepper.session.readState(n)) as Float32Array);
    gradients.push(own);
    stepper.destroy();
  }
  // The same numbers in the same order, so the same sums.
  expect(gradients[1]).toEqual(gradients[0]);
  expect(gradients[2]).toEqual(gradients[0]);
});

describe('what adapters cost', () => {
  const facts = assumedFacts({ profile: 'generic' });
  const launches = (more: Partial<TrainSetup>, which: 'micro' | 'evaluate' | 'update' = 'evaluate') =>
    planTraining(setupOf(UNTIED, more), facts).plans[which].commands.filter((c) => c.kind === 'dispatch').length;

  test.each(LORA_TARGETS)('%s: two launches more a layer in a forward pass', (target) => {
    const layers = target === 'embed_tokens' || target === 'lm_head' ? 1 : UNTIED.numLayers;
    expect(launches({ lora: spec([target]) }) - launches({})).toBe(2 * layers);
  });

  test('q, k and v together cost what q alone costs; dropout one more, in training only', () => {
    const frozen = { trainable: { parameters: 'none' } } as const;
    expect(launches({ lora: spec(['q_proj', 'k_proj', 'v_proj']) })).toBe(launches({ lora: spec(['q_proj']) }));
    const [dry, wet] = [0, 0.1].map((dropout) => ({ ...frozen, lora: spec(['q_proj', 'k_proj', 'v_proj'], { dropout }) }));
    expect(launches(wet)).toBe(launches(dry));
    const micro = (more: Partial<TrainSetup>) => planTraining(setupOf(UNTIED, more), facts).plans.micro.sequence.map((n) => n.op);
    expect(micro(dry)).not.toContain('dropout');
    expect(micro(wet).filter((op) => op === 'dropout').length).toBeGreaterThanOrEqual(UNTIED.numLayers);
    // Frozen, the base has no gradient: one product a layer fewer for each of its matrices, and no state.
    const { memory } = planTraining(setupOf(UNTIED, dry), facts);
    const adapters = planTraining(setupOf(UNTIED, dry), facts)
      .states.all()
      .filter((s) => s.kind === 'grad');
    expect(adapters.every((s) => /\.lora_[ab]$/.test(s.name))).toBe(true);
    expect(memory.states.grad).toBeLessThan(planTraining(setupOf(UNTIED), facts).memory.states.grad);
  });

  test('noise is one launch, in training only', () => {
    expect(launches({ neftune: 5 }, 'micro') - launches({}, 'micro')).toBe(1);
    expect(launches({ neftune: 5 }) - launches({})).toBe(0);
  });

  test.each<[Partial<LoraSpec>, RegExp]>([
    [{ rank: 0 }, /rank must be an integer from 1, got 0/],
    [{ alpha: 0 }, /alpha must be a positive number/],
    [{ dropout: 1 }, /dropout is a share/],
    [{ targets: [] }, /targets is empty/],
    [{ targets: ['q_proj', 'qkv'] }, /"qkv" is no module/],
  ])('%j is refused', (more, message) => {
    expect(() => planTraining(setupOf(UNTIED, { lora: { ...spec(['q_proj']), ...more } }), facts)).toThrow(message);
  });
});
