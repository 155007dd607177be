/**
 * What a run came to, as tables: bits per byte by category and answers by question set, before the graft and after every stage. The same
 * rows are printed, drawn into the report and told by `--json`.
 */
import { quoted } from '../base/markup.ts';
import type { JourneyResult } from './journey.ts';
import type { Answer } from './steps/questions.ts';

/** A table: a head, and rows of as many cells. */
export interface SummaryTable {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

/** The stages in order, with the moments before and after each. */
function columns(
  made: JourneyResult,
): { readonly name: string; readonly bits: Readonly<Record<string, number>>; readonly answers: Readonly<Record<string, Answer>> }[] {
  const [first] = made.stages;
  const before = made.baseStage
    ? { name: 'base', bits: made.baseStage.valBitsPerByte, answers: made.baseStage.questions }
    : { name: 'base', bits: first.valBitsPerByteBefore, answers: made.baseAnswers ?? {} };
  // With new pieces the model that the first stage begins with is another than the base.
  const grown = made.vocab && made.baseStage ? [{ name: 'grown', bits: first.valBitsPerByteBefore, answers: {} }] : [];
  return [before, ...grown, ...made.stages.map(({ name, valBitsPerByte, questions }) => ({ name, bits: valBitsPerByte, answers: questions }))];
}

/** The tables of a run. */
export function summaryTables(made: JourneyResult): SummaryTable[] {
  const all = columns(made);
  const categories = [...new Set(all.flatMap(({ bits }) => Object.keys(bits)))];
  const sets = [...new Set(all.flatMap(({ answers }) => Object.keys(answers)))];
  const tables: SummaryTable[] = [];
  if (categories.length > 0) {
    tables.push({
      title: 'held-out text, bits per byte',
      head: ['category', ...all.map(({ name }) => name)],
      rows: categories.map((category) => [category, ...all.map(({ bits }) => bits[category]?.toFixed(4) ?? '–')]),
    });
  }
  if (Object.keys(made.arms).length > 0) {
    const ends = [
      { name: 'this run', bits: all[all.length - 1].bits },
      ...Object.entries(made.arms).map(([name, stages]) => ({ name, bits: stages[stages.length - 1].valBitsPerByte })),
    ];
    tables.push({
      title: 'beside its variations, bits per byte at the end',
      head: ['category', 'base', ...ends.map(({ name }) => name)],
      rows: categories.map((category) => [category, all[0].bits[category]?.toFixed(4) ?? '–', ...ends.map(({ bits }) => bits[category]?.toFixed(4) ?? '–')]),
    });
  }
  if (sets.length > 0) {
    tables.push({
      title: 'questions answered right',
      head: ['set', ...all.map(({ name }) => name), 'chance', 'commonest answer', 'questions'],
      rows: sets.map((set) => {
        const some = all.flatMap(({ answers }) => answers[set] ?? [])[0];
        return [
          set,
          ...all.map(({ answers }) => (answers[set] ? percent(answers[set].accuracy) : '–')),
          percent(some.chance),
          percent(some.commonest),
          String(some.n),
        ];
      }),
    });
  }
  return tables;
}

/** A table as lines of text, columns side by side. */
export function tableLines({ title, head, rows }: SummaryTable): string[] {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]): string => cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ');
  return [title, `  ${line(head)}`, ...rows.map((row) => `  ${line(row)}`)];
}

/** The tables as HTML, for the report. */
export function resultTables(made: JourneyResult): string {
  return summaryTables(made)
    .map(
      ({ title, head, rows }) =>
        `<section><h2>${quoted(title)}</h2><table><thead><tr>${head.map((cell) => `<th>${quoted(cell)}</th>`).join('')}</tr></thead><tbody>${rows
          .map((row) => `<tr>${row.map((cell, i) => (i === 0 ? `<th>${quoted(cell)}</th>` : `<td>${quoted(cell)}</td>`)).join('')}</tr>`)
          .join('')}</tbody></table></section>`,
    )
    .join('\n');
}
