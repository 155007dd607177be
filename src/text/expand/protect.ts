/**
 * Which new pieces change the ids of texts that must stay as they are. Both models cut each text; a new id in what
 * comes out names the culprit. Texts in which no new piece occurs cannot change and are not cut at all.
 */
import type { SentencePieceModel } from '../../formats/sentencepiece.ts';
import { bareTokenizer } from './reachable.ts';

/** Texts of new pieces that change the ids of a text; empty if none changes. `expanded` is `base` with pieces behind it. */
export function changedBy(base: SentencePieceModel, expanded: SentencePieceModel, texts: readonly string[]): Set<string> {
  const hits = new Set<string>();
  const from = base.pieces.length;
  if (texts.length === 0 || expanded.pieces.length === from) return hits;
  const chars = new Set<string>();
  // Pieces of nothing but space marks may stand in any text.
  let anywhere = false;
  for (const { text } of expanded.pieces.slice(from)) {
    const letters = [...text].filter((char) => char !== '\u2581');
    if (letters.length === 0) anywhere = true;
    for (const char of letters) chars.add(char);
  }
  const before = bareTokenizer(base);
  const after = bareTokenizer(expanded);
  for (const text of texts) {
    if (!anywhere && ![...new Set(text)].some((char) => chars.has(char))) continue;
    const ids = after.encode(text);
    const old = before.encode(text);
    if (ids.length === old.length && ids.every((id, i) => id === old[i])) continue;
    const fresh = ids.filter((id) => id >= from);
    for (const id of fresh) hits.add(expanded.pieces[id].text);
    if (fresh.length > 0) continue;
    // Only old pieces, yet others than before: a new one was a step on the way to them.
    const known = new Set(old);
    const unseen = ids.filter((id) => !known.has(id));
    const made = (unseen.length > 0 ? unseen : ids).map((id) => expanded.pieces[id].text);
    for (const { text: piece } of expanded.pieces.slice(from)) if (made.some((whole) => whole.includes(piece))) hits.add(piece);
  }
  return hits;
}
