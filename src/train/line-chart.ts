/**
 * A small line chart as SVG text: lines over a common x, named at their right ends so that no colour has to be
 * looked up, a marked x, a marked y, values on hover. No script; colours come from the page's CSS (`--ink`,
 * `--soft`, `--grid`, `--accent`), so that light and dark both read.
 */
import { quoted } from '../base/markup.ts';

/** One line; `null` values are left out. */
export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
  /** `main` is drawn strong, `second` in the second colour, `side` thin. */
  readonly weight: 'main' | 'second' | 'side';
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
}

const WIDTH = 1000;
const HEIGHT = 380;
const LEFT = 64;
const RIGHT = 190;
const TOP = 22;
const BOTTOM = 46;
const LABEL_GAP = 15;

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
  const { x, series, log = false, format } = chart;
  const all = [...series.flatMap(({ values }) => values.filter((v) => v !== null)), ...(chart.line ? [chart.line.y] : [])].filter((v) => !log || v > 0);
  const most = Math.max(...all);
  const least = log ? Math.min(...all) : 0;
  const high = log ? 10 ** Math.ceil(Math.log10(most)) : most * 1.06;
  const low = log ? 10 ** Math.floor(Math.log10(least)) : 0;
  const firstX = x[0];
  const lastX = x[x.length - 1];
  const right = WIDTH - RIGHT;
  const bottom = HEIGHT - BOTTOM;
  const px = (value: number): number => LEFT + ((value - firstX) / Math.max(1, lastX - firstX)) * (right - LEFT);
  const scale = (value: number): number => (log ? Math.log10(Math.max(value, low)) : value);
  const py = (value: number): number => bottom - ((scale(value) - scale(low)) / (scale(high) - scale(low) || 1)) * (bottom - TOP);
  const n = (value: number): string => value.toFixed(1);

  const yTicks = log ? Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, i) => low * 10 ** i) : ticks(low, high, 6);
  const grid = yTicks.map(
    (y) =>
      `<line x1="${LEFT}" x2="${right}" y1="${n(py(y))}" y2="${n(py(y))}" class="grid"/><text x="${LEFT - 8}" y="${n(py(y) + 4)}" class="tick end">${quoted(format(y))}</text>`,
  );
  const xTicks = ticks(firstX, lastX, 7).map(
    (value) =>
      `<line x1="${n(px(value))}" x2="${n(px(value))}" y1="${bottom}" y2="${bottom + 5}" class="axis"/><text x="${n(px(value))}" y="${bottom + 19}" class="tick middle">${thousands(value)}</text>`,
  );
  const drawn = series
    .map((one) => ({ ...one, points: one.values.flatMap((y, i) => (y === null ? [] : [{ x: px(x[i]), y: py(y), at: x[i], value: y }])) }))
    .filter(({ points }) => points.length > 0);
  const heights = spread(
    drawn.map(({ points }) => points[points.length - 1].y),
    TOP,
    bottom,
  );
  const lines = drawn.map(({ name, weight, points }, i) => {
    const path = points.map((p, k) => `${k === 0 ? 'M' : 'L'}${n(p.x)} ${n(p.y)}`).join('');
    const end = points[points.length - 1];
    const dots = points.map(
      (p) =>
        `<circle cx="${n(p.x)}" cy="${n(p.y)}" r="${weight === 'side' ? 2 : 3.2}"><title>${quoted(`${name}\n${thousands(p.at)} rows: ${format(p.value)}`)}</title></circle>`,
    );
    return `<g class="${weight}"><path d="${path}"/>${dots.join('')}<path class="lead" d="M${n(end.x + 4)} ${n(end.y)}L${n(right + 16)} ${n(heights[i])}"/><text x="${right + 20}" y="${n(heights[i] + 4)}">${quoted(name)} <tspan class="value">${quoted(format(end.value))}</tspan></text></g>`;
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
  return `<figure><figcaption><b>${quoted(chart.title)}</b><br>${quoted(chart.measure)}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${quoted(`${chart.title}: ${chart.measure}`)}">${grid.join('')}<line x1="${LEFT}" x2="${right}" y1="${bottom}" y2="${bottom}" class="axis"/>${xTicks.join('')}<text x="${n((LEFT + right) / 2)}" y="${HEIGHT - 6}" class="tick middle">${quoted(chart.xName)}</text>${line}${mark}${lines.join('')}</svg></figure>`;
}
