/**
 * A sweep of vocabulary sizes as a page of its own: the advice, compression by category, compute for the same text,
 * meetings of the rarest rows, and every number in a table. Plain SVG, no script, light and dark.
 */
import { si } from '../base/format.ts';
import { quoted } from '../base/markup.ts';
import { ratesOf } from '../text/compare.ts';
import { type Advice, computePerCharacter, type SweepOptions, type SweepPoint, type VocabularyCost } from '../text/sweep.ts';
import { lineChart } from './line-chart.ts';

/** What the page shows. */
export interface SweepReport {
  readonly title: string;
  readonly points: readonly SweepPoint[];
  readonly costs: readonly VocabularyCost[] | null;
  readonly advice: Advice;
  readonly options: SweepOptions;
  /** Seconds of a step at each size, if a speed was named. */
  readonly stepSeconds: readonly number[] | null;
}

const STYLE = `:root{color-scheme:light dark;--paper:#fcfcfb;--ink:#1c1c1a;--soft:#62625c;--grid:#e4e3de;--accent:#1f6fd0;--second:#b4530a;--side:#8aa6c8}
@media(prefers-color-scheme:dark){:root{--paper:#191918;--ink:#ecebe6;--soft:#a5a49c;--grid:#34342f;--accent:#6aa9f4;--second:#e8975a;--side:#5d7696}}
body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:2rem auto;padding:0 1.2rem;background:var(--paper);color:var(--ink)}
h1{font-size:1.35rem;margin:0 0 .6rem}.advice{border-left:4px solid var(--accent);padding:.5rem 1rem;margin:0 0 1.6rem}.advice b{font-size:1.25rem}
figure{margin:0 0 2rem}figcaption{color:var(--soft);margin-bottom:.4rem}figcaption b{color:var(--ink)}svg{width:100%;height:auto;display:block;font:12px system-ui,sans-serif}
svg text{fill:var(--soft)}.end{text-anchor:end}.middle{text-anchor:middle}.start{text-anchor:start}.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}
svg path{fill:none}.main path{stroke:var(--accent);stroke-width:2.6}.second path{stroke:var(--second);stroke-width:2}.side path{stroke:var(--side);stroke-width:1.2}svg path.lead{stroke:var(--grid);stroke-width:1}
.main circle{fill:var(--accent)}.second circle{fill:var(--second)}.side circle{fill:var(--side)}g:hover circle{stroke:var(--ink);stroke-width:1.5}.main text,.second text{fill:var(--ink);font-weight:600}
.value{font-variant-numeric:tabular-nums;fill:var(--soft);font-weight:400}line.mark{stroke:var(--ink);stroke-dasharray:5 4}text.mark{fill:var(--ink);font-weight:600}.threshold{stroke:var(--second);stroke-dasharray:2 4}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.86rem;min-width:100%}th{font-weight:500;color:var(--soft);text-align:right;vertical-align:bottom}th,td{padding:.25rem .55rem;text-align:right;border-bottom:1px solid var(--grid)}td{white-space:nowrap}tr.best td{font-weight:700;background:color-mix(in srgb,var(--accent) 14%,transparent)}`;

const thousands = (n: number): string => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');
const percent = (share: number | null): string => (share === null ? '' : `${(100 * share).toFixed(1)} %`);

/** Columns of the table that this sweep has values for: heading and cell of a point. */
function columnsOf(report: SweepReport): (readonly [string, (i: number) => string])[] {
  const { points, costs, stepSeconds } = report;
  const compute = computePerCharacter(points, costs);
  const columns: (readonly [string, (i: number) => string])[] = [
    ['rows', (i) => thousands(points[i].size)],
    ['tokens / character', (i) => (ratesOf(points[i].total).tokensPerCharacter ?? 0).toFixed(4)],
    ['tokens of the base', (i) => percent(points[i].total.tokens / points[0].total.tokens)],
    ['bytes as tokens', (i) => percent(ratesOf(points[i].total).byteFallbackRate)],
  ];
  if (costs) {
    columns.push(
      ['embedding and head', (i) => si(costs[i].embeddingParameters)],
      ['parameters', (i) => si(costs[i].parameters)],
      ['compute / character', (i) => percent(compute[i])],
    );
  }
  if (stepSeconds) columns.push(['s / step', (i) => stepSeconds[i].toPrecision(4)]);
  if (points.some(({ rare }) => rare !== null)) {
    columns.push(['rarest 1 % met', (i) => meetings(points[i].rare?.p1)], ['rarest 10 % met', (i) => meetings(points[i].rare?.p10)]);
    columns.push(['rows met too seldom', (i) => (points[i].rare === null ? '' : thousands(points[i].rare?.below ?? 0))]);
  }
  return columns;
}

const meetings = (count: number | undefined): string => (count === undefined ? '' : si(Math.round(count)));

/** The whole page. */
export function sweepHtml(report: SweepReport): string {
  const { points, costs, advice, options } = report;
  const x = points.map(({ size }) => size);
  const mark = { x: advice.size, text: `advised: ${thousands(advice.size)}` };
  const xName = 'rows of the vocabulary';
  const categories = [...points[0].categories.keys()];
  const rate = (tally: Parameters<typeof ratesOf>[0] | undefined): number | null => (tally ? ratesOf(tally).tokensPerCharacter : null);
  const charts = [
    lineChart({
      title: 'Compression',
      measure: 'tokens per character of held-out text, all of it and by category; lower is better',
      x,
      xName,
      mark,
      format: (y) => y.toFixed(2),
      series: [
        ...(categories.length > 1
          ? categories.map((name) => ({ name, weight: 'side' as const, values: points.map((p) => rate(p.categories.get(name))) }))
          : []),
        { name: 'all text', weight: 'main' as const, values: points.map((p) => rate(p.total)) },
      ],
    }),
  ];
  if (costs) {
    const perToken = costs.map((cost) => cost.flopsPerToken / costs[0].flopsPerToken);
    charts.push(
      lineChart({
        title: 'Compute',
        measure: 'of training, against the base vocabulary: for the same text, and for one token (which is what a step costs)',
        x,
        xName,
        mark,
        format: percent,
        series: [
          { name: 'same text', weight: 'main', values: computePerCharacter(points, costs) },
          { name: 'one token', weight: 'second', values: perToken },
        ],
      }),
    );
  }
  if (points.some(({ rare }) => rare !== null)) {
    const { minOccurrences = 1000, tokenBudget = 0 } = options;
    const of = (key: 'p1' | 'p10' | 'median') => points.map(({ rare }) => (rare === null || rare[key] <= 0 ? null : rare[key]));
    charts.push(
      lineChart({
        title: 'Rare rows',
        measure: `expected meetings of new rows in ${si(tokenBudget)} tokens of training; a row met seldom stays near its initial value`,
        x,
        xName,
        mark,
        log: true,
        format: (y) => si(Number(y.toPrecision(2))),
        line: { y: minOccurrences, text: `${thousands(minOccurrences)} meetings` },
        series: [
          { name: 'median row', weight: 'side', values: of('median') },
          { name: 'rarest 10 %', weight: 'side', values: of('p10') },
          { name: 'rarest 1 %', weight: 'main', values: of('p1') },
        ],
      }),
    );
  }
  const columns = columnsOf(report);
  const head = columns.map(([name]) => `<th>${quoted(name)}</th>`).join('');
  const rows = points
    .map((point, i) => `<tr${point.size === advice.size ? ' class="best"' : ''}>${columns.map(([, cell]) => `<td>${quoted(cell(i))}</td>`).join('')}</tr>`)
    .join('\n');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${quoted(report.title)}</title>
<style>${STYLE}</style>
<h1>${quoted(report.title)}</h1><p class="advice"><b>${thousands(advice.size)} rows.</b> ${quoted(advice.reason)}</p>
${charts.join('\n')}
<div class="scroll"><table><tr>${head}</tr>
${rows}</table></div></html>
`;
}
