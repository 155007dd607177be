/**
 * The files of an expanded tokenizer: vocabulary in both forms, the small files that name the marks, the report. What the
 * base's small files say is kept; only what new ids make untrue or incomplete is changed.
 */
import { ScionError } from '../../base/errors.ts';
import { jsonBytes } from '../../formats/json.ts';
import { PIECE, type SentencePiece, type SentencePieceModel, writeSentencePiece } from '../../formats/sentencepiece.ts';
import { isObject, type JsonObject } from '../json-read.ts';
import type { Tokenizer } from '../types.ts';
import { addedTokensOf, tokenizerJson } from './tokenizer-json.ts';

/** Rows that added tokens may take behind a model; a greater id is damage. */
const MAX_ADDED = 1 << 16;

const encoder = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true });

/** What goes into a folder besides the vocabulary. */
export interface FolderContents {
  /** The base, for its marks and its small files. */
  readonly base: Tokenizer;
  readonly model: SentencePieceModel;
  /** Special tokens that are new, by text. */
  readonly specials: readonly string[];
  /** What `report.json` says, besides what is found out here. */
  readonly report: JsonObject;
  /** Further files by name, for example `pieces.jsonl`. */
  readonly extra?: ReadonlyMap<string, Uint8Array>;
}

/** A model with the entries that the files beside it add (`<pad>` at 32,000), as pieces at their ids: new rows come after them. */
export function withAddedTokens(model: SentencePieceModel, tokenizer: Tokenizer): SentencePieceModel {
  if (tokenizer.vocabSize <= model.pieces.length) return model;
  if (tokenizer.vocabSize - model.pieces.length > MAX_ADDED) {
    throw new ScionError(
      'input',
      `the files beside the model add a token with id ${tokenizer.vocabSize - 1}, but the model has ${model.pieces.length} pieces; at most ${MAX_ADDED} rows may follow them`,
      { id: tokenizer.vocabSize - 1, pieces: model.pieces.length },
    );
  }
  const pieces: SentencePiece[] = [...model.pieces];
  const texts = new Set(pieces.map((piece) => piece.text));
  for (let id = pieces.length; id < tokenizer.vocabSize; id++) {
    const hole = !hasPiece(tokenizer, id);
    const text = hole ? `[PAD${id}]` : tokenizer.pieceOf(id);
    if (texts.has(text)) throw new ScionError('input', `added token ${id} of the base, ${JSON.stringify(text)}, is a piece of its model already`, { id, text });
    texts.add(text);
    pieces.push({ text, score: 0, type: hole ? PIECE.UNUSED : tokenizer.isSpecial(id) ? PIECE.CONTROL : PIECE.USER_DEFINED });
  }
  return { ...model, pieces };
}

function hasPiece(tokenizer: Tokenizer, id: number): boolean {
  try {
    return tokenizer.pieceOf(id) !== '';
  } catch (error) {
    if (error instanceof ScionError && error.kind === 'input') return false;
    throw error;
  }
}

/** All files by name, and what was left out or may differ between the two forms of the vocabulary. */
export function tokenizerFolder(contents: FolderContents): { readonly files: Map<string, Uint8Array>; readonly notes: readonly string[] } {
  const { base, model, specials, report, extra } = contents;
  const notes: string[] = [];
  const files = new Map<string, Uint8Array>([['tokenizer.model', writeSentencePiece(model)]]);
  const inModel = (id: number | null): number | null => (id !== null && id < model.pieces.length ? id : null);
  try {
    const made = tokenizerJson(model, { bosId: base.adds.bos ? inModel(base.bosId) : null, eosId: base.adds.eos ? inModel(base.eosId) : null });
    files.set('tokenizer.json', tokenizerJsonBytes(made.json));
    notes.push(...made.doubts.map((doubt) => `tokenizer.json: ${doubt}`));
  } catch (error) {
    if (!(error instanceof ScionError) || error.kind !== 'input') throw error;
    notes.push(error.message);
  }
  for (const [name, bytes] of base.source.neighbours ?? []) if (name !== 'added_tokens.json') files.set(name, bytes);
  for (const [name, bytes] of withSpecials(base, specials, addedTokensOf(model))) files.set(name, bytes);
  for (const [name, bytes] of extra ?? []) files.set(name, bytes);
  const held = Array.isArray(report.notes) ? (report.notes as readonly unknown[]) : [];
  files.set('report.json', jsonBytes({ ...report, notes: [...held, ...notes] }));
  return { files, notes };
}

/** All files of an expanded byte-level `tokenizer.json`, by name. */
export function byteLevelFolder(contents: {
  readonly base: Tokenizer;
  /** The expanded file, and its bytes. */
  readonly json: JsonObject;
  readonly bytes: Uint8Array;
  readonly specials: readonly string[];
  readonly report: JsonObject;
  readonly extra?: ReadonlyMap<string, Uint8Array>;
}): Map<string, Uint8Array> {
  const { base, json, bytes, specials, report, extra } = contents;
  const tokens: readonly unknown[] = Array.isArray(json.added_tokens) ? (json.added_tokens as readonly unknown[]) : [];
  return new Map([
    ['tokenizer.json', bytes],
    ...(base.source.neighbours ?? []),
    ...withSpecials(base, specials, tokens.filter(isObject)),
    ...(extra ?? []),
    ['report.json', jsonBytes(report)],
  ]);
}

/** The bytes of a `tokenizer.json`. */
export const tokenizerJsonBytes = (json: JsonObject): Uint8Array => encoder.encode(JSON.stringify(json, null, 1));

/** The small files that name the marks, with new special tokens; `tokens` are all added tokens with their ids. */
function withSpecials(base: Tokenizer, specials: readonly string[], tokens: readonly JsonObject[]): Map<string, Uint8Array> {
  return new Map([
    ['tokenizer_config.json', jsonBytes(configOf(base, tokens, specials, readNeighbour(base, 'tokenizer_config.json')))],
    ['special_tokens_map.json', jsonBytes(specialsMap(base, specials, readNeighbour(base, 'special_tokens_map.json')))],
  ]);
}

function readNeighbour(base: Tokenizer, name: string): JsonObject | null {
  const bytes = base.source.neighbours?.get(name);
  if (bytes === undefined) return null;
  const value: unknown = JSON.parse(strict.decode(bytes));
  return isObject(value) ? value : null;
}

/** The base's configuration, or LLaMA's; every mark listed by id, as slow tokenizers find them in text only so. */
function configOf(base: Tokenizer, tokens: readonly JsonObject[], specials: readonly string[], held: JsonObject | null): JsonObject {
  const marks = marksOf(base);
  const start: JsonObject = held ?? {
    add_bos_token: base.adds.bos,
    add_eos_token: base.adds.eos,
    ...marks,
    clean_up_tokenization_spaces: false,
    legacy: true,
    // transformers' way of saying that the tokenizer sets no limit.
    model_max_length: 1e30,
    tokenizer_class: base.kind === 'bpe-json' ? 'PreTrainedTokenizerFast' : 'LlamaTokenizer',
  };
  const decoder: Record<string, unknown> = {};
  for (const { id, ...token } of tokens) decoder[String(id)] = token;
  const before = isObject(start.added_tokens_decoder) ? start.added_tokens_decoder : {};
  const out: Record<string, unknown> = { ...start, added_tokens_decoder: { ...decoder, ...before } };
  if (specials.length > 0) out.additional_special_tokens = withNew(start.additional_special_tokens, specials);
  return out;
}

function specialsMap(base: Tokenizer, specials: readonly string[], held: JsonObject | null): JsonObject {
  const start: JsonObject = held ?? marksOf(base);
  return specials.length === 0 ? start : { ...start, additional_special_tokens: withNew(start.additional_special_tokens, specials) };
}

function withNew(held: unknown, specials: readonly string[]): unknown[] {
  const before: readonly unknown[] = Array.isArray(held) ? held : [];
  return [...before, ...specials.filter((text) => !before.includes(text))];
}

function marksOf(base: Tokenizer): Record<string, string> {
  const out: Record<string, string> = {};
  const { bosId, eosId, unkId, padId } = base;
  for (const [key, id] of Object.entries({ bos_token: bosId, eos_token: eosId, unk_token: unkId, pad_token: padId })) {
    if (id !== null) out[key] = base.pieceOf(id);
  }
  return out;
}
