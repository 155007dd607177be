/**
 * A recipe from its file: fields checked against the schema, paths seen from where it lies, and what no schema can know (are the
 * files there, do tokenizer and model belong together, has every stage data) checked before anything runs. Every
 * complaint names line and column and says what to do.
 */
import { joinPath } from '../base/path.ts';
import { type BuildConfig, buildSchema } from '../curate/pipeline/config.ts';
import { withPaths } from '../curate/pipeline/recipe.ts';
import { complain, type FieldPath, parseYamlText, readYamlFile, type YamlFile } from '../formats/yaml-file.ts';
import type { Host } from '../host/types.ts';
import { type Recipe, type RecipeData, recipeSchema } from './schema.ts';

export const RECIPE_HINT = 'See docs/recipes.md for the fields of a recipe';
const WORDS = { hint: RECIPE_HINT, absent: `name a YAML file. ${RECIPE_HINT}`, columns: true };

/** A recipe and where it came from. */
export interface LoadedRecipe {
  readonly recipe: Recipe;
  readonly file: YamlFile;
}

/** The data part with every path of it seen from `base`. */
function dataPaths(data: RecipeData, base: string): RecipeData {
  const { data: sources, buckets, minChunk, ...rest } = data;
  const own = sources.flatMap((source) => ('sample' in source ? [] : [source]));
  const config: BuildConfig = { ...buildSchema.parse({ data: ['-'] }), ...rest, data: own, tokenizer: null, sample: null };
  const { data: placed, clean, decontaminate, score } = withPaths(config, base);
  let next = 0;
  return {
    ...rest,
    clean,
    decontaminate,
    score,
    data: sources.map((source) => ('sample' in source ? source : placed[next++])),
    buckets,
    ...(minChunk === undefined ? {} : { minChunk }),
  };
}

/** A recipe with every path seen from `base`. */
function recipePaths(recipe: Recipe, base: string): Recipe {
  const one = (path: string): string => joinPath(base, path);
  const { base: from, vocab } = recipe;
  return {
    ...recipe,
    base:
      'train' in from
        ? { train: { ...from.train, data: dataPaths(from.train.data, base) } }
        : { model: one(from.model), ...(from.tokenizer === undefined ? {} : { tokenizer: one(from.tokenizer) }) },
    data: dataPaths(recipe.data, base),
    ...(vocab?.tokenizer === undefined ? {} : { vocab: { ...vocab, tokenizer: one(vocab.tokenizer) } }),
    evaluate: {
      ...recipe.evaluate,
      questions: recipe.evaluate.questions.map((set) => ('path' in set ? { ...set, path: one(set.path) } : set)),
    },
  };
}

/** zod's words for a union that fits nothing hide which part was wrong; the branch that came nearest says more. */
function flatIssues(
  issues: readonly { path: FieldPath; message: string; code?: string; errors?: unknown }[],
  at: FieldPath = [],
): { path: FieldPath; message: string }[] {
  return issues.flatMap((issue) => {
    const path = [...at, ...issue.path];
    const branches = issue.code === 'invalid_union' && Array.isArray(issue.errors) ? (issue.errors as (typeof issues)[]) : [];
    // A branch that gets further than its own top level is the one that was meant.
    const deep = branches.find((branch) => branch.length > 0 && branch.every((inner) => inner.path.length > 0));
    return deep ? flatIssues(deep, path) : [{ path, message: issue.message }];
  });
}

/** Checks the fields of a YAML file. @throws ScionError `input` naming file, line, column and field. */
export function parseRecipe(file: YamlFile): Recipe {
  const parsed = recipeSchema.safeParse(file.value);
  if (parsed.success) return recipePaths(parsed.data, file.base);
  const issues = flatIssues(parsed.error.issues as never).flatMap(({ path, message }) => {
    // An unknown key is at fault itself, not what holds it.
    const unknown = /^Unrecognized keys?: (.*)$/.exec(message);
    if (!unknown) return [{ path, message }];
    return [...unknown[1].matchAll(/"([^"]+)"/g)].map(([, name]) => ({ path: [...path, name], message: 'there is no such field' }));
  });
  throw complain(issues, (path) => file.place(path), RECIPE_HINT);
}

/** Reads and checks a recipe file. */
export async function readRecipeFile(host: Host, path: string): Promise<LoadedRecipe> {
  const file = await readYamlFile(host, path, WORDS);
  return { recipe: parseRecipe(file), file };
}

/** The same from text; relative paths are seen from `base`. */
export async function readRecipeText(host: Host, text: string, base: string, path = 'recipe'): Promise<LoadedRecipe> {
  const file = await parseYamlText(host, text, { path, base, ...WORDS });
  return { recipe: parseRecipe(file), file };
}

/** Throws all complaints at once, if there are any. */
export function refuse(file: YamlFile, issues: readonly { readonly path: FieldPath; readonly message: string }[]): void {
  if (issues.length > 0) throw complain(issues, (path) => file.place(path), RECIPE_HINT);
}
