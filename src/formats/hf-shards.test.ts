/** Weight folders of Hugging Face: single, sharded, and indexes that lie. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { posixFiles } from '../host/posix.ts';
import { formatShardIndex, INDEX_NAME, openHfWeights, parseShardIndex, planShards, writeHfWeights } from './hf-shards.ts';
import { type TensorEntry, tensorEntry } from './safetensors-write.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Tensors a, b, c … of 4, 8, 12 … bytes, each filled with its number. */
const entries = (count: number): TensorEntry[] =>
  Array.from({ length: count }, (_, i) => tensorEntry(String.fromCharCode(97 + i), 'F32', [i + 1], new Uint8Array(new Float32Array(i + 1).fill(i).buffer)));

const opened = () => openHfWeights(posixFiles, folder);

describe('writing and opening', () => {
  it('makes one file without an index where everything fits', async () => {
    expect(await writeHfWeights(posixFiles, folder, entries(3))).toEqual(['model.safetensors']);
    const weights = await opened();
    expect(weights.totalBytes).toBe(24);
    expect(weights.metadata).toEqual(new Map([['format', 'pt']]));
    expect([...(await weights.readF32('c'))]).toEqual([2, 2, 2]);
    await weights.close();
  });

  it('makes shards of at most the size asked for, and an index', async () => {
    const names = await writeHfWeights(posixFiles, folder, entries(4), { maxShardBytes: 16 });
    expect(names).toEqual(['model-00001-of-00003.safetensors', 'model-00002-of-00003.safetensors', 'model-00003-of-00003.safetensors', INDEX_NAME]);
    expect(JSON.parse(await readFile(join(folder, INDEX_NAME), 'utf8'))).toEqual({
      metadata: { total_size: 40 },
      weight_map: { a: names[0], b: names[0], c: names[1], d: names[2] },
    });
    const weights = await opened();
    expect(weights.warnings).toEqual([]);
    expect(weights.info('c').file).toBe(names[1]);
    expect([...(await weights.readF32('d'))]).toEqual([3, 3, 3, 3]);
    expect([...(await weights.readRowsF32('b', 1, 1))]).toEqual([1]);
    expect((await weights.readRows('b', 0, 1)).length).toBe(4);
    expect((await weights.read('a')).length).toBe(4);
    await expect(weights.read('z')).rejects.toThrow('has no tensor "z"; it has 4 others');
    await weights.close();
  });

  it('gives a tensor larger than a shard its own', () => {
    expect(planShards(entries(3), 4).map((shard) => shard.map((entry) => entry.name))).toEqual([['a'], ['b'], ['c']]);
  });

  it('refuses to write beside other weights, and names used twice', async () => {
    await writeHfWeights(posixFiles, folder, entries(1));
    await expect(writeHfWeights(posixFiles, folder, entries(1))).rejects.toThrow('already holds weights (model.safetensors)');
    await rm(join(folder, 'model.safetensors'));
    await expect(writeHfWeights(posixFiles, folder, [...entries(2), ...entries(1)], { maxShardBytes: 4 })).rejects.toThrow('"a" is given twice');
    expect(await readdir(folder)).toEqual([]);
  });

  it('leaves no torn file where an entry fails', async () => {
    const bad: TensorEntry = {
      name: 'x',
      dtype: 'U8',
      shape: [2],
      chunks: () => {
        throw new Error('source gone');
      },
    };
    await expect(writeHfWeights(posixFiles, folder, [bad])).rejects.toThrow('source gone');
    expect(await readdir(folder)).toEqual([]);
  });

  it('takes the single file where both are there', async () => {
    await writeHfWeights(posixFiles, folder, entries(4), { maxShardBytes: 16 });
    const other = join(folder, 'other');
    await mkdir(other);
    await writeHfWeights(posixFiles, other, entries(1));
    await writeFile(join(folder, 'model.safetensors'), await readFile(join(other, 'model.safetensors')));
    const weights = await opened();
    expect([...weights.tensors.keys()]).toEqual(['a']);
    await weights.close();
  });
});

describe('an index held against the files', () => {
  const first = 'model-00001-of-00002.safetensors';
  const second = 'model-00002-of-00002.safetensors';
  const write = async (map: Record<string, string>, total = 24) => {
    await writeHfWeights(posixFiles, folder, entries(3), { maxShardBytes: 12 });
    await writeFile(join(folder, INDEX_NAME), formatShardIndex(new Map(Object.entries(map)), total));
  };

  it('refuses a tensor no shard has', async () => {
    await write({ a: first, b: first, c: second, d: second });
    await expect(opened()).rejects.toThrow(`tensor "d" should be in ${second}; no shard has it`);
  });

  it('refuses a tensor in another shard', async () => {
    await write({ a: first, b: second, c: second });
    await expect(opened()).rejects.toThrow(`tensor "b" should be in ${second}; it is in ${first}`);
  });

  it('refuses a tensor the index does not list', async () => {
    await write({ a: first, c: second });
    await expect(opened()).rejects.toThrow(`${first} holds tensor "b", but the index does not list it`);
  });

  it('refuses a missing shard, as input: a download may be incomplete', async () => {
    await write({ a: first, b: first, c: second });
    await rm(join(folder, second));
    await expect(opened()).rejects.toMatchObject({ kind: 'input' });
  });

  it('reports a wrong total_size without refusing the weights', async () => {
    await write({ a: first, b: first, c: second }, 25);
    const weights = await opened();
    expect(weights.warnings[0]).toContain('total_size says 25 bytes, the tensors have 24');
    await weights.close();
  });

  it('refuses a folder without weights', async () => {
    await expect(opened()).rejects.toMatchObject({ kind: 'input' });
  });

  it.each([
    '../a.safetensors',
    '/etc/a.safetensors',
    'a\\b.safetensors',
    'C:a.safetensors',
    'a.bin',
    '.safetensors',
    'a\u0000.safetensors',
    `${'a'.repeat(300)}.safetensors`,
    '',
  ])('refuses the shard name %j', (file) => {
    expect(() => parseShardIndex(JSON.stringify({ weight_map: { a: file } }), 'index')).toThrow('is no plain name');
  });

  it.each([
    '[]',
    '{}',
    '{"weight_map":[]}',
    '{"weight_map":{}}',
    '{"weight_map":{"a":1}}',
    '{"weight_map":{"a":"b.safetensors","a":"c.safetensors"}}',
    'null',
    '',
  ])('refuses %j', (text) => {
    expect(() => parseShardIndex(text, 'index')).toThrow(expect.objectContaining({ kind: 'format' }));
  });
});
