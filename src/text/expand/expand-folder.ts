/**
 * A tokenizer on disk expanded to the files of a new one: finds out which form the base has, and hands its pieces, or its
 * parsed `tokenizer.json`, to the part that knows it.
 */
import { ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { readFields } from '../../formats/protobuf.ts';
import type { HostFiles } from '../../host/types.ts';
import { asObject, type JsonObject } from '../json-read.ts';
import { SentencePieceTokenizer } from '../sentencepiece.ts';
import { loadTokenizer } from '../tokenizer.ts';
import type { Tokenizer } from '../types.ts';
import { expandByteLevelPieces, isByteLevel } from './byte-level.ts';
import { byteLevelFolder, tokenizerFolder, tokenizerJsonBytes, withAddedTokens } from './files.ts';
import { expandSentencePiece } from './sentencepiece.ts';
import type { ExpandOptions, ExpandReport, NewPiece } from './types.ts';

const strict = new TextDecoder('utf-8', { fatal: true });

/** The files of an expanded tokenizer, by name. */
export interface ExpandedFolder {
  readonly contents: ReadonlyMap<string, Uint8Array>;
  readonly report: ExpandReport;
  readonly notes: readonly string[];
}

/** The tokenizer of a folder in the form that can be expanded best: `tokenizer.model` where there is one. */
export async function loadBase(files: HostFiles, path: string): Promise<Tokenizer> {
  const stat = await files.stat(path);
  const model = joinPath(path, 'tokenizer.model');
  if (!stat?.isDirectory || (await files.stat(model)) === null) return loadTokenizer(files, path);
  // Some bases have a tokenizer.json and, under SentencePiece's name, a model of another kind (tiktoken's ranks).
  if ((await files.stat(joinPath(path, 'tokenizer.json'))) === null) return loadTokenizer(files, model);
  const fast = await loadTokenizer(files, path);
  return isByteLevel(parsed(fast)) ? fast : loadTokenizer(files, model);
}

const parsed = (tokenizer: Tokenizer): JsonObject => asObject(JSON.parse(strict.decode(tokenizer.source.bytes)), 'tokenizer.json');

/** A model cut off behind its pieces still parses, with other settings than it had; every writer puts the settings last. */
export function checkWhole(bytes: Uint8Array, path: string): void {
  const numbers = new Set([...readFields(bytes, path)].map((field) => field.number));
  for (const [number, name] of [
    [2, 'trainer_spec'],
    [3, 'normalizer_spec'],
  ] as const) {
    if (!numbers.has(number)) {
      throw new ScionError('format', `${path}: a SentencePiece model of ${bytes.length} bytes without its ${name}; it is cut off, get it again`, {
        path,
        bytes: bytes.length,
      });
    }
  }
}

/**
 * Expands the tokenizer at `path`. `facts` go into `report.json` besides the report itself. Throws `input` where the base is of
 * a kind that cannot be expanded, and what reading and expanding throw.
 */
export async function expandFolder(
  files: HostFiles,
  path: string,
  pieces: readonly NewPiece[],
  options: ExpandOptions,
  facts: JsonObject = {},
): Promise<ExpandedFolder> {
  const base = await loadBase(files, path);
  if (base instanceof SentencePieceTokenizer) {
    checkWhole(base.source.bytes, path);
    const { model, report } = expandSentencePiece(withAddedTokens(base.model, base), pieces, options);
    const made = tokenizerFolder({ base, model, specials: options.specials ?? [], report: { ...facts, ...report } });
    return { contents: made.files, report, notes: [...report.notes, ...made.notes] };
  }
  const json = base.source.name === 'tokenizer.json' ? parsed(base) : {};
  if (!isByteLevel(json)) {
    throw new ScionError(
      'input',
      `${path} holds a tokenizer.json made from a SentencePiece model, and no tokenizer.model; give the folder with tokenizer.model`,
      { path },
    );
  }
  if ((options.userDefined ?? []).length > 0)
    throw new ScionError('input', 'user-defined tokens are SentencePiece’s; a byte-level base takes special tokens only');
  if ((options.protect ?? []).length > 0) throw new ScionError('input', '--protect is not made for byte-level bases yet; leave it out', {});
  const { json: expanded, report } = expandByteLevelPieces(json, pieces, options);
  const specials = options.specials ?? [];
  const contents = byteLevelFolder({ base, json: expanded, bytes: tokenizerJsonBytes(expanded), specials, report: { ...facts, ...report } });
  return { contents, report, notes: report.notes };
}
