/**
 * The unigram encoder against the plain loop over a whole text, written down once more here: no chunks, nothing
 * remembered, every sum in the order of the library. The ids must be the same even where rounding decides.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { MODEL, makeSentencePiece, PIECE, type PieceType, parseSentencePiece, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { IdSink } from './id-sink.ts';
import { SentencePieceTokenizer } from './sentencepiece.ts';
import { Unigram } from './unigram.ts';
import { UnitBuffer } from './units.ts';
import { utf8LengthOf } from './utf8.ts';

/** The plain loop. Unknown characters have the id 0. */
class Reference {
  readonly #scoreOf = new Map<string, { id: number; score: number }>();
  readonly #beginnings = new Set<string>();
  readonly #unknown: number;

  constructor({ pieces }: SentencePieceModel) {
    const normal = pieces.filter(({ type }) => type === PIECE.NORMAL).map(({ score }) => Math.fround(score));
    const greatest = normal.reduce((a, b) => Math.max(a, b), 2 ** -126);
    this.#unknown = Math.fround(normal.reduce((a, b) => Math.min(a, b), Infinity) - 10);
    pieces.forEach(({ text, score, type }, id) => {
      if (type !== PIECE.NORMAL && type !== PIECE.USER_DEFINED) return;
      this.#scoreOf.set(text, { id, score: type === PIECE.NORMAL ? Math.fround(score) : Math.fround(utf8LengthOf(text) * greatest) - 0.1 });
      for (let end = 1; end <= text.length; end++) this.#beginnings.add(text.slice(0, end));
    });
  }

  encode(text: string): number[] {
    const best = new Float32Array(text.length + 1);
    const startOf = new Int32Array(text.length + 1).fill(-1);
    const idAt = new Int32Array(text.length + 1);
    for (let start = 0; start < text.length; ) {
      const first = start + ((text.codePointAt(start) as number) > 0xffff ? 2 : 1);
      const take = (end: number, id: number, score: number): void => {
        if (startOf[end] >= 0 && score <= best[end]) return;
        best[end] = score;
        startOf[end] = start;
        idAt[end] = id;
      };
      let single = false;
      for (let end = start + 1; end <= text.length; end++) {
        const stretch = text.slice(start, end);
        if (!this.#beginnings.has(stretch)) break;
        const piece = this.#scoreOf.get(stretch);
        if (piece === undefined) continue;
        take(end, piece.id, piece.score + best[start]);
        if (end === first) single = true;
      }
      if (!single) take(first, 0, Math.fround(this.#unknown + best[start]));
      start = first;
    }
    const ids: number[] = [];
    for (let end = text.length; end > 0; end = startOf[end]) ids.push(idAt[end]);
    return ids.reverse();
  }
}

const marks = [{ text: '<unk>', score: 0, type: PIECE.UNKNOWN as PieceType }];
const noSpaces = { name: 'identity', addDummyPrefix: false, removeExtraWhitespaces: false };
const letters = ['a', 'b', 'c', '\u2581', '中', '国', '😀', '\0', '\ufffd'];
const strange = ['x', '\n', '\ud800', '\udc00', '\u{10fffd}', '\uffff', 'é'];

/** A model over few letters, so that pieces overlap everywhere; many scores tie, nearly or exactly. */
function draw(random: Random): SentencePieceModel {
  const pieces = new Map<string, { score: number; type: PieceType }>();
  const near = 2 ** -(4 + random.below(22));
  const base = random.below(3) === 0 ? 0.5 : 1 + 12 * random.uniform();
  for (let n = 3 + random.below(40); n > 0; n--) {
    const size = 1 + random.below(random.below(3) === 0 ? 7 : 3);
    const text = Array.from({ length: size }, () => letters[random.below(letters.length)]).join('');
    // A piece of k characters is nearly as good as k pieces of one.
    const kind = random.below(3);
    const score = kind === 0 ? -base * size : kind === 1 ? -base * size + (random.below(9) - 4) * near : -20 * random.uniform();
    pieces.set(text, { score: Math.fround(score), type: random.below(25) === 0 ? PIECE.USER_DEFINED : PIECE.NORMAL });
  }
  return makeSentencePiece([...marks, ...[...pieces].map(([text, rest]) => ({ text, ...rest }))], { modelType: MODEL.UNIGRAM }, noSpaces);
}

function write(random: Random, model: SentencePieceModel, size: number): string {
  const parts = Array.from({ length: size }, () => {
    const kind = random.below(10);
    if (kind === 0) return strange[random.below(strange.length)];
    return kind < 5 ? letters[random.below(letters.length)] : (model.pieces[1 + random.below(model.pieces.length - 1)]?.text ?? '');
  });
  return parts.join('').toWellFormed();
}

class Encoder {
  readonly #unigram: Unigram;
  readonly #sink = new IdSink({ unkId: 0, byteIds: null, fuse: false });
  readonly #units = new UnitBuffer();

  constructor(model: SentencePieceModel, cacheWords?: number) {
    this.#unigram = new Unigram(model, cacheWords);
  }

  encode(text: string): number[] {
    this.#unigram.encode(this.#units.fill(text), text.length, this.#sink);
    return this.#sink.take();
  }
}

describe('unigram beside the plain loop', () => {
  it('gives the same ids for 24,000 short texts and 200 long ones over random pieces', () => {
    const random = new Random(20_240);
    const wrong: string[] = [];
    for (let round = 0; round < 200; round++) {
      const model = draw(random);
      const reference = new Reference(model);
      const encoders = [new Encoder(model), new Encoder(model, 3), new Encoder(model, 0)];
      for (let n = 0; n <= 120; n++) {
        // Long texts come last and, as sums grow, ask anew for what short ones left behind.
        const text = write(random, model, n === 120 ? 4000 : random.below(n % 10 === 0 ? 200 : 20));
        const ids = reference.encode(text).join();
        for (const encoder of encoders) if (encoder.encode(text).join() !== ids) wrong.push(`round ${round}, text ${n}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('lets rounding decide in a long text where sums from zero would take another cut', () => {
    // In exact numbers "a", "b" wins by 2^-16; beyond a sum of 256 that is less than half an f32 step, and "ab" came first.
    const scores: readonly (readonly [string, number])[] = [
      ['a', -1],
      ['b', -1],
      ['ab', -2 - 2 ** -16],
      ['y', -1],
    ];
    const model = makeSentencePiece(
      [...marks, ...scores.map(([text, score]) => ({ text, score, type: PIECE.NORMAL as PieceType }))],
      { modelType: MODEL.UNIGRAM },
      noSpaces,
    );
    const encoder = new Encoder(model);
    const reference = new Reference(model);
    expect(encoder.encode('ab')).toEqual([1, 2]);
    const kinds = new Set<string>();
    for (const size of [0, 10, 100, 1000, 10_000, 100_000, 1_000_000]) {
      const text = `${'y'.repeat(size)}ab`;
      const ids = encoder.encode(text);
      expect(ids).toEqual(reference.encode(text));
      kinds.add(ids.slice(size).join());
    }
    expect([...kinds].sort()).toEqual(['1,2', '3']);
  });

  it('takes the scores that no real model has as the plain loop does', () => {
    for (const scale of [1e30, 1e37, 1e-30, 1e-38, 1e-44, 0]) {
      const random = new Random(7);
      const pieces = ['a', 'b', 'c', 'ab', 'bc', 'abc', 'ca', '中国'].map((text) => ({
        text,
        score: -scale * (1 + random.below(4)),
        type: PIECE.NORMAL as PieceType,
      }));
      const model = makeSentencePiece([...marks, ...pieces], { modelType: MODEL.UNIGRAM }, noSpaces);
      const [encoder, reference] = [new Encoder(model), new Reference(model)];
      for (let n = 0; n < 200; n++) {
        const text = write(random, model, n);
        expect(encoder.encode(text)).toEqual(reference.encode(text));
      }
    }
  });

  it.for(['sp-unigram-plain', 'sp-unigram-bare-spaces', 'sp-unigram-unused'])('%s: any text, short and long', (name) => {
    const model = parseSentencePiece(new Uint8Array(readFileSync(join(import.meta.dirname, `../../test/golden/text/${name}.model`))), name);
    const [encoder, reference, random] = [new Encoder(model), new Reference(model), new Random(5)];
    for (let n = 0; n < 1500; n++) {
      const text = write(random, model, n % 100 === 0 ? 5000 : random.below(40));
      expect(encoder.encode(text).join()).toBe(reference.encode(text).join());
    }
  });
});

const data = process.env.SCION_DATA;

describe.skipIf(data === undefined)('a real model on the corpora', () => {
  const folder = join(data ?? '', 'corpora');
  const path = join(data ?? '', 'tokenizers/chinese_sp_20k/chinese_sp.model');

  it('gives the ids of the plain loop over the text as normalised byte by byte', { timeout: 600_000 }, () => {
    const bytes = new Uint8Array(readFileSync(path));
    const model = parseSentencePiece(bytes, 'chinese_sp');
    const tokenizer = new SentencePieceTokenizer(model, { source: { name: 'tokenizer.model', bytes } });
    const reference = new Reference(model);
    const files = readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
    expect(files.length).toBeGreaterThan(10);
    const every = process.env.SCION_TIER === 'full' ? 1 : 4;
    for (const name of files) {
      const texts = readFileSync(join(folder, name), 'utf8')
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { target: string }).target)
        .filter((_, i) => i % every === 0);
      // Each text by itself, and all in one, so that the sums grow large.
      const wrong = [...texts, texts.join('\n')].flatMap((text, i) => {
        const ids = tokenizer.encode(text).join();
        // A run of unknown characters is one id.
        const wanted = reference.encode(tokenizer.normalize(text)).filter((id, at, all) => id !== 0 || all[at - 1] !== 0);
        return ids === wanted.join() ? [] : [i];
      });
      expect([name, wrong]).toEqual([name, []]);
    }
  });
});
