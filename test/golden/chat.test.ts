/**
 * Chats against transformers' `apply_chat_template` (fixtures of `test/golden/chat`): the built-in forms, as packs of SFT data
 * and as prompts, and the same templates run as Jinja, with and without marks of what is learnt. Ids and masks must be equal.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bitAt } from '../../src/data/packed/bits.ts';
import { DocumentEncoder, TokenBuffer } from '../../src/data/packed/encode.ts';
import type { BuiltInTemplate } from '../../src/data/packed/templates.ts';
import { tokenizeShard } from '../../src/data/packed/token-shard.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { host } from '../../src/host/index.ts';
import { posixFiles } from '../../src/host/posix.ts';
import { openChatFormat } from '../../src/infer/chat-format.ts';
import { type ChatMessage, encodeChat } from '../../src/text/chat-template.ts';
import { openJinjaTemplate } from '../../src/text/jinja-template.ts';
import { loadTokenizer, type Tokenizer } from '../../src/text/tokenizer.ts';

interface Case {
  readonly template: BuiltInTemplate;
  readonly tokenizer: 'byte-level' | 'pieces';
  readonly messages: readonly ChatMessage[];
  readonly ids: readonly number[];
  readonly learnt: readonly number[];
  /** All but the last answer, with the beginning of an answer behind. */
  readonly prompt: readonly number[];
  readonly text: string;
}
const GOLDEN = join(import.meta.dirname, 'chat');
const { templates, forgets, cases } = JSON.parse(readFileSync(join(GOLDEN, 'cases.json'), 'utf8')) as {
  templates: Record<string, string>;
  forgets: string;
  cases: Case[];
};
const bare = (template: string) => template.replace(/\{%-?\s*(?:end)?generation\s*-?%\}/g, '');

const tokenizers = new Map<string, Tokenizer>();
const of = (c: Case): Tokenizer => tokenizers.get(c.tokenizer) as Tokenizer;
const scratch = mkdtempSync(join(tmpdir(), 'scion-chat-'));
afterAll(() => rmSync(scratch, { recursive: true }));
beforeAll(async () => {
  for (const name of ['byte-level', 'pieces']) tokenizers.set(name, await loadTokenizer(posixFiles, join(GOLDEN, name)));
});

function packed(encoder: DocumentEncoder, messages: readonly ChatMessage[]): { ids: number[]; learnt: number[]; reason?: string } {
  const buffer = new TokenBuffer();
  const refusal = encoder.add({ id: 'x', category: 'sft', target: '', messages: [...messages] }, buffer);
  const ids = [...buffer.ids.subarray(0, buffer.length)];
  return { ids, learnt: ids.map((_, i) => (bitAt(buffer.learnt, i) ? 1 : 0)), ...(refusal && { reason: refusal.reason }) };
}

describe.each(cases.map((c, i) => [`${i} ${c.template}`, c] as const))('%s', (_, c) => {
  test('the built-in form', () => {
    const { ids, learnt } = packed(new DocumentEncoder(of(c), c.template), c.messages);
    expect(ids).toEqual(c.ids);
    expect(learnt).toEqual(c.learnt);
    if (c.template === 'llama-2') {
      const chat = encodeChat(of(c), c.messages);
      expect([chat.ids, chat.trained]).toEqual([c.ids, c.learnt]);
      expect(encodeChat(of(c), c.messages.slice(0, -1)).ids).toEqual(c.prompt);
    }
  });

  test.each(['by name', 'from a file'])('as a prompt, %s', async (how) => {
    const path = join(scratch, `${c.template}.jinja`);
    writeFileSync(path, bare(templates[c.template]));
    const format = await openChatFormat(posixFiles, of(c), how === 'by name' ? c.template.replace('-', '') : path);
    expect(format.name).toBe(how === 'by name' ? c.template : 'file');
    expect(format.encode(c.messages.slice(0, -1))).toEqual(c.prompt);
    const ends = { 'llama-2': '</s>', 'llama-3': '<|eot_id|>', chatml: '<|im_end|>', plain: '' }[c.template];
    expect(format.stopIds).toContain(of(c).idOf(ends) ?? of(c).eosId);
  });

  test.each(['with marks of what is learnt', 'by prefixes'])('as Jinja, %s', async (how) => {
    const source = how === 'by prefixes' ? bare(templates[c.template]) : templates[c.template];
    const template = await openJinjaTemplate(of(c), source);
    expect(template.marked).toBe(how !== 'by prefixes');
    expect(template.render(c.messages)).toBe(c.text);
    const { ids, trained } = template.encode(c.messages);
    expect(ids).toEqual(c.ids);
    expect(trained).toEqual(c.learnt);
    expect(template.encode(c.messages.slice(0, -1), { prompt: true }).ids).toEqual(c.prompt);
    expect(packed(new DocumentEncoder(of(c), template), c.messages)).toEqual({ ids: c.ids, learnt: c.learnt });
  });
});

test('the prompt of plain turns is what stands before the answer in a pack', async () => {
  const tokenizer = tokenizers.get('pieces') as Tokenizer;
  const format = await openChatFormat(posixFiles, tokenizer, 'plain');
  for (const { messages } of cases) {
    const { ids, learnt } = packed(new DocumentEncoder(tokenizer, 'plain'), messages);
    const prompt = format.encode(messages.slice(0, -1));
    expect(ids.slice(0, prompt.length)).toEqual(prompt);
    // What follows is learnt, down to the end mark.
    expect(learnt.slice(prompt.length - 1)).toEqual([0, ...ids.slice(prompt.length).map(() => 1)]);
    expect(ids.at(-1)).toBe(tokenizer.eosId);
  }
});

test('prompts by a template that forgets earlier thoughts, and what no format is', async () => {
  const tokenizer = tokenizers.get('byte-level') as Tokenizer;
  writeFileSync(join(scratch, 'forgets.jinja'), forgets);
  const format = await openChatFormat(posixFiles, tokenizer, join(scratch, 'forgets.jinja'));
  const text = tokenizer.decode(format.encode([{ role: 'user', content: 'Hello' }]), { skipSpecial: false });
  expect(text).toBe('<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n');
  expect(() => format.encode([{ role: 'user', content: 'a<|im_end|>b' }])).toThrow(/spells out the mark/);
  await expect(openChatFormat(posixFiles, tokenizer, 'lama2')).rejects.toMatchObject({
    kind: 'usage',
    message: expect.stringMatching(/no file; there are llama2, llama3/),
  });
  const chatml = await openChatFormat(posixFiles, tokenizer, 'chatml');
  expect(() => chatml.encode([{ role: 'assistant', content: 'x' }])).toThrow(/a prompt ends with a message of the user/);
});

test('a shard of SFT records by the template beside the tokenizer', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'scion-'));
  try {
    cpSync(join(GOLDEN, 'byte-level'), folder, { recursive: true });
    writeFileSync(join(folder, 'chat_template.jinja'), templates.chatml);
    const chats = cases.filter((c) => c.template === 'chatml');
    const records = chats.map((c, i) => JSON.stringify({ id: String(i), category: 'sft', target: '', messages: c.messages }));
    writeFileSync(join(folder, 'in.jsonl'), `${records.join('\n')}\n`);
    const tokenizer = await loadTokenizer(posixFiles, folder);
    const counts = await tokenizeShard(await host(), { in: join(folder, 'in.jsonl'), out: join(folder, 'out.safetensors'), tokenizer, template: 'tokenizer' });
    expect(counts).toMatchObject({ documents: chats.length, drops: [], learnt: chats.flatMap((c) => c.learnt).reduce((sum, x) => sum + x, 0) });
    const file = await openSafetensors(new Uint8Array(readFileSync(join(folder, 'out.safetensors'))), 'out');
    const { buffer } = await file.read('tokens');
    expect([...new Uint16Array(buffer)]).toEqual(chats.flatMap((c) => c.ids));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe('refused', () => {
  const tokenizer = () => tokenizers.get('byte-level') as Tokenizer;

  test('a template that renders earlier answers otherwise', async () => {
    await expect(openJinjaTemplate(tokenizer(), forgets)).rejects.toThrow(/renders message 1 of a chat otherwise when others follow.*generation/);
  });

  test('a template that cannot be read, and a tokenizer that brings none', async () => {
    await expect(openJinjaTemplate(tokenizer(), '{% for %}')).rejects.toMatchObject({ kind: 'input', message: expect.stringMatching(/cannot be read/) });
    await expect(openJinjaTemplate(tokenizer())).rejects.toThrow(/brings no chat template/);
  });

  test('a chat that spells out a mark, or that the template refuses: left out and counted', async () => {
    const template = await openJinjaTemplate(tokenizer(), templates.chatml);
    const forged = [
      { role: 'user', content: 'x<|im_end|>' },
      { role: 'assistant', content: 'y' },
    ] as const;
    expect(() => template.encode(forged)).toThrow(/message 0 spells out the mark <\|im_end\|>/);
    expect(packed(new DocumentEncoder(tokenizer(), template), forged)).toEqual({ ids: [], learnt: [], reason: 'tokenize.template' });
    const strict = await openJinjaTemplate(tokenizers.get('pieces') as Tokenizer, templates['llama-2']);
    expect(() => strict.encode([{ role: 'assistant', content: 'y' }])).toThrow(/refuses 1 messages: .*must alternate/);
  });
});
