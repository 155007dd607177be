/**
 * The engine's own promises: slots never given twice, work cut the same way each time, an evaluation taken up anywhere giving the bits it gave
 * before, prompts cut and refused in words. Numbers against another system: `test/golden/eval.test.ts`.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { byteTokenizer } from '../../../test/data/byte-tokenizer.ts';
import { Random } from '../../base/random.ts';
import { sampleChoiceQuestions } from '../../data/sample/choices.ts';
import { GpuDevice } from '../../gpu/device.ts';
import { assumedFacts } from '../../gpu/facts.ts';
import { Generator } from '../../infer/generator.ts';
import { planInference } from '../../infer/plans.ts';
import { makeConfig } from '../../nn/config.ts';
import { initialValues, listParameters } from '../../nn/parameters.ts';
import type { Method, Prompted, SampleOutput } from '../types.ts';
import { BranchList } from './branches.ts';
import { ask, fitEvaluation, prepare, unitsOf } from './index.ts';
import { Ring } from './ring.ts';

const tokenizer = byteTokenizer();
const config = makeConfig({
  vocabSize: tokenizer.vocabSize,
  hiddenSize: 16,
  intermediateSize: 24,
  numLayers: 1,
  numHeads: 2,
  numKvHeads: 1,
  headSize: 8,
  maxPositions: 512,
});

const choice = (id: string, subject: string, prefix: string, body: string, options: readonly string[]): Prompted => ({
  question: { id, subject, group: null, file: 'q', line: 1, fields: {}, options, letters: options.map((_, i) => 'ABCD'[i]), answer: ['B'], turns: null },
  prefix,
  body,
  continuations: options,
  baseline: 'Answer:',
  stop: ['\n'],
  maxNewTokens: 5,
});

/** Questions of the sample under three prefixes, the last of them empty. */
const questions = sampleChoiceQuestions('en')
  .slice(0, 27)
  .map((q, i) => choice(q.id, q.category, ['Examples. 1 + 1 = 2.\n\n', 'Other examples. 2 + 2 = 4.\n\n', ''][i % 3], q.prompt, q.options));

const options = (method: Method, share = true) => ({ task: 't', method, positions: config.maxPositions, bosId: tokenizer.bosId, share });

let device: GpuDevice;
beforeAll(async () => {
  device = await GpuDevice.open();
});
afterAll(() => device.destroy());

describe('slots', () => {
  test('no run that may still be read is given again, and an empty ring holds its size', () => {
    const random = new Random(3);
    const ring = new Ring(100, 50);
    expect(ring.take(51, 0)).toBeNull();
    const open: { slot: number; length: number; last: number; end: (pass: number) => void }[] = [];
    let given = 0;
    for (let pass = 0; pass < 400; pass++) {
      for (let tries = 0; tries < 3; tries++) {
        const length = 1 + Math.floor(random.uniform() * 20);
        const run = ring.take(length, pass);
        if (!run) continue;
        given++;
        expect(run.slot).toBeGreaterThanOrEqual(100);
        expect(run.slot + length).toBeLessThanOrEqual(150);
        for (const other of open.filter((o) => o.last >= pass)) expect(run.slot >= other.slot + other.length || other.slot >= run.slot + length).toBe(true);
        open.push({ slot: run.slot, length, last: Number.POSITIVE_INFINITY, end: run.end });
      }
      for (const o of open.filter((x) => x.last === Number.POSITIVE_INFINITY)) {
        if (random.uniform() < 0.6) {
          o.last = pass;
          o.end(pass);
        }
      }
    }
    expect(given).toBeGreaterThan(200);
  });

  test('texts that begin alike are one branch', () => {
    const list = new BranchList();
    const a = list.ask([1, 2, 3, 4], 2, 4);
    const b = list.ask([1, 2, 3, 5], 2, 5);
    const c = list.ask([1, 2, 3, 4, 6], 3, 6);
    const d = list.ask([1, 9, 3], 1, 3);
    expect(list.ask([1, 2, 3, 4], 2, 4)).toBe(a);
    const { branches, refs } = list.close(true);
    expect(branches.map((x) => [...x.ids])).toEqual([
      [1, 2, 3, 4],
      [1, 9],
    ]);
    expect([a, b, c, d].map((name) => refs[name])).toEqual([
      { branch: 0, ask: 0 },
      { branch: 0, ask: 1 },
      { branch: 0, ask: 2 },
      { branch: 1, ask: 0 },
    ]);
  });
});

describe('prepared', () => {
  test('a prefix is read once for its questions, options share their prompt where there is none', () => {
    const [shared, apart] = [true, false].map((share) => prepare(tokenizer, questions, options('option-likelihood', share)));
    expect(shared.questions.map((q) => q.question.id)).toEqual(apart.questions.map((q) => q.question.id));
    expect(shared.needs.tokens).toBeLessThan(0.6 * apart.needs.tokens);
    const letters = prepare(
      tokenizer,
      questions.map((q) => ({ ...q, continuations: q.question.letters })),
      options('letters'),
    );
    // Bytes: the two prefixes, each once with its begin mark; one branch a question, so nothing to share without a prefix.
    expect(letters.groups.map((g) => [g.shared.length, g.items.length])).toEqual([
      [23, 9],
      [29, 9],
      [0, 9],
    ]);
    expect(letters.groups.every(({ items }) => items.every(({ branches }) => branches.length === 1))).toBe(true);
    for (const { needs } of [shared, letters]) expect(needs.sequence).toBeLessThanOrEqual(config.maxPositions);
  });

  test('a prompt longer than the context loses its middle', () => {
    const long = choice('long', 's', '', `first ${'x'.repeat(600)} last`, ['a', 'b']);
    const { groups, cut, needs } = prepare(tokenizer, [long], options('letters'));
    expect(cut).toBe(1);
    expect(needs.sequence).toBe(512);
    const ids = [...groups[0].shared, ...groups[0].items[0].branches[0].ids];
    expect(tokenizer.decode(ids)).toMatch(/^first x{492,} last$/);
    // Whole texts are read in windows, every id but the begin mark once.
    const whole = prepare(tokenizer, [long], options('text-loss'));
    expect(whole.needs.asks).toBe(tokenizer.encode(`${long.body}B`).length);
    expect(whole.groups[0].items[0].branches.length).toBe(2);
  });

  test('what cannot be asked is refused by name', () => {
    const bare = { ...questions[0], continuations: null, question: { ...questions[0].question, letters: null } };
    expect(() => prepare(tokenizer, [bare], options('letters'))).toThrow(/has no option letters/);
    expect(() => prepare(tokenizer, [bare], options('option-likelihood'))).toThrow(/has no continuations/);
    expect(() => prepare(tokenizer, [{ ...questions[0], maxNewTokens: 0 }], options('generate'))).toThrow(/maxNewTokens/);
    const wide = choice('wide', 's', '', 'x', ['a'.repeat(600), 'b']);
    expect(() => prepare(tokenizer, [wide], options('option-likelihood'))).toThrow(/leaves no room/);
    expect(() => planInference(config, { precision: 'f32', capacity: 0, ragged: { tokens: 8, slots: 8, positions: 8 } }, assumedFacts())).toThrow(
      /neither score nor/,
    );
  });

  test('what is planned fits the budget, or says what it would take', () => {
    const { needs } = prepare(tokenizer, questions, options('letters'));
    const of = (budget: number) => fitEvaluation(config, needs, assumedFacts(), { precision: 'f32', budget });
    const large = of(1 << 28);
    const small = of(1 << 18);
    expect(small.tokens).toBeLessThan(large.tokens);
    const { memory } = planInference(config, { precision: 'f32', capacity: 0, ragged: small }, assumedFacts());
    const weights = Object.entries(memory.states).reduce((sum, [kind, n]) => sum + (kind === 'cache' ? 0 : n), 0);
    expect(memory.total - weights).toBeLessThanOrEqual(1 << 18);
    expect(() => of(1000)).toThrow(/beside the weights at least/);
  });
});

describe('taken up again', () => {
  test.each(['letters', 'generate'] as const)('%s: from any sample on, the same bits', async (method) => {
    const prepared = prepare(tokenizer, questions, options(method));
    const full = fitEvaluation(config, prepared.needs, device.facts, { precision: 'f32' });
    const ragged = { ...full, tokens: 16, ...(method === 'generate' ? { sequences: 4 } : {}) };
    expect(unitsOf(prepared, ragged).length).toBeGreaterThan(2);
    const open = () =>
      Generator.open(device, config, async (name) => initialValues(listParameters(config).find((p) => p.name === name) as never, 5), {
        precision: 'f32',
        capacity: 0,
        ragged,
      });
    const all = async (from: number): Promise<SampleOutput[]> => {
      const model = await open();
      const out: SampleOutput[] = [];
      try {
        for await (const output of ask(model, tokenizer, prepared, from)) out.push(output);
      } finally {
        model.destroy();
      }
      return out;
    };
    const whole = await all(0);
    expect(whole.map((o) => o.id)).toEqual(prepared.questions.map((q) => q.question.id));
    if (method === 'generate') expect(whole.some((o) => o.text !== '')).toBe(true);
    for (const from of [1, 13, whole.length]) expect(await all(from)).toEqual(whole.slice(from));
  });
});
