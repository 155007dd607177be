/**
 * A byte n-gram language model, the baseline that a trained model has to beat on the same split.
 * Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, "An Empirical Study of Smoothing
 * Techniques for Language Modeling", section 3): of the classic back-off models the strongest, so that
 * beating it means something. It trades memory (one map entry an n-gram) for an exact, simple model;
 * meant for megabytes, not gigabytes.
 */
import { ScionError } from '../base/errors.ts';

/** Symbols 0..255 are bytes; END closes a text; START stands before it and is never predicted. */
const END = 256;
const START = 257;
/** Predictable symbols: the bytes and END. */
const PREDICTABLE = 257;
/** Radix of the numbers that stand for n-grams; RADIX^6 < 2^53, which bounds the order. */
const RADIX = 259;

/** What follows one context. */
interface Following {
  /** Sum of the (adjusted) counts. */
  total: number;
  /** Successors whose count is 1, 2, or more. */
  n1: number;
  n2: number;
  n3: number;
}

/** One order: adjusted counts by n-gram, sums by context, and the three discounts. */
interface Level {
  readonly counts: Map<number, number>;
  readonly contexts: Map<number, Following>;
  /** Discount for counts 0 (none), 1, 2, 3 or more. */
  discounts: readonly [number, number, number, number];
}

/** An n-gram as a number; each symbol is shifted by one so that lengths differ too. */
function keyOf(symbols: ArrayLike<number>, from: number, to: number): number {
  let key = 0;
  for (let i = from; i < to; i++) key = key * RADIX + symbols[i] + 1;
  return key;
}

/** Chen and Goodman's estimate from counts of counts; 0.5, 1 and 1.5 where there are too few to estimate from. */
function discountsOf(counts: Map<number, number>): [number, number, number, number] {
  const n = [0, 0, 0, 0, 0];
  for (const count of counts.values()) if (count <= 4) n[count]++;
  if (n[1] === 0 || n[2] === 0 || n[3] === 0) return [0, 0.5, 1, 1.5];
  const y = n[1] / (n[1] + 2 * n[2]);
  const clamp = (d: number, count: number) => Math.min(Math.max(d, 0), count);
  return [0, clamp(1 - (2 * y * n[2]) / n[1], 1), clamp(2 - (3 * y * n[3]) / n[2], 2), clamp(3 - (4 * y * n[4]) / n[3], 3)];
}

/** An order-n model over bytes: each byte is predicted from the n - 1 before it. */
export class ByteNgram {
  readonly order: number;
  private readonly levels: Level[];

  private constructor(order: number, levels: Level[]) {
    this.order = order;
    this.levels = levels;
  }

  /**
   * Counts the UTF-8 bytes of `texts`. `order` n means n - 1 bytes of context (default 5), 1 to 6.
   * Throws `usage` for another order and `input` when there is no text at all.
   */
  static train(texts: Iterable<string>, order = 5): ByteNgram {
    if (!Number.isInteger(order) || order < 1 || order > 6) throw new ScionError('usage', `n-gram order must be 1 to 6, got ${order}`, { order });
    const raw: Map<number, number>[] = Array.from({ length: order }, () => new Map<number, number>());
    let seen = 0;
    for (const text of texts) {
      const symbols = symbolsOf(text);
      seen++;
      for (let i = 1; i < symbols.length; i++) {
        // Full n-grams, and the shorter ones at a text's start, where nothing longer exists.
        const k = Math.min(order, i + 1);
        const key = keyOf(symbols, i + 1 - k, i + 1);
        raw[k - 1].set(key, (raw[k - 1].get(key) ?? 0) + 1);
      }
    }
    if (seen === 0) throw new ScionError('input', 'an n-gram model needs at least one text, got none', { order });
    // Adjusted counts: below the top order, how many different symbols stand before the n-gram;
    // n-grams that begin with START have none before them and keep their own counts.
    for (let k = order; k >= 2; k--) {
      const below = raw[k - 2];
      const scale = RADIX ** (k - 1);
      for (const key of raw[k - 1].keys()) {
        const shorter = key % scale;
        below.set(shorter, (below.get(shorter) ?? 0) + 1);
      }
    }
    const levels = raw.map((counts): Level => {
      const contexts = new Map<number, Following>();
      for (const [key, count] of counts) {
        const context = Math.floor(key / RADIX);
        let f = contexts.get(context);
        if (f === undefined) {
          f = { total: 0, n1: 0, n2: 0, n3: 0 };
          contexts.set(context, f);
        }
        f.total += count;
        if (count === 1) f.n1++;
        else if (count === 2) f.n2++;
        else f.n3++;
      }
      return { counts, contexts, discounts: discountsOf(counts) };
    });
    return new ByteNgram(order, levels);
  }

  /**
   * P(symbol | context): symbol 0..255 is a byte, 256 the end of the text; `context` holds the bytes
   * before it, all that there are if `fromStart`, else any number of them (the last order - 1 count).
   * For a fixed context the 257 probabilities sum to 1.
   */
  probability(symbol: number, context: ArrayLike<number>, fromStart = true): number {
    const symbols = new Uint16Array(context.length + 2);
    symbols[0] = START;
    symbols.set(context, 1);
    symbols[context.length + 1] = symbol;
    return this.at(symbols, context.length + 1, fromStart ? 0 : 1);
  }

  /**
   * The model as plain tables, one a length k: p_k(symbol | context) = share(context, symbol) + rest(context) * p_{k-1}, keys
   * ascending. A known context without this symbol has share 0; an unknown one ends the climb.
   */
  tables(): { shares: [Float64Array, Float32Array]; rests: [Float64Array, Float32Array] }[] {
    return this.levels.map(({ counts, contexts, discounts }) => {
      const [, d1, d2, d3] = discounts;
      const shareKeys = Float64Array.from(counts.keys()).sort();
      const shares = Float32Array.from(shareKeys, (key) => {
        const count = counts.get(key) ?? 0;
        return (count - discounts[Math.min(count, 3)]) / (contexts.get(Math.floor(key / RADIX))?.total ?? 1);
      });
      const restKeys = Float64Array.from(contexts.keys()).sort();
      const rests = Float32Array.from(restKeys, (key) => {
        const f = contexts.get(key);
        return f ? (d1 * f.n1 + d2 * f.n2 + d3 * f.n3) / f.total : 0;
      });
      return { shares: [shareKeys, shares], rests: [restKeys, rests] };
    });
  }

  /** Number of n-grams kept over all orders. */
  get size(): number {
    return this.levels.reduce((sum, level) => sum + level.counts.size, 0);
  }

  /**
   * Cross-entropy of `texts` in bits a UTF-8 byte. With `end` (default) the end of each text is
   * predicted too, as a model predicts its EOS; its bits are counted, it adds no byte.
   */
  bitsPerByte(texts: Iterable<string>, options: { end?: boolean } = {}): { bits: number; bytes: number; bitsPerByte: number } {
    let bits = 0;
    let bytes = 0;
    for (const text of texts) {
      const symbols = symbolsOf(text);
      const stop = options.end === false ? symbols.length - 1 : symbols.length;
      for (let i = 1; i < stop; i++) bits -= Math.log2(this.at(symbols, i, 0));
      bytes += symbols.length - 2;
    }
    return { bits, bytes, bitsPerByte: bytes === 0 ? 0 : bits / bytes };
  }

  /** P(symbols[i] | what stands before it, not before `first`), from the uniform distribution upwards. */
  private at(symbols: Uint16Array, i: number, first: number): number {
    let p = 1 / PREDICTABLE;
    const longest = Math.min(this.order, i - first + 1);
    for (let k = 1; k <= longest; k++) {
      const level = this.levels[k - 1];
      const context = keyOf(symbols, i + 1 - k, i);
      const f = level.contexts.get(context);
      // A context that was never seen has no longer version that was.
      if (f === undefined) break;
      const count = level.counts.get(context * RADIX + symbols[i] + 1) ?? 0;
      const [, d1, d2, d3] = level.discounts;
      const discount = level.discounts[Math.min(count, 3)];
      p = (count - discount) / f.total + ((d1 * f.n1 + d2 * f.n2 + d3 * f.n3) / f.total) * p;
    }
    return p;
  }
}

const encoder = new TextEncoder();

/** START, the bytes of the text, END. */
function symbolsOf(text: string): Uint16Array {
  const bytes = encoder.encode(text);
  const symbols = new Uint16Array(bytes.length + 2);
  symbols[0] = START;
  symbols.set(bytes, 1);
  symbols[bytes.length + 1] = END;
  return symbols;
}
