/**
 * Tokenizers from and to folders as Hugging Face lays them out: `tokenizer.json` or `tokenizer.model`, with
 * the small JSON files beside it that name the marks. What was read is written back byte for byte; files that
 * were not there are made.
 */

import { ScionError } from '../base/errors.ts';
import { baseName, dirName, joinPath } from '../base/path.ts';
import { jsonBytes } from '../formats/json.ts';
import { parseSentencePiece, type SentencePieceModel, writeSentencePiece } from '../formats/sentencepiece.ts';
import type { HostFiles } from '../host/types.ts';
import { JsonTokenizer } from './bpe-json.ts';
import { asIndex, asObject, isObject, type JsonObject } from './json-read.ts';
import { type AddedPiece, SentencePieceTokenizer } from './sentencepiece.ts';
import type { MarkSettings, Tokenizer, TokenizerSource } from './types.ts';

export type { DecodeOptions, EncodeOptions, StreamDecoder, Tokenizer, TokenizerSource } from './types.ts';

/** Files beside the vocabulary that belong to the tokenizer and are written back with it. */
const NEIGHBOURS = ['tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json', 'chat_template.jinja'] as const;
/** Files of the model that may tell the ids of marks; read, never written here. */
const HINTS = ['generation_config.json', 'config.json'] as const;

const strict = new TextDecoder('utf-8', { fatal: true });

/**
 * Loads a tokenizer. `path` is a folder (`tokenizer.json` is taken before `tokenizer.model`, as transformers
 * does; else the only `*.model` file) or one such file. Throws `input` when there is none, `format` when a file
 * is damaged or uses what is not supported.
 */
export async function loadTokenizer(files: HostFiles, path: string): Promise<Tokenizer> {
  const file = await findTokenizer(files, path);
  const bytes = await files.read(file);
  const isJson = file.endsWith('.json');
  const neighbours = new Map<string, Uint8Array>();
  const parsed = new Map<string, JsonObject>();
  // A file under a name of its own does not belong to the folder it happens to lie in.
  if (/^tokenizer\.(json|model)$/.test(baseName(file))) {
    for (const name of [...NEIGHBOURS, ...HINTS]) {
      const beside = joinPath(dirName(file), name);
      if ((await files.stat(beside)) === null) continue;
      const content = await files.read(beside);
      if (!HINTS.some((hint) => hint === name)) neighbours.set(name, content);
      if (name.endsWith('.json')) parsed.set(name, asObject(parseJson(content, beside), beside));
    }
  }
  const source: TokenizerSource = { name: isJson ? 'tokenizer.json' : 'tokenizer.model', bytes, neighbours };
  const marks = markSettings(source, parsed);
  if (isJson) return new JsonTokenizer(parseJson(bytes, file), marks);
  const model = parseSentencePiece(bytes, file);
  const config = parsed.get('tokenizer_config.json') ?? {};
  return new SentencePieceTokenizer(model, {
    addsBos: true,
    ...marks,
    added: addedPieces(config, parsed.get('added_tokens.json')),
    legacy: config.legacy !== false,
  });
}

/** A tokenizer over a SentencePiece model made here rather than read. Adds a begin mark, as LLaMA's does. */
export function tokenizerFromModel(model: SentencePieceModel): SentencePieceTokenizer {
  return new SentencePieceTokenizer(model, { source: { name: 'tokenizer.model', bytes: writeSentencePiece(model) }, addsBos: true });
}

/** The files of a tokenizer by name, as transformers opens them: those it came with, and the small ones made where they were missing. */
export function tokenizerFiles(tokenizer: Tokenizer): Map<string, Uint8Array> {
  const { source } = tokenizer;
  const out = new Map<string, Uint8Array>([[source.name, source.bytes], ...(source.neighbours ?? [])]);
  if (!out.has('tokenizer_config.json')) out.set('tokenizer_config.json', jsonBytes(defaultConfig(tokenizer)));
  if (!out.has('special_tokens_map.json')) out.set('special_tokens_map.json', jsonBytes(markNames(tokenizer)));
  return out;
}

/** Writes a tokenizer into a folder (made if need be), so that transformers opens it. */
export async function saveTokenizer(files: HostFiles, tokenizer: Tokenizer, dir: string): Promise<void> {
  await files.makeDir(dir);
  for (const [name, bytes] of tokenizerFiles(tokenizer)) await files.write(joinPath(dir, name), bytes);
}

async function findTokenizer(files: HostFiles, path: string): Promise<string> {
  const stat = await files.stat(path);
  if (stat === null) throw new ScionError('input', `no tokenizer at ${path}: there is no such file or folder`, { path });
  if (!stat.isDirectory) {
    if (/\.(json|model)$/.test(path)) return path;
    throw new ScionError('input', `${path} is no tokenizer by its name; give a tokenizer.json, a *.model or a folder that holds one`, { path });
  }
  const names = (await files.list(path)).filter((entry) => !entry.isDirectory).map((entry) => entry.name);
  const models = names.filter((name) => name.endsWith('.model'));
  const chosen = ['tokenizer.json', 'tokenizer.model'].find((name) => names.includes(name)) ?? (models.length === 1 ? models[0] : undefined);
  if (chosen !== undefined) return joinPath(path, chosen);
  const found = names.length === 0 ? 'nothing' : names.slice(0, 10).join(', ');
  throw new ScionError('input', `no tokenizer in ${path}: wanted tokenizer.json, tokenizer.model or one *.model file, found ${found}`, { path, names });
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(strict.decode(bytes)) as unknown;
  } catch (cause) {
    throw new ScionError('format', `${path} (${bytes.length} bytes) is not JSON: ${String(cause)}`, { path }, cause);
  }
}

/** The marks as the files name them: `tokenizer_config.json` first, then `special_tokens_map.json`, then ids from the model's files. */
function markSettings(source: TokenizerSource, parsed: ReadonlyMap<string, JsonObject>): MarkSettings {
  const config = parsed.get('tokenizer_config.json') ?? {};
  const map = parsed.get('special_tokens_map.json') ?? {};
  const name = (key: string): string | undefined => tokenText(config[key]) ?? tokenText(map[key]);
  const hints = HINTS.map((file) => parsed.get(file) ?? {});
  const idsOf = (key: string): number[] => {
    for (const hint of hints) {
      const value: unknown = hint[key];
      if (Array.isArray(value) && value.length > 0) return value.map((id: unknown) => asIndex(id, key));
      if (typeof value === 'number') return [asIndex(value, key)];
    }
    return [];
  };
  const flag = (key: string): boolean | undefined => (typeof config[key] === 'boolean' ? config[key] : undefined);
  const [addsBos, addsEos] = [flag('add_bos_token'), flag('add_eos_token')];
  return {
    source,
    names: { bos: name('bos_token'), eos: name('eos_token'), pad: name('pad_token'), unk: name('unk_token') },
    ids: { bos: idsOf('bos_token_id')[0], eos: idsOf('eos_token_id')[0], pad: idsOf('pad_token_id')[0] },
    ...(addsBos === undefined ? {} : { addsBos }),
    ...(addsEos === undefined ? {} : { addsEos }),
    stopIds: idsOf('eos_token_id'),
  };
}

/** The text of a token that is written as a string or as an object with `content`. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isObject(value) && typeof value.content === 'string' ? value.content : undefined;
}

function addedPieces(config: JsonObject, addedTokens: JsonObject | undefined): AddedPiece[] {
  const found = new Map<number, AddedPiece>();
  // The older file tells no more than names; the marks among them are named in the configuration.
  const marks = new Set(Object.entries(config).flatMap(([key, value]) => (key.endsWith('_token') ? [tokenText(value)] : [])));
  for (const [content, id] of Object.entries(addedTokens ?? {})) {
    const index = asIndex(id, `added_tokens.json[${JSON.stringify(content)}]`);
    found.set(index, { id: index, content, special: marks.has(content) });
  }
  const decoder = config.added_tokens_decoder;
  for (const [key, entry] of Object.entries(isObject(decoder) ? decoder : {})) {
    const content = tokenText(entry);
    const index = asIndex(Number(key), 'tokenizer_config.json: added_tokens_decoder');
    if (content !== undefined) found.set(index, { id: index, content, special: isObject(entry) && entry.special === true });
  }
  return [...found.values()].filter((entry) => entry.content !== '');
}

function markNames(tokenizer: Tokenizer): Record<string, string> {
  const out: Record<string, string> = {};
  const { bosId, eosId, padId, unkId } = tokenizer;
  for (const [key, id] of [
    ['bos_token', bosId],
    ['eos_token', eosId],
    ['pad_token', padId],
    ['unk_token', unkId],
  ] as const) {
    if (id !== null) out[key] = tokenizer.pieceOf(id);
  }
  return out;
}

function defaultConfig(tokenizer: Tokenizer): Record<string, unknown> {
  return {
    add_bos_token: tokenizer.adds.bos,
    add_eos_token: tokenizer.adds.eos,
    ...markNames(tokenizer),
    clean_up_tokenization_spaces: false,
    legacy: true,
    // transformers' way of saying that the tokenizer sets no limit.
    model_max_length: 1e30,
    tokenizer_class: tokenizer.kind === 'bpe-json' ? 'PreTrainedTokenizerFast' : 'LlamaTokenizer',
  };
}
