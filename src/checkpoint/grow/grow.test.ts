/**
 * Growing a model: every new row against a mean taken here in doubles and rounded by the engine or by comparison of neighbours, every old row by its
 * bits, every other file by its bytes; and what is refused. Models are made up (test/vocab/synthetic.ts).
 */
import { link, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { baseModel, type FolderOptions, grownModel, writeModelFolder, writeTokenizer } from '../../../test/vocab/synthetic.ts';
import { openHfWeights } from '../../formats/hf-shards.ts';
import { PIECE, parseSentencePiece, writeSentencePiece } from '../../formats/sentencepiece.ts';
import { posixFiles as files } from '../../host/posix.ts';
import type { HostFiles } from '../../host/types.ts';
import { makeConfig } from '../../nn/config.ts';
import { loadTokenizer } from '../../text/tokenizer.ts';
import { importHf } from '../hf.ts';
import { type GrowOptions, growModel } from './grow.ts';
import { EMBED_NAME, HEAD_NAME } from './names.ts';
import { sourcesOf } from './sources.ts';

const BASE = 520;
const NEW = 300;
const CHARACTERS = 60;
const D = 24;
const model = baseModel(BASE, CHARACTERS);
const mark = { text: '<mark>', score: 0, type: PIECE.CONTROL };
const grown = grownModel(model, NEW, CHARACTERS, 3, [mark]);
const shape = { vocabSize: BASE, hiddenSize: D, intermediateSize: 40, numLayers: 1, numHeads: 2 };

let folder = '';
const at = (name: string): string => join(folder, name);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-grow-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function makeBase(options: Partial<FolderOptions> & { tied?: boolean; vocabSize?: number } = {}): Promise<void> {
  const { tied = false, vocabSize = BASE, ...rest } = options;
  await writeModelFolder(files, at('base'), makeConfig({ ...shape, vocabSize, tied }), { dtype: 'F16', seed: 5, ...rest });
  await writeTokenizer(files, at('base'), model);
  await writeTokenizer(files, at('words'), grown);
}

const grow = (more: Partial<GrowOptions> = {}, over: HostFiles = files) =>
  growModel(over, { base: at('base'), tokenizer: at('words'), out: at('out'), method: 'mean', ...more });

/** All numbers of a matrix, exactly, by the engine's own types. */
async function numbersOf(dir: string, tensor: string): Promise<{ dtype: string; values: Float64Array; rows: number }> {
  const weights = await openHfWeights(files, dir);
  const { dtype, shape: size } = weights.info(tensor);
  const { buffer } = (await weights.read(tensor)).slice();
  await weights.close();
  const values =
    dtype === 'F16'
      ? Float64Array.from(new Float16Array(buffer))
      : dtype === 'BF16'
        ? Float64Array.from(new Uint16Array(buffer), (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0])
        : Float64Array.from(new Float32Array(buffer));
  return { dtype, values, rows: size[0] };
}

/** A double rounded once: by the engine, or for bf16 the nearer of the two neighbours, the even one of a tie. */
function rounded(x: number, dtype: string): number {
  if (dtype === 'F32') return Math.fround(x);
  if (dtype === 'F16') return Float16Array.of(x)[0];
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, Math.abs(x));
  const bits = view.getUint32(0) >>> 16;
  const value = (b: number): number => {
    view.setUint32(0, b << 16);
    return view.getFloat32(0);
  };
  const around = [bits - 1, bits, bits + 1].filter((b) => b >= 0).map((b) => ({ b, off: Math.abs(value(b) - Math.abs(x)) }));
  around.sort((p, q) => p.off - q.off || (p.b % 2) - (q.b % 2));
  return Math.sign(x) * value(around[0].b);
}

describe('mean and mean-bare', () => {
  const kinds = (['F16', 'BF16', 'F32'] as const).flatMap((dtype) =>
    [true, false].flatMap((tied) => [true, false].map((sharded) => ({ dtype, tied, sharded }))),
  );
  it.each(kinds)('$dtype, tied $tied, sharded $sharded: every new row the mean rounded once, every old row as it was', async ({ dtype, tied, sharded }) => {
    const shardOf = (name: string): number => (name === EMBED_NAME ? 0 : name === HEAD_NAME ? 2 : 1);
    await makeBase({ dtype, tied, ...(sharded ? { shardOf: tied ? (name: string) => Math.min(1, shardOf(name)) : shardOf } : {}) });
    const words = sourcesOf(await loadTokenizer(files, at('base')), await loadTokenizer(files, at('words')));
    expect(words.length).toBe(NEW);
    expect(words.filter((w) => w.mean.length !== w.bare.length).length).toBeGreaterThan(NEW / 2);
    for (const method of ['mean', 'mean-bare'] as const) {
      const report = await grow({ method, out: at(method) });
      expect(report).toMatchObject({ rows: BASE + NEW, firstNew: BASE, pieces: NEW - 1, marks: 1, padding: 0 });
      for (const tensor of tied ? [EMBED_NAME] : [EMBED_NAME, HEAD_NAME]) {
        const before = await numbersOf(at('base'), tensor);
        const after = await numbersOf(at(method), tensor);
        expect([after.rows, after.dtype]).toEqual([BASE + NEW, dtype]);
        expect(Buffer.from(after.values.slice(0, BASE * D).buffer).equals(Buffer.from(before.values.buffer))).toBe(true);
        let wrong = 0;
        for (const word of words) {
          const ids = method === 'mean' ? word.mean : word.bare;
          for (let j = 0; j < D; j++) {
            const sum = ids.reduce((total, id) => total + before.values[id * D + j], 0);
            if (after.values[word.id * D + j] !== rounded(sum / ids.length, dtype)) wrong++;
          }
        }
        expect(wrong).toBe(0);
      }
      const source = await importHf(files, at(method));
      expect([source.config.vocabSize, source.warnings]).toEqual([BASE + NEW, []]);
      await source.close();
      expect((await loadTokenizer(files, at(method))).vocabSize).toBe(BASE + NEW);
    }
  });
});

describe('the folder', () => {
  const shardOf = (name: string): number => (name === EMBED_NAME ? 0 : name === HEAD_NAME ? 2 : 1);

  it('links shards without the matrices, rewrites the others, keeps licence and unknown config fields, drops stale forms', async () => {
    await makeBase({ shardOf, config: { pad_token_id: null, eos_token_id: [2, 7], my_field: { a: [1, 2] } } });
    await writeFile(at('base/LICENSE'), 'mine');
    await writeFile(at('base/pytorch_model.bin'), 'stale');
    await writeFile(at('base/tokenizer.json'), '{"stale": true}');
    await writeFile(at('base/generation_config.json'), '{"temperature": 0.5, "eos_token_id": 2}');
    const report = await grow({ baseTokenizer: at('base/tokenizer.model') });
    const name = (i: number): string => `model-0000${i}-of-00003.safetensors`;
    expect(report.rewritten).toEqual([name(1), name(3)]);
    expect(report.linked.toSorted()).toEqual(['LICENSE', name(2)]);
    expect((await stat(at(`out/${name(2)}`))).ino).toBe((await stat(at(`base/${name(2)}`))).ino);
    const listed = (await files.list(at('out'))).map((e) => e.name);
    expect(listed).not.toContain('pytorch_model.bin');
    expect(listed).not.toContain('tokenizer.json');
    const config = JSON.parse(await readFile(at('out/config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ vocab_size: BASE + NEW, bos_token_id: 1, eos_token_id: [2, 7], my_field: { a: [1, 2] }, pad_token_id: null });
    expect(JSON.parse(await readFile(at('out/generation_config.json'), 'utf8'))).toEqual({ temperature: 0.5, eos_token_id: 2, bos_token_id: 1 });
    expect(JSON.parse(await readFile(at('out/scion_init.json'), 'utf8'))).toEqual({
      method: 'mean',
      seed: 0,
      firstNew: BASE,
      baseRows: BASE,
      rows: BASE + NEW,
    });
    // The index was opened without a warning by `importHf` only if its total is right.
    const source = await importHf(files, at('out'));
    expect(source.warnings).toEqual([]);
    await source.close();
  });

  it('copies byte for byte where links are not wanted or not to be had, and gives the same weights', async () => {
    await makeBase({ shardOf });
    await grow();
    const noLinks: HostFiles = { ...files, link: () => Promise.resolve(false) };
    for (const [out, over, copy] of [
      ['copy', files, true],
      ['none', noLinks, false],
    ] as const) {
      const report = await grow({ out: at(out), copy }, over);
      expect([report.linked, report.copied]).toEqual([[], ['model-00002-of-00003.safetensors']]);
      for (const { name } of await files.list(at('out'))) expect((await readFile(at(`${out}/${name}`))).equals(await readFile(at(`out/${name}`)))).toBe(true);
      expect((await stat(at(`${out}/model-00002-of-00003.safetensors`))).nlink).toBe(1);
    }
  });

  it('does not mistake a link that fails for one that cannot be', async () => {
    await makeBase();
    await expect(link(at('nowhere'), at('x'))).rejects.toThrow();
    await expect(files.link?.(at('nowhere'), at('x'))).rejects.toMatchObject({ kind: 'input' });
  });

  it('keeps a stored head that the config ties equal to the embedding, also where rows are random', async () => {
    await makeBase({ dtype: 'F32' });
    const path = at('base/config.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"tie_word_embeddings":false', '"tie_word_embeddings":true'));
    await grow({ method: 'random' });
    const [embed, head] = [await numbersOf(at('out'), EMBED_NAME), await numbersOf(at('out'), HEAD_NAME)];
    const old = await numbersOf(at('base'), EMBED_NAME);
    expect(head.rows).toBe(BASE + NEW);
    // Rows are drawn with each matrix's own mean and deviation, which differ here; what is drawn is the same.
    const standard = (values: Float64Array): number[] => {
      const part = [...values.slice(BASE * D, BASE * D + 200)];
      const [low, high] = [Math.min(...part), Math.max(...part)];
      return part.map((x) => (x - low) / (high - low));
    };
    expect(embed.values.slice(0, 9)).toEqual(old.values.slice(0, 9));
    const other = standard(head.values);
    for (const [i, x] of standard(embed.values).entries()) expect(x).toBeCloseTo(other[i], 5); // f32 numbers, scaled twice
  });

  it('takes a padded base, and pads again on request: padding is the mean of the old rows', async () => {
    await makeBase({ dtype: 'F32', vocabSize: BASE + 56 });
    const report = await grow({ padTo: 64 });
    expect(report).toMatchObject({ rows: 832, baseRows: BASE + 56, firstNew: BASE, padding: 12 });
    const before = await numbersOf(at('base'), HEAD_NAME);
    const after = await numbersOf(at('out'), HEAD_NAME);
    expect(after.values.slice(0, BASE * D)).toEqual(before.values.slice(0, BASE * D));
    for (let j = 0; j < D; j++) {
      let sum = 0;
      for (let id = 0; id < BASE; id++) sum += before.values[id * D + j];
      for (let id = BASE + NEW; id < 832; id++) expect(after.values[id * D + j]).toBe(Math.fround(sum / BASE));
    }
    // Without padding there are as many rows as pieces, fewer than base and words together would have.
    expect((await grow({ out: at('plain') })).rows).toBe(BASE + NEW);
  });

  it('takes UNUSED pieces for padding', async () => {
    await makeBase({ dtype: 'F32' });
    const padded = { ...grown, pieces: [...grown.pieces, { text: '[PAD820]', score: -2000, type: PIECE.UNUSED }] };
    await writeTokenizer(files, at('words'), padded);
    expect(await grow()).toMatchObject({ rows: BASE + NEW + 1, pieces: NEW - 1, marks: 1, padding: 1 });
  });

  it('gives the same bytes whatever is held in memory', async () => {
    await makeBase({ dtype: 'BF16' });
    for (const method of ['mean', 'gaussian', 'mean+noise'] as const) {
      await grow({ method, seed: 9, out: at(`${method}-all`) });
      // 80 rows of 48 bytes: less than a block of new rows needs.
      await grow({ method, seed: 9, out: at(`${method}-few`), rowBudget: 80 * D * 2 });
      const name = 'model.safetensors';
      expect((await readFile(at(`${method}-few/${name}`))).equals(await readFile(at(`${method}-all/${name}`)))).toBe(true);
    }
  });
});

describe('what is refused', () => {
  const nothing = async (): Promise<void> => {
    expect((await files.list(folder)).map((e) => e.name).filter((name) => name.startsWith('out'))).toEqual([]);
  };
  const refused = async (wanted: object, more: Partial<GrowOptions> = {}, over: HostFiles = files): Promise<void> => {
    await expect(grow(more, over)).rejects.toMatchObject(wanted);
    await nothing();
  };

  it('fewer rows than pieces, in config or tensor', async () => {
    await makeBase({ vocabSize: BASE - 20 });
    await refused({ kind: 'input', message: expect.stringMatching(/500 rows.*520 pieces: 20 pieces have no row/) });
    await makeBase();
    const path = at('base/config.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"vocab_size":520', '"vocab_size":530'));
    await refused({ kind: 'input', message: expect.stringMatching(/embed_tokens\.weight.*\[520, 24\].*\[530, 24\]/) });
  });

  it('a tokenizer that was not grown from the base’s', async () => {
    await makeBase();
    const other = { ...grown, pieces: grown.pieces.with(300, { ...grown.pieces[300], text: 'xyzzy' }) };
    await writeTokenizer(files, at('words'), other);
    await refused({ kind: 'input', message: expect.stringMatching(/id 300 .*xyzzy/) });
    await writeTokenizer(files, at('words'), { ...model, pieces: model.pieces.slice(0, 510) });
    await refused({ kind: 'input', message: expect.stringMatching(/510 pieces.*520/) });
    await writeTokenizer(files, at('words'), model);
    await refused({ kind: 'input', message: expect.stringContaining('nothing to add') });
  });

  it('every cut of tokenizer.model, by name', async () => {
    await makeBase();
    const bytes = writeSentencePiece(grown);
    const path = at('words/tokenizer.model');
    for (let length = 0; length < bytes.length; length += 97) {
      await writeFile(path, bytes.subarray(0, length));
      let whole = true;
      try {
        whole = parseSentencePiece(bytes.subarray(0, length), 'm').pieces.length === grown.pieces.length;
      } catch {
        whole = false;
      }
      if (!whole) await refused({ name: 'ScionError' });
    }
  });

  it('numbers that are none, types without means, full folders, no corpus to count, no space', async () => {
    await makeBase({ dtype: 'F32' });
    const path = at('base/model.safetensors');
    const sound = await readFile(path);
    const weights = await openHfWeights(files, at('base'));
    const { offset } = weights.info(HEAD_NAME);
    await weights.close();
    const broken = Buffer.from(sound);
    broken.writeFloatLE(Number.NaN, offset + (17 * D + 3) * 4);
    await writeFile(path, broken);
    await refused({ kind: 'input', message: expect.stringMatching(/lm_head\.weight: row 17 holds a NaN/) });
    await writeFile(path, sound.toString('latin1').replaceAll('"dtype":"F32","shape":[520', '"dtype":"I32","shape":[520'), 'latin1');
    await refused({ kind: 'input', message: expect.stringMatching(/embed_tokens.* I32/) });
    await writeFile(path, sound);
    await refused({ kind: 'usage', message: expect.stringContaining('--data') }, { method: 'weighted' });
    await refused({ kind: 'usage' }, { padTo: 0 });
    await refused({ kind: 'space', message: expect.stringMatching(/needs \d+ bytes/) }, {}, { ...files, free: () => Promise.resolve(1000) });
    await files.makeDir(at('out'));
    await writeFile(at('out/x'), '');
    await expect(grow()).rejects.toMatchObject({ kind: 'input', message: expect.stringContaining('not empty') });
  });

  it('a mix of rows that leaves the range of f16', async () => {
    await makeBase();
    const path = at('base/model.safetensors');
    const bytes = await readFile(path);
    const weights = await openHfWeights(files, at('base'));
    const { offset, bytes: length } = weights.info(EMBED_NAME);
    await weights.close();
    // Every number 65504 or its negative: means stay inside, normal numbers of that deviation do not.
    for (let i = 0; i < length; i += 2) bytes.writeUInt16LE(0x7bff | (i % 4 ? 0x8000 : 0), offset + i);
    await writeFile(path, bytes);
    await refused({ kind: 'numeric', message: expect.stringMatching(/new row \d+ leaves the range of F16/) }, { method: 'random' });
    await grow();
  });
});
