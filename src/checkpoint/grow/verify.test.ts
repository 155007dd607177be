/** `scion init --verify`: a sound folder has no findings; each way to spoil one has its own, with the numbers and a remedy. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { baseModel, grownModel, writeModelFolder, writeTokenizer } from '../../../test/vocab/synthetic.ts';
import { openHfWeights } from '../../formats/hf-shards.ts';
import { PIECE } from '../../formats/sentencepiece.ts';
import { posixFiles as files } from '../../host/posix.ts';
import { makeConfig } from '../../nn/config.ts';
import { growModel } from './grow.ts';
import { EMBED_NAME, HEAD_NAME } from './names.ts';
import { type Finding, verifyFolder } from './verify.ts';

const BASE = 520;
const NEW = 200;
const D = 16;
const model = baseModel(BASE, 60);
const grown = grownModel(model, NEW, 60, 3, [{ text: '<mark>', score: 0, type: PIECE.CONTROL }]);

let root = '';
let count = 0;
let dir = '';
const base = (): string => join(root, 'base');

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'scion-verify-'));
  const config = makeConfig({ vocabSize: BASE, hiddenSize: D, intermediateSize: 40, numLayers: 1, numHeads: 2 });
  await writeModelFolder(files, base(), config, { dtype: 'F16', seed: 5 });
  await writeTokenizer(files, base(), model);
  await writeTokenizer(files, join(root, 'words'), grown);
});
afterAll(() => rm(root, { recursive: true }));
beforeEach(async () => {
  dir = join(root, `grown${count++}`);
  await growModel(files, { base: base(), tokenizer: join(root, 'words'), out: dir, method: 'mean+noise' });
});

const verify = (withBase = true) => verifyFolder(files, dir, withBase ? { base: base() } : {});
const wrong = (findings: readonly Finding[]): Finding[] => findings.filter((f) => f.level === 'wrong');

/** Changes the stored halves of a row. */
async function spoilRow(tensor: string, row: number, value: (j: number) => number, where = dir): Promise<void> {
  const path = join(where, 'model.safetensors');
  const weights = await openHfWeights(files, where);
  const { offset } = weights.info(tensor);
  await weights.close();
  const bytes = await readFile(path);
  for (let j = 0; j < D; j++) bytes.writeUInt16LE(value(j), offset + 2 * (row * D + j));
  await writeFile(path, bytes);
}

async function editJson(name: string, edit: (json: Record<string, unknown>) => void): Promise<void> {
  const path = join(dir, name);
  const json = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  edit(json);
  await writeFile(path, JSON.stringify(json));
}

/** The one wrong thing of a folder. */
async function only(check: string, message: RegExp, remedy: RegExp, withBase = true): Promise<void> {
  const report = await verify(withBase);
  expect(wrong(report.findings)).toEqual([{ level: 'wrong', check, message: expect.stringMatching(message), remedy: expect.stringMatching(remedy) }]);
}

describe('a sound folder', () => {
  it('has no findings, with and without its base', async () => {
    for (const withBase of [true, false]) expect(await verify(withBase)).toEqual({ rows: BASE + NEW, pieces: BASE + NEW, firstNew: BASE, findings: [] });
  });

  it('of means has equal rows where words have equal parts: a note', async () => {
    await rm(dir, { recursive: true });
    const same = { ...grown, pieces: [...grown.pieces, { text: [...grown.pieces[BASE + 5].text].toReversed().join(''), score: -5000, type: PIECE.NORMAL }] };
    await writeTokenizer(files, join(root, 'same'), same);
    await growModel(files, { base: base(), tokenizer: join(root, 'same'), out: dir, method: 'mean' });
    const { findings } = await verify();
    expect(wrong(findings)).toEqual([]);
    expect(findings).toContainEqual(expect.objectContaining({ check: 'duplicates', message: expect.stringMatching(/[1-9]\d* of 201 new rows repeat/) }));
  });

  it('with more rows than pieces has padding: a note', async () => {
    await rm(dir, { recursive: true });
    await growModel(files, { base: base(), tokenizer: join(root, 'words'), out: dir, method: 'mean+noise', padTo: 64 });
    const report = await verify();
    expect(report.findings).toEqual([{ level: 'note', check: 'padding', message: '48 rows from 720 on have no piece: padding', remedy: '' }]);
  });
});

describe('config, tokenizer and tensors that disagree', () => {
  it('vocab_size', async () => {
    await editJson('config.json', (json) => {
      json.vocab_size = BASE;
    });
    await only('sizes', /vocab_size 520.* 720 rows/, /set vocab_size to 720/);
  });

  it('more pieces than rows', async () => {
    const more = { ...grown, pieces: [...grown.pieces, { text: 'zzz', score: -9000, type: PIECE.NORMAL }] };
    await writeTokenizer(files, dir, more);
    await only('sizes', /721 pieces, the model 720 rows: ids 720 to 720/, /scion init/);
  });

  it('marks out of range, or not the tokenizer’s', async () => {
    await editJson('config.json', (json) => {
      json.eos_token_id = 9000;
    });
    await only('ids', /config\.json: eos_token_id is 9000.* 720 rows/, /set it to 2/);
    await editJson('config.json', (json) => {
      json.eos_token_id = 7;
    });
    await only('ids', /eos_token_id is 7, the tokenizer's is 2 \("<\/s>"\)/, /set it to 2/);
  });

  it('two forms of the vocabulary', async () => {
    const vocab = Object.fromEntries(grown.pieces.slice(0, 719).map((p, id) => [p.text, id]));
    const json = { model: { type: 'BPE', vocab, merges: [], unk_token: '<unk>', byte_fallback: true }, added_tokens: [] };
    await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(json));
    const { findings } = await verify();
    expect(wrong(findings)).toContainEqual(
      expect.objectContaining({ check: 'tokenizer', message: expect.stringMatching(/tokenizer\.json has 719 pieces, tokenizer\.model 720/) }),
    );
  });

  it('a tokenizer of other words than the base’s', async () => {
    const other = { ...grown, pieces: grown.pieces.with(300, { ...grown.pieces[300], text: 'xyzzy' }) };
    await writeTokenizer(files, dir, other);
    await only('base', /id 300 .*xyzzy/, /vocab expand/);
  });

  it('missing or broken files', async () => {
    const name = join(dir, 'model.safetensors');
    const bytes = await readFile(name);
    await writeFile(name, bytes.subarray(0, bytes.length - 9));
    await only('tensors', /model\.safetensors/, /scion init/);
    await writeFile(name, bytes);
    await writeFile(join(dir, 'tokenizer.model'), 'no model');
    expect(wrong((await verify()).findings)).toContainEqual(expect.objectContaining({ check: 'tokenizer' }));
    await rm(join(dir, 'config.json'));
    expect(wrong((await verify()).findings)).toContainEqual(expect.objectContaining({ check: 'config', message: expect.stringContaining('config.json') }));
    await expect(verifyFolder(files, join(root, 'nowhere'))).rejects.toMatchObject({ kind: 'input' });
  });

  it('tied flags', async () => {
    await editJson('config.json', (json) => {
      json.tie_word_embeddings = true;
    });
    await only('tied', /is true, but lm_head\.weight is stored and differs .* 720 rows, the first 0/, /to false/);
  });
});

describe('rows that are none', () => {
  it('NaN, infinity, zero', async () => {
    await spoilRow(HEAD_NAME, 601, (j) => (j === 3 ? 0x7e00 : 0x3c00));
    await spoilRow(HEAD_NAME, 602, () => 0x7c00);
    await spoilRow(EMBED_NAME, 603, () => 0);
    const found = wrong((await verify()).findings);
    expect(found.map((f) => f.message)).toEqual([`${EMBED_NAME}: 1 new rows are all zero: 603`, `${HEAD_NAME}: 2 rows hold a NaN or an infinity: 601, 602`]);
  });

  it('far too short, and all the same', async () => {
    for (let row = BASE; row < BASE + NEW; row++) await spoilRow(EMBED_NAME, row, (j) => 0x0400 + j);
    const found = wrong((await verify(false)).findings);
    expect(found.map((f) => f.check)).toEqual(['norms', 'duplicates']);
    expect(found[1].message).toMatch(/200 of 200 new rows are one and the same/);
  });

  it('old rows that are not the base’s', async () => {
    await spoilRow(HEAD_NAME, 44, () => 0x3c01);
    await only('base', /lm_head\.weight: 1 of 520 old rows differ from the base, the first 44/, /scion init/);
    // Without the base nothing is wrong with them.
    expect(wrong((await verify(false)).findings)).toEqual([]);
  });

  it('says that it cannot tell new from old where nothing does', async () => {
    await rm(join(dir, 'scion_init.json'));
    const report = await verify(false);
    expect(report.firstNew).toBe(null);
    expect(report.findings).toEqual([expect.objectContaining({ level: 'note', check: 'base', remedy: expect.stringContaining('--base') })]);
  });
});
