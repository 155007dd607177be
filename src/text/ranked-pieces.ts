/**
 * The new pieces of an expanded BPE model in an order of which every head is a sound vocabulary: a piece comes
 * after all that its own text is merged from. Leaving out pieces that took no part in merging a text changes
 * nothing about it (they never won a merge), so what is reached in the whole model is reached in each head
 * that holds its steps, and no head needs to be closed or checked again.
 */
import { ScionError } from '../base/errors.ts';
import { PIECE, type SentencePiece, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { isBpe } from './expand/reachable.ts';

/** The pieces a text passes through when it is merged, the last of them the text itself if it is reached. */
function steps(text: string, scores: ReadonlyMap<string, number>): string[] {
  const symbols = [...text];
  const made: string[] = [];
  for (;;) {
    let best = Number.NEGATIVE_INFINITY;
    let at = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const score = scores.get(symbols[i] + symbols[i + 1]);
      // Of equals the leftmost, as the library takes them.
      if (score !== undefined && score > best) {
        best = score;
        at = i;
      }
    }
    if (at < 0) return symbols.length === 1 ? [...made, ...(made.length === 0 ? symbols : [])] : [];
    symbols.splice(at, 2, symbols[at] + symbols[at + 1]);
    made.push(symbols[at]);
  }
}

/**
 * Ordinary pieces of `model` above the base's rows, in rank order, steps before what they make; unreachable
 * ones are left out. Throws `input` if the model is not BPE or does not extend the base.
 */
export function rankedPieces(base: SentencePieceModel, model: SentencePieceModel): SentencePiece[] {
  if (!isBpe(model)) throw new ScionError('input', `a model of type ${model.trainer.modelType} has no order of merges; only BPE models can be swept`);
  const differs = base.pieces.findIndex(({ text }, id) => model.pieces[id]?.text !== text);
  if (differs >= 0) {
    const found = model.pieces[differs]?.text;
    throw new ScionError(
      'input',
      `the expanded tokenizer is not built on the base: row ${differs} is ${JSON.stringify(base.pieces[differs].text)} in the base and ${found === undefined ? 'missing' : JSON.stringify(found)} in it`,
      { id: differs },
    );
  }
  const scores = new Map<string, number>();
  const pieces = new Map<string, SentencePiece>();
  for (const [id, piece] of model.pieces.entries()) {
    if (piece.type !== PIECE.NORMAL) continue;
    scores.set(piece.text, piece.score);
    if (id >= base.pieces.length) pieces.set(piece.text, piece);
  }
  const placed = new Set<SentencePiece>();
  // Higher scores merge earlier; equal ones stand in the order of their rows.
  for (const { text } of [...pieces.values()].sort((a, b) => b.score - a.score)) {
    for (const step of steps(text, scores)) {
      const piece = pieces.get(step);
      if (piece) placed.add(piece);
    }
  }
  return [...placed];
}

/** The base with the first pieces of the order on top. */
export function headModel(base: SentencePieceModel, ranked: readonly SentencePiece[], size: number): SentencePieceModel {
  return { ...base, pieces: [...base.pieces, ...ranked.slice(0, size - base.pieces.length)], trainer: { ...base.trainer, vocabSize: size } };
}
