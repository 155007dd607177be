/**
 * Tokenizers from and to folders, and the real models of SCION_DATA against their reference encodings.
 */

import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeHost } from '../host/node.ts';
import { learnBpe } from './learn/scratch.ts';
import { loadTokenizer, saveTokenizer, tokenizerFromModel } from './tokenizer.ts';

const { files } = nodeHost;
const golden = join(import.meta.dirname, '../../test/golden/text');
const data = process.env.SCION_DATA;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scion-tokenizer-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A folder with these files; strings are contents, the golden file of that name otherwise. */
async function lay(name: string, contents: Record<string, string | { golden: string }>): Promise<string> {
  const path = join(folder, name);
  await mkdir(path);
  for (const [file, content] of Object.entries(contents)) {
    if (typeof content === 'string') await writeFile(join(path, file), content);
    else await copyFile(join(golden, content.golden), join(path, file));
  }
  return path;
}

describe('loadTokenizer', () => {
  it('takes tokenizer.json before tokenizer.model, a single other model, or a file', async () => {
    const both = await lay('both', { 'tokenizer.json': { golden: 'hf-llama3.tokenizer.json' }, 'tokenizer.model': { golden: 'sp-llama.model' } });
    expect((await loadTokenizer(files, both)).kind).toBe('bpe-json');
    expect((await loadTokenizer(files, join(both, 'tokenizer.model'))).kind).toBe('sentencepiece-bpe');
    expect((await loadTokenizer(files, await lay('other', { 'my.model': { golden: 'sp-unigram-plain.model' } }))).kind).toBe('sentencepiece-unigram');
  });

  it('reads marks from the files beside it', async () => {
    const path = await lay('marks', {
      'tokenizer.json': { golden: 'hf-llama3.tokenizer.json' },
      'tokenizer_config.json': JSON.stringify({ eos_token: { content: '<|eot_id|>', __type: 'AddedToken' }, pad_token: null, add_eos_token: true }),
      'special_tokens_map.json': JSON.stringify({ pad_token: '<|end_of_text|>', eos_token: '<|end_of_text|>' }),
      'generation_config.json': JSON.stringify({ eos_token_id: [561, 562] }),
    });
    const tokenizer = await loadTokenizer(files, path);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([560, 562, 561]);
    expect(tokenizer.adds).toEqual({ bos: true, eos: true });
    expect([...tokenizer.stopIds].sort()).toEqual([561, 562]);
  });

  it('reads tokens that the files add to a model', async () => {
    const path = await lay('added', {
      'tokenizer.model': { golden: 'sp-llama.model' },
      'added_tokens.json': JSON.stringify({ '<pad>': 600 }),
      'tokenizer_config.json': JSON.stringify({
        pad_token: '<pad>',
        add_bos_token: false,
        legacy: false,
        added_tokens_decoder: { 601: { content: '<img>', special: true } },
      }),
    });
    const tokenizer = await loadTokenizer(files, path);
    expect(tokenizer.vocabSize).toBe(602);
    expect([tokenizer.padId, tokenizer.isSpecial(600), tokenizer.isSpecial(601)]).toEqual([600, true, true]);
    expect(tokenizer.adds).toEqual({ bos: false, eos: false });
  });

  it('says what is missing or damaged', async () => {
    await expect(loadTokenizer(files, join(folder, 'nowhere'))).rejects.toThrow(/no tokenizer at .*nowhere: there is no such file/);
    const empty = await lay('empty', { 'notes.txt': '' });
    await expect(loadTokenizer(files, empty)).rejects.toThrow(/wanted tokenizer.json, tokenizer.model or one \*.model file, found notes.txt/);
    await expect(loadTokenizer(files, join(empty, 'notes.txt'))).rejects.toThrow(/is no tokenizer by its name/);
    await expect(loadTokenizer(files, await lay('torn', { 'tokenizer.json': '{"model": {' }))).rejects.toThrow(/tokenizer.json \(11 bytes\) is not JSON/);
  });
});

describe('saveTokenizer', () => {
  it.each(['sp-llama.model', 'hf-llama3.tokenizer.json', 'sp-unigram-rules.model'])('%s comes back as it was', async (name) => {
    const tokenizer = await loadTokenizer(files, join(golden, name));
    const path = join(folder, `saved-${name}`);
    await saveTokenizer(files, tokenizer, path);
    const again = await loadTokenizer(files, path);
    expect(Buffer.compare(again.source.bytes, await readFile(join(golden, name)))).toBe(0);
    expect([again.kind, again.bosId, again.eosId, again.padId, again.unkId]).toEqual([
      tokenizer.kind,
      tokenizer.bosId,
      tokenizer.eosId,
      tokenizer.padId,
      tokenizer.unkId,
    ]);
    expect(again.encode('The river 小船 <s>')).toEqual(tokenizer.encode('The river 小船 <s>'));
    expect((await files.list(path)).map((entry) => entry.name).sort()).toEqual(['special_tokens_map.json', again.source.name, 'tokenizer_config.json']);
    // Saving once more changes nothing, small files included.
    const twice = join(folder, `twice-${name}`);
    await saveTokenizer(files, again, twice);
    for (const { name: file } of await files.list(path)) expect(Buffer.compare(await readFile(join(path, file)), await readFile(join(twice, file)))).toBe(0);
  });

  it('writes a learnt model', async () => {
    const tokenizer = tokenizerFromModel(learnBpe(['the river and the boat', '小船经过那座桥'], { size: 290 }));
    const path = join(folder, 'learnt');
    await saveTokenizer(files, tokenizer, path);
    const again = await loadTokenizer(files, path);
    expect(again.encode('the boat', { bos: true })).toEqual(tokenizer.encode('the boat', { bos: true }));
    expect(again.adds.bos).toBe(true);
  });
});

const models = {
  llama2: 'tokenizers/llama2',
  chinese_llama2_55k: 'tokenizers/chinese_llama2_55k',
  chinese_sp_20k: 'tokenizers/chinese_sp_20k',
  tok512: 'models/stories260K/tok512.model',
} as const;

async function rows<T>(root: string, path: string): Promise<T[]> {
  return (await readFile(join(root, path), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}

interface Reference extends Record<keyof typeof models, number[]> {
  text: string;
  decoded_if_different?: Partial<Record<keyof typeof models, string>>;
}

describe('real models', () => {
  it.for(Object.entries(models) as [keyof typeof models, string][])('%s encodes and decodes every reference text', async ([name, path], context) => {
    if (data === undefined) {
      console.log('skipped: no SCION_DATA');
      context.skip();
      return;
    }
    const tokenizer = await loadTokenizer(files, join(data, path));
    const references = await rows<Reference>(data, 'tokenizers/reference_encodings.jsonl');
    expect(references.length).toBe(231);
    const wrong = references.filter((row) => {
      const ids = tokenizer.encode(row.text);
      const wanted = row.decoded_if_different?.[name] ?? row.text;
      const stream = tokenizer.decoder();
      const streamed = ids.map((id) => stream.push(id)).join('') + stream.end();
      return JSON.stringify(ids) !== JSON.stringify(row[name]) || tokenizer.decode(ids) !== wanted || streamed !== wanted;
    });
    // Hashes, so that no text of the data ends up in a report.
    expect(wrong.map((row) => createHash('sha256').update(row.text).digest('hex').slice(0, 12))).toEqual([]);
  });

  it('llama2 gives the ids of every expanded piece', async (context) => {
    if (data === undefined) {
      console.log('skipped: no SCION_DATA');
      context.skip();
      return;
    }
    const [small, large] = [await loadTokenizer(files, join(data, models.llama2)), await loadTokenizer(files, join(data, models.chinese_llama2_55k))];
    const pieces = await rows<{ id: number; piece: string; llama2_ids: number[] }>(data, 'tokenizers/expansion_reference.jsonl');
    expect(pieces.length).toBe(1163);
    expect(pieces.filter((row) => JSON.stringify(small.encode(row.piece)) !== JSON.stringify(row.llama2_ids)).map((row) => row.id)).toEqual([]);
    expect(pieces.filter((row) => large.pieceOf(row.id) !== row.piece).map((row) => row.id)).toEqual([]);
    expect([large.vocabSize, large.bosId, large.eosId, large.padId, large.unkId]).toEqual([55_296, 1, 2, 32_000, 0]);
    expect([small.vocabSize, small.bosId, small.eosId, small.padId, small.unkId]).toEqual([32_000, 1, 2, null, 0]);
  });
});
