/**
 * The charts of a run's report: each takes the timeline and gives a `<figure>`, or nothing where the logs have nothing to
 * show. Over steps, with tokens below, borders of stages marked.
 */
import { bytes, si } from '../../base/format.ts';
import { quoted } from '../../base/markup.ts';
import { CHART, lineChart, type Series } from '../line-chart.ts';
import type { ValidationPoint } from './read-log.ts';
import { SERIES_COLOURS } from './style.ts';
import type { Curve, Placed, Timeline } from './timeline.ts';

const HALF = { width: 540, height: 250, right: 140 } as const;
const percent = (share: number): string => (share === 0 ? '0' : `${(100 * share).toPrecision(3)} %`);

/** A running mean over points, heavier where there are more of them; begins anew at every stage. */
function smoothed(line: Timeline, tokens = false): Curve {
  const x: number[] = [];
  const values: number[] = [];
  const breaks: number[] = [];
  for (const { log, from, tokensFrom } of line.stages) {
    const points = log.points.filter(({ loss }) => loss !== null);
    breaks.push(x.length);
    const keep = 1 - 1 / Math.max(1, Math.min(20, points.length / 12));
    let mean = 0;
    points.forEach((point, i) => {
      // Without the first points' weight a mean from 0 would begin too low.
      mean = keep * mean + (1 - keep) * (point.loss ?? 0);
      x.push(tokens ? tokensFrom + point.tokens : from + point.step);
      values.push(keep === 0 ? (point.loss ?? 0) : mean / (1 - keep ** (i + 1)));
    });
  }
  return { x, values, breaks };
}

/** Skipped steps of all stages, at most some hundred. */
const skippedAt = (line: Timeline): number[] => line.stages.flatMap(({ log, from }) => log.skipped.map(({ step }) => from + step)).slice(-300);

/** Names of all stages' categories in the order they are met, each with its colour; the first colour is that of all together. */
export function coloursOf(line: Timeline): Map<string, string> {
  const names = line.stages.flatMap(({ log }) => [...log.validations.flatMap((v) => [...v.byCategory.keys()]), ...log.types.keys()]);
  return new Map([...new Set(names)].map((name, i) => [name, `c${1 + (i % (SERIES_COLOURS - 1))}`]));
}

/** Training loss over steps. */
export function lossChart(line: Timeline): string {
  const each = line.curve(({ loss }) => loss);
  if (each.x.length === 0) return '';
  const series: Series[] = [
    { name: 'steps', weight: 'side', ...each },
    { name: 'mean', weight: 'main', ...smoothed(line) },
  ];
  const rug = skippedAt(line);
  const measure = `nats a label${rug.length > 0 ? '; skipped steps are red on the axis' : ''}`;
  return lineChart({ title: 'Training loss', measure, ...line.axis(), series, rug, fit: true, dots: false, format: (y) => y.toFixed(3) });
}

/** The same over tokens: stages with larger steps get the room that is theirs. */
export function lossByTokens(line: Timeline): string {
  const mean = smoothed(line, true);
  if (line.stages.length < 2 || mean.x.length === 0) return '';
  return lineChart({
    title: 'Training loss by tokens',
    measure: 'running mean, nats a label',
    x: [0, line.tokens],
    xName: 'tokens',
    unit: 'tokens',
    parts: line.borders(({ tokensFrom }) => tokensFrom),
    series: [{ name: 'mean', weight: 'main', ...mean }],
    fit: true,
    dots: false,
    format: (y) => y.toFixed(3),
  });
}

/** Training loss by type of data. */
export function typeChart(line: Timeline, colours: ReadonlyMap<string, string>): string {
  const names = [...new Set(line.stages.flatMap(({ log }) => [...log.types.keys()]))];
  if (names.length === 0) return '';
  const series = names.map((name): Series => {
    const curve = line.join(({ log }) => (log.types.get(name) ?? []).map(({ step, loss }) => ({ step, y: loss })));
    return { name, weight: 'side', colour: colours.get(name), ...curve };
  });
  return lineChart({
    title: 'Training loss by category',
    measure: 'nats a label, over the steps since the last readback',
    ...line.axis(),
    series,
    fit: true,
    dots: false,
    format: (y) => y.toFixed(3),
  });
}

/** Questions asked on the way: shares answered rightly, with the width of the last interval. */
export function evaluationChart(line: Timeline): string {
  const names = [...new Set(line.stages.flatMap(({ log }) => log.evaluations.flatMap((v) => [...v.scores.keys()])))];
  if (names.length === 0) return '';
  const series = names.map((name, i): Series => {
    const curve = line.join(({ log }) => log.evaluations.map((v) => ({ step: v.step, y: v.scores.get(name)?.value ?? null })));
    return { name, weight: 'side', colour: `c${i % SERIES_COLOURS}`, ...curve };
  });
  const last = line.stages.flatMap(({ log }) => log.evaluations).at(-1);
  const widths = [...(last?.scores.values() ?? [])].flatMap(({ low, high }) => (low === null || high === null ? [] : [(high - low) / 2]));
  const sure = widths.length > 0 ? `; chance alone explains ± ${percent(Math.max(...widths))}` : '';
  return lineChart({ title: 'Questions', measure: `answered rightly${sure}`, ...line.axis(), series, fit: true, format: percent });
}

/** Bits per byte of held-out text. */
export function validationChart(line: Timeline, colours: ReadonlyMap<string, string>): string {
  const names = [...new Set(line.stages.flatMap(({ log }) => log.validations.flatMap((v) => [...v.byCategory.keys()])))];
  const curve = (of: (v: ValidationPoint) => number | null): Curve => line.join(({ log }) => log.validations.map((v) => ({ step: v.step, y: of(v) })));
  const total = curve((v) => v.bitsPerByte);
  if (total.x.length === 0) return '';
  const each = names.map((name): Series => ({ name, weight: 'side', colour: colours.get(name), ...curve((v) => v.byCategory.get(name) ?? null) }));
  const series: Series[] = [...(names.length > 1 ? each : []), { name: 'all', weight: 'main', ...total }];
  return lineChart({
    title: 'Held-out text',
    measure: 'bits per byte, lower is better; compares across tokenizers',
    ...line.axis(),
    series,
    fit: true,
    format: (y) => y.toFixed(3),
  });
}

const half = (
  line: Timeline,
  title: string,
  measure: string,
  series: readonly Series[],
  more: { format: (y: number) => string; log?: boolean; rug?: number[]; fit?: boolean },
): string =>
  series.some(({ values }) => values.some((v) => v !== null && (!more.log || v > 0)))
    ? lineChart({
        title,
        measure,
        ...line.axis(),
        parts: line.borders(({ from }) => from).map(({ x }) => ({ x, text: '' })),
        series,
        dots: false,
        ...HALF,
        ...more,
      })
    : '';

/** The small charts: rate, norm, speed, rows, memory. */
export function smallCharts(line: Timeline): string {
  const one = (name: string, value: Parameters<Timeline['curve']>[0], weight: Series['weight'] = 'main'): Series => ({ name, weight, ...line.curve(value) });
  const moved = (side: 'new' | 'old', weight: Series['weight']): Series => ({
    name: side,
    weight,
    ...line.join(({ log }) => log.validations.map((v) => ({ step: v.step, y: v.moved?.[side] ?? null }))),
  });
  const drift = [moved('new', 'main'), moved('old', 'second')];
  return [
    half(line, 'Learning rate', 'of the schedule', [one('rate', (p) => p.learningRate)], { format: (y) => (y === 0 ? '0' : y.toExponential(1)) }),
    half(line, 'Gradient norm', 'before clipping; skipped steps are red', [one('norm', (p) => p.gradNorm)], {
      format: (y) => String(Number(y.toPrecision(2))),
      log: true,
      rug: skippedAt(line),
    }),
    half(line, 'Speed', 'tokens a second', [one('tokens/s', (p) => p.tokensPerSecond)], { format: (y) => si(Number(y.toPrecision(3))) }),
    half(line, 'Share of the peak', 'of the matrix products this device was measured at', [one('share', (p) => p.peakShare)], { format: percent }),
    half(line, 'Rows moved', 'mean |W − W₀| / |W₀| of embedding rows', drift, { format: percent }),
    half(line, 'Memory', 'of the device and of the process', [one('device', (p) => p.deviceBytes), one('process', (p) => p.residentBytes, 'second')], {
      format: (y) => bytes(Math.round(y)),
    }),
  ].join('\n');
}

/** Which bucket the packs came from, as a strip over the steps. */
export function bucketStrip(line: Timeline): string {
  const spans = line.stages.flatMap(({ log, from }) => log.buckets.map((b) => ({ ...b, from: from + b.from, to: from + b.to, stage: log.name })));
  if (spans.length === 0) return '';
  const most = Math.max(...spans.map((s) => s.bucket)) + 1;
  const scale = (CHART.width - CHART.left - CHART.right) / Math.max(1, line.steps);
  const rects = spans.map((s) => {
    const x = CHART.left + s.from * scale;
    const w = Math.max(0.5, (s.to - s.from) * scale);
    const label = w > 18 ? `<text x="${(x + w / 2).toFixed(1)}" y="22" class="inside">${s.bucket + 1}</text>` : '';
    const title = `${s.stage}: bucket ${s.bucket + 1}, epoch ${s.epoch + 1}\nsteps ${s.from + 1} to ${s.to}`;
    return `<rect x="${x.toFixed(1)}" y="6" width="${w.toFixed(1)}" height="24" class="span" fill-opacity="${(0.15 + (0.45 * (s.bucket + 1)) / most).toFixed(2)}"><title>${quoted(title)}</title></rect>${label}`;
  });
  return `<figure><figcaption><b>Buckets seen</b><br>the part of the data each step's packs came from, over the same steps</figcaption><svg viewBox="0 0 ${CHART.width} 36" role="img" aria-label="buckets seen">${rects.join('')}</svg></figure>`;
}

/** The stage that is under way: the last. */
export const current = (line: Timeline): Placed | null => line.stages.at(-1) ?? null;
