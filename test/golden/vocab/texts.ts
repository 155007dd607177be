/**
 * Texts drawn by number: the same in TypeScript and in texts.py, so that fixtures need to hold no text at all.
 */

/** mulberry32: numbers from 0 to n - 1, below 2^20. */
export function dice(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= (t + Math.imul(t ^ (t >>> 7), t | 61)) | 0;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) * n) / 2 ** 32);
  };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

// Code points, so that no tool folds, strips or normalises them.
const SIGNS = [
  ...[...range(0x61, 0x6b), 0x72, 0x73, 0x74, ...range(0x30, 0x35), 0x20, 0x20, 0x20, 0x2581, 0x2581, 0x0a, 0x09, 0x0d, 0x00, 0x2c, 0x2e, 0x3a, 0x2d],
  ...[0x3d, 0x2a, 0x23, 0x22, 0x27, 0x28, 0x29, 0x7684, 0x4e00, 0x662f, 0x4e0d, 0x4e2d, 0x56fd, 0x5927, 0x4eba, 0x9f98, 0x9750, 0x56e7, 0xd55c],
  ...[0x0416, 0x00e9, 0x0301, 0x00a0, 0x3000, 0xff0c, 0x3002, 0x201c, 0x201d, 0x2026, 0x2014, 0x20000, 0x2a6a5, 0xfeff, 0xfffd, 0x7f, 0xfb01],
  ...[0xff21, 0x05d0, 0x0627, 0x0e01, 0x2028, 0x1f600, 0x200d, 0xfe0f, 0x1f468, 0x10ffff, 0xe000],
].map((point) => String.fromCodePoint(point));
const RUNS = ['-', '=', ' ', '\u2581', 'a', '\u54c8', '\n', '.', '_', '*', 'ab', '\t', '#', '\u54c8\u54c8', '0', '/'];
const FAMILY = '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}';
const MARKS = ['<s>', '</s>', '<unk>', '<|im_start|>', '<|im_end|>', '<0x0A>', '[PAD600]', ' ', 'x', '\u4e2d\u56fd', ' \u4e2d', '\n', FAMILY];
const LENGTHS = [1, 2, 3, 5, 9, 17, 40, 100];
const FIRST = ['', ' ', '  ', '\u2581', '\n', '\0'];

type Dice = (n: number) => number;
/** A text as its characters, for slices by code point. */
export type Characters = readonly string[];

const repeat = (count: number, make: () => string): string => Array.from({ length: count }, make).join('');

function fuzz(next: Dice): string {
  return repeat(LENGTHS[next(LENGTHS.length)], () => SIGNS[next(SIGNS.length)]);
}

function part(next: Dice, documents: readonly (readonly Characters[])[]): string {
  const corpus = documents[next(documents.length)];
  const document = corpus[next(corpus.length)];
  const start = next(Math.max(1, document.length));
  return document.slice(start, start + 4 * LENGTHS[next(LENGTHS.length)]).join('');
}

/** Text `number`; see texts.py. */
export function text(number: number, pieces: readonly string[], documents: readonly (readonly Characters[])[]): string {
  const next = dice(number);
  const kind = next(100);
  const slices = documents.length > 0;
  if (number < FIRST.length) return FIRST[number];
  if (kind < 40 && slices) return part(next, documents);
  if (kind < 65) return fuzz(next);
  if (kind < 80) {
    return repeat(1 + next(12), () => (next(5) > 0 ? pieces[next(pieces.length)].replaceAll('\u2581', ' ') : SIGNS[next(SIGNS.length)]));
  }
  if (kind < 88) {
    return repeat(1 + next(10), () => {
      const piece = [...pieces[next(pieces.length)]];
      const start = next(piece.length);
      return piece.slice(start, start + 1 + next(piece.length)).join('');
    });
  }
  if (kind < 93) return repeat(1 + next(3), () => RUNS[next(RUNS.length)].repeat(1 + next(70)));
  if (kind < 97) return repeat(1 + next(8), () => MARKS[next(MARKS.length)]);
  const head = slices ? part(next, documents) : fuzz(next);
  return head + fuzz(next);
}
