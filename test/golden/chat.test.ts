/**
 * Chats against transformers' `apply_chat_template` (fixtures of `test/golden/chat`): the built-in forms, as packs of SFT data
 * and as prompts, and the same templates run as Jinja, with and without marks of what is learnt. Ids and masks must be equal.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { bitAt } from '../../src/data/packed/bits.ts';
import { DocumentEncoder, TokenBuffer } from '../../src/data/packed/encode.ts';
import type { BuiltInTemplate } from '../../src/data/packed/templates.ts';
import { tokenizeShard } from '../../src/data/packed/token-shard.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { host } from '../../src/host/index.ts';
import { posixFiles } from '../../src/host/posix.ts';
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
