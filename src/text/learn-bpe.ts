/**
 * Learns a small SentencePiece BPE model from texts: the vocabulary of sample runs and of models from scratch.
 * One greedy list: the next piece is whichever saves most ids, be it a character (else spelt in UTF-8 bytes) or
 * a merge of two pieces. Counts are exact and ties go by text, so the same texts give the same model anywhere.
 *
 * Pieces never cross white space, a change between Han and other letters, or a digit; a space mark `▁` may only
 * begin a piece. Every learnt piece is reachable: its own text encodes to it alone, or it is dropped for another.
 */

import { ScionError } from '../base/errors.ts';
import { MODEL, makeSentencePiece, PIECE, type SentencePiece, type SentencePieceModel } from '../formats/sentencepiece.ts';
import { SPACE_MARK } from './normalizer.ts';
import { SentencePieceTokenizer } from './sentencepiece.ts';
import { PairTable } from './tables.ts';
import { pieceOfByte, utf8Length } from './utf8.ts';

/** What to learn. */
export interface LearnOptions {
  /** Pieces in all: unk, bos, eos, 256 bytes, and what is learnt. Fewer come out when the texts hold no more. */
  readonly size: number;
  /** Longest piece in characters. Default 16. */
  readonly maxPieceLength?: number;
  /** A merge must save at least this many ids. Default 2. */
  readonly minCount?: number;
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
  const { size, maxPieceLength = 16, minCount = 2 } = options;
  const learner = new Learner(countWords(texts), maxPieceLength, minCount);
  const ascii = learner.asciiCharacters();
  const least = FIXED + ascii.length;
  if (!Number.isInteger(size) || size < least) {
    throw new ScionError('input', `a vocabulary of ${size} pieces is too small: 3 marks, 256 bytes and ${ascii.length} characters need ${least}`, {
      size,
      least,
    });
  }
  const chars = [...ascii];
  const merges: string[] = [];
  const wanted = size - FIXED;
  const dropped = new Set<string>();
  for (;;) {
    while (chars.length + merges.length < wanted) {
      const next = learner.next();
      if (next === null) break;
      if (!dropped.has(next.text)) (next.isChar ? chars : merges).push(next.text);
      const learnt = chars.length + merges.length;
      if (learnt % 256 === 0) options.onProgress?.(learnt, wanted);
    }
    const model = buildModel(merges, chars, maxPieceLength);
    const unreachable = findUnreachable(model);
    if (unreachable.size === 0) return model;
    for (const text of unreachable) dropped.add(text);
    merges.splice(0, merges.length, ...merges.filter((text) => !unreachable.has(text)));
  }
}

function buildModel(merges: readonly string[], chars: readonly string[], maxPieceLength: number): SentencePieceModel {
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
    { modelType: MODEL.BPE, byteFallback: true, splitDigits: true, maxPieceLength, characterCoverage: 1 },
    { name: 'identity', addDummyPrefix: true, removeExtraWhitespaces: false, escapeWhitespaces: true },
  );
}

/** Pieces whose own text does not encode to them. */
function findUnreachable(model: SentencePieceModel): Set<string> {
  const tokenizer = new SentencePieceTokenizer(model, { source: { name: 'tokenizer.model', bytes: new Uint8Array(0) } });
  const found = new Set<string>();
  model.pieces.forEach(({ text, type }, id) => {
    if (type !== PIECE.NORMAL) return;
    const ids = tokenizer.encodeNormalized(text);
    if (ids.length !== 1 || ids[0] !== id) found.add(text);
  });
  return found;
}

/** A word: an optional space mark with letters of one kind or with signs; Han alone; any other character by itself. */
const WORD = new RegExp(`\\p{Script=Han}+|${SPACE_MARK}?(?:(?!\\p{Script=Han})[\\p{L}\\p{M}])+|${SPACE_MARK}?(?:(?!${SPACE_MARK})[\\p{P}\\p{S}])+|[^]`, 'gu');

/** Words with how often they occur, in order of first occurrence. */
function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    if (text === '') continue;
    const marked = SPACE_MARK + text.toWellFormed().replaceAll(' ', SPACE_MARK);
    for (const [word] of marked.matchAll(WORD)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

/** A string that some adjacent pair of symbols makes, in whatever way it is cut. */
interface Candidate {
  readonly text: string;
  /** How often such a pair stands in the texts now. */
  count: number;
  /** Words that held one when it was noted; may repeat, and may hold none any more. */
  words: number[];
  /** The symbol it became, or -1. */
  symbol: number;
}

/** The texts as symbols, merged step by step as an encoder with the pieces so far would merge them. */
class Learner {
  readonly #symbolTexts: string[] = [];
  readonly #symbolOf = new Map<string, number>();
  readonly #words: number[][] = [];
  readonly #wordCounts: number[] = [];
  readonly #candidates: Candidate[] = [];
  readonly #candidateOf = new Map<string, number>();
  readonly #pairs = new PairTable(1 << 12);
  readonly #maxLength: number;
  readonly #minCount: number;
  readonly #charCounts = new Map<string, number>();
  /** Characters that cost more than one byte, best saving last. */
  readonly #chars: { text: string; gain: number }[];
  readonly #queue = new BestQueue();

  constructor(words: ReadonlyMap<string, number>, maxLength: number, minCount: number) {
    this.#maxLength = maxLength;
    this.#minCount = minCount;
    for (const [word, count] of words) {
      const symbols: number[] = [];
      for (const char of word) {
        this.#charCounts.set(char, (this.#charCounts.get(char) ?? 0) + count);
        symbols.push(this.#symbol(char));
      }
      if (symbols.length < 2) continue;
      this.#words.push(symbols);
      this.#wordCounts.push(count);
    }
    for (let word = 0; word < this.#words.length; word++) this.#note(word, 1);
    for (const [index, { count, text }] of this.#candidates.entries()) this.#queue.push(count, text, index);
    this.#chars = [...this.#charCounts]
      .filter(([char]) => char >= '\u0080' && char !== SPACE_MARK)
      .map(([text, count]) => ({ text, gain: count * (utf8Length(text.codePointAt(0) as number) - 1) }))
      .sort((a, b) => a.gain - b.gain || (a.text < b.text ? 1 : -1));
  }

  /** The space mark and the printable ASCII characters of the texts: merges start from them. */
  asciiCharacters(): string[] {
    const ascii = [...this.#charCounts.keys()].filter((char) => char > ' ' && char < '\u007f').sort();
    return [SPACE_MARK, ...ascii];
  }

  /** The next best piece, already merged into the texts; null when nothing is worth a piece. */
  next(): { text: string; isChar: boolean } | null {
    const merge = this.#bestMerge();
    const char = this.#chars.at(-1);
    // A merge saves at most as often as its rarest character, so a character comes before its merges.
    if (char !== undefined && (merge === null || char.gain >= merge.count)) {
      this.#chars.pop();
      return { text: char.text, isChar: true };
    }
    if (merge === null) return null;
    this.#apply(merge);
    return { text: merge.text, isChar: false };
  }

  #bestMerge(): Candidate | null {
    for (;;) {
      const top = this.#queue.peek();
      if (top === null || top.count < this.#minCount) return null;
      const candidate = this.#candidates[top.index];
      if (candidate.symbol < 0 && candidate.count === top.count) return candidate;
      // The entry is from before its count changed.
      this.#queue.pop();
      if (candidate.symbol < 0 && candidate.count >= this.#minCount) this.#queue.push(candidate.count, candidate.text, top.index);
    }
  }

  #apply(candidate: Candidate): void {
    candidate.symbol = this.#symbol(candidate.text);
    const words = [...new Set(candidate.words)];
    candidate.words = [];
    const touched = new Set<number>();
    for (const word of words) {
      this.#note(word, -1);
      this.#mergeWord(word);
      this.#note(word, 1, touched);
    }
    for (const index of touched) {
      const { count, text, symbol } = this.#candidates[index];
      if (symbol < 0 && count >= this.#minCount) this.#queue.push(count, text, index);
    }
  }

  /** Merges every learnt pair of a word, earliest learnt first, leftmost first. */
  #mergeWord(word: number): void {
    const symbols = this.#words[word];
    for (;;) {
      let best = -1;
      let at = -1;
      for (let i = 0; i + 1 < symbols.length; i++) {
        const index = this.#pairs.get(symbols[i], symbols[i + 1]);
        const symbol = index <= 0 ? -1 : this.#candidates[index - 1].symbol;
        if (symbol >= 0 && (best < 0 || symbol < best)) {
          best = symbol;
          at = i;
        }
      }
      if (at < 0) return;
      symbols.splice(at, 2, best);
    }
  }

  /** Adds (`sign` 1) or takes away (-1) the pairs of a word. */
  #note(word: number, sign: 1 | -1, touched?: Set<number>): void {
    const symbols = this.#words[word];
    const count = this.#wordCounts[word] * sign;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const index = this.#candidate(symbols[i], symbols[i + 1]);
      if (index < 0) continue;
      const candidate = this.#candidates[index];
      candidate.count += count;
      if (sign < 0) continue;
      if (candidate.words.at(-1) !== word) candidate.words.push(word);
      touched?.add(index);
    }
  }

  /** The candidate of a pair, or -1 where the piece would be too long. */
  #candidate(left: number, right: number): number {
    // Stored one up: 0 stands for a pair that is too long.
    const known = this.#pairs.get(left, right);
    if (known >= 0) return known - 1;
    const text = this.#symbolTexts[left] + this.#symbolTexts[right];
    let index = -1;
    if ([...text].length <= this.#maxLength) {
      index = this.#candidateOf.get(text) ?? -1;
      if (index < 0) {
        index = this.#candidates.push({ text, count: 0, words: [], symbol: -1 }) - 1;
        this.#candidateOf.set(text, index);
      }
    }
    this.#pairs.set(left, right, index + 1);
    return index;
  }

  #symbol(text: string): number {
    const known = this.#symbolOf.get(text);
    if (known !== undefined) return known;
    const symbol = this.#symbolTexts.push(text) - 1;
    this.#symbolOf.set(text, symbol);
    return symbol;
  }
}

interface QueueEntry {
  readonly count: number;
  readonly text: string;
  readonly index: number;
}

/** Greatest count first, then least text. */
class BestQueue {
  readonly #heap: QueueEntry[] = [];

  peek(): QueueEntry | null {
    return this.#heap[0] ?? null;
  }

  push(count: number, text: string, index: number): void {
    const heap = this.#heap;
    const entry = { count, text, index };
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(entry, heap[parent])) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = entry;
  }

  pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
      if (!before(heap[child], last)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
  }
}

function before(a: QueueEntry, b: QueueEntry): boolean {
  return a.count > b.count || (a.count === b.count && a.text < b.text);
}
