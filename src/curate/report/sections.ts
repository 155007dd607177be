/**
 * The sections of the report's page, each from the report to HTML. Lists are cut at a length that a person still reads, and say
 * so; a section with nothing to show says that too, since an empty place could also be a fault.
 */
import { duration } from '../../base/format.ts';
import { clipped } from '../../base/markup.ts';
import { diffTexts } from './diff.ts';
import { categoryWays, count, isChoice, lastJudging, mixSpreads, reasonRows, share, stepSums, sum } from './facts.ts';
import { edge, percent, points, short, size, thousands } from './numbers.ts';
import { cell, documentHtml, firstOf, html, sideHtml, table } from './page.ts';
import { bar, COLOURS, histogram, type StackPart, stackedBar } from './svg.ts';
import type { BuildReport, PowerHistogram } from './types.ts';

const MOST_CATEGORIES = 40;
const MOST_REASONS = 80;
const MOST_TALLIES = 120;
const MOST_BUCKETS = 64;
const MOST_PAIRS = 20;
const MOST_SCORES = 24;
const MOST_BINS = 64;
const MOST_EXAMPLES = 5;
const TEXT = 700;
const PAIR_TEXT = 2000;
const CONFIG = 40_000;

const nothing = (text: string): string => `<p class="note">${html(text)}</p>`;
const by = (first: string, more: readonly string[]): string => [first, ...more].join('');

/** Steps with what is left behind each, and each category's way through them. */
export function funnelSection(report: BuildReport): string {
  const steps = stepSums(report);
  if (steps.length === 0) return nothing('No step was counted.');
  const most = Math.max(...steps.map(({ bytes }) => bytes));
  const rows = steps.map((step, i) => {
    const before = i > 0 ? steps[i - 1] : step;
    const change = step.documents - before.documents;
    return {
      cells: [
        step.step,
        thousands(step.documents),
        i === 0 ? '' : change === 0 ? '0' : `${change < 0 ? '−' : '+'}${thousands(Math.abs(change))}`,
        size(step.bytes),
        { html: bar(step.bytes, most, `${step.step}: ${size(step.bytes)} of ${size(most)}`, before.bytes), kind: 'bar' },
        percent(share(step.bytes, steps[0].bytes)),
        thousands(step.tokens),
      ],
    };
  });
  const totals = table(
    ['behind step', 'documents', 'change', 'bytes', cell('', 'bar'), 'of bytes read', 'tokens'],
    rows,
    'What is left behind each step. The bar is bytes; its pale end is what this step took.',
  );
  return by(totals, [categoryTable(report), heldOutTable(report)]);
}

function categoryTable(report: BuildReport): string {
  const steps = stepSums(report);
  const last = lastJudging(steps);
  const ways = categoryWays(report);
  const { shown, cut } = firstOf(ways, MOST_CATEGORIES, 'categories');
  const readBytes = sum(ways.map((way) => way.bytes[0]));
  const packed = sum(ways.map((way) => way.packed));
  const judged = steps.slice(1, last + 1);
  const head = [
    'category',
    'documents read',
    'of all bytes read',
    ...judged.map(({ step }) => `taken by ${step}`),
    'documents left',
    'bytes left',
    'of all tokens packed',
  ];
  const rows = shown.map((way) => {
    const read = way.documents[0];
    const taken = judged.map((_, i) => {
      const part = share(way.documents[i] - way.documents[i + 1], read);
      return cell(part === 0 ? '·' : percent(part), part > 0.2 ? 'off' : undefined);
    });
    const left = (values: readonly number[]) => (read === 0 ? '–' : percent(share(values[last], values[0])));
    return {
      cells: [
        clipped(way.category, 80),
        thousands(read),
        percent(share(way.bytes[0], readBytes)),
        ...taken,
        left(way.documents),
        left(way.bytes),
        packed > 0 ? percent(share(way.packed, packed)) : '–',
      ],
    };
  });
  return table(head, rows, 'By category: what each step takes of the documents read, before sampling. Marked where a step takes more than a fifth.') + cut;
}

/** What was set aside for validation, by category. */
function heldOutTable(report: BuildReport): string {
  const rows = Object.entries(report.heldOut ?? {}).sort((a, b) => count(b[1].bytes) - count(a[1].bytes));
  if (rows.length === 0) return '';
  const { shown, cut } = firstOf(rows, MOST_CATEGORIES, 'categories');
  const cells = shown.map(([category, { documents, bytes }]) => ({ cells: [clipped(category, 80), thousands(documents), size(bytes)] }));
  return table(['held out for validation', 'documents', 'bytes'], cells, 'Held out: in no pack, measured while training.') + cut;
}

/** Reasons with counts, where they took from, and examples. */
export function reasonsSection(report: BuildReport): string {
  const reasons = reasonRows(report);
  if (reasons.length === 0) return nothing('No document was dropped.');
  const read = stepSums(report)[0]?.documents ?? 0;
  const most = reasons[0].documents;
  const { shown, cut } = firstOf(reasons, MOST_REASONS, 'reasons');
  const rows = shown.map(({ reason, documents, categories }) => {
    const from = categories.slice(0, 4).map((one) => `${clipped(one.category, 60)} ${thousands(one.documents)}`);
    const rest = categories.length - from.length;
    return {
      cells: [
        clipped(reason, 80),
        thousands(documents),
        { html: bar(documents, most, `${reason}: ${thousands(documents)} documents`), kind: 'bar' },
        percent(share(documents, read)),
      ],
      under: `<p class="from">${from.length > 0 ? `from ${html(from.join(', '))}${rest > 0 ? ` and ${rest} more` : ''}` : ''}</p>${examplesHtml(report, reason, documents)}`,
    };
  });
  return table(['reason', 'documents', cell('', 'bar'), 'of documents read'], rows, 'Documents dropped, by reason.') + cut;
}

function examplesHtml(report: BuildReport, reason: string, documents: number): string {
  const examples = Object.hasOwn(report.examples, reason) ? report.examples[reason].slice(0, MOST_EXAMPLES) : [];
  if (examples.length === 0) return '';
  return `<details><summary>Examples (${examples.length} of ${thousands(documents)})</summary>${examples.map((one) => documentHtml(one, TEXT)).join('')}</details>`;
}

/** Edits and flags, step by step. */
export function talliesSection(report: BuildReport): string {
  const tallies = Object.entries(report.tallies).sort((a, b) => stepOf(a[0]).localeCompare(stepOf(b[0]), 'en') || count(b[1]) - count(a[1]));
  if (tallies.length === 0) return nothing('No step edited or flagged anything.');
  const { shown, cut } = firstOf(tallies, MOST_TALLIES, 'counts');
  const most = Math.max(...shown.map(([, n]) => count(n)));
  const rows = shown.map(([name, n]) => ({
    cells: [clipped(name, 80), thousands(n), { html: bar(Math.log1p(count(n)), Math.log1p(most), `${name}: ${thousands(n)}`), kind: 'bar' }],
  }));
  return table(['edit or flag', 'times', cell('', 'bar')], rows, 'What steps did besides dropping. The bar grows with the logarithm.') + cut;
}

const stepOf = (name: string): string => name.slice(0, Math.max(0, name.indexOf('.')));

/** Borders of powers of two from `from` to `to`. */
const powerEdges = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => (from + i === 0 ? '0' : thousands(2 ** (from + i))));

/** The first and the last power that any histogram has anything in. */
function powerRange(all: readonly PowerHistogram[]): { from: number; to: number } {
  let from = MOST_BINS;
  let to = 0;
  for (const bins of all) {
    bins.slice(0, MOST_BINS).forEach((n, k) => {
      if (count(n) === 0) return;
      from = Math.min(from, k);
      to = Math.max(to, k + 1);
    });
  }
  return to === 0 ? { from: 0, to: 1 } : { from, to };
}

const binsOf = (bins: PowerHistogram, from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => count(bins[from + i]));

/** Lengths of documents, one chart a category over a common axis. */
export function lengthsSection(report: BuildReport): string {
  const { length, lengthKept } = report.histograms;
  const all = Object.entries(length).sort((a, b) => sum(b[1]) - sum(a[1]));
  if (all.length === 0) return nothing('No lengths were counted.');
  const { from, to } = powerRange(all.map(([, bins]) => bins));
  const { shown, cut } = firstOf(all, MOST_CATEGORIES, 'categories');
  const charts = shown.map(([category, bins]) => {
    const kept = lengthKept ? (Object.hasOwn(lengthKept, category) ? lengthKept[category] : []) : undefined;
    const chart = histogram({
      title: `Characters of the documents of ${clipped(category, 80)}`,
      edges: powerEdges(from, to),
      counts: binsOf(bins, from, to),
      ...(kept ? { kept: binsOf(kept, from, to) } : {}),
      what: 'documents',
    });
    return `<figure><figcaption><b>${html(clipped(category, 80))}</b> ${thousands(sum(bins))} documents</figcaption>${chart}</figure>`;
  });
  const legend = lengthKept ? 'Pale: as read. Strong: kept before sampling.' : 'As read.';
  return `<p class="note">Documents by their number of characters, in powers of two. ${legend}</p><div class="grid">${charts.join('')}</div>${cut}`;
}

/** Scores with the thresholds that were asked for, and how far the scorers can be believed. */
export function scoresSection(report: BuildReport): string {
  const scores = Object.entries(report.histograms.scores);
  if (scores.length === 0) return nothing('No score was given.');
  const { shown, cut } = firstOf(scores, MOST_SCORES, 'scores');
  const charts = shown.map(([name, { edges, counts, atLeast, atMost }]) => {
    const bins = counts.slice(0, MOST_BINS * 2);
    const mark = (value: number | undefined, words: string) => (value === undefined ? [] : [{ at: placeOf(value, edges), text: `${words} ${edge(value)}` }]);
    const chart = histogram({
      title: `Scores ${clipped(name, 80)}`,
      edges: edges.slice(0, bins.length + 1).map(edge),
      counts: bins.map(count),
      what: 'documents',
      marks: [...mark(atLeast, 'at least'), ...mark(atMost, 'at most')],
    });
    return `<figure><figcaption><b>${html(clipped(name, 80))}</b> ${thousands(sum(counts))} documents</figcaption>${chart}</figure>`;
  });
  return `<div class="grid">${charts.join('')}</div>${cut}${scorersTable(report)}`;
}

/** Where a value stands along bins of equal width on the page, whatever their width in numbers. */
function placeOf(value: number, edges: readonly number[]): number {
  const bins = edges.length - 1;
  const at = edges.findIndex((e) => e > value);
  if (at === 0 || bins < 1) return 0;
  if (at < 0) return 1;
  return (at - 1 + (value - edges[at - 1]) / (edges[at] - edges[at - 1])) / bins;
}

function scorersTable(report: BuildReport): string {
  const rows = Object.entries(report.scorers ?? {})
    .flatMap(([name, { auc }]) =>
      Object.entries(auc).map(([kind, value]) => ({ cells: [`${clipped(name, 60)}: ${clipped(kind, 60)}`, count(value).toFixed(4)] })),
    )
    .slice(0, MOST_SCORES);
  return rows.length === 0
    ? ''
    : table(
        ['scorer: kind of page', 'AUC'],
        rows,
        'How well a scorer tells good pages from each kind of bad ones, on pages it was not trained on. 0.5 is chance.',
      );
}

/** Counts, and pairs side by side. */
export function duplicatesSection(report: BuildReport): string {
  const { exact, near, clusters, pairsVerified, examples } = report.duplicates;
  const read = stepSums(report)[0]?.documents ?? 0;
  const counts = table(
    ['what', 'number', 'of documents read'],
    [
      { cells: ['equal documents that went', thousands(exact), percent(share(count(exact), read))] },
      { cells: ['near documents that went', thousands(near), percent(share(count(near), read))] },
      { cells: ['clusters', thousands(clusters), ''] },
      { cells: ['candidate pairs verified', thousands(pairsVerified), ''] },
    ],
    'How many went as duplicates.',
  );
  if (examples.length === 0) return counts;
  const { shown, cut } = firstOf(examples, MOST_PAIRS, 'pairs');
  return `${counts}<h3>Side by side</h3><p class="note">Left what was kept, right what went for it. <del>Only left</del>, <ins>only right</ins>.</p>${shown.map((pair) => pairHtml(pair, PAIR_TEXT)).join('')}${cut}`;
}

/** A kept and a dropped document with their differences marked. */
export function pairHtml(pair: BuildReport['duplicates']['examples'][number], most: number): string {
  const parts = diffTexts(clipped(pair.a.text, most), clipped(pair.b.text, most));
  const side = (which: 'a' | 'b', word: string): string =>
    `<div><p class="from">${word} <b>${html(clipped(pair[which].id, 200))}</b> · ${html(clipped(pair[which].category, 100))}</p><div class="text" dir="auto">${sideHtml(parts, which)}</div></div>`;
  const alike = pair.similarity === null ? '' : ` · similarity ${pair.similarity.toFixed(3)}`;
  return `<div class="pair"><p class="from">${html(clipped(pair.reason, 80))}${alike}${pair.b.note ? ` · ${html(clipped(pair.b.note, 300))}` : ''}</p><div class="sides">${side('a', 'kept')}${side('b', 'dropped')}</div></div>`;
}

/** The mix of each bucket as a stack, and how far it lies from the whole. */
export function bucketsSection(report: BuildReport): string {
  if (report.buckets.length === 0) return nothing('Nothing was packed.');
  const spreads = mixSpreads(report);
  // The last colour is for all the rest.
  const coloured = new Map(spreads.slice(0, COLOURS).map(({ category }, i) => [category, i]));
  const partsOf = (mix: Readonly<Record<string, number>>): StackPart[] => {
    const total = sum(Object.values(mix));
    const parts: StackPart[] = [...coloured].map(([category, colour]) => ({ name: category, share: share(count(mix[category]), total), colour }));
    const rest = sum(Object.entries(mix).map(([category, n]) => (coloured.has(category) ? 0 : n)));
    return rest > 0 ? [...parts, { name: 'others', share: share(rest, total), colour: -1 }] : parts;
  };
  const { shown, cut } = firstOf(report.buckets, MOST_BUCKETS, 'buckets');
  const whole = Object.fromEntries(spreads.map(({ category, tokens }) => [category, tokens]));
  const line = (name: string, mix: Readonly<Record<string, number>>) => ({ html: stackedBar(partsOf(mix), `Mix of ${name} by tokens`), kind: 'bar stackcell' });
  const rows = shown.map(({ bucket, tokens, packs, fill, mix }) => ({
    cells: [String(bucket), line(`bucket ${bucket}`, mix), short(tokens), thousands(packs), percent(count(fill), 2)],
  }));
  const stacks = table(
    ['bucket', cell('mix by tokens, %', 'left stackcell'), 'tokens', 'packs', 'full'],
    [
      ...rows,
      {
        cells: ['whole', line('the whole', whole), short(report.packing.tokensPacked), thousands(report.packing.packs), percent(count(report.packing.fill), 2)],
        kind: 'sum',
      },
    ],
    'Training goes from bucket to bucket, so every bucket should look like the whole.',
  );
  const { shown: named, cut: cutNames } = firstOf(spreads, MOST_CATEGORIES, 'categories');
  const legend = named.map(({ category, tokens, share: own, low, high, worst, worstBucket }) => {
    const colour = coloured.get(category);
    return {
      cells: [
        { html: `<span class="swatch" style="background:var(--c${colour ?? 'rest'})"></span>${html(clipped(category, 80))}` },
        thousands(tokens),
        percent(own),
        `${percent(low)} – ${percent(high)}`,
        cell(`${points(worst)} in ${worstBucket}`, Math.abs(worst) > 0.01 ? 'off' : undefined),
      ],
    };
  });
  return `${stacks}${cut}${table(['category', 'tokens', 'of the whole', 'in buckets from – to', 'furthest off, points'], legend, 'Share of each category. Marked where a bucket is off by more than 1 percentage point.')}${cutNames}`;
}

/** How full packs are, how long the pieces in them, how many characters a token holds. */
export function packingSection(report: BuildReport): string {
  const { tokensAfterSampling, tokensPacked, packs, fill, T, lengthHistogram } = report.packing;
  const facts = table(
    ['what', 'number'],
    [
      { cells: ['tokens after sampling', thousands(tokensAfterSampling)] },
      { cells: ['tokens packed', thousands(tokensPacked)] },
      { cells: [`packs of ${thousands(T)}`, thousands(packs)] },
      { cells: ['full', percent(count(fill), 2)] },
      { cells: ['places of padding', thousands(count(packs) * count(T) * (1 - count(fill)))] },
    ],
    'How full the packs are.',
  );
  const { from, to } = powerRange([lengthHistogram]);
  const lengths =
    sum(lengthHistogram) === 0
      ? ''
      : `<figure><figcaption><b>Pieces of documents in the packs</b>, by tokens</figcaption>${histogram({ title: 'Pieces of documents in the packs, by tokens', edges: powerEdges(from, to), counts: binsOf(lengthHistogram, from, to), what: 'pieces' })}</figure>`;
  const rates = Object.entries(report.compression.charactersPerToken).sort((a, b) => count(b[1]) - count(a[1]));
  const { shown, cut } = firstOf(rates, MOST_CATEGORIES, 'categories');
  const most = Math.max(1, ...shown.map(([, rate]) => count(rate)));
  const compression =
    rates.length === 0
      ? ''
      : table(
          ['category', 'characters a token', cell('', 'bar')],
          shown.map(([category, rate]) => ({
            cells: [
              clipped(category, 80),
              count(rate).toFixed(2),
              { html: bar(count(rate), most, `${category}: ${count(rate).toFixed(2)} characters a token`), kind: 'bar' },
            ],
          })),
          `Compression with the tokenizer ${clipped(report.compression.tokenizer, 200)}. More is cheaper; Chinese has fewer than English by nature.`,
        ) + cut;
  return `${facts}${lengths}${compression}`;
}

/** Seconds by step, and how fast each went through the bytes that came to it. */
export function timeSection(report: BuildReport): string {
  const seconds = Object.entries(report.seconds);
  if (seconds.length === 0) return nothing('No time was taken.');
  const steps = stepSums(report);
  const most = Math.max(...seconds.map(([, s]) => count(s)));
  const rows = seconds.slice(0, MOST_TALLIES).map(([step, s]) => {
    const at = steps.findIndex((one) => one.step === step);
    const came = at < 0 ? null : steps[Math.max(0, at - 1)];
    const speed = came && count(s) > 0 ? `${(came.bytes / s / 1e6).toFixed(1)}` : '–';
    return { cells: [clipped(step, 80), duration(count(s)), { html: bar(count(s), most, `${step}: ${duration(count(s))}`), kind: 'bar' }, speed] };
  });
  const memory = report.peakRssBytes === null ? '' : `<p class="note">Most memory resident at a time: ${size(report.peakRssBytes)}.</p>`;
  return (
    table(
      ['step', 'time', cell('', 'bar'), 'MB/s'],
      [...rows, { cells: ['all', duration(sum(Object.values(report.seconds))), '', ''], kind: 'sum' }],
      'Wall time. MB/s counts the text that came to the step.',
    ) + memory
  );
}

/** The recipe as it was run. */
export function configSection(report: BuildReport): string {
  const text = JSON.stringify(report.config, null, 2) ?? 'null';
  return `<details><summary>Recipe as it was run, defaults filled in</summary><pre>${html(clipped(text, CONFIG))}</pre></details>`;
}

/** The figures at the head of the page. */
export function keyFigures(report: BuildReport): string {
  const steps = stepSums(report);
  const last = steps[lastJudging(steps)];
  const { packing } = report;
  const chosen = Object.entries(report.drops).some(([reason, n]) => isChoice(reason) && count(n) > 0);
  const figures: readonly (readonly [string, string, string])[] = [
    ['documents read', thousands(steps[0]?.documents), size(steps[0]?.bytes)],
    [
      chosen ? 'kept before sampling' : 'kept',
      thousands(last?.documents),
      `${percent(share(last?.documents ?? 0, steps[0]?.documents ?? 0))}; ${percent(share(last?.bytes ?? 0, steps[0]?.bytes ?? 0))} of bytes`,
    ],
    ['tokens packed', short(packing.tokensPacked), `${thousands(packing.tokensPacked)}`],
    ['packs', thousands(packing.packs), `of ${thousands(packing.T)}, ${percent(count(packing.fill), 2)} full`],
    ['buckets', thousands(report.buckets.length), ''],
    ['time', duration(sum(Object.values(report.seconds))), report.peakRssBytes === null ? '' : `${size(report.peakRssBytes)} at most`],
  ];
  return `<dl class="keys">${figures.map(([name, value, more]) => `<div><dt>${html(name)}</dt><dd>${html(value)}${more ? `<small>${html(more)}</small>` : ''}</dd></div>`).join('')}</dl>`;
}
