/**
 * Learns pieces on top of a base tokenizer. Words start as the base cuts them and go on with the merges learnt so far, as
 * the expanded tokenizer will; each step takes the piece that saves most ids then, a character (its bytes less one) or a
 * merge (one each). The price of leaving old merges first: a target word that the base cuts across stays cut.
 *
 * Only pieces with a character of a target script are learnt, so text without such characters keeps its ids.
 */

import { ScionError } from '../../base/errors.ts';
import { utf8Length } from '../utf8.ts';
import type { BaseWords } from './base-words.ts';
import { BANNED } from './candidates.ts';
import { CharacterQueue, coveredCharacters } from './characters.ts';
import { WEIGHT_UNIT } from './counts.ts';
import { BREAK, MergeEngine } from './engine.ts';
import type { ScriptFilter } from './scripts.ts';

/** What to learn. */
export interface ExtendOptions {
  /** Most pieces. */
  readonly count: number;
  /** A new piece must hold a character of these. */
  readonly targets: ScriptFilter;
  /** Longest piece in characters. Default 16. */
  readonly maxPieceLength?: number;
  /** A piece must occur this often (in weight: occurrences balanced over the categories). Default 2. */
  readonly minCount?: number;
  /** Share of the characters (of occurrences, in words of target scripts) that may be pieces; the rarest stay bytes. Default 1. */
  readonly coverage?: number;
  /** Texts that shall be no pieces, see `Protection`. */
  readonly banned?: ReadonlySet<string>;
  /** Called now and then with the pieces learnt so far. */
  readonly onProgress?: (learnt: number) => void;
}

/** A piece with what it was worth when it was taken. */
export interface LearntPiece {
  readonly text: string;
  /** Occurrences, in weight, when it was learnt; later pieces may have taken some of them. */
  readonly count: number;
  /** The two pieces it is merged from, where merges are between pairs. */
  readonly parts?: readonly [left: string, right: string];
}

/** What was learnt. */
export interface Learnt {
  /** In rank order: an earlier piece merges earlier. */
  readonly pieces: readonly LearntPiece[];
  /** True if there is nothing more to learn under these options. */
  readonly exhausted: boolean;
  /** Distinct characters that the base has no piece for, and those of them left to bytes by coverage, count or ban. */
  readonly missingCharacters: number;
  readonly leftCharacters: number;
}

/** Learns at most `options.count` pieces; `words` have weights in `WEIGHT_UNIT`. Throws `input` for options that make no sense. */
export function learnOnBase(words: BaseWords, options: ExtendOptions): Learnt {
  const { count, targets, maxPieceLength = 16, minCount = 2, coverage = 1, banned = new Set<string>() } = options;
  checkOptions(count, maxPieceLength, minCount, coverage);
  const { base, store } = words;
  const least = minCount * WEIGHT_UNIT;
  const { byPair } = base;
  const taken = new Set<string>();
  const mayBe = (text: string): boolean => !taken.has(text) && !banned.has(text) && !base.reserved.has(text) && (base.accepts?.(text, targets) ?? true);
  const engine = new MergeEngine(store, { maxCharacters: maxPieceLength, least, byPair, ...(byPair ? { accept: mayBe } : {}) });
  for (const { text } of base.pieces()) if (base.mayHold(text, targets) && !words.spoilt.has(text)) engine.addPiece(words.symbol(text));
  // By text a ban is an entry like a piece; by pair every new pair is asked about.
  for (const text of byPair ? [] : [...base.reserved, ...words.spoilt, ...banned]) if (base.mayHold(text, targets)) engine.ban(words.symbol(text));
  for (let symbol = 0; symbol < store.count; symbol++) store.target[symbol] = base.mayHold(store.text(symbol), targets) ? 1 : 0;

  const { missing, known } = countMissing(words);
  const mayLearn = ([char, weight]: readonly [string, number]): boolean =>
    weight >= least && targets.hasAny(char) && !banned.has(char) && !base.reserved.has(char);
  const chosen = new Map([...coveredCharacters(missing, known, coverage)].filter(mayLearn));
  const leftOut = Uint8Array.from({ length: store.count }, (_, symbol) => (words.missing[symbol] === 1 && !chosen.has(store.text(symbol)) ? 1 : 0));
  let sequence = new Int32Array(64);
  words.eachTarget((from, to, weight) => {
    const length = to - from;
    if (length > sequence.length) sequence = new Int32Array(length * 2);
    for (let i = 0; i < length; i++) {
      const symbol = words.symbols[from + i];
      sequence[i] = symbol === BREAK || leftOut[symbol] === 1 ? BREAK : symbol;
    }
    if (length > 1) engine.addWord(sequence, length, weight);
  });
  engine.start();

  const saves = (char: string): number => (base.byteFallback ? utf8Length(char.codePointAt(0) as number) - 1 : 1);
  const queue = new CharacterQueue([...chosen].map(([text, weight]) => ({ text, gain: weight * saves(text) })));
  const pieces: LearntPiece[] = [];
  while (pieces.length < count) {
    const best = engine.best();
    const weight = best < 0 ? 0 : engine.candidates.weight[best];
    const char = queue.take(weight);
    if (char !== null) pieces.push({ text: char, count: (chosen.get(char) ?? 0) / WEIGHT_UNIT });
    else if (best < 0) break;
    else if (byPair) {
      const { left, right, state } = engine.candidates;
      const parts = [store.text(left[best]), store.text(right[best])] as const;
      const text = parts.join('');
      if (taken.has(text)) {
        // Another pair made this text; a vocabulary holds it once.
        state[best] = BANNED;
        continue;
      }
      taken.add(text);
      engine.adopt(best);
      pieces.push({ text, count: weight / WEIGHT_UNIT, parts });
    } else pieces.push({ text: store.text(engine.adopt(best)), count: weight / WEIGHT_UNIT });
    if (pieces.length % 1024 === 0) options.onProgress?.(pieces.length);
  }
  return { pieces, exhausted: pieces.length < count, missingCharacters: missing.size, leftCharacters: missing.size - chosen.size };
}

/** Weight of each character without a piece in words that hold a target, and of all other characters there. */
function countMissing(words: BaseWords): { missing: Map<string, number>; known: number } {
  const { store } = words;
  const weights = new Float64Array(store.count);
  let known = 0;
  words.eachTarget((from, to, weight) => {
    for (let i = from; i < to; i++) {
      const symbol = words.symbols[i];
      if (symbol === BREAK) continue;
      if (words.missing[symbol] === 1) weights[symbol] += weight;
      else known += weight * store.characters[symbol];
    }
  });
  const missing = new Map<string, number>();
  weights.forEach((weight, symbol) => {
    if (weight > 0) missing.set(store.text(symbol), weight);
  });
  return { missing, known };
}

function checkOptions(count: number, maxPieceLength: number, minCount: number, coverage: number): void {
  if (!Number.isInteger(count) || count < 0)
    throw new ScionError('input', `${count} pieces were asked for; the number must be whole and not negative`, { count });
  if (!Number.isInteger(maxPieceLength) || maxPieceLength < 1 || maxPieceLength > 128) {
    throw new ScionError('input', `the longest piece has ${maxPieceLength} characters; choose a whole number from 1 to 128`, { maxPieceLength });
  }
  if (!(minCount >= 1)) throw new ScionError('input', `a piece must occur ${minCount} times; the number must be at least 1`, { minCount });
  if (!(coverage > 0 && coverage <= 1)) throw new ScionError('input', `character coverage is ${coverage}; it must be above 0 and at most 1`, { coverage });
}
