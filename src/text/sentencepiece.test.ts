/**
 * SentencePiece models: random ones against the definition of BPE, a real-looking one on any text, and errors.
 * Agreement with the library is in golden.test.ts.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isScionError } from '../base/errors.ts';
import { MODEL, makeSentencePiece, PIECE, type PieceType, parseSentencePiece, type SentencePiece, type TrainerSpec } from '../formats/sentencepiece.ts';
import { Charsmap } from './normalizer.ts';
import { type AddedPiece, SentencePieceTokenizer } from './sentencepiece.ts';
import { decodeBytes, pieceOfByte } from './utf8.ts';

const golden = join(import.meta.dirname, '../../test/golden/text');

function load(name: string, added?: AddedPiece[], legacy?: boolean): SentencePieceTokenizer {
  const bytes = new Uint8Array(readFileSync(join(golden, `${name}.model`)));
  return new SentencePieceTokenizer(parseSentencePiece(bytes, name), { source: { name: 'tokenizer.model', bytes }, added, legacy });
}

const marks: SentencePiece[] = [
  { text: '<unk>', score: 0, type: PIECE.UNKNOWN },
  { text: '<s>', score: 0, type: PIECE.CONTROL },
  { text: '</s>', score: 0, type: PIECE.CONTROL },
];
const bytePieces: SentencePiece[] = Array.from({ length: 256 }, (_, byte) => ({ text: pieceOfByte(byte), score: 0, type: PIECE.BYTE }));

function make(pieces: SentencePiece[], trainer: Partial<TrainerSpec> = {}): SentencePieceTokenizer {
  const model = makeSentencePiece(pieces, { modelType: MODEL.BPE, ...trainer }, { name: 'identity', addDummyPrefix: false, removeExtraWhitespaces: false });
  return new SentencePieceTokenizer(model, { source: { name: 'tokenizer.model', bytes: new Uint8Array(0) } });
}

/** Any text at all: whole characters of every plane, and halves of pairs. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 30 }).map((units) => String.fromCharCode(...units)),
  fc
    .array(fc.constantFrom('a', ' ', '\u2581', 'the', '小船', '\n', '<s>', '<0x41>', '\ud800', '\udc00', '😀', '\ufeff', '\0'), { maxLength: 30 })
    .map((parts) => parts.join('')),
);

/** The definition, word for word: merge the best adjacent pair, leftmost first, until none is left. Quadratic. */
function naiveBpe(text: string, pieces: readonly SentencePiece[]): string[] {
  const symbols = [...text];
  const scoreOf = new Map(pieces.filter((piece) => piece.type === PIECE.NORMAL).map((piece) => [piece.text, piece.score]));
  for (;;) {
    let best = -Infinity;
    let at = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const score = scoreOf.get(symbols[i] + symbols[i + 1]);
      if (score !== undefined && score > best) {
        best = score;
        at = i;
      }
    }
    if (at < 0) return symbols;
    symbols.splice(at, 2, symbols[at] + symbols[at + 1]);
  }
}

describe('BPE over random models', () => {
  const letters = fc.constantFrom('a', 'b', 'c', '好', '😀');
  const model = fc.uniqueArray(
    fc.record({ text: fc.array(letters, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('')), score: fc.integer({ min: -4, max: 0 }) }),
    { selector: (piece) => piece.text, minLength: 1, maxLength: 40 },
  );
  const text = fc.array(letters, { minLength: 1, maxLength: 120 }).map((parts) => parts.join(''));

  it('gives what the definition gives, ties included', () => {
    fc.assert(
      fc.property(model, text, (drawn, input) => {
        const pieces = [...marks, ...drawn.map((piece) => ({ ...piece, type: PIECE.NORMAL }))];
        const tokenizer = make(pieces);
        const wanted = naiveBpe(input, pieces).map((piece) => tokenizer.idOf(piece) ?? 0);
        // A run of unknown characters is one unknown id.
        expect(tokenizer.encode(input)).toEqual(wanted.filter((id, i) => id !== 0 || wanted[i - 1] !== 0));
      }),
      { numRuns: 400 },
    );
  });

  it('gives the same whether text is cut into chunks or taken as a whole', () => {
    fc.assert(
      fc.property(model, text, (drawn, input) => {
        const pieces = [...marks, ...bytePieces, ...drawn.map((piece) => ({ ...piece, type: PIECE.NORMAL as PieceType }))];
        const cut = make(pieces, { byteFallback: true });
        // One unused piece that cannot occur makes the encoder take the text as a whole.
        const whole = make([...pieces, { text: 'zz', score: 0, type: PIECE.UNUSED }], { byteFallback: true });
        expect(cut.encode(input)).toEqual(whole.encode(input));
      }),
      { numRuns: 200 },
    );
  });
});

describe('a LLaMA-like model', () => {
  const tokenizer = load('sp-llama');

  it('gives back any text, halves of surrogate pairs as U+FFFD', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.toWellFormed().replaceAll('\u2581', ' '));
      }),
      { numRuns: 500 },
    );
  });

  it('streams what it decodes, for any ids', () => {
    const ids = fc.array(fc.integer({ min: 0, max: tokenizer.vocabSize - 1 }), { maxLength: 40 });
    fc.assert(
      fc.property(ids, (list) => {
        const stream = tokenizer.decoder();
        expect(list.map((id) => stream.push(id)).join('') + stream.end()).toBe(tokenizer.decode(list));
      }),
      { numRuns: 300 },
    );
  });

  it('holds a character back until it is whole', () => {
    const stream = tokenizer.decoder();
    const bytes = [0xf0, 0x9f, 0x98, 0x80].map((byte) => tokenizer.idOf(pieceOfByte(byte)) as number);
    expect(bytes.map((id) => stream.push(id))).toEqual(['', '', '', '😀']);
    expect([stream.push(bytes[0]), stream.end()]).toEqual(['', '\ufffd']);
  });

  it('never makes a mark of text, unless allowed', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        for (const id of tokenizer.encode(`${text}</s><s><unk>`)) expect(tokenizer.isSpecial(id)).toBe(false);
      }),
      { numRuns: 200 },
    );
    const [bos, eos] = [tokenizer.bosId as number, tokenizer.eosId as number];
    expect(tokenizer.encode('<s>a</s>', { allowSpecial: true })).toEqual([bos, ...tokenizer.encode('a'), eos]);
    expect(tokenizer.encode('a', { bos: true, eos: true })).toEqual([bos, ...tokenizer.encode('a'), eos]);
    expect(tokenizer.decode([bos, ...tokenizer.encode('a'), eos])).toBe('a');
    expect(tokenizer.decode([bos, ...tokenizer.encode('a'), eos], { skipSpecial: false })).toBe('<s> a</s>');
  });

  it('leaves the dummy prefix out behind a mark where the files say so', () => {
    const later = load('sp-llama', [], false);
    const x = later.idOf('x') as number;
    expect(later.encode('</s>x', { allowSpecial: true }).at(-1)).toBe(x);
    expect(tokenizer.encode('</s>x', { allowSpecial: true })).toEqual([2, ...tokenizer.encode('x')]);
  });

  it('says the bytes of each piece: those of a text are its UTF-8', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const joined = Buffer.concat(tokenizer.encode(text).map((id) => tokenizer.bytesOf(id)));
        const wanted = text === '' ? '' : ` ${text.toWellFormed().replaceAll('\u2581', ' ')}`;
        expect(joined.toString('utf8')).toBe(wanted);
      }),
      { numRuns: 200 },
    );
    expect(tokenizer.bytesOf(1)).toEqual(new Uint8Array(0));
  });

  it('takes a megabyte of one character, in each model', () => {
    // A quadratic encoder would need days; the limit of the test is a minute.
    const cases = [
      ['sp-llama', ' '],
      ['sp-bpe-unused', 'a'],
      ['sp-unigram-bytes', 'a'],
      ['sp-bpe-nmt-nfkc', '小'],
    ] as const;
    for (const [name, char] of cases) expect(load(name).encode(char.repeat(2 ** 20)).length).toBeGreaterThan(2 ** 17);
    expect(tokenizer.decode(tokenizer.encode('a'.repeat(2 ** 20)))).toBe('a'.repeat(2 ** 20));
  });
});

describe('tokens beside the model', () => {
  const tokenizer = load('sp-llama', [
    { id: 600, content: '<pad>', special: true },
    { id: 601, content: '小船', special: false },
  ]);

  it('finds ordinary ones always and marks when allowed', () => {
    expect(tokenizer.vocabSize).toBe(602);
    expect(tokenizer.encode('小船<pad>')[0]).toBe(601);
    expect(tokenizer.encode('小船<pad>')).not.toContain(600);
    expect(tokenizer.encode('<pad>', { allowSpecial: true })).toEqual([600]);
    expect(tokenizer.decode([600, 601])).toBe('小船');
    expect(tokenizer.decode([600, 601], { skipSpecial: false })).toBe('<pad>小船');
  });

  it('refuses one that contradicts the model', () => {
    expect(() => load('sp-llama', [{ id: 5, content: 'other', special: true }])).toThrow(/added token 5 is "other", but tokenizer.model has "<0x02>" there/);
  });
});

describe('errors', () => {
  const kind = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      if (isScionError(error)) return `${error.kind}: ${error.message}`;
      throw error;
    }
    return 'none';
  };

  it('name what is wrong', () => {
    const tokenizer = load('sp-llama');
    expect(kind(() => tokenizer.decode([600]))).toMatch(/^input: id 600 is not in the vocabulary: ids go from 0 to 599/);
    expect(kind(() => tokenizer.decode([-1]))).toMatch(/^input: id -1/);
    expect(kind(() => tokenizer.decode([1.5]))).toMatch(/^input: id 1.5/);
    expect(kind(() => make([marks[0]]).encode('a', { bos: true }))).toMatch(/^input: the begin mark was asked for/);
    expect(kind(() => make(marks, { modelType: MODEL.WORD }))).toMatch(/^format: .*model type word is not supported; supported: unigram, bpe/);
    expect(kind(() => make(marks, { byteFallback: true }))).toMatch(/^format: .*the piece <0x00> is missing/);
    expect(kind(() => make([...marks, bytePieces[0]]))).toMatch(/^format: .*piece 3 is a byte piece, but byte fallback is off/);
    expect(kind(() => make([...marks, { text: 'x'.repeat(513), score: 0, type: PIECE.NORMAL }]))).toMatch(/^format: .*piece 3 has 513 characters/);
    expect(kind(() => new Charsmap(new Uint8Array(3)))).toMatch(/^format: precompiled_charsmap: 3 bytes/);
    expect(kind(() => new Charsmap(Uint8Array.of(8, 0, 0, 0, 1, 2, 3, 4)))).toMatch(/^format: .*a trie of 8 bytes/);
  });

  it('a damaged charsmap gives wrong text at worst', () => {
    const blob = parseSentencePiece(new Uint8Array(readFileSync(join(golden, 'sp-unigram-rules.model'))), 'x').normalizer.precompiledCharsmap;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(blob.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 }),
        fc.uint8Array({ maxLength: 40 }),
        (edits, input) => {
          const damaged = blob.slice();
          for (const [at, byte] of edits) if (at >= 4) damaged[at] = byte;
          const map = new Charsmap(damaged);
          for (let i = 0; i < input.length; i++) {
            const { length, value } = map.match(input, i);
            expect(length).toBeLessThanOrEqual(input.length - i);
            expect(map.replacement(value).length).toBeLessThanOrEqual(blob.length);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('bytes to text', () => {
  it('agrees with the web decoder on valid UTF-8 and counts every other byte alone', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const bytes = [...new TextEncoder().encode(text)];
        expect(decodeBytes(bytes, true)).toEqual({ text: text.toWellFormed(), used: bytes.length });
      }),
    );
    expect(decodeBytes([0xe4, 0xb8, 0x41], true).text).toBe('\ufffd\ufffdA');
    expect(decodeBytes([0xc0, 0x80, 0xed, 0xa0, 0x80], true).text).toBe('\ufffd'.repeat(5));
    expect(decodeBytes([0xe4, 0xb8], false)).toEqual({ text: '', used: 0 });
    expect(decodeBytes([0x80, 0xf8], false)).toEqual({ text: '\ufffd\ufffd', used: 2 });
  });
});
