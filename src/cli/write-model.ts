/**
 * Writing a model as a Hugging Face folder or a GGUF file, for `import` and `export`: weights, configs and tokenizer appear together under the
 * folder's name or not at all. `--force` puts the new folder in the old one's place by two renames, and only where the
 * old one is a model: a mistyped --out must not cost anything else.
 */
import { ScionError } from '../base/errors.ts';
import { baseName, joinPath } from '../base/path.ts';
import { newRunId } from '../base/run-id.ts';
import { exportGguf, ggufTokenizer } from '../checkpoint/gguf.ts';
import { type ExportDtype, exportHf } from '../checkpoint/hf.ts';
import type { GgufValue } from '../formats/gguf.ts';
import { PIECE, parseSentencePiece, type SentencePiece } from '../formats/sentencepiece.ts';
import { replaceFolder } from '../host/replace-folder.ts';
import type { HostFiles } from '../host/types.ts';
import { countParameters, type LlamaConfig } from '../nn/config.ts';
import { type Tokenizer, tokenizerFiles } from '../text/tokenizer.ts';
import type { ModelOnDisk } from './load-model.ts';

/** Other forms of a vocabulary that a folder may hold beside the one that was read; carried along as they are. */
const SIBLINGS = ['tokenizer.model', 'tokenizer.json', 'vocab.json', 'merges.txt'] as const;

/** How a model is written. */
export interface WriteOptions {
  readonly out: string;
  readonly dtype: ExportDtype;
  readonly tokenizer: Tokenizer | null;
  /** The folder whose other vocabulary files go along; null for none. */
  readonly siblings: string | null;
  /** Replaces a model folder that is there. */
  readonly force: boolean;
  readonly onRead: (parameter: string) => void;
}

/** What was written. */
export interface WrittenModel {
  readonly out: string;
  readonly files: readonly string[];
  readonly parameters: number;
  readonly bytes: number;
  readonly dtype: ExportDtype;
  /** What another program may not do with it; for the caller to report. */
  readonly warnings: readonly string[];
}

/** `--force` replaces model folders and nothing else. */
async function checkReplaceable(files: HostFiles, folder: string): Promise<void> {
  const entries = await files.list(folder);
  const odd = entries.find((e) => e.isDirectory) ?? (entries.some((e) => e.name === 'config.json') ? undefined : entries[0]);
  if (odd)
    throw new ScionError('input', `${folder} holds ${odd.name}, so it is no model folder; --force replaces nothing else. Choose another --out`, { folder });
}

/** The config with the marks of the tokenizer, where the weights came from a file that names none. */
function configOf(model: ModelOnDisk, tokenizer: Tokenizer | null): LlamaConfig {
  const { config } = model.source;
  if (model.kind !== 'llama2c' || !tokenizer) return config;
  return { ...config, bosId: tokenizer.bosId ?? config.bosId, eosIds: tokenizer.eosId === null ? config.eosIds : [tokenizer.eosId] };
}

/** Writes a model folder. @throws ScionError `input` if something is in the way, `space` if it cannot fit. */
export async function writeModel(files: HostFiles, model: ModelOnDisk, options: WriteOptions): Promise<WrittenModel> {
  const { out, dtype, tokenizer, siblings, force, onRead } = options;
  const beside: Record<string, Uint8Array> = {};
  for (const name of siblings === null ? [] : SIBLINGS) {
    if ((await files.stat(joinPath(siblings ?? '', name))) !== null) beside[name] = await files.read(joinPath(siblings ?? '', name));
  }
  if (tokenizer) Object.assign(beside, Object.fromEntries(tokenizerFiles(tokenizer)));
  const stat = await files.stat(out);
  const held = stat?.isDirectory === true && (await files.list(out)).length > 0;
  if (stat && !stat.isDirectory) throw new ScionError('input', `${out} is a file; --out names a folder to make`, { out });
  if (held && !force) throw new ScionError('input', `${out} exists and is not empty; choose another --out, or add --force to replace the model there`, { out });
  if (held) await checkReplaceable(files, out);
  const place = held ? `${out}.new-${newRunId()}` : out;
  const config = configOf(model, tokenizer);
  const read = (name: string): Promise<Float32Array> => {
    onRead(name);
    return model.source.read(name);
  };
  const written = await exportHf(files, place, config, read, { dtype, tokenizerFiles: beside, generationConfig: model.generationConfig });
  if (held) await replaceFolder(files, place, out, `${out}.old-${newRunId()}`);
  let bytes = 0;
  for (const name of written) bytes += (await files.stat(joinPath(out, name)))?.size ?? 0;
  return { out, files: [...written].sort(), parameters: countParameters(config), bytes, dtype, warnings: [] };
}

/** A tokenizer as GGUF keys, if it is one that they can say. llama.cpp wants as many pieces as the model has rows. */
async function ggufKeys(
  files: HostFiles,
  tokenizer: Tokenizer | null,
  folder: string | null,
  rows: number,
): Promise<ReadonlyMap<string, GgufValue> | undefined> {
  let bytes = tokenizer?.source.name === 'tokenizer.model' ? tokenizer.source.bytes : null;
  // A folder whose tokenizer.json was read may hold the same vocabulary as SentencePiece wrote it.
  const beside = joinPath(folder ?? '', 'tokenizer.model');
  if (bytes === null && folder !== null && (await files.stat(beside)) !== null) bytes = await files.read(beside);
  if (bytes === null) return undefined;
  const model = parseSentencePiece(bytes, 'tokenizer.model');
  const pieces: SentencePiece[] = [...model.pieces];
  while (pieces.length < rows) pieces.push({ text: `[PAD${pieces.length}]`, score: -1000, type: PIECE.UNUSED });
  return ggufTokenizer({ ...model, pieces });
}

/** Writes a GGUF file. @throws ScionError `input` if it exists and `force` is off, or GGUF cannot say the model. */
export async function writeGgufModel(files: HostFiles, model: ModelOnDisk, options: WriteOptions): Promise<WrittenModel> {
  const { out, dtype, tokenizer, siblings, force, onRead } = options;
  const stat = await files.stat(out);
  if (stat?.isDirectory) throw new ScionError('input', `${out} is a folder; --out names a .gguf file to make`, { out });
  if (stat && !force) throw new ScionError('input', `${out} exists; choose another --out, or add --force to replace it`, { out });
  const config = configOf(model, tokenizer);
  const keys = await ggufKeys(files, tokenizer, siblings, config.vocabSize);
  const read = (name: string): Promise<Float32Array> => {
    onRead(name);
    return model.source.read(name);
  };
  const warnings = await exportGguf(files, out, config, read, { dtype, tokenizer: keys, name: baseName(out).replace(/\.gguf$/, '') });
  return { out, files: [baseName(out)], parameters: countParameters(config), bytes: (await files.stat(out))?.size ?? 0, dtype, warnings };
}
