/** Messages between ranks: every plain value comes as it went, to the bit; what is not plain is refused. */
import { describe, expect, it } from 'vitest';
import { localRanks } from './local.ts';
import { decodeMessage, encodeMessage, receiveMessage, sendMessage } from './message.ts';

const VALUE = {
  text: 'naïve 世界 \u0000',
  numbers: [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  nothing: [null, undefined, {}, []],
  inner: { a: Uint32Array.of(1, 2 ** 32 - 1), b: [Float32Array.of(-0, Number.NaN, 0.1), new Uint8Array(0)], c: Float64Array.of(Math.PI) },
};

describe('plain values between ranks', () => {
  it('come as they went', () => {
    const found = decodeMessage(encodeMessage(VALUE)) as typeof VALUE;
    expect(found).toEqual(VALUE);
    expect(Object.is(found.numbers[1], -0)).toBe(true);
    expect(Object.is(found.inner.b[0][0], -0)).toBe(true);
    for (const plain of [undefined, null, 7, 'x', false]) expect(decodeMessage(encodeMessage(plain))).toBe(plain);
  });

  it('are the part of a longer array that was given, at any offset', () => {
    const part = Uint8Array.from({ length: 40 }, (_, i) => i).subarray(3, 14);
    expect(decodeMessage(encodeMessage([part, Uint16Array.of(1, 2, 3).subarray(1)]))).toEqual([part.slice(), Uint16Array.of(2, 3)]);
  });

  it('that are not plain are refused', () => {
    for (const wrong of [new Map(), [new Date(0)], { f: () => 1 }, 1n]) expect(() => encodeMessage(wrong)).toThrow('cannot be sent to another rank');
  });

  it('keep their order by tag', async () => {
    const [a, b] = localRanks(2);
    const sent = Promise.all([sendMessage(a, 1, 3, VALUE).then(() => sendMessage(a, 1, 3, 'second')), sendMessage(a, 1, 4, 'other')]);
    expect(await receiveMessage(b, 0, 4)).toBe('other');
    expect(await receiveMessage(b, 0, 3)).toEqual(VALUE);
    expect(await receiveMessage(b, 0, 3)).toBe('second');
    await sent;
  });
});
