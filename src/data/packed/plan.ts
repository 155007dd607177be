/**
 * The plan of a build: which run of which document goes into which bucket. It reads the index of every token file and no
 * token, and writes one list of pieces a bucket, so that buckets can then be written in any order and by anyone.
 * Memory goes with the number of documents (some dozens of bytes each), not with their tokens.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { tensorEntry, writeSafetensors } from '../../formats/safetensors-write.ts';
import type { Host, HostFiles } from '../../host/types.ts';
import { writeAside } from './aside.ts';
import { bytesOf, halvesOf, type TokenDtype, wordsOf } from './bits.ts';
import { Column } from './column.ts';
import { bucketWeights, distribute } from './distribute.ts';
import { MAX_CATEGORIES, openTokenShard, type TokenMarks } from './token-shard.ts';

const PLAN = 'plan.json';
const FORMAT = 'scion pack plan';

export interface PlanOptions {
  /** Token files, in the order that gives documents their numbers. */
  readonly shards: readonly string[];
  /** For each token file how often each of its documents is used (0: not at all); null or absent: all once. */
  readonly copies?: readonly (ArrayLike<number> | null)[];
  /** Tokens a pack. */
  readonly T: number;
  /** Default 10. */
  readonly buckets?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Shortest chunk that a long document is cut into on purpose. Default T / 16, at least 1. */
  readonly minChunk?: number;
  /** Folder for the plan's files. */
  readonly out: string;
}

/** What a plan says of a category. */
export interface PlannedCategory {
  readonly category: string;
  /** Entries: a document used twice counts twice. */
  readonly documents: number;
  readonly tokens: number;
}

export interface PackPlan {
  readonly format: typeof FORMAT;
  readonly version: 1;
  readonly T: number;
  readonly minChunk: number;
  readonly seed: number;
  readonly buckets: number;
  readonly dtype: TokenDtype;
  readonly marks: TokenMarks;
  readonly shards: readonly string[];
  /** In order of name (by UTF-16 units). */
  readonly categories: readonly PlannedCategory[];
  /** Documents in all token files, used or not. */
  readonly documents: number;
  /** Tokens after sampling: what the packs must hold. */
  readonly tokens: number;
}

/** The columns of a list of pieces. */
export interface PieceTable {
  /** Index of the token file. */
  readonly shard: Uint32Array<ArrayBuffer>;
  /** First token of the piece in that file. */
  readonly at: Uint32Array<ArrayBuffer>;
  /** The same in its document, and the document's length. */
  readonly from: Uint32Array<ArrayBuffer>;
  readonly length: Uint32Array<ArrayBuffer>;
  readonly total: Uint32Array<ArrayBuffer>;
  /** The document's number over all token files. */
  readonly document: Uint32Array<ArrayBuffer>;
  readonly copy: Uint16Array<ArrayBuffer>;
  readonly category: Uint16Array<ArrayBuffer>;
}

const WORDS = ['shard', 'at', 'from', 'length', 'total', 'document'] as const;
const HALVES = ['copy', 'category'] as const;

export const pieceFile = (dir: string, bucket: number): string => joinPath(dir, `pieces-${String(bucket).padStart(2, '0')}.safetensors`);

function natural(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new ScionError('usage', `packing: ${name} must be an integer from ${least} to ${most}, got ${value}`, { name, value });
}

/** All entries of a build, document by document. */
class AllEntries {
  readonly shard = new Column();
  readonly at = new Column();
  readonly length = new Column();
  readonly document = new Column();
  readonly copy = new Column();
  readonly category = new Column();
}

async function readEntries(
  files: HostFiles,
  options: PlanOptions,
): Promise<{ entries: AllEntries; names: string[]; marks: TokenMarks; dtype: TokenDtype; documents: number }> {
  const entries = new AllEntries();
  const names: string[] = [];
  const numbers = new Map<string, number>();
  let marks: TokenMarks | undefined;
  let dtype: TokenDtype = 'U16';
  let documents = 0;
  for (const [s, path] of options.shards.entries()) {
    const shard = await openTokenShard(files, path);
    await shard.file.close();
    if (marks === undefined) marks = shard.marks;
    else if (JSON.stringify(marks) !== JSON.stringify(shard.marks)) {
      throw new ScionError('input', `${path} was made with another tokenizer or template than ${options.shards[0]}; tokenise all shards alike`, { path });
    }
    dtype = shard.dtype;
    const own = shard.counts.categories.map(({ category }) => {
      let number = numbers.get(category);
      if (number === undefined) {
        number = names.length;
        numbers.set(category, number);
        names.push(category);
      }
      return number;
    });
    const copies = options.copies?.[s] ?? null;
    const count = shard.category.length;
    if (copies !== null && copies.length !== count) {
      throw new ScionError('usage', `packing: ${path} has ${count} documents, its list of copies ${copies.length}`, { path });
    }
    for (let i = 0; i < count; i++) {
      const length = shard.starts[i + 1] - shard.starts[i];
      const times = copies === null ? 1 : copies[i];
      natural(`copies of document ${i} of ${path}`, times, 0, 0xffff);
      if (length === 0) continue;
      for (let copy = 0; copy < times; copy++) {
        entries.shard.push(s);
        entries.at.push(shard.starts[i]);
        entries.length.push(length);
        entries.document.push(documents + i);
        entries.copy.push(copy);
        entries.category.push(own[shard.category[i]]);
      }
    }
    documents += count;
  }
  if (marks === undefined) throw new ScionError('input', 'packing: there are no token files', { shards: 0 });
  if (names.length > MAX_CATEGORIES)
    throw new ScionError('input', `packing: ${names.length} categories, at most ${MAX_CATEGORIES}`, { categories: names.length });
  return { entries, names, marks, dtype, documents };
}

/**
 * Plans the buckets and writes `plan.json` and a list of pieces for each. Throws `usage` for impossible options, `input`
 * where there is nothing to pack or token files do not belong together.
 */
export async function planBuckets(host: Host, options: PlanOptions): Promise<PackPlan> {
  const { T, buckets = 10, seed = 0, out } = options;
  natural('T', T, 2, 1 << 24);
  natural('buckets', buckets, 1, 10_000);
  natural('seed', seed, 0, 0xffffffff);
  const minChunk = options.minChunk ?? Math.max(1, T >> 4);
  natural('minChunk', minChunk, 1, T >> 1);
  const { entries, names, marks, dtype, documents } = await readEntries(host.files, options);
  const all = entries.length.values;
  const tokens = all.reduce((sum, n) => sum + n, 0);
  if (tokens === 0) throw new ScionError('input', `packing: ${documents} documents and no token: nothing is left to pack`, { documents });
  const weights = bucketWeights(tokens, T, buckets);

  const order = names.map((_, i) => i).sort((a, b) => (names[a] < names[b] ? -1 : 1));
  const byCategory = names.map(() => new Column());
  for (const [i, category] of entries.category.values.entries()) byCategory[category].push(i);
  /** For each bucket: entry, first token, length, category of its pieces. */
  const perBucket = Array.from({ length: buckets }, () => ({ entry: new Column(), from: new Column(), length: new Column(), category: new Column() }));
  const categories = order.map((old, category): PlannedCategory => {
    const own = byCategory[old].values;
    const pick = (column: Column): Uint32Array => own.map((i) => column.values[i]);
    const length = pick(entries.length);
    distribute({ document: pick(entries.document), copy: pick(entries.copy), length }, { weights, T, minChunk, seed }, (entry, from, run, bin) => {
      const bucket = perBucket[bin];
      bucket.entry.push(own[entry]);
      bucket.from.push(from);
      bucket.length.push(run);
      bucket.category.push(category);
    });
    return { category: names[old], documents: own.length, tokens: length.reduce((sum, n) => sum + n, 0) };
  });

  await host.files.makeDir(out);
  for (const [k, { entry, from, length, category }] of perBucket.entries()) {
    const pick = (column: Column): Uint32Array<ArrayBuffer> => entry.values.map((i) => column.values[i]);
    const words: Record<(typeof WORDS)[number], Uint32Array<ArrayBuffer>> = {
      shard: pick(entries.shard),
      at: pick(entries.at).map((at, i) => at + from.values[i]),
      from: from.values,
      length: length.values,
      total: pick(entries.length),
      document: pick(entries.document),
    };
    const halves = { copy: Uint16Array.from(pick(entries.copy)), category: Uint16Array.from(category.values) };
    await writeAside(host, pieceFile(out, k), (writer) =>
      writeSafetensors(writer, [
        ...WORDS.map((name) => tensorEntry(name, 'U32', [entry.length], bytesOf(words[name]))),
        ...HALVES.map((name) => tensorEntry(name, 'U16', [entry.length], bytesOf(halves[name]))),
      ]),
    );
  }
  const plan: PackPlan = { format: FORMAT, version: 1, T, minChunk, seed, buckets, dtype, marks, shards: options.shards, categories, documents, tokens };
  await writeAside(host, joinPath(out, PLAN), (writer) => writer.write(new TextEncoder().encode(`${JSON.stringify(plan, null, 1)}\n`)));
  return plan;
}

/** Reads a plan that `planBuckets` wrote. */
export async function readPlan(files: HostFiles, dir: string): Promise<PackPlan> {
  const path = joinPath(dir, PLAN);
  const plan = JSON.parse(new TextDecoder().decode(await files.read(path))) as PackPlan;
  if (plan.format !== FORMAT || plan.version !== 1) throw new ScionError('format', `${path}: no pack plan of version 1; plan again`, { path });
  return plan;
}

/** Reads the pieces of one bucket. */
export async function readPieces(files: HostFiles, dir: string, bucket: number): Promise<PieceTable> {
  const path = pieceFile(dir, bucket);
  const reader = await files.open(path);
  try {
    const file = await openSafetensors(reader, path);
    const word = async (name: (typeof WORDS)[number]) => wordsOf(await file.read(name));
    const half = async (name: (typeof HALVES)[number]) => halvesOf(await file.read(name));
    return {
      shard: await word('shard'),
      at: await word('at'),
      from: await word('from'),
      length: await word('length'),
      total: await word('total'),
      document: await word('document'),
      copy: await half('copy'),
      category: await half('category'),
    };
  } finally {
    await reader.close();
  }
}
