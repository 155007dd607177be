/**
 * What scoring needs made before: classifiers that a recipe asks to be trained. They stay in the output, since someone who likes
 * one will want to use it on other data.
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

/** Trains what the recipe names, or finds it trained. */
export async function trainScorers(
  host: Host,
  config: BuildConfig,
  folder: string,
  onProgress: (name: string, message: string) => void,
): Promise<TrainedFacts[]> {
  const specs = config.score?.train ?? [];
  const names = new Set(specs.map(({ name }) => name));
  if (names.size < specs.length) throw new ScionError('input', 'score: two classifiers to be trained have the same name');
  const facts: TrainedFacts[] = [];
  for (const spec of specs) facts.push(await trainOne(host, spec, folder, config.seed, (message) => onProgress(spec.name, message)));
  return facts;
}

export const scorerFacts = (trained: readonly TrainedFacts[]): NonNullable<BuildReport['scorers']> =>
  Object.fromEntries(trained.filter(({ auc }) => Object.keys(auc).length > 0).map(({ name, auc }) => [name, { auc }]));

/** Keys of all files that the configuration of scoring names. */
export async function scoreFilesKey(host: Host, config: BuildConfig, trained: readonly TrainedFacts[]): Promise<unknown> {
  const { score } = config;
  if (score === null) return null;
  const named = [
    ...score.classifiers.map(({ path }) => path),
    ...(score.ngram ? [score.ngram.path] : []),
    ...score.safety.flatMap(({ file }) => file ?? []),
    ...(score.perplexity ? [score.perplexity.model, ...(score.perplexity.tokenizer ? [score.perplexity.tokenizer] : [])] : []),
  ];
  const keys: string[] = [];
  for (const path of named) keys.push(await contentKey(host, path));
  return [keys, trained.map(({ key }) => key)];
}
