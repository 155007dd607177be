/**
 * The engine against a reference that knows nothing of it: all pairs counted anew from the words at every step, words
 * cut anew from their characters with the pieces so far, strings and whole numbers only. Random small corpora with ugly
 * Unicode, from scratch and on top of a base.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MODEL, makeSentencePiece, PIECE, type SentencePieceModel } from '../../formats/sentencepiece.ts';
import { expandSentencePiece, findUnreachable } from '../expand/index.ts';
import { tokenizerFromModel } from '../tokenizer.ts';
import { pieceOfByte, utf8Length } from '../utf8.ts';
import { SentencePieceBase } from './base.ts';
import { BaseWords } from './base-words.ts';
import { WEIGHT_UNIT } from './counts.ts';
import { learnOnBase } from './extend.ts';
import { countTexts, learnFromWords } from './scratch.ts';
import { ScriptFilter } from './scripts.ts';

/** Cuts a word as the format defines it: the pair whose joined text has the best rank, leftmost first, until none has. */
function cut(word: string, ranks: ReadonlyMap<string, number>): string[] {
  const parts = [...word];
  for (;;) {
    let at = -1;
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ranks.get(parts[i] + parts[i + 1]) ?? Number.POSITIVE_INFINITY;
      if (rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return parts;
    parts.splice(at, 2, parts[at] + parts[at + 1]);
  }
}

interface Rules {
  readonly words: ReadonlyMap<string, number>;
  /** Merges that exist, in rank order. */
  readonly base: readonly string[];
  /** Characters that have pieces. */
  readonly known: ReadonlySet<string>;
  readonly count: number;
  readonly maxLength: number;
  readonly least: number;
  /** Whether a text may be a piece at all. */
  readonly allowed: (text: string) => boolean;
  /** Whether a character may be a piece; others end words. */
  readonly mayBeChar: (char: string, count: number) => boolean;
}

/** Learns by recounting everything at every step. */
function reference(rules: Rules): string[] {
  const { words, count, maxLength, least } = rules;
  const ranks = new Map(rules.base.map((text, rank) => [text, rank]));
  const charCounts = new Map<string, number>();
  for (const [word, times] of words) {
    for (const part of cut(word, ranks)) if ([...part].length === 1) charCounts.set(part, (charCounts.get(part) ?? 0) + times);
  }
  const open = new Set([...charCounts].filter(([char, times]) => !rules.known.has(char) && rules.mayBeChar(char, times)).map(([char]) => char));
  const usable = new Set([...rules.known, ...open]);
  // An old piece with a character that is no piece is reached by SentencePiece only: nothing is built upon it.
  const spoilt = new Set(rules.base.filter((text) => [...text].some((char) => !rules.known.has(char))));
  const waiting = new Map([...open].map((char) => [char, (charCounts.get(char) ?? 0) * (utf8Length(char.codePointAt(0) as number) - 1)]));
  const learnt: string[] = [];
  while (learnt.length < count) {
    const counts = new Map<string, number>();
    for (const [word, times] of words) {
      const parts = cut(word, ranks);
      for (let i = 0; i + 1 < parts.length; i++) {
        const text = parts[i] + parts[i + 1];
        const usableHere = [parts[i], parts[i + 1]].every((part) => ([...part].length > 1 ? !spoilt.has(part) : usable.has(part)));
        if (usableHere && !ranks.has(text) && [...text].length <= maxLength && rules.allowed(text)) counts.set(text, (counts.get(text) ?? 0) + times);
      }
    }
    const better = (a: readonly [string, number], b: readonly [string, number]): number => b[1] - a[1] || (a[0] < b[0] ? -1 : 1);
    const [merge] = [...counts].sort(better);
    const [char] = [...waiting].sort(better);
    if (char !== undefined && (merge === undefined || merge[1] < least || char[1] >= merge[1])) {
      waiting.delete(char[0]);
      learnt.push(char[0]);
    } else if (merge !== undefined && merge[1] >= least) {
      ranks.set(merge[0], ranks.size);
      learnt.push(merge[0]);
    } else break;
  }
  return learnt;
}

/** Parts that make words with repeats, overlaps, marks, astral characters, halves of them, controls. */
const ugly = fc
  .array(
    fc.constantFrom(
      'a',
      'aa',
      'b',
      'ab',
      ' ',
      '好',
      '好吃',
      '吃',
      '吃吃',
      '𠮷',
      '𠮷野',
      '\ud842',
      '\udfb7',
      '\u0000',
      '\n',
      '1',
      '.',
      '，',
      '😀',
      'e\u0301',
      '\u0301',
      'é',
      'я',
      'か',
      '々',
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(''));
const corpora = fc.array(ugly, { maxLength: 8 });

function modelOf(merges: readonly string[], chars: readonly string[]): SentencePieceModel {
  const pieces = [
    { text: '<unk>', score: 0, type: PIECE.UNKNOWN },
    { text: '<s>', score: 0, type: PIECE.CONTROL },
    { text: '</s>', score: 0, type: PIECE.CONTROL },
    ...Array.from({ length: 256 }, (_, byte) => ({ text: pieceOfByte(byte), score: 0, type: PIECE.BYTE })),
    ...[...merges, ...chars].map((text, rank) => ({ text, score: -rank, type: PIECE.NORMAL })),
  ];
  return makeSentencePiece(pieces, { modelType: MODEL.BPE, byteFallback: true }, { name: 'identity', removeExtraWhitespaces: false });
}

describe('learning from scratch', () => {
  it('chooses what recounting everything chooses', () => {
    fc.assert(
      fc.property(corpora, fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 6 }), (texts, extra, maxLength) => {
        const words = countTexts(texts);
        const ascii = new Set(['▁', ...[...words.keys()].flatMap((word) => [...word]).filter((char) => char > ' ' && char < '\u007f')]);
        const wanted = reference({
          words,
          base: [],
          known: ascii,
          count: extra,
          maxLength,
          least: 2,
          allowed: () => true,
          mayBeChar: (char) => char >= '\u0080',
        });
        const model = learnFromWords(words, { size: 259 + ascii.size + extra, maxPieceLength: maxLength });
        const learnt = new Set(model.pieces.filter(({ type, text }) => type === PIECE.NORMAL && !ascii.has(text)).map(({ text }) => text));
        expect([...learnt].sort()).toEqual([...wanted].sort());
        // Merges stand in the order in which they were learnt.
        const merges = (list: Iterable<string>): string[] => [...list].filter((text) => [...text].length > 1);
        expect(merges(learnt)).toEqual(merges(wanted));
      }),
      { numRuns: 300 },
    );
  });
});

describe('learning on top of a base', () => {
  // Old merges across new words, an old piece with a character that is no piece itself, one that only a new merge can lead to.
  const merges = ['ab', '▁a', '好吃', '吃𠮷', 'aab', '吃吃吃', '，吃'];
  const chars = ['▁', 'a', 'b', '.', '好', '吃', '，', 'e'];
  const model = modelOf(merges, chars);
  const base = new SentencePieceBase(model);

  it('chooses what recounting everything chooses, and all of it is reached', () => {
    fc.assert(
      fc.property(
        corpora,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 3 }),
        (texts, count, maxLength, minCount) => {
          const words = countTexts(texts);
          const targets = new ScriptFilter(['Han', 'Hiragana']);
          const holds = (text: string): boolean => targets.hasAny(text);
          const wanted = reference({
            words,
            base: merges,
            known: new Set(chars),
            count,
            maxLength,
            least: minCount,
            allowed: holds,
            mayBeChar: (char, times) => holds(char) && times >= minCount,
          });
          const weighed = new Map([...words].map(([word, times]) => [word, times * WEIGHT_UNIT]));
          const { pieces } = learnOnBase(new BaseWords(base, weighed), { count, targets, maxPieceLength: maxLength, minCount });
          expect(pieces.map(({ text }) => text)).toEqual(wanted);

          const grown = expandSentencePiece(model, pieces, { size: model.pieces.length + pieces.length, intermediates: 'drop' }).model;
          expect(findUnreachable(grown, model.pieces.length)).toEqual(new Map());
          const tokenizer = tokenizerFromModel(grown);
          for (const text of texts) {
            const ids = tokenizer.encode(text);
            expect(tokenizer.decode(ids)).toBe(text.toWellFormed());
            if (!holds(text)) expect(ids).toEqual(tokenizerFromModel(model).encode(text));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
