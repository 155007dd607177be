/**
 * One walk over a text that gathers what nearly all rules ask for: characters by class, words and their hashes, lines,
 * paragraphs, sentences. Words are near to what an English tokenizer of the rule-based kind gives (marks stand alone,
 * `don't` is two, an address is one); of scripts without spaces every character is a word. The arrays are kept between
 * texts, so a scan allocates nothing once it has seen a long one; what it found holds until the next `scan`.
 */
import { CLASS, CLASS_BITS, classTable, entryOf, ROLE } from './classes.ts';

// Plain names for the loop: a property of an object is a load there.
const BITS = CLASS_BITS;
const ROLES = 255 - CLASS_BITS;
const { WORD, SINGLE, MARK, HIGH, SPACE, NEWLINE } = ROLE;
const { DIGIT, PUNCTUATION, LATIN, SPACE: CLASS_SPACE, NEWLINE: CLASS_NEWLINE } = CLASS;

/** Words and lines beyond this many are counted, but not looked at for repetition: it bounds memory (12 bytes each). */
export const MAX_TOKENS = 1 << 21;

/** Words of at least so many characters are rare in prose; their share tells encoded data. Addresses do not count. */
const LONG_WORD = 40;

/** Short forms whose full stop ends no sentence. */
const ABBREVIATIONS =
  'Mr Mrs Ms Dr Prof St Jr Sr vs etc Inc Ltd Co Corp Gen Rep Sen Gov Rev Hon Lt Col Sgt Capt Mt Ft Ave No Vol Fig al cf Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec';

const SEED_A = 0x2f0b4c47;
const SEED_B = 0x51ed270b;
const PRIME_A = 0x01000193;
const PRIME_B = 0x5bd1e995;

/** The hashes of a run of characters, as the walk makes them. */
function hashOf(text: string, from: number, to: number): [number, number] {
  let a = SEED_A;
  let b = SEED_B;
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, PRIME_A);
    b = Math.imul(b + code, PRIME_B);
    b ^= b >>> 15;
  }
  return [a ^ (a >>> 16), b];
}

const abbreviations = new Set(ABBREVIATIONS.split(' ').flatMap((word) => [hashOf(word, 0, word.length)[0], hashOf(word.toLowerCase(), 0, word.length)[0]]));

const isLower = (code: number): boolean => (code >= 97 && code <= 122) || (code >= 0xdf && code <= 0xff);
const isUpper = (code: number): boolean => (code >= 65 && code <= 90) || (code >= 0xc0 && code <= 0xde);
const isDigit = (code: number): boolean => code >= 48 && code <= 57;

/** Marks that may close a sentence behind its stop: quotes and brackets. */
const CLOSERS = new Set([...`"')]}*_»”’）】」』》`].map((mark) => mark.charCodeAt(0)));
const LINE_STOPS = new Set([...`.!?"'。！？…”’」』）)；;：:`].map((mark) => mark.charCodeAt(0)));
const BULLETS = new Set([...`•-*‣◦●▪■·○–`].map((mark) => mark.charCodeAt(0)));

/** Looks words up by both hashes. */
export class WordSet {
  readonly #filter = new Uint8Array(1024);
  readonly #words = new Map<number, { b: number; index: number }[]>();
  readonly size: number;

  constructor(words: readonly string[]) {
    let size = 0;
    for (const word of new Set(words)) {
      if (word === '') continue;
      const [a, b] = hashOf(word, 0, word.length);
      this.#filter[a & 1023] = 1;
      this.#words.set(a, [...(this.#words.get(a) ?? []), { b, index: size++ }]);
    }
    this.size = size;
  }

  /** The number of the word, or -1. */
  find(a: number, b: number): number {
    if (this.#filter[a & 1023] === 0) return -1;
    for (const entry of this.#words.get(a) ?? []) if (entry.b === b) return entry.index;
    return -1;
  }
}

/** Lines or paragraphs: where they stand and a hash of each, up to `MAX_TOKENS`. Grows, never shrinks. */
export class Spans {
  starts = new Int32Array(256);
  ends = new Int32Array(256);
  hashes = new Int32Array(256);
  /** Kept here. */
  count = 0;
  /** Seen in all. */
  total = 0;

  clear(): void {
    this.count = 0;
    this.total = 0;
  }

  add(start: number, end: number, hash: number): void {
    this.total++;
    if (this.count === MAX_TOKENS) return;
    if (this.count === this.starts.length) {
      for (const name of ['starts', 'ends', 'hashes'] as const) {
        const grown = new Int32Array(this.count * 2);
        grown.set(this[name]);
        this[name] = grown;
      }
    }
    this.starts[this.count] = start;
    this.ends[this.count] = end;
    this.hashes[this.count++] = hash;
  }
}

/** What was found in a text. Counts are of characters (code points) unless they say otherwise. */
export class Scan {
  text = '';
  characters = 0;
  /** Characters by `CLASS`. */
  readonly classes = new Int32Array(32);
  /** Words and marks, both hashes of each; `ends[i + 1] - ends[i]` is the length of word i. Up to `MAX_TOKENS`. */
  hashA = new Int32Array(0);
  hashB = new Int32Array(0);
  ends = new Int32Array(1);
  tokens = 0;
  /** Tokens in the arrays. */
  kept = 0;
  /** Tokens that are not only marks, and their characters. */
  words = 0;
  wordCharacters = 0;
  /** Words of scripts without spaces. */
  singles = 0;
  /** Words with a letter. */
  letterWords = 0;
  longWordCharacters = 0;
  hashes = 0;
  ellipses = 0;
  curly = 0;
  sentences = 0;
  bulletLines = 0;
  ellipsisLines = 0;
  stoppedLines = 0;
  /** Different stop words seen. */
  stopWords = 0;
  readonly lines = new Spans();
  readonly paragraphs = new Spans();
  #seen = new Uint8Array(0);

  /** Most words are of scripts without spaces: counted by character, with other thresholds. */
  get unspaced(): boolean {
    return this.singles > 0.4 * this.words;
  }

  scan(text: string, stops: WordSet): void {
    const n = text.length;
    const table = classTable();
    const classes = this.classes.fill(0);
    this.text = text;
    this.#reserve(Math.min(n, MAX_TOKENS), stops.size);
    const { hashA, hashB, ends } = this;
    const seen = this.#seen;
    const lines = this.lines;
    const paragraphs = this.paragraphs;
    lines.clear();
    paragraphs.clear();
    let tokens = 0;
    let kept = 0;
    let end = 0;
    let words = 0;
    let wordCharacters = 0;
    let singles = 0;
    let letterWords = 0;
    let longWordCharacters = 0;
    let pairs = 0;
    let hashes = 0;
    let ellipses = 0;
    let curly = 0;
    let sentences = 0;
    let stopWords = 0;
    let bulletLines = 0;
    let ellipsisLines = 0;
    let stoppedLines = 0;
    /** A sentence has begun. */
    let open = false;
    let lineStart = 0;
    let lineHash = 0;
    let paragraphStart = -1;
    let paragraphEnd = 0;
    let paragraphHash = 0;
    let i = 0;
    while (i <= n) {
      const code = i < n ? text.charCodeAt(i) : 10;
      let entry = table[code];
      let units = 1;
      if ((entry & ROLES) === HIGH) {
        const low = i + 1 < n ? text.charCodeAt(i + 1) : 0;
        if (low >= 0xdc00 && low <= 0xdfff) {
          entry = entryOf((code - 0xd800) * 0x400 + low - 0xdc00 + 0x10000);
          units = 2;
        } else entry = MARK;
      }
      const role = entry & ROLES;
      if (role === SPACE) {
        classes[CLASS_SPACE]++;
        i++;
        continue;
      }
      if (role === NEWLINE) {
        if (i < n) classes[CLASS_NEWLINE]++;
        let from = lineStart;
        let to = i;
        while (from < to && (table[text.charCodeAt(from)] & ROLES) === SPACE) from++;
        while (to > from && (table[text.charCodeAt(to - 1)] & ROLES) === SPACE) to--;
        if (from < to) {
          lines.add(lineStart, i, lineHash);
          const last = text.charCodeAt(to - 1);
          if (BULLETS.has(text.charCodeAt(from))) bulletLines++;
          if (last === 0x2026 || (last === 46 && to - from >= 3 && text.charCodeAt(to - 2) === 46 && text.charCodeAt(to - 3) === 46)) ellipsisLines++;
          if (LINE_STOPS.has(last)) stoppedLines++;
        }
        if (open) sentences++;
        open = false;
        // A paragraph ends where a line is wholly empty, or with the text.
        if (i > lineStart && from < to) {
          if (paragraphStart < 0) paragraphStart = lineStart;
          paragraphHash = Math.imul(paragraphHash ^ lineHash, PRIME_B) + (i - lineStart);
          paragraphEnd = i;
        } else if (i > lineStart && paragraphStart >= 0) paragraphHash = Math.imul(paragraphHash, PRIME_B) + (i - lineStart);
        if (paragraphStart >= 0 && (i === lineStart || i === n)) {
          paragraphs.add(paragraphStart, paragraphEnd, paragraphHash);
          paragraphStart = -1;
          paragraphHash = 0;
        }
        i++;
        lineStart = i;
        lineHash = 0;
        continue;
      }
      // A token begins here.
      const start = i;
      let a = SEED_A;
      let b = SEED_B;
      let length = 0;
      if (role === WORD) {
        let letters = 0;
        let apostrophe = -1;
        let dot = -2;
        let last = 0;
        let at = code;
        let address = false;
        for (;;) {
          const kind = entry & BITS;
          classes[kind]++;
          letters |= kind & 16;
          last = kind;
          a = Math.imul(a ^ at, PRIME_A);
          b = Math.imul(b + at, PRIME_B);
          b ^= b >>> 15;
          if (units === 2) {
            const low = text.charCodeAt(i + 1);
            a = Math.imul(a ^ low, PRIME_A);
            b = Math.imul(b + low, PRIME_B);
            b ^= b >>> 15;
            pairs++;
          }
          length++;
          i += units;
          if (i >= n) break;
          at = text.charCodeAt(i);
          entry = table[at];
          units = 1;
          const next = entry & ROLES;
          if (next === WORD) continue;
          if (next === HIGH && i + 1 < n) {
            const low = text.charCodeAt(i + 1);
            if (low < 0xdc00 || low > 0xdfff) break;
            entry = entryOf((at - 0xd800) * 0x400 + low - 0xdc00 + 0x10000);
            if ((entry & ROLES) !== WORD) break;
            units = 2;
            continue;
          }
          if (next !== MARK || i + 1 >= n) break;
          const after = text.charCodeAt(i + 1);
          if ((table[after] & ROLES) !== WORD) break;
          // A mark inside a word: does it hold the parts together?
          const afterLetter = (table[after] & BITS) >= LATIN;
          const letter = last >= LATIN;
          const digits = last === DIGIT && isDigit(after);
          let holds = false;
          if (at === 39 || at === 0x2019) holds = letter && afterLetter;
          else if (at === 46) holds = !(isLower(text.charCodeAt(i - 1)) && isUpper(after));
          else if (at === 44) holds = !(letter && afterLetter);
          else if (at === 45) holds = !(letter && afterLetter) && !digits;
          else if (at === 58 || at === 47 || at === 61) holds = !afterLetter;
          else if (at === 43 || at === 42) holds = !digits;
          else if (at === 64 || at === 38 || at === 35) holds = true;
          if (!holds) break;
          if (at === 39 || at === 0x2019) apostrophe = i;
          else if (at === 46) dot = i;
          else if (at === 35) hashes++;
        }
        if (i + 2 < n && text.charCodeAt(i) === 58 && text.charCodeAt(i + 1) === 47 && text.charCodeAt(i + 2) === 47) {
          // An address is one word, up to the next space, without the marks at its end.
          let to = i + 3;
          while (to < n) {
            const found = table[text.charCodeAt(to)];
            const what = found & ROLES;
            if (what === SPACE || what === NEWLINE || what === SINGLE) break;
            const unit = text.charCodeAt(to);
            if (unit === 34 || unit === 60 || unit === 62) break;
            to++;
          }
          while (to > i + 3 && (table[text.charCodeAt(to - 1)] & ROLES) === MARK && text.charCodeAt(to - 1) !== 47) to--;
          for (let at = i; at < to; at++) {
            const unit = text.charCodeAt(at);
            classes[table[unit] & BITS]++;
            if (unit === 35) hashes++;
            if (unit === 123) curly++;
            a = Math.imul(a ^ unit, PRIME_A);
            b = Math.imul(b + unit, PRIME_B);
            b ^= b >>> 15;
          }
          length += to - i;
          i = to;
          address = true;
        } else if (i < n && text.charCodeAt(i) === 46 && text.charCodeAt(i + 1) !== 46) {
          // A full stop that belongs to the word: initials, `e.g.`, short forms.
          const single = length === 1 && isUpper(text.charCodeAt(start));
          if (single || (dot === i - 2 && i - start >= 3) || (length <= 5 && abbreviations.has(a ^ (a >>> 16)))) {
            classes[PUNCTUATION]++;
            a = Math.imul(a ^ 46, PRIME_A);
            b = Math.imul(b + 46, PRIME_B);
            b ^= b >>> 15;
            length++;
            i++;
          }
        }
        a ^= a >>> 16;
        let cut = 0;
        if (apostrophe > 0) {
          // `it's` and `don't` are two words.
          const tail = i - apostrophe - 1;
          const first = text.charCodeAt(apostrophe + 1) | 32;
          if (tail === 1 && first === 116 && apostrophe - start >= 2 && (text.charCodeAt(apostrophe - 1) | 32) === 110) cut = apostrophe - 1;
          else if ((tail === 1 && (first === 115 || first === 109 || first === 100)) || (tail === 2 && (first === 114 || first === 118 || first === 108)))
            cut = apostrophe;
        }
        open = true;
        wordCharacters += length;
        if (length >= LONG_WORD && !address) longWordCharacters += length;
        if (cut > start) {
          for (let part = 0; part < 2; part++) {
            const [from, to] = part === 0 ? [start, cut] : [cut, i];
            const hash = hashOf(text, from, to);
            lineHash = Math.imul(lineHash ^ hash[0], PRIME_B) + (from - lineStart);
            if (kept < MAX_TOKENS) {
              hashA[kept] = hash[0];
              hashB[kept++] = hash[1];
              end += to - from;
              ends[kept] = end;
            }
            tokens++;
            words++;
            letterWords++;
            const stop = stops.find(hash[0], hash[1]);
            if (stop >= 0 && seen[stop] === 0) {
              seen[stop] = 1;
              stopWords++;
            }
          }
          continue;
        }
        words++;
        if (letters !== 0) letterWords++;
        const stop = stops.find(a, b);
        if (stop >= 0 && seen[stop] === 0) {
          seen[stop] = 1;
          stopWords++;
        }
      } else {
        classes[entry & BITS]++;
        a = Math.imul(a ^ code, PRIME_A);
        b = Math.imul(b + code, PRIME_B);
        b ^= b >>> 15;
        if (units === 2) {
          const low = text.charCodeAt(i + 1);
          a = Math.imul(a ^ low, PRIME_A);
          b = Math.imul(b + low, PRIME_B);
          b ^= b >>> 15;
          pairs++;
        }
        length = 1;
        i += units;
        if (role === SINGLE) {
          a ^= a >>> 16;
          open = true;
          words++;
          singles++;
          letterWords++;
          wordCharacters++;
          const stop = stops.find(a, b);
          if (stop >= 0 && seen[stop] === 0) {
            seen[stop] = 1;
            stopWords++;
          }
        } else {
          if (code === 46 || code === 45) {
            // Dots and dashes in a row are one mark.
            while (i < n && text.charCodeAt(i) === code) {
              a = Math.imul(a ^ code, PRIME_A);
              b = Math.imul(b + code, PRIME_B);
              b ^= b >>> 15;
              length++;
              i++;
            }
            classes[PUNCTUATION] += length - 1;
            if (code === 46) ellipses += Math.floor(length / 3);
          } else if (code === 35) hashes++;
          else if (code === 123) curly++;
          else if (code === 0x2026) ellipses++;
          a ^= a >>> 16;
          if (open) {
            if (code === 0x3002 || code === 0xff01 || code === 0xff1f || code === 0xff61) {
              sentences++;
              open = false;
            } else if (code === 33 || code === 63 || (code === 46 && length !== 3)) {
              // A stop ends a sentence where a space follows, behind closing marks.
              let to = i;
              while (to < n && (CLOSERS.has(text.charCodeAt(to)) || text.charCodeAt(to) === 33 || text.charCodeAt(to) === 63) && to - i < 8) to++;
              const next = to < n ? table[text.charCodeAt(to)] & ROLES : NEWLINE;
              if (next === SPACE || next === NEWLINE || next === SINGLE || isUpper(text.charCodeAt(to))) {
                sentences++;
                open = false;
              }
            }
          }
        }
      }
      lineHash = Math.imul(lineHash ^ a, PRIME_B) + (start - lineStart);
      if (kept < MAX_TOKENS) {
        hashA[kept] = a;
        hashB[kept++] = b;
        end += length;
        ends[kept] = end;
      }
      tokens++;
    }
    this.characters = n - pairs;
    this.tokens = tokens;
    this.kept = kept;
    this.words = words;
    this.wordCharacters = wordCharacters;
    this.singles = singles;
    this.letterWords = letterWords;
    this.longWordCharacters = longWordCharacters;
    this.hashes = hashes;
    this.ellipses = ellipses;
    this.curly = curly;
    this.sentences = sentences;
    this.stopWords = stopWords;
    this.bulletLines = bulletLines;
    this.ellipsisLines = ellipsisLines;
    this.stoppedLines = stoppedLines;
  }

  #reserve(tokens: number, stops: number): void {
    if (this.hashA.length < tokens) {
      const size = Math.min(MAX_TOKENS, Math.max(tokens, 2 * this.hashA.length, 4096));
      this.hashA = new Int32Array(size);
      this.hashB = new Int32Array(size);
      this.ends = new Int32Array(size + 1);
    }
    if (this.#seen.length < stops) this.#seen = new Uint8Array(stops);
    this.#seen.fill(0);
  }
}
