/**
 * Held-out documents: some of each category are set aside for validation behind all steps that judge, so that they are what the
 * rest is, and before sampling, so that no budget takes them. Which: those whose seeded hash of the text is least, so equal texts
 * lie on one side, documents that come later move none, and the number of workers does not matter. It costs two more passes over
 * the shards, and only where it is asked for: one ranks, one splits.
 */
import { joinPath } from '../../base/path.ts';
import { docText } from '../../data/doc.ts';
import { readDocShard } from '../../data/doc-shard.ts';
import { hash32 } from '../../data/hash.ts';
import { type HeldOutFile, heldOutName, VALIDATION_FOLDER, writeAside } from '../../data/packed/index.ts';
import { JsonlWriter } from '../../formats/jsonl.ts';
import type { Host } from '../../host/types.ts';
import { measureText } from '../../text/utf8.ts';
import type { ValidationConfig } from './config.ts';
import { Counts } from './counts.ts';
import { countsPath, FactsBuilder, factsPath } from './flow.ts';
import { claimFolder } from './keys.ts';
import type { TaskPool } from './pool.ts';
import { LinesFile, readText, type Shards, shardName, writeJson } from './shard-files.ts';
import type { TaskContext } from './tasks.ts';

/** The step's name in the funnel, and where `Counts` adds up what it set aside. */
export const VALIDATION = 'validation';
export const HELD_OUT = 'held-out';

const HASHES = 0x100000000;

export interface RankInput {
  readonly path: string;
  readonly share: number;
  readonly seed: number;
}

/** Of one category of a shard: how many documents there are, and those that may be held out. */
export interface RankedCategory {
  readonly category: string;
  readonly documents: number;
  readonly index: number[];
  readonly hash: number[];
  /** UTF-8 bytes of the text. */
  readonly bytes: number[];
}

/** The task `validation.rank`. */
export async function rankTask({ path, share, seed }: RankInput, { host: { files } }: TaskContext): Promise<RankedCategory[]> {
  const rows = new Map<string, { category: string; documents: number; index: number[]; hash: number[]; bytes: number[] }>();
  let index = 0;
  for await (const doc of readDocShard(files, path)) {
    const { category } = doc;
    const row = rows.get(category) ?? { category, documents: 0, index: [], hash: [], bytes: [] };
    rows.set(category, row);
    row.documents++;
    const text = docText(doc);
    const hash = hash32(text, seed);
    if (hash < share * HASHES) {
      row.index.push(index);
      row.hash.push(hash);
      row.bytes.push(measureText(text).bytes);
    }
    index++;
  }
  return [...rows.values()];
}

/**
 * Chooses from what all shards ranked: by category, least hash first, as long as both limits have room; one that does not fit is
 * passed over. Equal texts go together or not at all, and a category keeps at least one document. Gives indices by shard, rising.
 */
export function chooseHeldOut(ranked: readonly (readonly RankedCategory[])[], { documents, bytes }: Omit<ValidationConfig, 'share'>): number[][] {
  const held: number[][] = ranked.map(() => []);
  const all = new Map<string, { documents: number; found: { shard: number; index: number; hash: number; bytes: number }[] }>();
  for (const [shard, rows] of ranked.entries()) {
    for (const row of rows) {
      const entry = all.get(row.category) ?? { documents: 0, found: [] };
      all.set(row.category, entry);
      entry.documents += row.documents;
      row.index.forEach((index, i) => {
        entry.found.push({ shard, index, hash: row.hash[i], bytes: row.bytes[i] });
      });
    }
  }
  for (const { documents: there, found } of all.values()) {
    found.sort((a, b) => a.hash - b.hash || a.shard - b.shard || a.index - b.index);
    let room = Math.min(documents, there - 1);
    let left = bytes;
    for (let from = 0; from < found.length; ) {
      let to = from;
      let size = 0;
      while (to < found.length && found[to].hash === found[from].hash) size += found[to++].bytes;
      if (to - from <= room && size <= left) {
        room -= to - from;
        left -= size;
        for (const { shard, index } of found.slice(from, to)) held[shard].push(index);
      }
      from = to;
    }
  }
  for (const indices of held) indices.sort((a, b) => a - b);
  return held;
}

export interface SplitInput {
  readonly shard: number;
  readonly path: string;
  /** Of the documents that are held out. */
  readonly held: readonly number[];
  readonly work: string;
}

const heldPath = (work: string, shard: number): string => joinPath(work, shardName(shard).replace('.jsonl', '.held.jsonl'));

/** The task `validation.split`: a shard without what is held out, and that. Gives its counts as text. */
export async function splitTask({ shard, path, held, work }: SplitInput, { host: { files } }: TaskContext): Promise<string> {
  const done = await readText(files, countsPath(work, shard));
  if (done !== null) return done;
  const wanted = new Set(held);
  const counts = new Counts();
  const facts = new FactsBuilder();
  const out = new LinesFile(files, work, shardName(shard));
  const aside = new LinesFile(files, work, shardName(shard).replace('.jsonl', '.held.jsonl'));
  try {
    let index = 0;
    for await (const doc of readDocShard(files, path)) {
      const size = measureText(docText(doc));
      const isHeld = wanted.has(index++);
      counts.pass(isHeld ? HELD_OUT : VALIDATION, doc.category, size);
      if (!isHeld) facts.add(doc, size);
      await (isHeld ? aside : out).write(doc);
    }
    await out.finish(true);
    await aside.finish(true);
  } catch (error) {
    await out.abandon();
    await aside.abandon();
    throw error;
  }
  await writeJson(files, factsPath(work, shard), facts.facts());
  await writeJson(files, countsPath(work, shard), counts);
  return JSON.stringify(counts);
}

export interface HoldOutEnv {
  readonly host: Host;
  readonly pool: TaskPool;
  readonly config: ValidationConfig;
  readonly seed: number;
  /** The output folder. */
  readonly out: string;
  readonly key: string;
  readonly progress: (step: string, done: number, total: number) => void;
}

/** Writes a file a category, documents in the order of the shards. */
async function writeFiles(env: HoldOutEnv, work: string, numbers: readonly number[], perShard: readonly Counts[]): Promise<HeldOutFile[]> {
  const { host, out } = env;
  const total = new Counts();
  for (const counts of perShard) total.merge(counts);
  const rows = [...(total.funnel.get(HELD_OUT) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  const used = new Set<string>();
  const written: HeldOutFile[] = [];
  if (rows.length > 0) await host.files.makeDir(joinPath(out, VALIDATION_FOLDER));
  for (const [category, { documents, bytes: textBytes }] of rows) {
    const file = `${VALIDATION_FOLDER}/${heldOutName(category, used)}`;
    const facts = await writeAside(host, joinPath(out, file), async (writer) => {
      const lines = new JsonlWriter(writer);
      for (const [s, shard] of numbers.entries()) {
        if (!perShard[s].funnel.get(HELD_OUT)?.has(category)) continue;
        for await (const doc of readDocShard(host.files, heldPath(work, shard))) if (doc.category === category) await lines.write(doc);
      }
      await lines.flush();
    });
    written.push({ category, file, documents, textBytes, ...facts });
    env.progress('write validation', written.length, rows.length);
  }
  return written;
}

/** Sets documents aside; gives the shards without them, and the files in `validation/` of the output. */
export async function holdOut(env: HoldOutEnv, from: Shards, counts: Counts): Promise<{ shards: Shards; files: readonly HeldOutFile[] }> {
  const { host, pool, config, seed, out, progress } = env;
  const work = joinPath(out, 'work', VALIDATION);
  await claimFolder(host, work, env.key, [joinPath(out, VALIDATION_FOLDER)]);
  const ranked = await pool.map<RankInput, RankedCategory[]>(
    'validation.rank',
    from.paths.map((path) => ({ path, share: config.share, seed })),
    (done, total) => progress('rank for validation', done, total),
  );
  const held = chooseHeldOut(ranked, config);
  const inputs = from.numbers.map((shard, i): SplitInput => ({ shard, path: from.paths[i], held: held[i], work }));
  const texts = await pool.map<SplitInput, string>('validation.split', inputs, (done, total) => progress('hold out', done, total));
  const perShard = texts.map((text) => Counts.parse(text));
  for (const own of perShard) counts.merge(own);
  const files = await writeFiles(env, work, from.numbers, perShard);
  return { shards: { name: VALIDATION, numbers: from.numbers, paths: from.numbers.map((n) => joinPath(work, shardName(n))), facts: work }, files };
}
