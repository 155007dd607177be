/**
 * A text as a row of units: words and numbers where a script has spaces, single characters where it has none, and each
 * mark of punctuation. A unit is a 32-bit hash of its folded form, with its place in the text. The arrays belong to
 * the scanner and are used again for the next text: nothing is allocated a unit, and time is linear in the text.
 */
import { mix32 } from '../../base/mix.ts';
import { astral, CHARACTER, type CharacterTables, characterTables, DIGIT, IGNORED, LETTER, MARK } from './characters.ts';

/** Kinds of units. */
export const UNIT = { word: 1, number: 2, character: 3, mark: 4 } as const;

export interface UnitOptions {
  /** Give marks of punctuation and symbols as units too; else they only separate. */
  readonly marks: boolean;
  /** `shape`: every digit counts as 0, so that numbers of one length are one unit. */
  readonly digits: 'keep' | 'shape';
}

const PRIME = 0x01000193;
const BASIS = 0x811c9dc5;
const COMMA = 0x2c;
const ZERO = 0x30;

/** Scans one text after the other; `count` and the arrays tell of the last. */
export class UnitScanner {
  /** Units of the last text. */
  count = 0;
  /** Hash of each unit; the array may be longer than `count`, as may the others. */
  hashes = new Uint32Array(1024);
  kinds = new Uint8Array(1024);
  /** Code units from the text's start: first of the unit, and the one behind its last. */
  starts = new Uint32Array(1024);
  ends = new Uint32Array(1024);
  readonly #options: UnitOptions;
  readonly #tables: CharacterTables = characterTables();

  constructor(options: UnitOptions) {
    this.#options = options;
  }

  scan(text: string): this {
    const { classes, folds, expansions } = this.#tables;
    const { marks, digits } = this.#options;
    const shape = digits === 'shape';
    const length = text.length;
    this.count = 0;
    // The word that is open: its hash, kind (0: none), start, and end so far.
    let hash = BASIS;
    let open = 0;
    let start = 0;
    let end = 0;
    for (let i = 0; i < length; ) {
      const at = i;
      let c = text.charCodeAt(i++);
      let kind = classes[c];
      let folded = folds[c];
      let more: string | undefined;
      if (c >= 0xd800 && c <= 0xdbff && i < length) {
        const low = text.charCodeAt(i);
        if (low >= 0xdc00 && low <= 0xdfff) {
          i++;
          c = (c - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000;
          const known = astral(c);
          kind = known.kind;
          more = known.folded;
        }
      } else if (folded === 0 && kind !== IGNORED) more = expansions.get(c);
      if (kind === IGNORED) continue;
      if (kind === LETTER || kind === DIGIT) {
        if (open === 0) {
          open = UNIT.number;
          hash = BASIS;
          start = at;
        }
        if (kind === LETTER) open = UNIT.word;
        else if (shape) folded = ZERO;
        if (more === undefined) hash = Math.imul(hash ^ folded, PRIME);
        else for (let k = 0; k < more.length; k++) hash = Math.imul(hash ^ more.charCodeAt(k), PRIME);
        end = i;
        continue;
      }
      // A comma inside a number is how some write thousands.
      if (open === UNIT.number && folded === COMMA && i < length && classes[text.charCodeAt(i)] === DIGIT) continue;
      if (open !== 0) {
        this.#push(hash, open, start, end);
        open = 0;
      }
      if (kind === CHARACTER || (marks && kind === MARK)) {
        let h = BASIS;
        if (more === undefined) h = Math.imul(h ^ folded, PRIME);
        else for (let k = 0; k < more.length; k++) h = Math.imul(h ^ more.charCodeAt(k), PRIME);
        this.#push(h, kind === CHARACTER ? UNIT.character : UNIT.mark, at, i);
      }
    }
    if (open !== 0) this.#push(hash, open, start, end);
    return this;
  }

  #push(hash: number, kind: number, start: number, end: number): void {
    const n = this.count;
    if (n === this.hashes.length) this.#grow();
    this.hashes[n] = mix32(hash);
    this.kinds[n] = kind;
    this.starts[n] = start;
    this.ends[n] = end;
    this.count = n + 1;
  }

  #grow(): void {
    const size = this.hashes.length * 2;
    const wider = (old: Uint32Array): Uint32Array<ArrayBuffer> => {
      const wide = new Uint32Array(size);
      wide.set(old);
      return wide;
    };
    this.hashes = wider(this.hashes);
    this.starts = wider(this.starts);
    this.ends = wider(this.ends);
    const kinds = new Uint8Array(size);
    kinds.set(this.kinds);
    this.kinds = kinds;
  }
}

/** The folded form of a piece of text, its units with a space between: for comparing where a hash is not enough. */
export function foldedText(text: string): string {
  const { classes, folds, expansions } = characterTables();
  const scanner = new UnitScanner({ marks: false, digits: 'keep' }).scan(text);
  const units: string[] = [];
  for (let i = 0; i < scanner.count; i++) {
    let unit = '';
    for (const c of text.slice(scanner.starts[i], scanner.ends[i])) {
      const code = c.codePointAt(0) ?? 0;
      if (code > 0xffff) unit += astral(code).folded;
      else if (classes[code] === IGNORED || classes[code] === MARK) continue;
      else unit += folds[code] === 0 ? (expansions.get(code) ?? '') : String.fromCharCode(folds[code]);
    }
    units.push(unit);
  }
  return units.join(' ');
}
