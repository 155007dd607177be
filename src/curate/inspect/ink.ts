/**
 * Lines for a terminal: text of strangers made safe, wrapped to a width in which Chinese characters count two, with colours only
 * where someone asked for them. Without colours, marks in plain characters say the same.
 */
import { visible } from '../../base/markup.ts';
import { type DiffPart, unitsOf } from '../report/diff.ts';

export type Style = 'plain' | 'bold' | 'soft' | 'gone' | 'new' | 'alarm' | 'warn' | 'good';

/** A stretch of text in one style. The text is safe already. */
export interface Span {
  readonly text: string;
  readonly style: Style;
}

export interface Paper {
  /** Columns; at least 20. */
  readonly width: number;
  readonly colour: boolean;
}

const CODES: Readonly<Record<Style, string>> = { plain: '', bold: '1', soft: '2', gone: '31;4', new: '32;4', alarm: '1;31', warn: '33', good: '32' };

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const NONE = /^[\p{Mn}\p{Me}]$/u;

/** Columns of a terminal that a text takes, as far as that can be known. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += NONE.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}

/** Text of strangers on one line. */
export const oneLine = (text: string): string => visible(text).replace(/\n/g, '⏎').replace(/\t/g, ' ');
/** Text of strangers with its lines. */
export const lines = (text: string): string => visible(text).replace(/\t/g, '    ');

const painted = ({ text, style }: Span, colour: boolean): string =>
  colour && CODES[style] !== '' && text !== '' ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;

/** Spans as one line. */
export const lineOf = (spans: readonly Span[], colour: boolean): string => spans.map((span) => painted(span, colour)).join('');

/** Breaks spans into lines of at most `width` columns: at line feeds, else at blanks and beside Chinese characters, else inside a word. */
export function wrap(spans: readonly Span[], width: number): Span[][] {
  const out: Span[][] = [[]];
  let used = 0;
  /** What no line may break in, in whatever styles. */
  let word: Span[] = [];
  let wordColumns = 0;
  const put = (text: string, style: Style): void => {
    const line = out[out.length - 1];
    const last = line[line.length - 1];
    if (last?.style === style) line[line.length - 1] = { text: last.text + text, style };
    else line.push({ text, style });
    used += columnsOf(text);
  };
  const feed = (): void => {
    out.push([]);
    used = 0;
  };
  const endWord = (): void => {
    if (used + wordColumns > width && used > 0) feed();
    for (const { text, style } of word) {
      if (wordColumns <= width) put(text, style);
      else {
        for (const character of text) {
          if (used + columnsOf(character) > width) feed();
          put(character, style);
        }
      }
    }
    word = [];
    wordColumns = 0;
  };
  for (const { text, style } of spans) {
    for (const unit of unitsOf(text).flatMap((one) => (one.includes('\n') ? one.split(/(\n)/) : [one]))) {
      if (unit === '') continue;
      const blank = unit.trim() === '';
      if (blank || WIDE.test(unit)) endWord();
      if (unit === '\n') feed();
      else if (blank) {
        // A blank that does not fit is what the line breaks at.
        if (used + columnsOf(unit) <= width) put(unit, style);
        else feed();
      } else {
        word.push({ text: unit, style });
        wordColumns += columnsOf(unit);
        if (WIDE.test(unit)) endWord();
      }
    }
  }
  endWord();
  return out;
}

/** A block of text under a heading. */
export function block(spans: readonly Span[], paper: Paper, indent = '  '): string[] {
  return wrap(spans, Math.max(10, paper.width - indent.length)).map((line) => `${indent}${lineOf(line, paper.colour)}`.trimEnd());
}

/** Two texts beside each other, or one below the other where there is no room. */
export function columns(left: readonly Span[], right: readonly Span[], paper: Paper): string[] {
  const half = Math.floor((paper.width - 5) / 2);
  if (half < 36) return [...block(left, paper, '  < '), ...block(right, paper, '  > ')];
  const a = wrap(left, half);
  const b = wrap(right, half);
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
    const one = a[i] ?? [];
    const gap = ' '.repeat(Math.max(0, half - columnsOf(one.map(({ text }) => text).join(''))));
    return `  ${lineOf(one, paper.colour)}${gap} │ ${lineOf(b[i] ?? [], paper.colour)}`.trimEnd();
  });
}

/** One side of a difference. Without colours `[-…-]` is only here on the left, `{+…+}` only on the right. */
export function sideOf(parts: readonly DiffPart[], side: 'a' | 'b', colour: boolean): Span[] {
  const [open, close, style] = side === 'a' ? (['[-', '-]', 'gone'] as const) : (['{+', '+}', 'new'] as const);
  return parts
    .filter(({ kind }) => kind === 'both' || kind === side)
    .map(({ kind, text }) => {
      const safe = lines(text);
      return kind === 'both' ? { text: safe, style: 'plain' } : { text: colour ? safe : `${open}${safe}${close}`, style };
    });
}
