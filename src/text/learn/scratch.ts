/**
 * Learns a SentencePiece BPE model from texts alone: the vocabulary of sample runs and of models from scratch.
 * One greedy list: the next piece is whichever saves most ids, be it a character (else spelt in UTF-8 bytes) or
 * a merge of two pieces. Counts are exact and ties go by text, so the same texts give the same model anywhere.
 *
 * Pieces never cross white space, a change of script, or a digit; a space mark `▁` may only begin a piece. Every
 * learnt piece is reachable: its own text encodes to it alone (`engine.ts` says why).
 */

import { ScionError } from '../../base/errors.ts';
import { MODEL, makeSentencePiece, PIECE, type SentencePiece, type SentencePieceModel } from '../../formats/sentencepiece.ts';
import { SPACE_MARK } from '../normalizer.ts';
import { pieceOfByte, utf8Length } from '../utf8.ts';
import { CharacterQueue, coveredCharacters } from './characters.ts';
import { BREAK, MergeEngine } from './engine.ts';
import { SymbolStore } from './symbols.ts';
import { cutWords } from './words.ts';

/** What to learn. */
export interface LearnOptions {
  /** Pieces in all: unk, bos, eos, 256 bytes, and what is learnt. Fewer come out when the texts hold no more. */
  readonly size: number;
  /** Longest piece in characters. Default 16. */
  readonly maxPieceLength?: number;
  /** A merge must save at least this many ids. Default 2. */
  readonly minCount?: number;
  /** Share of all characters (not of the distinct ones) that pieces may hold; the rarest stay bytes. Default 1. */
  readonly coverage?: number;
  /** Called now and then with the pieces learnt so far. */
  readonly onProgress?: (learnt: number, wanted: number) => void;
}

/** unk, bos, eos and the bytes. */
const FIXED = 3 + 256;

/**
 * Learns a model of `options.size` pieces. Marks have ids 0 (unk), 1 (bos), 2 (eos); bytes 3 to 258.
 * Throws `input` when the size does not even hold the marks, the bytes and the ASCII characters of the texts.
 */
export function learnBpe(texts: Iterable<string>, options: LearnOptions): SentencePieceModel {
  return learnFromWords(countTexts(texts), options);
}

/** Words of texts with how often they occur. A dummy prefix and visible spaces, as the model will have them. */
export function countTexts(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    if (text === '') continue;
    const marked = SPACE_MARK + text.toWellFormed().replaceAll(' ', SPACE_MARK);
    cutWords(marked, (start, end) => {
      const word = marked.slice(start, end);
      counts.set(word, (counts.get(word) ?? 0) + 1);
    });
  }
  return counts;
}

/** The same from words that were counted before; their order does not matter. */
export function learnFromWords(words: ReadonlyMap<string, number>, options: LearnOptions): SentencePieceModel {
  const { size, maxPieceLength = 16, minCount = 2, coverage = 1 } = options;
  const charCounts = countCharacters(words);
  const ascii = [SPACE_MARK, ...[...charCounts.keys()].filter((char) => char > ' ' && char < '\u007f').sort()];
  const least = FIXED + ascii.length;
  if (!Number.isInteger(size) || size < least) {
    throw new ScionError('input', `a vocabulary of ${size} pieces is too small: 3 marks, 256 bytes and ${ascii.length} characters need ${least}`, {
      size,
      least,
    });
  }
  const others = new Map([...charCounts].filter(([char]) => char >= '\u0080' && char !== SPACE_MARK));
  let known = 0;
  for (const [char, count] of charCounts) if (!others.has(char)) known += count;
  const covered = coveredCharacters(others, known, coverage);

  const engine = new MergeEngine(new SymbolStore(), { maxCharacters: maxPieceLength, least: minCount });
  // One up, so that 0, which fresh memory holds, stands for none.
  const symbolOf = new Int32Array(0x110000);
  for (const char of charCounts.keys()) {
    if (!others.has(char) || covered.has(char)) symbolOf[char.codePointAt(0) as number] = engine.symbols.add(char, 0, true, 1) + 1;
  }
  let symbols = new Int32Array(64);
  for (const [word, count] of words) {
    if (word.length > symbols.length) symbols = new Int32Array(word.length * 2);
    let length = 0;
    for (let i = 0; i < word.length; i++) {
      const point = word.codePointAt(i) as number;
      if (point > 0xffff) i++;
      symbols[length++] = symbolOf[point] === 0 ? BREAK : symbolOf[point] - 1;
    }
    if (length > 1) engine.addWord(symbols, length, count);
  }
  engine.start();

  const queue = new CharacterQueue([...covered].map(([text, count]) => ({ text, gain: count * (utf8Length(text.codePointAt(0) as number) - 1) })));
  const chars = [...ascii];
  const merges: string[] = [];
  const wanted = size - FIXED;
  while (chars.length + merges.length < wanted) {
    const best = engine.best();
    const char = queue.take(best < 0 ? 0 : engine.candidates.weight[best]);
    if (char !== null) chars.push(char);
    else if (best < 0) break;
    else merges.push(engine.symbols.text(engine.adopt(best)));
    const learnt = chars.length + merges.length;
    if (learnt % 256 === 0) options.onProgress?.(learnt, wanted);
  }
  return buildModel(merges, chars, maxPieceLength, coverage);
}

function countCharacters(words: ReadonlyMap<string, number>): Map<string, number> {
  const byPoint = new Float64Array(0x110000);
  const seen: number[] = [];
  for (const [word, count] of words) {
    for (let i = 0; i < word.length; i++) {
      const point = word.codePointAt(i) as number;
      if (point > 0xffff) i++;
      if (byPoint[point] === 0) seen.push(point);
      byPoint[point] += count;
    }
  }
  return new Map(seen.map((point) => [String.fromCodePoint(point), byPoint[point]]));
}

function buildModel(merges: readonly string[], chars: readonly string[], maxPieceLength: number, characterCoverage: number): SentencePieceModel {
  const pieces: SentencePiece[] = [
    { text: '<unk>', score: 0, type: PIECE.UNKNOWN },
    { text: '<s>', score: 0, type: PIECE.CONTROL },
    { text: '</s>', score: 0, type: PIECE.CONTROL },
  ];
  for (let byte = 0; byte < 256; byte++) pieces.push({ text: pieceOfByte(byte), score: 0, type: PIECE.BYTE });
  // Earlier merges come first when encoding; characters never compete, so they close the list.
  for (const text of [...merges, ...chars]) pieces.push({ text, score: FIXED - pieces.length, type: PIECE.NORMAL });
  return makeSentencePiece(
    pieces,
    { modelType: MODEL.BPE, byteFallback: true, splitDigits: true, maxPieceLength, characterCoverage },
    { name: 'identity', addDummyPrefix: true, removeExtraWhitespaces: false, escapeWhitespaces: true },
  );
}
