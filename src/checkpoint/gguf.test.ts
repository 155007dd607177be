/**
 * GGUF as a model: every golden model out and in again without a changed bit, rows where llama.cpp looks for them, and what
 * the format cannot say refused by name.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BytesWriter } from '../formats/bytes.ts';
import { type GgufValue, openGguf } from '../formats/gguf.ts';
import { type GgufEntry, writeGguf } from '../formats/gguf-write.ts';
import { parseSentencePiece } from '../formats/sentencepiece.ts';
import { posixFiles } from '../host/posix.ts';
import { makeConfig } from '../nn/config.ts';
import { listParameters } from '../nn/parameters.ts';
import { sizeOf } from '../tensor/types.ts';
import { exportGguf, ggufName, ggufTokenizer, importGguf } from './gguf.ts';
import { importHf } from './hf.ts';

const GOLDEN = resolve(import.meta.dirname, '../../test/golden');
const MODELS = ['llama-gqa', 'llama-tied', 'llama3-rope', 'llama-linear', 'mistral-window', 'qwen2', 'qwen3'];

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-'));
});
afterEach(() => rm(folder, { recursive: true }));

const at = () => join(folder, 'model.gguf');
const bytesAt = async () => new Uint8Array(await readFile(at()));

describe('golden models', () => {
  it.each(MODELS)('%s: out and in again, equal values and config', async (model) => {
    const source = await importHf(posixFiles, join(GOLDEN, 'llama', model));
    const warnings = await exportGguf(posixFiles, at(), source.config, source.read, { dtype: 'f32' });
    expect(warnings.some((w) => w.includes('window of 8 tokens'))).toBe(model === 'mistral-window');
    expect(await readdir(folder)).toEqual(['model.gguf']);
    const again = await importGguf(posixFiles, at());
    const { initializerRange: _, ...config } = source.config;
    expect(again.config).toMatchObject({ ...config, extra: {} });
    for (const { name } of listParameters(source.config)) expect(await again.read(name), name).toEqual(await source.read(name));
    await source.close();
    await again.close();
  });

  it.each([
    ['llama-gqa', true],
    ['mistral-window', true],
    ['qwen2', false],
  ])('%s: the rows of q lie in pairs: %s', async (model, pairs) => {
    const source = await importHf(posixFiles, join(GOLDEN, 'llama', model));
    const { headSize, hiddenSize } = source.config;
    await exportGguf(posixFiles, at(), source.config, source.read, { dtype: 'f32' });
    const file = await openGguf(await bytesAt(), 'model.gguf');
    const stored = await file.readF32('blk.0.attn_q.weight');
    const hf = await source.read('layers.0.qkv');
    const row = (values: Float32Array, i: number) => values.slice(i * hiddenSize, (i + 1) * hiddenSize);
    for (let i = 0; i < headSize; i++) expect(row(stored, i)).toEqual(row(hf, pairs ? (i % 2) * (headSize / 2) + (i >> 1) : i));
    await source.close();
  });

  it.each(['f16', 'bf16'] as const)('as %s: matrices in 16 bits, vectors in 32', async (dtype) => {
    const source = await importHf(posixFiles, join(GOLDEN, 'llama', 'qwen2'));
    await exportGguf(posixFiles, at(), source.config, source.read, { dtype });
    const file = await openGguf(await bytesAt(), 'model.gguf');
    for (const tensor of file.tensors.values()) expect(tensor.dtype, tensor.name).toBe(tensor.shape.length === 1 ? 'F32' : dtype.toUpperCase());
    const again = await importGguf(posixFiles, at());
    const a = await source.read('layers.0.gate_up');
    const b = await again.read('layers.0.gate_up');
    // Half a unit in the last place; f16's unit is absolute below its smallest normal, 6.1e-5.
    const ulp = dtype === 'f16' ? 2 ** -11 : 2 ** -8;
    expect(a.findIndex((x, i) => !(Math.abs(x - b[i]) <= ulp * Math.max(Math.abs(x), 6.1e-5)))).toBe(-1);
    await source.close();
    await again.close();
  });
});

describe('importGguf', () => {
  const config = makeConfig({ vocabSize: 7, hiddenSize: 8, intermediateSize: 32, numLayers: 1, numHeads: 2, tied: true });
  const sizes = new Map(listParameters(config).map((p) => [p.name, sizeOf(p.shape)]));
  const read = async (name: string) => Float32Array.from({ length: sizes.get(name) ?? 0 }, (_, i) => i);

  /** Writes the small model with its keys and tensors changed. */
  async function changed(edit: { keys?: Record<string, GgufValue | null>; entries?: (all: GgufEntry[]) => GgufEntry[] }): Promise<void> {
    await exportGguf(posixFiles, at(), config, read, { dtype: 'f32' });
    const file = await openGguf(await bytesAt(), 'model.gguf');
    const keys = new Map(file.metadata);
    for (const [key, value] of Object.entries(edit.keys ?? {}))
      if (value === null) keys.delete(key);
      else keys.set(key, value);
    let entries: GgufEntry[] = [];
    for (const { name, shape } of file.tensors.values()) {
      const bytes = await file.read(name);
      entries.push({ name, dtype: 'F32', shape, chunks: () => [bytes] });
    }
    entries = edit.entries?.(entries) ?? entries;
    const writer = new BytesWriter();
    await writeGguf(writer, keys, entries);
    await posixFiles.write(at(), writer.bytes());
  }

  const u32 = (value: number): GgufValue => ({ type: 'u32', value });
  const text = (value: string): GgufValue => ({ type: 'string', value });
  const freqs = (...values: number[]): GgufEntry => ({
    name: 'rope_freqs.weight',
    dtype: 'F32',
    shape: [values.length],
    chunks: () => [new Uint8Array(new Float32Array(values).buffer)],
  });

  it.each([
    ['another architecture', { keys: { 'general.architecture': text('gemma') } }, 'general.architecture is "gemma"'],
    [
      'layers that differ',
      { keys: { 'llama.attention.head_count': { type: 'array', element: 'u32', value: [2] } as GgufValue } },
      'an array (one value a layer)',
    ],
    ['a missing key', { keys: { 'llama.block_count': null } }, 'llama.block_count is missing'],
    ['a number that is none', { keys: { 'llama.block_count': text('1') } }, 'block_count is "1"'],
    ['no layers', { keys: { 'llama.block_count': u32(0) } }, 'a natural number is needed'],
    ['heads rotated in part', { keys: { 'llama.rope.dimension_count': u32(2) } }, 'of which 2 are rotated'],
    ['an unknown scaling', { keys: { 'llama.rope.scaling.type': text('longrope'), 'llama.rope.scaling.factor': u32(2) } }, '"longrope"'],
    ['a table of divisors of unknown origin', { entries: (all: GgufEntry[]) => [...all, freqs(1, 3)] }, 'import the Hugging Face folder instead'],
    ['a missing tensor', { entries: (all: GgufEntry[]) => all.filter((e) => e.name !== 'blk.0.ffn_up.weight') }, 'missing: "blk.0.ffn_up.weight"'],
    ['no embedding', { entries: (all: GgufEntry[]) => all.filter((e) => e.name !== 'token_embd.weight') }, 'no matrix token_embd.weight'],
  ])('refuses %s', async (_, edit, message) => {
    await changed(edit);
    await expect(importGguf(posixFiles, at())).rejects.toMatchObject({ kind: 'input', message: expect.stringContaining(message) });
  });

  it('takes what converters leave out', async () => {
    await changed({
      keys: {
        'llama.vocab_size': null,
        'llama.attention.key_length': null,
        'llama.attention.head_count_kv': null,
        'llama.rope.freq_base': null,
        'llama.rope.dimension_count': null,
      },
    });
    const source = await importGguf(posixFiles, at());
    expect(source.config).toMatchObject({ vocabSize: 7, headSize: 4, numKvHeads: 2, ropeTheta: 10000, rmsNormEps: 1e-5, tied: true });
    expect(await source.read('layers.0.qkv')).toEqual(await read('layers.0.qkv'));
    await source.close();
  });

  it('cannot say every scaling, and says so', async () => {
    for (const ropeScaling of [
      { type: 'dynamic', factor: 2, originalMaxPositionEmbeddings: 32 },
      { type: 'yarn', factor: 2, originalMaxPositionEmbeddings: 32, mscale: 0.7 },
    ] as const) {
      await expect(exportGguf(posixFiles, at(), { ...config, ropeScaling }, read, { dtype: 'f32' })).rejects.toMatchObject({
        kind: 'input',
        message: expect.stringContaining('GGUF'),
      });
    }
    await exportGguf(posixFiles, at(), { ...config, ropeScaling: { type: 'yarn', factor: 2, originalMaxPositionEmbeddings: 32 } }, read, { dtype: 'f32' });
    const source = await importGguf(posixFiles, at());
    expect(source.config.ropeScaling).toEqual({ type: 'yarn', factor: 2, originalMaxPositionEmbeddings: 32 });
    await source.close();
  });

  it('keeps an old file and leaves nothing else where an export fails', async () => {
    await exportGguf(posixFiles, at(), config, read, { dtype: 'f32' });
    const before = await bytesAt();
    const failing = async (name: string) => (name === 'norm' ? new Float32Array(8).fill(1) : new Float32Array(sizes.get(name) ?? 0).fill(1e6));
    await expect(exportGguf(posixFiles, at(), config, failing, { dtype: 'f16' })).rejects.toThrow('more than f16 can');
    expect(await readdir(folder)).toEqual(['model.gguf']);
    expect(Buffer.compare(await bytesAt(), before)).toBe(0);
  });
});

describe('names and tokenizers', () => {
  it("are llama.cpp's", () => {
    expect(ggufName('model.layers.11.post_attention_layernorm.weight')).toBe('blk.11.ffn_norm.weight');
    expect(ggufName('model.layers.0.self_attn.k_proj.bias')).toBe('blk.0.attn_k.bias');
    expect(ggufName('lm_head.weight')).toBe('output.weight');
    expect(() => ggufName('model.layers.0.self_attn.rotary_emb.inv_freq')).toThrow('no name in GGUF');
  });

  it('carry pieces, scores, types and special ids', async () => {
    const model = parseSentencePiece(new Uint8Array(await readFile(join(GOLDEN, 'text', 'sp-llama.model'))), 'sp-llama.model');
    const keys = ggufTokenizer(model);
    expect(keys.get('tokenizer.ggml.tokens')).toMatchObject({ value: expect.arrayContaining(['<unk>', '<s>', '</s>', '<0x00>']) });
    expect(keys.get('tokenizer.ggml.token_type')).toMatchObject({ element: 'i32', value: model.pieces.map((p) => p.type) });
    expect(model.pieces.slice(0, 4).map((p) => p.type)).toEqual([2, 3, 3, 6]);
    expect(keys.get('tokenizer.ggml.bos_token_id')).toEqual(u32Of(1));
    expect(keys.has('tokenizer.ggml.padding_token_id')).toBe(model.trainer.padId >= 0);
    const unigram = parseSentencePiece(new Uint8Array(await readFile(join(GOLDEN, 'text', 'sp-unigram-plain.model'))), 'x');
    expect(() => ggufTokenizer(unigram)).toThrow('this model has type 1');
  });
});

function u32Of(value: number): GgufValue {
  return { type: 'u32', value };
}
