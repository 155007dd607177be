/**
 * The whole list as one pipeline: read → clean → deduplicate → decontaminate → score → hold out → tokenise → sample → pack → report. This file
 * is the order of it; the work is done by tasks in a pool. All that is finished lies on disk under keys (`keys.ts`), so the
 * same call goes on after a crash, and its results are the same bytes for any number of workers.
 *
 * The output folder holds `manifest.json`, `buckets/`, `tokenizer/` (packed data), `validation/`, `drops/`, `report.json`, `report.html`, `build.json`
 * (what the build was and gave), `work/` while it is under way. No name in it comes from data.
 */
import { invariant, ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { acquireLock } from '../../checkpoint/lock.ts';
import { type HeldOutFile, VALIDATION_FOLDER } from '../../data/packed/index.ts';
import type { Host, HostWorker } from '../../host/types.ts';
import { writeWhole } from '../../host/whole-file.ts';
import type { DedupResult } from '../dedup/index.ts';
import { findSourceFiles, planUnits, type Survey, type SurveyInput, surveyLots, type Unit } from '../read/units.ts';
import { type BuildConfig, onlySteps, type StepName } from './config.ts';
import { Counts } from './counts.ts';
import { countsPath } from './flow.ts';
import { gatherDuplicates, gatherReport } from './gather.ts';
import { holdOut, VALIDATION } from './holdout.ts';
import { claimFolder, contentKey, keyOf } from './keys.ts';
import type { MapShardInput } from './map-task.ts';
import { packStages } from './pack-stages.ts';
import { pipelineWorkers, TaskPool } from './pool.ts';
import type { ReadUnitInput } from './read-task.ts';
import { scoreFilesKey, scorerFacts, type TrainedFacts, trainScorers } from './scorers.ts';
import { readText, shardName, shardNumber, writeJson } from './shard-files.ts';
import { STEP_VERSIONS, type StepSpec } from './steps.ts';

export interface BuildOptions {
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
  readonly onProgress?: (progress: BuildProgress) => void;
  readonly stop?: { readonly requested: boolean };
  readonly spawn?: () => HostWorker;
}

export interface BuildProgress {
  readonly step: string;
  readonly done: number;
  readonly total: number;
}

/** What `--json` prints. */
export interface BuildResult {
  readonly out: string;
  readonly documentsIn: number;
  readonly documentsOut: number;
  readonly drops: Readonly<Record<string, number>>;
  /** Set aside for validation: in = out + drops + held out. */
  readonly documentsHeldOut: number;
  /** Files of held-out documents, below the output. */
  readonly validation: readonly HeldOutFile[];
  /** Uses of documents beyond the first, by sampling. */
  readonly copies: number;
  readonly tokensAfterSampling: number;
  readonly tokensPacked: number;
  readonly packs: number;
  readonly fill: number;
  readonly buckets: number;
  readonly seconds: number;
  readonly peakRssBytes: number | null;
  /** Path of the page. */
  readonly report: string;
  /** Folder of the documents that are left, where it is kept. */
  readonly documents: string | null;
  /** Folders of packed data by stage; one, the output itself, where no stages are named. */
  readonly packed: Readonly<Record<string, string>>;
  /** True where all of it was there already. */
  readonly unchanged: boolean;
}

const RECORD = 'build.json';
/** Shards of a step from which on workers are made anew behind it. */
const RENEW_TASKS = 32;
/** More categories than this are ids by mistake. */
const MAX_CATEGORIES = 4096;
const OWN = new Set([
  'manifest.json',
  'buckets',
  'tokenizer',
  'stages',
  'validation',
  'scorers',
  'drops',
  'work',
  'report.json',
  'report.html',
  'contamination.json',
  RECORD,
  'lock.json',
]);

interface Keys {
  readonly read: string;
  readonly first: string;
  readonly dedup: string;
  readonly model: string;
  readonly last: string;
  readonly held: string;
}

class Build {
  readonly #host: Host;
  readonly #config: BuildConfig;
  readonly #options: BuildOptions;
  readonly #out: string;
  readonly #pool: TaskPool;
  readonly #seconds = new Map<string, number>();
  readonly #began: number;

  constructor(host: Host, options: BuildOptions, config: BuildConfig, pool: TaskPool) {
    this.#host = host;
    this.#options = options;
    this.#config = config;
    this.#out = options.out;
    this.#pool = pool;
    this.#began = host.now();
  }

  #work(name: string): string {
    return joinPath(this.#out, 'work', name);
  }

  #drops(step: string): string {
    return joinPath(this.#out, 'drops', step);
  }

  /** Tells how far a step is, and stops here if that was asked for. */
  readonly #progress = (step: string, done: number, total: number): void => {
    this.#options.onProgress?.({ step, done, total });
    if (this.#options.stop?.requested) throw new ScionError('interrupted', 'stopped; the same command goes on from here');
  };

  async #timed<T>(step: string, work: () => Promise<T>): Promise<T> {
    const began = this.#host.now();
    const result = await work();
    this.#seconds.set(step, (this.#seconds.get(step) ?? 0) + (this.#host.now() - began) / 1000);
    return result;
  }

  /** After much work of one kind the workers are made anew; after little it would cost more than it gives. */
  async #rest(tasks: number): Promise<void> {
    if (tasks >= RENEW_TASKS) await this.#pool.renew();
  }

  /** Wall time of a group of fused steps, shared out by the work of each. */
  #share(group: string, counts: Counts): void {
    const wall = this.#seconds.get(group) ?? 0;
    this.#seconds.delete(group);
    let work = 0;
    for (const seconds of counts.seconds.values()) work += seconds;
    for (const [step, seconds] of counts.seconds) this.#seconds.set(step, (this.#seconds.get(step) ?? 0) + (work > 0 ? (wall * seconds) / work : 0));
  }

  async run(): Promise<BuildResult> {
    const { files } = this.#host;
    const { shardBytes } = this.#config.read;
    const sources = await findSourceFiles(files, this.#config.data);
    const surveys = await this.#timed('read', () =>
      this.#survey(
        sources.map(({ path }) => path),
        surveyLots(sources).map((lot) => lot.map(({ path }) => path)),
      ),
    );
    const units = planUnits(sources, surveys, shardBytes);
    const trained = await this.#timed('train', () =>
      trainScorers(this.#host, this.#config, joinPath(this.#out, 'scorers'), (name, message) => this.#progress(`train ${name}: ${message}`, 0, 1)),
    );
    if (trained.length === 0) this.#seconds.delete('train');
    const inputs = sources.map(({ source, path, size }, i) => [source, path, size, surveys[i].sha256]);
    const keys = await this.#keys(inputs, trained);
    const whole = await keyOf(this.#host, [keys, this.#config, await this.#tokenizerKey()]);
    const known = await this.#finished(whole);
    if (known) return known;
    await this.#clearOthers();

    const counts = new Counts();
    const early = this.#scoresFirst();
    let shards = await this.#firstGroup(units, keys.first, early, trained, counts);
    const steps = ['read', ...(this.#config.clean ? ['clean'] : []), ...(early ? ['score'] : [])];
    const { shards: later, dedup, looked } = await this.#laterGroups(shards, keys, early, trained, counts, steps);
    shards = later;
    await this.#contamination(counts);
    const kept = await this.#holdOut(shards, keys.held, counts, steps);
    shards = kept.shards;

    const packed = await packStages(
      {
        host: this.#host,
        pool: this.#pool,
        config: this.#config,
        out: this.#out,
        key: keys.held,
        heldOut: kept.files,
        tokenizerKey: await this.#tokenizerKey(),
        progress: this.#progress,
        timed: (step, work) => this.#timed(step, work),
        rest: (tasks) => this.#rest(tasks),
      },
      shards,
      counts,
    );
    return this.#end(counts, steps, dedup, looked, packed, trained, whole, kept);
  }

  async #survey(paths: readonly string[], lots: readonly string[][]): Promise<Survey[]> {
    const { shardBytes } = this.#config.read;
    const found = await this.#pool.map<SurveyInput, Survey[]>(
      'read.survey',
      lots.map((lot) => ({ paths: lot, shardBytes })),
      (done, total) => this.#progress('look through', done, total),
    );
    const surveys = found.flat();
    invariant(surveys.length === paths.length, 'every file is surveyed once');
    return surveys;
  }

  async #tokenizerKey(): Promise<string | null> {
    const { tokenizer } = this.#config;
    if (tokenizer === null) return null;
    if ((await this.#host.files.stat(tokenizer)) === null) {
      throw new ScionError('input', `there is no tokenizer at ${tokenizer}; name a folder or a tokenizer.model`, { tokenizer });
    }
    return contentKey(this.#host, tokenizer);
  }

  /** Keys of the groups, each with that of the one before. */
  async #keys(inputs: unknown, trained: readonly TrainedFacts[]): Promise<Keys> {
    const config = this.#config;
    const host = this.#host;
    const { version } = this.#options;
    const clean = config.clean && [STEP_VERSIONS.clean, config.clean, await this.#listKeys()];
    const score = config.score && [STEP_VERSIONS.score, config.score, await scoreFilesKey(host, config, trained)];
    const early = this.#scoresFirst();
    const read = await keyOf(host, [version, STEP_VERSIONS.read, config.read, config.data, inputs]);
    const first = await keyOf(host, [read, clean, early ? score : null]);
    const dedup = await keyOf(host, [first, config.dedup && [STEP_VERSIONS.dedup, config.dedup]]);
    const against = config.decontaminate && [STEP_VERSIONS.decontaminate, config.decontaminate, await this.#evalKeys()];
    const model = await keyOf(host, [dedup, against, config.score?.perplexity ?? null]);
    const last = await keyOf(host, [model, early ? null : score]);
    const held = config.validation ? await keyOf(host, [last, STEP_VERSIONS.validation, config.validation, config.seed]) : last;
    return { read, first, dedup, model, last, held };
  }

  /** Keys of the word and host lists of cleaning. */
  async #listKeys(): Promise<string[]> {
    const { clean } = this.#config;
    if (clean === null) return [];
    const parts = [clean, ...Object.values(clean.categories).filter((part) => typeof part !== 'string')];
    const keys: string[] = [];
    for (const part of parts) for (const path of [...part.blockWordFiles, ...part.blockHostFiles]) keys.push(await contentKey(this.#host, path));
    return keys;
  }

  async #evalKeys(): Promise<unknown> {
    const { findEvalFiles } = await import('../decontaminate/items.ts');
    const keys: string[] = [];
    for (const { data } of this.#config.decontaminate?.sets ?? []) {
      for (const path of await findEvalFiles(this.#host.files, data)) keys.push(await contentKey(this.#host, path));
    }
    return keys;
  }

  /** Deduplication that keeps the best by a score needs scores before it. */
  #scoresFirst(): boolean {
    const { dedup, score } = this.#config;
    return score !== null && dedup?.keep.startsWith('best:') === true;
  }

  /** The result of an earlier run of the very same build, if all of it is there. */
  async #finished(key: string): Promise<BuildResult | null> {
    const { files } = this.#host;
    const text = await readText(files, joinPath(this.#out, RECORD));
    if (text === null) return null;
    let record: { key?: unknown; result?: BuildResult };
    try {
      record = JSON.parse(text) as typeof record;
    } catch {
      return null;
    }
    const { result } = record;
    if (record.key !== key || result === undefined) return null;
    if (result.documents !== null && (await files.stat(result.documents)) === null) return null;
    if (this.#options.keepWork && (await files.stat(joinPath(this.#out, 'work'))) === null) return null;
    for (const folder of Object.values(result.packed)) {
      const { readPackedManifest } = await import('../../data/packed/index.ts');
      if ((await files.stat(joinPath(folder, 'manifest.json'))) === null) return null;
      const manifest = await readPackedManifest(files, folder);
      for (const bucket of manifest.buckets) if ((await files.stat(joinPath(folder, bucket.file)))?.size !== bucket.bytes) return null;
    }
    for (const name of ['report.json', 'report.html']) if ((await files.stat(joinPath(this.#out, name))) === null) return null;
    if (result.documentsHeldOut > 0 && (await files.stat(joinPath(this.#out, VALIDATION_FOLDER))) === null) return null;
    return { ...result, unchanged: true };
  }

  /** What an earlier build of another kind left, and what would make a half-built folder look whole. */
  async #clearOthers(): Promise<void> {
    const { files } = this.#host;
    for (const name of [RECORD, 'manifest.json', 'report.json', 'report.html', 'contamination.json']) await files.remove(joinPath(this.#out, name));
    const { clean, dedup, decontaminate, score, validation, sample, tokenizer } = this.#config;
    const steps = new Set([
      'read',
      ...(clean ? ['clean'] : []),
      ...(dedup ? ['dedup', 'dedup-scratch'] : []),
      ...(decontaminate ? ['decontaminate', 'contamination'] : []),
      ...(score ? ['score', 'perplexity'] : []),
      ...(validation ? [VALIDATION] : []),
      ...(sample ? ['sample'] : []),
      ...(tokenizer === null ? [] : ['tokenize', 'plans']),
    ]);
    for (const folder of ['drops', 'work']) {
      const path = joinPath(this.#out, folder);
      if ((await files.stat(path)) === null) continue;
      for (const { name } of await files.list(path)) if (!steps.has(name)) await files.remove(joinPath(path, name));
    }
    if (tokenizer === null) for (const name of ['buckets', 'tokenizer', 'stages']) await files.remove(joinPath(this.#out, name));
    if (validation === null) await files.remove(joinPath(this.#out, VALIDATION_FOLDER));
    if ((score?.train ?? []).length === 0) await files.remove(joinPath(this.#out, 'scorers'));
    await files.makeDir(joinPath(this.#out, 'work'));
    await files.makeDir(joinPath(this.#out, 'drops'));
  }

  #scoreSpec(trained: readonly TrainedFacts[]): StepSpec {
    const { score } = this.#config;
    invariant(score, 'a score step has a configuration');
    const { train, perplexity, ...rest } = score;
    const classifiers = trained.map(({ name, path }, i) => ({ name, path, ...(train[i].tagAt === undefined ? {} : { tagAt: train[i].tagAt }) }));
    return { name: 'score', config: { ...rest, classifiers: [...rest.classifiers, ...classifiers] } };
  }

  async #addCounts(work: string, shards: readonly number[], into: Counts): Promise<Counts> {
    const own = new Counts();
    for (const shard of shards) {
      const text = await readText(this.#host.files, countsPath(work, shard));
      invariant(text !== null, `the counts of shard ${shard} are written`);
      own.merge(Counts.parse(text));
    }
    into.merge(own);
    return own;
  }

  /** Reads and cleans; gives the numbers of the shards. */
  async #firstGroup(units: readonly Unit[], key: string, early: boolean, trained: readonly TrainedFacts[], counts: Counts): Promise<Shards> {
    const { clean, data, read } = this.#config;
    const steps: StepSpec[] = [...(clean ? [{ name: 'clean' as const, config: clean }] : []), ...(early ? [this.#scoreSpec(trained)] : [])];
    const name = steps.at(-1)?.name ?? 'read';
    const work = this.#work(name);
    await claimFolder(
      this.#host,
      work,
      key,
      ['read', ...steps.map((step) => step.name)].map((step) => this.#drops(step)),
    );
    const places = { work, drops: joinPath(this.#out, 'drops') };
    const inputs = units.map(({ source, pieces }, unit): ReadUnitInput => ({ unit, source: data[source], pieces, config: read, steps, places }));
    const parts = await this.#timed('first', () =>
      this.#pool.map<ReadUnitInput, number>('read.unit', inputs, (done, total) => this.#progress(clean ? 'read and clean' : 'read', done, total)),
    );
    await this.#rest(parts.length);
    const numbers = parts.flatMap((n, unit) => Array.from({ length: n }, (_, part) => shardNumber(unit, part)));
    this.#share('first', await this.#addCounts(work, numbers, counts));
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

  async #laterGroups(
    first: Shards,
    keys: Keys,
    early: boolean,
    trained: readonly TrainedFacts[],
    counts: Counts,
    names: string[],
  ): Promise<{ shards: Shards; dedup: DedupResult | null; looked: readonly string[] }> {
    const { decontaminate, score } = this.#config;
    const dedup = await this.#dedup(first, keys.dedup);
    const against: StepSpec[] = decontaminate ? [{ name: 'decontaminate', config: await this.#index(keys) }] : [];
    const verdicts = dedup?.verdicts;
    const specs = (i: number, more: readonly StepSpec[]): StepSpec[] => [...(verdicts ? [{ name: 'dedup' as const, verdict: verdicts[i] }] : []), ...more];
    const late = score && !early ? [this.#scoreSpec(trained)] : [];
    let shards = first;
    if (score?.perplexity) {
      if (verdicts || against.length > 0) {
        names.push(...(verdicts ? ['dedup'] : []), ...against.map(({ name }) => name));
        shards = await this.#group(shards, (i) => specs(i, against), keys.model, counts);
      }
      shards = await this.#perplexity(shards, keys.model);
      if (late.length > 0) {
        names.push('score');
        shards = await this.#group(shards, () => late, keys.last, counts);
      }
      return { shards, dedup, looked: first.paths };
    }
    if (verdicts || against.length + late.length > 0) {
      names.push(...(verdicts ? ['dedup'] : []), ...[...against, ...late].map(({ name }) => name));
      shards = await this.#group(shards, (i) => specs(i, [...against, ...late]), keys.last, counts);
    }
    return { shards, dedup, looked: first.paths };
  }

  async #dedup(shards: Shards, key: string): Promise<DedupResult | null> {
    const { dedup } = this.#config;
    if (dedup === null) return null;
    const scratch = this.#work('dedup-scratch');
    await claimFolder(this.#host, scratch, key);
    const { dedupShards } = await import('../dedup/index.ts');
    const env = { host: this.#host, pool: this.#pool, scratch: joinPath(scratch, 'files') };
    await this.#host.files.makeDir(env.scratch);
    const found = await this.#timed('dedup', () =>
      dedupShards(env, shards.paths, dedup, ({ stage, done, total }) => this.#progress(`deduplicate (${stage})`, done, total)),
    );
    await this.#rest(shards.numbers.length);
    return found;
  }

  /** Builds the index of evaluation sets; gives the configuration of the step. */
  async #index(keys: Keys): Promise<unknown> {
    const { decontaminate } = this.#config;
    const { buildIndex, decontaminateSchema, indexSchema } = await import('../decontaminate/index.ts');
    const pick = (names: readonly string[]) => Object.fromEntries(Object.entries(decontaminate ?? {}).filter(([name]) => names.includes(name)));
    const folder = this.#work('contamination');
    const index = joinPath(folder, 'index.safetensors');
    // The files it was made of are in the key.
    await claimFolder(this.#host, folder, keys.model);
    if ((await this.#host.files.stat(index)) === null) {
      this.#progress('index evaluation sets', 0, 1);
      await this.#timed('decontaminate', () => buildIndex(this.#host, pick(Object.keys(indexSchema.shape)), index));
    }
    return { ...pick(Object.keys(decontaminateSchema.shape)), index };
  }

  /** Takes every shard through a group of steps. */
  async #group(from: Shards, specs: (i: number) => StepSpec[], key: string, counts: Counts): Promise<Shards> {
    const steps = from.numbers.length > 0 ? specs(0).map(({ name }) => name) : [];
    const name = steps.at(-1) ?? from.name;
    const work = this.#work(name);
    await claimFolder(
      this.#host,
      work,
      key,
      steps.map((step) => this.#drops(step)),
    );
    const places = { work, drops: joinPath(this.#out, 'drops') };
    const inputs = from.numbers.map((shard, i): MapShardInput => ({ shard, path: from.paths[i], steps: specs(i), places }));
    const label = steps.join(', ');
    await this.#timed('group', () => this.#pool.map('map.shard', inputs, (done, total) => this.#progress(label, done, total)));
    await this.#rest(inputs.length);
    this.#share('group', await this.#addCounts(work, from.numbers, counts));
    return { name, numbers: from.numbers, paths: from.numbers.map((number) => joinPath(work, shardName(number))), facts: work };
  }

  /** Perplexity under a model, on the device, shard by shard. */
  async #perplexity(from: Shards, key: string): Promise<Shards> {
    const options = this.#config.score?.perplexity;
    invariant(options, 'perplexity has a configuration');
    const work = this.#work('perplexity');
    await claimFolder(this.#host, work, key);
    const paths = from.numbers.map((number) => joinPath(work, shardName(number)));
    const missing: number[] = [];
    for (const [i, path] of paths.entries()) if ((await this.#host.files.stat(path)) === null) missing.push(i);
    if (missing.length > 0) {
      const { PerplexityScorer, scoreShardPerplexity } = await import('../score/perplexity.ts');
      await this.#timed('perplexity', async () => {
        const scorer = await PerplexityScorer.open(this.#host.files, options);
        try {
          for (const [n, i] of missing.entries()) {
            await scoreShardPerplexity(this.#host, from.paths[i], paths[i], scorer);
            this.#progress('perplexity', n + 1, missing.length);
          }
        } finally {
          scorer.close();
        }
      });
    }
    return { name: 'perplexity', numbers: from.numbers, paths, facts: from.facts };
  }

  /** Sets documents aside for validation, where the recipe says so. */
  async #holdOut(from: Shards, key: string, counts: Counts, names: string[]): Promise<{ shards: Shards; files: readonly HeldOutFile[] }> {
    const { validation, seed } = this.#config;
    if (validation === null) return { shards: from, files: [] };
    const env = { host: this.#host, pool: this.#pool, config: validation, seed, out: this.#out, key, progress: this.#progress };
    names.push(VALIDATION);
    const done = await this.#timed(VALIDATION, () => holdOut(env, from, counts));
    await this.#rest(from.numbers.length);
    return done;
  }

  /** Which rows of which evaluation sets were found: a file of its own, since there may be thousands. */
  async #contamination(counts: Counts): Promise<void> {
    if (this.#config.decontaminate === null) return;
    const { touchedRows } = await import('../decontaminate/index.ts');
    const rows = [...counts.tallies].filter(([name]) => name.startsWith('decontaminate.')).sort(([a], [b]) => (a < b ? -1 : 1));
    await writeJson(this.#host.files, joinPath(this.#out, 'contamination.json'), touchedRows(Object.fromEntries(rows)));
  }

  async #end(
    counts: Counts,
    steps: readonly string[],
    dedup: DedupResult | null,
    looked: readonly string[],
    packed: Awaited<ReturnType<typeof packStages>>,
    trained: readonly TrainedFacts[],
    key: string,
    { shards, files: validation }: { readonly shards: Shards; readonly files: readonly HeldOutFile[] },
  ): Promise<BuildResult> {
    const { files } = this.#host;
    const { stages, tokenized, sampled, tokensAfterSampling, lengthKept, copies } = packed;
    const report = gatherReport({
      counts,
      steps,
      tokenized,
      sampled,
      lengthKept,
      duplicates: await gatherDuplicates(files, looked, dedup),
      stages,
      T: this.#config.tokenizer === null ? 0 : this.#config.pack.length,
      tokensAfterSampling,
      tokenizer: this.#config.tokenizer,
      thresholds: this.#config.score?.drop ?? {},
      scorers: scorerFacts(trained),
      seconds: this.#seconds,
      peakRssBytes: this.#host.peakResidentBytes(),
      config: this.#config,
    });
    const sum = (step: string): number => report.funnel.reduce((total, row) => total + (row.step === step ? row.documents : 0), 0);
    const dropped = (only: (reason: string) => boolean): number =>
      Object.entries(report.drops).reduce((total, [reason, n]) => total + (only(reason) ? n : 0), 0);
    const documentsIn = sum('read') + dropped((reason) => reason.startsWith('read.'));
    const documentsOut = sum(report.funnel.at(-1)?.step ?? 'read');
    const documentsHeldOut = Object.values(report.heldOut ?? {}).reduce((total, { documents }) => total + documents, 0);
    invariant(
      documentsIn === documentsOut + documentsHeldOut + dropped(() => true),
      `every document is accounted for: ${documentsIn} in, ${documentsOut} out, ${documentsHeldOut} held out, ${dropped(() => true)} dropped`,
      {
        documentsIn,
        documentsOut,
        documentsHeldOut,
      },
    );
    await writeJson(files, joinPath(this.#out, 'report.json'), report);
    const { renderReport } = await import('../report/index.ts');
    const page = joinPath(this.#out, 'report.html');
    await writeWhole(files, page, new TextEncoder().encode(renderReport(report)));
    if (this.#config.tokenizer !== null && tokensAfterSampling === 0) {
      const why = Object.entries(report.drops)
        .sort((a, b) => b[1] - a[1])
        .slice(0, 3)
        .map(([reason, n]) => `${reason} ${n}`);
      throw new ScionError('input', `nothing is left to pack: of ${documentsIn} documents all were dropped (${why.join(', ')}); ${page} shows examples`, {
        documentsIn,
      });
    }
    const keeps = this.#options.keepWork === true || this.#config.tokenizer === null;
    const result: BuildResult = {
      out: this.#out,
      documentsIn,
      documentsOut,
      drops: report.drops,
      documentsHeldOut,
      validation,
      copies,
      tokensAfterSampling,
      tokensPacked: report.packing.tokensPacked,
      packs: report.packing.packs,
      fill: report.packing.fill,
      buckets: report.buckets.length,
      seconds: Number(((this.#host.now() - this.#began) / 1000).toFixed(3)),
      peakRssBytes: this.#host.peakResidentBytes(),
      report: page,
      documents: keeps ? this.#work(packed.sampledFolder ?? shards.name) : null,
      packed: Object.fromEntries(packed.folders),
      unchanged: false,
    };
    await writeJson(files, joinPath(this.#out, RECORD), { key, result });
    if (!keeps) await files.remove(joinPath(this.#out, 'work'));
    return result;
  }
}

/** Shards of a step. */
export interface Shards {
  /** The last step they went through; the folder's name. */
  readonly name: string;
  readonly numbers: readonly number[];
  readonly paths: readonly string[];
  /** Folder of what sampling knows of their documents. */
  readonly facts: string;
}

/** Refuses a folder that holds something else. */
async function checkOut(host: Host, out: string): Promise<void> {
  const { files } = host;
  const stat = await files.stat(out);
  if (stat === null) return;
  if (!stat.isDirectory) throw new ScionError('usage', `${out} is a file; name a folder with --out`, { out });
  const strange = (await files.list(out)).find(({ name }) => !OWN.has(name) && !name.startsWith('lock.json'));
  if (strange) throw new ScionError('usage', `${out} holds ${strange.name}, which no build wrote; name a new folder with --out`, { out });
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
    return await new Build(host, { ...options, onProgress }, config, pool).run();
  } finally {
    await pool.end();
    await lock.release();
  }
}
