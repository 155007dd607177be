/**
 * Records of a JSON file with their lines. Evaluation sets are printed with indentation and mended by hand, so one slip must not cost the
 * file: each record of a list is cut out by its brackets and parsed alone, and where one cannot be read, the next record that begins
 * at the same indent goes on. A list at the top, lists below keys (`{"example": [...]}`, `{"category": [...]}`) and records by key
 * (`{"17": {...}}`) are all read the same way.
 */
import { nestsDeeper } from '../../formats/json.ts';

const MAX_DEPTH = 64;
/** Lines are not indented further. */
const MAX_MARGIN = 400;

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
  private margin: string | null = null;

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

  private marginAt(lineStart: number): string {
    return /^[ \t]*/.exec(this.text.slice(lineStart, lineStart + MAX_MARGIN))?.[0] ?? '';
  }

  /** Whether a bracket at a smaller indent than its records have ends their list: then nothing below it stands further in. One that slipped in does not. */
  private closes(lineStart: number, margin: number): boolean {
    for (let i = this.text.indexOf('\n', lineStart); i >= 0; i = this.text.indexOf('\n', i + 1)) {
      const below = this.marginAt(i + 1).length;
      if (i + 1 + below < this.text.length && !isSpace(this.text[i + 1 + below])) return below <= margin;
    }
    return true;
  }

  /** A list begins: how its records are indented is yet to be seen. */
  enterList(): void {
    this.margin = null;
  }

  /** A record begins here; where the first of a list begins its line, the others begin theirs alike. */
  enterRecord(): void {
    const indent = this.text.slice(this.text.lastIndexOf('\n', this.at - 1) + 1, this.at);
    if (this.margin === null && this.text[this.at] === '{' && /^[ \t]*$/.test(indent)) this.margin = indent;
  }

  /** Whether the bracket here ends the list; one that opens a line above more of the list has slipped in. */
  endsList(): boolean {
    const start = this.text.lastIndexOf('\n', this.at - 1) + 1;
    const margin = this.marginAt(start).length;
    return this.margin === null || start + margin < this.at || this.closes(start, margin);
  }

  /** Goes to the next line that begins a record, or to the end of the list; gives back why. */
  skip(from: number, why: string): string {
    const { text, margin: wanted } = this;
    this.at = text.length;
    for (let i = text.indexOf('\n', from); i >= 0; i = text.indexOf('\n', i + 1)) {
      const margin = this.marginAt(i + 1);
      const begins = text[i + 1 + margin.length];
      // Where the first record itself has lost its bracket, the next one shows how they begin.
      const record = begins === '{' && (wanted === null || margin === wanted);
      if (record || (begins === ']' && margin.length < (wanted?.length ?? 0) && this.closes(i + 1, margin.length))) {
        this.at = i + 1 + margin.length;
        break;
      }
    }
    return why;
  }
}

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
  scan.enterList();
  for (let value = false; ; ) {
    const next = scan.peek();
    const line = scan.lineAt(scan.at);
    if (next === ',') scan.at++;
    else if (next === ']' && scan.endsList()) {
      scan.at++;
      return;
    } else if (next === '') {
      yield { key, value: undefined, line, bad: 'the file ends inside a list' };
      return;
    } else if (next === ']' || (value && next !== '{' && next !== '[')) {
      yield { key, value: undefined, line, bad: scan.skip(scan.at, `"${next}" stands where a record should begin`) };
    } else {
      scan.enterRecord();
      const row = scan.value();
      yield row.bad === undefined ? { key, value: row.value, line } : { key, value: undefined, line, bad: row.bad };
    }
    value = next !== ',';
  }
}
