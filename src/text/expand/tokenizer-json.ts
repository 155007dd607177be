/**
 * `tokenizer.json` of a SentencePiece BPE model, as LLaMA's fast tokenizer writes it: merges over whole texts with
 * bytes for unknown characters, spaces written `▁`, a begin mark put first. Models whose normaliser does more than
 * mark spaces have no such form here and are refused: a file that cuts text otherwise is worse than none.
 */
import { ScionError } from '../../base/errors.ts';
import { PIECE, type SentencePieceModel } from '../../formats/sentencepiece.ts';
import type { JsonObject } from '../json-read.ts';
import { SPACE_MARK } from '../normalizer.ts';
import { deriveMerges } from './merges.ts';
import { isBpe } from './reachable.ts';

/** An entry of `added_tokens`. */
export interface AddedTokenJson extends JsonObject {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** Which marks go around a text. */
export interface TemplateMarks {
  readonly bosId: number | null;
  readonly eosId: number | null;
}

/** The tokens of a model that are looked for in text before it is cut: marks, and user-defined pieces. */
export function addedTokensOf(model: SentencePieceModel): AddedTokenJson[] {
  return model.pieces.flatMap(({ text, type }, id) =>
    type === PIECE.UNKNOWN || type === PIECE.CONTROL || type === PIECE.USER_DEFINED
      ? [{ id, content: text, single_word: false, lstrip: false, rstrip: false, normalized: false, special: type !== PIECE.USER_DEFINED }]
      : [],
  );
}

/**
 * The parsed file, and in which respects it may cut text otherwise than the model. `marks`: what is put around every text
 * (null: nothing). Throws `input` where the model has no such form.
 */
export function tokenizerJson(model: SentencePieceModel, marks: TemplateMarks): { readonly json: Record<string, unknown>; readonly doubts: readonly string[] } {
  const { normalizer, trainer, pieces } = model;
  const why = !isBpe(model)
    ? `model type ${trainer.modelType} (2 is bpe)`
    : normalizer.precompiledCharsmap.length > 0
      ? `normalisation rules of ${normalizer.precompiledCharsmap.length} bytes`
      : normalizer.removeExtraWhitespaces
        ? 'a normaliser that removes extra spaces'
        : !normalizer.escapeWhitespaces
          ? 'spaces that are not written as marks'
          : trainer.treatWhitespaceAsSuffix
            ? 'space marks behind words'
            : null;
  if (why !== null) throw new ScionError('input', `no tokenizer.json can be made from this model: it has ${why}; tokenizer.model alone says that`, { why });
  const { merges, doubts } = deriveMerges(model);
  const unk = pieces.find((piece) => piece.type === PIECE.UNKNOWN)?.text ?? null;
  const spaceless = pieces.every((piece) => !piece.text.includes(' '));
  const mark = (id: number | null, type: number) => (id === null ? [] : [{ SpecialToken: { id: pieces[id].text, type_id: type } }]);
  const text = (name: 'A' | 'B', type: number) => ({ Sequence: { id: name, type_id: type } });
  const around = (name: 'A' | 'B', type: number) => [...mark(marks.bosId, type), text(name, type), ...mark(marks.eosId, type)];
  const named = [marks.bosId, marks.eosId].filter((id) => id !== null);
  const strip = normalizer.addDummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: SPACE_MARK };
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokensOf(model),
    normalizer: normalizer.addDummyPrefix ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: SPACE_MARK }, replace] } : replace,
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: around('A', 0),
      pair: [...around('A', 0), ...around('B', 1)],
      special_tokens: Object.fromEntries(named.map((id) => [pieces[id].text, { id: pieces[id].text, ids: [id], tokens: [pieces[id].text] }])),
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SPACE_MARK }, content: ' ' },
        ...(trainer.byteFallback ? [{ type: 'ByteFallback' }] : []),
        { type: 'Fuse' },
        ...strip,
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unk,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: trainer.byteFallback,
      ignore_merges: false,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece.text, id])),
      // One string a merge is the form that every version of the library reads.
      merges: merges.map(([left, right]) => (spaceless ? `${left} ${right}` : [left, right])),
    },
  };
  return { json, doubts };
}
