/**
 * Chats over a small random model: what is remembered, dropped and refused, and that streaming gives the text that
 * decoding the whole gives. What is said is noise; the rules of the conversation are not.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GpuDevice } from '../gpu/device.ts';
import { makeConfig } from '../nn/config.ts';
import { initialValues, listParameters } from '../nn/parameters.ts';
import { encodeChat } from '../text/chat-template.ts';
import { learnBpe } from '../text/learn/scratch.ts';
import { tokenizerFromModel } from '../text/tokenizer.ts';
import { Chat, type ChatOptions, streamText } from './chat.ts';
import { Generator } from './generator.ts';

const tokenizer = tokenizerFromModel(learnBpe(['[INST] <<SYS>> <</SYS>> the cat sat on the mat [/INST]'], { size: 300 }));
const config = makeConfig({ vocabSize: tokenizer.vocabSize, hiddenSize: 16, intermediateSize: 24, numLayers: 1, numHeads: 2 });
const CAPACITY = 120;

let device: GpuDevice;
let model: Generator;
beforeAll(async () => {
  device = await GpuDevice.open();
  const parameters = new Map(listParameters(config).map((p) => [p.name, initialValues(p, 3)]));
  model = await Generator.open(device, config, async (name) => parameters.get(name) as Float32Array, { precision: 'f32', capacity: CAPACITY });
});
afterAll(() => device.destroy());

async function say(chat: Chat, content: string): Promise<string> {
  let text = '';
  for await (const part of chat.say(content)) text += part;
  return text;
}

const options: ChatOptions = { system: 'sat', maxNewTokens: 10, temperature: 1, seed: 2 };

test('turns are remembered, answers repeat under a seed, clear forgets', async () => {
  const chat = new Chat(model, tokenizer, options);
  const first = await say(chat, 'the cat');
  const second = await say(chat, 'the mat');
  expect(chat.messages).toEqual([
    { role: 'system', content: 'sat' },
    { role: 'user', content: 'the cat' },
    { role: 'assistant', content: first },
    { role: 'user', content: 'the mat' },
    { role: 'assistant', content: second },
  ]);
  const again = new Chat(model, tokenizer, options);
  expect(await say(again, 'the cat')).toBe(first);
  // The second answer comes over a reused cache here and over a fresh one there.
  model.reset();
  expect(await say(again, 'the mat')).toBe(second);
  again.clear();
  expect(again.messages).toEqual([{ role: 'system', content: 'sat' }]);
});

test('what is streamed is what the whole decodes to', async () => {
  const prompt = encodeChat(tokenizer, [{ role: 'user', content: 'the cat' }]).ids;
  const ids: number[] = [];
  for await (const id of model.generate(prompt, { maxNewTokens: 30, temperature: 1, seed: 9, stopIds: [] })) ids.push(id);
  async function* source() {
    yield* ids;
  }
  let text = '';
  for await (const part of streamText(tokenizer, source(), prompt)) text += part;
  expect(tokenizer.decode(prompt) + text).toBe(tokenizer.decode([...prompt, ...ids]));
});

test('the oldest turns go when the cache is full; the system message and the newest question stay', async () => {
  const chat = new Chat(model, tokenizer, options);
  for (let i = 0; i < 6; i++) await say(chat, `the cat sat on the mat ${i}`);
  expect(chat.dropped).toBeGreaterThan(0);
  expect(chat.dropped % 2).toBe(0);
  const { messages } = chat;
  expect(messages.length).toBe(1 + 12 - chat.dropped);
  expect(messages[0].role).toBe('system');
  expect(messages.at(-2)?.content).toBe('the cat sat on the mat 5');
  expect(encodeChat(tokenizer, messages.slice(0, -1)).ids.length + 9).toBeLessThanOrEqual(CAPACITY);
});

test('a message that cannot fit is refused and not remembered', async () => {
  const chat = new Chat(model, tokenizer, options);
  await say(chat, 'the cat');
  const before = chat.messages.filter((m) => m.role !== 'system').length;
  await expect(say(chat, 'zebra '.repeat(60))).rejects.toThrow(/the model was opened with a capacity of 120/);
  expect(chat.messages.filter((m) => m.role === 'user' && m.content.startsWith('zebra'))).toEqual([]);
  expect(before).toBe(2);
});

test('an answer that is left early counts as far as it came', async () => {
  const chat = new Chat(model, tokenizer, { ...options, maxNewTokens: 40 });
  let heard = '';
  for await (const part of chat.say('the cat')) {
    heard += part;
    if (heard.length > 4) break;
  }
  expect(chat.messages.at(-1)).toEqual({ role: 'assistant', content: heard });
  await say(chat, 'the mat');
});
