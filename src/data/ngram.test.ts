/**
 * The n-gram model against a second one written from the definition: it keeps every n-gram as a list,
 * finds counts by scanning the training text and recurses downwards. Same numbers, no shared code.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isScionError } from '../base/errors.ts';
import { ByteNgram } from './ngram.ts';

/** Brute force: interpolated modified Kneser-Ney by scanning. Symbols are numbers, n-grams are strings like "257,97". */
class Brute {
  private readonly texts: number[][];
  private readonly order: number;

  constructor(texts: string[], order: number) {
    this.texts = texts.map((t) => [257, ...Buffer.from(t), 256]);
    this.order = order;
  }

  /** Occurrences of an n-gram in the training texts. */
  private occurrences(gram: number[]): number {
    let n = 0;
    for (const t of this.texts) for (let i = 0; i + gram.length <= t.length; i++) if (gram.every((s, j) => t[i + j] === s)) n++;
    return n;
  }

  /** The adjusted count of Kneser-Ney. */
  adjusted(gram: number[]): number {
    if (gram.length === this.order || gram[0] === 257) return this.occurrences(gram);
    const before = new Set<number>();
    for (const t of this.texts) for (let i = 1; i + gram.length <= t.length; i++) if (gram.every((s, j) => t[i + j] === s)) before.add(t[i - 1]);
    return before.size;
  }

  /** Every distinct k-gram that ends in a predictable symbol. */
  private grams(k: number): number[][] {
    const found = new Map<string, number[]>();
    for (const t of this.texts) {
      for (let i = 0; i + k <= t.length; i++) {
        const gram = t.slice(i, i + k);
        if (gram[k - 1] !== 257) found.set(gram.join(), gram);
      }
    }
    return [...found.values()];
  }

  private readonly discountMemo = new Map<number, number[]>();
  discounts(k: number): number[] {
    const known = this.discountMemo.get(k);
    if (known) return known;
    const n = [0, 0, 0, 0, 0];
    for (const gram of this.grams(k)) {
      const c = this.adjusted(gram);
      if (c <= 4) n[c]++;
    }
    let d = [0, 0.5, 1, 1.5];
    if (n[1] && n[2] && n[3]) {
      const y = n[1] / (n[1] + 2 * n[2]);
      d = [0, 1 - 2 * y * (n[2] / n[1]), 2 - 3 * y * (n[3] / n[2]), 3 - 4 * y * (n[4] / n[3])].map((x, i) => Math.min(Math.max(x, 0), i));
    }
    this.discountMemo.set(k, d);
    return d;
  }

  probability(symbol: number, context: number[]): number {
    const kept = context.slice(Math.max(0, context.length - (this.order - 1)));
    const lower = kept.length > 0 ? () => this.probability(symbol, kept.slice(1)) : () => 1 / 257;
    const counts = new Map<number, number>();
    for (let s = 0; s <= 256; s++) {
      const c = this.adjusted([...kept, s]);
      if (c > 0) counts.set(s, c);
    }
    if (counts.size === 0) return lower();
    const total = [...counts.values()].reduce((a, b) => a + b, 0);
    const d = this.discounts(kept.length + 1);
    const mass = [...counts.values()].reduce((a, c) => a + d[Math.min(c, 3)], 0);
    const c = counts.get(symbol) ?? 0;
    return (c - d[Math.min(c, 3)]) / total + (mass / total) * lower();
  }
}

const words = fc.array(fc.constantFrom('a', 'b', 'ab', 'c ', '中', 'é'), { maxLength: 12 }).map((list) => list.join(''));

describe('ByteNgram', () => {
  it('equals the brute-force model', () => {
    fc.assert(
      fc.property(fc.array(words, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 5 }), words, (texts, order, probe) => {
        const fast = ByteNgram.train(texts, order);
        const slow = new Brute(texts, order);
        const symbols = [...Buffer.from(probe).subarray(0, 12)];
        for (let i = 0; i <= symbols.length; i++) {
          const next = i < symbols.length ? symbols[i] : 256;
          const a = fast.probability(next, symbols.slice(0, i));
          const b = slow.probability(next, [257, ...symbols.slice(0, i)]);
          // Both are a dozen float64 operations on numbers in [0, 1].
          expect(Math.abs(a - b)).toBeLessThan(1e-12);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('equals it where all discounts are estimated from counts of counts', () => {
    const texts = Array.from({ length: 9 }, (_, i) => `the ${'abcde'[i % 5]}at ${'mno'[i % 3]}et the ${'xyz'[(i * 2) % 3]}ot in ${'pqrstuvwx'[i]}arn`);
    const fast = ByteNgram.train(texts, 3);
    const slow = new Brute(texts, 3);
    for (const k of [1, 2, 3]) expect(slow.discounts(k), `order ${k} falls back`).not.toEqual([0, 0.5, 1, 1.5]);
    for (const context of ['', 'th', 'e ', 'at', 'qa', 'zz']) {
      for (const symbol of [...Buffer.from('the qz'), 256]) {
        const a = fast.probability(symbol, Buffer.from(context));
        // As above: a dozen float64 operations.
        expect(Math.abs(a - slow.probability(symbol, [257, ...Buffer.from(context)]))).toBeLessThan(1e-12);
      }
    }
  });

  it('sums to one over bytes and end for seen and unseen contexts', () => {
    const model = ByteNgram.train(['the cat sat on the mat', 'the dog sat on the log', '猫坐在垫子上', ''], 5);
    for (const context of ['', 't', 'the ', 'the c', 'zzzz', '猫坐', 'sat on the ']) {
      for (const fromStart of [true, false]) {
        const bytes = Buffer.from(context);
        let sum = 0;
        for (let s = 0; s < 257; s++) {
          const p = model.probability(s, bytes, fromStart);
          expect(p).toBeGreaterThan(0);
          sum += p;
        }
        // 257 float64 additions of numbers below 1.
        expect(Math.abs(sum - 1)).toBeLessThan(1e-12);
      }
    }
  });

  it('adds up bits per byte from its probabilities, with and without the end', () => {
    const model = ByteNgram.train(['abracadabra', 'abrakadabra'], 4);
    const text = 'abraca中';
    const bytes = [...Buffer.from(text)];
    let bits = 0;
    bytes.forEach((b, i) => {
      bits -= Math.log2(model.probability(b, bytes.slice(0, i)));
    });
    const plain = model.bitsPerByte([text], { end: false });
    expect(plain.bytes).toBe(9);
    expect(plain.bits).toBeCloseTo(bits, 9);
    const ended = model.bitsPerByte([text]);
    expect(ended.bits).toBeCloseTo(bits - Math.log2(model.probability(256, bytes)), 9);
    expect(ended.bitsPerByte).toBeCloseTo(ended.bits / 9, 12);
  });

  it('learns: a repeated text costs far less than a foreign one, and longer contexts help', () => {
    const train = Array.from({ length: 60 }, (_, i) => `The capital of country ${i % 12} is town ${i % 12}.`);
    const held = ['The capital of country 3 is town 3.'];
    const by = [1, 3, 5].map((order) => ByteNgram.train(train, order).bitsPerByte(held).bitsPerByte);
    expect(by[0]).toBeGreaterThan(by[1]);
    expect(by[1]).toBeGreaterThan(by[2]);
    expect(ByteNgram.train(train).bitsPerByte(['Zürich 完全不同']).bitsPerByte).toBeGreaterThan(8);
    expect(ByteNgram.train(train).bitsPerByte([]).bitsPerByte).toBe(0);
  });

  it('refuses orders it cannot hold and an empty collection', () => {
    for (const order of [0, 7, 2.5]) expect(() => ByteNgram.train(['a'], order)).toThrow(new RegExp(`got ${order}`));
    let caught: unknown;
    try {
      ByteNgram.train([]);
    } catch (error) {
      caught = error;
    }
    expect(isScionError(caught, 'input')).toBe(true);
  });
});
