/**
 * Kinds of files that a build reads: those of `src/data`, and HTML pages and JSON lists, which only a build can clean up.
 */
import { extName } from '../../base/path.ts';
import { type DataFile, dataFileOf, type FileKind, needDataFile, READ_KINDS, unpackedName } from '../../data/file-kinds.ts';

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

export const BUILD_KINDS = `${READ_KINDS}, HTML and JSON lists`;

function moreOf(path: string): BuildFile | null {
  const { name, packing } = unpackedName(path);
  const kind = MORE[extName(name)];
  return kind === undefined ? null : { kind, packing };
}

/** True for names that a folder's listing takes. */
export function isBuildFile(name: string): boolean {
  return moreOf(name) !== null || dataFileOf(name) !== null;
}

/** The kind of a file the user named. @throws ScionError `input` for kinds that are not read. */
export function needBuildFile(path: string): BuildFile {
  return moreOf(path) ?? needDataFile(path);
}
