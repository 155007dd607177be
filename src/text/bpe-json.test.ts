/**
 * `tokenizer.json`: any text comes back, long words follow the definition of BPE, and what is not supported or damaged is
 * refused by name. Agreement with the tokenizers library is in golden.test.ts.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isScionError } from '../base/errors.ts';
import { JsonTokenizer } from './bpe-json.ts';

const golden = join(import.meta.dirname, '../../test/golden/text');
const source = { name: 'tokenizer.json', bytes: new Uint8Array(0) } as const;
const read = (name: string): Record<string, unknown> => JSON.parse(readFileSync(join(golden, `${name}.tokenizer.json`), 'utf8')) as Record<string, unknown>;
const load = (name: string): JsonTokenizer => new JsonTokenizer(read(name), { source });

/** The smallest file: letters a to c, two merges. */
function small(change: Record<string, unknown> = {}, model: Record<string, unknown> = {}): JsonTokenizer {
  const vocab = { a: 0, b: 1, c: 2, ab: 3, abc: 4 };
  return new JsonTokenizer(
    {
      model: {
        type: 'BPE',
        vocab,
        merges: [
          ['a', 'b'],
          ['ab', 'c'],
        ],
        ...model,
      },
      ...change,
    },
    { source },
  );
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 30 }).map((units) => String.fromCharCode(...units)),
  fc
    .array(fc.constantFrom('a', ' ', "'LL", 'the', '小船', '\n', '<|eot_id|>', '\ud800', '😀', '\ufeff', '\0', '12345'), { maxLength: 30 })
    .map((parts) => parts.join('')),
);

describe('byte-level BPE', () => {
  const tokenizer = load('hf-llama3');

  it('gives back any text, halves of surrogate pairs as U+FFFD', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text.toWellFormed());
        expect(Buffer.concat(ids.map((id) => tokenizer.bytesOf(id))).toString('utf8')).toBe(text.toWellFormed());
        for (const id of ids) expect(tokenizer.isSpecial(id)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it('streams what it decodes', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const ids = tokenizer.encode(text);
        const stream = tokenizer.decoder();
        expect(ids.map((id) => stream.push(id)).join('') + stream.end()).toBe(tokenizer.decode(ids));
      }),
      { numRuns: 300 },
    );
  });

  it('takes a megabyte of one character, in each file', () => {
    const cases = [
      ['hf-llama3', ' '],
      ['hf-llama-legacy', ' '],
      ['hf-metaspace', 'a'],
    ] as const;
    for (const [name, char] of cases) expect(load(name).encode(char.repeat(2 ** 20)).length).toBeGreaterThan(2 ** 17);
  });

  it('knows its marks from the post-processor', () => {
    expect(tokenizer.bosId).toBe(tokenizer.idOf('<|begin_of_text|>'));
    expect(tokenizer.adds).toEqual({ bos: true, eos: false });
    expect(tokenizer.encode('a', { bos: true })).toEqual([tokenizer.bosId, ...tokenizer.encode('a')]);
    expect(tokenizer.encode('a<|eot_id|>', { allowSpecial: true }).at(-1)).toBe(tokenizer.idOf('<|eot_id|>'));
    expect(() => tokenizer.encode('a', { eos: true })).toThrow(/the end mark was asked for/);
  });
});

describe('merges', () => {
  it('read in both spellings', () => {
    expect(small().encode('abcab')).toEqual([4, 3]);
    expect(small({}, { merges: ['a b', 'ab c'] }).encode('abcab')).toEqual([4, 3]);
    expect(() => small({}, { merges: ['a b c'] })).toThrow(/model.merges\[0\]: wanted two pieces, found "a b c"/);
    expect(() => small({}, { merges: [['a', 'z']] })).toThrow(/model.merges\[0\]: "z" is not in model.vocab/);
  });

  it('are left aside for whole words with ignore_merges', () => {
    expect(small({}, { merges: [], ignore_merges: true }).encode('abc')).toEqual([4]);
    expect(small({}, { merges: [] }).encode('abc')).toEqual([0, 1, 2]);
  });

  it('give the same for long words, which are cut, as for the definition', () => {
    const letters = fc.constantFrom('a', 'b', 'c', 'd', '好');
    const merge = fc.tuple(fc.array(letters, { minLength: 1, maxLength: 3 }), fc.array(letters, { minLength: 1, maxLength: 3 }));
    fc.assert(
      fc.property(fc.array(merge, { maxLength: 20 }), fc.array(letters, { minLength: 33, maxLength: 90 }), (drawn, word) => {
        // Keep the merges whose parts exist by then, as in a learnt file.
        const known = new Set(['a', 'b', 'c', '好']);
        const merges: [string, string][] = [];
        for (const [left, right] of drawn.map((pair) => pair.map((part) => part.join('')) as [string, string])) {
          if (!known.has(left) || !known.has(right) || known.has(left + right)) continue;
          merges.push([left, right]);
          known.add(left + right);
        }
        const vocab = Object.fromEntries(['<unk>', ...known].map((piece, id) => [piece, id]));
        const tokenizer = small({}, { vocab, merges, unk_token: '<unk>', fuse_unk: true });
        const wanted = naive(word, merges).map((piece) => vocab[piece] ?? 0);
        expect(tokenizer.encode(word.join(''))).toEqual(wanted.filter((id, i) => id !== 0 || wanted[i - 1] !== 0));
      }),
      { numRuns: 400 },
    );
  });
});

/** Apply the best-ranked pair, leftmost first, until none is left. */
function naive(chars: readonly string[], merges: readonly (readonly [string, string])[]): string[] {
  const symbols = [...chars];
  for (;;) {
    let best = Infinity;
    let at = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const rank = merges.findIndex(([left, right]) => left === symbols[i] && right === symbols[i + 1]);
      if (rank >= 0 && rank < best) {
        best = rank;
        at = i;
      }
    }
    if (at < 0) return symbols;
    symbols.splice(at, 2, symbols[at] + symbols[at + 1]);
  }
}

describe('what is not supported is refused by name', () => {
  it.each([
    [{ normalizer: { type: 'Precompiled', precompiled_charsmap: '' } }, /normalizer: "Precompiled" is not supported; supported: Sequence, /],
    [{ normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Nmt' }] } }, /normalizer.normalizers\[1\]: "Nmt" is not supported/],
    [{ pre_tokenizer: { type: 'BertPreTokenizer' } }, /pre_tokenizer: "BertPreTokenizer" is not supported/],
    [{ pre_tokenizer: { type: 'Split', pattern: { Regex: '(?R)' }, behavior: 'Isolated' } }, /pattern "\(\?R\)": the group \(\?R\)/],
    [{ pre_tokenizer: { type: 'Split', pattern: { Regex: 'a' }, behavior: 'Odd' } }, /pre_tokenizer.behavior: "Odd" is not supported/],
    [{ decoder: { type: 'WordPiece' } }, /decoder: "WordPiece" is not supported/],
    [{ post_processor: { type: 'Odd' } }, /post_processor: "Odd" is not supported/],
    [{ model: { type: 'Unigram', vocab: [] } }, /model: "Unigram" is not supported; supported: BPE/],
    [{ model: { type: 'BPE', vocab: {}, merges: [], dropout: 0.1 } }, /model.dropout: 0.1 is not supported/],
    [{ model: { type: 'BPE', vocab: { a: -1 }, merges: [] } }, /model.vocab\["a"\]: wanted an integer >= 0, found -1/],
    [{ model: { type: 'BPE', vocab: { a: 2e9 }, merges: [] } }, /the greatest id is 2000000000; ids may go to 16777215/],
    [{ model: { type: 'BPE', vocab: {}, merges: [], unk_token: '?' } }, /model.unk_token "\?" is not in model.vocab/],
    [{ added_tokens: [{ id: 1 }] }, /added_tokens\[0\].content: wanted a string, found nothing/],
    [{ model: undefined }, /model: wanted an object, found nothing/],
  ])('%j', (change, message) => {
    expect(() => small(change)).toThrow(message);
  });
});

describe('a damaged file', () => {
  it('is read or refused with a typed error, whatever was changed', () => {
    const text = JSON.stringify({ ...read('hf-odd'), added_tokens: [{ id: 3, content: 'x', special: true }] });
    const other = fc.constantFrom<unknown>(null, 0, -1, 1.5, '', 'x', [], {}, true, [[]], 'Regex', '(', { type: 'NFC' }, { Regex: '[' });
    let survived = 0;
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(60), other), { minLength: 1, maxLength: 3 }), (edits) => {
        // The long lists stay as they are: their entries would drown the rest.
        const places: (readonly [Record<string, unknown>, string])[] = [];
        const root = JSON.parse(text, function walk(this: Record<string, unknown>, key: string, value: unknown): unknown {
          if (key !== '' && !Array.isArray(this) && !/^\P{L}*$|^.{0,3}$/u.test(key)) places.push([this, key]);
          return value;
        }) as unknown;
        const named = places.filter(([, key]) => /^[a-z_]{4,}$|Regex|String/.test(key)).slice(-60);
        for (const [at, value] of edits) {
          const [holder, key] = named[at % named.length];
          holder[key] = value;
        }
        try {
          const tokenizer = new JsonTokenizer(root, { source });
          tokenizer.decode(tokenizer.encode('the river 小船 x', { allowSpecial: true }));
          survived++;
        } catch (error) {
          expect(isScionError(error), String(error)).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
    expect(survived).toBeGreaterThan(0);
  });

  it('may not nest without end', () => {
    let normalizer: unknown = { type: 'NFC' };
    for (let i = 0; i < 1e5; i++) normalizer = { type: 'Sequence', normalizers: [normalizer] };
    expect(() => small({ normalizer })).toThrow(/normalizer: nested more than 64 deep/);
  });
});

describe('ids', () => {
  it('without an entry say nothing when decoded, and have no piece', () => {
    const tokenizer = small({ added_tokens: [{ id: 9, content: '<end>', special: true }], decoder: { type: 'Fuse' } });
    expect(tokenizer.vocabSize).toBe(10);
    expect(tokenizer.decode([0, 7, 1])).toBe('ab');
    expect(tokenizer.decode([0, 9])).toBe('a');
    expect(tokenizer.decode([0, 9], { skipSpecial: false })).toBe('a<end>');
    expect(() => tokenizer.pieceOf(7)).toThrow(/id 7 has no entry in the vocabulary: ids go from 0 to 9/);
    expect(() => tokenizer.decode([-1])).toThrow(/-1 is not an id/);
    expect(tokenizer.pieceOf(4)).toBe('abc');
    expect(tokenizer.idOf('abc')).toBe(4);
    expect(tokenizer.idOf('zzz')).toBe(null);
  });
});
