/**
 * Files by name, folder or simple glob over any host's files: `*` and `?` inside one name, `**` for any
 * depth, `[a-z]` and `{a,b}`. The result is sorted, so the same files give the same order of documents on
 * every host. It lists folders only where a pattern can match; a literal file always wins over a glob.
 */
import { ScionError } from '../base/errors.ts';
import { baseName, dirName, joinPath, normalPath } from '../base/path.ts';
import type { HostFiles } from '../host/types.ts';

/** Deeper folders than this are a loop of links, not data. */
const MAX_DEPTH = 32;
const MAX_FILES = 1_000_000;

/** True if the text has glob characters. */
export function isGlob(pattern: string): boolean {
  return /[*?[{]/.test(pattern);
}

/** `a{b,c}d` as `abd` and `acd`; nested braces too. */
function braces(pattern: string): string[] {
  const match = /\{([^{}]*)\}/.exec(pattern);
  if (!match) return [pattern];
  const [before, after] = [pattern.slice(0, match.index), pattern.slice(match.index + match[0].length)];
  return match[1].split(',').flatMap((choice) => braces(`${before}${choice}${after}`));
}

/** One path segment as a regular expression; no backtracking hazard beyond that of `.*`. */
function segmentExpression(segment: string): RegExp {
  let out = '';
  for (let i = 0; i < segment.length; i++) {
    const c = segment[i];
    if (c === '*') {
      while (segment[i + 1] === '*') i++;
      out += '.*';
    } else if (c === '?') out += '.';
    else if (c === '[' && segment.indexOf(']', i + 2) > 0) {
      const end = segment.indexOf(']', i + 2);
      const set = segment
        .slice(i + 1, end)
        .replaceAll('\\', '\\\\')
        .replaceAll(']', '\\]')
        .replaceAll('[', '\\[');
      out += `[${set.startsWith('!') || set.startsWith('^') ? `^${set.slice(1)}` : set}]`;
      i = end;
    } else out += c.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  }
  try {
    return new RegExp(`^${out}$`, 'su');
  } catch {
    throw new ScionError('usage', `data: "${segment}" is not a file pattern; use * ? ** [a-z] {a,b}`, { segment });
  }
}

/** Names in order of code units, the same on every host. */
async function namesIn(files: HostFiles, folder: string): Promise<{ name: string; isDirectory: boolean }[]> {
  const entries = await files.list(folder);
  return [...entries].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Every file below a folder whose name `accept` takes; names with a leading dot are passed over. */
async function walk(files: HostFiles, folder: string, accept: (name: string) => boolean, depth = 0): Promise<string[]> {
  if (depth > MAX_DEPTH) throw new ScionError('input', `data: folders more than ${MAX_DEPTH} deep at ${folder}: a link that leads back?`, { folder });
  const out: string[] = [];
  for (const entry of await namesIn(files, folder)) {
    if (entry.name.startsWith('.')) continue;
    const path = joinPath(folder, entry.name);
    if (entry.isDirectory) out.push(...(await walk(files, path, accept, depth + 1)));
    else if (accept(entry.name)) out.push(path);
    if (out.length > MAX_FILES) throw new ScionError('input', `data: more than ${MAX_FILES} files below ${folder}; name them more closely`, { folder });
  }
  return out;
}

/** The files that the segments of a glob match below a folder. */
async function expand(files: HostFiles, folder: string, segments: readonly string[], depth = 0): Promise<string[]> {
  const [segment, ...rest] = segments;
  if (segment === undefined || depth > MAX_DEPTH) return [];
  if (segment === '**') {
    const out = await expand(files, folder, rest.length === 0 ? ['*'] : rest, depth);
    for (const entry of await namesIn(files, folder)) {
      if (entry.isDirectory && !entry.name.startsWith('.')) out.push(...(await expand(files, joinPath(folder, entry.name), segments, depth + 1)));
    }
    return out;
  }
  if (!isGlob(segment)) {
    const path = joinPath(folder, segment);
    const stat = await files.stat(path);
    if (stat === null || stat.isDirectory !== rest.length > 0) return [];
    return rest.length === 0 ? [path] : expand(files, path, rest, depth + 1);
  }
  const expression = segmentExpression(segment);
  const out: string[] = [];
  for (const entry of await namesIn(files, folder)) {
    if (!expression.test(entry.name) || (entry.name.startsWith('.') && !segment.startsWith('.'))) continue;
    const path = joinPath(folder, entry.name);
    if (entry.isDirectory && rest.length > 0) out.push(...(await expand(files, path, rest, depth + 1)));
    else if (!entry.isDirectory && rest.length === 0) out.push(path);
  }
  return out;
}

/**
 * The files that the patterns name, in order of the patterns, each once. A folder gives the files below it
 * whose name `accept` takes. Throws `input` for a pattern that names nothing.
 */
export async function findFiles(files: HostFiles, patterns: readonly string[], accept: (name: string) => boolean = () => true): Promise<string[]> {
  const found = new Set<string>();
  for (const pattern of patterns) {
    let some: string[] = [];
    const stat = pattern === '' ? null : await files.stat(normalPath(pattern));
    if (stat?.isDirectory) some = await walk(files, normalPath(pattern), accept);
    else if (stat) some = [normalPath(pattern)];
    else if (isGlob(pattern)) {
      for (const plain of braces(pattern)) {
        const path = normalPath(plain);
        const segments = path.split('/').filter((s) => s !== '');
        const start = path.startsWith('/') ? '/' : '.';
        // Braces may have left a plain name; `expand` handles both.
        some.push(...(await expand(files, start, segments)));
      }
    }
    if (some.length === 0) {
      const parent = dirName(normalPath(pattern));
      const near = !stat && !isGlob(pattern) && !isGlob(parent) && (await files.stat(parent))?.isDirectory ? await namesIn(files, parent) : [];
      const hint =
        near.length > 0
          ? `; ${parent} holds ${near
              .slice(0, 5)
              .map((e) => e.name)
              .join(', ')}${near.length > 5 ? ` and ${near.length - 5} more` : ''}`
          : '';
      const what = stat?.isDirectory
        ? `the folder ${pattern} holds no file of a kind that is read`
        : isGlob(pattern)
          ? `no file matches ${pattern}`
          : `there is no file ${baseName(pattern)} at ${pattern}${hint}`;
      throw new ScionError('input', `data: ${what}`, { pattern });
    }
    for (const path of some) found.add(path);
  }
  return [...found];
}
