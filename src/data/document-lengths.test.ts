/** Lengths per token against the pieces that rows were packed from: neighbours, padding, borders of rows, windows of one document. */
import { expect, test } from 'vitest';
import { documentLengths } from './document-lengths.ts';
import { collate } from './loader.ts';
import { emptyPack, fillPack } from './pack.ts';

const T = 9;
const row = (lengths: readonly number[], window = 0) =>
  fillPack(
    lengths.map((n) => ({ tokens: Uint32Array.from({ length: n }, () => 5), next: 7 })),
    T,
    0,
    window,
  );

test.each([0, 2])('each token gets its own document’s length, padding 0, window %i', (window) => {
  const rows = [[4, 1, 3], [9], [], [1, 1, 1], [2, 7], [8]];
  const batch = collate([...rows.map((lengths) => (lengths.length > 0 ? row(lengths, window) : emptyPack(T, 0)))]);
  const wanted = rows.flatMap((lengths) => {
    const own = lengths.flatMap((n) => new Array<number>(n).fill(n));
    return [...own, ...new Array<number>(T - own.length).fill(0)];
  });
  expect([...documentLengths(batch, T)]).toEqual(wanted);
});
