/** llama2.c files: header rules and the real stories260K. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openLlama2c } from './llama2c.ts';

/** A file whose n-th float is n; dim 4, hidden 6, 2 layers, 2 heads, 1 kv head, 3 words, 5 positions. */
function small(vocab: number, extra = 0): Uint8Array {
  const floats = 3 * 4 + 2 * (4 + 16 + 8 + 8 + 16 + 4 + 24 + 24 + 24) + 4 + 5 * 1 * 2 + (vocab < 0 ? 12 : 0);
  const bytes = new Uint8Array(28 + 4 * floats + extra);
  const view = new DataView(bytes.buffer);
  for (const [i, n] of [4, 6, 2, 2, 1, vocab, 5].entries()) view.setInt32(4 * i, n, true);
  for (let i = 0; i < floats; i++) view.setFloat32(28 + 4 * i, i, true);
  return bytes;
}

const withHeader = (index: number, value: number): Uint8Array => {
  const bytes = small(3);
  new DataView(bytes.buffer).setInt32(4 * index, value, true);
  return bytes;
};

describe('openLlama2c', () => {
  it('finds each tensor where the layout says', async () => {
    const file = await openLlama2c(small(3), 'small.bin');
    expect(file.config).toEqual({
      hiddenSize: 4,
      intermediateSize: 6,
      layers: 2,
      heads: 2,
      kvHeads: 1,
      vocabSize: 3,
      maxPositions: 5,
      headSize: 2,
      tied: true,
    });
    // First floats counted by hand: 12 embedding, 2 x 4 attention norms, 2 x 16 wq, 2 x 8 wk ...
    const first = async (name: string) => (await file.readF32(name))[0];
    expect(await first('model.embed_tokens.weight')).toBe(0);
    expect(await first('model.layers.1.input_layernorm.weight')).toBe(16);
    expect(await first('model.layers.0.self_attn.q_proj.weight')).toBe(20);
    expect(await first('model.layers.0.self_attn.k_proj.weight')).toBe(52);
    expect(await first('model.layers.1.self_attn.v_proj.weight')).toBe(76);
    expect(await first('model.layers.0.self_attn.o_proj.weight')).toBe(84);
    expect(await first('model.layers.0.post_attention_layernorm.weight')).toBe(116);
    expect(await first('model.layers.0.mlp.gate_proj.weight')).toBe(124);
    expect(await first('model.layers.0.mlp.down_proj.weight')).toBe(172);
    expect(await first('model.layers.1.mlp.up_proj.weight')).toBe(244);
    expect(await first('model.norm.weight')).toBe(268);
    expect(file.tensors.get('model.layers.0.mlp.down_proj.weight')?.shape).toEqual([4, 6]);
    expect(file.tensors.has('rope.cos')).toBe(false);
    expect(file.tensors.size).toBe(2 + 2 * 9);
    await expect(file.readF32('lm_head.weight')).rejects.toMatchObject({ kind: 'input' });
  });

  it('takes a negative vocabulary size for an unshared classifier', async () => {
    const file = await openLlama2c(small(-3), 'untied.bin');
    expect(file.config).toMatchObject({ vocabSize: 3, tied: false });
    expect([...(await file.readF32('lm_head.weight'))].slice(0, 2)).toEqual([282, 283]);
    await file.close();
  });

  it.each([
    ['one byte too many', small(3, 1), 'calls for'],
    ['four bytes too few', small(3).slice(0, -4), 'calls for'],
    ['no header', new Uint8Array(27), 'bytes 0 to 28 are needed'],
    ['dim 0', withHeader(0, 0), 'must be positive'],
    ['negative layers', withHeader(2, -1), 'must be positive'],
    ['2^31 - 1 layers', withHeader(2, 0x7fffffff), 'more than 4096 layers'],
    ['huge sizes', withHeader(1, 0x7fffffff), 'calls for'],
    ['odd heads', withHeader(3, 4), 'heads of an even size'],
    ['kv heads that do not divide', withHeader(4, 3), 'must divide n_heads'],
    ['a later version', withHeader(0, 0x616b3432), 'version 6; version 0 is read'],
  ])('refuses %s', async (_, bytes, message) => {
    const failed = expect(openLlama2c(bytes, 'bad.bin')).rejects;
    await failed.toMatchObject({ kind: 'format', message: expect.stringContaining(message) });
  });

  it('opens stories260K, whose final norm and size are known', async (context) => {
    const data = process.env.SCION_DATA;
    if (!data) {
      console.log('skipped: no SCION_DATA');
      context.skip();
      return;
    }
    const file = await openLlama2c(new Uint8Array(await readFile(join(data, 'models/stories260K/stories260K.bin'))), 'stories260K.bin');
    expect(file.config).toMatchObject({
      hiddenSize: 64,
      intermediateSize: 172,
      layers: 5,
      heads: 8,
      kvHeads: 4,
      vocabSize: 512,
      maxPositions: 512,
      tied: true,
    });
    let parameters = 0;
    for (const { name, shape } of file.tensors.values()) {
      const values = await file.readF32(name);
      expect(values.length).toBe(shape.reduce((a, b) => a * b, 1));
      expect(values.every(Number.isFinite)).toBe(true);
      parameters += values.length;
    }
    expect(parameters).toBe(260_032);
  });
});
