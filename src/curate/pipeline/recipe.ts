/**
 * Recipes: YAML, with `${SCION_…}` of the environment put in and paths taken from where the recipe lies. A recipe is a
 * stranger's file: its size, its aliases and its fields are bounded, and only variables of scion's own can be asked for.
 */
import { joinPath } from '../../base/path.ts';
import { complain, readYamlFile } from '../../formats/yaml-file.ts';
import type { Host } from '../../host/types.ts';
import { type BuildConfig, buildSchema } from './config.ts';

const HINT = 'See docs/data.md for the fields of a recipe';

/** A configuration with every path of it seen from `base`. */
export function withPaths(config: BuildConfig, base: string): BuildConfig {
  const one = (path: string): string => joinPath(base, path);
  const all = (paths: readonly string[]): string[] => paths.map(one);
  const maybe = (paths: string[] | undefined) => paths && all(paths);
  const { clean, decontaminate, score } = config;
  type Lists = { blockWordFiles: string[]; blockHostFiles: string[] };
  const lists = <T extends Lists>(part: T): T => ({ ...part, blockWordFiles: all(part.blockWordFiles), blockHostFiles: all(part.blockHostFiles) });
  return {
    ...config,
    data: config.data.map((source) => ({ ...source, paths: all(source.paths) })),
    clean: clean && {
      ...lists(clean),
      categories: Object.fromEntries(Object.entries(clean.categories).map(([name, part]) => [name, typeof part === 'string' ? part : lists(part)])),
    },
    decontaminate: decontaminate && { ...decontaminate, sets: decontaminate.sets.map((set) => ({ ...set, data: all(set.data) })) },
    score: score && {
      ...score,
      classifiers: score.classifiers.map((scorer) => ({ ...scorer, path: one(scorer.path) })),
      ...(score.ngram
        ? {
            ngram: {
              ...score.ngram,
              ...(score.ngram.path ? { path: one(score.ngram.path) } : {}),
              ...(score.ngram.train ? { train: all(score.ngram.train) } : {}),
            },
          }
        : {}),
      safety: score.safety.map((list) => (list.file === undefined ? list : { ...list, file: one(list.file) })),
      train: score.train.map((scorer) => ({
        ...scorer,
        ...(scorer.positives ? { positives: maybe(scorer.positives) } : {}),
        ...(scorer.negatives ? { negatives: maybe(scorer.negatives) } : {}),
        ...(scorer.classes ? { classes: Object.fromEntries(Object.entries(scorer.classes).map(([label, paths]) => [label, all(paths)])) } : {}),
      })),
      ...(score.perplexity
        ? {
            perplexity: {
              ...score.perplexity,
              model: one(score.perplexity.model),
              ...(score.perplexity.tokenizer ? { tokenizer: one(score.perplexity.tokenizer) } : {}),
            },
          }
        : {}),
    },
    tokenizer: config.tokenizer === null ? null : one(config.tokenizer),
  };
}

/** Checks a configuration that is no file. @throws ScionError `input` naming the fields at fault. */
export function parseBuild(value: unknown, what = 'configuration'): BuildConfig {
  const parsed = buildSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw complain(parsed.error.issues, () => what, HINT);
}

/**
 * Reads a recipe. `changes` stands over what the recipe says at its top level, before it is checked; its paths are seen from where
 * the command runs. @throws ScionError `input` naming file, line and field.
 */
export async function readRecipe(host: Host, path: string, changes: Readonly<Record<string, unknown>> = {}): Promise<BuildConfig> {
  const file = await readYamlFile(host, path, { hint: HINT, absent: 'name a YAML file, or files with --data', columns: false });
  const parsed = buildSchema.safeParse({ ...file.value, ...changes });
  if (!parsed.success) {
    throw complain(parsed.error.issues, (at) => (at.length > 0 && String(at[0]) in changes ? 'command line' : file.place(at)), HINT);
  }
  const config = withPaths(parsed.data, file.base);
  const typed = withPaths(parsed.data, host.cwd);
  const kept: Record<string, unknown> = {};
  for (const name of Object.keys(changes)) kept[name] = typed[name as keyof BuildConfig];
  return { ...config, ...kept };
}
