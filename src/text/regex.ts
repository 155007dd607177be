/**
 * Regular expressions of `tokenizer.json` (Oniguruma's syntax) as JavaScript ones. What those files use is
 * translated (Unicode `\s \w \d`, `(?i:…)`, possessive quantifiers, atomic groups, line anchors); anything
 * else is refused by name, since a pattern that almost fits would cut text almost right.
 * Unicode tables are the host's, so characters newer than one of the two libraries may fall into other classes.
 */

import { ScionError } from '../base/errors.ts';

/** Oniguruma's `\w`: letters, marks, decimal digits, connectors. `\s` counts U+0085 and not U+FEFF, unlike JavaScript's. */
const CLASSES: Readonly<Record<string, string>> = {
  s: '\\p{White_Space}',
  w: '\\p{L}\\p{M}\\p{Nd}\\p{Pc}',
  d: '\\p{Nd}',
  h: '0-9a-fA-F',
};

const CONTROL: Readonly<Record<string, string>> = { n: '\\n', r: '\\r', t: '\\t', f: '\\f', v: '\\v', a: '\\x07', e: '\\x1b', 0: '\\0' };

const PROPERTIES: Readonly<Record<string, string>> = {
  Alnum: '\\p{L}\\p{M}\\p{Nd}',
  Alpha: '\\p{Alphabetic}',
  Digit: '\\p{Nd}',
  Lower: '\\p{Lowercase}',
  Upper: '\\p{Uppercase}',
  Punct: '\\p{P}',
  Space: '\\p{White_Space}',
};

/** Other characters that Unicode's simple case folding joins to an ASCII letter. */
const FOLDS: Readonly<Record<string, string>> = { s: '\u017f', k: '\u212a' };

/** Compiles a pattern with the flags `gu`. Throws `format`, naming the construct, for what has no equal here. */
export function compilePattern(source: string): RegExp {
  const text = new Translator(source).run();
  try {
    return new RegExp(text, 'gu');
  } catch (cause) {
    throw new ScionError('format', `pattern ${JSON.stringify(source)} is not supported: ${String(cause)}`, { pattern: source }, cause);
  }
}

/** A regular expression that matches exactly this string; nothing for an empty one. */
export function compileLiteral(text: string): RegExp {
  if (text === '') return /(?!)/gu;
  return new RegExp([...text].map(escapeChar).join(''), 'gu');
}

function escapeChar(char: string): string {
  return /^[\p{L}\p{N} ]$/u.test(char) ? char : `\\u{${(char.codePointAt(0) as number).toString(16)}}`;
}

const MAX_DEPTH = 50;

class Translator {
  readonly #source: string;
  readonly #chars: string[];
  #at = 0;
  #groups = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#chars = [...source];
  }

  run(): string {
    const out = this.#alternatives(false);
    if (this.#at < this.#chars.length) this.#refuse('an unmatched )');
    return out;
  }

  #refuse(what: string): never {
    throw new ScionError('format', `pattern ${JSON.stringify(this.#source)}: ${what} (character ${this.#at}) is not supported`, {
      pattern: this.#source,
      at: this.#at,
    });
  }

  #peek(text: string): boolean {
    return this.#chars.slice(this.#at, this.#at + text.length).join('') === text;
  }

  /** Everything up to a closing parenthesis or the end. */
  #alternatives(ignoreCase: boolean): string {
    let out = '';
    if (++this.#depth > MAX_DEPTH) this.#refuse(`a group within ${MAX_DEPTH} others`);
    while (this.#at < this.#chars.length && this.#chars[this.#at] !== ')') {
      if (this.#chars[this.#at] === '|') {
        out += '|';
        this.#at++;
      } else {
        out += this.#quantified(this.#atom(ignoreCase));
      }
    }
    this.#depth--;
    return out;
  }

  #quantified(atom: string): string {
    let quantifier = '';
    const char = this.#chars[this.#at];
    if (char === '?' || char === '*' || char === '+') {
      quantifier = char;
      this.#at++;
    } else if (char === '{') {
      const end = this.#chars.indexOf('}', this.#at);
      const body = this.#chars.slice(this.#at + 1, end).join('');
      if (end < 0 || !/^(\d+(,\d*)?|,\d+)$/.test(body)) this.#refuse('a { that opens no counted repetition');
      quantifier = body.startsWith(',') ? `{0${body}}` : `{${body}}`;
      this.#at = end + 1;
    } else {
      return atom;
    }
    if (this.#chars[this.#at] === '?') {
      this.#at++;
      return `${atom}${quantifier}?`;
    }
    // Ruby syntax: `{n,m}+` is a repeated repetition, not a possessive one.
    if (this.#chars[this.#at] === '+' && char === '{') this.#refuse('a + after a counted repetition');
    if (this.#chars[this.#at] === '+') {
      this.#at++;
      return this.#atomic(`${atom}${quantifier}`);
    }
    if (/^[*{]$/.test(this.#chars[this.#at] ?? '')) this.#refuse('a repetition of a repetition');
    return `${atom}${quantifier}`;
  }

  /** What matches once and is never tried again: a look-ahead that captures, and the capture. */
  #atomic(body: string): string {
    const name = `a${this.#groups++}`;
    return `(?:(?=(?<${name}>${body}))\\k<${name}>)`;
  }

  #atom(ignoreCase: boolean): string {
    const char = this.#chars[this.#at];
    if (char === '(') return this.#group(ignoreCase);
    if (char === '[') return this.#class(ignoreCase);
    if (char === '\\') return this.#escape(false);
    this.#at++;
    if (char === '^') return '(?<![^\\n])';
    if (char === '$') return '(?![^\\n])';
    if (char === '.') return '[^\\n]';
    if (char === '*' || char === '+' || char === '?') this.#refuse(`a ${char} with nothing before it`);
    if (!ignoreCase) return escapeChar(char);
    return this.#anyCase(char);
  }

  #anyCase(char: string): string {
    if (/^[a-zA-Z]$/.test(char)) {
      const lower = char.toLowerCase();
      return `[${lower}${lower.toUpperCase()}${FOLDS[lower] ?? ''}]`;
    }
    if (char.toLowerCase() !== char.toUpperCase()) this.#refuse(`the letter ${char} without regard to case`);
    return escapeChar(char);
  }

  #group(ignoreCase: boolean): string {
    const heads: readonly (readonly [string, string])[] = [
      ['(?:', '(?:'],
      ['(?=', '(?='],
      ['(?!', '(?!'],
      ['(?<=', '(?<='],
      ['(?<!', '(?<!'],
    ];
    let open = '(?:';
    let inner = ignoreCase;
    let atomic = false;
    const head = heads.find(([from]) => this.#peek(from));
    if (head !== undefined) {
      open = head[1];
      this.#at += head[0].length;
    } else if (this.#peek('(?i:')) {
      inner = true;
      this.#at += 4;
    } else if (this.#peek('(?-i:')) {
      inner = false;
      this.#at += 5;
    } else if (this.#peek('(?>')) {
      atomic = true;
      this.#at += 3;
    } else if (this.#peek('(?i)')) {
      // Holds to the end of the enclosing group, alternatives included.
      this.#at += 4;
      return `(?:${this.#alternatives(true)})`;
    } else if (this.#peek('(?')) {
      this.#refuse(`the group ${this.#chars.slice(this.#at, this.#at + 4).join('')}`);
    } else {
      this.#at++;
    }
    const body = this.#alternatives(inner);
    if (this.#chars[this.#at] !== ')') this.#refuse('a ( without its )');
    this.#at++;
    return atomic ? this.#atomic(body) : `${open}${body})`;
  }

  #class(ignoreCase: boolean): string {
    this.#at++;
    let out = '[';
    if (this.#chars[this.#at] === '^') {
      out += '^';
      this.#at++;
    }
    let first = true;
    for (;;) {
      const char = this.#chars[this.#at];
      if (char === undefined) this.#refuse('a [ without its ]');
      if (char === ']' && !first) break;
      if (char === '[') this.#refuse('a class within a class');
      if (char === '&' && this.#peek('&&')) this.#refuse('an intersection of classes');
      if (char === '\\') {
        out += this.#escape(true);
      } else if (char === '-') {
        const open = first || this.#chars[this.#at + 1] === ']';
        out += open ? '\\-' : '-';
        this.#at++;
      } else {
        if (ignoreCase && /\p{L}/u.test(char)) this.#refuse('a class of letters without regard to case');
        out += escapeChar(char);
        this.#at++;
      }
      first = false;
    }
    this.#at++;
    return `${out}]`;
  }

  #escape(inClass: boolean): string {
    const char = this.#chars[this.#at + 1];
    if (char === undefined) this.#refuse('a \\ at the end');
    const wrap = (body: string): string => (inClass ? body : `[${body}]`);
    if (char === 'p' || char === 'P') return this.#property(char === 'P', inClass);
    const lower = char.toLowerCase();
    if (CLASSES[lower] !== undefined && char === lower) {
      this.#at += 2;
      return wrap(CLASSES[lower]);
    }
    if (CLASSES[lower] !== undefined) {
      if (inClass && (lower === 'w' || lower === 'h')) this.#refuse(`\\${char} within a class`);
      this.#at += 2;
      return inClass ? CLASSES[lower].replace('\\p', '\\P') : `[^${CLASSES[lower]}]`;
    }
    if (char === 'x' || char === 'u') {
      const rest = this.#chars.slice(this.#at + 2, this.#at + 12).join('');
      const match = char === 'x' ? /^(?:\{([0-9a-fA-F]{1,8})\}|([0-9a-fA-F]{1,2}))/.exec(rest) : /^([0-9a-fA-F]{4})/.exec(rest);
      if (match === null) this.#refuse(`\\${char}`);
      this.#at += 2 + match[0].length;
      return `\\u{${match[1] ?? match[2]}}`;
    }
    if (CONTROL[char] !== undefined) {
      if (char === '0' && /[0-9]/.test(this.#chars[this.#at + 2] ?? '')) this.#refuse('an octal escape');
      this.#at += 2;
      return CONTROL[char];
    }
    const anchors: Readonly<Record<string, string>> = { A: '(?<![^])', z: '(?![^])', Z: '(?=\\n?(?![^]))' };
    if (!inClass && anchors[char] !== undefined) {
      this.#at += 2;
      return anchors[char];
    }
    if (/^[a-zA-Z0-9]$/.test(char)) this.#refuse(`\\${char}`);
    this.#at += 2;
    return `\\u{${(char.codePointAt(0) as number).toString(16)}}`;
  }

  #property(negative: boolean, inClass: boolean): string {
    const rest = this.#chars.slice(this.#at + 2, this.#at + 50).join('');
    const match = /^(?:\{(\^?)([A-Za-z_ ]+)\}|([A-Z]))/.exec(rest);
    if (match === null) this.#refuse('\\p without a property');
    const name = match[2] ?? match[3];
    const not = negative !== (match[1] === '^');
    this.#at += 2 + match[0].length;
    const set = PROPERTIES[name];
    if (set !== undefined) {
      if (not && inClass) this.#refuse(`\\P{${name}} within a class`);
      return inClass ? set : `[${not ? '^' : ''}${set}]`;
    }
    const letter = not ? 'P' : 'p';
    for (const form of [name, `Script=${name}`]) {
      try {
        new RegExp(`\\p{${form}}`, 'u');
        return `\\${letter}{${form}}`;
      } catch {
        // Not a property under this form; the next one may be.
      }
    }
    return this.#refuse(`the property ${name}`);
  }
}
