/**
 * The decontaminate step: finds text of evaluation sets in a document and drops the document, or cuts the passage.
 * What is compared is folded (case, width, accents, punctuation and spaces do not count), so a question is found however it
 * was printed; what is not found is a question in other words. One pass, linear in the text.
 */
import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import type { Doc } from '../../data/doc.ts';
import type { HostFiles } from '../../host/types.ts';
import { UnitScanner } from '../score/units.ts';
import type { Drop, MapStep, Tally } from '../step.ts';
import { ContaminationIndex } from './contamination-index.ts';
import { Rolling, windowHash } from './grams.ts';

export { buildIndex, ContaminationIndex, type IndexReport, indexSchema } from './contamination-index.ts';

export const decontaminateSchema = z.strictObject({
  /** The file that `buildIndex` wrote. */
  index: z.string().min(1),
  /** `drop` the document, or `cut` the sentences that hold the text. */
  action: z.enum(['drop', 'cut']).default('drop'),
  /** Windows of one item that a document must hold; a short text that is found whole counts as this many. */
  minMatches: z.int().min(1).default(1),
  /** Share of an item's windows that a document must hold. */
  minCoverage: z.number().min(0).max(1).default(0),
  /** `cut`: a document that loses more than this share of its characters is dropped. */
  maxCutShare: z.number().min(0).max(1).default(0.5),
  /** `cut`: a document that loses more passages than this is dropped. */
  maxCuts: z.int().min(1).default(10),
});
export type DecontaminateConfig = z.output<typeof decontaminateSchema>;

/** One match: an item's number, and the code units of the text it covers. */
export interface Match {
  readonly item: number;
  readonly start: number;
  readonly end: number;
  /** Found whole, not as a window. */
  readonly whole: boolean;
}

/** Searches texts; keeps scratch memory. */
export class Matcher {
  readonly index: ContaminationIndex;
  readonly #scanner = new UnitScanner({ marks: false, digits: 'keep' });
  readonly #windows: Rolling[];
  readonly #starts: Rolling[];

  constructor(index: ContaminationIndex) {
    this.index = index;
    this.#windows = index.n.map((n) => new Rolling(n));
    this.#starts = index.minimum.map((n) => new Rolling(n));
  }

  /** All matches of a text, in order of their ends. */
  find(text: string): Match[] {
    const { index } = this;
    const { hashes, starts, ends, count } = this.#scanner.scan(text);
    const matches: Match[] = [];
    for (let kind = 0; kind < this.#windows.length; kind++) {
      const table = index.tables[kind];
      const window = this.#windows[kind];
      if (table.size > 0) {
        window.reset();
        for (let i = 0; i < count; i++) {
          window.push(hashes, i);
          const first = i - window.n + 1;
          if (first < 0) continue;
          const item = table.get(window.low, window.high);
          if (item >= 0) matches.push({ item, start: starts[first], end: ends[i], whole: false });
        }
      }
      const beginnings = index.starts[kind];
      const start = this.#starts[kind];
      if (beginnings.size === 0) continue;
      start.reset();
      for (let i = 0; i < count; i++) {
        start.push(hashes, i);
        const first = i - start.n + 1;
        if (first < 0) continue;
        for (let s = beginnings.get(start.low, start.high); s >= 0; s = index.shorts.next[s]) {
          const last = first + index.shorts.units[s];
          if (last > count) continue;
          const [low, high] = windowHash(hashes, first, last);
          if (low === index.shorts.low[s] && high === index.shorts.high[s])
            matches.push({ item: index.shorts.item[s], start: starts[first], end: ends[last - 1], whole: true });
        }
      }
    }
    return matches;
  }
}

/** The ends of sentences, for cutting. */
const SENTENCE_END = /[.!?。！？\n]/;
/** A cut goes at most so far beyond the match to find one. */
const REACH = 400;

/** Widens a span to whole sentences. */
function toSentences(text: string, start: number, end: number): [number, number] {
  let from = start;
  while (from > 0 && start - from < REACH && !SENTENCE_END.test(text[from - 1])) from--;
  let to = end;
  while (to < text.length && to - end < REACH && !SENTENCE_END.test(text[to - 1])) to++;
  return [from, to];
}

/** A text without spans; spans that touch are one. Gives the number of passages and of characters that went. */
export function cutSpans(text: string, spans: readonly (readonly [number, number])[]): { text: string; cuts: number; removed: number } {
  let out = '';
  let at = 0;
  let cuts = 0;
  let removed = 0;
  for (const [start, end] of spans.toSorted((a, b) => a[0] - b[0] || a[1] - b[1])) {
    if (end <= at) continue;
    const from = Math.max(at, start);
    if (from > at || cuts === 0) {
      out += text.slice(at, from);
      // What stood on both sides must not run together.
      if (out !== '' && !out.endsWith('\n') && end < text.length && text[end] !== '\n') out += '\n';
      cuts++;
    }
    removed += end - from;
    at = end;
  }
  return { text: out + text.slice(at), cuts, removed };
}

/** Makes the step. @throws ScionError `input` for a configuration that is wrong, `input` or `format` for its index. */
export async function createDecontaminator(config: unknown, resources: { readonly files: HostFiles }): Promise<MapStep> {
  const parsed = decontaminateSchema.safeParse(config);
  if (!parsed.success) throw new ScionError('input', `decontaminate: ${z.prettifyError(parsed.error)}`);
  const options = parsed.data;
  const index = await ContaminationIndex.load(resources.files, options.index);
  const matcher = new Matcher(index);

  return {
    name: 'decontaminate',
    apply(doc: Doc, tally: Tally): Doc | Drop {
      const texts = doc.messages ? doc.messages.map((m) => m.content) : [doc.source ?? '', doc.target];
      const matches = texts.map((text) => matcher.find(text));
      const hits = new Map<number, number>();
      const whole = new Set<number>();
      for (const { item, whole: all } of matches.flat()) {
        hits.set(item, (hits.get(item) ?? 0) + 1);
        if (all) whole.add(item);
      }
      const found = new Map<number, number>();
      for (const [item, n] of hits) {
        const coverage = whole.has(item) ? 1 : Math.min(1, n / Math.max(1, index.windowsOf[item]));
        if ((whole.has(item) || n >= options.minMatches) && coverage >= options.minCoverage) found.set(item, coverage);
      }
      if (found.size === 0) return doc;
      const sets = new Set<string>();
      for (const item of found.keys()) {
        const { set, row } = index.names[item];
        sets.add(set);
        tally.count(`decontaminate.row ${set} ${row}`);
      }
      for (const set of sets) tally.count(`decontaminate.documents ${set}`);
      const [best, coverage] = [...found].reduce((a, b) => (b[1] > a[1] ? b : a));
      const { set, row } = index.names[best];
      const more = found.size > 1 ? `, and ${found.size - 1} more rows` : '';
      const note = `${Math.round(100 * coverage)} % of ${set} ${row} (${hits.get(best)} matches)${more}`;
      if (options.action === 'drop') return { reason: 'decontaminate.overlap', note };
      let length = 0;
      let removed = 0;
      let cuts = 0;
      const left = texts.map((text, i) => {
        const spans = matches[i].filter((m) => found.has(m.item)).map((m) => toSentences(text, m.start, m.end));
        const cut = cutSpans(text, spans);
        length += text.length;
        removed += cut.removed;
        cuts += cut.cuts;
        return cut.text;
      });
      if (removed > options.maxCutShare * length || cuts > options.maxCuts) {
        return { reason: 'decontaminate.overlap', note: `${note}; ${cuts} cuts would take ${removed} of ${length} characters` };
      }
      tally.count('decontaminate.cut', cuts);
      tally.count('decontaminate.cut-characters', removed);
      if (doc.messages) {
        doc.messages.forEach((m, i) => {
          m.content = left[i];
        });
      } else {
        if (doc.source !== undefined) doc.source = left[0];
        doc.target = left[1];
      }
      return doc;
    },
  };
}

/** Rows of each evaluation set that were found, and in how many documents, from the step's tallies. */
export function touchedRows(tallies: Readonly<Record<string, number>>): Record<string, { documents: number; rows: Record<string, number> }> {
  const sets: Record<string, { documents: number; rows: Record<string, number> }> = {};
  const of = (set: string) => {
    sets[set] ??= { documents: 0, rows: {} };
    return sets[set];
  };
  for (const [name, n] of Object.entries(tallies)) {
    if (name.startsWith('decontaminate.documents ')) of(name.slice('decontaminate.documents '.length)).documents += n;
    const row = /^decontaminate\.row (\S+) (.+)$/.exec(name);
    if (row) of(row[1]).rows[row[2]] = (of(row[1]).rows[row[2]] ?? 0) + n;
  }
  return sets;
}
