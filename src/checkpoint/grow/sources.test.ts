/**
 * What new pieces are made of: the reference decompositions of a published expansion where SCION_DATA has them, and made-up vocabularies of both
 * kinds elsewhere.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { baseModel, grownModel, writeModelFolder } from '../../../test/vocab/synthetic.ts';
import { openHfWeights } from '../../formats/hf-shards.ts';
import { PIECE, type SentencePieceModel } from '../../formats/sentencepiece.ts';
import { posixFiles as files } from '../../host/posix.ts';
import { makeConfig } from '../../nn/config.ts';
import { JsonTokenizer } from '../../text/bpe-json.ts';
import { loadTokenizer, tokenizerFromModel } from '../../text/tokenizer.ts';
import { growModel } from './grow.ts';
import { EMBED_NAME, HEAD_NAME } from './names.ts';
import { sourcesOf } from './sources.ts';

const data = process.env.SCION_DATA;

describe('SentencePiece', () => {
  const base = baseModel(500, 40);
  const with_ = (texts: readonly string[]): SentencePieceModel => ({
    ...base,
    pieces: [...base.pieces, ...texts.map((text, i) => ({ text, score: -9000 - i, type: PIECE.NORMAL }))],
  });
  const cut = (text: string): { mean: string[]; bare: string[] } => {
    const tokenizer = tokenizerFromModel(base);
    const [word] = sourcesOf(tokenizer, tokenizerFromModel(with_([text])));
    return { mean: word.mean.map((id) => tokenizer.pieceOf(id)), bare: word.bare.map((id) => tokenizer.pieceOf(id)) };
  };

  it('a word as a text of its own has the bare space mark in front, inside a text it has not', () => {
    expect(cut('\u4e00\u4e07')).toEqual({ mean: ['\u2581', '\u4e00', '\u4e07'], bare: ['\u4e00', '\u4e07'] });
  });

  it('characters without a piece are their bytes', () => {
    expect(cut('\u4e01\u4e00').bare).toEqual(['<0xE4>', '<0xB8>', '<0x81>', '\u4e00']);
  });

  it('a space mark of the piece’s own stays', () => {
    expect(cut('\u2581\u4e00')).toEqual({ mean: ['\u2581', '\u2581', '\u4e00'], bare: ['\u2581', '\u4e00'] });
  });

  it('every id of a larger vocabulary, in order; ids beyond it are padding', () => {
    const tokenizer = tokenizerFromModel(base);
    const words = sourcesOf(tokenizer, tokenizerFromModel(grownModel(base, 50, 40, 1)), 560);
    expect(words.map((w) => w.id)).toEqual(Array.from({ length: 60 }, (_, i) => 500 + i));
    expect(words.filter((w) => w.kind === 'padding').map((w) => w.id)).toEqual([550, 551, 552, 553, 554, 555, 556, 557, 558, 559]);
  });
});

describe('byte-level tokenizer.json', () => {
  // Ġ is a space; é is two letters for the bytes C3 A9.
  const letters = ['a', 'b', '\u0120', '\u00c3', '\u00a9', '\u00e4', '\u00b8', '\u0122'];
  const make = (more: readonly string[], merges: readonly string[], added: readonly object[] = []): JsonTokenizer => {
    const pieces = [...letters, 'ab', ...more];
    const json = {
      model: { type: 'BPE', vocab: Object.fromEntries(pieces.map((p, id) => [p, id])), merges: ['a b', ...merges] },
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      decoder: { type: 'ByteLevel' },
      added_tokens: added,
    };
    return new JsonTokenizer(json, { source: { name: 'tokenizer.json', bytes: new Uint8Array() } });
  };
  const base = make([], []);
  const cut = (piece: string, merges: readonly string[]): string[] => {
    const words = sourcesOf(base, make([piece], merges));
    expect(words[0].bare).toEqual(words[0].mean);
    return words[0].mean.map((id) => base.pieceOf(id));
  };

  it('text by the base’s own merges, parts of characters by the longest pieces', () => {
    expect(cut('\u0120ab', ['\u0120 ab'])).toEqual(['\u0120', 'ab']);
    expect(cut('\u00c3\u00a9', ['\u00c3 \u00a9'])).toEqual(['\u00c3', '\u00a9']);
    // E4 B8: the beginning of a character.
    expect(cut('\u00e4\u00b8', ['\u00e4 \u00b8'])).toEqual(['\u00e4', '\u00b8']);
    expect(cut('ab\u00e4', ['ab \u00e4'])).toEqual(['ab', '\u00e4']);
  });

  it('a special token is its written form', () => {
    const special = { id: 9, content: '\u0120ab', special: true, normalized: false, single_word: false, lstrip: false, rstrip: false };
    expect(() => sourcesOf(base, make([], [], [{ ...special, content: '?' }]))).toThrow(/\?.*id 9.*cannot be spelt/);
    const words = sourcesOf(base, make([], [], [{ ...special, content: 'aab' }]));
    expect(words).toEqual([{ id: 9, kind: 'mark', piece: 'aab', mean: [0, 8], bare: [0, 8] }]);
  });
});

describe('a published expansion', () => {
  it('decomposes as its reference says, and every new row is the mean of those rows', { timeout: 120_000 }, async () => {
    if (data === undefined) {
      console.log('skipped: no SCION_DATA');
      return;
    }
    const folder = join(data, 'tokenizers');
    const [base, grown] = [await loadTokenizer(files, join(folder, 'llama2')), await loadTokenizer(files, join(folder, 'chinese_llama2_55k'))];
    const words = sourcesOf(base, grown);
    const reference = readFileSync(join(folder, 'expansion_reference.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: number; piece: string; llama2_ids: number[] });
    expect(reference.length).toBe(1163);
    for (const { id, piece, llama2_ids } of reference) expect(words[id - 32_000]).toMatchObject({ id, piece, mean: llama2_ids });

    const out = mkdtempSync(join(tmpdir(), 'scion-55k-'));
    try {
      const D = 8;
      const config = makeConfig({ vocabSize: 32_000, hiddenSize: D, intermediateSize: 16, numLayers: 1, numHeads: 1 });
      await writeModelFolder(files, join(out, 'base'), config, { dtype: 'F16', seed: 3 });
      const tokenizers = { baseTokenizer: join(folder, 'llama2'), tokenizer: join(folder, 'chinese_llama2_55k') };
      const report = await growModel(files, { base: join(out, 'base'), ...tokenizers, out: join(out, 'grown'), method: 'mean' });
      expect([report.rows, report.firstNew]).toEqual([55_296, 32_000]);
      const [before, after] = [await openHfWeights(files, join(out, 'base')), await openHfWeights(files, join(out, 'grown'))];
      for (const tensor of [EMBED_NAME, HEAD_NAME]) {
        const old = new Float16Array((await before.read(tensor)).slice().buffer);
        const now = new Float16Array((await after.read(tensor)).slice().buffer);
        let wrong = 0;
        for (let i = 0; i < old.length; i++) if (!Object.is(now[i], old[i])) wrong++;
        for (const { id, mean } of words) {
          for (let j = 0; j < D; j++) {
            let sum = 0;
            for (const one of mean) sum += old[one * D + j];
            if (now[id * D + j] !== Float16Array.of(sum / mean.length)[0]) wrong++;
          }
        }
        expect(wrong).toBe(0);
      }
      await Promise.all([before.close(), after.close()]);
    } finally {
      rmSync(out, { recursive: true });
    }
  });
});
