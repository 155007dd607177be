/**
 * Negative log-likelihood of documents, token by token. A begin mark comes first and is not scored. A document
 * longer than one window is read in windows that overlap, each token scored once, with all the context its window
 * holds (the strided perplexity of transformers); later windows begin where they begin, without a mark, as packed
 * training rows do. Short pieces share a row, where they do not see each other.
 */
import { ScionError } from '../base/errors.ts';
import { attentionRanges } from '../nn/llama.ts';
import type { Generator } from './generator.ts';

export interface ScoreOptions {
  /** The mark put before each document; by default the config's. null: none, and a document's first id is not scored. */
  readonly bosId?: number | null;
  /** A document is cut to so many ids, the begin mark included; by default never. */
  readonly maxTokens?: number;
  /** How far windows advance; by default half of the window. At most the window. */
  readonly stride?: number;
  /** Give the value of each token too. */
  readonly perToken?: boolean;
}

/** What one document costs. */
export interface DocumentScore {
  /** Tokens scored. */
  readonly tokens: number;
  /** Sum of their negative log-likelihoods, nats. */
  readonly nll: number;
  /** f32 [tokens], in order, if asked for. */
  readonly tokenNll?: Float32Array;
}

/** A run of a document's ids in one row; labels from `firstScored` on count. */
export interface ScorePiece {
  readonly document: number;
  /** Index in the document (begin mark included) of the first input. */
  readonly start: number;
  /** Inputs; the label of input i is the id at i + 1. */
  readonly length: number;
  /** Inputs before it are context alone. */
  readonly firstScored: number;
}

/** Cuts a document of `n` ids (begin mark included) into windows of at most T inputs so that each id but the first is a label once. */
export function scoreWindows(document: number, n: number, T: number, stride: number): ScorePiece[] {
  const pieces: ScorePiece[] = [];
  // Inputs are ids 0 to n - 2; `done` of them have had their label scored.
  for (let start = 0, done = 0; done < n - 1; start += stride) {
    const end = Math.min(start + T, n - 1);
    pieces.push({ document, start, length: end - start, firstScored: done - start });
    done = end;
  }
  return pieces;
}

/** Puts pieces into rows of T tokens, longest first, each into the first of the open rows that has room; `open` rows at a time. */
export function packPieces(pieces: readonly ScorePiece[], T: number, open: number): ScorePiece[][][] {
  const batches: ScorePiece[][][] = [];
  let rows: { room: number; pieces: ScorePiece[] }[] = [];
  const flush = (): void => {
    if (rows.length > 0) batches.push(rows.map((r) => r.pieces));
    rows = [];
  };
  for (const piece of pieces.toSorted((a, b) => b.length - a.length || a.document - b.document || a.start - b.start)) {
    let row = rows.find((r) => r.room >= piece.length);
    if (!row) {
      if (rows.length === open) flush();
      row = { room: T, pieces: [] };
      rows.push(row);
    }
    row.pieces.push(piece);
    row.room -= piece.length;
  }
  flush();
  return batches;
}

/**
 * Scores documents with a model that was opened with `score`.
 * @param documents ids of each document's text, without a begin mark.
 * @throws ScionError `usage` for a model or options that cannot score, `input` for an id outside the vocabulary.
 */
export async function scoreDocuments(model: Generator, documents: readonly ArrayLike<number>[], options: ScoreOptions = {}): Promise<DocumentScore[]> {
  const { score } = model.options;
  const program = model.session.programs.score;
  if (!score || !program) throw new ScionError('usage', 'this model was opened without scoring; open it with score: { batch, tokens }');
  const { batch: B, tokens: T } = score;
  const { bosId = model.config.bosId, maxTokens = Number.POSITIVE_INFINITY, stride = Math.max(1, T >> 1), perToken = false } = options;
  if (!(maxTokens >= 1)) throw new ScionError('usage', `maxTokens must be at least 1, got ${maxTokens}`);
  if (!Number.isInteger(stride) || stride < 1 || stride > T)
    throw new ScionError('usage', `stride must be an integer from 1 to the window of ${T}, got ${stride}`);
  const all = documents.map((d, i) => {
    const ids = Uint32Array.from([...(bosId === null ? [] : [bosId]), ...Array.from(d)].slice(0, maxTokens));
    const foreign = ids.findIndex((id) => id >= model.config.vocabSize);
    if (foreign >= 0)
      throw new ScionError('input', `document ${i}: id ${ids[foreign]} lies outside the vocabulary of ${model.config.vocabSize}`, { document: i });
    return ids;
  });
  const values = all.map((ids) => new Float32Array(Math.max(0, ids.length - 1)));
  const pieces = all.flatMap((ids, i) => scoreWindows(i, ids.length, T, stride));
  const feeds = { ids: new Uint32Array(B * T), positions: new Uint32Array(B * T), ranges: new Uint32Array(B * T * 4), labels: new Int32Array(B * T) };
  for (const rows of packPieces(pieces, T, B)) {
    feeds.ids.fill(0);
    feeds.positions.fill(0);
    feeds.ranges.fill(0);
    feeds.labels.fill(-100);
    rows.forEach((row, b) => {
      feeds.ranges.set(
        attentionRanges(
          T,
          row.map((p) => p.length),
          model.config.slidingWindow ?? 0,
        ),
        b * T * 4,
      );
      eachInput(row, b * T, (at, piece, i) => {
        const ids = all[piece.document];
        feeds.ids[at] = ids[piece.start + i];
        feeds.positions[at] = i;
        if (i >= piece.firstScored) feeds.labels[at] = ids[piece.start + i + 1];
      });
    });
    program.run(feeds);
    const { nll } = await program.read();
    rows.forEach((row, b) => {
      eachInput(row, b * T, (at, piece, i) => {
        if (i >= piece.firstScored) values[piece.document][piece.start + i] = nll[at];
      });
    });
  }
  return values.map((tokenNll, i) => {
    const bad = tokenNll.findIndex((x) => !Number.isFinite(x));
    if (bad >= 0)
      throw new ScionError('numeric', `document ${i}: the loss of token ${bad} is ${tokenNll[bad]}; the weights are broken`, { document: i, token: bad });
    const nll = tokenNll.reduce((a, b) => a + b, 0);
    return { tokens: tokenNll.length, nll, ...(perToken ? { tokenNll } : {}) };
  });
}

/** Visits the inputs of a row's pieces, side by side from `base` on. */
function eachInput(row: readonly ScorePiece[], base: number, visit: (at: number, piece: ScorePiece, i: number) => void): void {
  let at = base;
  for (const piece of row) for (let i = 0; i < piece.length; i++) visit(at++, piece, i);
}
