/**
 * SentencePiece expansion held to its promises on generated models, lists and texts: ids, scores, reach, old text, and the two
 * forms of one vocabulary.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MODEL,
  makeSentencePiece,
  PIECE,
  parseSentencePiece,
  type SentencePiece,
  type SentencePieceModel,
  writeSentencePiece,
} from '../../formats/sentencepiece.ts';
import { JsonTokenizer } from '../bpe-json.ts';
import { SentencePieceTokenizer } from '../sentencepiece.ts';
import { expandSentencePiece, findUnreachable, hasNewScript, tokenizerJson } from './index.ts';
import { deriveMerges } from './merges.ts';

const source = { source: { name: 'tokenizer.model' as const, bytes: new Uint8Array() } };
const open = (model: SentencePieceModel): SentencePieceTokenizer => new SentencePieceTokenizer(model, source);

const BYTES = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
const IDENTITY = { name: 'identity', addDummyPrefix: true, removeExtraWhitespaces: false, escapeWhitespaces: true };

/** A base as LLaMA's is: marks, bytes, merges with falling scores, characters below them. */
function baseOf(merges: readonly string[], chars: readonly string[], score = (rank: number): number => -rank): SentencePieceModel {
  const pieces: SentencePiece[] = [
    { text: '<unk>', score: 0, type: PIECE.UNKNOWN },
    { text: '<s>', score: 0, type: PIECE.CONTROL },
    { text: '</s>', score: 0, type: PIECE.CONTROL },
    ...BYTES.map((text): SentencePiece => ({ text, score: 0, type: PIECE.BYTE })),
    ...[...merges, ...chars].map((text, rank): SentencePiece => ({ text, score: score(rank), type: PIECE.NORMAL })),
  ];
  return makeSentencePiece(pieces, { modelType: MODEL.BPE, byteFallback: true }, IDENTITY);
}

const base = baseOf(['th', 'he', '▁t', '▁th', '▁the', 'in', 'ing', '中国', '的'], [...'▁abcdefghijklmnopqrstuvwxyz人大中国']);
const list = (...texts: string[]) => texts.map((text) => ({ text }));

describe('ids and scores', () => {
  it('old rows stay byte for byte, new ones follow, each scored below all before it', () => {
    const { model, report } = expandSentencePiece(base, list('人大', '大中', '学'));
    expect(model.pieces.slice(0, base.pieces.length)).toEqual(base.pieces);
    expect(model.pieces.slice(base.pieces.length).map((piece) => piece.text)).toEqual(['人大', '大中', '学']);
    const scores = model.pieces.slice(base.pieces.length).map((piece) => piece.score);
    const lowest = Math.min(...base.pieces.map((piece) => piece.score));
    for (const [i, score] of scores.entries()) expect(score).toBeLessThan(i === 0 ? lowest : scores[i - 1]);
    expect(report).toMatchObject({ baseSize: base.pieces.length, added: 3, intermediates: 0, size: base.pieces.length + 3 });
    expect(model.trainer.vocabSize).toBe(model.pieces.length);
  });

  it.each([0, -1e9, -16777216, -3.7, -1e30])('scores stay apart as f32 below %f', (lowest) => {
    const low = baseOf(['th'], [...'▁th人'], (rank) => (rank === 0 ? lowest : lowest / 2));
    const { model } = expandSentencePiece(low, list('人', '大', '学', '大学', '人大'), {});
    const back = parseSentencePiece(writeSentencePiece(model), 'written').pieces.slice(low.pieces.length);
    expect(back.map((piece) => piece.text)).toEqual(['大', '学', '大学', '人大']);
    expect(back[0].score).toBeLessThan(Math.fround(lowest));
    for (let i = 1; i < back.length; i++) expect(back[i].score).toBeLessThan(back[i - 1].score);
    expect(back.map((piece) => piece.score)).toEqual(model.pieces.slice(low.pieces.length).map((piece) => piece.score));
  });
});

describe('each new piece is reached', () => {
  // What the original does: score 0, no step between. This is the check of it: it must find the dead row.
  it('a piece appended with score 0 and without its steps is found dead', () => {
    const naive = { ...base, pieces: [...base.pieces, { text: '人大中国学', score: 0, type: PIECE.NORMAL }] };
    expect(findUnreachable(naive, base.pieces.length)).toEqual(new Map([[base.pieces.length, '人 大 中国 <0xE5> <0xAD> <0xA6>']]));
  });

  it('the steps to it are added below the list', () => {
    const { model, report } = expandSentencePiece(base, list('人大中国学'));
    expect(findUnreachable(model, base.pieces.length)).toEqual(new Map());
    expect(model.pieces[base.pieces.length].text).toBe('人大中国学');
    expect(report.added).toBe(1 + report.intermediates);
    expect(report.intermediates).toBeGreaterThan(0);
  });

  it('or it is dropped, and what builds on it too', () => {
    const { model, report } = expandSentencePiece(base, list('人大中国学', '人大', '学'), { intermediates: 'drop' });
    expect(model.pieces.slice(base.pieces.length).map((piece) => piece.text)).toEqual(['人大', '学']);
    expect(report.dropped.unreachable).toBe(1);
  });

  it('an old merge in the way is gone around', () => {
    // 大中国 begins as 大 + 中国 since the base joins 中国 first; 大中 alone does not lead there.
    const { model } = expandSentencePiece(base, list('大中', '人大中国'));
    expect(findUnreachable(model, base.pieces.length)).toEqual(new Map());
  });
});

describe('the list', () => {
  it('is cut to the size, padded, and counts why entries are left out', () => {
    const { model, report } = expandSentencePiece(base, list('人大', 'ing', 'xyz', '人大', '', 'a b', '大人', '国人', '中人', '\ud800'), {
      size: base.pieces.length + 3,
      specials: ['<|im_start|>'],
      padTo: 64,
    });
    expect(report.dropped).toEqual({ inBase: 1, repeated: 1, oldScript: 1, malformed: 3, unreachable: 0, protected: 0, cut: 2 });
    expect(report.added).toBe(2);
    expect(report.specials).toEqual([{ id: base.pieces.length + 2, text: '<|im_start|>', userDefined: false }]);
    expect(model.pieces.length % 64).toBe(0);
    expect(report.padding).toBe(model.pieces.length - base.pieces.length - 3);
    const padding = model.pieces.slice(base.pieces.length + 3);
    expect(new Set(padding.map((piece) => piece.text)).size).toBe(padding.length);
    const tokenizer = open(model);
    for (const { text } of padding) for (const id of tokenizer.encode(`${text} x ${text}`, { allowSpecial: true })) expect(id).toBeLessThan(base.pieces.length);
    expect(() => parseSentencePiece(writeSentencePiece(model), 'written')).not.toThrow();
  });

  it('a cut never parts a piece from its steps', () => {
    const words = ['人大中国学', '国人大', '大人国', '人国', '国大'];
    for (let extra = 1; extra <= 8; extra++) {
      const size = base.pieces.length + extra;
      try {
        const { model } = expandSentencePiece(base, list(...words), { size });
        expect(model.pieces.length).toBe(size);
        expect(findUnreachable(model, base.pieces.length)).toEqual(new Map());
      } catch (error) {
        // The list with all its steps has fewer.
        expect(String(error)).toMatch(/needs \d+ new pieces, but the list of 5 gives/);
        expect(extra).toBeGreaterThan(5);
      }
    }
  });

  it.each([
    [{ size: 10 }, /10 rows was asked for, but the base and the special tokens have \d+ already/],
    [{ size: 1_000_000 }, /needs \d+ new pieces, but the list of 2 gives 2/],
    [{ size: 1e9 }, /whole number/],
    [{ padTo: 0 }, /multiple of 0 rows/],
    [{ specials: ['<s>'] }, /"<s>" is piece 1 of the base/],
    [{ specials: ['<x>', '<x>'] }, /asked for twice/],
    [{ specials: ['Q'] }, /cannot be a special token/],
    [{ specials: ['a b'] }, /cannot be a special token/],
  ])('refuses %j', (options, message) => {
    expect(() => expandSentencePiece(base, list('人大', '大人'), options)).toThrow(message);
  });

  it('refuses repeated entries by number where they are an error', () => {
    expect(() => expandSentencePiece(base, list('人大', '大人', '人大'), { duplicates: 'error' })).toThrow(/entry 3 of the list, "人大", repeats entry 1/);
    expect(() => expandSentencePiece(base, list('人大', '中国'), { duplicates: 'error' })).toThrow(/entry 2 of the list, "中国", is piece \d+ of the base/);
  });

  it('refuses a unigram base', () => {
    expect(() => expandSentencePiece(makeSentencePiece(base.pieces), list('人大'))).toThrow(/only BPE models/);
  });
});

describe('old text keeps its ids', () => {
  const alphabet = [...'▁ abcdehtingxyz.0\n', '中', '国', '的', '人', '大', '学', '𠀀', 'é'];
  const text = fc.array(fc.constantFrom(...alphabet), { maxLength: 40 }).map((units) => units.join(''));
  const word = fc.array(fc.constantFrom('中', '国', '的', '人', '大', '学', 'a', '▁', '𠀀'), { minLength: 1, maxLength: 5 }).map((units) => units.join(''));

  it('in every text without a new script, whatever is added; and every piece is reached', () => {
    const before = open(base);
    void fc.assert(
      fc.property(
        fc.array(word, { maxLength: 12 }),
        fc.array(text, { maxLength: 8 }),
        fc.constantFrom('add' as const, 'drop' as const),
        (words, texts, intermediates) => {
          const { model } = expandSentencePiece(base, list(...words), { intermediates });
          expect(findUnreachable(model, base.pieces.length)).toEqual(new Map());
          const after = open(model);
          for (const one of texts) if (!hasNewScript(one)) expect(after.encode(one)).toEqual(before.encode(one));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('in every protected text', () => {
    const before = open(base);
    void fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), fc.array(text, { maxLength: 4 }), (words, protect) => {
        const { model } = expandSentencePiece(base, list(...words), { protect, anyScript: true });
        const after = open(model);
        for (const one of protect) expect(after.encode(one)).toEqual(before.encode(one));
        expect(findUnreachable(model, base.pieces.length)).toEqual(new Map());
      }),
      // A run of space marks that came in as a step to another piece, in a text with nothing else.
      { numRuns: 150, examples: [[['▁▁中'], ['▁']]] },
    );
  });
});

describe('tokenizer.json cuts as the model does', () => {
  const unit = fc.constantFrom('a', 'b', 'c', '▁', ' ');
  const piece = fc.array(fc.constantFrom('a', 'b', 'c', '▁'), { minLength: 2, maxLength: 7 }).map((units) => units.join(''));

  it('for any pieces with scores of their own, on any text', () => {
    void fc.assert(
      fc.property(fc.uniqueArray(piece, { minLength: 1, maxLength: 16 }), fc.array(fc.array(unit, { maxLength: 40 }), { maxLength: 20 }), (pieces, texts) => {
        const model = baseOf(pieces, [...'▁abc']);
        const { json, doubts } = tokenizerJson(model, { bosId: 1, eosId: null });
        expect(doubts).toEqual([]);
        const fast = new JsonTokenizer(JSON.parse(JSON.stringify(json)), source);
        const slow = open(model);
        for (const units of texts) expect(fast.encode(units.join(''))).toEqual(slow.encode(units.join('')));
      }),
      { numRuns: 300 },
    );
  });

  it('runs of spaces that share a score, as LLaMA-2 has them', () => {
    const runs = Array.from({ length: 15 }, (_, i) => '▁'.repeat(i + 2));
    const model = baseOf(['▁a', ...runs], [...'▁ab'], (rank) => (rank >= 1 && rank <= 15 ? -1e9 : -rank));
    const { json, doubts } = tokenizerJson(model, { bosId: 1, eosId: null });
    expect(doubts).toEqual([]);
    const fast = new JsonTokenizer(JSON.parse(JSON.stringify(json)), source);
    for (let n = 0; n < 70; n++)
      for (const end of ['', 'a', 'b']) expect(fast.encode(`b${' '.repeat(n)}${end}`)).toEqual(open(model).encode(`b${' '.repeat(n)}${end}`));
  });

  it('says so where other pieces share a score', () => {
    const model = baseOf(['ab', 'bc'], [...'▁abc'], (rank) => (rank < 2 ? 0 : -rank));
    expect(deriveMerges(model).doubts.join()).toMatch(/2 pieces share their score/);
  });

  it('is refused for a model that normalises', () => {
    const folding = { ...base, normalizer: { ...base.normalizer, removeExtraWhitespaces: true } };
    expect(() => tokenizerJson(folding, { bosId: 1, eosId: null })).toThrow(/removes extra spaces/);
  });

  // A chunk longer than the encoder's first buffer once came out of the buffer that had been replaced.
  it('also in a first text of one long run', () => {
    const model = baseOf(['aa', 'aaaa'], [...'▁ab']);
    const { json } = tokenizerJson(model, { bosId: 1, eosId: null });
    const long = 'a'.repeat(5000);
    const wanted = Array.from({ length: 1250 }, () => 'aaaa');
    for (const tokenizer of [open(model), new JsonTokenizer(JSON.parse(JSON.stringify(json)), source)]) {
      expect(tokenizer.encode(long).map((id) => tokenizer.pieceOf(id))).toEqual(['▁', ...wanted]);
    }
  });
});
