/**
 * The ids that an option's letter can take as the next token. A vocabulary holds "A" and " A" apart, and which of the two comes depends on how
 * the cue before it ends and on the language; a model that says either has said the letter. (The original asks for one id after an English cue
 * and one after a Chinese one; all ids that read as the letter are asked for here, which holds for byte-level vocabularies too.)
 */
import type { Tokenizer } from '../../text/tokenizer.ts';

/** What may stand before a letter: nothing, and the ends of answer cues in both languages. */
const CUES = ['', ' ', 'Answer:', 'Answer: ', '答案：', '答案： ', '(', '\n'] as const;

/** Ids of each letter, ascending. A letter that the vocabulary cannot write in one token has none. */
export function letterIds(tokenizer: Tokenizer, letters: Iterable<string>): Map<string, readonly number[]> {
  const out = new Map<string, readonly number[]>();
  for (const letter of new Set(letters)) {
    const found = new Set<number>();
    for (const cue of CUES) {
      const id = tokenizer.encode(cue + letter).at(-1);
      // A last piece that holds more than the letter ("(A") or less (a byte of it) does not say it.
      if (id !== undefined && new TextDecoder().decode(tokenizer.bytesOf(id)).trim() === letter) found.add(id);
    }
    out.set(
      letter,
      [...found].sort((a, b) => a - b),
    );
  }
  return out;
}
