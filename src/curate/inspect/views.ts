/**
 * What a look into a build can show, gathered from its folder; the terminal, the page and `--json` draw the same.
 */
import { ScionError } from '../../base/errors.ts';
import { type Doc, docText } from '../../data/doc.ts';
import type { HostFiles } from '../../host/types.ts';
import { type Finding, findings } from '../report/findings.ts';
import type { BuildReport, DuplicateExample } from '../report/types.ts';
import { BuildFolder, type DroppedDocument, isReason, type Wanted } from './folder.ts';
import { type PackBorders, PackReader, type ShownPack } from './packs.ts';

/** A document that was kept. */
export interface ShownDocument {
  readonly id: string;
  readonly category: string;
  readonly title?: string;
  readonly lang?: string;
  readonly scores?: Readonly<Record<string, number>>;
  readonly tags?: readonly string[];
  readonly text: string;
  /** Where it was found. */
  readonly note?: string;
}

export type View =
  | { readonly kind: 'summary'; readonly report: BuildReport; readonly findings: readonly Finding[] }
  | { readonly kind: 'drops'; readonly reason: string | null; readonly items: readonly DroppedDocument[]; readonly total: number | null }
  | { readonly kind: 'duplicates'; readonly items: readonly DuplicateExample[]; readonly total: number | null }
  | { readonly kind: 'documents'; readonly from: string; readonly items: readonly ShownDocument[]; readonly total: number | null }
  | {
      readonly kind: 'id';
      readonly id: string;
      readonly kept: readonly ShownDocument[];
      readonly dropped: readonly DroppedDocument[];
      readonly pairs: readonly DuplicateExample[];
    }
  | { readonly kind: 'buckets'; readonly buckets: readonly BucketLine[]; readonly T: number; readonly packs: readonly PackBorders[] }
  | { readonly kind: 'pack'; readonly pack: ShownPack };

export interface BucketLine {
  readonly bucket: number;
  readonly packs: number;
  readonly segments: number;
  readonly tokens: number;
  /** Tokens that are learnt. */
  readonly labels: number;
  readonly fill: number;
}

/** What is asked for. One of the views; none means the summary. */
export interface Question extends Pick<Wanted, 'category'> {
  /** '' for all reasons. */
  readonly drops?: string;
  readonly duplicates?: boolean;
  readonly documents?: boolean;
  /** '' for all buckets, `3` for one, `3:17` for a pack. */
  readonly packs?: string;
  readonly id?: string;
  /** Most items. */
  readonly limit: number;
}

async function take<T>(items: AsyncIterable<T>, limit: number): Promise<T[]> {
  const taken: T[] = [];
  if (limit <= 0) return taken;
  for await (const item of items) {
    taken.push(item);
    if (taken.length >= limit) break;
  }
  return taken;
}

function shownOf(doc: Doc, note?: string): ShownDocument {
  const { id, category, title, lang, scores, tags } = doc;
  const text = Array.isArray(doc.messages) ? doc.messages.map(({ role, content }) => `[${String(role)}] ${String(content)}`).join('\n') : docText(doc);
  return {
    id,
    category,
    ...(typeof title === 'string' ? { title } : {}),
    ...(typeof lang === 'string' ? { lang } : {}),
    ...(scores && typeof scores === 'object' ? { scores } : {}),
    ...(Array.isArray(tags) ? { tags } : {}),
    text,
    ...(note ? { note } : {}),
  };
}

async function dropsView(folder: BuildFolder, question: Question): Promise<View> {
  const { drops = '', category, limit } = question;
  const reason = drops === '' ? null : drops;
  const known = folder.report ? Object.keys(folder.report.drops) : null;
  if (reason !== null && known && !known.some((one) => isReason(one, reason))) {
    throw new ScionError('input', `${folder.dir}: nothing was dropped for "${reason}"; reasons are ${known.sort().join(', ') || 'none'}`, { reason });
  }
  const items = await take(folder.drops({ ...(reason === null ? {} : { reason }), ...(category === undefined ? {} : { category }) }), limit);
  return { kind: 'drops', reason, items, total: dropTotal(folder.report, reason, category) };
}

function dropTotal(report: BuildReport | null, reason: string | null, category: string | undefined): number | null {
  if (report === null) return null;
  const counts = category === undefined ? report.drops : Object.hasOwn(report.dropsByCategory, category) ? report.dropsByCategory[category] : {};
  return Object.entries(counts).reduce((sum, [name, n]) => sum + (reason === null || isReason(name, reason) ? n : 0), 0);
}

async function documentsView(files: HostFiles, folder: BuildFolder, question: Question): Promise<View> {
  const { category, limit } = question;
  const step = await folder.lastWork();
  if (step !== null) {
    const docs = await take(folder.documents(step, category === undefined ? {} : { category }), limit);
    const total =
      folder.report?.funnel.reduce((sum, row) => sum + (row.step === step && (category ?? row.category) === row.category ? row.documents : 0), 0) ?? null;
    return { kind: 'documents', from: `as "${step}" left them`, items: docs.map((doc) => shownOf(doc)), total };
  }
  const packs = await PackReader.open(files, folder.dir);
  const items = (await take(packs.documents(category), limit)).map(({ document, category: of, runs, bucket, pack, goesOn }) => ({
    id: `#${document}`,
    category: of,
    text: runs
      .filter(({ mark }) => !mark)
      .map(({ text }) => text)
      .join(''),
    note: `bucket ${bucket}, pack ${pack}${goesOn ? '; goes on in another pack' : ''}`,
  }));
  const total = packs.folder.manifest.categories.reduce((sum, one) => sum + ((category ?? one.category) === one.category ? one.documents : 0), 0);
  return { kind: 'documents', from: 'from the packs, since work/ was cleared away (--keep-work keeps ids, scores and tags)', items, total };
}

async function idView(folder: BuildFolder, id: string, limit: number): Promise<View> {
  const dropped = await take(folder.drops({ id }), limit);
  const step = await folder.lastWork();
  const kept = step === null ? [] : (await take(folder.documents(step, { id }), limit)).map((doc) => shownOf(doc, `kept, as "${step}" left it`));
  const pairs = await folder.duplicates(limit, { id });
  if (dropped.length + kept.length + pairs.length === 0) {
    throw new ScionError(
      'input',
      `${folder.dir}: no document "${id}" was dropped${step === null ? '; those that were kept can be looked up only in a build with --keep-work' : `, and "${step}" kept none of that id`}`,
      { id },
    );
  }
  return { kind: 'id', id, kept, dropped, pairs };
}

async function packsView(files: HostFiles, dir: string, where: string, limit: number): Promise<View> {
  const match = /^(?:(\d+)(?::(\d+))?)?$/.exec(where);
  if (!match) throw new ScionError('usage', `--packs takes BUCKET or BUCKET:PACK, two whole numbers from 0; got "${where}"`);
  const [, bucket, pack] = match;
  const reader = await PackReader.open(files, dir);
  const { T, buckets } = reader.folder.manifest;
  if (pack !== undefined) return { kind: 'pack', pack: await reader.pack(Number(bucket), Number(pack)) };
  // Asks for the path so that a number that is none is told as such.
  if (bucket !== undefined) reader.folder.pathOf(Number(bucket));
  const all = buckets.map(({ packs, segments, tokens, labels }, k) => ({
    bucket: k,
    packs,
    segments,
    tokens,
    labels,
    fill: packs > 0 ? tokens / (packs * T) : 0,
  }));
  return {
    kind: 'buckets',
    T,
    buckets: bucket === undefined ? all : all.filter((one) => one.bucket === Number(bucket)),
    packs: await reader.borders(Number(bucket ?? 0), limit),
  };
}

/** Looks. Throws `input` where there is nothing of the kind, `usage` for more than one view at a time. */
export async function look(files: HostFiles, dir: string, question: Question): Promise<View> {
  const asked = (['drops', 'duplicates', 'documents', 'packs', 'id'] as const).filter((name) => question[name] !== undefined && question[name] !== false);
  if (asked.length > 1) throw new ScionError('usage', `one look at a time; got ${asked.map((name) => `--${name}`).join(' and ')}`);
  const folder = await BuildFolder.open(files, dir);
  const { category, limit } = question;
  switch (asked[0]) {
    case 'drops':
      return dropsView(folder, question);
    case 'documents':
      return documentsView(files, folder, question);
    case 'packs':
      return packsView(files, dir, question.packs ?? '', limit);
    case 'id':
      return idView(folder, question.id ?? '', limit);
    case 'duplicates': {
      const items = await folder.duplicates(limit, category === undefined ? {} : { category });
      const total = folder.report && category === undefined ? folder.report.duplicates.exact + folder.report.duplicates.near : null;
      return { kind: 'duplicates', items, total };
    }
    default: {
      const { report } = folder;
      if (report === null)
        throw new ScionError('input', `${dir} has no report.json: the build did not come to its end; --drops and --documents show what is there`);
      return { kind: 'summary', report, findings: findings(report) };
    }
  }
}
