/**
 * What each new id is made of: the ids that the base tokenizer gives for the text of its piece. Two cuts of one piece are kept, because the
 * originals differ there: `mean` encodes the piece as a text of its own, dummy prefix and all, so the bare space mark stands before
 * every Chinese word; `bare` cuts the piece as it stands inside a text. Ids and texts only; the rows are rows.ts's business.
 */
import { ScionError } from '../../base/errors.ts';
import { shown } from '../../formats/bytes.ts';
import { PIECE } from '../../formats/sentencepiece.ts';
import { SentencePieceTokenizer } from '../../text/sentencepiece.ts';
import type { Tokenizer } from '../../text/types.ts';

/** SentencePiece's mark for a space. */
const SPACE_MARK = '\u2581';

/** What stands at one new id. */
export interface NewWord {
  readonly id: number;
  readonly kind: 'piece' | 'mark' | 'padding';
  /** The entry as the vocabulary writes it; empty for padding. */
  readonly piece: string;
  /** Base ids of the piece as a text of its own, with the tokenizer's dummy prefix: what the original averages. Empty for padding. */
  readonly mean: readonly number[];
  /** Base ids of the piece as it stands inside a text, without a space mark that is not the piece's own. Empty for padding. */
  readonly bare: readonly number[];
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

/** Base pieces by their bytes (as latin-1 strings), for entries that are no text: parts of characters in byte-level vocabularies. */
class ByteIndex {
  private readonly ids = new Map<string, number>();
  private longest = 1;

  constructor(base: Tokenizer, size: number) {
    for (let id = 0; id < size; id++) {
      if (isEmptyId(base, id)) continue;
      const bytes = base.bytesOf(id);
      if (bytes.length === 0) continue;
      const key = String.fromCharCode(...bytes);
      if (!this.ids.has(key)) this.ids.set(key, id);
      this.longest = Math.max(this.longest, bytes.length);
    }
  }

  /** Longest match from the left; null where a byte has no piece. */
  cut(bytes: Uint8Array): number[] | null {
    const text = String.fromCharCode(...bytes);
    const out: number[] = [];
    for (let at = 0; at < text.length; ) {
      let length = Math.min(this.longest, text.length - at);
      while (length > 0 && !this.ids.has(text.slice(at, at + length))) length--;
      const id = this.ids.get(text.slice(at, at + length));
      if (id === undefined) return null;
      out.push(id);
      at += length;
    }
    return out;
  }
}

/** True for ids without an entry and for entries that exist to fill the table. */
function isEmptyId(tokenizer: Tokenizer, id: number): boolean {
  if (tokenizer instanceof SentencePieceTokenizer) {
    const piece = tokenizer.model.pieces[id];
    if (piece !== undefined) return piece.type === PIECE.UNUSED;
  }
  try {
    tokenizer.pieceOf(id);
    return false;
  } catch {
    return true;
  }
}

/**
 * Holds the new tokenizer against the base one: every id of the base must mean the same in both.
 * @throws ScionError `input` with the sizes, or the first id that differs and what it is in each.
 */
export function checkGrown(base: Tokenizer, grown: Tokenizer): void {
  if (grown.vocabSize < base.vocabSize)
    throw new ScionError(
      'input',
      `the new tokenizer has ${grown.vocabSize} pieces, the base's has ${base.vocabSize}; new words are added, none are taken away`,
      {
        base: base.vocabSize,
        grown: grown.vocabSize,
      },
    );
  for (let id = 0; id < base.vocabSize; id++) {
    if (isEmptyId(base, id)) continue;
    const was = base.pieceOf(id);
    const is = isEmptyId(grown, id) ? null : grown.pieceOf(id);
    if (was !== is)
      throw new ScionError(
        'input',
        `id ${id} is ${shown(was)} in the base's tokenizer and ${is === null ? 'nothing' : shown(is)} in the new one; give a tokenizer that was grown from the base's (scion vocab expand), or the base it was grown from`,
        { id, was, is },
      );
  }
}

/**
 * The new words of a grown tokenizer: ids from `base.vocabSize` to `rows`. Ids the grown tokenizer has no entry for, or an UNUSED one, are padding. Marks
 * (special tokens) are made of their written form, as the original makes them.
 * @throws ScionError `input` where the tokenizers do not belong together, or a piece cannot be spelt with the base's.
 */
export function sourcesOf(base: Tokenizer, grown: Tokenizer, rows: number = grown.vocabSize): NewWord[] {
  checkGrown(base, grown);
  const size = base.vocabSize;
  let index: ByteIndex | null = null;
  const out: NewWord[] = [];
  for (let id = size; id < rows; id++) {
    if (id >= grown.vocabSize || isEmptyId(grown, id)) {
      out.push({ id, kind: 'padding', piece: '', mean: [], bare: [] });
      continue;
    }
    const piece = grown.pieceOf(id);
    const special = grown.isSpecial(id);
    const bytes = grown.bytesOf(id);
    // A mark adds no bytes to a text; its written form stands for it.
    const text = special || bytes.length === 0 ? piece : textOf(bytes);
    let mean: number[] | null;
    let bare: number[] | null;
    if (text === null) {
      index ??= new ByteIndex(base, size);
      mean = index.cut(bytes);
      bare = mean;
    } else if (base instanceof SentencePieceTokenizer) {
      mean = base.encode(piece);
      bare = base.encodeNormalized(base.model.normalizer.escapeWhitespaces ? piece.replaceAll(' ', SPACE_MARK) : piece);
    } else {
      mean = base.encode(text);
      bare = mean.length > 1 && !text.startsWith(' ') && base.pieceOf(mean[0]) === SPACE_MARK ? mean.slice(1) : mean;
    }
    if (mean === null || bare === null || mean.length === 0)
      throw new ScionError('input', `the new piece ${shown(piece)} (id ${id}) cannot be spelt with the base's pieces, so it has no rows to be made of`, {
        id,
        piece,
      });
    out.push({ id, kind: special ? 'mark' : 'piece', piece, mean, bare: bare.length === 0 ? mean : bare });
  }
  return out;
}
