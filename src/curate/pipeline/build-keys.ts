/**
 * Keys of the groups of a build (`keys.ts`): each is made of what its steps are told, of the content of every file that they name,
 * and of the key of the group before it.
 */
import { ScionError } from '../../base/errors.ts';
import type { Host } from '../../host/types.ts';
import type { BuildConfig } from './config.ts';
import { contentKey, keyOf } from './keys.ts';
import { perplexityKey, scoreFilesKey, type Trained } from './scorers.ts';
import { STEP_VERSIONS } from './steps.ts';

export interface BuildKeys {
  /** Read and cleaned, and scored where scores come first and need no model. */
  readonly first: string;
  /** Perplexity and scores before deduplication; as `first` where they come later or there are none. */
  readonly earlyModel: string;
  readonly early: string;
  readonly dedup: string;
  readonly against: string;
  /** With perplexity, unless that came first. */
  readonly model: string;
  readonly last: string;
  readonly held: string;
}

/** Deduplication that keeps the best by a score needs scores before it. */
export const scoresFirst = ({ dedup, score }: BuildConfig): boolean => score !== null && dedup?.keep.startsWith('best:') === true;

/** Keys of the word and host lists of cleaning. */
async function listKeys(host: Host, { clean }: BuildConfig): Promise<string[]> {
  if (clean === null) return [];
  const parts = [clean, ...Object.values(clean.categories).filter((part) => typeof part !== 'string')];
  const keys: string[] = [];
  for (const part of parts) for (const path of [...part.blockWordFiles, ...part.blockHostFiles]) keys.push(await contentKey(host, path));
  return keys;
}

async function evalKeys(host: Host, { decontaminate }: BuildConfig): Promise<string[]> {
  const { findEvalFiles } = await import('../decontaminate/items.ts');
  const keys: string[] = [];
  for (const { data } of decontaminate?.sets ?? []) for (const path of await findEvalFiles(host.files, data)) keys.push(await contentKey(host, path));
  return keys;
}

/** Key of the tokenizer; null without one. @throws ScionError `input` where there is nothing at its path. */
export async function tokenizerKey(host: Host, { tokenizer }: BuildConfig): Promise<string | null> {
  if (tokenizer === null) return null;
  if ((await host.files.stat(tokenizer)) === null) {
    throw new ScionError('input', `there is no tokenizer at ${tokenizer}; name a folder or a tokenizer.model`, { tokenizer });
  }
  return contentKey(host, tokenizer);
}

/** Keys of all groups. `inputs` stands for the files that are read, `version` for this scion. */
export async function buildKeys(
  host: Host,
  config: BuildConfig,
  { version, inputs, trained }: { readonly version: string; readonly inputs: unknown; readonly trained: Trained },
): Promise<BuildKeys> {
  const clean = config.clean && [STEP_VERSIONS.clean, config.clean, await listKeys(host, config)];
  const score = config.score && [STEP_VERSIONS.score, config.score, await scoreFilesKey(host, config, trained)];
  const underModel = await perplexityKey(host, config);
  const isFirst = scoresFirst(config);
  const read = await keyOf(host, [version, STEP_VERSIONS.read, config.read, config.data, inputs]);
  const first = await keyOf(host, [read, clean, isFirst && underModel === null ? score : null]);
  const earlyModel = isFirst && underModel !== null ? await keyOf(host, [first, underModel]) : first;
  const early = isFirst && underModel !== null ? await keyOf(host, [earlyModel, score]) : first;
  const dedup = await keyOf(host, [early, config.dedup && [STEP_VERSIONS.dedup, config.dedup]]);
  const sets = config.decontaminate && [STEP_VERSIONS.decontaminate, config.decontaminate, await evalKeys(host, config)];
  const against = await keyOf(host, [dedup, sets]);
  const model = await keyOf(host, [against, isFirst ? null : underModel]);
  const last = await keyOf(host, [model, isFirst ? null : score]);
  const held = config.validation ? await keyOf(host, [last, STEP_VERSIONS.validation, config.validation, config.seed]) : last;
  return { first, earlyModel, early, dedup, against, model, last, held };
}
