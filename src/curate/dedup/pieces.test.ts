/** Spans of paragraphs and lines, and what is left when some are cut. */
import { describe, expect, it } from 'vitest';
import { cutSpans, joinSpans, piecesOf } from './pieces.ts';

function pieces(text: string, kind: 'paragraph' | 'line'): string[] {
  const spans = piecesOf(text, kind);
  return Array.from({ length: spans.length / 3 }, (_, i) => text.slice(spans[3 * i], spans[3 * i + 1]));
}

const cut = (text: string, which: number[], kind: 'paragraph' | 'line' = 'paragraph'): string => {
  const spans = piecesOf(text, kind);
  return cutSpans(text, joinSpans(which.map((p) => [spans[3 * p], spans[3 * p + 2]] as const)));
};

describe('piecesOf', () => {
  it('parts at empty lines, lines of spaces included', () => {
    expect(pieces('\n\na\nb\n\n \t\nc', 'paragraph')).toEqual(['a\nb', 'c']);
    expect(pieces('a\nb\n\n \nc\n', 'line')).toEqual(['a', 'b', 'c']);
    expect(pieces('', 'paragraph')).toEqual([]);
    expect(pieces('\n \n', 'line')).toEqual([]);
  });

  it('leaves out what a fence holds, also without an end', () => {
    const text = 'a\n\n```js\nx\n\ny\n```\n\nb\n\n~~~\nz\n```\n\nq';
    expect(pieces(text, 'paragraph')).toEqual(['a', 'b']);
    expect(pieces(text, 'line')).toEqual(['a', 'b']);
    expect(pieces('a\n```\nx\n```\nb\n\nc', 'paragraph')).toEqual(['c']);
  });
});

describe('cuts', () => {
  const text = 'one\n\ntwo\ntwo\n\n\nthree\n\nfour\n';
  it('leaves the rest as if the piece had not been there', () => {
    expect(cut(text, [0])).toBe('two\ntwo\n\n\nthree\n\nfour\n');
    expect(cut(text, [1])).toBe('one\n\nthree\n\nfour\n');
    expect(cut(text, [1, 2])).toBe('one\n\nfour\n');
    expect(cut(text, [3])).toBe('one\n\ntwo\ntwo\n\n\nthree');
    expect(cut(text, [0, 1, 2, 3])).toBe('');
    expect(cut('a\nb\nc', [1], 'line')).toBe('a\nc');
  });

  it('joins spans that touch or overlap', () => {
    expect(
      joinSpans([
        [5, 9],
        [0, 3],
        [3, 4],
        [6, 7],
      ]),
    ).toEqual([
      [0, 4],
      [5, 9],
    ]);
    expect(cutSpans('abc', [])).toBe('abc');
  });
});
