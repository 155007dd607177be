/**
 * From text to the units that near-duplicates are measured in, and on to shingles. Text is folded first (NFKC, lower
 * case), since width, ligatures and case make no other text. A unit is a word, or one character of a script without
 * spaces; punctuation, symbols and white space only part units, since editions of one text differ most in them. Units
 * are kept as two 32-bit hashes in typed arrays: no string is made per word.
 */
import { mix32 } from '../../base/mix.ts';

/** What a UTF-16 unit is. */
const BREAK = 0;
const WORD = 1;
const CHARACTER = 2;
/** Invisible (joiners, variation selectors, soft hyphens): as if it were not there. */
const SKIP = 3;
const SURROGATE = 4;

const UNSPACED = ['Han', 'Hiragana', 'Katakana', 'Bopomofo', 'Thai', 'Lao', 'Khmer', 'Myanmar', 'Yi'];
const UNSPACED_SCRIPT = new RegExp(`[${UNSPACED.map((script) => `\\p{Script_Extensions=${script}}`).join('')}]`, 'u');
const PART_OF_WORD = /[\p{L}\p{N}\p{M}]/u;
const IGNORED = /\p{Default_Ignorable_Code_Point}/u;

function classOf(codePoint: number): number {
  const char = String.fromCodePoint(codePoint);
  if (IGNORED.test(char)) return SKIP;
  if (!PART_OF_WORD.test(char)) return BREAK;
  return UNSPACED_SCRIPT.test(char) ? CHARACTER : WORD;
}

let basic: Uint8Array | undefined;
/** Classes of the first 65,536 code points; made once, on first use. */
function basicClasses(): Uint8Array {
  if (basic === undefined) {
    basic = new Uint8Array(0x10000);
    for (let c = 0; c < 0x10000; c++) basic[c] = c >= 0xd800 && c <= 0xdfff ? SURROGATE : classOf(c);
  }
  return basic;
}

/** Beyond them, as they come up. */
const astral = new Map<number, number>();
function astralClass(codePoint: number): number {
  let found = astral.get(codePoint);
  if (found === undefined) {
    found = classOf(codePoint);
    astral.set(codePoint, found);
  }
  return found;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII is meant
const BEYOND_ASCII = /[^\u0000-\u007f]/;

/** NFKC. Text of ASCII alone is what it was, so it is not copied. */
export function compose(text: string): string {
  return BEYOND_ASCII.test(text) ? text.normalize('NFKC') : text;
}

const START_A = 0x3c6ef372;
const START_B = 0x1f83d9ab;
const MIX_A = 0x9e3779b1;
const MIX_B = 0x85ebca77;

/** The units of one text after the other. The arrays are used again: read what is needed before the next `read`. */
export class Units {
  count = 0;
  /** Two hashes of unit i. */
  a = new Int32Array(4096);
  b = new Int32Array(4096);
  /** 1 where the unit is a character, 0 where it is a word. */
  characters = new Uint8Array(4096);

  /** `text`: after `compose`. */
  read(text: string): void {
    const lower = text.toLowerCase();
    const classes = basicClasses();
    this.count = 0;
    if (this.a.length > 1 << 20) this.#resize(4096);
    let a = START_A;
    let b = START_B;
    let inWord = false;
    for (let i = 0; i < lower.length; i++) {
      let c = lower.charCodeAt(i);
      let kind = classes[c];
      if (kind === SURROGATE) {
        const code = lower.codePointAt(i) ?? c;
        // A half without its other half is no character.
        kind = code > 0xffff ? astralClass(code) : BREAK;
        if (code > 0xffff) i++;
        c = code;
      }
      if (kind === WORD) {
        a = Math.imul(a ^ c, MIX_A);
        a = (a << 13) | (a >>> 19);
        b = Math.imul(b ^ c, MIX_B);
        b = (b << 17) | (b >>> 15);
        inWord = true;
      } else if (kind !== SKIP) {
        if (inWord) {
          this.#push(a, b, 0);
          a = START_A;
          b = START_B;
          inWord = false;
        }
        if (kind === CHARACTER) this.#push(Math.imul(START_A ^ c, MIX_B), Math.imul(START_B ^ c, MIX_A), 1);
      }
    }
    if (inWord) this.#push(a, b, 0);
  }

  #push(a: number, b: number, character: number): void {
    if (this.count === this.a.length) this.#resize(2 * this.count);
    this.a[this.count] = mix32(a);
    this.b[this.count] = mix32(b);
    this.characters[this.count++] = character;
  }

  #resize(length: number): void {
    const [a, b, characters] = [this.a, this.b, this.characters];
    this.a = new Int32Array(length);
    this.b = new Int32Array(length);
    this.characters = new Uint8Array(length);
    this.a.set(a.subarray(0, this.count));
    this.b.set(b.subarray(0, this.count));
    this.characters.set(characters.subarray(0, this.count));
  }
}

/** How long a shingle is. */
export interface ShingleSize {
  readonly words: number;
  readonly characters: number;
}

/** Shingles of one text after the other, as hashes; the arrays are used again. */
export class Shingles {
  count = 0;
  /** Two hashes of shingle i, well mixed. */
  a = new Int32Array(4096);
  b = new Int32Array(4096);

  /**
   * One shingle begins at each unit and takes units until it holds `words` words or `characters` characters; in mixed
   * text a word counts as characters/words of a character. A text shorter than a shingle is one shingle; one
   * without units has none. Repeats are kept.
   */
  read(units: Units, { words, characters }: ShingleSize): void {
    const whole = words * characters;
    const n = units.count;
    if (this.a.length < n || this.a.length > 1 << 20) {
      this.a = new Int32Array(Math.max(n, 4096));
      this.b = new Int32Array(this.a.length);
    }
    this.count = 0;
    let end = 0;
    let held = 0;
    for (let start = 0; start < n; start++) {
      while (end < n && held < whole) held += units.characters[end++] === 1 ? words : characters;
      if (held < whole && start > 0) break;
      let a = START_B;
      let b = START_A;
      for (let i = start; i < end; i++) {
        a = Math.imul(a ^ units.a[i], MIX_B);
        a = (a << 15) | (a >>> 17);
        b = Math.imul(b ^ units.b[i], MIX_A);
        b = (b << 11) | (b >>> 21);
      }
      this.a[this.count] = mix32(a);
      this.b[this.count++] = mix32(b);
      held -= units.characters[start] === 1 ? words : characters;
    }
  }

  /** The distinct shingles as 53-bit numbers, ascending: what two texts are compared by. */
  set(): Float64Array<ArrayBuffer> {
    const all = new Float64Array(this.count);
    for (let i = 0; i < all.length; i++) all[i] = (this.b[i] >>> 0) * 0x200000 + (this.a[i] >>> 11);
    all.sort();
    let kept = 0;
    for (let i = 0; i < all.length; i++) if (i === 0 || all[i] !== all[i - 1]) all[kept++] = all[i];
    return kept === all.length ? all : all.slice(0, kept);
  }
}

/** How many numbers two ascending sets share. */
export function shared(x: Float64Array, y: Float64Array): number {
  let both = 0;
  for (let i = 0, j = 0; i < x.length && j < y.length; ) {
    const [u, v] = [x[i], y[j]];
    if (u === v) both++;
    if (u <= v) i++;
    if (v <= u) j++;
  }
  return both;
}

const hashed = new Int32Array(4);

/**
 * 128 bits of a text into `out`, with every run of white space as one space and none at the ends, or (`raw`) as it is.
 * Not for security: who wants two texts to look equal can make them so.
 */
export function hashText(text: string, raw: boolean, out: Int32Array = hashed, from = 0, to = text.length): Int32Array {
  let [a, b, c, d] = [START_A, START_B, 0x510e527f, 0x5be0cd19];
  let length = 0;
  let space = false;
  for (let i = from; i < to; i++) {
    let u = text.charCodeAt(i);
    if (!raw) {
      if (u <= 0x20 || u === 0x3000 || u === 0x2028 || u === 0x2029 || u === 0x85) {
        space = length > 0;
        continue;
      }
      if (space) {
        // The space goes in front of what follows it, in the same step: 2^16 more than any unit.
        u += 0x10000;
        space = false;
      }
    }
    a = Math.imul(a ^ u, MIX_A);
    a = (a << 13) | (a >>> 19);
    b = Math.imul(b ^ u, MIX_B);
    b = (b << 17) | (b >>> 15);
    c = Math.imul(c ^ u, 0xc2b2ae3d);
    c = (c << 11) | (c >>> 21);
    d = Math.imul(d ^ u, 0x27d4eb2f);
    d = (d << 7) | (d >>> 25);
    length++;
  }
  out[0] = mix32(a ^ length ^ d);
  out[1] = mix32(b ^ Math.imul(length, MIX_A) ^ a);
  out[2] = mix32(c ^ b);
  out[3] = mix32(d ^ c);
  return out;
}
