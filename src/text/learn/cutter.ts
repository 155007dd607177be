/**
 * From a text to the words that are counted, as a base tokenizer sees the text. What is needed for that is plain data
 * (`CutterSpec`), so that it can be sent to workers, which count without the base itself.
 */

import type { NormalizerSpec } from '../../formats/sentencepiece.ts';
import { readNormalizer } from '../json-normalizers.ts';
import { readPreTokenizer } from '../json-pretokenizers.ts';
import { Normalizer, SPACE_MARK } from '../normalizer.ts';
import { cutWords } from './words.ts';

/** What cuts text into words, as data. */
export type CutterSpec =
  /** A SentencePiece model: its normaliser, then the learner's words. */
  | { readonly kind: 'sentencepiece'; readonly normalizer: NormalizerSpec; readonly suffix: boolean; readonly user: readonly string[] }
  /** A byte-level `tokenizer.json`: its normaliser and pre-tokenizer, as parsed. The words are byte letters. */
  | { readonly kind: 'byte-level'; readonly normalizer: unknown; readonly preTokenizer: unknown };

/** Gives the words of a text to `each`, in order. */
export type Cutter = (text: string, each: (word: string) => void) => void;

/** LLaMA's normaliser and nothing more: what a model learnt from scratch has. */
export const PLAIN_CUTTER: CutterSpec = {
  kind: 'sentencepiece',
  normalizer: { name: 'identity', precompiledCharsmap: new Uint8Array(0), addDummyPrefix: true, removeExtraWhitespaces: false, escapeWhitespaces: true },
  suffix: false,
  user: [],
};

/** A cutter as its data say. Throws `format` where a part of a `tokenizer.json` is not known. */
export function makeCutter(spec: CutterSpec): Cutter {
  if (spec.kind === 'byte-level') {
    const normalize = readNormalizer(spec.normalizer);
    const split = readPreTokenizer(spec.preTokenizer);
    return (text, each) => {
      for (const part of split({ text: normalize(text.toWellFormed()), first: true })) if (part.text !== '') each(part.text);
    };
  }
  const normalizer = new Normalizer(spec.normalizer, spec.suffix, spec.user);
  const { escapeWhitespaces } = spec.normalizer;
  return (text, each) => {
    const normalized = normalizer.run(text);
    // The words are cut at marks; a model that writes plain spaces gets them back.
    const marked = escapeWhitespaces ? normalized : normalized.replaceAll(' ', SPACE_MARK);
    cutWords(marked, (start, end) => {
      const word = marked.slice(start, end);
      each(escapeWhitespaces ? word : word.replaceAll(SPACE_MARK, ' '));
    });
  };
}
