/**
 * Lists of pieces as people have them: JSON Lines with a `piece` a line (the original's, and what `vocab train` writes),
 * a text file with a piece a line, or another SentencePiece model. Every bad line is refused by its number; nothing
 * is guessed.
 */
import { ScionError } from '../../base/errors.ts';
import { extName } from '../../base/path.ts';
import { shown } from '../../formats/bytes.ts';
import { readJsonl, readLines } from '../../formats/jsonl.ts';
import { PIECE, parseSentencePiece } from '../../formats/sentencepiece.ts';
import type { HostFiles } from '../../host/types.ts';
import { isObject } from '../json-read.ts';
import type { NewPiece } from './types.ts';

/** Longest line; a record may say more of a piece than its text. */
const MAX_LINE_BYTES = 1 << 16;
/** More entries than any vocabulary has rows. */
const MAX_ENTRIES = 4_000_000;

/**
 * How a list is ranked: `given` as it stands, `length` short pieces first (the original's), `score` the models' highest
 * scores first (lists without scores as they stand).
 */
export type ListOrder = 'given' | 'length' | 'score';

/** A list as it was read. */
export interface PieceList {
  readonly pieces: readonly NewPiece[];
  /** Entries by file, in the order of the files. */
  readonly files: readonly { readonly path: string; readonly entries: number; readonly bytes: number }[];
}

/** Reads lists one behind the other. Throws `format` for a bad line or model, `input` for a file of another kind. */
export async function readPieceLists(files: HostFiles, paths: readonly string[], order: ListOrder = 'score'): Promise<PieceList> {
  const all: NewPiece[] = [];
  const counts: { path: string; entries: number; bytes: number }[] = [];
  for (const path of paths) {
    const stat = await files.stat(path);
    if (stat === null || stat.isDirectory)
      throw new ScionError('input', `no list of pieces at ${path}: ${stat === null ? 'there is no such file' : 'it is a folder'}`, { path });
    const found = extName(path) === '.model' ? await modelPieces(files, path, order) : await linePieces(files, path);
    if (all.length + found.length > MAX_ENTRIES) {
      throw new ScionError('input', `the lists have ${all.length + found.length} entries by ${path}; at most ${MAX_ENTRIES} are taken`, { path });
    }
    for (const piece of found) all.push(piece);
    counts.push({ path, entries: found.length, bytes: stat.size });
  }
  if (order !== 'length') return { pieces: all, files: counts };
  // Sorting keeps the order of equals, as the original's does.
  const length = new Map(all.map((piece) => [piece, [...piece.text].length]));
  return { pieces: all.sort((a, b) => (length.get(a) ?? 0) - (length.get(b) ?? 0)), files: counts };
}

async function modelPieces(files: HostFiles, path: string, order: ListOrder): Promise<NewPiece[]> {
  const { pieces } = parseSentencePiece(await files.read(path), path);
  const normal = pieces.filter((piece) => piece.type === PIECE.NORMAL);
  if (order === 'score') normal.sort((a, b) => b.score - a.score);
  return normal.map(({ text }) => ({ text }));
}

async function linePieces(files: HostFiles, path: string): Promise<NewPiece[]> {
  const kind = extName(path);
  if (kind !== '.jsonl' && kind !== '.txt') {
    throw new ScionError(
      'input',
      `${path} is no list of pieces by its name; give a .jsonl of {"piece": …}, a .txt of one piece a line, or a SentencePiece .model`,
      {
        path,
      },
    );
  }
  const reader = await files.open(path);
  const out: NewPiece[] = [];
  const full = (): void => {
    if (out.length > MAX_ENTRIES) throw new ScionError('input', `${path} has more than ${MAX_ENTRIES} entries`, { path });
  };
  try {
    if (kind === '.txt') {
      for await (const { text } of readLines(reader, { name: path, maxLineBytes: MAX_LINE_BYTES })) {
        if (text !== '') out.push({ text });
        full();
      }
      return out;
    }
    for await (const { value, line } of readJsonl(reader, { name: path, maxLineBytes: MAX_LINE_BYTES })) {
      const piece = isObject(value) ? value.piece : undefined;
      if (typeof piece !== 'string') {
        throw new ScionError('format', `${path}:${line}: wanted an object with a text "piece", found ${shown(JSON.stringify(value).slice(0, 60))}`, {
          path,
          line,
        });
      }
      out.push({ text: piece });
      full();
    }
    return out;
  } finally {
    await reader.close();
  }
}
