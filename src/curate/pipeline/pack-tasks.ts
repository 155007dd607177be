/**
 * Packing and sampling as tasks: a shard to tokens, what sampling left out of a shard, a bucket. Each gives small plain data, which
 * it also writes down last, so that finished work is known by it.
 */
import { joinPath } from '../../base/path.ts';
import { countPower } from '../../base/power-bins.ts';
import { docText } from '../../data/doc.ts';
import { readDocShard } from '../../data/doc-shard.ts';
import { type BucketFacts, type TemplateName, type TokenCounts, tokenizeShard, writeBucket } from '../../data/packed/index.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import type { HostFiles } from '../../host/types.ts';
import { loadTokenizer, type Tokenizer } from '../../text/tokenizer.ts';
import type { ReportExample } from '../report/types.ts';
import { Counts, startOf } from './counts.ts';
import { LinesFile, readText, shardName, writeJson } from './shard-files.ts';
import type { TaskContext } from './tasks.ts';

async function tokenizerOf(path: string, { host, cache }: TaskContext): Promise<Tokenizer> {
  const key = `tokenizer ${path}`;
  const known = cache.get(key) as Tokenizer | undefined;
  if (known) return known;
  const tokenizer = await loadTokenizer(host.files, path);
  cache.set(key, tokenizer);
  return tokenizer;
}

export interface TokenizeInput {
  readonly shard: number;
  readonly path: string;
  readonly tokenizer: string;
  readonly template: TemplateName;
  /** Folder of token files. */
  readonly work: string;
  readonly drops: string;
}

export const tokenPath = (work: string, shard: number): string => joinPath(work, shardName(shard).replace('.jsonl', '.safetensors'));

/** The counts of a shard, and its drops as the list of drops has them. */
export interface TokenizeOutput {
  readonly counts: TokenCounts;
  readonly dropped: readonly (ReportExample & { readonly reason: string })[];
}

/** The task `pack.tokenize`. */
export async function tokenizeTask(input: TokenizeInput, context: TaskContext): Promise<TokenizeOutput> {
  const { files } = context.host;
  const { shard, path, work, drops, template } = input;
  const marker = joinPath(work, shardName(shard).replace('.jsonl', '.counts.json'));
  const done = await readText(files, marker);
  if (done !== null) return JSON.parse(done) as TokenizeOutput;
  const tokenizer = await tokenizerOf(input.tokenizer, context);
  const counts = await tokenizeShard(context.host, { in: path, out: tokenPath(work, shard), tokenizer, template });
  const dropped: (ReportExample & { reason: string })[] = [];
  if (counts.drops.length > 0) {
    const reasons = new Map(counts.drops.map((drop) => [drop.index, drop]));
    const list = new LinesFile(files, joinPath(drops, 'tokenize'), shardName(shard));
    let index = 0;
    for await (const doc of readDocShard(files, path)) {
      const drop = reasons.get(index++);
      if (!drop) continue;
      const { id, category, reason, note } = drop;
      dropped.push({ id, category, reason, note, text: startOf(docText(doc)) });
      await list.write(dropped[dropped.length - 1]);
    }
    await list.finish(false);
  }
  const output: TokenizeOutput = { counts, dropped };
  await writeJson(files, marker, output);
  return output;
}

export interface SampleInput {
  readonly shard: number;
  readonly path: string;
  /** How often each document is used, and for those that are not, the index of the reason. */
  readonly copies: Uint16Array;
  readonly why: Uint8Array;
  readonly reasons: readonly string[];
  readonly work: string;
  readonly drops: string;
  /** Whether to write what was chosen as a shard: where nothing is packed. */
  readonly write: boolean;
}

/** The task `sample.shard`: lists what was not chosen, and writes what was. Gives its counts as text. */
export async function sampleTask(input: SampleInput, { host: { files } }: TaskContext): Promise<string> {
  const { shard, path, copies, why, reasons, work, drops, write } = input;
  const name = shardName(shard);
  const marker = joinPath(work, name.replace('.jsonl', '.counts.json'));
  const done = await readText(files, marker);
  if (done !== null) return done;
  const counts = new Counts();
  const list = new LinesFile(files, joinPath(drops, 'sample'), name);
  const out = new LinesFile(files, work, name);
  let index = 0;
  for await (const doc of readDocShard(files, path)) {
    const times = copies[index];
    const reason = reasons[why[index]];
    index++;
    if (times > 0) {
      for (let copy = 0; write && copy < times; copy++) await out.write(doc);
      continue;
    }
    // What has no tokens went before.
    if (reason === undefined) continue;
    const { id, category } = doc;
    const example = { id, category, text: startOf(docText(doc)) };
    counts.drop(reason, example);
    await list.write({ id, category, reason, text: example.text });
  }
  await out.finish(write);
  await list.finish(false);
  await writeJson(files, marker, counts);
  return JSON.stringify(counts);
}

export interface BucketInput {
  readonly plan: string;
  readonly bucket: number;
  readonly out: string;
}

export interface BucketOutput {
  readonly facts: BucketFacts;
  /** Segments by power of two of their tokens. */
  readonly lengths: readonly number[];
}

/** Lengths of the segments of a bucket, from its tables. */
async function segmentLengths(files: HostFiles, path: string): Promise<number[]> {
  const reader = await files.open(path);
  try {
    const file = await openSafetensors(reader, path);
    const words = async (name: string): Promise<Uint32Array> => {
      const bytes = await file.read(name);
      return new Uint32Array(bytes.slice().buffer);
    };
    const [first, used, start] = [await words('pack_segments'), await words('pack_used'), await words('segment_start')];
    const bins: number[] = [];
    for (let pack = 0; pack < used.length; pack++) {
      for (let s = first[pack]; s < first[pack + 1]; s++) {
        const length = (s + 1 < first[pack + 1] ? start[s + 1] : used[pack]) - start[s];
        countPower(bins, length);
      }
    }
    return bins;
  } finally {
    await reader.close();
  }
}

/** The task `pack.bucket`. */
export async function bucketTask({ plan, bucket, out }: BucketInput, { host }: TaskContext): Promise<BucketOutput> {
  const { files } = host;
  const marker = joinPath(plan, `bucket-${String(bucket).padStart(2, '0')}.json`);
  const done = await readText(files, marker);
  if (done !== null) {
    const output = JSON.parse(done) as BucketOutput;
    if ((await files.stat(joinPath(out, output.facts.file)))?.size === output.facts.bytes) return output;
  }
  const facts = await writeBucket(host, { plan, bucket, out });
  const output: BucketOutput = { facts, lengths: await segmentLengths(files, joinPath(out, facts.file)) };
  await writeJson(files, marker, output);
  return output;
}
