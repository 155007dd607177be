/**
 * Paths as plain strings with forward slashes, the same on all hosts (OPFS has no other kind).
 * Trades Windows drive letters for one rule; host adapters translate at the door.
 */

/** Joins parts, dropping empty ones; a later absolute part starts anew. */
export function joinPath(...parts: string[]): string {
  let out = '';
  for (const part of parts) {
    if (part === '') continue;
    if (part.startsWith('/')) out = part;
    else out = out === '' ? part : out.endsWith('/') ? out + part : `${out}/${part}`;
  }
  return normalPath(out);
}

/** Removes `.` and resolves `..` where possible. */
export function normalPath(path: string): string {
  const absolute = path.startsWith('/');
  const out: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && out.length > 0 && out[out.length - 1] !== '..') out.pop();
    else if (part === '..' && absolute) continue;
    else out.push(part);
  }
  const body = out.join('/');
  return absolute ? `/${body}` : body === '' ? '.' : body;
}

/** Everything before the last slash; `.` if there is none. */
export function dirName(path: string): string {
  const i = path.lastIndexOf('/');
  return i < 0 ? '.' : i === 0 ? '/' : path.slice(0, i);
}

/** Everything after the last slash. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The extension with its dot, lower case, or an empty string. */
export function extName(path: string): string {
  const base = baseName(path);
  const i = base.lastIndexOf('.');
  return i <= 0 ? '' : base.slice(i).toLowerCase();
}
