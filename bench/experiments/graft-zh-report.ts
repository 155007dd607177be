/**
 * `node bench/experiments/graft-zh-report.ts [--write]`: what `bench/results/graft-zh.jsonl` says of each claim: means over seeds with 95 % intervals
 * (Student's t over seeds, paired within a seed), and the plot of buckets against a global shuffle. `--write` puts the tables and the plot into `docs/experiments/`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { lineChart } from '../../src/train/line-chart.ts';
import { STYLE } from '../../src/train/report/style.ts';

const { values: flags } = parseArgs({
  options: { write: { type: 'boolean', default: false }, in: { type: 'string', default: 'bench/results/graft-zh.jsonl' } },
});

type ByCategory = Readonly<Record<string, number>>;
interface Validation {
  readonly step: number;
  readonly loss: number;
  readonly bitsPerByte: number;
  readonly byCategory: Readonly<Record<string, { readonly loss: number; readonly bitsPerByte: number }>>;
}
interface GraftLine {
  readonly kind: 'graft';
  readonly key: string;
  readonly seed: number;
  readonly flops: { readonly graft: number; readonly plain: number };
  readonly ends: Readonly<Record<'base' | 'graft' | 'no-replay' | 'shuffle' | 'plain', ByCategory>>;
  readonly curves: Readonly<Record<string, readonly Validation[]>>;
  readonly mix: Readonly<Record<string, { readonly types: readonly string[]; readonly windows: readonly (readonly number[])[] }>>;
  readonly window: number;
}
interface StartLine {
  readonly kind: 'start';
  readonly key: string;
  readonly seed: number;
  readonly base: ByCategory;
  readonly meanBare: ByCategory;
  readonly mean: ByCategory;
  readonly random: ByCategory;
}
interface DomainLine {
  readonly kind: 'domain';
  readonly key: string;
  readonly seed: number;
  readonly domain: 'law' | 'medicine';
  readonly general: ByCategory;
  readonly domainEnds: ByCategory;
}

const all: (GraftLine | DomainLine | StartLine)[] = readFileSync(flags.in, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
/** Lines of the newest recipe. */
const newest = all.findLast((line) => line.kind === 'graft')?.key;
const newestStart = all.findLast((line) => line.kind === 'start')?.key;
/** A stage that was cut off looks again where it goes on; the later look counts. */
const once = (curve: readonly Validation[]): Validation[] => curve.filter((v, i) => curve[i + 1]?.step !== v.step);
const runs = all
  .filter((line): line is GraftLine => line.kind === 'graft' && line.key === newest)
  .map((line) => ({ ...line, curves: Object.fromEntries(Object.entries(line.curves).map(([name, curve]) => [name, once(curve)])) }));
const starts = all.filter((line): line is StartLine => line.kind === 'start' && line.key === newestStart);
/** The last line of each domain and seed: an earlier one is of other stages. */
const domains = all.filter(
  (line, i): line is DomainLine =>
    line.kind === 'domain' &&
    line.key === newest &&
    !all.slice(i + 1).some((later) => later.kind === 'domain' && later.key === newest && later.domain === line.domain && later.seed === line.seed),
);

const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;
/** 97.5 % points of Student's t by degrees of freedom. */
const T975 = [Number.NaN, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
function spread(xs: readonly number[]): { mean: number; half: number } {
  const m = mean(xs);
  const deviation = Math.sqrt(xs.reduce((sum, x) => sum + (x - m) ** 2, 0) / (xs.length - 1));
  return { mean: m, half: (T975[xs.length - 1] * deviation) / Math.sqrt(xs.length) };
}
/** Mean over the categories of a language. */
const of = (lang: 'en' | 'zh', by: ByCategory): number => mean(Object.entries(by).flatMap(([name, x]) => (name.startsWith(`${lang}_`) ? [x] : [])));
const percent = (x: number): string => `${(100 * x).toFixed(2)} %`;

interface Row {
  readonly what: string;
  readonly values: readonly number[];
  readonly format: (x: number) => string;
}
const nats = (x: number): string => `${x.toFixed(4)}`;
const rows: Row[] = [
  { what: '(a) Chinese at step 0, nats a token: random − mean rows', values: starts.map((r) => of('zh', r.random) - of('zh', r.meanBare)), format: nats },
  { what: '(a) English at step 0, nats a token: grown by mean − base', values: starts.map((r) => of('en', r.meanBare) - of('en', r.base)), format: nats },
  {
    what: 'the same, with the space mark among the sources as the original has it',
    values: starts.map((r) => of('en', r.mean) - of('en', r.base)),
    format: nats,
  },
  { what: 'English at step 0: random rows − base', values: starts.map((r) => of('en', r.random) - of('en', r.base)), format: nats },
  {
    what: '(b) Chinese bits per byte at equal FLOPs: with new pieces / without',
    values: runs.map((r) => of('zh', r.ends.graft) / of('zh', r.ends.plain) - 1),
    format: percent,
  },
  { what: '(c) English bits per byte: end with replay / base', values: runs.map((r) => of('en', r.ends.graft) / of('en', r.ends.base) - 1), format: percent },
  {
    what: '(c) English bits per byte: end without replay / base',
    values: runs.map((r) => of('en', r.ends['no-replay']) / of('en', r.ends.base) - 1),
    format: percent,
  },
  {
    what: 'Chinese bits per byte: without replay / with',
    values: runs.map((r) => of('zh', r.ends['no-replay']) / of('zh', r.ends.graft) - 1),
    format: percent,
  },
  { what: 'FLOPs without new pieces / with', values: runs.map((r) => r.flops.plain / r.flops.graft - 1), format: percent },
];

/** Variance of the shares of types over windows, summed over types, both stages. */
const mixVariance = (run: GraftLine, arm: string): number => {
  const parts = ['inject', 'replay'].map((stage) => {
    const { windows } = run.mix[`${arm}.${stage}`];
    return windows[0].map((_, type) => windows.map((w) => w[type])).reduce((sum, shares) => sum + mean(shares.map((s) => (s - mean(shares)) ** 2)), 0);
  });
  return mean(parts);
};
/** Variance of what a validation differs by from the line between its neighbours. */
const roughness = (curve: readonly Validation[]): number => {
  const off = curve.slice(1, -1).map((v, i) => v.bitsPerByte - (curve[i].bitsPerByte + curve[i + 2].bitsPerByte) / 2);
  return mean(off.map((x) => x * x));
};
const late = (run: GraftLine, names: readonly string[]): number => mean(names.map((name) => roughness(run.curves[name].slice(2))));
const buckets = ['inject', 'replay'];
const shuffled = ['shuffleInject', 'shuffleReplay'];
const table3: Row[] = [
  { what: 'variance of the type mix, windows of 30 steps: buckets', values: runs.map((r) => mixVariance(r, 'buckets')), format: (x) => x.toExponential(2) },
  { what: 'the same: global shuffle', values: runs.map((r) => mixVariance(r, 'shuffle')), format: (x) => x.toExponential(2) },
  {
    what: 'variance of validation along the run, bits per byte squared: buckets',
    values: runs.map((r) => late(r, buckets)),
    format: (x) => x.toExponential(2),
  },
  { what: 'the same: global shuffle', values: runs.map((r) => late(r, shuffled)), format: (x) => x.toExponential(2) },
  {
    what: 'all held-out text at the end, bits per byte: shuffle / buckets',
    values: runs.map((r) => mean(Object.values(r.ends.shuffle)) / mean(Object.values(r.ends.graft)) - 1),
    format: percent,
  },
];
const domainRows: Row[] = (['law', 'medicine'] as const).flatMap((domain) => {
  const some = domains.filter((line) => line.domain === domain);
  if (some.length === 0) return [];
  const name = domain === 'law' ? 'zh_law' : 'zh_medicine_crafts';
  const others = (by: ByCategory): ByCategory => Object.fromEntries(Object.entries(by).filter(([category]) => category !== name));
  return [
    { what: `${domain}: its bits per byte, domain / general graft`, values: some.map((d) => d.domainEnds[name] / d.general[name] - 1), format: percent },
    { what: `${domain}: English`, values: some.map((d) => of('en', d.domainEnds) / of('en', d.general) - 1), format: percent },
    { what: `${domain}: other Chinese`, values: some.map((d) => of('zh', others(d.domainEnds)) / of('zh', others(d.general)) - 1), format: percent },
  ];
});

function markdown(list: readonly Row[]): string {
  const seeds = list.length === 0 ? 0 : list[0].values.length;
  const head = `| | ${Array.from({ length: seeds }, (_, i) => `seed ${i + 1}`).join(' | ')} | mean | 95 % interval |\n|---|${'---|'.repeat(seeds + 2)}`;
  const lines = list.map(({ what, values, format }) => {
    const s = spread(values);
    const interval = values.length > 1 ? `${format(s.mean - s.half)} to ${format(s.mean + s.half)}` : '–';
    return `| ${what} | ${values.map(format).join(' | ')} | ${format(s.mean)} | ${interval} |`;
  });
  return [head, ...lines].join('\n');
}

/** Bits per byte along both stages, and the share of the largest type by window. */
function plot(): string {
  const [run] = runs;
  const whole = (names: readonly string[]): { x: number[]; y: number[] } => {
    const [a, b] = names.map((name) => run.curves[name]);
    const offset = (a.at(-1) as Validation).step;
    return {
      x: [...a.map((v) => v.step), ...b.slice(1).map((v) => v.step + offset)].slice(2),
      y: [...a.map((v) => v.bitsPerByte), ...b.slice(1).map((v) => v.bitsPerByte)].slice(2),
    };
  };
  const [b, s] = [whole(buckets), whole(shuffled)];
  const share = (arm: string): number[] => {
    const parts = ['inject', 'replay'].map((stage) => run.mix[`${arm}.${stage}`].windows);
    return parts.flatMap((windows) => {
      const means = windows[0].map((_, type) => mean(windows.map((w) => w[type])));
      // How far a window's mix is from the stage's, as half the sum of differences (total variation).
      return windows.map((w) => w.reduce((sum, x, type) => sum + Math.abs(x - means[type]), 0) / 2);
    });
  };
  const [bs, ss] = [share('buckets'), share('shuffle')];
  const part = { x: 180, text: 'replay' };
  const chart = (title: string, measure: string, x: number[], one: number[], two: number[], format: (y: number) => string, fit: boolean): string =>
    lineChart({
      title,
      measure,
      x,
      xName: 'step',
      series: [
        { name: '10 buckets', values: one, weight: 'main' },
        { name: 'global shuffle', values: two, weight: 'second' },
      ],
      format,
      parts: [part],
      unit: 'steps',
      fit,
      height: 260,
    });
  const upper = chart(
    'Mix of types',
    'distance of a window of 30 steps from the stage’s mix (total variation)',
    bs.map((_, i) => (i + 1) * run.window),
    bs,
    ss,
    (y) => percent(y),
    false,
  );
  const lower = chart('Validation', 'bits per byte, all held-out text', b.x, b.y, s.y, (y) => y.toFixed(2), true);
  return `<!doctype html><meta charset="utf-8"><title>Buckets and shuffle</title><style>${STYLE}</style>${upper}${lower}\n`;
}

const text = [`${runs.length} seeds`, markdown(rows), markdown(table3), ...(domainRows.length > 0 ? [markdown(domainRows)] : [])];
console.log(text.join('\n\n'));
if (flags.write) {
  const page = 'docs/experiments/graft-zh.md';
  const begin = '<!-- figures: made by bench/experiments/graft-zh-report.ts -->';
  const before = readFileSync(page, 'utf8').split(begin)[0];
  writeFileSync(page, `${before}${begin}\n\n${text.slice(1).join('\n\n')}\n`);
  writeFileSync('docs/experiments/graft-zh.html', plot());
}
process.exit(0);
