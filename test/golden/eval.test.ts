/**
 * The engine of evaluation against transformers in float64 (fixtures of `test/golden/eval`), where every prompt with every continuation was a pass
 * of its own: shared prefixes, packed passes, branches cut by a pass's end and a sliding window must not show.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluate, fitEvaluation, joinNeeds, letterIds, prepare } from '../../src/eval/engine/index.ts';
import type { Method, Prompted, SampleOutput } from '../../src/eval/types.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { GpuDevice } from '../../src/gpu/device.ts';
import { host } from '../../src/host/index.ts';
import { Generator } from '../../src/infer/generator.ts';
import { parseConfig } from '../../src/nn/config.ts';
import { listHfViews, listParameters } from '../../src/nn/parameters.ts';
import { sizeOf } from '../../src/tensor/types.ts';
import { loadTokenizer, type Tokenizer } from '../../src/text/tokenizer.ts';

const root = new URL('./eval/', import.meta.url);
const readJson = (path: string) => JSON.parse(readFileSync(new URL(path, root), 'utf8'));

interface Fixture {
  readonly id: string;
  readonly subject: string;
  readonly prefix: string;
  readonly body: string;
  readonly options: string[];
  readonly letters: string[];
  readonly answer: string;
  readonly byLetter: string[];
  readonly byText: string[];
  readonly cue: string;
}
interface Cost {
  readonly nll: number;
  readonly tokens: number;
}
interface Answer {
  readonly letters: number[];
  readonly byLetter: Cost[];
  readonly byText: Cost[];
  readonly bare: Cost[];
  readonly target: Cost;
  readonly whole: Cost;
  readonly greedy: number[] | null;
}

const { letterIds: ids, questions } = readJson('questions.json') as { letterIds: Record<string, number[]>; questions: Fixture[] };

/** The bound that is promised (nats, logits); f32 against float64 is about 1e-5 at these sizes. */
const TOLERANCE = 1e-4;

const prompted = (q: Fixture, method: Method): Prompted => ({
  question: {
    id: q.id,
    subject: q.subject,
    group: null,
    file: '',
    line: 0,
    fields: {},
    options: q.options,
    letters: q.letters,
    answer: [q.answer],
    turns: null,
  },
  prefix: q.prefix,
  body: q.body,
  continuations: method === 'text-loss' || method === 'generate' ? null : method === 'option-likelihood' ? q.byText : q.byLetter,
  baseline: q.cue,
  stop: [],
  maxNewTokens: 9,
});

let device: GpuDevice;
let tokenizer: Tokenizer;
beforeAll(async () => {
  device = await GpuDevice.open();
  tokenizer = await loadTokenizer((await host()).files, new URL('../text/hf-llama-new.tokenizer.json', root).pathname);
});
afterAll(() => device.destroy());

test('the ids of letters are those of the vocabulary', () => {
  expect(Object.fromEntries(letterIds(tokenizer, Object.keys(ids)))).toEqual(ids);
});

const METHODS: readonly Method[] = ['letters', 'option-likelihood', 'target-loss', 'text-loss', 'generate'];

describe.each(['llama', 'window'])('%s', (family) => {
  const config = parseConfig(readJson(`${family}/config.json`));
  const answers = readJson(`${family}/answers.json`) as Record<string, Answer>;

  async function open(tokens: number | null): Promise<Generator> {
    const file = await openSafetensors(await (await host()).files.open(new URL(`${family}/model.safetensors`, root).pathname), family);
    const fused = new Map(listParameters(config).map((p) => [p.name, new Float32Array(sizeOf(p.shape))]));
    for (const v of listHfViews(config)) fused.get(v.parameter)?.set(await file.readF32(v.hf), v.row * (v.shape.length === 2 ? v.shape[1] : 1));
    await file.close();
    const needs = METHODS.flatMap((method) =>
      [true, false].map(
        (share) =>
          prepare(
            tokenizer,
            questions.map((q) => prompted(q, method)),
            { task: 't', method, positions: config.maxPositions, bosId: 1, share },
          ).needs,
      ),
    );
    const ragged = fitEvaluation(config, joinNeeds(needs), device.facts, { precision: 'f32' });
    // Small passes end in the middle of prompts and options.
    const sized = tokens === null ? ragged : { ...ragged, tokens, score: { rows: 19, picks: ragged.score?.picks ?? 1 }, sequences: 5 };
    return Generator.open(device, config, async (name) => fused.get(name) as Float32Array, { precision: 'f32', capacity: 0, ragged: sized });
  }

  const near = (found: number, truth: number, what: string) => expect(Math.abs(found - truth), `${what}: ${found} for ${truth}`).toBeLessThanOrEqual(TOLERANCE);
  function costs(found: SampleOutput['options'], truth: Cost[], bare: Cost[] | null, id: string): void {
    expect(found?.map((o) => o.tokens)).toEqual(truth.map((o) => o.tokens));
    found?.forEach((o, i) => {
      near(o.nll, truth[i].nll, `${id} option ${i}`);
      if (bare) near(o.baselineNll ?? Number.NaN, bare[i].nll, `${id} bare option ${i}`);
      else expect(o.baselineNll).toBeNull();
    });
  }

  const sizes: readonly (readonly [number | null, boolean])[] = [
    [23, true],
    [null, true],
    [47, false],
  ];
  // A window changes what keys are seen and nothing else, so the narrowest passes tell all of it.
  test.each(family === 'window' ? sizes.slice(0, 1) : sizes)('passes of %s tokens, shared %s', async (tokens, share) => {
    const model = await open(tokens);
    try {
      for (const method of METHODS) {
        const asked = questions.map((q) => prompted(q, method));
        const found: SampleOutput[] = [];
        for await (const output of evaluate(model, tokenizer, asked, { task: 't', method, bosId: 1, share })) found.push(output);
        expect(found.map((o) => o.id)).toEqual(questions.map((q) => q.id));
        for (const output of found) {
          const q = questions.find(({ id }) => id === output.id) as Fixture;
          const truth = answers[q.id];
          if (method === 'letters') {
            for (const [i, letter] of q.letters.entries()) near(output.letterLogits?.[letter] ?? Number.NaN, truth.letters[i], `${q.id} ${letter}`);
            costs(output.options, truth.byLetter, null, q.id);
            near(output.loss?.nll ?? Number.NaN, truth.byLetter[q.letters.indexOf(q.answer)].nll, `${q.id} loss`);
          } else if (method === 'option-likelihood') costs(output.options, truth.byText, truth.bare, q.id);
          else if (method === 'generate') {
            const prompt = tokenizer.encode(q.prefix + q.body);
            const [before, whole] = [tokenizer.decode(prompt), tokenizer.decode([...prompt, ...(truth.greedy ?? [])])];
            // Bytes that spoil the prompt's last character have no text of their own to compare.
            if (truth.greedy && whole.startsWith(before)) expect(output.text, q.id).toBe(whole.slice(before.length));
          } else {
            const wanted = method === 'target-loss' ? truth.target : truth.whole;
            expect(output.loss?.tokens).toBe(wanted.tokens);
            near(output.loss?.nll ?? Number.NaN, wanted.nll, `${q.id} ${method}`);
          }
        }
      }
    } finally {
      model.destroy();
    }
  });
});
