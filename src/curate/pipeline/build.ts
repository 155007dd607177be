/**
 * The whole list as one pipeline: read → clean → deduplicate → decontaminate → score → hold out → tokenise → sample → pack → report. This file
 * is the order of it; the steps are in `groups.ts`, `holdout.ts` and `pack-stages.ts`, their work is done by tasks in a pool. All that is
 * finished lies on disk under keys (`keys.ts`), so the same call goes on after a crash, and its results are the same bytes for any number
 * of workers.
 *
 * The output folder holds `manifest.json`, `buckets/`, `tokenizer/` (packed data), `validation/`, `drops/`, `report.json`, `report.html`, `build.json`
 * (what the build was and gave), `work/` while it is under way. No name in it comes from data.
 */
import { invariant } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { acquireLock } from '../../checkpoint/lock.ts';
import type { HeldOutFile } from '../../data/packed/index.ts';
import type { Host, HostWorker } from '../../host/types.ts';
import type { SectionLead } from '../dedup/section-ranks.ts';
import { findSourceFiles, planUnits, type Survey, type SurveyInput, surveyLots } from '../read/units.ts';
import { BuildEnv, type BuildListener, type BuildProgress } from './build-env.ts';
import { buildKeys, tokenizerKey } from './build-keys.ts';
import { type BuildConfig, onlySteps, type StepName } from './config.ts';
import { Counts } from './counts.ts';
import { type BuildResult, finishBuild, writeContamination } from './finish.ts';
import { type GroupRun, judgeAll } from './groups.ts';
import { holdOut, VALIDATION } from './holdout.ts';
import { keyOf } from './keys.ts';
import { checkOut, clearOthers, findFinished } from './out-folder.ts';
import { packStages } from './pack-stages.ts';
import { pipelineWorkers, TaskPool } from './pool.ts';
import { trainScorers } from './scorers.ts';
import type { Shards } from './shard-files.ts';

export type { BuildProgress } from './build-env.ts';
export type { BuildResult } from './finish.ts';

export interface BuildOptions extends BuildListener {
  readonly config: BuildConfig;
  /** The output folder: new, empty, or one of an earlier build, which is gone on with or built anew. */
  readonly out: string;
  /** Steps to do; all that the configuration has where absent. */
  readonly only?: readonly StepName[];
  /** Default: one a core, at most 8. */
  readonly workers?: number;
  /** Keep `work/`: later changes then redo only what they touch. */
  readonly keepWork?: boolean;
  /** Of scion: work of another version is not gone on with. */
  readonly version: string;
  readonly spawn?: () => HostWorker;
  /** Other ranks that share the reading of signatures (`leadBuild`). */
  readonly sections?: SectionLead;
}

async function survey(env: BuildEnv, paths: readonly string[], lots: readonly string[][]): Promise<Survey[]> {
  const { shardBytes } = env.config.read;
  const found = await env.pool.map<SurveyInput, Survey[]>(
    'read.survey',
    lots.map((lot) => ({ paths: lot, shardBytes })),
    (done, total) => env.progress('look through', done, total),
  );
  const surveys = found.flat();
  invariant(surveys.length === paths.length, 'every file is surveyed once');
  return surveys;
}

/** Sets documents aside for validation, where the recipe says so. */
async function holdOutSome({ env, keys, counts, steps }: GroupRun, from: Shards): Promise<{ shards: Shards; files: readonly HeldOutFile[] }> {
  const { validation, seed } = env.config;
  if (validation === null) return { shards: from, files: [] };
  const { host, pool, out, progress } = env;
  steps.push(VALIDATION);
  const done = await env.timed(VALIDATION, () => holdOut({ host, pool, config: validation, seed, out, key: keys.held, progress }, from, counts));
  await env.rest(from.numbers.length);
  return done;
}

async function runBuild(env: BuildEnv, { version, keepWork = false }: BuildOptions): Promise<BuildResult> {
  const { host, config, out } = env;
  const began = host.now();
  const sources = await findSourceFiles(host.files, config.data);
  const surveys = await env.timed('read', () =>
    survey(
      env,
      sources.map(({ path }) => path),
      surveyLots(sources).map((lot) => lot.map(({ path }) => path)),
    ),
  );
  const units = planUnits(sources, surveys, config.read.shardBytes);
  const trained = await env.timed('train', () =>
    trainScorers(host, config, joinPath(out, 'scorers'), (name, message) => env.progress(`train ${name}: ${message}`, 0, 1)),
  );
  if (config.score === null || (config.score.train.length === 0 && config.score.ngram?.train === undefined)) env.seconds.delete('train');
  const inputs = sources.map(({ source, path, size }, i) => [source, path, size, surveys[i].sha256]);
  const keys = await buildKeys(host, config, { version, inputs, trained });
  const tokens = await tokenizerKey(host, config);
  const key = await keyOf(host, [keys, config, tokens]);
  const known = await findFinished(host, out, key, keepWork);
  if (known) return known;
  await clearOthers(host, out, config);

  const run: GroupRun = { env, keys, trained, counts: new Counts(), steps: [] };
  const judged = await judgeAll(run, units);
  await writeContamination(env, run.counts);
  const kept = await holdOutSome(run, judged.shards);
  const { pool, progress, timed, rest } = env;
  const packEnv = { host, pool, config, out, key: keys.held, heldOut: kept.files, tokenizerKey: tokens, progress, timed, rest };
  const packed = await packStages(packEnv, kept.shards, run.counts);
  return finishBuild(env, { run, judged, kept, packed, key, began, keepWork });
}

/**
 * Builds, or goes on with a build that was cut off. @throws ScionError `usage` and `input` for what was asked, `locked` where another
 * build works in the folder, `interrupted` after `stop`.
 */
export async function buildData(host: Host, options: BuildOptions): Promise<BuildResult> {
  const { out, only, spawn = pipelineWorkers(host) } = options;
  const config = only ? onlySteps(options.config, only) : options.config;
  await checkOut(host, out);
  await host.files.makeDir(out);
  const lock = await acquireLock(host, out);
  const pool = new TaskPool(host, options.workers ?? Math.min(8, host.cores), spawn);
  // A lock that is not renewed counts as abandoned after some minutes.
  let refreshed = host.now();
  const onProgress = (progress: BuildProgress): void => {
    options.onProgress?.(progress);
    if (host.now() - refreshed < 30_000) return;
    refreshed = host.now();
    lock.refresh().catch(() => undefined);
  };
  try {
    const env = new BuildEnv(host, config, out, pool, { ...options, onProgress });
    return await runBuild(env, options);
  } finally {
    await pool.end();
    await lock.release();
  }
}
