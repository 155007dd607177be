/**
 * Making a list closed under merging: byte-pair encoding reaches a piece only if the pieces its text stops at have
 * a way on. Missing steps are added *below* the whole list (their scores are lower), so nothing that was reached
 * before is lost: merging first runs as if they were not there, and only then goes on with them. Every round joins
 * at least one more pair in each piece that is left, so there are at most as many rounds as a piece has characters.
 */
import { PIECE, type SentencePiece, type SentencePieceModel } from '../../formats/sentencepiece.ts';
import { ownEncodings } from './reachable.ts';
import { hasNewScript } from './scripts.ts';

/** Scores below every score of the base: `first`, `first - step`, …; each is an f32 exactly. */
export interface ScoreLadder {
  readonly first: number;
  readonly step: number;
}

/** The ladder for `count` new pieces; null if 32 bits cannot hold it. */
export function scoreLadder(base: SentencePieceModel, count: number): ScoreLadder | null {
  let lowest = 0;
  for (const { score, type } of base.pieces) {
    if (type === PIECE.NORMAL || type === PIECE.USER_DEFINED || type === PIECE.UNUSED) lowest = Math.min(lowest, Math.fround(score));
  }
  // LLaMA-2's runs of spaces have -1e9, where neighbouring f32 are 64 apart: the step is what a float still tells apart.
  for (let step = 1; step < 2 ** 100; step *= 2) {
    const first = (Math.floor(lowest / step) - 1) * step;
    if (-(first - step * count) <= step * 2 ** 24) return { first, step };
  }
  return null;
}

/** The base's pieces with ordinary ones behind them, earlier ones merging earlier. */
export function withPieces(base: SentencePieceModel, texts: readonly string[], ladder: ScoreLadder): SentencePieceModel {
  const pieces: SentencePiece[] = [...base.pieces];
  texts.forEach((text, rank) => {
    pieces.push({ text, score: ladder.first - rank * ladder.step, type: PIECE.NORMAL });
  });
  return { ...base, pieces };
}

/** What closes a list: pieces to merge after it, and entries that nothing can reach. */
export interface Closure {
  readonly extra: readonly string[];
  readonly hopeless: readonly string[];
}

/** What a closure may not do. */
export interface ClosureRules {
  readonly anyScript: boolean;
  readonly banned: ReadonlySet<string>;
}

/** Characters of a text that are no pieces. SentencePiece would merge across them, tokenizer.json would not. */
export function missingCharacters(text: string, known: ReadonlySet<string>): string[] {
  return [...new Set(text)].filter((char) => !known.has(char));
}

/** The steps missing in a list. `list` and the base have no text in common. */
export function closeList(base: SentencePieceModel, list: readonly string[], ladder: ScoreLadder, rules: ClosureRules): Closure {
  const extra: string[] = [];
  const taken = new Set(base.pieces.map((piece) => piece.text));
  const ordinary = ordinaryTexts(base);
  for (const text of list) {
    taken.add(text);
    ordinary.add(text);
  }
  const allowed = (text: string): boolean => !taken.has(text) && !rules.banned.has(text) && (rules.anyScript || hasNewScript(text));
  const add = (text: string): void => {
    extra.push(text);
    taken.add(text);
    ordinary.add(text);
  };
  // Pieces that are found hopeless keep their place meanwhile; the caller starts again without them.
  const hopeless = new Set<string>();
  for (const text of list) {
    for (const char of missingCharacters(text, ordinary)) {
      if (allowed(char)) add(char);
      else hopeless.add(text);
    }
  }
  for (;;) {
    const model = withPieces(base, [...list, ...extra], ladder);
    const open = [...ownEncodings(model, base.pieces.length)].filter(([id]) => !hopeless.has(model.pieces[id].text));
    if (open.length === 0) return { extra, hopeless: [...hopeless] };
    const pairs = open.map(([, ids]) => ids.slice(1).map((id, i) => model.pieces[ids[i]].text + model.pieces[id].text));
    const uses = new Map<string, number>();
    for (const own of pairs) for (const pair of new Set(own)) uses.set(pair, (uses.get(pair) ?? 0) + 1);
    const fresh = new Set<string>();
    open.forEach(([id], i) => {
      if (pairs[i].some((pair) => fresh.has(pair))) return;
      const best = pickPair(pairs[i].filter(allowed), uses);
      if (best === null) hopeless.add(model.pieces[id].text);
      else {
        fresh.add(best);
        add(best);
      }
    });
  }
}

/** The pair that helps most entries; then the shortest, then the leftmost. */
function pickPair(pairs: readonly string[], uses: ReadonlyMap<string, number>): string | null {
  let best: string | null = null;
  for (const pair of pairs) {
    if (best === null) best = pair;
    else {
      const more = (uses.get(pair) ?? 0) - (uses.get(best) ?? 0);
      if (more > 0 || (more === 0 && pair.length < best.length)) best = pair;
    }
  }
  return best;
}

/** Texts that encoding can make: ordinary and user-defined pieces. */
export function ordinaryTexts(model: SentencePieceModel): Set<string> {
  return new Set(model.pieces.filter(({ type }) => type === PIECE.NORMAL || type === PIECE.USER_DEFINED).map((piece) => piece.text));
}
