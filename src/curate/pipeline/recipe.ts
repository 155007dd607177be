/**
 * Recipes: YAML, with `${SCION_…}` of the environment put in and paths taken from where the recipe lies. A recipe is a
 * stranger's file: its size, its aliases and its fields are bounded, and only variables of scion's own can be asked for.
 */
import type { Document, LineCounter } from 'yaml';
import { ScionError } from '../../base/errors.ts';
import { dirName, joinPath } from '../../base/path.ts';
import { decodeUtf8 } from '../../formats/bytes.ts';
import type { Host } from '../../host/types.ts';
import { type BuildConfig, buildSchema } from './config.ts';

const MAX_BYTES = 2 ** 20;
const MAX_ALIASES = 100;
const MAX_ISSUES = 5;

/** Where `SCION_DATA` points when nothing is set: the folder beside a checkout. */
const DATA_BESIDE = '../shared/data';

type Path = readonly PropertyKey[];

/** The line of the field at fault, or of what holds it. */
function lineOf(doc: Document, lines: LineCounter, path: Path): number {
  for (let n = path.length; n >= 0; n--) {
    const node = n === 0 ? doc.contents : doc.getIn(path.slice(0, n), true);
    const range = (node as { range?: readonly number[] } | undefined)?.range;
    if (range) return lines.linePos(range[0]).line;
  }
  return 1;
}

/** Puts variables into every text. */
async function substituted(value: unknown, host: Host, at: Path, fail: (path: Path, message: string) => never): Promise<unknown> {
  if (typeof value === 'string') {
    let out = '';
    let from = 0;
    for (const match of value.matchAll(/\$\{([^}]*)\}/g)) {
      const [whole, name] = match;
      if (!/^SCION_[A-Z0-9_]+$/.test(name)) fail(at, `\${${name}}: a recipe may use variables named SCION_… and no others`);
      let found = host.env(name);
      if (found === undefined && name === 'SCION_DATA' && (await host.files.stat(DATA_BESIDE))?.isDirectory) found = DATA_BESIDE;
      if (found === undefined) fail(at, `\${${name}} is not set; set it, for example: export ${name}=/path/to/data`);
      // What a variable names lies where the command runs, not where the recipe lies.
      out += value.slice(from, match.index) + (from + match.index === 0 ? joinPath(host.cwd, found ?? '') : found);
      from = match.index + whole.length;
    }
    return out + value.slice(from);
  }
  if (Array.isArray(value)) return Promise.all(value.map((one, i) => substituted(one, host, [...at, i], fail)));
  if (typeof value !== 'object' || value === null) return value;
  const entries = await Promise.all(Object.entries(value).map(async ([key, one]) => [key, await substituted(one, host, [...at, key], fail)] as const));
  return Object.fromEntries(entries);
}

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
      ...(score.ngram ? { ngram: { ...score.ngram, path: one(score.ngram.path) } } : {}),
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

/** Says what is wrong with a configuration, each with its place. */
function complain(issues: readonly { readonly path: Path; readonly message: string }[], place: (path: Path) => string): ScionError {
  const lines = issues.slice(0, MAX_ISSUES).map(({ path, message }) => `${place(path)}: ${path.map(String).join('.') || 'recipe'}: ${message}`);
  if (issues.length > MAX_ISSUES) lines.push(`and ${issues.length - MAX_ISSUES} more`);
  return new ScionError('input', `${lines.join('\n')}\nSee docs/data.md for the fields of a recipe`, { issues: issues.length });
}

/** Checks a configuration that is no file. @throws ScionError `input` naming the fields at fault. */
export function parseBuild(value: unknown, what = 'configuration'): BuildConfig {
  const parsed = buildSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw complain(parsed.error.issues, () => what);
}

/**
 * Reads a recipe. `changes` stands over what the recipe says at its top level, before it is checked; its paths are seen from where
 * the command runs. @throws ScionError `input` naming file, line and field.
 */
export async function readRecipe(host: Host, path: string, changes: Readonly<Record<string, unknown>> = {}): Promise<BuildConfig> {
  const stat = await host.files.stat(path);
  if (stat === null || stat.isDirectory) throw new ScionError('input', `there is no recipe at ${path}; name a YAML file, or files with --data`, { path });
  if (stat.size > MAX_BYTES)
    throw new ScionError('input', `${path} has ${stat.size} bytes; a recipe has at most ${MAX_BYTES}: is it data? Name data with --data`, { path });
  const text = decodeUtf8(await host.files.read(path), path);
  const { LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, strict: true, version: '1.2' });
  const [error] = doc.errors;
  if (error) throw new ScionError('input', `${path}:${lines.linePos(error.pos[0]).line}: ${error.message.split('\n')[0]}`, { path });
  let raw: unknown;
  try {
    raw = doc.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (failed) {
    throw new ScionError('input', `${path}: ${failed instanceof Error ? failed.message : String(failed)}`, { path });
  }
  const place = (at: Path): string => `${path}:${lineOf(doc, lines, at)}`;
  const fail = (at: Path, message: string): never => {
    throw complain([{ path: at, message }], place);
  };
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return fail([], 'a recipe is a mapping of fields, for example data: and tokenizer:');
  const filled = (await substituted(raw, host, [], fail)) as Record<string, unknown>;
  const base = joinPath(host.cwd, dirName(path));
  const parsed = buildSchema.safeParse({ ...filled, ...changes });
  if (!parsed.success) throw complain(parsed.error.issues, (at) => (at.length > 0 && String(at[0]) in changes ? 'command line' : place(at)));
  const config = withPaths(parsed.data, base);
  const typed = withPaths(parsed.data, host.cwd);
  const kept: Record<string, unknown> = {};
  for (const name of Object.keys(changes)) kept[name] = typed[name as keyof BuildConfig];
  return { ...config, ...kept };
}
