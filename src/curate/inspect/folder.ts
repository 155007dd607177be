/**
 * What a build left in its folder, read as a stranger's files: the report, what was dropped, the documents that were kept (as long
 * as `work/` is there), packs. Nothing is read further than asked for, so a look into a large build costs little.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { type Doc, docText } from '../../data/doc.ts';
import { readJsonl } from '../../formats/jsonl.ts';
import type { HostFiles } from '../../host/types.ts';
import { readReport } from '../report/read.ts';
import type { BuildReport, DuplicateExample } from '../report/types.ts';

export const REPORT_NAME = 'report.json';
const DROPS = 'drops';
const WORK = 'work';
const SHARD = /^shard-\d+\.jsonl$/;
/** Shards hold records that passed a limit when they were read. */
const MAX_LINE_BYTES = 64 * 2 ** 20;

/** A dropped document as its step wrote it down. */
export interface DroppedDocument {
  readonly step: string;
  readonly id: string;
  readonly category: string;
  readonly reason: string;
  readonly note?: string;
  /** The start of its text. */
  readonly text: string;
  /** The document that was kept for it. */
  readonly keeper?: { readonly id: string; readonly text?: string };
  readonly similarity?: number;
}

/** Which documents to show; what is absent is not asked for. */
export interface Wanted {
  /** A reason, or the name of a step for all of its reasons. */
  readonly reason?: string;
  readonly id?: string;
  readonly category?: string;
}

const string = (value: unknown): string => (typeof value === 'string' ? value : '');
const record = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {});

function droppedOf(value: unknown, step: string): DroppedDocument {
  const { id, category, reason, note, text, keeper, similarity } = record(value);
  const kept = record(keeper);
  return {
    step,
    id: string(id),
    category: string(category),
    reason: string(reason),
    ...(typeof note === 'string' ? { note } : {}),
    text: string(text),
    ...(keeper ? { keeper: { id: string(kept.id), ...(typeof kept.text === 'string' ? { text: kept.text } : {}) } } : {}),
    ...(typeof similarity === 'number' ? { similarity } : {}),
  };
}

/** A record of `work/` with what a look at it needs; other fields are kept as they are. */
function docOf(value: unknown): Doc {
  const raw = record(value);
  return { ...raw, id: string(raw.id), category: string(raw.category), target: string(raw.target) } as Doc;
}

/** True if a reason is the one asked for, or one of the step asked for. */
export const isReason = (reason: string, wanted: string): boolean => reason === wanted || reason.startsWith(`${wanted}.`);

const fits = (one: { readonly id: string; readonly category: string }, { id, category }: Wanted): boolean =>
  (id === undefined || one.id === id) && (category === undefined || one.category === category);

/** An output folder of `data build`. */
export class BuildFolder {
  readonly dir: string;
  /** Null where the build did not come to its end. */
  readonly report: BuildReport | null;
  readonly #files: HostFiles;

  private constructor(files: HostFiles, dir: string, report: BuildReport | null) {
    this.#files = files;
    this.dir = dir;
    this.report = report;
  }

  /** @throws ScionError `input` for a folder that is missing or that no build wrote; `format` for a damaged report. */
  static async open(files: HostFiles, dir: string): Promise<BuildFolder> {
    const stat = await files.stat(dir);
    if (stat === null || !stat.isDirectory) throw new ScionError('input', `${dir} is no folder; name the --out folder of a data build`, { dir });
    const report = await readReport(files, joinPath(dir, REPORT_NAME));
    const names = new Set((await files.list(dir)).map(({ name }) => name));
    if (report === null && ![DROPS, WORK, 'manifest.json'].some((name) => names.has(name))) {
      throw new ScionError('input', `${dir} holds no data build: neither ${REPORT_NAME} nor ${DROPS}/ nor manifest.json is there`, { dir });
    }
    return new BuildFolder(files, dir, report);
  }

  async #names(path: string, folders: boolean): Promise<string[]> {
    const stat = await this.#files.stat(path);
    if (stat === null || !stat.isDirectory) return [];
    return (await this.#files.list(path))
      .filter(({ name, isDirectory }) => isDirectory === folders && (folders || SHARD.test(name)))
      .map(({ name }) => name)
      .sort();
  }

  /** Steps that dropped something, in the order of the funnel, others behind. */
  async steps(): Promise<string[]> {
    return this.#inOrder(await this.#names(joinPath(this.dir, DROPS), true));
  }

  #inOrder(names: readonly string[]): string[] {
    const order = [...new Set(this.report?.funnel.map(({ step }) => step) ?? [])];
    const at = (name: string): number => (order.indexOf(name) + 1 || order.length + 1) - 1;
    return [...names].sort((a, b) => at(a) - at(b) || (a < b ? -1 : 1));
  }

  async *#lines(folder: string): AsyncGenerator<unknown> {
    for (const name of await this.#names(folder, false)) {
      const path = joinPath(folder, name);
      const reader = await this.#files.open(path);
      try {
        for await (const { value } of readJsonl(reader, { name: path, maxLineBytes: MAX_LINE_BYTES })) yield value;
      } finally {
        await reader.close();
      }
    }
  }

  /** Dropped documents, step by step. */
  async *drops(wanted: Wanted = {}): AsyncGenerator<DroppedDocument> {
    for (const step of await this.steps()) {
      for await (const value of this.#lines(joinPath(this.dir, DROPS, step))) {
        const one = droppedOf(value, step);
        if (fits(one, wanted) && (wanted.reason === undefined || isReason(one.reason, wanted.reason))) yield one;
      }
    }
  }

  /** The step whose documents `work/` still holds, the last one of them; null if it was cleared away. */
  async lastWork(): Promise<string | null> {
    const steps = this.#inOrder(await this.#names(joinPath(this.dir, WORK), true)).reverse();
    for (const step of steps) if ((await this.#names(joinPath(this.dir, WORK, step), false)).length > 0) return step;
    return null;
  }

  /** Documents as a step left them in `work/`. */
  async *documents(step: string, wanted: Wanted = {}): AsyncGenerator<Doc> {
    for await (const value of this.#lines(joinPath(this.dir, WORK, step))) {
      const doc = docOf(value);
      if (fits(doc, wanted)) yield doc;
    }
  }

  /**
   * Duplicates with the document that was kept, where its text can be found: with the drop, in the examples of the report, or in
   * `work/`. At most `limit`; the report's own examples come first, since their likeness was computed.
   */
  async duplicates(limit: number, wanted: Wanted = {}): Promise<DuplicateExample[]> {
    const pairs = (this.report?.duplicates.examples ?? []).filter(({ a, b }) => fits(a, wanted) || fits(b, wanted)).slice(0, limit);
    const seen = new Set(pairs.map(({ b }) => b.id));
    const open: { readonly drop: DroppedDocument; readonly keeper: string }[] = [];
    for await (const drop of this.drops(wanted)) {
      if (pairs.length + open.length >= limit) break;
      if (drop.keeper && !seen.has(drop.id)) open.push({ drop, keeper: drop.keeper.id });
    }
    const missing = new Set(open.filter(({ drop }) => drop.keeper?.text === undefined).map(({ keeper }) => keeper));
    const texts = await this.#texts(missing);
    for (const { drop, keeper } of open) {
      const text = drop.keeper?.text ?? texts.get(keeper);
      pairs.push({
        a: {
          id: keeper,
          category: drop.category,
          text: text ?? '',
          ...(text === undefined ? { note: 'its text is no longer there (build with --keep-work)' } : {}),
        },
        b: { id: drop.id, category: drop.category, text: drop.text, ...(drop.note ? { note: drop.note } : {}) },
        similarity: drop.similarity ?? null,
        reason: drop.reason,
      });
    }
    return pairs;
  }

  async #texts(ids: ReadonlySet<string>): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const step = ids.size > 0 ? await this.lastWork() : null;
    if (step === null) return found;
    for await (const doc of this.documents(step)) {
      if (ids.has(doc.id) && !found.has(doc.id)) found.set(doc.id, docText(doc));
      if (found.size === ids.size) break;
    }
    return found;
  }
}
