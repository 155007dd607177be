/**
 * The report of a run as one page, made from the logs of its stages alone, so that it can be drawn while the run goes, after
 * a crash, and on another machine. No script: it opens from the disk, and while the run goes the page loads itself anew.
 */
import { bytes, duration, si } from '../../base/format.ts';
import { clipped, quoted, visibleHtml } from '../../base/markup.ts';
import { bucketStrip, coloursOf, current, evaluationChart, lossByTokens, lossChart, smallCharts, typeChart, validationChart } from './charts.ts';
import { StageLog } from './read-log.ts';
import { STYLE } from './style.ts';
import { Timeline } from './timeline.ts';

/** A stage: its name, and the folder that holds its `log.jsonl`. */
export interface ReportStage {
  readonly name: string;
  readonly dir: string;
}

export interface ReportOptions {
  /** Heads the page; by default the names of the stages. */
  readonly title?: string;
  /** More above the charts, as HTML that the caller answers for. */
  readonly preface?: string;
}

/** Seconds between two loadings of a live page. */
const RELOAD_SECONDS = 10;
/** Samples of a prompt that are shown: the first and the last of these. */
const MOST_SAMPLES = 9;
const MOST_SAMPLE_CHARACTERS = 400;

const thousands = (n: number): string => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',');
/** A text on one line, its line ends shown, at most so long. */
const oneLine = (text: string): string => visibleHtml(clipped(text.replace(/\n+/g, ' ⏎ '), MOST_SAMPLE_CHARACTERS));
const numberOf = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);

/** A report that goes on reading where it stopped. Draw it as often as you like. */
export class RunReport {
  private readonly logs: readonly StageLog[];
  private readonly options: ReportOptions;

  constructor(stages: readonly ReportStage[], options: ReportOptions = {}) {
    this.logs = stages.map(({ name, dir }) => new StageLog(name, dir));
    this.options = options;
  }

  /** Reads what is new and draws the page. */
  async html(): Promise<string> {
    for (const log of this.logs) await log.update();
    return page(this.logs, this.options);
  }
}

/** The report of stages in their order, as one HTML page. Stages without a log are yet to come. */
export function buildRunReport(stages: readonly ReportStage[], options: ReportOptions = {}): Promise<string> {
  return new RunReport(stages, options).html();
}

type State = 'waiting' | 'running' | 'failed' | 'stopped' | 'finished';

function stateOf(logs: readonly StageLog[]): State {
  const begun = logs.filter((log) => log.facts.event === 'begin' || log.steps > 0);
  const last = begun.at(-1);
  if (!last) return 'waiting';
  if (last.end === null) return 'running';
  if ('failed' in last.end) return 'failed';
  if (last.end.interrupted === true) return 'stopped';
  return begun.length === logs.length ? 'finished' : 'running';
}

const STATES: Readonly<Record<State, string>> = {
  waiting: 'not begun',
  running: 'running',
  failed: '<span class="bad">failed</span>',
  stopped: 'stopped, to be resumed',
  finished: '<span class="good">finished</span>',
};

/** Steps, time left, and which stage is under way. */
function stateLine(line: Timeline, logs: readonly StageLog[], state: State): string {
  const now = current(line);
  const words = [`<b>${STATES[state]}</b>`];
  if (now) {
    const { log } = now;
    if (logs.length > 1) words.push(`stage ${logs.indexOf(log) + 1} of ${logs.length}: ${visibleHtml(log.name)}`);
    words.push(`step ${thousands(log.steps)} of ${thousands(log.planned)}`);
    const recent = log.points.slice(-20).flatMap(({ seconds }) => (seconds === null ? [] : [seconds]));
    if (state === 'running' && recent.length > 0) {
      const mean = recent.reduce((a, b) => a + b, 0) / recent.length;
      words.push(`${duration((log.planned - log.steps) * mean)} of steps left${logs.length > 1 ? ' in this stage' : ''}`);
    }
    const failed = log.end?.failed;
    if (typeof failed === 'string') words.push(visibleHtml(failed));
  }
  return `<p class="state">${words.join(' · ')}</p>`;
}

/** A bar with one part a stage, filled as far as it got. */
function progress(logs: readonly StageLog[]): string {
  const parts = logs.map((log) => {
    const done = log.planned > 0 ? log.steps / log.planned : 0;
    return `<span style="flex:${Math.max(1, log.planned)}" title="${quoted(`${log.name}: ${log.steps} of ${log.planned} steps`)}"><i style="width:${(100 * done).toFixed(1)}%"></i></span>`;
  });
  return `<div class="bar">${parts.join('')}</div>`;
}

function facts(line: Timeline): string {
  const now = current(line);
  if (!now) return '';
  const { log } = now;
  const { facts: f } = log;
  const recent = log.points.slice(-20);
  const mean = (values: readonly (number | null)[]): number | null => {
    const known = values.filter((v) => v !== null);
    return known.length > 0 ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };
  const share = mean(recent.map((p) => p.peakShare));
  const speed = mean(recent.map((p) => p.tokensPerSecond));
  const memory = Math.max(0, ...recent.map((p) => p.deviceBytes ?? 0));
  const skipped = line.stages.flatMap(({ log: one }) => one.skipped);
  const outliers = skipped.filter(({ outlier }) => outlier).length;
  const tiles: (readonly [string, string | null, string?])[] = [
    ['loss', mean(recent.map((p) => p.loss))?.toFixed(3) ?? null],
    ['held-out', log.validations.at(-1)?.bitsPerByte?.toFixed(4) ?? null, 'bits per byte'],
    ['tokens', `${si(Number(line.tokens.toPrecision(4)))}`, `${thousands(line.steps)} steps`],
    ['speed', speed === null ? null : `${si(speed)}`, 'tokens/s'],
    ['of the peak', share === null ? null : `${(100 * share).toFixed(1)} %`, numberOf(f.peakFlops) === null ? '' : `${si(numberOf(f.peakFlops) ?? 0)}FLOP/s`],
    ['parameters', numberOf(f.parameters) === null ? null : si(numberOf(f.parameters) ?? 0), typeof f.precision === 'string' ? f.precision : ''],
    ['memory', memory > 0 ? bytes(Math.round(memory)) : null, numberOf(f.plannedBytes) === null ? '' : `planned ${bytes(numberOf(f.plannedBytes) ?? 0)}`],
    ['skipped', String(skipped.length), outliers > 0 ? `${outliers} outliers` : 'steps'],
  ];
  const shown = tiles
    .filter(([, value]) => value !== null)
    .map(([name, value, more]) => `<div><dt>${name}</dt><dd>${quoted(value ?? '')} <small>${quoted(more ?? '')}</small></dd></div>`);
  const machine = [f.device, f.runtime].filter((x) => typeof x === 'string').join(', ');
  return `<dl class="facts">${shown.join('')}</dl>${machine === '' ? '' : `<p class="state">${visibleHtml(machine)}</p>`}`;
}

/** Bits per byte of each category where stages begin and end. */
function validationTable(line: Timeline): string {
  const stages = line.stages.filter(({ log }) => log.validations.length > 0);
  if (stages.length === 0) return '';
  const columns = stages.flatMap(({ log }) => {
    const first = log.validations[0];
    const last = log.validations[log.validations.length - 1];
    return [
      { head: `${log.name}, step ${thousands(first.step)}`, v: first, from: null },
      ...(last === first ? [] : [{ head: `${log.name}, step ${thousands(last.step)}`, v: last, from: first }]),
    ];
  });
  const names = [...new Set(columns.flatMap(({ v }) => [...v.byCategory.keys()]))];
  const row = (name: string, of: (v: (typeof columns)[number]['v']) => number | null, mark = ''): string => {
    const cells = columns.map(({ v, from }) => {
      const value = of(v);
      const first = from && of(from);
      const change = value === null || first === null ? '' : value < first ? ' class="better"' : value > first ? ' class="worse"' : '';
      return `<td${change}>${value === null ? '' : value.toFixed(4)}</td>`;
    });
    return `<tr${mark}><td>${visibleHtml(name)}</td>${cells.join('')}</tr>`;
  };
  const rows = names.length > 1 ? names.map((name) => row(name, (v) => v.byCategory.get(name) ?? null)) : [];
  return `<div class="scroll"><table><tr><th>bits per byte</th>${columns.map(({ head }) => `<th>${visibleHtml(head)}</th>`).join('')}</tr>${rows.join('')}${row('all', (v) => v.bitsPerByte, ' class="all"')}</table></div>`;
}

function samples(line: Timeline): string {
  const byPrompt = new Map<string, { readonly when: string; readonly text: string }[]>();
  for (const { log } of line.stages) {
    for (const v of log.validations) {
      for (const { prompt, text } of v.samples) {
        const list = byPrompt.get(prompt) ?? [];
        list.push({ when: `${line.stages.length > 1 ? `${log.name} ` : 'step '}${thousands(v.step)}`, text });
        byPrompt.set(prompt, list);
      }
    }
  }
  if (byPrompt.size === 0) return '';
  const tables = [...byPrompt].map(([prompt, all]) => {
    const shown = all.length <= MOST_SAMPLES ? all : [all[0], ...all.slice(1 - MOST_SAMPLES)];
    const rows = shown.map(
      ({ when, text }) => `<tr><td>${visibleHtml(when)}</td><td dir="auto"><span class="prompt">${oneLine(prompt)}</span>${oneLine(text)}</td></tr>`,
    );
    return `<table class="samples"><tr><th>written after</th><th></th></tr>${rows.join('')}</table>`;
  });
  return `<h2>What it writes</h2>${tables.join('\n')}`;
}

function events(line: Timeline): string {
  const items = line.stages.flatMap(({ log, from }) => [
    ...log.skipped
      .slice(-20)
      .map(({ step, outlier }) => `step ${thousands(from + step)}: skipped, ${outlier ? 'its gradient norm was an outlier' : 'it found NaN or infinity'}`),
    ...log.events.map(({ kind, message }) => `${kind}: ${message}`),
  ]);
  return items.length === 0 ? '' : `<h2>What happened</h2><ul class="events">${items.map((item) => `<li>${visibleHtml(item)}</li>`).join('')}</ul>`;
}

function page(logs: readonly StageLog[], options: ReportOptions): string {
  const line = new Timeline(logs);
  const state = stateOf(logs);
  const colours = coloursOf(line);
  const title = options.title ?? logs.map(({ name }) => name).join(', ');
  const small = smallCharts(line);
  const live = state === 'running' || state === 'waiting' ? `<meta http-equiv="refresh" content="${RELOAD_SECONDS}">` : '';
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">${live}<title>${quoted(title)}</title>
<style>${STYLE}</style>
<h1>${visibleHtml(title)}</h1>${stateLine(line, logs, state)}${progress(logs)}${facts(line)}${options.preface ?? ''}
${lossChart(line)}
${bucketStrip(line)}
${validationChart(line, colours)}
${validationTable(line)}
${evaluationChart(line)}
${samples(line)}
<h2>In detail</h2>
${typeChart(line, colours)}
${lossByTokens(line)}
<div class="pair">${small}</div>
${events(line)}</html>
`;
}
