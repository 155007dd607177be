/**
 * Texts with their categories: the record's own, else the file's name. For statistics that must not let one
 * large kind of text drown the others, each category can be cut to its first documents.
 */
import { ScionError } from '../base/errors.ts';
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

/** As `categorisedTexts`, all at once. Throws `input` where no file has any text. */
export async function readCategorised(files: HostFiles, patterns: readonly string[], options: CategoryOptions = {}): Promise<CategorisedText[]> {
  const texts: CategorisedText[] = [];
  for await (const text of categorisedTexts(files, patterns, options)) texts.push(text);
  if (texts.length === 0) throw new ScionError('input', `data: none of the files has any text: ${patterns.slice(0, 3).join(', ')}`);
  return texts;
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
