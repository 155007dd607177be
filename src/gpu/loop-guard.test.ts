/** The loop guard on a text with every kind of loop: each is counted, and nothing else changes. */
import { describe, expect, test } from 'vitest';
import { GUARD, guardLoops } from './loop-guard.ts';

const KERNEL = `// for the reader: while this is a comment, it stays
@compute @workgroup_size(64)
fn main() {
  for (var i = 0u; i < 4u; i++) {
    while (i < 3u) { i++; }
  }
  loop {
    break;
  }
}
`;

describe('guardLoops', () => {
  const guarded = guardLoops(KERNEL, 100);
  test('counts every loop, in a variable of its own beside it', () => {
    expect(guarded.match(/var scion_rounds_\d+ = 0u;/g)).toEqual(['var scion_rounds_0 = 0u;', 'var scion_rounds_1 = 0u;', 'var scion_rounds_2 = 0u;']);
    expect(guarded).toContain(
      `var scion_rounds_1 = 0u; while (i < 3u) { scion_rounds_1++; if (scion_rounds_1 > 100u) { atomicStore(&${GUARD}, 1u); break; } i++; }`,
    );
  });
  test('leaves lines where they are, and comments as they are', () => {
    expect(guarded.split('\n').slice(0, 2)).toEqual(KERNEL.split('\n').slice(0, 2));
    expect(guarded.split('\n').findIndex((line) => line.includes('loop {'))).toBe(KERNEL.split('\n').findIndex((line) => line.includes('loop {')));
  });
  test('a text without loops stays the same', () => {
    expect(guardLoops('fn main() {} // for nothing', 5)).toBe('fn main() {} // for nothing');
  });
});
