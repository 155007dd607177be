/**
 * The fast encoders against the definition, written down here without any of their means: merge the best adjacent pair
 * until none is left, over strings, in quadratic time. Random vocabularies, few scores (so that ties decide), words beside dense
 * script, small caches that overflow all the time, and bounds on memory.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MODEL, makeSentencePiece, PIECE, type SentencePiece, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { JsonTokenizer } from './bpe-json.ts';
import { BpeModel } from './bpe-model.ts';
import { BYTE_LETTERS, textToByteLetters } from './byte-level.ts';
import { IdSink } from './id-sink.ts';
import { SentencePieceTokenizer } from './sentencepiece.ts';
import { SentencePieceBpe } from './sentencepiece-bpe.ts';
import { Unigram } from './unigram.ts';
import { UnitBuffer } from './units.ts';
import { pieceOfByte } from './utf8.ts';
import { HASH_START, hashUnit, WordCache } from './word-cache.ts';

const source = { name: 'tokenizer.model', bytes: new Uint8Array(0) } as const;
const marks: SentencePiece[] = ['<unk>', '<s>', '</s>'].map((text, id) => ({ text, score: 0, type: id === 0 ? PIECE.UNKNOWN : PIECE.CONTROL }));
const bytePieces: SentencePiece[] = Array.from({ length: 256 }, (_, byte) => ({ text: pieceOfByte(byte), score: 0, type: PIECE.BYTE }));
const BYTES_FROM = marks.length;

function bpe(pieces: readonly SentencePiece[]): SentencePieceModel {
  const all = [...marks, ...bytePieces, ...pieces];
  return makeSentencePiece(all, { modelType: MODEL.BPE, byteFallback: true }, { name: 'identity', addDummyPrefix: false, removeExtraWhitespaces: false });
}

/** Merges `symbols`: `rankOf` gives the order of a pair (less is sooner), or nothing. Leftmost first among equals. */
function mergeAll(symbols: string[], rankOf: (left: string, right: string) => number | undefined): string[] {
  for (;;) {
    let best = Number.POSITIVE_INFINITY;
    let at = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const rank = rankOf(symbols[i], symbols[i + 1]);
      if (rank === undefined || rank >= best) continue;
      best = rank;
      at = i;
    }
    if (at < 0) return symbols;
    symbols.splice(at, 2, symbols[at] + symbols[at + 1]);
  }
}

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];

/** What the model's definition gives: user-defined pieces first, leftmost and longest, the rest merged around them. */
function naive(text: string, pieces: readonly SentencePiece[]): number[] {
  const idOf = new Map(pieces.map((piece, i) => [piece.text, BYTES_FROM + 256 + i]));
  const scoreOf = new Map(pieces.map((piece) => [piece.text, piece.score]));
  const user = pieces.filter((piece) => piece.type === PIECE.USER_DEFINED).map((piece) => piece.text);
  const chars = [...text.toWellFormed()];
  const ids: number[] = [];
  let plain: string[] = [];
  const flush = (): void => {
    const rank = (left: string, right: string): number | undefined => (scoreOf.has(left + right) ? -(scoreOf.get(left + right) as number) : undefined);
    for (const piece of mergeAll(plain, rank)) {
      const id = idOf.get(piece);
      ids.push(...(id === undefined ? bytesOf(piece).map((byte) => BYTES_FROM + byte) : [id]));
    }
    plain = [];
  };
  for (let i = 0; i < chars.length; ) {
    const rest = chars.slice(i).join('');
    const found = user.filter((piece) => rest.startsWith(piece)).sort((a, b) => b.length - a.length)[0];
    if (found === undefined) {
      plain.push(chars[i++]);
      continue;
    }
    flush();
    ids.push(idOf.get(found) as number);
    i += [...found].length;
  }
  flush();
  return ids;
}

/** Letters, the space mark, Han, kana, a character outside the first plane, and one that only some vocabularies know. */
const letter = fc.constantFrom('a', 'b', 'c', '\u2581', '好', '中', 'カ', '😀', '𠮷', 'é');
const pieceText = fc.array(letter, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
const vocabulary = fc.uniqueArray(
  fc.record({
    text: fc.oneof({ weight: 20, arbitrary: pieceText }, { weight: 1, arbitrary: fc.constantFrom('a'.repeat(30), 'ab'.repeat(20), '好'.repeat(40)) }),
    score: fc.oneof(fc.integer({ min: -3, max: 0 }), fc.constant(0)),
    type: fc.constantFrom(PIECE.NORMAL, PIECE.NORMAL, PIECE.NORMAL, PIECE.NORMAL, PIECE.NORMAL, PIECE.USER_DEFINED),
  }),
  { selector: (piece) => piece.text, minLength: 1, maxLength: 40 },
);
const text = fc.oneof(
  fc.array(fc.oneof({ weight: 30, arbitrary: letter }, { weight: 1, arbitrary: fc.constantFrom('x', '\0', '\ud800', '\udc00', '\n', '龍', '\u{1f9e0}') }), {
    maxLength: 150,
  }),
  fc.array(pieceText, { maxLength: 30 }),
  fc.tuple(fc.constantFrom('a', 'ab', '好', '😀', '\u2581', 'c好'), fc.integer({ min: 1, max: 90 })).map(([unit, times]) => [unit.repeat(times)]),
);
const texts = fc.array(
  text.map((parts) => parts.join('')),
  { minLength: 1, maxLength: 6 },
);

const fuse = { unkId: 0, byteIds: Int32Array.from({ length: 256 }, (_, byte) => BYTES_FROM + byte), fuse: true };

describe('SentencePiece BPE', () => {
  it.each([[1], [3], [65536]])('gives what the definition gives, cold and warm, with room for %i words', (cacheWords) => {
    fc.assert(
      fc.property(vocabulary, texts, (pieces, inputs) => {
        const encoder = new SentencePieceBpe(bpe(pieces), cacheWords);
        const [sink, units] = [new IdSink(fuse), new UnitBuffer()];
        for (const input of [...inputs, ...inputs]) {
          const wellFormed = input.toWellFormed();
          encoder.encode(units.fill(wellFormed), wellFormed.length, sink);
          expect(sink.take()).toEqual(naive(input, pieces));
          expect(encoder.cached.words).toBeLessThanOrEqual(cacheWords);
        }
      }),
      { numRuns: 400 },
    );
  });

  it('gives the same typed, through the tokenizer, and from normalised text', () => {
    fc.assert(
      fc.property(vocabulary, texts, (pieces, inputs) => {
        const tokenizer = new SentencePieceTokenizer(bpe(pieces.map((piece) => ({ ...piece, type: PIECE.NORMAL }))), { source });
        for (const input of inputs) {
          const ids = tokenizer.encode(input);
          // The space mark is what a space becomes, so both give the same ids.
          expect(tokenizer.encode(input.replaceAll('\u2581', ' '))).toEqual(ids);
          expect([...tokenizer.encodeTyped(input)]).toEqual(ids);
          expect(tokenizer.encodeNormalized(input)).toEqual(ids);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('meets chunks far longer than its buffers, and short ones after them', () => {
    const pieces: SentencePiece[] = ['a', 'aa', 'aaaa', '好', '好好', '好好好'].map((piece, i) => ({ text: piece, score: -i, type: PIECE.NORMAL }));
    const tokenizer = new SentencePieceTokenizer(bpe(pieces), { source });
    for (const unit of ['a', '好', 'a好']) {
      for (const times of [1, 23, 24, 25, 39, 40, 41, 255, 256, 257, 1025, 3000, 2]) {
        const input = unit.repeat(times);
        expect(tokenizer.encode(input), `${unit} x ${times}`).toEqual(naive(input, pieces));
      }
    }
    // Rooms that are given up after a large text.
    const large = 'a好'.repeat(300_000);
    expect(tokenizer.encode(large)).toEqual(Array.from({ length: 600_000 }, (_, i) => (i % 2 === 0 ? 259 : 262)));
    expect(tokenizer.encode('aa好')).toEqual(naive('aa好', pieces));
  });
});

describe('byte-level BPE', () => {
  const random = fc.tuple(fc.array(fc.tuple(fc.nat(600), fc.nat(600)), { maxLength: 60 }), texts, fc.boolean());

  it.each([[1], [65536]])('gives what the definition gives, with room for %i words', (cacheWords) => {
    fc.assert(
      fc.property(random, ([draws, inputs, ignoreMerges]) => {
        // Pieces that occur: bytes of the alphabet above, joined at random.
        const used = [...new Set(textToByteLetters('abc \u2581好中カ😀𠮷é'))];
        const made = [...used];
        const merges: [string, string][] = [];
        for (const [a, b] of draws) {
          const [left, right] = [made[a % made.length], made[b % made.length]];
          if (made.includes(left + right) || (left + right).length > 9) continue;
          merges.push([left, right]);
          made.push(left + right);
        }
        const vocab = Object.fromEntries([...BYTE_LETTERS, ...made.slice(used.length)].map((piece, id) => [piece, id]));
        const rank = new Map(merges.map(([left, right], i) => [`${left} ${right}`, i]));
        const model = new BpeModel({ type: 'BPE', vocab, merges, ignore_merges: ignoreMerges }, cacheWords);
        const units = new UnitBuffer();
        for (const input of [...inputs, ...inputs]) {
          const wellFormed = input.toWellFormed();
          const word = textToByteLetters(wellFormed);
          const wanted =
            ignoreMerges && vocab[word] !== undefined ? [vocab[word]] : mergeAll([...word], (a, b) => rank.get(`${a} ${b}`)).map((piece) => vocab[piece]);
          model.sink.reset();
          model.encodeBytesOf(units.fill(wellFormed), 0, wellFormed.length);
          expect(model.sink.take()).toEqual(wanted);
          const again: number[] = [];
          model.encode(word, again);
          expect(again).toEqual(wanted);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('cuts as the long way does where a pattern leaves gaps or matches nothing', () => {
    const vocab = Object.fromEntries([...BYTE_LETTERS, 'ab', 'abab', 'Ġa'].map((piece, id) => [piece, id]));
    const merges = ['a b', 'ab ab', 'Ġ a'];
    // The same cuts: once so that they are seen to be plain, once behind a step that is not.
    const make = (pattern: string, plain: boolean): JsonTokenizer => {
      const split = { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
      const letters = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
      const never = { type: 'Split', pattern: { String: '\ufdd0' }, behavior: 'Removed', invert: false };
      const json = {
        model: { type: 'BPE', vocab, merges },
        pre_tokenizer: { type: 'Sequence', pretokenizers: plain ? [split, letters] : [never, split, letters] },
      };
      return new JsonTokenizer(json, { source: { name: 'tokenizer.json', bytes: new Uint8Array(0) } });
    };
    const input = fc.array(fc.constantFrom('a', 'b', 'ab', ' ', '1', '😀', '好', '\n'), { maxLength: 40 }).map((parts) => parts.join(''));
    for (const pattern of ['ab', '[ab]+', ' ?a+|b', 'b*', '(?=b)', 'a|(?=1)', '\\p{N}', 'z']) {
      const [fast, slow] = [make(pattern, true), make(pattern, false)];
      fc.assert(
        fc.property(input, (one) => {
          expect(fast.encode(one)).toEqual(slow.encode(one));
        }),
        { numRuns: 60 },
      );
    }
  });
});

describe('unigram', () => {
  /** Best sum of scores over all cuts, by trying every piece at every place from the end. Scores are such that no two cuts tie. */
  function naiveUnigram(chars: readonly string[], scoreOf: ReadonlyMap<string, number>, unknown: number): { score: number; pieces: string[] } {
    const best: { score: number; pieces: string[] }[] = [];
    best[chars.length] = { score: 0, pieces: [] };
    for (let i = chars.length - 1; i >= 0; i--) {
      let found = { score: unknown + best[i + 1].score, pieces: [chars[i], ...best[i + 1].pieces] };
      for (let end = i + 1; end <= chars.length; end++) {
        const piece = chars.slice(i, end).join('');
        const score = scoreOf.get(piece);
        if (score === undefined || (end > i + 1 && score + best[end].score <= found.score)) continue;
        found = { score: score + best[end].score, pieces: [piece, ...best[end].pieces] };
      }
      best[i] = found;
    }
    return best[0];
  }

  it('gives the cut of the greatest score', () => {
    const draw = fc.uniqueArray(pieceText, { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(draw, texts, (drawn, inputs) => {
        // Multiples of 1/8 are exact in every sum of both ways; equal sums are compared by score, not by cut.
        const scoreOf = new Map(drawn.map((piece, i) => [piece, -((i * 7919) % 97) / 8 - 1]));
        const pieces = drawn.map((piece) => ({ text: piece, score: scoreOf.get(piece) as number, type: PIECE.NORMAL }));
        const model = makeSentencePiece(
          [...marks, ...pieces],
          { modelType: MODEL.UNIGRAM },
          { name: 'identity', addDummyPrefix: false, removeExtraWhitespaces: false },
        );
        const encoder = new Unigram(model);
        const unknown = Math.min(...scoreOf.values()) - 10;
        // Unknown characters one by one, so that the cut can be read off.
        const sink = new IdSink({ unkId: 0, byteIds: null, fuse: false });
        const units = new UnitBuffer();
        for (const input of inputs) {
          const wellFormed = input.toWellFormed();
          encoder.encode(units.fill(wellFormed), wellFormed.length, sink);
          const ids = sink.take();
          let at = 0;
          let score = 0;
          for (const id of ids) {
            const own = id === 0 ? String.fromCodePoint(wellFormed.codePointAt(at) as number) : model.pieces[id].text;
            expect(wellFormed.startsWith(own, at)).toBe(true);
            at += own.length;
            score += id === 0 ? unknown : (scoreOf.get(own) as number);
          }
          expect(at).toBe(wellFormed.length);
          expect(score).toBe(naiveUnigram([...wellFormed], scoreOf, unknown).score);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('what is remembered', () => {
  const hashOf = (units: Uint16Array, from: number, to: number): number =>
    units.subarray(from, to).reduce<number>((hash, unit) => hashUnit(hash, unit), HASH_START);

  it('tells words apart that share a hash', () => {
    const cache = new WordCache();
    const units = Uint16Array.of(1, 2, 3, 4, 5);
    cache.add(units, 0, 2, 7, Int32Array.of(10, 11), 2);
    cache.add(units, 2, 4, 7, Int32Array.of(12), 1);
    expect([cache.find(units, 0, 2, 7), cache.start, cache.count, cache.values[cache.start]]).toEqual([true, 0, 2, 10]);
    expect([cache.find(units, 2, 4, 7), cache.values[cache.start]]).toEqual([true, 12]);
    expect([cache.find(units, 0, 3, 7), cache.find(units, 1, 3, 7), cache.find(units, 0, 2, 8)]).toEqual([false, false, false]);
  });

  it('stays within its bounds over 200 MB of words that never come again', () => {
    const cache = new WordCache();
    const units = new Uint16Array(20);
    const ids = Int32Array.from({ length: 20 }, (_, i) => i);
    let most = 0;
    // 5 million words of 20 units are 200 MB of UTF-16.
    for (let n = 0; n < 5_000_000; n++) {
      for (let i = 0; i < 4; i++) units[i] = (n >>> (8 * i)) & 255;
      const hash = hashOf(units.subarray(0, 4), 0, 4);
      if (!cache.find(units, 0, 20, hash)) cache.add(units, 0, 20, hash, ids, 1 + (n % 20));
      most = Math.max(most, cache.size);
    }
    expect(most).toBeLessThanOrEqual(65_536);
    expect(most).toBeGreaterThan(32_768);
    // Slots for twice the words at 20 bytes, 2 Mi units and 1 Mi ids, each rounded up to a power of two.
    expect(cache.bytes).toBeLessThanOrEqual(16 * 2 ** 20);
  });
});
