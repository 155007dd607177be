/**
 * A small line chart as SVG text: lines over a common x, named at their right ends so that no colour has to be
 * looked up, marked x, a marked y, values on hover. No script; colours come from the page's CSS (`--ink`,
 * `--soft`, `--grid`, `--accent`), so that light and dark both read.
 */
import { quoted } from '../base/markup.ts';

/** One line; `null` values are left out. */
export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
  /** `main` is drawn strong, `second` in the second colour, `side` thin. */
  readonly weight: 'main' | 'second' | 'side';
  /** Its own x, where it does not share the chart's. */
  readonly x?: readonly number[];
  /** Places in `values` where the line begins anew. */
  readonly breaks?: readonly number[];
  /** Class of its group, for a colour of its own. */
  readonly colour?: string;
}

export interface Chart {
  readonly title: string;
  /** What the y axis measures, under the title. */
  readonly measure: string;
  readonly x: readonly number[];
  readonly xName: string;
  readonly series: readonly Series[];
  readonly log?: boolean;
  readonly format: (y: number) => string;
  /** An x to mark, with its words. */
  readonly mark?: { readonly x: number; readonly text: string };
  /** A y to mark. */
  readonly line?: { readonly y: number; readonly text: string };
  /** Borders: each x begins a part of that name. */
  readonly parts?: readonly { readonly x: number; readonly text: string }[];
  /** x values of small red ticks on the axis. */
  readonly rug?: readonly number[];
  /** A second reading of the x axis, below the first. */
  readonly second?: { readonly name: string; readonly at: (x: number) => string };
  /** What x counts, for the values on hover. Default `rows`. */
  readonly unit?: string;
  /** The y axis begins at the data and not at 0. */
  readonly fit?: boolean;
  /** False draws lines alone, for curves of many points. */
  readonly dots?: boolean;
  readonly width?: number;
  readonly height?: number;
  /** Room for the names at the right. */
  readonly right?: number;
}

const WIDTH = 1000;
const HEIGHT = 380;
const LEFT = 64;
const RIGHT = 190;
const TOP = 22;
const BOTTOM = 46;
const SECOND = 16;
const LABEL_GAP = 15;

export const CHART = { left: LEFT, right: RIGHT, width: WIDTH } as const;

/** Round steps of 1, 2 or 5 times a power of ten, at most `most` of them. */
function ticks(low: number, high: number, most: number): number[] {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step + 1e-9) - first + 1) }, (_, i) => (first + i) * step);
}

/** Heights for labels wanted at `wanted`, moved apart so that none covers another. */
function spread(wanted: readonly number[], low: number, high: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const out = [...wanted];
  let before = low - LABEL_GAP;
  for (const i of order) {
    out[i] = Math.max(wanted[i], before + LABEL_GAP);
    before = out[i];
  }
  let after = high + LABEL_GAP;
  for (const i of order.reverse()) {
    out[i] = Math.min(out[i], after - LABEL_GAP);
    after = out[i];
  }
  return out;
}

const thousands = (n: number): string => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');

/** The chart as one `<figure>`. */
export function lineChart(chart: Chart): string {
  const { series, log = false, format, fit = false, dots: dotted = true, unit = 'rows', width = WIDTH, height = HEIGHT } = chart;
  const x = chart.x.length > 0 ? chart.x : [0];
  const all = [...series.flatMap(({ values }) => values.filter((v) => v !== null)), ...(chart.line ? [chart.line.y] : [])].filter((v) => !log || v > 0);
  const most = Math.max(...all);
  const least = log || fit ? Math.min(...all) : 0;
  // A line that does not move still needs a height.
  const room = fit ? Math.max(0.06 * (most - least), 1e-3 * Math.abs(most), 1e-12) : 0;
  const high = log ? 10 ** Math.ceil(Math.log10(most)) : fit ? most + room : most * 1.06 || 1;
  const low = log ? 10 ** Math.floor(Math.log10(least)) : fit ? least - room : 0;
  const firstX = x[0];
  const lastX = Math.max(x[x.length - 1], firstX + 1);
  const right = width - (chart.right ?? RIGHT);
  const bottom = height - BOTTOM - (chart.second ? SECOND : 0);
  const px = (value: number): number => LEFT + ((value - firstX) / Math.max(1, lastX - firstX)) * (right - LEFT);
  const scale = (value: number): number => (log ? Math.log10(Math.max(value, low)) : value);
  const py = (value: number): number => bottom - ((scale(value) - scale(low)) / (scale(high) - scale(low) || 1)) * (bottom - TOP);
  const n = (value: number): string => value.toFixed(1);

  const yTicks = log ? Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, i) => low * 10 ** i) : ticks(low, high, height < HEIGHT ? 4 : 6);
  const grid = yTicks.map(
    (y) =>
      `<line x1="${LEFT}" x2="${right}" y1="${n(py(y))}" y2="${n(py(y))}" class="grid"/><text x="${LEFT - 8}" y="${n(py(y) + 4)}" class="tick end">${quoted(format(y))}</text>`,
  );
  const whole = ticks(firstX, lastX, width < WIDTH ? 4 : 7).filter((value) => Number.isInteger(value));
  const xTicks = whole.map(
    (value) =>
      `<line x1="${n(px(value))}" x2="${n(px(value))}" y1="${bottom}" y2="${bottom + 5}" class="axis"/><text x="${n(px(value))}" y="${bottom + 19}" class="tick middle">${thousands(value)}</text>${chart.second ? `<text x="${n(px(value))}" y="${bottom + 19 + SECOND}" class="tick middle">${quoted(chart.second.at(value))}</text>` : ''}`,
  );
  const drawn = series
    .map((one) => ({
      ...one,
      points: one.values.flatMap((y, i) => (y === null ? [] : [{ i, x: px((one.x ?? x)[i]), y: py(y), at: (one.x ?? x)[i], value: y }])),
    }))
    .filter(({ points }) => points.length > 0);
  const heights = spread(
    drawn.map(({ points }) => points[points.length - 1].y),
    TOP,
    bottom,
  );
  const lines = drawn.map(({ name, weight, colour, breaks = [], points }, i) => {
    const begins = (k: number): boolean => k === 0 || breaks.some((at) => at > points[k - 1].i && at <= points[k].i);
    const path = points.map((p, k) => `${begins(k) ? 'M' : 'L'}${n(p.x)} ${n(p.y)}`).join('');
    const end = points[points.length - 1];
    const dots = (dotted ? points : points.slice(-1)).map(
      (p) =>
        `<circle cx="${n(p.x)}" cy="${n(p.y)}" r="${weight === 'side' ? 2 : 3.2}"><title>${quoted(`${name}\n${thousands(p.at)} ${unit}: ${format(p.value)}`)}</title></circle>`,
    );
    return `<g class="${colour ?? weight}"><path d="${path}"/>${dots.join('')}<path class="lead" d="M${n(end.x + 4)} ${n(end.y)}L${n(right + 16)} ${n(heights[i])}"/><text x="${right + 20}" y="${n(heights[i] + 4)}">${quoted(name)} <tspan class="value">${quoted(format(end.value))}</tspan></text></g>`;
  });
  const markX = chart.mark ? px(chart.mark.x) : 0;
  // The words stand on the side where there is room.
  const side = markX > (LEFT + right) / 2 ? { dx: -7, anchor: 'end' } : { dx: 7, anchor: 'start' };
  const mark = chart.mark
    ? `<line x1="${n(markX)}" x2="${n(markX)}" y1="${TOP - 14}" y2="${bottom}" class="mark"/><text x="${n(markX + side.dx)}" y="${TOP - 6}" class="mark ${side.anchor}">${quoted(chart.mark.text)}</text>`
    : '';
  const line = chart.line
    ? `<line x1="${LEFT}" x2="${right}" y1="${n(py(chart.line.y))}" y2="${n(py(chart.line.y))}" class="threshold"/><text x="${right - 6}" y="${n(py(chart.line.y) - 6)}" class="tick end">${quoted(chart.line.text)}</text>`
    : '';
  const parts = (chart.parts ?? []).map(
    (part) =>
      `<line x1="${n(px(part.x))}" x2="${n(px(part.x))}" y1="${TOP - 14}" y2="${bottom}" class="part"/><text x="${n(px(part.x) + 5)}" y="${TOP - 8}" class="part">${quoted(part.text)}</text>`,
  );
  const rug = (chart.rug ?? []).map((at) => `<line x1="${n(px(at))}" x2="${n(px(at))}" y1="${bottom - 9}" y2="${bottom}" class="rug"/>`);
  const second = chart.second
    ? `<text x="${right + 12}" y="${bottom + 19}" class="tick">${quoted(chart.xName)}</text><text x="${right + 12}" y="${bottom + 19 + SECOND}" class="tick">${quoted(chart.second.name)}</text>`
    : `<text x="${n((LEFT + right) / 2)}" y="${height - 6}" class="tick middle">${quoted(chart.xName)}</text>`;
  return `<figure><figcaption><b>${quoted(chart.title)}</b><br>${quoted(chart.measure)}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${quoted(`${chart.title}: ${chart.measure}`)}">${grid.join('')}<line x1="${LEFT}" x2="${right}" y1="${bottom}" y2="${bottom}" class="axis"/>${xTicks.join('')}${second}${parts.join('')}${rug.join('')}${line}${mark}${lines.join('')}</svg></figure>`;
}
