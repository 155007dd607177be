/**
 * The merge list under which the pair rule of `tokenizer.json` cuts as SentencePiece does. SentencePiece ranks what
 * a merge *makes* and takes the leftmost of equals; the other ranks the *pair*. A piece that two pairs make is one
 * rank there and two here, so their order must be the order in which leftmost-first would take them.
 *
 * It matters only where two pairs of one piece overlap: symbols s1 s2 s3 with s1+s2 = s2+s3 = P. Then |s1| + |s2| = |P|, and
 * the state exists only if P begins and ends with s2. So the split with left length |s1| must stand before the one with
 * |s2| if P has a border of that length; only powers (`----`) could ask for both orders, and merging from the left
 * never brings the second state about. Pieces of equal score (LLaMA-2's runs of spaces) have the longest first, as
 * runs grow from the left one mark at a time.
 */
import { PIECE, type SentencePieceModel } from '../../formats/sentencepiece.ts';

/** Merges in rank order, and what keeps them from saying all that the model says. */
export interface DerivedMerges {
  readonly merges: readonly (readonly [string, string])[];
  /** In words, for a report; empty if both forms cut every text alike. */
  readonly doubts: readonly string[];
}

/** The merges of a SentencePiece BPE model. */
export function deriveMerges(model: SentencePieceModel): DerivedMerges {
  const { pieces } = model;
  const texts = new Set<string>();
  for (const { text, type } of pieces) if (type === PIECE.NORMAL) texts.add(text);
  const made: { readonly id: number; readonly score: number; readonly text: string; readonly cuts: readonly number[] }[] = [];
  let lacking = 0;
  pieces.forEach(({ text, score, type }, id) => {
    if (type !== PIECE.NORMAL) return;
    const cuts = splits(text, texts);
    if (cuts.length > 0) made.push({ id, score: Math.fround(score), text, cuts });
    for (const char of text) {
      if (!texts.has(char)) {
        lacking++;
        break;
      }
    }
  });
  made.sort((a, b) => b.score - a.score || b.text.length - a.text.length || a.id - b.id);
  const merges = made.flatMap(({ text, cuts }) => cuts.map((cut) => [text.slice(0, cut), text.slice(cut)] as const));
  const doubts: string[] = [];
  const tied = countTied(made);
  if (tied > 0)
    doubts.push(`${tied} pieces share their score with others: SentencePiece takes the leftmost of equals, which a list of pairs cannot always say`);
  if (lacking > 0) doubts.push(`${lacking} pieces hold characters that are no pieces: SentencePiece merges those, tokenizer.json spells them in bytes first`);
  const passed = pieces.filter(({ text, type }) => type === PIECE.UNUSED && splits(text, texts).length > 0).length;
  if (passed > 0) doubts.push(`${passed} unused pieces can be joined: SentencePiece merges through them`);
  return { merges, doubts };
}

/** Where a piece can be cut into two pieces, in the order of their ranks. */
function splits(text: string, known: ReadonlySet<string>): number[] {
  const cuts: number[] = [];
  for (let cut = text.length - 1; cut > 0; cut--) if (known.has(text.slice(0, cut)) && known.has(text.slice(cut))) cuts.push(cut);
  if (cuts.length < 2) return cuts;
  for (const short of cuts) {
    const long = text.length - short;
    if (short >= long) continue;
    const at = cuts.indexOf(long);
    if (at < 0 || !hasBorder(text, long) || hasBorder(text, short)) continue;
    cuts[cuts.indexOf(short)] = long;
    cuts[at] = short;
  }
  return cuts;
}

const hasBorder = (text: string, length: number): boolean => text.endsWith(text.slice(0, length));

/** Pieces whose score another one has too, but for runs of one character, which grow alike under both rules. */
function countTied(made: readonly { readonly score: number; readonly text: string }[]): number {
  const groups = new Map<number, string[]>();
  for (const { score, text } of made) {
    const group = groups.get(score);
    if (group === undefined) groups.set(score, [text]);
    else group.push(text);
  }
  let tied = 0;
  for (const group of groups.values()) {
    const isRun = (text: string): boolean => new Set([...text, ...group[0]]).size === 1;
    if (group.length > 1 && !group.every(isRun)) tied += group.length;
  }
  return tied;
}
