/**
 * Paragraphs and lines of a text as spans. What stands in a code fence belongs to none of them: the same example on
 * two pages is no reason to cut it out of the second. Cuts take the white space behind a piece along, so that what is
 * left reads as if the piece had never been there.
 */

/** Three numbers a piece: start, end of its text, start of what follows (behind its line ends and empty lines). */
export type Spans = readonly number[];

const FENCE = /^ {0,3}(```|~~~)/;
const BLANK = /^\s*$/;

/** The pieces of `text` outside fences, in order. A paragraph ends at an empty line; a paragraph with a fence in it is code. */
export function piecesOf(text: string, kind: 'paragraph' | 'line'): Spans {
  const spans: number[] = [];
  let fence = '';
  // Start of the paragraph that is being read, -1 between paragraphs.
  let start = -1;
  let end = 0;
  let code = false;
  const close = (next: number): void => {
    if (start >= 0 && !code) spans.push(start, end, next);
    start = -1;
  };
  let open = false;
  for (let at = 0; at < text.length; ) {
    const feed = text.indexOf('\n', at);
    const stop = feed < 0 ? text.length : feed;
    const next = feed < 0 ? text.length : feed + 1;
    const line = text.slice(at, stop);
    const mark = FENCE.exec(line)?.[1] ?? '';
    const fenced = fence !== '' || mark !== '';
    if (mark !== '') fence = fence === '' ? mark : fence === mark ? '' : fence;
    const blank = BLANK.test(line);
    if (kind === 'line') {
      if (!fenced && !blank) spans.push(at, stop, next);
    } else if (blank && fence === '') {
      if (start >= 0) {
        close(next);
        open = !code;
      } else if (open) spans[spans.length - 1] = next;
    } else {
      if (start < 0) {
        start = at;
        code = false;
      }
      open = false;
      code ||= fenced;
      end = stop;
    }
    at = next;
  }
  close(text.length);
  return spans;
}

/** `text` without the spans (start, end; ascending, apart). */
export function cutSpans(text: string, spans: readonly (readonly [number, number])[]): string {
  let out = '';
  let at = 0;
  for (const [start, end] of spans) {
    out += text.slice(at, start);
    at = end;
  }
  // Behind a cut at the very end, the space in front of it has lost its purpose.
  return at >= text.length && spans.length > 0 ? out.replace(/\s+$/, '') : out + text.slice(at);
}

/** Spans in order, joined where they touch or overlap. */
export function joinSpans(spans: (readonly [number, number])[]): [number, number][] {
  const out: [number, number][] = [];
  for (const [start, end] of [...spans].sort((x, y) => x[0] - y[0] || x[1] - y[1])) {
    const last = out[out.length - 1];
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end);
    else out.push([start, end]);
  }
  return out;
}
