/**
 * Kinds of files that a build reads: those of `src/data`, and HTML pages and JSON lists, which only a build can clean up.
 */
import { extName } from '../../base/path.ts';
import { type DataFile, dataFileOf, type FileKind, needDataFile, READ_KINDS } from '../../data/file-kinds.ts';

export type BuildKind = FileKind | 'html' | 'json' | 'markdown';

export interface BuildFile {
  readonly kind: BuildKind;
  readonly packing: DataFile['packing'];
}

const MORE: Readonly<Record<string, BuildKind>> = {
  '.html': 'html',
  '.htm': 'html',
  '.xhtml': 'html',
  '.json': 'json',
  '.md': 'markdown',
  '.markdown': 'markdown',
};
const PACKED = /\.(gz|gzip|zst|zstd)$/i;

export const BUILD_KINDS = `${READ_KINDS}, HTML and JSON lists`;

function moreOf(path: string): BuildFile | null {
  const packed = PACKED.exec(path);
  const kind = MORE[extName(packed ? path.slice(0, packed.index) : path)];
  if (kind === undefined) return null;
  return { kind, packing: packed === null ? null : packed[1].toLowerCase().startsWith('g') ? 'gzip' : 'zstd' };
}

/** True for names that a folder's listing takes. */
export function isBuildFile(name: string): boolean {
  return moreOf(name) !== null || dataFileOf(name) !== null;
}

/** The kind of a file the user named. @throws ScionError `input` for kinds that are not read. */
export function needBuildFile(path: string): BuildFile {
  return moreOf(path) ?? needDataFile(path);
}
