/**
 * What scoring needs made before: classifiers and an n-gram model that a recipe asks to be trained. They stay in the output, since
 * someone who likes one will want to use it on other data.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { findFiles } from '../../data/glob.ts';
import type { Host } from '../../host/types.ts';
import type { BuildReport } from '../report/types.ts';
import type { BuildConfig, TrainedScorer } from './config.ts';
import { claimFolder, contentKey, keyOf } from './keys.ts';
import { readText, writeJson } from './shard-files.ts';

const RESULT = 'trained.json';

export interface TrainedFacts {
  readonly name: string;
  readonly path: string;
  readonly key: string;
  readonly auc: Readonly<Record<string, number>>;
}

/** What scoring is done with. */
export interface Trained {
  readonly classifiers: readonly TrainedFacts[];
  /** The n-gram model, trained or named. */
  readonly ngram: { readonly path: string; readonly key: string } | null;
}

async function contents(host: Host, patterns: readonly string[]): Promise<string[]> {
  const keys: string[] = [];
  for (const path of await findFiles(host.files, patterns)) keys.push(await contentKey(host, path));
  return keys;
}

async function trainOne(host: Host, spec: TrainedScorer, folder: string, seed: number, onProgress: (message: string) => void): Promise<TrainedFacts> {
  const { name, positives, negatives, classes, limit, C } = spec;
  const lists = [positives ?? [], negatives ?? [], ...Object.values(classes ?? {})];
  const key = await keyOf(host, [1, spec, seed, await Promise.all(lists.map((list) => (list.length > 0 ? contents(host, list) : [])))]);
  const path = joinPath(folder, name);
  await claimFolder(host, path, key);
  const done = await readText(host.files, joinPath(path, RESULT));
  if (done !== null) return { name, path, key, auc: (JSON.parse(done) as { auc: Record<string, number> }).auc };
  const { trainScorer } = await import('../score/train-scorer.ts');
  const asked = { name, ...(positives ? { positives } : {}), ...(negatives ? { negatives } : {}), ...(classes ? { classes } : {}) };
  const trained = await trainScorer(host, {
    ...asked,
    out: path,
    seed,
    ...(limit === undefined ? {} : { limit }),
    ...(C === undefined ? {} : { C }),
    onProgress,
  });
  const auc = Object.fromEntries(Object.entries(trained.validationAuc).filter((entry): entry is [string, number] => entry[1] !== null));
  await writeJson(host.files, joinPath(path, RESULT), { auc, documents: trained.documents, device: trained.device });
  return { name, path, key, auc };
}

/** The n-gram model that is named, or one made of the files that are. */
async function ngramOf(host: Host, { score }: BuildConfig, folder: string, onProgress: (message: string) => void): Promise<Trained['ngram']> {
  const { path: named, train, order } = score?.ngram ?? {};
  if (named !== undefined) return { path: named, key: await contentKey(host, named) };
  if (train === undefined) return null;
  const key = await keyOf(host, [1, order ?? null, train, await contents(host, train)]);
  const path = joinPath(folder, 'ngram');
  await claimFolder(host, path, key);
  if ((await readText(host.files, joinPath(path, RESULT))) === null) {
    onProgress('counting');
    const { trainNgram } = await import('../score/ngram-model.ts');
    const { out, ...facts } = await trainNgram(host, { data: train, out: path, ...(order === undefined ? {} : { order }) });
    await writeJson(host.files, joinPath(path, RESULT), facts);
  }
  return { path, key };
}

/** Trains what the recipe names, or finds it trained. */
export async function trainScorers(host: Host, config: BuildConfig, folder: string, onProgress: (name: string, message: string) => void): Promise<Trained> {
  const specs = config.score?.train ?? [];
  const names = new Set(specs.map(({ name }) => name));
  if (names.size < specs.length) throw new ScionError('input', 'score: two classifiers to be trained have the same name');
  const classifiers: TrainedFacts[] = [];
  for (const spec of specs) classifiers.push(await trainOne(host, spec, folder, config.seed, (message) => onProgress(spec.name, message)));
  return { classifiers, ngram: await ngramOf(host, config, folder, (message) => onProgress('ngram', message)) };
}

export const scorerFacts = (trained: readonly TrainedFacts[]): NonNullable<BuildReport['scorers']> =>
  Object.fromEntries(trained.filter(({ auc }) => Object.keys(auc).length > 0).map(({ name, auc }) => [name, { auc }]));

/** What perplexity is made of: its configuration, and the content of model and tokenizer; null where it is not asked for. */
export async function perplexityKey(host: Host, { score }: BuildConfig): Promise<unknown> {
  if (!score?.perplexity) return null;
  const { model, tokenizer } = score.perplexity;
  return [score.perplexity, await contentKey(host, model), tokenizer === undefined ? null : await contentKey(host, tokenizer)];
}

/** Keys of all files that the other scores are made of. */
export async function scoreFilesKey(host: Host, config: BuildConfig, trained: Trained): Promise<unknown> {
  const { score } = config;
  if (score === null) return null;
  const named = [...score.classifiers.map(({ path }) => path), ...score.safety.flatMap(({ file }) => file ?? [])];
  const keys: string[] = [];
  for (const path of named) keys.push(await contentKey(host, path));
  return [keys, trained.ngram?.key ?? null, trained.classifiers.map(({ key }) => key)];
}
