/**
 * A look into a build as a page, by the frame and the rules of the report's page: one file, no script, every text escaped.
 */
import { clipped } from '../../base/markup.ts';
import { renderReport } from '../report/index.ts';
import { percent, thousands } from '../report/numbers.ts';
import { cell, documentHtml, html, page, table } from '../report/page.ts';
import { pairHtml } from '../report/sections.ts';
import { stackedBar } from '../report/svg.ts';
import type { DroppedDocument } from './folder.ts';
import type { ShownPack } from './packs.ts';
import type { ShownDocument, View } from './views.ts';

const TEXT = 4000;
const WHOLE_TEXT = 400_000;

const droppedHtml = (one: DroppedDocument, most: number): string =>
  documentHtml({ ...one, note: `${one.reason}${one.note ? `: ${one.note}` : ''}${one.keeper ? ` · kept was ${one.keeper.id}` : ''}` }, most);

function shownHtml(one: ShownDocument, most: number): string {
  const scores = Object.entries(one.scores ?? {}).map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : '–'}`);
  const note = [one.lang, one.title, scores.join(', '), (one.tags ?? []).map(String).join(', '), one.note]
    .filter((fact) => fact !== undefined && fact !== '')
    .join(' · ');
  return documentHtml({ id: one.id, category: one.category, text: one.text, ...(note === '' ? {} : { note }) }, most);
}

/** Parts of a pack as a stack: segments in turn in two colours, then what is free. */
function placesBar(T: number, segments: readonly { readonly category: string; readonly length: number }[], text: string): string {
  const used = segments.reduce((sum, { length }) => sum + length, 0);
  const parts = segments.map(({ category, length }, i) => ({ name: `${i + 1}: ${category}, ${thousands(length)} tokens`, share: length / T, colour: i % 2 }));
  return stackedBar(used < T ? [...parts, { name: `${thousands(T - used)} places of padding`, share: (T - used) / T, colour: -1 }] : parts, text);
}

function packHtml({ bucket, pack, T, used, segments }: ShownPack): string {
  const body = segments.map((one, i) => {
    const about = `places ${thousands(one.start)} to ${thousands(one.start + one.length - 1)} · ${thousands(one.length)} tokens, ${thousands(one.learnt)} learnt · document ${one.document}${one.copy > 0 ? `, copy ${one.copy}` : ''}${one.from > 0 ? ` from its token ${thousands(one.from)} on` : ''}${one.goesOn ? ' · goes on elsewhere' : ''}`;
    const runs = one.runs.map(({ text, learnt, mark }) =>
      mark ? `<code>${html(text)}</code>` : learnt ? html(text) : `<span class="masked">${html(text)}</span>`,
    );
    return `<div class="segment" style="border-color:var(--c${i % 2})"><p class="from"><b>${i + 1} ${html(clipped(one.category, 80))}</b> · ${html(about)}</p><div class="text" dir="auto">${runs.join('')}</div></div>`;
  });
  return `<p class="lead">${thousands(used)} of ${thousands(T)} places, ${segments.length} ${segments.length === 1 ? 'segment' : 'segments'}. <span class="masked">Text like this is read and not learnt.</span></p>${placesBar(T, segments, `Places of pack ${pack} of bucket ${bucket}`)}${body.join('\n')}`;
}

function bodyOf(view: Exclude<View, { kind: 'summary' }>): { readonly name: string; readonly body: string } {
  const shown = (n: number, total: number | null): string => `<p class="lead">${thousands(n)}${total === null ? '' : ` of ${thousands(total)}`} shown.</p>`;
  switch (view.kind) {
    case 'drops':
      return {
        name: view.reason === null ? 'Dropped documents' : `Dropped for ${view.reason}`,
        body: shown(view.items.length, view.total) + view.items.map((one) => droppedHtml(one, TEXT)).join('\n'),
      };
    case 'duplicates':
      return {
        name: 'Duplicates side by side',
        body: `${shown(view.items.length, view.total)}<p class="note">Left what was kept, right what went for it. <del>Only left</del>, <ins>only right</ins>.</p>${view.items.map((pair) => pairHtml(pair, TEXT)).join('\n')}`,
      };
    case 'documents':
      return {
        name: 'Documents',
        body: `<p class="note">${html(view.from)}</p>${shown(view.items.length, view.total)}${view.items.map((one) => shownHtml(one, TEXT)).join('\n')}`,
      };
    case 'id':
      return {
        name: `Document ${view.id}`,
        body: [
          ...view.kept.map((one) => shownHtml(one, WHOLE_TEXT)),
          ...view.dropped.map((one) => droppedHtml(one, WHOLE_TEXT)),
          ...view.pairs.map((pair) => pairHtml(pair, WHOLE_TEXT)),
        ].join('\n'),
      };
    case 'buckets': {
      const buckets = table(
        ['bucket', 'packs', 'segments', 'tokens', 'learnt', 'full'],
        view.buckets.map(({ bucket, packs, segments, tokens, labels, fill }) => ({
          cells: [String(bucket), ...[packs, segments, tokens, labels].map(thousands), percent(fill, 2)],
        })),
        `Buckets of packs of ${thousands(view.T)} tokens.`,
      );
      const packs = table(
        ['pack', { html: 'places, %', kind: 'left stackcell' }, 'free', { html: 'documents, tokens', kind: 'left' }],
        view.packs.map(({ bucket, pack, T, used, segments }) => ({
          cells: [
            String(pack),
            { html: placesBar(T, segments, `Places of pack ${pack} of bucket ${bucket}`), kind: 'stackcell' },
            thousands(T - used),
            cell(segments.map(({ category, length, from }) => `${from > 0 ? '…' : ''}${clipped(category, 60)} ${thousands(length)}`).join(' | '), 'left'),
          ],
        })),
        `The first packs of bucket ${view.packs[0]?.bucket ?? 0}, each with its documents in turn.`,
      );
      return { name: 'Packs', body: buckets + packs };
    }
    case 'pack':
      return { name: `Bucket ${view.pack.bucket}, pack ${view.pack.pack}`, body: packHtml(view.pack) };
  }
}

/** The page of a view; of the summary, the report. */
export function viewHtml(view: View): string {
  if (view.kind === 'summary') return renderReport(view.report);
  const { name, body } = bodyOf(view);
  return page(name, `<header><h1>${html(clipped(name, 200))}</h1></header>\n<main>${body}</main>`);
}
