/**
 * The output folder of a build: what may lie in it, whether all of a build is there already, and what must go before another begins.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { readPackedManifest, VALIDATION_FOLDER } from '../../data/packed/index.ts';
import type { Host } from '../../host/types.ts';
import type { BuildConfig } from './config.ts';
import type { BuildResult } from './finish.ts';
import { VALIDATION } from './holdout.ts';
import { readText } from './shard-files.ts';

/** What the build was and gave. */
export const RECORD = 'build.json';
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

/** Refuses a folder that holds something else. */
export async function checkOut(host: Host, out: string): Promise<void> {
  const { files } = host;
  const stat = await files.stat(out);
  if (stat === null) return;
  if (!stat.isDirectory) throw new ScionError('usage', `${out} is a file; name a folder with --out`, { out });
  const strange = (await files.list(out)).find(({ name }) => !OWN.has(name) && !name.startsWith('lock.json'));
  if (strange) throw new ScionError('usage', `${out} holds ${strange.name}, which no build wrote; name a new folder with --out`, { out });
}

/** The result of an earlier run of the very same build, if all of it is there; with `work/` where that is to be kept. */
export async function findFinished(host: Host, out: string, key: string, keepWork: boolean): Promise<BuildResult | null> {
  const { files } = host;
  const text = await readText(files, joinPath(out, RECORD));
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
  if (keepWork && (await files.stat(joinPath(out, 'work'))) === null) return null;
  for (const folder of Object.values(result.packed)) {
    if ((await files.stat(joinPath(folder, 'manifest.json'))) === null) return null;
    const manifest = await readPackedManifest(files, folder);
    for (const bucket of manifest.buckets) if ((await files.stat(joinPath(folder, bucket.file)))?.size !== bucket.bytes) return null;
  }
  for (const name of ['report.json', 'report.html']) if ((await files.stat(joinPath(out, name))) === null) return null;
  if (result.documentsHeldOut > 0 && (await files.stat(joinPath(out, VALIDATION_FOLDER))) === null) return null;
  return { ...result, unchanged: true };
}

/** Removes what an earlier build of another kind left, and what would make a half-built folder look whole. */
export async function clearOthers(host: Host, out: string, config: BuildConfig): Promise<void> {
  const { files } = host;
  for (const name of [RECORD, 'manifest.json', 'report.json', 'report.html', 'contamination.json']) await files.remove(joinPath(out, name));
  const { clean, dedup, decontaminate, score, validation, sample, tokenizer } = config;
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
    const path = joinPath(out, folder);
    if ((await files.stat(path)) === null) continue;
    for (const { name } of await files.list(path)) if (!steps.has(name)) await files.remove(joinPath(path, name));
  }
  if (tokenizer === null) for (const name of ['buckets', 'tokenizer', 'stages']) await files.remove(joinPath(out, name));
  if (validation === null) await files.remove(joinPath(out, VALIDATION_FOLDER));
  if ((score?.train ?? []).length === 0 && score?.ngram?.train === undefined) await files.remove(joinPath(out, 'scorers'));
  await files.makeDir(joinPath(out, 'work'));
  await files.makeDir(joinPath(out, 'drops'));
}
