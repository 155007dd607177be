/**
 * The small files of a grown folder: configs that agree with the new tokenizer, the tokenizer's own files, and what else lay beside the base. A config is
 * changed field by field, never rebuilt, so that fields scion does not know stay as they were.
 */
import { ScionError } from '../../base/errors.ts';
import { dirName, joinPath } from '../../base/path.ts';
import { jsonBytes, readJsonObject } from '../../formats/json.ts';
import type { HostFiles } from '../../host/types.ts';
import { type Tokenizer, tokenizerFiles } from '../../text/tokenizer.ts';
import { CONFIG_NAME, GENERATION_NAME } from '../hf.ts';

/** Forms of a vocabulary; the new tokenizer's replace the base's, and a stale one of the base must not stay. */
const VOCABULARY_NAMES = [
  'tokenizer.model',
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
] as const;
/** Largest companion that goes along; larger ones are weights by another name. */
const MAX_NEIGHBOUR_BYTES = 64 * 2 ** 20;
/** Weights in other forms: they have the old rows. */
const WEIGHTS = /\.(safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx|npz|index\.json)$/;

/** The ids of a config that must follow the tokenizer, changed where it says otherwise. */
function withMarks(json: Readonly<Record<string, unknown>>, tokenizer: Tokenizer): Record<string, unknown> {
  const out: Record<string, unknown> = { ...json };
  for (const [key, id] of [
    ['bos_token_id', tokenizer.bosId],
    ['eos_token_id', tokenizer.eosId],
    ['pad_token_id', tokenizer.padId],
  ] as const) {
    if (id === null) continue;
    const said = json[key];
    // Several end marks: the tokenizer's is one of them, or joins them.
    if (Array.isArray(said)) out[key] = said.includes(id) ? said : [id, ...(said as unknown[])];
    else out[key] = id;
  }
  return out;
}

/** `config.json`, and `generation_config.json` where the base has one, for so many rows and this tokenizer. */
export async function grownConfigs(files: HostFiles, base: string, tokenizer: Tokenizer, rows: number): Promise<Record<string, Uint8Array>> {
  const config = await readJsonObject(files, joinPath(base, CONFIG_NAME));
  if (config === null) throw new ScionError('input', `${joinPath(base, CONFIG_NAME)} does not exist; a model folder holds one`, { base });
  const out: Record<string, Uint8Array> = { [CONFIG_NAME]: jsonBytes({ ...withMarks(config, tokenizer), vocab_size: rows }) };
  const generation = await readJsonObject(files, joinPath(base, GENERATION_NAME));
  if (generation !== null) out[GENERATION_NAME] = jsonBytes(withMarks(generation, tokenizer));
  return out;
}

/** The new tokenizer's files: every form of the vocabulary that lies in its folder, and the small files, made where they are missing. */
export async function companionFiles(files: HostFiles, path: string, tokenizer: Tokenizer): Promise<Record<string, Uint8Array>> {
  const out = Object.fromEntries(tokenizerFiles(tokenizer));
  const folder = (await files.stat(path))?.isDirectory ? path : dirName(path);
  for (const name of VOCABULARY_NAMES) {
    if (name in out || folder !== path) continue;
    if ((await files.stat(joinPath(folder, name))) !== null) out[name] = await files.read(joinPath(folder, name));
  }
  return out;
}

/** Other files of the base that go along unchanged (licence, model card, code); weights in other forms and old tokenizer files do not. */
export async function plainNeighbours(files: HostFiles, base: string, taken: ReadonlySet<string>): Promise<string[]> {
  const out: string[] = [];
  for (const { name, isDirectory } of await files.list(base)) {
    const tokenizers = VOCABULARY_NAMES.some((own) => own === name) || name.endsWith('.model');
    if (isDirectory || taken.has(name) || tokenizers || name.startsWith('.') || WEIGHTS.test(name)) continue;
    if (((await files.stat(joinPath(base, name)))?.size ?? 0) <= MAX_NEIGHBOUR_BYTES) out.push(name);
  }
  return out;
}
