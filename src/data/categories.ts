/**
 * Texts with their categories: the record's own, else the file's name. For statistics that must not let one
 * large kind of text drown the others, each category can be cut to its first documents.
 */
import { baseName } from '../base/path.ts';
import type { HostFiles } from '../host/types.ts';
import { type DocumentOptions, fileDocuments, findDataFiles } from './documents.ts';

/** A text and what kind of text it is. */
export interface CategorisedText {
  readonly category: string;
  readonly text: string;
}

export interface CategoryOptions extends DocumentOptions {
  /** Documents of a category are taken until they hold this many UTF-16 units; default all. */
  readonly unitsPerCategory?: number;
}

/** The texts of the files that the patterns name, without empty ones. Errors as of `streamDocuments`. */
export async function* categorisedTexts(files: HostFiles, patterns: readonly string[], options: CategoryOptions = {}): AsyncGenerator<CategorisedText> {
  const { unitsPerCategory = Number.POSITIVE_INFINITY } = options;
  const taken = new Map<string, number>();
  for (const path of await findDataFiles(files, patterns, options)) {
    const fileCategory = baseName(path).split('.')[0];
    for await (const { text, category: own } of fileDocuments(files, path, options)) {
      const category = own ?? fileCategory;
      const units = taken.get(category) ?? 0;
      if (text.trim() === '' || units >= unitsPerCategory) continue;
      taken.set(category, units + text.length);
      yield { category, text };
    }
  }
}
