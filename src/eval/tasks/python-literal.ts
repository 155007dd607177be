/**
 * Python literals, as `repr` writes them: AGIEval keeps its few-shot rows as printed dictionaries in the cells of a table. Strings in
 * either quote with their escapes, numbers, None, True, False, lists, tuples and dictionaries; nothing is run.
 */
import { ScionError } from '../../base/errors.ts';
import { shown } from '../../formats/bytes.ts';

const MAX_DEPTH = 64;
const SIMPLE: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
  ['\\', '\\'],
  ["'", "'"],
  ['"', '"'],
  ['a', '\x07'],
  ['b', '\b'],
  ['f', '\f'],
  ['v', '\v'],
  ['\n', ''],
]);
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['None', null],
  ['True', true],
  ['False', false],
]);

class Reader {
  readonly text: string;
  readonly what: string;
  at = 0;

  constructor(text: string, what: string) {
    this.text = text;
    this.what = what;
  }

  fail(message: string): never {
    throw new ScionError('format', `${this.what}: ${message} at character ${this.at}; found ${shown(this.text.slice(this.at, this.at + 24))}`);
  }

  peek(): string {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++;
    return this.text[this.at] ?? '';
  }

  string(): string {
    const quote = this.text[this.at++];
    let out = '';
    for (;;) {
      const c = this.text[this.at];
      if (c === undefined || c === '\n') this.fail('a string that does not end');
      this.at++;
      if (c === quote) return out;
      if (c !== '\\') {
        out += c;
        continue;
      }
      const kind = this.text[this.at++] ?? '';
      const digits = HEX_DIGITS[kind];
      const octal = /^[0-7]{1,3}/.exec(this.text.slice(this.at - 1, this.at + 2))?.[0];
      if (digits !== undefined) {
        const hex = this.text.slice(this.at, this.at + digits);
        const code = Number.parseInt(hex, 16);
        if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length < digits || code > 0x10ffff) this.fail(`\\${kind} needs ${digits} hexadecimal digits`);
        out += String.fromCodePoint(code);
        this.at += digits;
      } else if (octal !== undefined) {
        out += String.fromCharCode(Number.parseInt(octal, 8));
        this.at += octal.length - 1;
      } else out += SIMPLE.get(kind) ?? `\\${kind}`;
    }
  }

  list(end: string, depth: number): unknown[] {
    const out: unknown[] = [];
    this.at++;
    while (this.peek() !== end) {
      out.push(this.value(depth));
      const next = this.peek();
      if (next !== ',' && next !== end) this.fail(`expected "," or "${end}"`);
      if (next === ',') this.at++;
    }
    this.at++;
    return out;
  }

  value(depth = MAX_DEPTH): unknown {
    if (depth <= 0) this.fail('nested too deep');
    const c = this.peek();
    if (c === '[') return this.list(']', depth - 1);
    if (c === '(') return this.list(')', depth - 1);
    if (c === '{') {
      const out = new Map<string, unknown>();
      this.at++;
      while (this.peek() !== '}') {
        const key = this.value(depth - 1);
        if (this.peek() !== ':') this.fail('expected ":"');
        this.at++;
        out.set(String(key), this.value(depth - 1));
        const next = this.peek();
        if (next !== ',' && next !== '}') this.fail('expected "," or "}"');
        if (next === ',') this.at++;
      }
      this.at++;
      return Object.fromEntries(out);
    }
    if (c === "'" || c === '"') {
      // Neighbouring strings are one.
      let out = '';
      while (this.peek() === "'" || this.peek() === '"') out += this.string();
      return out;
    }
    const found = /^(?:[A-Za-z]+|[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/.exec(this.text.slice(this.at, this.at + 400))?.[0];
    if (found === undefined || (/^[A-Za-z]/.test(found) && !WORDS.has(found))) this.fail('expected a literal');
    this.at += found.length;
    return WORDS.has(found) ? WORDS.get(found) : Number(found);
  }
}

/** The value of one literal. @throws ScionError `format` naming `what` and the place. */
export function parsePythonLiteral(text: string, what: string): unknown {
  const reader = new Reader(text, what);
  const value = reader.value();
  if (reader.peek() !== '') reader.fail('expected the end of the literal');
  return value;
}
