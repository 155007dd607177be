/**
 * Counter-based random numbers: Philox 4x32 with 10 rounds (Salmon et al., SC 2011), the same
 * bits here and in `kernels/lib/philox.wgsl`. A stream is (seed, stream); a value is addressed by
 * its counter, so any part of a sequence can be made again without making what precedes it.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High word of a 32 x 32 product without BigInt (16-bit limbs). */
function mulHi(a: number, b: number): number {
  const ah = a >>> 16;
  const al = a & 0xffff;
  const bh = b >>> 16;
  const bl = b & 0xffff;
  const low = al * bl;
  const mid1 = ah * bl + (low >>> 16);
  const mid2 = al * bh + (mid1 % 0x10000);
  return (ah * bh + Math.floor(mid1 / 0x10000) + Math.floor(mid2 / 0x10000)) >>> 0;
}

/** Four u32 for a counter (c0, c1, c2, c3) under a key (k0, k1). */
export function philox(c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): [number, number, number, number] {
  let a = c0 >>> 0;
  let b = c1 >>> 0;
  let c = c2 >>> 0;
  let d = c3 >>> 0;
  let x = k0 >>> 0;
  let y = k1 >>> 0;
  for (let round = 0; round < 10; round++) {
    const hi0 = mulHi(M0, a);
    const lo0 = Math.imul(M0, a) >>> 0;
    const hi1 = mulHi(M1, c);
    const lo1 = Math.imul(M1, c) >>> 0;
    a = (hi1 ^ b ^ x) >>> 0;
    b = lo1;
    c = (hi0 ^ d ^ y) >>> 0;
    d = lo0;
    x = (x + W0) >>> 0;
    y = (y + W1) >>> 0;
  }
  return [a, b, c, d];
}

/** A sequential view of one Philox stream; `state()` is all that a checkpoint must keep. */
export class Random {
  readonly seed: number;
  readonly stream: number;
  private counter = 0;
  private buffered: number[] = [];

  constructor(seed: number, stream = 0, counter = 0) {
    this.seed = seed >>> 0;
    this.stream = stream >>> 0;
    this.counter = counter;
  }

  /** A uniform u32. */
  u32(): number {
    if (this.buffered.length === 0) {
      const low = this.counter % 0x100000000;
      const high = Math.floor(this.counter / 0x100000000);
      this.buffered = philox(low, high, 0, 0, this.seed, this.stream);
      this.counter++;
    }
    return this.buffered.shift() as number;
  }

  /** A uniform number in [0, 1) with 32 random bits. */
  uniform(): number {
    return this.u32() / 0x100000000;
  }

  /** A uniform integer in [0, n), n <= 2^32, without modulo bias. */
  below(n: number): number {
    const limit = Math.floor(0x100000000 / n) * n;
    for (;;) {
      const x = this.u32();
      if (x < limit) return x % n;
    }
  }

  /** A standard normal number (Box-Muller, one of the pair). */
  normal(): number {
    const u = (this.u32() + 0.5) / 0x100000000;
    const v = this.u32() / 0x100000000;
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  }

  /** Shuffles in place (Fisher-Yates). */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i];
      items[i] = items[j];
      items[j] = held;
    }
    return items;
  }

  /** What is needed to continue exactly: counter of the next block and what is left of the current one. */
  state(): { seed: number; stream: number; counter: number; buffered: number[] } {
    return { seed: this.seed, stream: this.stream, counter: this.counter, buffered: [...this.buffered] };
  }

  /** Continues where `state()` was taken. */
  static restore(state: { seed: number; stream: number; counter: number; buffered: number[] }): Random {
    const random = new Random(state.seed, state.stream, state.counter);
    random.buffered = [...state.buffered];
    return random;
  }
}
