/**
 * A YAML file as a configuration: read with bounds (size, aliases), variables of scion's own put in, and the way back from a
 * field to its line and column, so that whoever checks it can say where. A recipe may come from a stranger: it can name no
 * other variables of the environment.
 */
import type { Document, LineCounter } from 'yaml';
import { ScionError } from '../base/errors.ts';
import { dirName, joinPath } from '../base/path.ts';
import type { Host } from '../host/types.ts';
import { decodeUtf8 } from './bytes.ts';

const MAX_BYTES = 2 ** 20;
const MAX_ALIASES = 100;
const MAX_ISSUES = 5;

/** Where `SCION_DATA` points when nothing is set: the folder beside a checkout. */
const DATA_BESIDE = '../shared/data';

/** A field: keys and indices from the top. */
export type FieldPath = readonly PropertyKey[];

/** What is wrong with a field. */
export interface FieldIssue {
  readonly path: FieldPath;
  readonly message: string;
}

/** A file that was read. */
export interface YamlFile {
  readonly path: string;
  readonly text: string;
  /** Its fields, with variables put in. */
  readonly value: Readonly<Record<string, unknown>>;
  /** The folder that its relative paths are seen from. */
  readonly base: string;
  /** `file:line` or `file:line:column` of a field, or of what holds it. */
  place(path: FieldPath): string;
}

/** Line of the value at fault, or of what holds it. */
function lineOf(doc: Document, lines: LineCounter, path: FieldPath): string {
  for (let n = path.length; n >= 0; n--) {
    const node = n === 0 ? doc.contents : doc.getIn(path.slice(0, n), true);
    const range = (node as { range?: readonly number[] } | undefined)?.range;
    if (range) return String(lines.linePos(range[0]).line);
  }
  return '1';
}

/** Line and column of the key at fault (of the value in a list), or of what holds it: a wrong key is what one looks for. */
function keyOf(doc: Document, lines: LineCounter, path: FieldPath): string {
  for (let n = path.length; n >= 0; n--) {
    const parent = n === 0 ? undefined : n === 1 ? doc.contents : doc.getIn(path.slice(0, n - 1), true);
    const pair = (parent as { items?: readonly { key?: { value?: unknown; range?: readonly number[] } }[] } | undefined)?.items?.find(
      (item) => item?.key?.value === path[n - 1],
    );
    const node = pair?.key ?? (n === 0 ? doc.contents : doc.getIn(path.slice(0, n), true));
    const range = (node as { range?: readonly number[] } | undefined)?.range;
    if (range) {
      const { line, col } = lines.linePos(range[0]);
      return `${line}:${col}`;
    }
  }
  return '1:1';
}

/** Puts variables into every text. */
async function substituted(value: unknown, host: Host, at: FieldPath, fail: (path: FieldPath, message: string) => never): Promise<unknown> {
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

/** What is wrong with a configuration, each with its place; `hint` says where its fields are described. */
export function complain(issues: readonly FieldIssue[], place: (path: FieldPath) => string, hint: string): ScionError {
  const lines = issues.slice(0, MAX_ISSUES).map(({ path, message }) => `${place(path)}: ${path.map(String).join('.') || 'recipe'}: ${message}`);
  if (issues.length > MAX_ISSUES) lines.push(`and ${issues.length - MAX_ISSUES} more`);
  return new ScionError('input', `${lines.join('\n')}\n${hint}`, { issues: issues.length });
}

/** How a file is spoken of. */
export interface YamlWords {
  /** Behind complaints: where its fields are described. */
  readonly hint: string;
  /** What to name where there is no such file. */
  readonly absent: string;
  /** Places are line and column of keys; else the lines of values. */
  readonly columns: boolean;
}

/**
 * Reads a file. @throws ScionError `input` naming file and place: no such file, too large, no YAML, no mapping, a variable that may not
 * or cannot be put in.
 */
export async function readYamlFile(host: Host, path: string, words: YamlWords): Promise<YamlFile> {
  const stat = await host.files.stat(path);
  if (stat === null || stat.isDirectory) throw new ScionError('input', `there is no recipe at ${path}; ${words.absent}`, { path });
  if (stat.size > MAX_BYTES)
    throw new ScionError('input', `${path} has ${stat.size} bytes; a recipe has at most ${MAX_BYTES}: is it data? Name data with --data`, { path });
  return parseYamlText(host, decodeUtf8(await host.files.read(path), path), { path, base: joinPath(host.cwd, dirName(path)), ...words });
}

/** The same from text at hand: `path` names it in messages, `base` is what its relative paths are seen from. */
export async function parseYamlText(
  host: Host,
  text: string,
  about: Omit<YamlWords, 'absent'> & { readonly path: string; readonly base: string },
): Promise<YamlFile> {
  const { path, base, hint, columns } = about;
  const { LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, strict: true, version: '1.2' });
  const [error] = doc.errors;
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new ScionError('input', `${path}:${line}${columns ? `:${col}` : ''}: ${error.message.split('\n')[0]}`, { path });
  }
  let raw: unknown;
  try {
    raw = doc.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (failed) {
    throw new ScionError('input', `${path}: ${failed instanceof Error ? failed.message : String(failed)}`, { path });
  }
  const place = (at: FieldPath): string => `${path}:${(columns ? keyOf : lineOf)(doc, lines, at)}`;
  const fail = (at: FieldPath, message: string): never => {
    throw complain([{ path: at, message }], place, hint);
  };
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return fail([], 'a recipe is a mapping of fields, for example data: and tokenizer:');
  const value = (await substituted(raw, host, [], fail)) as Record<string, unknown>;
  return { path, text, value, base, place };
}
