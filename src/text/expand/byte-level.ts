/**
 * Adding pieces to a byte-level BPE `tokenizer.json` (LLaMA 3, Qwen, GPT-2). There the *pair* is ranked, so new merges go
 * behind all old ones: merging first does all that the old file does, and a text in which no new pair stands keeps its ids. New ids
 * come after the greatest of all, added tokens included (LLaMA 3 has 256 of those at 128,000 and up).
 *
 * Pieces may be parts of characters. Such a piece is let in only if every character that begins so is of a new script;
 * the tail of a character says nothing of its script and is never let in.
 */
import { ScionError } from '../../base/errors.ts';
import { BpeModel } from '../bpe-model.ts';
import { byteLettersToBytes, textToByteLetters } from '../byte-level.ts';
import { type PreTokenize, readPreTokenizer } from '../json-pretokenizers.ts';
import { asArray, asObject, isObject, type JsonObject } from '../json-read.ts';
import { decodeBytes, utf8 } from '../utf8.ts';
import { hasNewScript, scriptOf } from './scripts.ts';
import { DropLog, type ExpandOptions, type ExpandReport, type NewPiece } from './types.ts';

/** Two pieces in byte letters (`ä¸`), in rank order: earlier merges first. */
export type NewMerge = readonly [left: string, right: string];

/** An expanded `tokenizer.json`, parsed, and what became of the list. */
export interface ExpandedJson {
  readonly json: JsonObject;
  readonly report: ExpandReport;
}

const MAX_SIZE = 4_000_000;

/** True if a parsed `tokenizer.json` is byte-level BPE. */
export function isByteLevel(json: JsonObject): boolean {
  const model = json.model;
  const parts = JSON.stringify([json.pre_tokenizer ?? null, json.normalizer ?? null]);
  return isObject(model) && (model.type === undefined || model.type === 'BPE') && parts.includes('"ByteLevel"');
}

/** The vocabulary while it grows. */
class Growing {
  readonly vocab: Map<string, number>;
  readonly merges: NewMerge[] = [];
  readonly #spec: JsonObject;
  readonly #old: readonly unknown[];

  constructor(spec: JsonObject) {
    this.#spec = spec;
    this.vocab = new Map(Object.entries(asObject(spec.vocab, 'model.vocab')) as [string, number][]);
    this.#old = asArray(spec.merges, 'model.merges');
  }

  /** Merging as it is now; without the short way of whole words, which would call every piece reached. */
  model(): BpeModel {
    return new BpeModel(this.spec(true));
  }

  /** The `model` of the file; merges in the form they had. */
  spec(bare: boolean): JsonObject {
    const joined = typeof this.#old[0] === 'string';
    const merges = [...this.#old, ...this.merges.map(([left, right]) => (joined ? `${left} ${right}` : [left, right]))];
    return { ...this.#spec, vocab: Object.fromEntries(this.vocab), merges, ...(bare ? { ignore_merges: false } : {}) };
  }
}

/**
 * Appends learnt merges. A merge whose halves are no pieces (any more), or that no text comes to, is left out, and with it
 * those that build on it. Throws `input` for a file that is not byte-level BPE and for a size that cannot be made.
 */
export function expandByteLevel(json: JsonObject, merges: readonly NewMerge[], options: ExpandOptions = {}): ExpandedJson {
  const { spec, preTokenize, nextId } = openByteLevel(json);
  const specials = options.specials ?? [];
  const room = roomFor(nextId, merges.length, specials.length, options);
  const log = new DropLog();
  const banned = new Set<number>();
  let growing = new Growing(spec);
  for (;;) {
    growing = new Growing(spec);
    const ranks: number[] = [];
    let id = nextId;
    for (const [rank, [left, right]] of merges.entries()) {
      if (banned.has(rank)) continue;
      const text = left + right;
      const reason =
        ranks.length === room
          ? 'cut'
          : growing.vocab.has(text)
            ? (growing.vocab.get(text) ?? 0) < nextId
              ? 'inBase'
              : 'repeated'
            : !growing.vocab.has(left) || !growing.vocab.has(right)
              ? 'unreachable'
              : options.anyScript !== true && !isNewScript(text)
                ? 'oldScript'
                : null;
      if (reason !== null) {
        if (reason !== 'cut') banned.add(rank);
        if (reason === 'repeated' || reason === 'inBase') refuseRepeats(options, rank, text, reason);
        if (reason !== 'cut') log.drop(reason, text);
        continue;
      }
      growing.vocab.set(text, id++);
      growing.merges.push([left, right]);
      ranks.push(rank);
    }
    const dead = deadMerges(growing, preTokenize, nextId);
    for (const at of dead) {
      banned.add(ranks[at]);
      log.drop('unreachable', merges[ranks[at]].join(''));
    }
    if (dead.length === 0) break;
  }
  const added = growing.merges.length;
  log.counts.cut = merges.length - added - Object.values(log.counts).reduce((sum, n) => sum + n, 0);
  if (options.size !== undefined && room !== null && added < room) {
    const most = nextId + specials.length + added;
    throw new ScionError(
      'input',
      `a vocabulary of ${options.size} rows needs ${room} new pieces, but the list of ${merges.length} gives ${added}; ask for at most ${most}, or give a longer list`,
      { size: options.size, most, found: added, listed: merges.length, ...log.counts },
    );
  }
  return finish(json, growing, nextId, merges.length, options, log);
}

/** `expandByteLevel` for a list of pieces as text (`▁` or a space for a space): their merges are derived, steps between included. */
export function expandByteLevelPieces(json: JsonObject, pieces: readonly NewPiece[], options: ExpandOptions = {}): ExpandedJson {
  const merges = mergesForPieces(json, pieces, options);
  const { json: out, report } = expandByteLevel(json, merges, options);
  const made = new Set(Object.keys(asObject(asObject(out.model, 'model').vocab, 'model.vocab')));
  const had = asObject(asObject(json.model, 'model').vocab, 'model.vocab');
  const results = new Set(merges.map((pair) => pair.join('')));
  const log = new DropLog();
  const seen = new Set<string>();
  let listed = 0;
  for (const { text } of pieces) {
    const letters = lettersOf(text);
    const reason =
      text === '' || !text.isWellFormed()
        ? 'malformed'
        : seen.has(letters)
          ? 'repeated'
          : Object.hasOwn(had, letters)
            ? 'inBase'
            : options.anyScript !== true && !isNewScript(letters)
              ? 'oldScript'
              : !made.has(letters)
                ? results.has(letters)
                  ? 'cut'
                  : 'unreachable'
                : null;
    seen.add(letters);
    if (reason !== null) log.drop(reason, text);
    else listed++;
  }
  return { json: out, report: { ...report, listed: pieces.length, intermediates: report.added - listed, dropped: log.counts, examples: log.examples } };
}

const lettersOf = (text: string): string => textToByteLetters(text.replaceAll('\u2581', ' ').toWellFormed());

/** The merges that make each piece of a list, steps between included: a piece at a time would be the same, only slower. */
export function mergesForPieces(json: JsonObject, pieces: readonly NewPiece[], options: ExpandOptions = {}): NewMerge[] {
  const { spec, nextId } = openByteLevel(json);
  const growing = new Growing(spec);
  const words = [...new Set(pieces.map(({ text }) => lettersOf(text)))].filter(
    (word) => word !== '' && !growing.vocab.has(word) && (options.anyScript === true || isNewScript(word)),
  );
  let open = words;
  let id = nextId;
  for (;;) {
    const model = growing.model();
    const names = new Map([...growing.vocab].map(([text, one]) => [one, text]));
    const fresh = new Set<string>();
    const still: string[] = [];
    for (const word of open) {
      const ids: number[] = [];
      model.encode(word, ids);
      if (ids.length < 2) continue;
      const parts = ids.map((one) => names.get(one) ?? '');
      const pairs = parts.slice(1).map((right, i): NewMerge => [parts[i], right]);
      still.push(word);
      if (pairs.some((pair) => fresh.has(pair.join(' ')))) continue;
      // Parts of characters are joined from their first byte on, so that every step says its script.
      const pair = pairs.find(([left, right]) => !growing.vocab.has(left + right) && (options.anyScript === true || isNewScript(left + right)));
      if (pair === undefined) {
        still.pop();
        continue;
      }
      fresh.add(pair.join(' '));
      growing.vocab.set(pair.join(''), id++);
      growing.merges.push(pair);
    }
    if (fresh.size === 0) return growing.merges;
    open = still;
  }
}

interface Opened {
  readonly spec: JsonObject;
  readonly preTokenize: PreTokenize;
  readonly nextId: number;
}

function openByteLevel(json: JsonObject): Opened {
  if (!isByteLevel(json)) throw new ScionError('input', 'tokenizer.json is not byte-level BPE; only that, or a tokenizer.model, can be expanded', {});
  const spec = asObject(json.model, 'model');
  let top = -1;
  for (const id of Object.values(asObject(spec.vocab, 'model.vocab'))) if (typeof id === 'number' && id > top) top = id;
  for (const token of Array.isArray(json.added_tokens) ? (json.added_tokens as readonly unknown[]) : []) {
    if (isObject(token) && typeof token.id === 'number' && token.id > top) top = token.id;
  }
  return { spec, preTokenize: readPreTokenizer(json.pre_tokenizer), nextId: top + 1 };
}

function roomFor(nextId: number, listed: number, specials: number, { size, padTo = 1 }: ExpandOptions): number | null {
  if (!Number.isInteger(padTo) || padTo < 1 || padTo > MAX_SIZE) {
    throw new ScionError('input', `padding to a multiple of ${padTo} rows; wanted a whole number from 1 to ${MAX_SIZE}`, { padTo });
  }
  const fixed = nextId + specials;
  if (fixed + (size === undefined ? listed : 0) > MAX_SIZE)
    throw new ScionError('input', `${fixed + listed} rows; a vocabulary may have ${MAX_SIZE}`, { fixed, listed });
  if (size === undefined) return null;
  if (!Number.isInteger(size) || size < fixed || size > MAX_SIZE) {
    throw new ScionError(
      'input',
      `a vocabulary of ${size} rows was asked for, but the base and the special tokens have ${fixed} already; choose a whole number from ${fixed} to ${MAX_SIZE}`,
      {
        size,
        least: fixed,
      },
    );
  }
  return size - fixed;
}

function refuseRepeats(options: ExpandOptions, rank: number, text: string, reason: 'inBase' | 'repeated'): void {
  if (options.duplicates !== 'error') return;
  const where = reason === 'inBase' ? 'is a piece of the base' : 'stands in the list before';
  throw new ScionError('input', `entry ${rank + 1} of the list, ${JSON.stringify(text)}, ${where}`, { entry: rank + 1, text });
}

/** Places in the list of merges whose result its own text does not become, or that a cut before merging splits. */
function deadMerges(growing: Growing, preTokenize: PreTokenize, nextId: number): number[] {
  const model = growing.model();
  const dead: number[] = [];
  growing.merges.forEach(([left, right], at) => {
    const letters = left + right;
    const ids: number[] = [];
    model.encode(letters, ids);
    const whole = textOf(letters);
    const split = whole !== null && preTokenize({ text: whole, first: true }).length !== 1;
    if (split || ids.length !== 1 || ids[0] !== nextId + at) dead.push(at);
  });
  return dead;
}

/** The text of a piece in byte letters; null if it is no whole characters. */
function textOf(letters: string): string | null {
  const bytes = byteLettersToBytes(letters);
  if (bytes === null) return null;
  const { text, used } = decodeBytes(Array.from(bytes), false);
  return used === bytes.length && !text.includes('\ufffd') ? text : null;
}

const startsNewScript = new Map<string, boolean>();

/** True if every text with this piece holds a character of a new script. */
export function isNewScript(letters: string): boolean {
  const bytes = byteLettersToBytes(letters);
  if (bytes === null) return false;
  let at = 0;
  // A tail of a character in front says nothing.
  while (at < bytes.length && (bytes[at] & 0xc0) === 0x80) at++;
  const list = Array.from(bytes).slice(at);
  const { text, used } = decodeBytes(list, false);
  return hasNewScript(text.replaceAll('\ufffd', '')) || headIsNew(list.slice(used));
}

/** True if every character that begins with these bytes is of a new script. */
function headIsNew(head: readonly number[]): boolean {
  if (head.length === 0) return false;
  const key = head.join();
  const known = startsNewScript.get(key);
  if (known !== undefined) return known;
  const length = head[0] >= 0xf0 ? 4 : head[0] >= 0xe0 ? 3 : 2;
  let low = head[0] & (0xff >> (length + 1));
  for (const byte of head.slice(1)) low = low * 64 + (byte & 0x3f);
  const left = length - head.length;
  let found = left <= 2;
  for (let point = low * 64 ** left; found && point < (low + 1) * 64 ** left; point++) {
    const char = point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? '' : String.fromCodePoint(point);
    // Numbers without a character, overlong ones among them, are in no text.
    if (char !== '' && utf8(char).length === length && /\P{Cn}/u.test(char) && !hasNewScript(char)) found = false;
  }
  startsNewScript.set(key, found);
  return found;
}

function finish(json: JsonObject, growing: Growing, nextId: number, listed: number, options: ExpandOptions, log: DropLog): ExpandedJson {
  const added = growing.merges.length;
  const tokens: unknown[] = Array.isArray(json.added_tokens) ? [...(json.added_tokens as readonly unknown[])] : [];
  const contents = new Set(tokens.map((token) => (isObject(token) ? token.content : undefined)));
  let id = nextId + added;
  const specials = (options.specials ?? []).map((text) => {
    if (contents.has(text) || growing.vocab.has(text) || text === '') {
      throw new ScionError('input', `the special token ${JSON.stringify(text)} is there already, is asked for twice, or is empty`, { text });
    }
    contents.add(text);
    tokens.push({ id, content: text, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
    return { id: id++, text, userDefined: false };
  });
  const padTo = options.padTo ?? 1;
  const wanted = Math.ceil(id / padTo) * padTo;
  const padding = wanted - id;
  // A reader gives an added token that is not in the vocabulary the next number behind it, whatever id the file says: with new
  // rows behind them, all added tokens must stand there by their ids.
  for (const token of tokens)
    if (isObject(token) && typeof token.content === 'string' && typeof token.id === 'number') growing.vocab.set(token.content, token.id);
  // Letters, digits and brackets are cut apart before merging, so not even `ignore_merges` makes this one word.
  for (; id < wanted; id++) {
    let text = `[PAD${id}]`;
    while (growing.vocab.has(text) || contents.has(text)) text = `[${text}]`;
    growing.vocab.set(text, id);
  }
  const scripts: Record<string, number> = {};
  for (const [left, right] of growing.merges) {
    const whole = textOf(left + right);
    const script = whole === null ? 'parts of characters' : scriptOf(whole);
    scripts[script] = (scripts[script] ?? 0) + 1;
  }
  const notes = options.anyScript === true ? ['pieces without a new script were let in: text in the old scripts may be cut differently than before'] : [];
  const report: ExpandReport = {
    baseSize: nextId,
    size: wanted,
    listed,
    added,
    intermediates: 0,
    specials,
    padding,
    dropped: log.counts,
    examples: log.examples,
    scores: null,
    scripts,
    notes,
  };
  return { json: { ...json, added_tokens: tokens, model: growing.spec(false) }, report };
}
