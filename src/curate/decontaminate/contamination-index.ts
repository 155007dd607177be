/**
 * The index of evaluation items: which windows of text belong to which item, in one file that every worker reads. A
 * window is n units: n words where an item is mostly words, n characters where it is mostly characters of scripts without
 * spaces. Texts shorter than a window are kept whole, if they are long enough to mean anything. A window that many items share
 * (an instruction, a phrase of the exam) is no evidence and left out.
 */

import { z } from 'zod';
import { ScionError } from '../../base/errors.ts';
import { dirName } from '../../base/path.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { tensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { Host, HostFiles } from '../../host/types.ts';
import { fillWhole } from '../../host/whole-file.ts';
import { UNIT, UnitScanner } from '../score/units.ts';
import { GramTable, Rolling, windowHash } from './grams.ts';
import { type EvalItem, findEvalFiles, type ItemPart, readItems } from './items.ts';

export const indexSchema = z
  .strictObject({
    /** Evaluation sets: the name in the report, and its files, folders or globs. */
    sets: z
      .array(
        z.strictObject({
          name: z.string().regex(/^\S+$/, 'a name without spaces'),
          data: z.array(z.string().min(1)).min(1),
          /** Only these fields of a record, in this order. */
          fields: z.array(z.string()).min(1).optional(),
          /** Whether its CSV files have a header row. */
          header: z.union([z.boolean(), z.literal('auto')]).default('auto'),
        }),
      )
      .min(1),
    /** Words of a window. 13 is the length of Brown et al. 2020 ("Language Models are Few-Shot Learners", appendix C). */
    words: z.int().min(4).max(64).default(13),
    /** Characters of a window in Han and other scripts without spaces. 13 English words are about 20 Chinese characters in translation. */
    characters: z.int().min(6).max(128).default(20),
    /** Texts shorter than a window are kept whole from so many words … */
    minWords: z.int().min(3).default(8),
    /** … or characters on. */
    minCharacters: z.int().min(4).default(12),
    /** A window in more items than this is common talk. */
    maxItems: z.int().min(1).default(10),
  })
  .refine((c) => c.minWords <= c.words && c.minCharacters <= c.characters, 'minWords and minCharacters must not be more than words and characters');
export type IndexConfig = z.output<typeof indexSchema>;

/** Kinds of windows: by words, by characters. */
const KINDS = 2;
/** Short texts that begin alike; further ones are left out as common. */
const MAX_CHAIN = 64;

/** What was built, by set. */
export interface IndexReport {
  readonly sets: Readonly<Record<string, { files: number; items: number; tooShort: number; windows: number; whole: number }>>;
  readonly windows: number;
  /** Windows left out because more than `maxItems` items have them. */
  readonly common: number;
}

interface Shorts {
  /** By number: item, units, hash of the whole, and the next that begins alike (-1: none). */
  readonly item: number[];
  readonly units: number[];
  readonly low: number[];
  readonly high: number[];
  readonly next: number[];
  readonly kind: number[];
}

const emptyShorts = (): Shorts => ({ item: [], units: [], low: [], high: [], next: [], kind: [] });

/** Ready to be searched. Item numbers index `names` and `windowsOf`. */
export class ContaminationIndex {
  /** Units of a window, and of the beginnings of short texts, by kind. */
  readonly n: readonly number[];
  readonly minimum: readonly number[];
  readonly tables: readonly GramTable[];
  readonly starts: readonly GramTable[];
  readonly shorts: Shorts;
  /** `set file:row` by item. */
  readonly names: readonly { readonly set: string; readonly row: string }[];
  /** Windows that an item has; what coverage is measured by. */
  readonly windowsOf: Uint32Array;

  private constructor(parts: Omit<ContaminationIndex, never>) {
    this.n = parts.n;
    this.minimum = parts.minimum;
    this.tables = parts.tables;
    this.starts = parts.starts;
    this.shorts = parts.shorts;
    this.names = parts.names;
    this.windowsOf = parts.windowsOf;
  }

  /** Reads what `buildIndex` wrote. @throws ScionError `input` or `format` naming the file. */
  static async load(files: HostFiles, path: string): Promise<ContaminationIndex> {
    if ((await files.stat(path)) === null)
      throw new ScionError('input', `decontaminate: there is no index at ${path}; build one from the evaluation files`, { path });
    const reader = await files.open(path);
    try {
      const file = await openSafetensors(reader, path);
      const words = async (name: string): Promise<Uint32Array> => new Uint32Array((await file.read(name)).buffer);
      const facts = metaSchema.safeParse(JSON.parse(file.metadata.get('contamination') ?? 'null'));
      if (!facts.success) throw new ScionError('format', `${path} is no index of evaluation files: ${z.prettifyError(facts.error)}`, { path });
      const tables: GramTable[] = [];
      const starts: GramTable[] = [];
      for (let kind = 0; kind < KINDS; kind++) {
        tables.push(tableOf(await words(`low${kind}`), await words(`high${kind}`), await words(`item${kind}`)));
        starts.push(tableOf(await words(`startLow${kind}`), await words(`startHigh${kind}`), await words(`startShort${kind}`)));
      }
      const list = async (name: string): Promise<number[]> => Array.from(await words(name), (x) => x | 0);
      const shorts: Shorts = {
        item: await list('shortItem'),
        units: await list('shortUnits'),
        low: await list('shortLow'),
        high: await list('shortHigh'),
        next: await list('shortNext'),
        kind: await list('shortKind'),
      };
      const { n, minimum, sets, rows } = facts.data;
      const setOf = await words('set');
      const names = rows.map((row, i) => ({ set: sets[setOf[i]], row }));
      return new ContaminationIndex({ n, minimum, tables, starts, shorts, names, windowsOf: await words('windowsOf') });
    } finally {
      await reader.close();
    }
  }
}

const metaSchema = z.object({
  n: z.array(z.int()).length(KINDS),
  minimum: z.array(z.int()).length(KINDS),
  sets: z.array(z.string()),
  rows: z.array(z.string()),
});

function tableOf(low: Uint32Array, high: Uint32Array, values: Uint32Array): GramTable {
  const table = new GramTable();
  for (let i = 0; i < low.length; i++) table.set(low[i] | 0, high[i] | 0, values[i]);
  return table;
}

/** A window on its way into the table. */
interface Gram {
  low: number;
  high: number;
  item: number;
  last: number;
  items: number;
}

/** Gathers windows item by item. */
class Builder {
  readonly config: IndexConfig;
  readonly n: readonly number[];
  readonly minimum: readonly number[];
  readonly grams: Gram[][] = [[], []];
  readonly #places = [new GramTable(), new GramTable()];
  readonly shorts = emptyShorts();
  readonly starts: { low: number; high: number; first: number }[][] = [[], []];
  readonly #startPlaces = [new GramTable(), new GramTable()];
  readonly windowsOf: number[] = [];
  readonly #scanner = new UnitScanner({ marks: false, digits: 'keep' });
  readonly #joined = new UnitScanner({ marks: false, digits: 'keep' });
  /** Long parts that an earlier item has too (a passage with several questions). */
  readonly #seen = new GramTable();

  constructor(config: IndexConfig) {
    this.config = config;
    this.n = [config.words, config.characters];
    this.minimum = [config.minWords, config.minCharacters];
  }

  /** Adds an item; false if nothing of it is long enough. */
  add(item: EvalItem): { indexed: boolean; windows: number; whole: number } {
    const number = this.windowsOf.length;
    let windows = 0;
    let whole = 0;
    let known = 0;
    for (const part of item.parts) {
      const { hashes, count } = this.#scanner.scan(part.text);
      const kind = kindOf(this.#scanner);
      const n = this.n[kind];
      if (count < n) {
        if (!part.option) whole += this.#short(kind, hashes, 0, count, number);
        continue;
      }
      const [low, high] = windowHash(hashes, 0, count);
      if (count >= 2 * n) {
        if (this.#seen.get(low, high) >= 0) {
          known++;
          continue;
        }
        this.#seen.set(low, high, 0);
      }
      windows += this.#windows(kind, hashes, 0, count, number, () => true);
    }
    for (const labels of [false, true]) {
      const text = joinedText(item.parts, labels);
      const { hashes, count, starts, ends } = this.#joined.scan(text.text);
      const kind = kindOf(this.#joined);
      const n = this.n[kind];
      if (item.parts.length > 1 && count >= n) {
        // Only windows that cross from one part into the next: the others are there already.
        let border = 0;
        const crossing = this.#windows(kind, hashes, 0, count, number, (first, last) => {
          while (border < text.borders.length && text.borders[border] <= starts[first]) border++;
          return border < text.borders.length && text.borders[border] < ends[last];
        });
        if (windows === 0 && !labels) windows = crossing;
      } else if (item.parts.length > 1) whole += this.#short(kind, hashes, 0, count, number);
    }
    this.windowsOf.push(windows);
    return { indexed: windows + whole + known > 0, windows, whole };
  }

  #windows(kind: number, hashes: Uint32Array, from: number, to: number, item: number, wanted: (first: number, last: number) => boolean): number {
    const rolling = new Rolling(this.n[kind]);
    const places = this.#places[kind];
    const grams = this.grams[kind];
    let added = 0;
    for (let i = from; i < to; i++) {
      rolling.push(hashes, i);
      const first = i - rolling.n + 1;
      if (first < from || !wanted(first, i)) continue;
      added++;
      const { low, high } = rolling;
      const at = places.get(low, high);
      if (at < 0) {
        places.set(low, high, grams.length);
        grams.push({ low, high, item, last: item, items: 1 });
      } else if (grams[at].last !== item) {
        grams[at].last = item;
        grams[at].items++;
      }
    }
    return added;
  }

  /** Keeps units whole; 1 if they are enough. */
  #short(kind: number, hashes: Uint32Array, from: number, to: number, item: number): number {
    const minimum = this.minimum[kind];
    if (to - from < minimum) return 0;
    const { shorts } = this;
    const [low, high] = windowHash(hashes, from, to);
    const [startLow, startHigh] = windowHash(hashes, from, from + minimum);
    const at = this.#startPlaces[kind].get(startLow, startHigh);
    let chain = 0;
    for (let s = at < 0 ? -1 : this.starts[kind][at].first; s >= 0; s = shorts.next[s], chain++) {
      // The same text in two items belongs to the first.
      if (shorts.units[s] === to - from && shorts.low[s] === low && shorts.high[s] === high) return 1;
    }
    if (chain >= MAX_CHAIN) return 0;
    const s = shorts.item.length;
    shorts.item.push(item);
    shorts.units.push(to - from);
    shorts.low.push(low);
    shorts.high.push(high);
    shorts.kind.push(kind);
    if (at < 0) {
      shorts.next.push(-1);
      this.#startPlaces[kind].set(startLow, startHigh, this.starts[kind].length);
      this.starts[kind].push({ low: startLow, high: startHigh, first: s });
    } else {
      shorts.next.push(this.starts[kind][at].first);
      this.starts[kind][at].first = s;
    }
    return 1;
  }
}

/** 1 where most units are characters of scripts without spaces. */
function kindOf(scanner: UnitScanner): number {
  let characters = 0;
  for (let i = 0; i < scanner.count; i++) if (scanner.kinds[i] === UNIT.character) characters++;
  return 2 * characters > scanner.count ? 1 : 0;
}

/** The parts one under the other, as a page would show the item; with labels the options have their letters. `borders`: where a part ends. */
function joinedText(parts: readonly ItemPart[], labels: boolean): { text: string; borders: number[] } {
  let text = '';
  const borders: number[] = [];
  let option = 0;
  parts.forEach((part, i) => {
    if (i > 0) {
      borders.push(text.length);
      text += '\n';
    }
    text += labels && part.option ? `${String.fromCharCode(65 + option)}. ${part.text}` : part.text;
    if (part.option) option++;
  });
  return { text, borders };
}

/** Reads the evaluation files and writes the index. @throws ScionError `input` for a wrong configuration or a file that is not read. */
export async function buildIndex(host: Host, config: unknown, out: string): Promise<IndexReport> {
  const parsed = indexSchema.safeParse(config);
  if (!parsed.success) throw new ScionError('input', `decontaminate: ${z.prettifyError(parsed.error)}`);
  const options = parsed.data;
  const builder = new Builder(options);
  const sets: Record<string, { files: number; items: number; tooShort: number; windows: number; whole: number }> = {};
  const setNames: string[] = [];
  const setOf: number[] = [];
  const rows: string[] = [];
  for (const { name, data, fields, header } of options.sets) {
    if (sets[name]) throw new ScionError('input', `decontaminate: two evaluation sets are called ${name}`, { name });
    const paths = await findEvalFiles(host.files, data);
    sets[name] = { files: paths.length, items: 0, tooShort: 0, windows: 0, whole: 0 };
    setNames.push(name);
    for (const path of paths) {
      for await (const item of readItems(host.files, path, { fields, header })) {
        const { indexed, windows, whole } = builder.add(item);
        sets[name].items++;
        if (!indexed) sets[name].tooShort++;
        sets[name].windows += windows;
        sets[name].whole += whole;
        setOf.push(setNames.length - 1);
        rows.push(`${item.file}:${item.row}`);
      }
    }
  }
  if (rows.length === 0) throw new ScionError('input', 'decontaminate: the evaluation files hold no records', { sets: setNames });
  const u32 = (name: string, values: readonly number[]) => {
    const array = Uint32Array.from(values);
    return tensorEntry(name, 'U32', [array.length], new Uint8Array(array.buffer));
  };
  const { shorts } = builder;
  const entries = [
    u32('set', setOf),
    u32('windowsOf', builder.windowsOf),
    u32('shortItem', shorts.item),
    u32('shortUnits', shorts.units),
    u32('shortLow', shorts.low),
    u32('shortHigh', shorts.high),
    u32('shortNext', shorts.next),
    u32('shortKind', shorts.kind),
  ];
  let windows = 0;
  let common = 0;
  for (let kind = 0; kind < KINDS; kind++) {
    const kept = builder.grams[kind].filter((g) => g.items <= options.maxItems);
    windows += kept.length;
    common += builder.grams[kind].length - kept.length;
    entries.push(
      u32(
        `low${kind}`,
        kept.map((g) => g.low),
      ),
      u32(
        `high${kind}`,
        kept.map((g) => g.high),
      ),
      u32(
        `item${kind}`,
        kept.map((g) => g.item),
      ),
    );
    const starts = builder.starts[kind];
    entries.push(
      u32(
        `startLow${kind}`,
        starts.map((s) => s.low),
      ),
      u32(
        `startHigh${kind}`,
        starts.map((s) => s.high),
      ),
      u32(
        `startShort${kind}`,
        starts.map((s) => s.first),
      ),
    );
  }
  const meta = JSON.stringify({ n: builder.n, minimum: builder.minimum, sets: setNames, rows });
  if (dirName(out) !== '') await host.files.makeDir(dirName(out));
  await fillWhole(host.files, out, (writer) => writeSafetensors(writer, entries, { contamination: meta }));
  return { sets, windows, common };
}
