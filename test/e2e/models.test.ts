/**
 * A model's life by command line, without any data of others: trained for two steps, exported from the run, scored, continued,
 * talked to. The model is too small to say anything; what counts is that every verb takes what another wrote and that
 * equal weights give equal numbers.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Runtime, scion, scionJson } from './cli.ts';

interface Scores {
  readonly documents: { id: string; tokens: number; bytes: number; nll: number }[];
  readonly tokens: number;
  readonly bytes: number;
  readonly nll: number;
  readonly nllPerToken: number;
  readonly perplexity: number;
}

interface Generated {
  readonly promptIds: number[];
  readonly newIds: number[];
  readonly text: string;
  readonly newText: string;
}

const CONFIG = {
  model_type: 'llama',
  vocab_size: 300,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  bos_token_id: 1,
  eos_token_id: 2,
};

let folder = '';
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scion-models-'));
  writeFileSync(at('config.json'), JSON.stringify(CONFIG));
  const records = Array.from({ length: 40 }, (_, i) => JSON.stringify({ id: `n${i}`, text: `Number ${i} comes before ${i + 1}, and ${i} + 1 = ${i + 1}.` }));
  writeFileSync(at('numbers.jsonl'), `${records.join('\n')}\n`);
  // Longer than the model's context: it is read in windows.
  writeFileSync(at('long.txt'), `${'ä long täxt with ünfamiliar letters; '.repeat(20)}\n`);
  const args = ['train', '--config', at('config.json'), '--data', at('numbers.jsonl'), '--out', at('run'), '--steps', '2', '--batch', '2', '--tokens', '32'];
  const ran = await scion('node', [...args, '--validation-share', '0.2', '--validate-every', '2', '--save-every', '2']);
  if (ran.code !== 0) throw new Error(ran.err.slice(-3000));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const score = (runtime: Runtime, model: string, ...more: string[]) =>
  scionJson<Scores>(runtime, ['score', '--model', at(model), '--data', at('numbers.jsonl'), at('long.txt'), ...more]);

describe('export', () => {
  test('a run, a folder and a GGUF file hold the same weights', async () => {
    const found = await scionJson<{ step: number; kind: string }>('node', ['export', '--model', at('run'), '--out', at('model')]);
    expect(found).toMatchObject({ step: 2, kind: 'run', dtype: 'f32', tokenizer: 'sentencepiece-bpe' });
    await scionJson('deno', ['export', '--model', at('model'), '--out', at('model.gguf')]);
    await scionJson('deno', ['import', at('model.gguf'), '--out', at('again')]);
    expect(readFileSync(at('again/model.safetensors')).equals(readFileSync(at('model/model.safetensors')))).toBe(true);
    // What training left beside its checkpoints is the same model.
    expect(readFileSync(at('run/model/model.safetensors')).equals(readFileSync(at('model/model.safetensors')))).toBe(true);
  });
});

describe('score', () => {
  test('the run and its export to the bit; sums are sums', async () => {
    const [run, model] = [await score('node', 'run'), await score('node', 'model')];
    expect(model.documents).toEqual(run.documents);
    expect(model.documents.map((d) => d.id)).toEqual([...Array.from({ length: 40 }, (_, i) => `n${i}`), at('long.txt')]);
    for (const key of ['tokens', 'bytes', 'nll'] as const)
      expect(model[key]).toBeCloseTo(
        model.documents.reduce((a, d) => a + d[key], 0),
        6,
      );
    expect(model.nllPerToken).toBeCloseTo(model.nll / model.tokens, 12);
    expect(model.perplexity).toBeCloseTo(Math.exp(model.nll / model.tokens), 6);
    const text = readFileSync(at('long.txt'), 'utf8').trimEnd();
    expect(model.documents[40].bytes).toBe(Buffer.byteLength(text));
    // A byte or more a token: the whole text was scored, past the context of 64.
    expect(model.documents[40].tokens).toBeGreaterThan(64);
    // Two steps from random weights: about ln 300 a token.
    expect(Math.abs(model.nllPerToken - Math.log(300))).toBeLessThan(0.5);
  });

  test('on Deno within the difference of two drivers; --limit and --max-tokens cut', async () => {
    const whole = await score('node', 'model');
    const found = await score('deno', 'model', '--limit', '3', '--max-tokens', '9');
    expect(found.documents.map((d) => d.id)).toEqual(['n0', 'n1', 'n2']);
    for (const d of found.documents) expect(d.tokens).toBe(8);
    // ASCII text in a vocabulary of letters and short words: 8 tokens are 8 bytes or a few more, not the document's.
    for (const [i, d] of found.documents.entries()) {
      expect(d.bytes).toBeGreaterThanOrEqual(7);
      expect(d.bytes).toBeLessThan(whole.documents[i].bytes);
    }
    const full = await score('deno', 'model');
    // Two f32 programs of one model differ in the order of their sums: about 1e-7 relative, with room for an add or two.
    for (const [i, d] of full.documents.entries()) expect(Math.abs(d.nll / whole.documents[i].nll - 1)).toBeLessThan(1e-5);
  });

  test('without text or data is wrong input', async () => {
    writeFileSync(at('empty.txt'), '\n');
    expect((await scion('node', ['score', '--model', at('model'), '--data', at('empty.txt')])).code).toBe(2);
    const none = await scion('node', ['score', '--model', at('model')]);
    expect(none.code).toBe(2);
    expect(none.err).toContain('needs --data');
  });
});

describe.each<Runtime>(['node', 'deno'])('on %s', (runtime) => {
  test('generate: a seed repeats, another does not; sampling flags count', async () => {
    const args = ['generate', '--model', at('model'), '--prompt', 'Number 7', '--max-new-tokens', '16', '--no-stop', '--temperature', '1'];
    const [a, b, c] = [
      await scionJson<Generated>(runtime, [...args, '--seed', '3']),
      await scionJson<Generated>(runtime, [...args, '--seed=3']),
      await scionJson<Generated>(runtime, [...args, '--seed', '4']),
    ];
    expect(a.newIds).toHaveLength(16);
    expect(b.newIds).toEqual(a.newIds);
    expect(c.newIds).not.toEqual(a.newIds);
    expect(a.promptIds[0]).toBe(1);
    expect(a.text.startsWith('Number 7')).toBe(true);
    expect(a.text.endsWith(a.newText)).toBe(true);
    const one = await scionJson<Generated>(runtime, [...args, '--top-k', '1']);
    const greedy = await scionJson<Generated>(runtime, [...args.slice(0, -2)]);
    expect(one.newIds).toEqual(greedy.newIds);
  });

  test('generate prints the text and nothing else', async () => {
    const args = ['generate', '--model', at('model'), '--prompt', 'Number 7', '--max-new-tokens', '5'];
    const [plain, json] = [await scion(runtime, args), await scionJson<Generated>(runtime, args)];
    expect(plain.code).toBe(0);
    expect(plain.out).toBe(`${json.text}\n`);
  });

  test('chat: lines from a pipe, clear and exit', async () => {
    const args = ['chat', '--model', at('model'), '--max-new-tokens', '4', '--context', '48', '--template', 'none'];
    const found = await scionJson<{ messages: { role: string; content: string }[] }>(runtime, args, { input: 'one\nclear\ntwo\n\nthree\nexit\nfour\n' });
    expect(found.messages.map((m) => m.role)).toEqual(['user', 'assistant', 'user', 'assistant']);
    expect(found.messages.filter((m) => m.role === 'user').map((m) => m.content)).toEqual(['two', 'three']);
    // A message that does not fit is refused and the chat goes on; a last line needs no line end.
    const long = await scionJson<{ messages: { role: string; content: string }[] }>(runtime, args, { input: `${'x '.repeat(100)}\nshort` });
    expect(long.messages.filter((m) => m.role === 'user').map((m) => m.content)).toEqual(['short']);
  });

  test('chat: an interrupt ends it with 130', async () => {
    const ran = await scion(runtime, ['chat', '--model', at('model')], {
      started: (child) => {
        let told = '';
        child.stderr?.on('data', (text: string) => {
          told += text;
          // Once it waits for a line.
          if (told.includes('"exit" ends') && !child.killed) child.kill('SIGINT');
        });
      },
    });
    expect(ran.code, ran.err).toBe(130);
  });

  test('bench: every figure is one', async () => {
    const args = ['bench', '--quick', '--layers', '1', '--hidden', '32', '--heads', '2', '--tokens', '16', '--batch', '2', '--vocab', '64'];
    const found = await scionJson<{ kernels: Record<string, number | string>[]; step: Record<string, number> }>(runtime, args);
    expect(found.kernels.map((k) => k.name)).toEqual(['matmul NN', 'matmul NT', 'matmul TN', 'matmul vector', 'attention', 'rmsnorm', 'softmax']);
    for (const k of found.kernels) for (const key of ['seconds', 'flopsPerSecond', 'bytesPerSecond']) expect(k[key], `${k.name} ${key}`).toBeGreaterThan(0);
    expect(found.step).toMatchObject({ layers: 1, hidden: 32, heads: 2, tokens: 16, batch: 2, vocab: 64 });
    expect(found.step.peakBytesMeasured).toBe(found.step.peakBytesPlanned);
    for (const key of ['stepSeconds', 'firstStepSeconds', 'tokensPerSecond', 'decodeTokensPerSecond']) expect(found.step[key], key).toBeGreaterThan(0);
  });
});
