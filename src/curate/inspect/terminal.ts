/**
 * A look into a build as lines for a terminal. Texts are cut unless one document was asked for; whatever comes from the data has
 * its control characters written out, so that no text can move the cursor or turn what stands beside it.
 */

import { duration } from '../../base/format.ts';
import { clipped } from '../../base/markup.ts';
import { diffTexts } from '../report/diff.ts';
import { lastJudging, mixSpreads, reasonRows, share, stepSums } from '../report/facts.ts';
import { percent, points, size, thousands } from '../report/numbers.ts';
import type { BuildReport, DuplicateExample } from '../report/types.ts';
import type { DroppedDocument } from './folder.ts';
import { block, columns, columnsOf, lineOf, lines, oneLine, type Paper, type Span, type Style, sideOf } from './ink.ts';
import type { PackBorders, ShownPack } from './packs.ts';
import type { ShownDocument, View } from './views.ts';

const TEXT = 400;
const PAIR_TEXT = 1200;
const WHOLE_TEXT = 100_000;
const MOST_REASONS = 30;

const span = (text: string, style: Style = 'plain'): Span => ({ text, style });

/** Columns as wide as their widest cell; the first to the left, the others to the right. Cells are safe text. */
function table(rows: readonly (readonly string[])[], paper: Paper): string[] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => columnsOf(row[i]))));
  return rows.map((row, r) => {
    const cells = row.map((cell, i) => {
      const gap = ' '.repeat(widths[i] - columnsOf(cell));
      return i === 0 ? cell + gap : gap + cell;
    });
    return lineOf([span(`  ${cells.join('  ')}`.trimEnd(), r === 0 ? 'soft' : 'plain')], paper.colour);
  });
}

const heading = (text: string, paper: Paper): string => lineOf([span(text, 'bold')], paper.colour);
const soft = (text: string, paper: Paper): string[] => block([span(text, 'soft')], paper, '');

function summary(report: BuildReport, view: Extract<View, { kind: 'summary' }>, paper: Paper): string[] {
  const out: string[] = [];
  const steps = stepSums(report);
  const words = { broken: ['BROKEN  ', 'alarm'], look: ['look    ', 'warn'], fine: ['in order', 'good'] } as const;
  for (const { level, text, items = [], advice } of view.findings) {
    const [word, style] = words[level];
    out.push(
      ...block(
        [span(oneLine(text)), ...items.map((item) => span(`\n- ${oneLine(item)}`)), ...(advice ? [span(`\n${oneLine(advice)}`, 'soft')] : [])],
        { ...paper, width: paper.width },
        '          ',
      ).map((line, i) => (i === 0 ? `${lineOf([span(word, style)], paper.colour)}  ${line.trimStart()}` : line)),
    );
  }
  out.push('', heading('Left behind each step', paper));
  out.push(
    ...table(
      [
        ['step', 'documents', 'bytes', 'of bytes read', 'tokens', 'time'],
        ...steps.map(({ step, documents, bytes, tokens }) => [
          oneLine(clipped(step, 40)),
          thousands(documents),
          size(bytes),
          percent(share(bytes, steps[0].bytes)),
          thousands(tokens),
          Object.hasOwn(report.seconds, step) ? duration(report.seconds[step]) : '–',
        ]),
      ],
      paper,
    ),
  );
  const reasons = reasonRows(report);
  if (reasons.length > 0) {
    const read = steps[0]?.documents ?? 0;
    out.push('', heading('Dropped', paper));
    out.push(
      ...table(
        [
          ['reason', 'documents', 'of documents read', 'most from'],
          ...reasons
            .slice(0, MOST_REASONS)
            .map(({ reason, documents, categories }) => [
              oneLine(clipped(reason, 50)),
              thousands(documents),
              percent(share(documents, read)),
              categories[0] ? `${oneLine(clipped(categories[0].category, 40))} ${thousands(categories[0].documents)}` : '',
            ]),
        ],
        paper,
      ),
    );
    if (reasons.length > MOST_REASONS) out.push(...soft(`  ${reasons.length - MOST_REASONS} more reasons in report.json`, paper));
  }
  const spreads = mixSpreads(report);
  if (spreads.length > 0) {
    out.push('', heading(`Mix of ${report.buckets.length} buckets`, paper));
    out.push(
      ...table(
        [
          ['category', 'tokens', 'of the whole', 'furthest off, points'],
          ...spreads
            .slice(0, MOST_REASONS)
            .map(({ category, tokens, share: own, worst, worstBucket }) => [
              oneLine(clipped(category, 40)),
              thousands(tokens),
              percent(own),
              `${points(worst)} in ${worstBucket}`,
            ]),
        ],
        paper,
      ),
    );
  }
  const { packs, T, fill, tokensPacked } = report.packing;
  const kept = steps[lastJudging(steps)];
  out.push(
    '',
    ...soft(
      `${thousands(steps[0]?.documents)} documents read, ${thousands(kept?.documents)} kept before sampling; ${thousands(tokensPacked)} tokens in ${thousands(packs)} packs of ${thousands(T)}, ${percent(fill, 2)} full.`,
      paper,
    ),
  );
  out.push(...soft('More: --drops [REASON], --duplicates, --documents, --packs [BUCKET:PACK], --id ID; --html FILE for a page.', paper));
  return out;
}

/** Where a document is from, then its text. */
function documentLines(one: { readonly id: string; readonly category: string }, facts: readonly string[], text: string, most: number, paper: Paper): string[] {
  const about = [oneLine(clipped(one.category, 80)), ...facts.filter((fact) => fact !== '').map((fact) => oneLine(clipped(fact, 300)))].join(' · ');
  return [
    ...block([span(oneLine(clipped(one.id, 200)), 'bold'), span(`  ${about}`, 'soft')], paper, ''),
    ...block([text === '' ? span('(empty)', 'soft') : span(lines(clipped(text, most)))], paper),
    '',
  ];
}

const droppedLines = (one: DroppedDocument, most: number, paper: Paper): string[] =>
  documentLines(one, [`${one.reason}${one.note ? `: ${one.note}` : ''}`, one.keeper ? `kept was ${one.keeper.id}` : ''], one.text, most, paper);

function shownLines(one: ShownDocument, most: number, paper: Paper): string[] {
  const scores = Object.entries(one.scores ?? {}).map(([name, value]) => `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : '–'}`);
  return documentLines(
    one,
    [one.lang ?? '', one.title ?? '', scores.join(', '), (one.tags ?? []).map(String).join(', '), one.note ?? ''],
    one.text,
    most,
    paper,
  );
}

function pairLines(pair: DuplicateExample, most: number, paper: Paper): string[] {
  const alike = pair.similarity === null ? '' : ` · similarity ${pair.similarity.toFixed(3)}`;
  const head = block(
    [span(`${oneLine(clipped(pair.reason, 80))}${alike}`, 'bold'), span(pair.b.note ? `  ${oneLine(clipped(pair.b.note, 300))}` : '', 'soft')],
    paper,
    '',
  );
  const name = (word: string, side: 'a' | 'b'): Span[] => [
    span(`${word} ${oneLine(clipped(pair[side].id, 120))} · ${oneLine(clipped(pair[side].category, 60))}`, 'soft'),
  ];
  const names = columns(name('kept', 'a'), name('dropped', 'b'), paper);
  if (pair.a.text === '' && pair.a.note)
    return [...head, ...names, ...soft(`  ${pair.a.note}`, paper), ...block([span(lines(clipped(pair.b.text, most)))], paper), ''];
  const parts = diffTexts(clipped(pair.a.text, most), clipped(pair.b.text, most));
  return [...head, ...names, ...columns(sideOf(parts, 'a', paper.colour), sideOf(parts, 'b', paper.colour), paper), ''];
}

/** A bar of T places with the borders of the segments, and what they hold. */
function borderLine({ pack, T, used, segments }: PackBorders, paper: Paper): string[] {
  const names = segments.map(({ category, length, from }) => `${from > 0 ? '…' : ''}${oneLine(clipped(category, 30))} ${thousands(length)}`);
  const room = T - used;
  return block(
    [span(`${String(pack).padStart(5)}  `, 'soft'), span(`|${names.join('|')}|`), span(room > 0 ? ` ${thousands(room)} free` : '', 'warn')],
    paper,
    '',
  );
}

function packLines({ bucket, pack, T, used, segments }: ShownPack, paper: Paper): string[] {
  const learnt = segments.reduce((sum, one) => sum + one.learnt, 0);
  const out = [
    heading(
      `bucket ${bucket}, pack ${pack}: ${thousands(used)} of ${thousands(T)} places, ${segments.length} ${segments.length === 1 ? 'segment' : 'segments'}, ${thousands(learnt)} tokens learnt`,
      paper,
    ),
  ];
  out.push(...soft(paper.colour ? 'Dim text is read and not learnt.' : 'Text between ⟦ and ⟧ is read and not learnt.', paper), '');
  for (const [i, one] of segments.entries()) {
    const about = `places ${thousands(one.start)} to ${thousands(one.start + one.length - 1)} · ${thousands(one.length)} tokens, ${thousands(one.learnt)} learnt · document ${one.document}${one.copy > 0 ? `, copy ${one.copy}` : ''}${one.from > 0 ? ` from its token ${thousands(one.from)} on` : ''}${one.goesOn ? ' · goes on elsewhere' : ''}`;
    out.push(...block([span(`── ${i + 1} ${oneLine(clipped(one.category, 60))}`, 'bold'), span(`  ${about}`, 'soft')], paper, ''));
    const runs = one.runs.map(({ text, learnt: isLearnt, mark }): Span => {
      const safe = lines(text);
      if (mark) return span(safe, 'warn');
      if (isLearnt) return span(safe);
      return span(paper.colour ? safe : `⟦${safe}⟧`, 'soft');
    });
    out.push(...block(runs, paper));
  }
  if (used < T) out.push(...soft(`── ${thousands(T - used)} places of padding`, paper));
  return out;
}

/** The lines of a view. */
export function viewLines(view: View, paper: Paper): string[] {
  const more = (shown: number, total: number | null, what: string): string[] =>
    soft(
      total === null
        ? `${thousands(shown)} ${what} shown (--limit N for more)`
        : `${thousands(shown)} of ${thousands(total)} ${what}${shown < total ? ' (--limit N for more)' : ''}`,
      paper,
    );
  switch (view.kind) {
    case 'summary':
      return summary(view.report, view, paper);
    case 'drops':
      return [
        ...view.items.flatMap((one) => droppedLines(one, TEXT, paper)),
        ...more(view.items.length, view.total, `dropped documents${view.reason === null ? '' : ` for ${oneLine(view.reason)}`}`),
      ];
    case 'duplicates':
      return [...view.items.flatMap((pair) => pairLines(pair, PAIR_TEXT, paper)), ...more(view.items.length, view.total, 'duplicates')];
    case 'documents':
      return [...view.items.flatMap((one) => shownLines(one, TEXT, paper)), ...more(view.items.length, view.total, `documents, ${view.from}`)];
    case 'id':
      return [
        ...view.kept.flatMap((one) => shownLines(one, WHOLE_TEXT, paper)),
        ...view.dropped.flatMap((one) => droppedLines(one, WHOLE_TEXT, paper)),
        ...view.pairs.flatMap((pair) => pairLines(pair, WHOLE_TEXT, paper)),
      ];
    case 'buckets':
      return [
        ...table(
          [
            ['bucket', 'packs', 'segments', 'tokens', 'learnt', 'full'],
            ...view.buckets.map(({ bucket, packs, segments, tokens, labels, fill }) => [
              String(bucket),
              ...[packs, segments, tokens, labels].map(thousands),
              percent(fill, 2),
            ]),
          ],
          paper,
        ),
        '',
        ...view.packs.flatMap((pack) => borderLine(pack, paper)),
        ...soft(
          `Packs of ${thousands(view.T)} tokens; | is the border of a document, … a document that began elsewhere. --packs ${view.packs[0]?.bucket ?? 0}:0 shows the text.`,
          paper,
        ),
      ];
    case 'pack':
      return packLines(view.pack, paper);
  }
}
