/**
 * Adding pieces to a SentencePiece BPE model so that old ids stay, old text keeps its segmentation and every new
 * piece is alive. New scores lie below every old one, so merging first does all that the old model does; a text
 * without a new script's characters then has nothing new to merge. docs/vocab.md has the proof.
 *
 * The price of scores below the base's: a text in the new script is first cut as the base cuts it, so a new piece
 * that crosses an old merge needs the steps around it, which are added or the piece is dropped.
 */
import { ScionError } from '../../base/errors.ts';
import { PIECE, type SentencePiece, type SentencePieceModel } from '../../formats/sentencepiece.ts';
import { type Closure, closeList, missingCharacters, ordinaryTexts, type ScoreLadder, scoreLadder, withPieces } from './close.ts';
import { changedBy } from './protect.ts';
import { isBpe, ownEncodings } from './reachable.ts';
import { hasNewScript, scriptOf } from './scripts.ts';
import { DropLog, type ExpandOptions, type ExpandReport, type NewPiece } from './types.ts';

/** SentencePiece models with longer pieces are refused when read. */
const MAX_PIECE_UNITS = 512;
/** More rows than any model has. */
const MAX_SIZE = 4_000_000;

/** An expanded model and what became of the list. */
export interface Expanded {
  readonly model: SentencePieceModel;
  readonly report: ExpandReport;
}

/**
 * Appends pieces to a BPE model. Ids: the base's, the list in its order, the steps between, special tokens, padding.
 * Throws `input` for a base that is not BPE, a size that cannot be made, repeated entries where they are an error.
 */
export function expandSentencePiece(base: SentencePieceModel, pieces: readonly NewPiece[], options: ExpandOptions = {}): Expanded {
  if (!isBpe(base)) {
    throw new ScionError(
      'input',
      `the base model is of type ${base.trainer.modelType} (2 is bpe); only BPE models can be expanded: in a unigram model new pieces change how old text is cut`,
      { modelType: base.trainer.modelType },
    );
  }
  const specials = checkSpecials(base, options);
  const baseSize = base.pieces.length;
  const room = roomFor(baseSize + specials.length, pieces.length, options);
  const log = new DropLog();
  const listed = pieces.map((piece) => piece.text);
  const candidates = filterList(base, listed, options, new Set(specials.map(({ text }) => text)), log);
  if (scoreLadder(base, MAX_SIZE) === null) {
    throw new ScionError('input', `the base has scores so low that none below them fits 32 bits; it cannot be expanded`, {});
  }
  const banned = new Set<string>();
  let choice = choose(base, candidates, room, options, banned, log);
  for (;;) {
    const hits = changedBy(base, withPieces(base, choice.texts, choice.ladder), options.protect ?? []);
    if (hits.size === 0) break;
    const inList = new Set(candidates);
    for (const text of hits) {
      banned.add(text);
      if (inList.has(text)) log.drop('protected', text);
    }
    choice = choose(base, candidates, room, options, banned, log);
  }
  if (options.size !== undefined && choice.texts.length < (room ?? 0))
    throw tooFew(baseSize, specials.length, choice.texts.length, listed.length, options.size, log);
  const kept = new Set(choice.texts);
  const left = candidates.filter((text) => !kept.has(text) && !banned.has(text));
  for (const text of left) log.drop('cut', text);

  const rows: SentencePiece[] = [...withPieces(base, choice.texts, choice.ladder).pieces];
  const placed = specials.map(({ text, userDefined }) => {
    rows.push({ text, score: 0, type: userDefined ? PIECE.USER_DEFINED : PIECE.CONTROL });
    return { id: rows.length - 1, text, userDefined };
  });
  const before = rows.length;
  const { first, step } = choice.ladder;
  const last = first - step * (choice.texts.length - 1);
  pad(rows, options.padTo ?? 1, last - step);
  const scripts: Record<string, number> = {};
  for (const text of choice.texts) scripts[scriptOf(text)] = (scripts[scriptOf(text)] ?? 0) + 1;
  const report: ExpandReport = {
    baseSize,
    size: rows.length,
    listed: listed.length,
    added: choice.texts.length,
    intermediates: choice.intermediates,
    specials: placed,
    padding: rows.length - before,
    dropped: log.counts,
    examples: log.examples,
    scores: choice.texts.length === 0 ? null : { first, last, step },
    scripts,
    notes: notesOf(options, placed.length),
  };
  return { model: { ...base, pieces: rows, trainer: { ...base.trainer, vocabSize: rows.length } }, report };
}

function notesOf(options: ExpandOptions, specials: number): string[] {
  const notes: string[] = [];
  if (options.anyScript === true) notes.push('pieces without a new script were let in: text in the old scripts may be cut differently than before');
  if (specials > 0 && (options.userDefined ?? []).length > 0) notes.push('text that holds a user-defined token is cut differently than before');
  return notes;
}

/** How many new pieces there is room for; null without a target size. */
function roomFor(fixed: number, listed: number, { size, padTo = 1 }: ExpandOptions): number | null {
  if (!Number.isInteger(padTo) || padTo < 1 || padTo > MAX_SIZE) {
    throw new ScionError('input', `padding to a multiple of ${padTo} rows; wanted a whole number from 1 to ${MAX_SIZE}`, { padTo });
  }
  if (size === undefined) {
    if (fixed + listed > MAX_SIZE)
      throw new ScionError('input', `${listed} pieces on top of ${fixed}; a vocabulary may have ${MAX_SIZE} rows`, { listed, fixed });
    return null;
  }
  if (!Number.isInteger(size) || size < fixed || size > MAX_SIZE) {
    throw new ScionError(
      'input',
      `a vocabulary of ${size} rows was asked for, but the base and the special tokens have ${fixed} already (rows are never taken away); choose a whole number from ${fixed} to ${MAX_SIZE}`,
      { size, least: fixed },
    );
  }
  return size - fixed;
}

function tooFew(base: number, specials: number, found: number, listed: number, size: number, log: DropLog): ScionError {
  const reasons = Object.entries(log.counts).filter(([, count]) => count > 0);
  const why = reasons.length === 0 ? '' : ` (left out: ${reasons.map(([reason, count]) => `${count} ${reason}`).join(', ')})`;
  const most = base + specials + found;
  return new ScionError(
    'input',
    `a vocabulary of ${size} rows needs ${size - base - specials} new pieces, but the list of ${listed} gives ${found}${why}; ask for at most ${most}, give a longer list, or pad`,
    { size, most, found, listed, ...log.counts },
  );
}

interface Special {
  readonly text: string;
  readonly userDefined: boolean;
}

function checkSpecials(base: SentencePieceModel, options: ExpandOptions): Special[] {
  const out: Special[] = [
    ...(options.specials ?? []).map((text) => ({ text, userDefined: false })),
    ...(options.userDefined ?? []).map((text) => ({ text, userDefined: true })),
  ];
  const ids = new Map(base.pieces.map((piece, id) => [piece.text, id]));
  const seen = new Set<string>();
  for (const { text } of out) {
    const id = ids.get(text);
    if (id !== undefined)
      throw new ScionError('input', `the special token ${JSON.stringify(text)} is piece ${id} of the base already; leave it out`, { text, id });
    if (seen.has(text)) throw new ScionError('input', `the special token ${JSON.stringify(text)} is asked for twice`, { text });
    if (text.length > MAX_PIECE_UNITS || !text.isWellFormed() || [...text].length < 2 || /\s/.test(text)) {
      throw new ScionError(
        'input',
        `${JSON.stringify(text.slice(0, 80))} cannot be a special token: it needs 2 to ${MAX_PIECE_UNITS} characters, none a space`,
        {
          text: text.slice(0, 80),
        },
      );
    }
    seen.add(text);
  }
  return out;
}

/** The entries that may be added, in order. */
function filterList(base: SentencePieceModel, listed: readonly string[], options: ExpandOptions, specials: ReadonlySet<string>, log: DropLog): string[] {
  const inBase = new Map(base.pieces.map((piece, id) => [piece.text, id]));
  const seen = new Map<string, number>();
  const escaped = base.normalizer.escapeWhitespaces;
  return listed.filter((text, i) => {
    // A form that normalised text never has: an empty piece, half a character, a space where spaces are written ▁.
    if (text === '' || text.length > MAX_PIECE_UNITS || !text.isWellFormed() || (escaped && text.includes(' '))) {
      log.drop('malformed', text);
      return false;
    }
    const id = inBase.get(text);
    const before = seen.get(text);
    if (id !== undefined || before !== undefined || specials.has(text)) {
      const what = id !== undefined ? `is piece ${id} of the base` : before !== undefined ? `repeats entry ${before + 1}` : 'is a special token';
      if (options.duplicates === 'error') throw new ScionError('input', `entry ${i + 1} of the list, ${JSON.stringify(text)}, ${what}`, { entry: i + 1, text });
      log.drop(id !== undefined ? 'inBase' : 'repeated', text);
      return false;
    }
    seen.set(text, i);
    if (options.anyScript !== true && !hasNewScript(text)) {
      log.drop('oldScript', text);
      return false;
    }
    return true;
  });
}

interface Choice {
  readonly texts: readonly string[];
  readonly intermediates: number;
  readonly ladder: ScoreLadder;
}

/** The first pieces of the list that fit and are all reached, with the steps they need. `banned` grows by what cannot be. */
function choose(
  base: SentencePieceModel,
  candidates: readonly string[],
  room: number | null,
  options: ExpandOptions,
  banned: Set<string>,
  log: DropLog,
): Choice {
  const open = (): string[] => candidates.filter((text) => !banned.has(text));
  const ban = (text: string): void => {
    banned.add(text);
    log.drop('unreachable', text);
  };
  const most = room ?? Number.POSITIVE_INFINITY;
  const ladder = scoreLadder(base, MAX_SIZE) ?? { first: 0, step: 1 };
  const finish = (texts: readonly string[], intermediates: number): Choice => ({ texts, intermediates, ladder: scoreLadder(base, texts.length) ?? ladder });
  if (options.intermediates === 'drop') {
    for (;;) {
      const texts = open().slice(0, most);
      const known = ordinaryTexts(base);
      for (const text of texts) known.add(text);
      const dead = new Set(texts.filter((text) => missingCharacters(text, known).length > 0));
      for (const id of ownEncodings(withPieces(base, texts, ladder), base.pieces.length).keys()) dead.add(texts[id - base.pieces.length]);
      if (dead.size === 0) return finish(texts, 0);
      for (const text of dead) ban(text);
    }
  }
  const rules = { anyScript: options.anyScript === true, banned };
  const close = (list: readonly string[]): Closure => {
    const closure = closeList(base, list, ladder, rules);
    for (const text of closure.hopeless) ban(text);
    return closure;
  };
  for (;;) {
    const list = open();
    // The longest head of the list that fits with its steps; the head's need grows with it.
    let fits = 0;
    let extra: readonly string[] = [];
    let over = Math.min(list.length, most) + 1;
    let guess = over - 1;
    let spoilt = false;
    while (over - fits > 1 && !spoilt) {
      const closure = close(list.slice(0, guess));
      spoilt = closure.hopeless.length > 0;
      const need = guess + closure.extra.length;
      if (need <= most) {
        fits = guess;
        extra = closure.extra;
        // Most pieces need no step of their own, so what is left is nearly the number of entries to go.
        guess = Math.min(over - 1, fits + Math.max(1, Math.floor(((most - need) * guess) / need)));
      } else {
        over = guess;
        guess = Math.max(fits + 1, Math.min(over - 1, Math.floor((guess * most) / need)));
      }
    }
    if (spoilt) continue;
    // Rows may be left that the next entry with its steps does not fit into: the one behind it may.
    if (fits < list.length && fits + extra.length < most) {
      banned.add(list[fits]);
      log.drop('cut', list[fits]);
      continue;
    }
    return finish([...list.slice(0, fits), ...extra], extra.length);
  }
}

/** Rows that no text becomes, up to a multiple of `padTo`: unused pieces that no two pieces join to. */
function pad(rows: SentencePiece[], padTo: number, score: number): void {
  const wanted = Math.ceil(rows.length / padTo) * padTo;
  const taken = new Set(rows.map((piece) => piece.text));
  const joins = (text: string): boolean =>
    Array.from({ length: text.length - 1 }, (_, i) => i + 1).some((cut) => taken.has(text.slice(0, cut)) && taken.has(text.slice(cut)));
  while (rows.length < wanted) {
    let text = `[PAD${rows.length}]`;
    while (taken.has(text) || joins(text)) text = `[${text}]`;
    rows.push({ text, score, type: PIECE.UNUSED });
    taken.add(text);
  }
}
