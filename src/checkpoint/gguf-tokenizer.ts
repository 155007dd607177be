/**
 * The tokenizer that a GGUF file carries, as a SentencePiece model. Only llama.cpp's kind `llama` (SentencePiece BPE) says all that
 * is needed; its `gpt2` kind names the rules of cutting words by a code instead of holding them, so such files take
 * a tokenizer from elsewhere.
 */
import { ScionError } from '../base/errors.ts';
import type { GgufValue } from '../formats/gguf.ts';
import { MODEL, makeSentencePiece, PIECE, type PieceType, type SentencePieceModel } from '../formats/sentencepiece.ts';

const KINDS: ReadonlySet<number> = new Set(Object.values(PIECE));

/** A list of one type; `input` naming the key for anything else. */
function list<T>(metadata: ReadonlyMap<string, GgufValue>, key: string, is: (value: unknown) => value is T): readonly T[] {
  const found = metadata.get(key);
  if (found?.type !== 'array') throw new ScionError('input', `the file's tokenizer has no list ${key}; name another with --tokenizer`, { key });
  const values: readonly unknown[] = found.value;
  const wrong = values.findIndex((value) => !is(value));
  if (wrong >= 0) throw new ScionError('input', `${key}[${wrong}] is ${String(values[wrong])}; the tokenizer cannot be read`, { key, at: wrong });
  return values as readonly T[];
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isScore = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const isKind = (value: unknown): value is PieceType => typeof value === 'number' && KINDS.has(value);

/**
 * The SentencePiece model in a file's metadata, or null if it has a tokenizer of another kind or none.
 * @throws ScionError `input` where its lists are damaged or of unequal lengths.
 */
export function tokenizerFromGguf(metadata: ReadonlyMap<string, GgufValue>): SentencePieceModel | null {
  if (metadata.get('tokenizer.ggml.model')?.value !== 'llama') return null;
  const tokens = list(metadata, 'tokenizer.ggml.tokens', isText);
  const scores = list(metadata, 'tokenizer.ggml.scores', isScore);
  const types = list(metadata, 'tokenizer.ggml.token_type', isKind);
  if (scores.length !== tokens.length || types.length !== tokens.length) {
    throw new ScionError('input', `the tokenizer has ${tokens.length} pieces, ${scores.length} scores and ${types.length} types; they must be as many`);
  }
  const id = (name: string): number => {
    const value = metadata.get(`tokenizer.ggml.${name}_token_id`)?.value;
    return typeof value === 'number' && value < tokens.length ? value : -1;
  };
  const [unkId, bosId, eosId, padId] = ['unknown', 'bos', 'eos', 'padding'].map(id);
  const name = (at: number, otherwise: string): string => (at >= 0 ? tokens[at] : otherwise);
  return makeSentencePiece(
    tokens.map((text, i) => ({ text, score: scores[i], type: types[i] })),
    {
      modelType: MODEL.BPE,
      byteFallback: types.includes(PIECE.BYTE),
      // LLaMA's own order where the file names no unknown piece.
      unkId: unkId >= 0 ? unkId : Math.max(0, types.indexOf(PIECE.UNKNOWN)),
      bosId,
      eosId,
      padId,
      unkPiece: name(unkId, '<unk>'),
      bosPiece: name(bosId, '<s>'),
      eosPiece: name(eosId, '</s>'),
      padPiece: name(padId, '<pad>'),
    },
    {
      name: 'identity',
      addDummyPrefix: metadata.get('tokenizer.ggml.add_space_prefix')?.value !== false,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
    },
  );
}
