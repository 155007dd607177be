/**
 * Records of a JSON file with their lines. Evaluation sets are printed with indentation and mended by hand, so one slip must not cost the
 * file: each record of a list is cut out by its brackets and parsed alone, and where one cannot be read, the next record that begins
 * at the same indent goes on. A list at the top, lists below keys (`{"example": [...]}`, `{"category": [...]}`) and records by key
 * (`{"17": {...}}`) are all read the same way.
 */
import { nestsDeeper } from '../../formats/json.ts';

const MAX_DEPTH = 64;

/** One record, or what stands where one should. */
export interface JsonRow {
  /** The key that leads to it from the top, null in a list at the top. */
  readonly key: string | null;
  readonly value: unknown;
  /** Line it begins at, from 1. */
  readonly line: number;
  /** Why it is none. */
  readonly bad?: string;
}

const isSpace = (c: string): boolean => c === ' ' || c === '\n' || c === '\r' || c === '\t';

class Scanner {
  readonly text: string;
  at = 0;
  private counted = 0;
  private lines = 1;

  constructor(text: string) {
    this.text = text;
  }

  /** Line of a place not before the last one that was asked for. */
  lineAt(place: number): number {
    for (; this.counted < place; this.counted++) if (this.text.charCodeAt(this.counted) === 10) this.lines++;
    return this.lines;
  }

  peek(): string {
    while (this.at < this.text.length && isSpace(this.text[this.at])) this.at++;
    return this.text[this.at] ?? '';
  }

  /** End of the value that begins here: behind its closing bracket or quote; -1 where there is none. */
  private endOf(from: number): number {
    const { text } = this;
    let depth = 0;
    for (let i = from; i < text.length; i++) {
      const c = text[i];
      if (c === '"') {
        for (i++; i < text.length && text[i] !== '"'; i++) {
          if (text[i] === '\\') i++;
          // A string ends on its line: what does not is the slip itself, not the rest of the file.
          else if (text[i] === '\n') return -1;
        }
        if (i >= text.length) return -1;
        if (depth === 0) return i + 1;
      } else if (c === '{' || c === '[') depth++;
      else if (c === '}' || c === ']') {
        if (depth === 0) return i;
        if (--depth === 0) return i + 1;
      } else if (depth === 0 && (c === ',' || isSpace(c))) return i;
    }
    return -1;
  }

  /** Reads the value here; what cannot be read is left behind. */
  value(): { value?: unknown; bad?: string; line: number } {
    this.peek();
    const from = this.at;
    const line = this.lineAt(from);
    const end = this.endOf(from);
    if (end >= 0) {
      const part = this.text.slice(from, end);
      try {
        if (nestsDeeper(part, MAX_DEPTH)) throw new Error(`nested more than ${MAX_DEPTH} deep`);
        const value: unknown = JSON.parse(part);
        this.at = end;
        return { value, line };
      } catch (error) {
        return { bad: this.skip(from, `not JSON: ${(error as Error).message}`), line };
      }
    }
    return { bad: this.skip(from, 'a record that does not end'), line };
  }

  /** Goes to the next line that begins a record as this one begins, or to the end of the list. */
  private skip(from: number, why: string): string {
    const { text } = this;
    const start = text.lastIndexOf('\n', from - 1) + 1;
    const indent = text.slice(start, from);
    let next = -1;
    if (isIndent(indent)) {
      for (let i = text.indexOf('\n', from); i >= 0; i = text.indexOf('\n', i + 1)) {
        const here = text.slice(i + 1, i + 2 + indent.length);
        if (here === indent + text[from]) next = i + 1 + indent.length;
        else if (/^\s*\]/.test(here) && here.trimEnd().length <= indent.length) next = text.indexOf(']', i);
        if (next >= 0) break;
      }
    }
    this.at = next < 0 ? text.length : next;
    return why;
  }
}

const isIndent = (text: string): boolean => /^[ \t]*$/.test(text);

/** The records of a text; `only` names the one key whose list is read. What cannot be read at all comes as one bad row. */
export function* jsonRows(text: string, only?: string): Generator<JsonRow> {
  const scan = new Scanner(text);
  const first = scan.peek();
  if (first === '[') {
    yield* listRows(scan, null);
    return;
  }
  if (first !== '{') {
    yield { key: null, value: undefined, line: scan.lineAt(scan.at), bad: 'a JSON list or object is needed' };
    return;
  }
  scan.at++;
  for (;;) {
    const next = scan.peek();
    if (next === ',') scan.at++;
    else if (next === '"') {
      const name = scan.value();
      const key = String(name.value ?? '');
      if (scan.peek() !== ':') {
        yield { key, value: undefined, line: name.line, bad: name.bad ?? `no ":" behind the key "${key}"` };
        return;
      }
      scan.at++;
      const begins = scan.peek();
      if (begins === '[' && (only === undefined || only === key)) yield* listRows(scan, key);
      else {
        const { value, bad, line } = scan.value();
        if (bad !== undefined) yield { key, value, line, bad };
        else if (begins === '{' && only === undefined) yield { key, value, line };
      }
    } else {
      if (next !== '}') yield { key: null, value: undefined, line: scan.lineAt(Math.min(scan.at, text.length)), bad: 'the file ends inside its object' };
      return;
    }
  }
}

function* listRows(scan: Scanner, key: string | null): Generator<JsonRow> {
  scan.at++;
  for (;;) {
    const next = scan.peek();
    if (next === ',') scan.at++;
    else if (next === ']') {
      scan.at++;
      return;
    } else if (next === '') {
      yield { key, value: undefined, line: scan.lineAt(scan.text.length), bad: 'the file ends inside a list' };
      return;
    } else {
      const { value, bad, line } = scan.value();
      yield bad === undefined ? { key, value, line } : { key, value, line, bad };
    }
  }
}
