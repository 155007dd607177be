/**
 * The BPE learner: its size, its rules, the same model each time, and every learnt piece reachable.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PIECE, parseSentencePiece, writeSentencePiece } from '../../formats/sentencepiece.ts';
import { tokenizerFromModel } from '../tokenizer.ts';
import { learnBpe } from './scratch.ts';

/** Sentences over two small vocabularies, the same for the same seed. */
function sentences(count: number, seed = 1): string[] {
  const en = ['the', 'river', 'boat', 'crosses', 'bridge', 'and', 'slowly', "doesn't", 'know', '1984', 'seventeen', 'apples'];
  const zh = ['小船', '经过', '那座桥', '老钟', '记得', '风声', '十七个', '苹果', '。', '，'];
  let state = seed;
  const draw = (list: readonly string[]): string => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return list[Math.floor((state / 2 ** 32) * list.length)];
  };
  return Array.from({ length: count }, (_, i) => Array.from({ length: 12 }, () => draw(i % 2 === 0 ? en : zh)).join(i % 2 === 0 ? ' ' : ''));
}

const learntTexts = (texts: string[], size: number, maxPieceLength?: number): string[] =>
  learnBpe(texts, { size, maxPieceLength })
    .pieces.filter((piece) => piece.type === PIECE.NORMAL)
    .map((piece) => piece.text);

describe('learnBpe', () => {
  it('makes a model of the size asked for, the same each time', () => {
    const model = learnBpe(sentences(400), { size: 400 });
    expect(model.pieces.length).toBe(400);
    expect(Buffer.compare(writeSentencePiece(model), writeSentencePiece(learnBpe(sentences(400), { size: 400 })))).toBe(0);
    expect(model.pieces.slice(0, 3).map((piece) => piece.text)).toEqual(['<unk>', '<s>', '</s>']);
    expect(model.pieces[3 + 0x41].text).toBe('<0x41>');
    expect(parseSentencePiece(writeSentencePiece(model), 'again').pieces.map((piece) => piece.text)).toEqual(model.pieces.map((piece) => piece.text));
    const texts = model.pieces.map((piece) => piece.text);
    for (const wanted of ['▁the', '▁river', '▁boat', '小船', '那座桥']) expect(texts).toContain(wanted);
  });

  it('stops early when the texts hold no more', () => {
    expect(learntTexts(['ab ab'], 300)).toEqual(['ab', '▁ab', '▁', 'a', 'b']);
    expect(learntTexts([], 300)).toEqual(['▁']);
  });

  it('keeps to its rules: no white space inside, single digits, Han apart, length', () => {
    for (const text of learntTexts(['x 12 12 12 小船a小船a小船a\n\n\n  a  a', ...sentences(200)], 420, 6)) {
      expect([...text].length).toBeLessThanOrEqual(6);
      expect(text.slice(1)).not.toContain('▁');
      expect(text).not.toMatch(/[\s\p{Cc}]/u);
      if (/\p{N}/u.test(text)) expect([...text].length).toBe(1);
      if (/\p{Script=Han}/u.test(text)) expect(text).toMatch(/^\p{Script=Han}+$/u);
    }
  });

  it('learns only pieces that encode to themselves, from any texts, and gives any text back', () => {
    const text = fc
      .array(fc.constantFrom('a', 'aa', 'b', 'ab', 'ba', ' ', '好', '好吃', '吃', '\n', '1', '.', '😀'), { maxLength: 60 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.array(text, { maxLength: 12 }), fc.integer({ min: 275, max: 330 }), (texts, size) => {
        const model = learnBpe(texts, { size });
        const tokenizer = tokenizerFromModel(model);
        expect(model.pieces.length).toBeLessThanOrEqual(size);
        model.pieces.forEach((piece, id) => {
          if (piece.type === PIECE.NORMAL) expect(tokenizer.encodeNormalized(piece.text)).toEqual([id]);
        });
        for (const one of texts) expect(tokenizer.decode(tokenizer.encode(one))).toBe(one);
      }),
      { numRuns: 150 },
    );
  });

  it('says what size it needs', () => {
    expect(() => learnBpe(['abc'], { size: 200 })).toThrow(/a vocabulary of 200 pieces is too small: 3 marks, 256 bytes and 4 characters need 263/);
  });
});
