/**
 * A strict JSON reader for files that nobody vouches for. Beside the grammar of RFC 8259 it refuses
 * what `JSON.parse` hides or turns into trouble: duplicate keys, deep nesting, lone surrogates,
 * numbers beyond 2^53 where a natural number is meant. Objects come out as Maps, so a key named
 * `__proto__` is a key. Several times slower than `JSON.parse`; for headers and indexes, not corpora.
 */
import { ScionError } from '../base/errors.ts';
import type { HostFiles } from '../host/types.ts';
import { decodeUtf8, shown } from './bytes.ts';

export type JsonValue = null | boolean | number | string | JsonValue[] | Map<string, JsonValue>;

const QUOTE = 34;
const BACKSLASH = 92;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

/** Pulls tokens out of a text in the order the caller's format demands, so nesting is the caller's. */
export class JsonReader {
  readonly text: string;
  /** What is read, the start of each error message. */
  readonly what: string;
  at = 0;

  constructor(text: string, what: string) {
    this.text = text;
    this.what = what;
  }

  fail(message: string): never {
    const found = this.at < this.text.length ? shown(this.text.slice(this.at, this.at + 24)) : 'the end of the text';
    throw new ScionError('format', `${this.what}: ${message} at character ${this.at}; found ${found}`, { at: this.at });
  }

  /** Skips white space and gives the next character, or an empty string at the end. */
  peek(): string {
    for (; this.at < this.text.length; this.at++) {
      const c = this.text.charCodeAt(this.at);
      if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return this.text[this.at];
    }
    return '';
  }

  expect(character: string): void {
    if (this.peek() !== character) this.fail(`expected ${shown(character)}`);
    this.at++;
  }

  /** Reads an object; `member` is called behind each colon and must read the value. */
  object(member: (key: string) => void): void {
    this.expect('{');
    if (this.peek() === '}') {
      this.at++;
      return;
    }
    const seen = new Set<string>();
    for (;;) {
      if (this.peek() !== '"') this.fail('expected a key in double quotes');
      const key = this.string();
      if (seen.has(key)) this.fail(`the key ${shown(key)} stands twice in one object`);
      seen.add(key);
      this.expect(':');
      member(key);
      const next = this.peek();
      if (next !== ',' && next !== '}') this.fail('expected "," or "}"');
      this.at++;
      if (next === '}') return;
    }
  }

  /** Reads an array; `element` must read one value. */
  array(element: () => void): void {
    this.expect('[');
    if (this.peek() === ']') {
      this.at++;
      return;
    }
    for (;;) {
      element();
      const next = this.peek();
      if (next !== ',' && next !== ']') this.fail('expected "," or "]"');
      this.at++;
      if (next === ']') return;
    }
  }

  string(): string {
    if (this.peek() !== '"') this.fail('expected a string');
    const text = this.text;
    let from = ++this.at;
    let out = '';
    for (;;) {
      const c = text.charCodeAt(this.at);
      if (c === QUOTE) {
        out += text.slice(from, this.at++);
        if (!out.isWellFormed()) this.fail('a string holds half of a surrogate pair, before this point');
        return out;
      }
      // charCodeAt gives NaN past the end, for which the comparison is false as well.
      if (!(c >= 32)) this.fail('a string does not end, or holds a bare control character');
      if (c === BACKSLASH) {
        out += text.slice(from, this.at) + this.escape();
        from = this.at;
      } else this.at++;
    }
  }

  private escape(): string {
    const kind = this.text[this.at + 1] ?? '';
    if (kind === 'u') {
      const digits = this.text.slice(this.at + 2, this.at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail('a \\u escape needs four hexadecimal digits');
      this.at += 6;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const plain = ESCAPES.get(kind);
    if (plain === undefined) this.fail('unknown escape in a string');
    this.at += 2;
    return plain;
  }

  /** A whole number from 0 to 2^53 - 1, written in digits only. */
  natural(): number {
    this.peek();
    const start = this.at;
    let value = 0;
    for (; this.at < this.text.length; this.at++) {
      const digit = this.text.charCodeAt(this.at) - 48;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
      if (value > Number.MAX_SAFE_INTEGER) this.fail('a whole number passes 2^53 - 1');
    }
    const next = this.text[this.at] ?? '';
    if (this.at === start || next === '.' || next === 'e' || next === 'E') this.fail('expected a whole number, not negative, in digits only');
    if (this.text[start] === '0' && this.at > start + 1) this.fail('a number starts with a needless zero');
    return value;
  }

  /** Any JSON number, as a double. */
  number(): number {
    this.peek();
    const match = /-?(?:0|[1-9][0-9]{0,399})(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,4})?/y;
    match.lastIndex = this.at;
    const found = match.exec(this.text);
    if (!found) this.fail('expected a number');
    this.at += found[0].length;
    if (/[0-9.eE+-]/.test(this.text[this.at] ?? '')) this.fail('a number goes on in a way JSON does not know');
    const value = Number(found[0]);
    if (!Number.isFinite(value)) this.fail('a number is too large for a double');
    return value;
  }

  /** Any value, nested at most `maxDepth` deep. */
  value(maxDepth: number): JsonValue {
    const next = this.peek();
    if ((next === '{' || next === '[') && maxDepth <= 0) this.fail('objects and arrays are nested too deep');
    if (next === '{') {
      const map = new Map<string, JsonValue>();
      this.object((key) => map.set(key, this.value(maxDepth - 1)));
      return map;
    }
    if (next === '[') {
      const list: JsonValue[] = [];
      this.array(() => list.push(this.value(maxDepth - 1)));
      return list;
    }
    if (next === '"') return this.string();
    for (const [word, meaning] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return meaning;
      }
    }
    return this.number();
  }

  /** Refuses anything but white space up to the end. */
  end(): void {
    if (this.peek() !== '') this.fail('expected the end of the text');
  }
}

/** Parses a whole text; see the head of this file for what is refused. Kind `format`. */
export function parseJson(text: string, what: string, options: { maxDepth?: number } = {}): JsonValue {
  const reader = new JsonReader(text, what);
  const value = reader.value(options.maxDepth ?? 64);
  reader.end();
  return value;
}

/**
 * True if brackets nest deeper than `limit`, strings aside. A guard in front of `JSON.parse`,
 * whose depth limit differs between engines, for text too long for the strict reader.
 */
export function nestsDeeper(text: string, limit: number): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === QUOTE) {
      for (i++; i < text.length; i++) {
        const d = text.charCodeAt(i);
        if (d === BACKSLASH) i++;
        else if (d === QUOTE) break;
      }
    } else if (c === 0x7b || c === 0x5b) {
      if (++depth > limit) return true;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return false;
}

/** The bytes of a small JSON file as scion writes them: two spaces of indent, a line end. */
export function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}

/** A config is a few kilobytes; ids and rope tables inside it may make it larger, never this large. */
const MAX_FILE_BYTES = 16 * 2 ** 20;

/** The object in a small JSON file; null if there is no such file. Kind `format` for anything else, and for more than 16 MiB or 64 levels. */
export async function readJsonObject(files: HostFiles, path: string): Promise<Record<string, unknown> | null> {
  const stat = await files.stat(path);
  if (stat === null) return null;
  if (stat.size > MAX_FILE_BYTES) throw new ScionError('format', `${path}: ${stat.size} bytes; at most ${MAX_FILE_BYTES} are read`, { size: stat.size });
  const text = decodeUtf8(await files.read(path), path);
  if (nestsDeeper(text, 64)) throw new ScionError('format', `${path}: nests deeper than 64 levels`);
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  } catch (error) {
    throw new ScionError('format', `${path}: no JSON: ${(error as Error).message}`, {}, error);
  }
  throw new ScionError('format', `${path}: a JSON object is needed`);
}
