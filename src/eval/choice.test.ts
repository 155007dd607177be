/**
 * Choice scoring against the float64 interpreter, one option at a time and one sequence a pass, on questions whose options split oddly; then the arithmetic
 * of methods, ties, the commonest answer and the interval against values worked out apart.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GpuDevice } from '../gpu/device.ts';
import { Generator } from '../infer/generator.ts';
import { type LlamaConfig, makeConfig } from '../nn/config.ts';
import { attentionRanges, llamaHidden, weight } from '../nn/llama.ts';
import { declareModel, initialValues, listParameters, type Parameter } from '../nn/parameters.ts';
import { Graph, view } from '../tensor/graph.ts';
import { matmul } from '../tensor/ops/matmul.ts';
import { evaluateReference } from '../tensor/reference.ts';
import { States } from '../tensor/states.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { type Tokenizer, tokenizerFromModel } from '../text/tokenizer.ts';
import { askChoices, type ChoiceQuestion, type ChoiceScores, chooseOption, commonestAnswer, scoreChoices } from './choice.ts';
import { wilson } from './interval.ts';

const texts = ['The capital of France is Paris.', 'The capital of Frisia is Franeker, not Paris.', '法国的首都是巴黎。', '问：法国的首都是哪里？\n答：巴黎'];
const tokenizer = tokenizerFromModel(learnBpe(texts, { size: 320 }));
// Wide random weights, so that options differ by far more than rounding.
const config = makeConfig({
  vocabSize: 320,
  hiddenSize: 24,
  intermediateSize: 40,
  numLayers: 2,
  numHeads: 3,
  initializerRange: 0.3,
  bosId: tokenizer.bosId,
});

const seeded = (c: LlamaConfig) => {
  const all = new Map<string, Parameter>(listParameters(c).map((p) => [p.name, p]));
  return async (name: string) => initialValues(all.get(name) as Parameter, 7);
};

/** Questions of one to five options; some merge with the prompt's end, some cannot. */
const questions: ChoiceQuestion[] = [
  { id: 'plain', category: 'a', prompt: 'The capital of France is', options: [' Paris', ' Franeker', ' not', ' the capital of Frisia'], correct: 0 },
  // "Fr" and "an" are pieces: only the first option is cut across the border.
  { id: 'joined', category: 'a', prompt: 'The capital of Fr', options: ['ance', ' x', 'isia'], correct: 2 },
  { id: 'chinese', category: 'b', prompt: '问：法国的首都是哪里？\n答：', cue: '答：', options: ['巴黎', '法国', '哪里'], correct: 1 },
  { id: 'no prompt', category: 'b', prompt: '', options: ['Paris', 'Frisia'], correct: 1 },
  { id: 'long', category: 'b', prompt: `${texts[1]} ${texts[0]}`, cue: 'is', options: [' Paris', ' 巴黎巴黎', ' capital', ' Fr', ' €'], correct: 4 },
];

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

/** Negative log-likelihood in float64 of `ids` from place `given` on, by a pass over this sequence alone; mark first if the model has one. */
async function naive(c: LlamaConfig, ids: readonly number[], given: number): Promise<number> {
  const all = [...(c.bosId === null ? [] : [c.bosId]), ...ids];
  const T = all.length;
  const states = new States();
  declareModel(states, c, { precision: 'f32', train: null });
  states.freeze(device.facts);
  const g = new Graph(states);
  const inputs = { ids: g.data('ids', [1, T], 'u32'), positions: g.data('positions', [1, T], 'u32'), ranges: g.data('ranges', [1, T, 4], 'u32') };
  const hidden = llamaHidden(g, c, inputs, { precision: 'f32', capacity: 128 });
  const value = matmul(view(hidden, [T, c.hiddenSize]), weight(g, 'head'), { transposeB: true });
  const feeds: Record<string, ArrayLike<number>> = { ids: all, positions: all.map((_, i) => i), ranges: attentionRanges(T, [T], 0) };
  for (const p of listParameters(c)) feeds[p.name] = await seeded(c)(p.name);
  const [{ data }] = evaluateReference([value], feeds);
  let nll = 0;
  for (let i = given + all.length - ids.length; i < T; i++) {
    const row = data.subarray((i - 1) * c.vocabSize, i * c.vocabSize);
    nll += Math.log(row.reduce((a, x) => a + Math.exp(x), 0)) - row[all[i]];
  }
  return nll;
}

/** The rule in words: what follows the beginning that the prompt and all options share. Written apart from the code under test. */
function places(t: Tokenizer, beginning: string, options: readonly string[]): { ids: number[]; given: number }[] {
  const all = [beginning, ...options.map((o) => beginning + o)].map((s) => t.encode(s));
  const shared = all[0].findIndex((id, i) => all.some((ids) => ids[i] !== id));
  return all.slice(1).map((ids) => ({ ids, given: shared < 0 ? all[0].length : shared }));
}

describe('scores', () => {
  test.each([
    ['one row at a time', 1, 128],
    ['many in a row', 3, 96],
    ['rows that hold one', 2, 61],
  ])('%s: float64, one by one', async (_, batch, tokens) => {
    const model = await Generator.open(device, config, seeded(config), { precision: 'f32', capacity: 0, score: { batch, tokens } });
    const found = await scoreChoices(model, tokenizer, questions);
    model.destroy();
    let split = 0;
    for (const [i, q] of questions.entries()) {
      for (const [kind, beginning] of [
        ['nll', q.prompt],
        ['unconditional', q.cue ?? ''],
      ] as const) {
        for (const [k, { ids, given }] of places(tokenizer, beginning, q.options).entries()) {
          if (given < tokenizer.encode(beginning).length) split++;
          const right = await naive(config, ids, given);
          // f32 against float64: logits of some ten units, up to thirty of them summed.
          expect(Math.abs(found[i][kind][k] - right), `${q.id} ${kind} ${k}: ${found[i][kind][k]} for ${right}`).toBeLessThanOrEqual(2e-4);
          if (kind === 'nll') expect(found[i].tokens[k]).toBe(ids.length - given);
        }
      }
    }
    // Else the odd case is not tested.
    expect(split).toBeGreaterThan(0);
  });

  test('a model without a begin mark scores from the second id on, and refuses to start with an option', async () => {
    const c = { ...config, bosId: null };
    const model = await Generator.open(device, c, seeded(c), { precision: 'f32', capacity: 0, score: { batch: 2, tokens: 64 } });
    const q = { ...questions[2], id: 'marked' };
    const [found] = await scoreChoices(model, tokenizer, [q]);
    // As above.
    for (const [k, { ids, given }] of places(tokenizer, q.prompt, q.options).entries())
      expect(Math.abs(found.nll[k] - (await naive(c, ids, given)))).toBeLessThanOrEqual(2e-4);
    await expect(scoreChoices(model, tokenizer, [{ ...q, prompt: '' }])).rejects.toThrow(/question marked: nothing stands before/);
    model.destroy();
  });

  test('the report adds up, by category too', async () => {
    const model = await Generator.open(device, config, seeded(config), { precision: 'f32', capacity: 0, score: { batch: 2, tokens: 96 } });
    const report = await askChoices(model, tokenizer, questions);
    expect(report.n).toBe(5);
    expect(report.chance).toBeCloseTo((1 / 4 + 1 / 3 + 1 / 3 + 1 / 2 + 1 / 5) / 5, 12);
    for (const [method, result] of Object.entries(report.methods)) {
      const right = questions.filter((q, i) => chooseOption(q, report.scores[i], method as 'sum') === q.correct).length;
      expect(result.correct).toBe(right);
      expect(Object.values(result.byCategory).reduce((sum, r) => sum + r.correct, 0)).toBe(right);
      expect(Object.values(result.byCategory).map((r) => r.n)).toEqual([2, 3]);
      expect(result.interval).toEqual(wilson(right, 5));
    }
    await expect(askChoices(model, tokenizer, [])).rejects.toThrow(/no questions/);
    model.destroy();
  });

  test.each([
    [{ options: ['x'] }, /1 options; a choice needs at least 2/],
    [{ options: ['x', 'x'] }, /two of its options are the same/],
    [{ options: ['x', ''] }, /an option is empty/],
    [{ correct: 4 }, /number 4 of 4/],
    [{ correct: 0.5 }, /number 0.5 of 4/],
  ])('refuses %j', async (wrong, message) => {
    await expect(scoreChoices(null as never, tokenizer, [{ ...questions[0], ...wrong }])).rejects.toThrow(message);
  });
});

test('methods: each chooses by its own measure, the first of equals', () => {
  const q: ChoiceQuestion = { id: 'q', category: 'a', prompt: 'p', options: ['aaaaaaaaaa', 'bb', '国国', 'd'], correct: 0 };
  const scores: ChoiceScores = { nll: [6, 3, 5, 4], tokens: [4, 1, 5, 2], unconditional: [1, 1, 2, 5] };
  expect(chooseOption(q, scores, 'sum')).toBe(1);
  // 1.5, 3, 1, 2.
  expect(chooseOption(q, scores, 'token')).toBe(2);
  // 0.6, 1.5, 5/6 (six bytes), 4.
  expect(chooseOption(q, scores, 'byte')).toBe(0);
  // 5, 2, 3, -1.
  expect(chooseOption(q, scores, 'gain')).toBe(3);
  expect(chooseOption(q, { ...scores, nll: [3, 3, 3, 3] }, 'sum')).toBe(0);
});

test('the commonest answer: ties share, the unknown counts nothing', () => {
  const of = (options: string[], correct: number, category = 'c'): ChoiceQuestion => ({ id: 'q', category, prompt: '', options, correct });
  const counts = new Map([['c', new Map(Object.entries({ a: 5, b: 5, c: 2 }))]]);
  expect(commonestAnswer([of(['a', 'c'], 0)], counts)).toBe(1);
  expect(commonestAnswer([of(['a', 'c'], 1)], counts)).toBe(0);
  expect(commonestAnswer([of(['a', 'b', 'c'], 1)], counts)).toBe(0.5);
  expect(commonestAnswer([of(['x', 'y', 'z', 'w'], 3), of(['c', 'x'], 0)], counts)).toBe((0.25 + 1) / 2);
  expect(commonestAnswer([of(['a', 'c'], 0, 'other')], counts)).toBe(0.5);
});

test('Wilson: its ends solve the score equation, and keep within 0 to 1', () => {
  // The definition: |p - end| = z * sqrt(end (1 - end) / n).
  for (const [k, n] of [
    [8, 10],
    [1, 3],
    [207, 276],
    [55, 276],
  ] as const) {
    for (const end of wilson(k, n)) expect(Math.abs(k / n - end)).toBeCloseTo(1.959963984540054 * Math.sqrt((end * (1 - end)) / n), 12);
  }
  // Newcombe 1998, table I: 81 of 263 and 15 of 148.
  expect(wilson(81, 263).map((x) => x.toFixed(4))).toEqual(['0.2553', '0.3662']);
  expect(wilson(15, 148).map((x) => x.toFixed(4))).toEqual(['0.0624', '0.1605']);
  expect(wilson(0, 20)[0]).toBe(0);
  expect(wilson(20, 20)[1]).toBe(1);
  expect(() => wilson(3, 2)).toThrow(/3 successes in 2 trials/);
  expect(() => wilson(0, 0)).toThrow(/at least one trial/);
});
