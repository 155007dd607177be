/** The mixer against the reference implementation's results (fmix32 of smhasher's MurmurHash3.cpp, compiled). */
import { expect, it } from 'vitest';
import { mix32 } from './mix.ts';

it('is fmix32', () => {
  const known: [number, number][] = [
    [0x0, 0x0],
    [0x1, 0x514e28b7],
    [0x2, 0x30f4c306],
    [0x7fffffff, 0xf9cc0ea8],
    [0x80000000, 0x6d3c65a0],
    [0xffffffff, 0x81f16f39],
    [0xdeadbeef, 0xde5c6a9],
    [0x75bcd15, 0xba60d89a],
  ];
  for (const [h, mixed] of known) {
    expect(mix32(h) >>> 0).toBe(mixed);
    expect(mix32(h | 0)).toBe(mixed | 0);
  }
});
