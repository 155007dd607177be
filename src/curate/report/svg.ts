/**
 * Bars, stacked bars and histograms as SVG text. Places are percentages and heights pixels, so that a chart fills whatever
 * width it has and its words keep their size on a phone. Every chart has a title for those who do not see it,
 * every bar one for the pointer. Colours come from the page (`--accent`, `--grid`, `--c0` …).
 */
import { quoted, visible } from '../../base/markup.ts';

const title = (text: string): string => `<title>${quoted(visible(text))}</title>`;
const at = (part: number): string => `${(100 * Math.max(0, Math.min(1, part))).toFixed(2)}%`;

/** One bar on a track: `value` of `most`, and behind it `before`, if given, as an outline. */
export function bar(value: number, most: number, text: string, before = 0): string {
  const width = most > 0 ? value / most : 0;
  const track = before > 0 ? `<rect class="before" y="1" width="${at(before / most)}" height="10" rx="2"/>` : '';
  return `<svg class="bar" height="12" role="img">${title(text)}${track}<rect class="fill" y="1" width="${value > 0 ? at(Math.max(width, 0.004)) : '0'}" height="10" rx="2"/></svg>`;
}

export interface StackPart {
  readonly name: string;
  /** Of the whole bar, 0 to 1. */
  readonly share: number;
  /** Number of its colour; -1 for the rest. */
  readonly colour: number;
}

/** Colours of the page: `--c0` to `--c11`. */
export const COLOURS = 12;
/** A part narrower than this has no room for its words on a phone. */
const WORDS_FROM = 0.075;

/** Parts of a whole side by side, with their parts in a hundred where there is room; whoever draws it says that these are percent. */
export function stackedBar(parts: readonly StackPart[], text: string): string {
  let from = 0;
  const drawn = parts.map(({ name, share, colour }) => {
    const x = from;
    from += share;
    const words = share >= WORDS_FROM ? `<text x="${at(x + share / 2)}" y="16" class="middle">${(share * 100).toFixed(0)}</text>` : '';
    return `<g>${title(`${name}: ${(share * 100).toFixed(2)} %`)}<rect x="${at(x)}" width="${at(share)}" height="22" style="fill:var(--c${colour < 0 ? 'rest' : colour})"/>${words}</g>`;
  });
  return `<svg class="stack" height="22" role="img">${title(text)}${drawn.join('')}</svg>`;
}

export interface Histogram {
  readonly title: string;
  /** One more than counts; words at the borders of the bars. */
  readonly edges: readonly string[];
  readonly counts: readonly number[];
  /** Of those, what was kept: drawn over them. */
  readonly kept?: readonly number[];
  /** What is counted, in the plural: `documents`. */
  readonly what: string;
  /** Marks at places from 0 to 1 along the axis. */
  readonly marks?: readonly { readonly at: number; readonly text: string }[];
}

const TOP = 18;
const PLOT = 84;
const HEIGHT = TOP + PLOT + 20;
const MOST_WORDS = 6;

const thousands = (n: number): string => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');

/** Bars side by side over a common axis. */
export function histogram(chart: Histogram): string {
  const { counts, edges, kept, what, marks = [] } = chart;
  const most = Math.max(1, ...counts);
  const n = Math.max(1, counts.length);
  const height = (value: number): number => (value > 0 ? Math.max(1, (value / most) * PLOT) : 0);
  const rect = (i: number, value: number, kind: string): string => {
    const h = height(value);
    return h === 0
      ? ''
      : `<rect class="${kind}" x="${at((i + 0.04) / n)}" width="${at(0.92 / n)}" y="${(TOP + PLOT - h).toFixed(1)}" height="${h.toFixed(1)}"/>`;
  };
  const bars = counts.map((value, i) => {
    const both = kept ? `${thousands(value)} ${what}, ${thousands(kept[i] ?? 0)} kept` : `${thousands(value)} ${what}`;
    const ink = kept ? rect(i, value, 'before') + rect(i, Math.min(value, kept[i] ?? 0), 'fill') : rect(i, value, 'fill');
    return ink === '' ? '' : `<g>${title(`${edges[i] ?? ''} to ${edges[i + 1] ?? ''}: ${both}`)}${ink}</g>`;
  });
  const step = Math.ceil(n / MOST_WORDS);
  const words = edges.map((text, i) => {
    // The last border is always named; what stands too near to it is not.
    if (i !== n && (i % step !== 0 || n - i < step)) return '';
    return `<text x="${at(i / n)}" y="${HEIGHT - 4}" class="${i === 0 ? 'start' : i === n ? 'end' : 'middle'}">${quoted(visible(text))}</text>`;
  });
  const lines = marks.map(
    (mark) =>
      `<g class="mark"><line x1="${at(mark.at)}" x2="${at(mark.at)}" y1="${TOP - 4}" y2="${TOP + PLOT}"/><text x="${at(mark.at)}" y="${TOP - 7}" class="${mark.at > 0.7 ? 'end' : mark.at < 0.3 ? 'start' : 'middle'}">${quoted(visible(mark.text))}</text></g>`,
  );
  const peak = marks.length > 0 ? '' : `<text x="0" y="${TOP - 7}">highest ${thousands(most)}</text>`;
  return `<svg class="histogram" height="${HEIGHT}" role="img">${title(chart.title)}<line class="axis" x1="0" x2="100%" y1="${TOP + PLOT}" y2="${TOP + PLOT}"/>${peak}${bars.join('')}${lines.join('')}${words.join('')}</svg>`;
}
