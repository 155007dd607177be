/**
 * Deduplication of a folder of shards, in three passes: sketch every shard, decide over the sketches, write a verdict
 * for every shard. Text is read once, and again only where two documents are compared or a piece is cut. Sketches,
 * compared pairs and verdicts lie on disk, each whole or not there: a run that was cut off goes on behind the last one,
 * to the same bytes. What is held in memory: about 14 bytes a document.
 */
import { joinPath } from '../../base/path.ts';
import { hashJson } from '../../host/hashing.ts';
import type { Host } from '../../host/types.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { TaskPool } from '../pipeline/pool.ts';
import { bandsOf, DedupConfig, type DedupInput } from './config.ts';
import { type Decision, decide, EXACT, KEPT, keeperOf } from './decide.ts';
import { shardOf, type Work } from './near.ts';
import type { SectionLead } from './section-ranks.ts';
import type { SketchInput } from './sketch.ts';
import { Sketches } from './sketch-file.ts';
import type { VerdictInput, VerdictSummary } from './verdict.ts';

export { DedupConfig, type DedupInput } from './config.ts';
export { candidateShare, planBands } from './minhash.ts';
export { applyVerdict, type Place, readVerdict, type Verdict, type VerdictCut, type VerdictDrop } from './verdict.ts';

export interface DedupEnv {
  readonly host: Host;
  readonly pool: TaskPool;
  /** A folder for this step alone; made if missing. What another input or configuration left in it is removed. */
  readonly scratch: string;
  /** Other ranks that share the reading of sketches. */
  readonly sections?: SectionLead;
}

export interface DedupStats {
  readonly documents: number;
  readonly exact: number;
  readonly near: number;
  readonly contained: number;
  /** Documents of which cuts left too little. */
  readonly littleLeft: number;
  readonly cutDocuments: number;
  /** UTF-16 units cut out of documents that stay. */
  readonly cutCharacters: number;
  /** Groups of near-duplicates, and documents of the largest. */
  readonly clusters: number;
  readonly largestCluster: number;
  readonly pairsVerified: number;
  /** Verified pairs by similarity, 20 steps of 0.05. */
  readonly similarities: readonly number[];
  readonly bands: number;
  readonly rows: number;
}

export interface DedupResult {
  /** A file a shard, see `readVerdict`. */
  readonly verdicts: string[];
  readonly stats: DedupStats;
  /** A few a reason; near-duplicates from the least alike on, since those are what a threshold is judged by. */
  readonly examples: VerdictSummary['examples'];
}

/** `stage` is sketch, near or verdict. */
export type DedupProgress = (progress: { readonly stage: string; readonly done: number; readonly total: number }) => void;

/** Examples a reason in the result. */
const EXAMPLES = 5;
const DROP_REASONS = ['dedup.exact', 'dedup.near', 'dedup.contained', 'dedup.little-left'] as const;
/** Shards whose verdicts are written before what the next ones need is gathered. */
const VERDICTS_AT_ONCE = 16;
const VERSION = 1;
/** What this step writes. Nothing else in its folder is touched. */
const OWN_FILES = /^(key\.json|(sketch|round|cuts-paragraph|cuts-line|verdict)-\d+\.(bin|json))(\.part)?$/;

const numbered = (name: string, number: number, end: string): string => `${name}-${String(number).padStart(5, '0')}.${end}`;

/** Empties `scratch` unless it belongs to the same shards and configuration. */
async function claim({ host, scratch }: DedupEnv, shards: readonly string[], config: DedupConfig): Promise<string> {
  const facts = [];
  for (const shard of shards) {
    const stat = await host.files.stat(shard);
    facts.push([shard, stat?.size, stat?.modified]);
  }
  const key = await hashJson(() => host.sha256(), [VERSION, config, facts]);
  const path = joinPath(scratch, 'key.json');
  const bytes = new TextEncoder().encode(`${JSON.stringify({ key })}\n`);
  const old = (await host.files.stat(path)) === null ? '' : new TextDecoder().decode(await host.files.read(path));
  if (old !== new TextDecoder().decode(bytes)) {
    await host.files.makeDir(scratch);
    for (const { name } of await host.files.list(scratch)) if (OWN_FILES.test(name)) await host.files.remove(joinPath(scratch, name));
    await writeWhole(host.files, path, bytes);
  }
  return key;
}

/** What a verdict needs: the shard's drops with the documents that stay, and where its cuts are. */
function verdictInput(work: Work, decision: Decision, shard: number, out: string): VerdictInput {
  const { fate, likeness, cuts } = decision;
  const [base, end] = [work.bases[shard], work.bases[shard + 1]];
  const drops: number[] = [];
  const likenesses: number[] = [];
  const keepers: number[] = [];
  const sketches: { path: string; shard: number }[] = [];
  const places = new Map<number, number>();
  for (let d = base; d < end; d++) {
    if (fate[d] === KEPT) continue;
    const keeper = keeperOf(decision, d);
    const keeperShard = shardOf(work.bases, keeper);
    let place = places.get(keeperShard);
    if (place === undefined) {
      place = sketches.push({ path: work.sketchPaths[keeperShard], shard: keeperShard }) - 1;
      places.set(keeperShard, place);
    }
    drops.push(d - base, fate[d], keepers.length / 2);
    keepers.push(place, keeper - work.bases[keeperShard]);
    // An equal of a document that went because of a third is as like the third as that document.
    const like = decision.cause[d] === keeper ? d : fate[d] === EXACT && decision.cause[decision.cause[d]] === keeper ? decision.cause[d] : -1;
    likenesses.push(like < 0 ? Number.NaN : likeness[like]);
  }
  return {
    out,
    shard,
    shards: work.shards.length,
    path: work.shards[shard],
    sketch: work.sketchPaths[shard],
    base,
    drops: Uint32Array.from(drops),
    likeness: Float32Array.from(likenesses),
    keepers: Uint32Array.from(keepers),
    sketches,
    cuts,
    minLeft: work.config.minLeft,
  };
}

/** The least alike first for near-duplicates, else in order. */
function chosenExamples(all: VerdictSummary['examples']): VerdictSummary['examples'] {
  const out = [];
  for (const reason of DROP_REASONS) {
    const some = all.filter((example) => example.reason === reason);
    if (reason === 'dedup.near') some.sort((x, y) => (x.similarity ?? 2) - (y.similarity ?? 2));
    out.push(...some.slice(0, EXAMPLES));
  }
  return out;
}

/**
 * Finds duplicates in JSON Lines files of documents (`shards`, in order). Documents are not changed: give each with
 * its verdict to `applyVerdict`. The same result for any number of workers. Throws `usage` for a configuration that
 * cannot be met, `format` for lines that are no JSON.
 */
export async function dedupShards(env: DedupEnv, shards: readonly string[], input: DedupInput, onProgress?: DedupProgress): Promise<DedupResult> {
  const config = DedupConfig.parse(input);
  const { bands, rows } = bandsOf(config);
  const key = await claim(env, shards, config);
  const sketchPaths = shards.map((_, s) => joinPath(env.scratch, numbered('sketch', s, 'bin')));
  const progress = (stage: string, done: number, total: number): void => onProgress?.({ stage, done, total });

  const counts = await env.pool.map<SketchInput, number>(
    'dedup.sketch',
    shards.map((shard, s) => ({ shard, out: sketchPaths[s], config })),
    (done, total) => progress('sketch', done, total),
  );
  const bases = new Uint32Array(shards.length + 1);
  counts.forEach((count, s) => {
    bases[s + 1] = bases[s] + count;
  });

  await env.sections?.sketches(sketchPaths, bases);
  const work: Work = {
    host: env.host,
    pool: env.pool,
    scratch: env.scratch,
    key,
    config,
    shards,
    sketchPaths,
    sketches: new Sketches(env.host.files, sketchPaths, env.sections),
    bases,
    progress,
  };
  const decision = await decide(work);

  const verdicts = shards.map((_, s) => joinPath(env.scratch, numbered('verdict', s, 'json')));
  const drops = { 'dedup.exact': 0, 'dedup.near': 0, 'dedup.contained': 0, 'dedup.little-left': 0 };
  let [cutDocuments, cutCharacters] = [0, 0];
  let examples: VerdictSummary['examples'] = [];
  for (let from = 0; from < shards.length; from += VERDICTS_AT_ONCE) {
    const inputs = verdicts.slice(from, from + VERDICTS_AT_ONCE).map((out, i) => verdictInput(work, decision, from + i, out));
    const summaries = await env.pool.map<VerdictInput, VerdictSummary>('dedup.verdict', inputs, (done) => progress('verdict', from + done, shards.length));
    for (const summary of summaries) {
      for (const reason of DROP_REASONS) drops[reason] += summary.drops[reason];
      cutDocuments += summary.cutDocuments;
      cutCharacters += summary.cutCharacters;
    }
    examples = chosenExamples([...examples, ...summaries.flatMap((summary) => summary.examples)]);
  }
  return {
    verdicts,
    stats: {
      documents: bases[shards.length],
      exact: drops['dedup.exact'],
      near: drops['dedup.near'],
      contained: drops['dedup.contained'],
      littleLeft: drops['dedup.little-left'],
      cutDocuments,
      cutCharacters,
      clusters: decision.clusters,
      largestCluster: decision.largestCluster,
      pairsVerified: decision.compared,
      similarities: decision.similarities,
      bands,
      rows,
    },
    examples,
  };
}
