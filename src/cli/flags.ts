/**
 * Flags with one meaning everywhere. Written here because a list flag takes all words up to the next
 * flag and may repeat, which common parsers cut to one word; in exchange there are no short flags and no
 * abbreviations. Unknown flags and wrong numbers are usage errors that name the nearest known flag.
 */
import { ScionError } from '../base/errors.ts';

/** What a flag takes. `list`: all words up to the next flag, repeatable. `optional`: a word, or none before the next flag or the end. */
export type FlagKind = 'string' | 'number' | 'integer' | 'boolean' | 'list' | 'optional';

/** A flag as a command declares it. */
export interface FlagSpec {
  readonly kind: FlagKind;
  readonly summary: string;
  /** What stands for the value in help, for example `DIR`. */
  readonly value?: string;
  readonly default?: string | number | boolean;
  /** Allowed words of a string flag. */
  readonly choices?: readonly string[];
}

export type FlagSpecs = Readonly<Record<string, FlagSpec>>;

/** Parsed values by flag name, and the words that belong to no flag. */
export class Flags {
  readonly words: readonly string[];
  private readonly values: ReadonlyMap<string, string | number | boolean | readonly string[]>;

  constructor(values: ReadonlyMap<string, string | number | boolean | readonly string[]>, words: readonly string[]) {
    this.values = values;
    this.words = words;
  }

  /** Plain data from which another thread makes the same flags. */
  get plain(): readonly (readonly [string, string | number | boolean | readonly string[]])[] {
    return [...this.values];
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  /** A string flag; undefined if absent, '' for one of kind `optional` without its word. */
  string(name: string): string | undefined {
    const v = this.values.get(name);
    return typeof v === 'string' ? v : undefined;
  }

  number(name: string): number | undefined {
    const v = this.values.get(name);
    return typeof v === 'number' ? v : undefined;
  }

  boolean(name: string): boolean {
    return this.values.get(name) === true;
  }

  list(name: string): readonly string[] {
    const v = this.values.get(name);
    return Array.isArray(v) ? (v as readonly string[]) : [];
  }

  /** A string flag that must be there. */
  need(name: string, why: string): string {
    const v = this.string(name);
    if (v === undefined) throw new ScionError('usage', `--${name} is missing: ${why}`);
    return v;
  }
}

/** A word that can only be a flag: `--x`, but not `-5` or a lone dash. */
const isFlag = (word: string): boolean => /^--[a-zA-Z]/.test(word);

/** Letters put in, left out, changed, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length];
}

/** The known name nearest to a mistyped one, if any is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known.map((k) => ({ k, d: distance(word, k) })).sort((a, b) => a.d - b.d);
  return ranked[0] && ranked[0].d <= Math.max(1, Math.floor(word.length / 3)) ? ranked[0].k : undefined;
}

function convert(name: string, spec: FlagSpec, text: string): string | number {
  if (spec.kind === 'number' || spec.kind === 'integer') {
    const n = Number(text);
    if (text.trim() === '' || !Number.isFinite(n) || (spec.kind === 'integer' && !Number.isInteger(n))) {
      throw new ScionError('usage', `--${name} takes ${spec.kind === 'integer' ? 'a whole number' : 'a number'}, got "${text}"`);
    }
    return n;
  }
  if (spec.choices && !spec.choices.includes(text)) throw new ScionError('usage', `--${name} takes one of ${spec.choices.join(', ')}; got "${text}"`);
  return text;
}

/**
 * Parses the words after a command. `--name value`, `--name=value`, `--name` for booleans, `--no-name` to turn one off,
 * `--` ends flags.
 */
export function parseFlags(specs: FlagSpecs, argv: readonly string[]): Flags {
  const values = new Map<string, string | number | boolean | string[]>();
  for (const [name, spec] of Object.entries(specs)) if (spec.default !== undefined) values.set(name, spec.default);
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i];
    if (word === '--') {
      words.push(...argv.slice(i + 1));
      break;
    }
    if (!isFlag(word)) {
      words.push(word);
      continue;
    }
    const equals = word.indexOf('=');
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
    const inline = equals < 0 ? undefined : word.slice(equals + 1);
    const negated = name.startsWith('no-') && specs[name.slice(3)]?.kind === 'boolean' ? name.slice(3) : null;
    if (negated) {
      values.set(negated, false);
      continue;
    }
    const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (!spec) {
      const near = nearest(name, Object.keys(specs));
      throw new ScionError('usage', `unknown flag --${name}${near ? `; did you mean --${near}?` : ''} (--help lists them)`);
    }
    if (spec.kind === 'boolean') {
      if (inline !== undefined && inline !== 'true' && inline !== 'false') throw new ScionError('usage', `--${name} is on or off; got "${inline}"`);
      values.set(name, inline !== 'false');
      continue;
    }
    if (spec.kind === 'list') {
      const held = values.get(name);
      const list = Array.isArray(held) ? held : [];
      if (inline !== undefined) list.push(inline);
      while (i + 1 < argv.length && !isFlag(argv[i + 1]) && argv[i + 1] !== '--') list.push(argv[++i]);
      if (list.length === 0) throw new ScionError('usage', `--${name} needs at least one value`);
      values.set(name, list);
      continue;
    }
    if (spec.kind === 'optional') {
      const follows = i + 1 < argv.length && !isFlag(argv[i + 1]) && argv[i + 1] !== '--';
      values.set(name, inline ?? (follows ? argv[++i] : ''));
      continue;
    }
    const text = inline ?? argv[++i];
    if (text === undefined || (inline === undefined && isFlag(text)))
      throw new ScionError('usage', `--${name} needs a value${spec.value ? ` (${spec.value})` : ''}`);
    values.set(name, convert(name, spec, text));
  }
  return new Flags(values, words);
}

/** The flag table of a help text. */
export function describeFlags(specs: FlagSpecs): string {
  const left = Object.entries(specs).map(([name, s]) => {
    const value =
      s.kind === 'boolean' ? '' : ` ${s.value ?? (s.choices ? s.choices.join('|') : s.kind === 'list' ? 'WORD …' : s.kind === 'string' ? 'TEXT' : 'N')}`;
    return `--${name}${s.kind === 'optional' ? ` [${value.trim()}]` : value}`;
  });
  const width = Math.min(34, Math.max(...left.map((l) => l.length)));
  return Object.values(specs)
    .map((s, i) => {
      const fallback = s.default === undefined || s.default === false ? '' : ` [${s.default}]`;
      const head = left[i].padEnd(width);
      return left[i].length > width ? `  ${left[i]}\n  ${' '.repeat(width)}  ${s.summary}${fallback}` : `  ${head}  ${s.summary}${fallback}`;
    })
    .join('\n');
}
