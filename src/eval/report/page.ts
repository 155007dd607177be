/**
 * Models side by side on one page: all tasks with intervals, tests on the same questions, subjects, and the questions that were answered wrongly. One
 * file without a script, and a policy that forbids what a text in it may try; every text of a stranger is written so that what is seen is what is there.
 */
import { clipped, quoted, visible, visibleHtml } from '../../base/markup.ts';
import type { Aggregate, Result } from '../metrics/index.ts';
import type { ModelResult, PairResult, TaskResult } from './score.ts';

/** What the page tells beside the results. */
export interface PageOptions {
  readonly title?: string;
  /** Lines on how it was asked: shots, limits, what was left out. */
  readonly notes?: readonly string[];
  /** Wrong answers shown of each task; 60 by default. */
  readonly wrong?: number;
}

/** Most characters of a text of a question, and of an answer. */
const TEXT = 2500;
const ANSWER = 1500;

const STYLE = `:root{color-scheme:light dark;--paper:#fcfcfb;--wash:#f3f2ee;--ink:#1c1c1a;--soft:#5f5f59;--grid:#e4e3de;--accent:#1f6fd0;--good:#0f7d5b;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--paper:#191918;--wash:#232321;--ink:#ecebe6;--soft:#a8a79f;--grid:#36362f;--accent:#6aa9f4;--good:#52c49a;--bad:#ff8a80}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:0 auto;padding:1.6rem 1.1rem 4rem;background:var(--paper);color:var(--ink);overflow-wrap:break-word}
h1{font-size:1.45rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.4rem 0 .3rem;padding-top:.8rem;border-top:1px solid var(--grid)}h3{font-size:1rem;margin:1.2rem 0 .3rem}.note,small{color:var(--soft)}.note{font-size:.88rem;margin:.2rem 0 .6rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}th,td{padding:.3rem .7rem;border-bottom:1px solid var(--grid);text-align:right;vertical-align:top;white-space:nowrap}th{font-weight:500;color:var(--soft);vertical-align:bottom}th:first-child,td:first-child{text-align:left;padding-left:0}td small{display:block;font-size:.78rem}td.best{font-weight:650}
.good{color:var(--good)}.bad{color:var(--bad)}svg{display:block;width:100%;max-width:46rem;height:auto;font:12px system-ui,sans-serif;overflow:visible}svg text{fill:var(--soft)}svg .end{text-anchor:end}svg .middle{text-anchor:middle}svg line{stroke:var(--soft)}svg line.grid{stroke:var(--grid)}svg line.chance{stroke:var(--bad);stroke-dasharray:3 3}svg circle{fill:var(--accent)}
details{margin:.25rem 0;border-bottom:1px solid var(--grid);padding-bottom:.25rem}summary{cursor:pointer}.text{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--wash);border-radius:4px;padding:.5rem .7rem;margin:.3rem 0 .6rem;font-size:.88rem;max-height:22rem;overflow:auto;text-align:start}
.unseen{color:var(--bad);font:.82em ui-monospace,Menlo,Consolas,monospace;border:1px solid currentColor;border-radius:3px;padding:0 .15em}`;

const html = visibleHtml;
/** A name, or a line: a stranger may give one of a megabyte. */
const line = (text: string, most = 200): string => visibleHtml(clipped(text, most));
const label = (text: string): string => quoted(visible(text));

/** A value as its unit wants it: shares in percent. */
function shown(value: number, unit: Aggregate['unit']): string {
  return unit === 'share' ? `${(100 * value).toFixed(1)} %` : value.toFixed(value < 10 ? 3 : 1);
}

function valueCell(result: Result | null | undefined, unit: Aggregate['unit'], best = false): string {
  if (!result) return '<td><small>none</small></td>';
  return `<td${best ? ' class="best"' : ''}>${shown(result.value, unit)}<small>${shown(result.low, unit)} to ${shown(result.high, unit)}, n ${result.n}</small></td>`;
}

/** Indices of the best of some values; none where all are equal or there is one. */
function bestOf(values: readonly (number | undefined)[], better: Aggregate['better']): Set<number> {
  const known = values.filter((v) => v !== undefined);
  const best = better === 'higher' ? Math.max(...known) : Math.min(...known);
  if (known.length < 2 || known.every((v) => v === best)) return new Set();
  return new Set(values.flatMap((v, i) => (v === best ? [i] : [])));
}

const head = (first: string, models: readonly ModelResult[], more = ''): string =>
  `<tr><th>${first}</th>${models.map(({ name, step }) => `<th>${line(name, 60)}${step === null ? '' : `<small> step ${step}</small>`}</th>`).join('')}${more}</tr>`;

const titleOf = ({ asked }: TaskResult): string => `${asked.task.title}, ${asked.method}`;

function overall(models: readonly ModelResult[]): string {
  const rows = models[0].results.flatMap((result, t) =>
    Object.keys(result.metrics).map((metric) => {
      const found = models.map((m) => m.results[t].metrics[metric]);
      const [{ unit, better, baselines, unscored }] = found;
      const best = bestOf(
        found.map((a) => a?.micro?.value),
        better,
      );
      const chance = unit === 'share' && baselines ? `${shown(baselines.random, unit)}<small>majority ${shown(baselines.majority, unit)}</small>` : '';
      return `<tr><td>${html(titleOf(result))}<small>${html(metric)}${better === 'lower' ? ', lower is better' : ''}${unscored.n > 0 ? `, ${unscored.n} unscored` : ''}</small></td>${found.map((a, i) => valueCell(a?.micro, unit, best.has(i))).join('')}<td>${chance}</td></tr>`;
    }),
  );
  return `<h2>Overall</h2><p class="note">Over all questions alike; 95 % intervals. Chance is the mean of 1 / options, majority the best that one constant letter gets.</p><div class="scroll"><table>${head('task', models, '<th>chance</th>')}${rows.join('')}</table></div>`;
}

/** Values with their intervals on one axis, a line a model. */
function forest(models: readonly ModelResult[], t: number, metric: string): string {
  const found = models.map((m) => m.results[t].metrics[metric]);
  const [{ unit, baselines }] = found;
  const ends = found.flatMap((a) => (a?.micro ? [a.micro.low, a.micro.high] : []));
  if (unit !== 'share' || ends.length === 0) return '';
  const chance = baselines?.random ?? null;
  const low = Math.max(0, Math.floor(10 * Math.min(...ends, chance ?? 1) - 0.01) / 10);
  const high = Math.min(1, Math.ceil(10 * Math.max(...ends, chance ?? 0) + 0.01) / 10);
  const [left, right, top, step] = [190, 720, 8, 22];
  const x = (v: number): string => (left + ((v - low) / (high - low || 1)) * (right - left)).toFixed(1);
  const bottom = top + step * models.length;
  const ticks = Array.from({ length: 5 }, (_, i) => low + ((high - low) * i) / 4);
  const axis = ticks.map(
    (v) =>
      `<line class="grid" x1="${x(v)}" x2="${x(v)}" y1="${top}" y2="${bottom}"/><text class="middle" x="${x(v)}" y="${bottom + 15}">${(100 * v).toFixed(0)} %</text>`,
  );
  const lines = found.map((a, i) => {
    const y = top + step * (i + 0.5);
    const name = `<text class="end" x="${left - 10}" y="${y + 4}">${label(clipped(models[i].name, 26))}</text>`;
    if (!a?.micro) return name;
    const { value, low: from, high: to } = a.micro;
    return `${name}<line x1="${x(from)}" x2="${x(to)}" y1="${y}" y2="${y}"/><circle cx="${x(value)}" cy="${y}" r="4"><title>${label(models[i].name)}: ${shown(value, unit)}</title></circle>`;
  });
  const guess = chance === null ? '' : `<line class="chance" x1="${x(chance)}" x2="${x(chance)}" y1="${top}" y2="${bottom}"/>`;
  return `<svg viewBox="0 0 760 ${bottom + 22}" role="img" aria-label="${label(metric)}">${axis.join('')}${guess}${lines.join('')}</svg>`;
}

function paired(pairs: readonly PairResult[]): string {
  if (pairs.length === 0) return '';
  const p = (v: number): string => (v < 0.001 ? '&lt; 0.001' : v.toFixed(3));
  const rows = pairs.map(({ task, method, metric, a, b, test, pHolm }) => {
    const sure = pHolm < 0.05 ? (test.difference > 0 ? ' class="good"' : ' class="bad"') : '';
    const points = (v: number): string => `${v > 0 ? '+' : ''}${(100 * v).toFixed(1)}`;
    const counts = test.mcnemar ? `${test.mcnemar.onlyA} / ${test.mcnemar.onlyB}<small>McNemar ${p(test.mcnemar.p)}</small>` : '';
    return `<tr><td>${html(`${task}, ${method}`)}<small>${html(metric)}</small></td><td>${line(a, 60)}<small>against ${line(b, 60)}</small></td><td${sure}>${points(test.difference)}<small>${points(test.low)} to ${points(test.high)}, n ${test.n}</small></td><td>${p(test.p)}<small>of ${pairs.length}: ${p(pHolm)}</small></td><td>${counts}</td></tr>`;
  });
  return `<h2>On the same questions</h2><p class="note">Differences in points with 95 % intervals; p of sign flips of the questions' differences, and corrected for the number of comparisons (Holm). Coloured where that is below 0.05.</p><div class="scroll"><table><tr><th>task</th><th>model</th><th>difference</th><th>p</th><th>only one right</th></tr>${rows.join('')}</table></div>`;
}

function subjects(models: readonly ModelResult[], t: number, metric: string): string {
  const found = models.map((m) => m.results[t].metrics[metric]);
  const names = [...new Set(found.flatMap((a) => Object.keys(a?.bySubject ?? {})))];
  if (names.length < 2) return '';
  const [{ unit, better }] = found;
  const row = (name: string, of: (a: Aggregate) => Result | null | undefined): string => {
    const values = found.map((a) => a && of(a));
    const best = bestOf(
      values.map((r) => r?.value),
      better,
    );
    return `<tr><td>${line(name)}</td>${values.map((r, i) => valueCell(r, unit, best.has(i))).join('')}</tr>`;
  };
  const groups = [...new Set(found.flatMap((a) => Object.keys(a?.byGroup ?? {})))];
  const rows = [
    row('mean of subjects', (a) => a.macro),
    ...groups.map((name) => row(name, (a) => a.byGroup[name]?.micro)),
    ...names.map((name) => row(name, (a) => a.bySubject[name])),
  ];
  return `<details><summary>${names.length} subjects</summary><div class="scroll"><table>${head('subject', models)}${rows.join('')}</table></div></details>`;
}

function answerOf(model: ModelResult, t: number, i: number, metric: string): string {
  const found = model.results[t].lines[i];
  if (!found) return '';
  const score = found.scores[metric];
  const said = [
    found.chosen === null ? '' : `chose <b>${line(found.chosen)}</b>`,
    score === null || score === undefined ? 'not scored' : `score ${score.toFixed(2)}`,
    found.letterLogits
      ? html(
          Object.entries(found.letterLogits)
            .map(([letter, x]) => `${letter} ${x.toFixed(2)}`)
            .join(', '),
        )
      : '',
    found.options ? `nats ${found.options.map(({ nll }) => nll.toFixed(2)).join(', ')}` : '',
  ].filter((part) => part !== '');
  const text = found.text === undefined ? '' : `<div class="text" dir="auto">${html(clipped(found.text, ANSWER))}</div>`;
  return `<p class="note"><b>${line(model.name, 60)}</b>: ${said.join('; ')}</p>${text}`;
}

/** Questions that some model has wrong by the first metric, the ones that most have wrong first. */
function wrongAnswers(models: readonly ModelResult[], t: number, metric: string, most: number): string {
  const { asked } = models[0].results[t];
  const failures = asked.prompts.flatMap((prompt, i) => {
    const scores = models.map((m) => m.results[t].lines[i]?.scores[metric]);
    const wrong = scores.filter((s) => s !== null && s !== undefined && s < 1).length;
    return wrong > 0 ? [{ prompt, i, wrong }] : [];
  });
  if (failures.length === 0) return '';
  const order = failures.toSorted((a, b) => b.wrong - a.wrong || a.i - b.i).slice(0, most);
  const items = order.map(({ prompt: { question, body }, i, wrong }) => {
    const right = question.answer === null ? '' : `<p class="note">right: <b>${html(clipped(question.answer.join(', '), ANSWER))}</b></p>`;
    const where = `${question.file}:${question.line}`;
    return `<details><summary>${line(question.id, 120)}${models.length > 1 ? ` <small>${wrong} of ${models.length} wrong</small>` : ''}</summary><p class="note">${line(where, 300)}</p><div class="text" dir="auto">${html(clipped(body, TEXT))}</div>${right}${models.map((m) => answerOf(m, t, i, metric)).join('')}</details>`;
  });
  const rest = failures.length > order.length ? `; ${order.length} shown, all in samples.jsonl` : '';
  return `<details><summary>${failures.length} of ${asked.prompts.length} questions with a wrong answer${rest}</summary>${items.join('')}</details>`;
}

/** The page. Models have answered the same tasks in the same order. */
export function evalPage(models: readonly ModelResult[], pairs: readonly PairResult[], options: PageOptions = {}): string {
  const { title = `Evaluation of ${models.map(({ name }) => name).join(', ')}`, notes = [], wrong = 60 } = options;
  const shares = (t: number): string[] => Object.entries(models[0].results[t].metrics).flatMap(([name, { unit }]) => (unit === 'share' ? [name] : []));
  const tasks = models[0].results.map((result, t) => {
    const [metric] = Object.keys(result.metrics);
    if (metric === undefined)
      return `<h2>${html(titleOf(result))}</h2><p class="note">This task names no metric for this method; the answers are in samples.jsonl.</p>`;
    const [share] = shares(t);
    return `<h2>${html(titleOf(result))}</h2><p class="note">${html(`${result.asked.prompts.length} questions; ${metric}. ${result.asked.task.about}`)}</p>${forest(models, t, metric)}${subjects(models, t, metric)}${share === undefined ? '' : wrongAnswers(models, t, share, wrong)}`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${label(clipped(title, 200))}</title>
<style>${STYLE}</style></head>
<body>
<h1>${html(clipped(title, 300))}</h1>
${notes.map((note) => `<p class="note">${line(note, 1000)}</p>`).join('\n')}
${overall(models)}
${paired(pairs)}
${tasks.join('\n')}
</body></html>
`;
}
