/**
 * Checks a folder whose vocabulary was grown, by scion or by anyone: whether config, tokenizer and tensors speak of the same ids, and whether the rows
 * look like rows. Nothing is changed; every finding says what is wrong and how to mend it. All rows are read once; new ones can be told
 * from old ones where the folder says so (scion_init.json) or the base is named.
 */
import { isScionError, ScionError } from '../../base/errors.ts';
import { joinPath } from '../../base/path.ts';
import { type HfWeights, openHfWeights } from '../../formats/hf-shards.ts';
import { readJsonObject } from '../../formats/json.ts';
import type { HostFiles } from '../../host/types.ts';
import { type LlamaConfig, parseConfig } from '../../nn/config.ts';
import { loadTokenizer, type Tokenizer } from '../../text/tokenizer.ts';
import { CONFIG_NAME, GENERATION_NAME } from '../hf.ts';
import { EMBED_NAME, HEAD_NAME, NOTE_NAME } from './names.ts';
import { isRowDtype } from './rows.ts';
import { compareRows, scanMatrix } from './scan.ts';
import { sourcesOf } from './sources.ts';

/** `wrong`: the folder will fail or answer wrongly. `note`: legal, and worth knowing. */
export interface Finding {
  readonly level: 'wrong' | 'note';
  /** Which check, for programs: `config`, `tokenizer`, `tensors`, `sizes`, `ids`, `tied`, `padding`, `values`, `norms`, `duplicates`, `base`. */
  readonly check: string;
  readonly message: string;
  /** How to mend it; empty where there is nothing to do. */
  readonly remedy: string;
}

/** What was found in a folder. */
export interface VerifyReport {
  readonly rows: number | null;
  readonly pieces: number | null;
  /** First new id; null where neither the folder nor a base tells. */
  readonly firstNew: number | null;
  readonly findings: readonly Finding[];
}

/** What to hold the folder against. */
export interface VerifyOptions {
  readonly base?: string;
  readonly baseTokenizer?: string;
}

/** New rows whose median length is this many times shorter or longer than the old rows' are told; ten times that is wrong. */
const ODD_NORM = 4;

class Findings {
  readonly list: Finding[] = [];

  wrong(check: string, message: string, remedy: string): void {
    this.list.push({ level: 'wrong', check, message, remedy });
  }

  note(check: string, message: string, remedy = ''): void {
    this.list.push({ level: 'note', check, message, remedy });
  }

  /** The value, or null and a finding where it throws a ScionError of the user's making. */
  async attempt<T>(check: string, remedy: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (!isScionError(error) || error.kind === 'internal') throw error;
      this.wrong(check, error.message, remedy);
      return null;
    }
  }
}

/** Checks a folder. @throws ScionError `input` if it is none, `io` where it cannot be read; what is wrong with its content comes as findings. */
export async function verifyFolder(files: HostFiles, dir: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const stat = await files.stat(dir);
  if (!stat?.isDirectory) throw new ScionError('input', `${dir} is no folder; --verify takes a model folder`, { dir });
  const found = new Findings();
  const config = await found.attempt('config', 'copy config.json from the base and set vocab_size to the rows of the embedding', () => readConfig(files, dir));
  const tokenizer = await found.attempt('tokenizer', 'copy all tokenizer files of one tokenizer into the folder', () => loadTokenizer(files, dir));
  const weights = await found.attempt('tensors', 'make the folder again with scion init; a shard or the index is missing or damaged', () =>
    openHfWeights(files, dir),
  );
  try {
    if (tokenizer) await checkForms(files, dir, tokenizer, found);
    for (const warning of weights?.warnings ?? []) found.note('tensors', warning, 'set total_size in the index to the bytes of all tensors');
    const rows = weights && config ? checkSizes(config, weights, tokenizer, found) : null;
    if (config && tokenizer) await checkIds(files, dir, rows ?? config.vocabSize, tokenizer, found);
    const base = await openBase(files, options, tokenizer, found);
    const firstNew = base?.firstNew ?? (await firstNewOf(files, dir, found));
    if (weights && rows !== null) {
      const pieces = Math.min(rows, tokenizer?.vocabSize ?? rows);
      for (const tensor of [EMBED_NAME, HEAD_NAME]) if (weights.tensors.has(tensor)) await checkRows(weights, tensor, { firstNew, pieces }, found);
      if (config) await checkTied(config, weights, found);
    }
    if (weights && base?.weights) await compareBase(weights, base.weights, base.firstNew, found);
    await base?.weights?.close();
    return { rows, pieces: tokenizer?.vocabSize ?? null, firstNew, findings: found.list };
  } finally {
    await weights?.close();
  }
}

async function readConfig(files: HostFiles, dir: string): Promise<LlamaConfig> {
  const path = joinPath(dir, CONFIG_NAME);
  const json = await readJsonObject(files, path);
  if (json === null) throw new ScionError('input', `${path} does not exist; a model folder holds one`, { path });
  return parseConfig(json, path);
}

/** Where a folder has both forms of a vocabulary, different programs read different ones: they must be the same. */
async function checkForms(files: HostFiles, dir: string, tokenizer: Tokenizer, found: Findings): Promise<void> {
  const model = joinPath(dir, 'tokenizer.model');
  if (tokenizer.source.name !== 'tokenizer.json' || (await files.stat(model)) === null) return;
  const other = await found.attempt('tokenizer', 'write tokenizer.model again, or remove it', () => loadTokenizer(files, model));
  if (other === null) return;
  const remedy = 'take both from one tokenizer (scion vocab expand writes both)';
  if (other.vocabSize !== tokenizer.vocabSize)
    return found.wrong('tokenizer', `tokenizer.json has ${tokenizer.vocabSize} pieces, tokenizer.model ${other.vocabSize}`, remedy);
  for (let id = 0; id < other.vocabSize; id++) {
    const [a, b] = [pieceOrNull(tokenizer, id), pieceOrNull(other, id)];
    if (a !== b) return found.wrong('tokenizer', `id ${id} is ${JSON.stringify(a)} in tokenizer.json and ${JSON.stringify(b)} in tokenizer.model`, remedy);
  }
}

function pieceOrNull(tokenizer: Tokenizer, id: number): string | null {
  try {
    return tokenizer.pieceOf(id);
  } catch {
    return null;
  }
}

/** Rows of config, tensors and tokenizer against each other; the rows of the embedding, or null where there is none. */
function checkSizes(config: LlamaConfig, weights: HfWeights, tokenizer: Tokenizer | null, found: Findings): number | null {
  const embed = weights.tensors.get(EMBED_NAME);
  if (embed?.shape.length !== 2) {
    found.wrong(
      'tensors',
      embed ? `${EMBED_NAME} has the shape [${embed.shape.join(', ')}]` : `there is no ${EMBED_NAME}`,
      'make the folder again from the base with scion init',
    );
    return null;
  }
  const [rows, columns] = embed.shape;
  const head = weights.tensors.get(HEAD_NAME);
  if (head && (head.shape[0] !== rows || head.shape[1] !== columns))
    found.wrong(
      'sizes',
      `${HEAD_NAME} is [${head.shape.join(', ')}], ${EMBED_NAME} is [${rows}, ${columns}]`,
      'both need a row for every id: make the folder again with scion init, which grows both',
    );
  if (!head && !config.tied)
    found.wrong('tied', `${HEAD_NAME} is missing and tie_word_embeddings is false`, 'set tie_word_embeddings to true if the base ties them, else add the head');
  if (config.vocabSize !== rows)
    found.wrong(
      'sizes',
      `config.json says vocab_size ${config.vocabSize}, ${EMBED_NAME} has ${rows} rows`,
      `set vocab_size to ${rows} in config.json, or grow the matrix`,
    );
  if (config.hiddenSize !== columns)
    found.wrong('sizes', `config.json says hidden_size ${config.hiddenSize}, ${EMBED_NAME} has ${columns} columns`, `take config.json from the base`);
  if (tokenizer && tokenizer.vocabSize > rows)
    found.wrong(
      'sizes',
      `the tokenizer has ${tokenizer.vocabSize} pieces, the model ${rows} rows: ids ${rows} to ${tokenizer.vocabSize - 1} have none`,
      'grow the model to this tokenizer (scion init --base … --tokenizer …)',
    );
  if (tokenizer && tokenizer.vocabSize < rows)
    found.note('padding', `${rows - tokenizer.vocabSize} rows from ${tokenizer.vocabSize} on have no piece: padding`);
  return rows;
}

/** The marks that the configs name, against the tokenizer's and the rows. */
async function checkIds(files: HostFiles, dir: string, rows: number, tokenizer: Tokenizer, found: Findings): Promise<void> {
  for (const name of [CONFIG_NAME, GENERATION_NAME]) {
    const json = await found.attempt('config', `write ${name} again`, () => readJsonObject(files, joinPath(dir, name)));
    for (const [key, own] of [
      ['bos_token_id', tokenizer.bosId],
      ['eos_token_id', tokenizer.eosId],
      ['pad_token_id', tokenizer.padId],
    ] as const) {
      const said: unknown = json?.[key];
      // -1 is an old spelling of none.
      if (said === undefined || said === null || said === -1) continue;
      const ids = Array.isArray(said) ? (said as unknown[]) : [said];
      const bad = ids.find((id) => typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= rows);
      if (bad !== undefined)
        found.wrong('ids', `${name}: ${key} is ${JSON.stringify(said)}, the model has ${rows} rows`, `set it to ${own ?? 'an id below that'}`);
      else if (own !== null && !ids.includes(own)) {
        const message = `${name}: ${key} is ${JSON.stringify(said)}, the tokenizer's is ${own} (${JSON.stringify(tokenizer.pieceOf(own))})`;
        if (key === 'pad_token_id') found.note('ids', message, `set it to ${own}`);
        else found.wrong('ids', message, `set it to ${own}`);
      }
    }
  }
  for (const [name, id] of [
    ['begin', tokenizer.bosId],
    ['end', tokenizer.eosId],
    ['padding', tokenizer.padId],
    ['unknown', tokenizer.unkId],
  ] as const) {
    if (id !== null && id >= rows) found.wrong('ids', `the ${name} mark is id ${id}, the model has ${rows} rows`, 'grow the model to this tokenizer');
  }
  if (tokenizer.bosId !== null && tokenizer.bosId === tokenizer.eosId) found.note('ids', `begin and end mark are both id ${tokenizer.bosId}`);
}

async function firstNewOf(files: HostFiles, dir: string, found: Findings): Promise<number | null> {
  const note = await found.attempt('config', `remove ${NOTE_NAME}`, () => readJsonObject(files, joinPath(dir, NOTE_NAME)));
  const first: unknown = note?.firstNew;
  if (typeof first === 'number' && Number.isSafeInteger(first) && first > 0) return first;
  found.note('base', 'which rows are new is not known, so they are not held against the old ones', 'name the base with --base');
  return null;
}

/** Values, lengths and duplicates of one matrix. */
async function checkRows(weights: HfWeights, tensor: string, about: { firstNew: number | null; pieces: number }, found: Findings): Promise<void> {
  const { dtype } = weights.info(tensor);
  if (!isRowDtype(dtype)) return found.note('values', `${tensor} is stored as ${dtype}; its values were not looked at`);
  const { pieces } = about;
  const firstNew = about.firstNew !== null && about.firstNew < pieces ? about.firstNew : pieces;
  const scan = await scanMatrix(weights, tensor, dtype, firstNew, pieces);
  const again = 'make the new rows again (scion init --method mean-bare)';
  const some = (rows: readonly number[]): string => `${rows.slice(0, 5).join(', ')}${rows.length > 5 ? ' …' : ''}`;
  if (scan.notFinite.length > 0) found.wrong('values', `${tensor}: ${scan.notFinite.length} rows hold a NaN or an infinity: ${some(scan.notFinite)}`, again);
  if (scan.zeroNew.length > 0) found.wrong('values', `${tensor}: ${scan.zeroNew.length} new rows are all zero: ${some(scan.zeroNew)}`, again);
  if (scan.zeroOld.length > 0)
    found.note('values', `${tensor}: ${scan.zeroOld.length} ${firstNew < pieces ? 'old ' : ''}rows are all zero: ${some(scan.zeroOld)}`);
  const count = pieces - firstNew;
  if (count > 0 && scan.oldMedian > 0) {
    const ratio = scan.newMedian / scan.oldMedian;
    const message = `${tensor}: the median length of new rows is ${scan.newMedian.toPrecision(3)}, of old ones ${scan.oldMedian.toPrecision(3)}`;
    if (ratio > 10 * ODD_NORM || ratio * 10 * ODD_NORM < 1) found.wrong('norms', message, again);
    else if (ratio > ODD_NORM || ratio * ODD_NORM < 1) found.note('norms', message, 'mean+noise gives new rows the lengths of old ones');
  }
  if (scan.duplicates > 0) {
    const message = `${tensor}: ${scan.duplicates} of ${count} new rows repeat another row`;
    // Words made of the same parts in another order have equal means, and copies are copies; one row for most words was never made.
    if (scan.commonest > count / 2 && count > 1) found.wrong('duplicates', `${tensor}: ${scan.commonest} of ${count} new rows are one and the same`, again);
    else found.note('duplicates', message, 'training tells them apart; mean+noise does from the start');
  }
}

async function checkTied(config: LlamaConfig, weights: HfWeights, found: Findings): Promise<void> {
  const [embed, head] = [weights.tensors.get(EMBED_NAME), weights.tensors.get(HEAD_NAME)];
  if (!embed || !head || embed.bytes !== head.bytes || embed.dtype !== head.dtype) return;
  const differing = await compareRows(weights, EMBED_NAME, weights, HEAD_NAME, embed.shape[0]);
  if (config.tied && differing.count > 0)
    found.wrong(
      'tied',
      `tie_word_embeddings is true, but ${HEAD_NAME} is stored and differs from the embedding in ${differing.count} rows, the first ${differing.first}`,
      'set tie_word_embeddings to false if the head is meant, else remove it from the file',
    );
  if (!config.tied && differing.count === 0)
    found.note('tied', `${HEAD_NAME} equals the embedding in every row, yet tie_word_embeddings is false`, 'set it to true if they are meant to be one matrix');
}

/** The base a folder was grown from. */
interface Base {
  readonly firstNew: number;
  readonly weights: HfWeights | null;
}

async function openBase(files: HostFiles, options: VerifyOptions, tokenizer: Tokenizer | null, found: Findings): Promise<Base | null> {
  const from = options.baseTokenizer ?? options.base;
  if (from === undefined) return null;
  // Mistakes in what the user names are the user's to hear at once.
  const base = await loadTokenizer(files, from);
  if (tokenizer) await found.attempt('base', 'grow the tokenizer from the base’s own (scion vocab expand)', async () => sourcesOf(base, tokenizer));
  return { firstNew: base.vocabSize, weights: options.base === undefined ? null : await openHfWeights(files, options.base) };
}

/** Old rows bit for bit, and every other tensor by name, type and shape. */
async function compareBase(weights: HfWeights, base: HfWeights, firstNew: number, found: Findings): Promise<void> {
  const remedy = 'make the folder again from this base with scion init, unless it was trained since';
  for (const info of base.tensors.values()) {
    const now = weights.tensors.get(info.name);
    const matrix = info.name === EMBED_NAME || info.name === HEAD_NAME;
    if (!now) found.wrong('base', `${info.name} of the base is missing`, remedy);
    else if (now.dtype !== info.dtype || now.shape.slice(matrix ? 1 : 0).join() !== info.shape.slice(matrix ? 1 : 0).join())
      found.wrong('base', `${info.name} is ${now.dtype} [${now.shape.join(', ')}], in the base ${info.dtype} [${info.shape.join(', ')}]`, remedy);
    else if (matrix) {
      const rows = Math.min(firstNew, now.shape[0], info.shape[0]);
      const differing = await compareRows(weights, info.name, base, info.name, rows);
      if (differing.count > 0)
        found.wrong('base', `${info.name}: ${differing.count} of ${rows} old rows differ from the base, the first ${differing.first}`, remedy);
    }
  }
}
