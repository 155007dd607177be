/**
 * The steps that judge documents, in groups: steps that look at one document at a time are fused, and a new group begins where all
 * documents must be known (deduplication) or the device is needed (perplexity). Each group reads the shards of the one before
 * it and leaves its own, under its key.
 */
import { invariant, ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import type { DedupResult } from '../dedup/index.ts';
import type { Unit } from '../read/units.ts';
import type { BuildEnv } from './build-env.ts';
import { type BuildKeys, scoresFirst } from './build-keys.ts';
import { Counts } from './counts.ts';
import { countsPath } from './flow.ts';
import { claimFolder } from './keys.ts';
import type { MapShardInput } from './map-task.ts';
import type { ReadUnitInput } from './read-task.ts';
import type { Trained } from './scorers.ts';
import { readText, type Shards, shardName, shardNumber } from './shard-files.ts';
import type { StepSpec } from './steps.ts';

/** More categories than this are ids by mistake. */
const MAX_CATEGORIES = 4096;

/** What the groups of one build share. */
export interface GroupRun {
  readonly env: BuildEnv;
  readonly keys: BuildKeys;
  readonly trained: Trained;
  /** Of all groups so far. */
  readonly counts: Counts;
  /** Steps that the funnel shows, in the order they were done. */
  readonly steps: string[];
}

export interface Judged {
  readonly shards: Shards;
  readonly dedup: DedupResult | null;
  /** The shards that deduplication looked at. */
  readonly looked: readonly string[];
}

function scoreSpec({ env, trained }: GroupRun): StepSpec {
  const { score } = env.config;
  invariant(score, 'a score step has a configuration');
  const { train, perplexity, ngram, ...rest } = score;
  const classifiers = trained.classifiers.map(({ name, path }, i) => ({ name, path, ...(train[i].tagAt === undefined ? {} : { tagAt: train[i].tagAt }) }));
  return {
    name: 'score',
    config: {
      ...rest,
      classifiers: [...rest.classifiers, ...classifiers],
      ...(ngram && trained.ngram ? { ngram: { path: trained.ngram.path, maxBytes: ngram.maxBytes } } : {}),
    },
  };
}

async function addCounts({ env, counts }: GroupRun, work: string, shards: readonly number[]): Promise<Counts> {
  const own = new Counts();
  for (const shard of shards) {
    const text = await readText(env.host.files, countsPath(work, shard));
    invariant(text !== null, `the counts of shard ${shard} are written`);
    own.merge(Counts.parse(text));
  }
  counts.merge(own);
  return own;
}

/** Takes the steps of a group into account and claims its folder, which is named after the last of them. */
async function beginGroup(
  { env, steps }: GroupRun,
  names: readonly string[],
  key: string,
): Promise<{ name: string; work: string; places: ReadUnitInput['places'] }> {
  steps.push(...names);
  const name = names[names.length - 1];
  const work = env.work(name);
  await claimFolder(
    env.host,
    work,
    key,
    names.map((step) => env.drops(step)),
  );
  return { name, work, places: { work, drops: joinPath(env.out, 'drops') } };
}

/** Reads and cleans, and scores where that is asked for at once. */
async function readGroup(run: GroupRun, units: readonly Unit[], more: readonly StepSpec[]): Promise<Shards> {
  const { env, keys, counts } = run;
  const { clean, data, read } = env.config;
  const steps: StepSpec[] = [...(clean ? [{ name: 'clean' as const, config: clean }] : []), ...more];
  const names = ['read', ...steps.map((step) => step.name)];
  const { name, work, places } = await beginGroup(run, names, keys.first);
  const inputs = units.map(({ source, pieces }, unit): ReadUnitInput => ({ unit, source: data[source], pieces, config: read, steps, places }));
  const parts = await env.timed('first', () =>
    env.pool.map<ReadUnitInput, number>('read.unit', inputs, (done, total) => env.progress(clean ? 'read and clean' : 'read', done, total)),
  );
  await env.rest(parts.length);
  const numbers = parts.flatMap((n, unit) => Array.from({ length: n }, (_, part) => shardNumber(unit, part)));
  env.share('first', await addCounts(run, work, numbers));
  const categories = counts.funnel.get('read')?.size ?? 0;
  if (categories > MAX_CATEGORIES) {
    throw new ScionError(
      'input',
      `${categories} categories were read, at most ${MAX_CATEGORIES} make sense; is the field category an id? Set category for the source, or map another field`,
      { categories },
    );
  }
  return { name, numbers, paths: numbers.map((number) => joinPath(work, shardName(number))), facts: work };
}

/** Takes every shard through a group of steps. `verdicts`: what deduplication found on each, applied first. */
async function mapGroup(run: GroupRun, from: Shards, key: string, steps: readonly StepSpec[], verdicts?: readonly string[]): Promise<Shards> {
  const { env } = run;
  const names = [...(verdicts ? ['dedup'] : []), ...steps.map((step) => step.name)];
  if (names.length === 0) return from;
  const { name, work, places } = await beginGroup(run, names, key);
  const specs = (i: number): StepSpec[] => [...(verdicts ? [{ name: 'dedup' as const, verdict: verdicts[i] }] : []), ...steps];
  const inputs = from.numbers.map((shard, i): MapShardInput => ({ shard, path: from.paths[i], steps: specs(i), places }));
  const label = names.join(', ');
  await env.timed('group', () => env.pool.map('map.shard', inputs, (done, total) => env.progress(label, done, total)));
  await env.rest(inputs.length);
  env.share('group', await addCounts(run, work, from.numbers));
  return { name, numbers: from.numbers, paths: from.numbers.map((number) => joinPath(work, shardName(number))), facts: work };
}

async function deduplicate({ env, keys }: GroupRun, shards: Shards): Promise<DedupResult | null> {
  const { host, pool, config } = env;
  const { dedup } = config;
  if (dedup === null) return null;
  const folder = env.work('dedup-scratch');
  await claimFolder(host, folder, keys.dedup);
  const { dedupShards } = await import('../dedup/index.ts');
  const scratch = joinPath(folder, 'files');
  await host.files.makeDir(scratch);
  const found = await env.timed('dedup', () =>
    dedupShards({ host, pool, scratch, sections: env.sections }, shards.paths, dedup, ({ stage, done, total }) =>
      env.progress(`deduplicate (${stage})`, done, total),
    ),
  );
  await env.rest(shards.numbers.length);
  return found;
}

/** Builds the index of evaluation sets; gives the step. */
async function decontaminateSpec({ env, keys }: GroupRun): Promise<StepSpec> {
  const { host, config } = env;
  const { buildIndex, decontaminateSchema, indexSchema } = await import('../decontaminate/index.ts');
  const pick = (names: readonly string[]) => Object.fromEntries(Object.entries(config.decontaminate ?? {}).filter(([name]) => names.includes(name)));
  const folder = env.work('contamination');
  const index = joinPath(folder, 'index.safetensors');
  // The files it was made of are in the key.
  await claimFolder(host, folder, keys.against);
  if ((await host.files.stat(index)) === null) {
    env.progress('index evaluation sets', 0, 1);
    await env.timed('decontaminate', () => buildIndex(host, pick(Object.keys(indexSchema.shape)), index));
  }
  return { name: 'decontaminate', config: { ...pick(Object.keys(decontaminateSchema.shape)), index } };
}

/** Perplexity under a model, on the device, shard by shard. */
async function addPerplexity({ env }: GroupRun, from: Shards, key: string): Promise<Shards> {
  const { host } = env;
  const options = env.config.score?.perplexity;
  invariant(options, 'perplexity has a configuration');
  const work = env.work('perplexity');
  await claimFolder(host, work, key);
  const paths = from.numbers.map((number) => joinPath(work, shardName(number)));
  const missing: number[] = [];
  for (const [i, path] of paths.entries()) if ((await host.files.stat(path)) === null) missing.push(i);
  if (missing.length > 0) {
    const { PerplexityScorer, scoreShardPerplexity } = await import('../score/perplexity.ts');
    await env.timed('perplexity', async () => {
      const scorer = await PerplexityScorer.open(host.files, options);
      try {
        for (const [n, i] of missing.entries()) {
          await scoreShardPerplexity(host, from.paths[i], paths[i], scorer);
          env.progress('perplexity', n + 1, missing.length);
        }
      } finally {
        scorer.close();
      }
    });
  }
  return { name: 'perplexity', numbers: from.numbers, paths, facts: from.facts };
}

/** Takes what is read through all steps that judge. Perplexity comes before the other scores, whose step applies the rules that drop. */
export async function judgeAll(run: GroupRun, units: readonly Unit[]): Promise<Judged> {
  const { env, keys } = run;
  const { decontaminate, score } = env.config;
  const early = scoresFirst(env.config);
  const underModel = score?.perplexity !== undefined;
  let shards = await readGroup(run, units, early && !underModel ? [scoreSpec(run)] : []);
  if (early && underModel) {
    shards = await addPerplexity(run, shards, keys.earlyModel);
    shards = await mapGroup(run, shards, keys.early, [scoreSpec(run)]);
  }
  const looked = shards.paths;
  const dedup = await deduplicate(run, shards);
  const against = decontaminate ? [await decontaminateSpec(run)] : [];
  const late = score && !early ? [scoreSpec(run)] : [];
  if (underModel && !early) {
    shards = await mapGroup(run, shards, keys.against, against, dedup?.verdicts);
    shards = await addPerplexity(run, shards, keys.model);
    shards = await mapGroup(run, shards, keys.last, late);
  } else shards = await mapGroup(run, shards, keys.last, [...against, ...late], dedup?.verdicts);
  return { shards, dedup, looked };
}
