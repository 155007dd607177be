/**
 * The trained model of the data folder against an independent float64 implementation (`reference.json` beside it):
 * logits, losses of 18 stories, greedy continuations. In f32 the bounds; in mixed precision how far it is off,
 * with a bound that a broken rounding would pass by far.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { normError } from '../../test/runtime/case.ts';
import { importLlama2c } from '../checkpoint/llama2c-import.ts';
import { GpuDevice } from '../gpu/device.ts';
import { host } from '../host/index.ts';
import { loadTokenizer } from '../text/tokenizer.ts';
import { Chat, streamText } from './chat.ts';
import { Generator } from './generator.ts';
import { scoreDocuments } from './score.ts';

const data = process.env.SCION_DATA;
const folder = `${data}/models/stories260K`;

interface Reference {
  readonly greedy: { readonly prompt: string; readonly prompt_ids: number[]; readonly new_ids: number[] }[];
  readonly nll: { readonly text_id: string; readonly ids: number[]; readonly tokens_scored: number; readonly sum_nll: number; readonly mean_nll: number }[];
  readonly logits: { readonly ids: number[]; readonly last_position: number[] };
}

/** The bound on per-token loss; the file's numbers are rounded to 1e-6. */
const NLL = 1e-4;
/** f32 against float64 over 5 layers; the file's logits are rounded to 1e-6 of about 10. */
const LOGITS = 1e-5;
/** 16-bit weights and activations: 2^-11 a rounding, some dozens of them; seen 4e-4 on these stories. */
const MIXED_NLL = 2e-3;

if (!data) console.log('skipped: no SCION_DATA');

describe.skipIf(!data)('stories260K', () => {
  const reference = () => JSON.parse(readFileSync(`${folder}/reference.json`, 'utf8')) as Reference;
  const models = new Map<string, Generator>();
  let device: GpuDevice;

  beforeAll(async () => {
    const { files } = await host();
    device = await GpuDevice.open();
    const source = await importLlama2c(files, `${folder}/stories260K.bin`);
    for (const precision of ['f32', 'mixed'] as const) {
      models.set(precision, await Generator.open(device, source.config, source.read, { precision, capacity: 512, score: { batch: 4, tokens: 255 } }));
    }
    await source.close();
  });
  afterAll(() => device?.destroy());

  const model = (precision: string) => models.get(precision) as Generator;

  test('logits after a prompt', async () => {
    const { ids, last_position } = reference().logits;
    expect(normError(await model('f32').logits(ids), last_position)).toBeLessThanOrEqual(LOGITS);
  });

  test('greedy continuations, all ids equal', async () => {
    for (const { prompt_ids, new_ids } of reference().greedy) {
      const found: number[] = [];
      for await (const id of model('f32').generate(prompt_ids, { maxNewTokens: new_ids.length, stopIds: [] })) found.push(id);
      expect(found).toEqual(new_ids);
    }
  });

  test('losses of 18 stories', async () => {
    const { nll } = reference();
    // The reference's ids hold the begin mark; the scorer puts it there itself.
    const documents = nll.map((d) => d.ids.slice(1));
    const worst: Record<string, number> = {};
    for (const precision of ['f32', 'mixed']) {
      const found = await scoreDocuments(model(precision), documents, { maxTokens: 256, perToken: true });
      found.forEach((d, i) => {
        expect(d.tokens).toBe(nll[i].tokens_scored);
        worst[precision] = Math.max(worst[precision] ?? 0, Math.abs(d.nll / d.tokens - nll[i].mean_nll));
      });
    }
    console.log(`per-token loss off by at most ${worst.f32.toExponential(1)} (f32), ${worst.mixed.toExponential(1)} (mixed)`);
    expect(worst.f32).toBeLessThanOrEqual(NLL);
    expect(worst.mixed).toBeLessThanOrEqual(MIXED_NLL);
    // That 16-bit rounding happened at all.
    expect(worst.mixed).toBeGreaterThan(worst.f32 * 2);
  });

  test('text streams to what the whole decodes to', async () => {
    const { files } = await host();
    const tokenizer = await loadTokenizer(files, `${folder}/tok512.model`);
    for (const { prompt, prompt_ids, new_ids } of reference().greedy) {
      expect(tokenizer.encode(prompt, { bos: true })).toEqual(prompt_ids);
      const ids = model('f32').generate(prompt_ids, { maxNewTokens: new_ids.length, stopIds: [] });
      let text = '';
      for await (const part of streamText(tokenizer, ids, prompt_ids)) text += part;
      expect(tokenizer.decode(prompt_ids) + text).toBe(tokenizer.decode([...prompt_ids, ...new_ids]));
    }
  });

  test('a chat runs only what is new, drops its oldest turns when full, and says when one message is too long', async () => {
    const { files } = await host();
    const tokenizer = await loadTokenizer(files, `${folder}/tok512.model`);
    const chat = new Chat(model('f32'), tokenizer, { system: 'x', maxNewTokens: 24 });
    const say = async (content: string) => {
      let text = '';
      for await (const part of chat.say(content)) text += part;
      return text;
    };
    const first = await say('a cat');
    expect(chat.messages.map((m) => m.role)).toEqual(['system', 'user', 'assistant']);
    expect(chat.messages[2].content).toBe(first);
    for (let i = 0; i < 10; i++) await say(`and then ${i}`);
    expect(chat.dropped).toBeGreaterThan(0);
    expect(chat.messages[0].role).toBe('system');
    expect(chat.messages[1].role).toBe('user');
    await expect(say('long '.repeat(600))).rejects.toThrow(/capacity of 512/);
    chat.clear();
    expect(await say('a cat')).toBe(first);
  });
});
