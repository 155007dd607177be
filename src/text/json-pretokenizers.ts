/**
 * The pre-tokenizers of `tokenizer.json`: cut text into parts that no merge crosses.
 */

import { textToByteLetters } from './byte-level.ts';
import { readPattern } from './json-normalizers.ts';
import { asArray, asBoolean, asObject, asString, unsupported } from './json-read.ts';
import { compileLiteral, compilePattern } from './regex.ts';

/** A part of a text; `first` says that it starts where the text does. */
export interface Part {
  readonly text: string;
  readonly first: boolean;
}

/** A step from a part to smaller ones. */
export type PreTokenize = (part: Part) => Part[];

const KNOWN = ['Sequence', 'ByteLevel', 'Split', 'Metaspace', 'Digits', 'Whitespace', 'WhitespaceSplit', 'Punctuation', 'CharDelimiterSplit'];

const GPT2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/** Builds a pre-tokenizer; null means none. Throws `format`, naming the component, for others. */
export function readPreTokenizer(json: unknown, where = 'pre_tokenizer'): PreTokenize {
  if (json === null || json === undefined) return (part) => [part];
  const spec = asObject(json, where);
  switch (spec.type) {
    case 'Sequence': {
      const steps = asArray(spec.pretokenizers, `${where}.pretokenizers`).map((step, i) => readPreTokenizer(step, `${where}.pretokenizers[${i}]`));
      return (part) => steps.reduce<Part[]>((parts, step) => parts.flatMap(step), [part]);
    }
    case 'ByteLevel':
      return byteLevel(asBoolean(spec.add_prefix_space, `${where}.add_prefix_space`), asBoolean(spec.use_regex, `${where}.use_regex`, true));
    case 'Split':
      return splitter(
        readPattern(spec.pattern, `${where}.pattern`),
        readBehavior(spec.behavior, `${where}.behavior`),
        asBoolean(spec.invert, `${where}.invert`, false),
      );
    case 'Metaspace':
      return metaspace(spec, where);
    case 'Digits': {
      const single = asBoolean(spec.individual_digits, `${where}.individual_digits`, false);
      return splitter(/\p{N}/gu, single ? 'Isolated' : 'Contiguous', false);
    }
    case 'Whitespace':
      // Rust's `\w` here, not Oniguruma's: it counts other alphabetic characters and joiners.
      return splitter(
        /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
        'Removed',
        true,
      );
    case 'WhitespaceSplit':
      return splitter(/\p{White_Space}/gu, 'Removed', false);
    case 'Punctuation':
      return splitter(/[\p{P}!-/:-@[-`{-~]/gu, spec.behavior === undefined ? 'Isolated' : readBehavior(spec.behavior, `${where}.behavior`), false);
    case 'CharDelimiterSplit':
      return splitter(compileLiteral(asString(spec.delimiter, `${where}.delimiter`)), 'Removed', false);
    default:
      return unsupported(where, spec.type, KNOWN);
  }
}

/** A pre-tokenizer that only cuts: at matches of a pattern, nothing removed or added but, at last, letters for bytes. */
export interface PureCuts {
  /** Each match is a part, and so is what lies between two; null: nothing is cut. */
  readonly pattern: RegExp | null;
  /** The parts' bytes become letters (byte-level). */
  readonly letters: boolean;
}

/** The pre-tokenizer as plain cuts, or null where it is more than that. `json` was read by `readPreTokenizer` before. */
export function readPureCuts(json: unknown): PureCuts | null {
  if (json === null || json === undefined) return { pattern: null, letters: false };
  const spec = asObject(json, 'pre_tokenizer');
  if (spec.type === 'ByteLevel' && spec.add_prefix_space === false) {
    return { pattern: spec.use_regex === false ? null : compilePattern(GPT2), letters: true };
  }
  if (spec.type === 'Split' && spec.behavior === 'Isolated') return { pattern: readPattern(spec.pattern, 'pre_tokenizer.pattern'), letters: false };
  if (spec.type !== 'Sequence') return null;
  const steps = asArray(spec.pretokenizers, 'pre_tokenizer.pretokenizers').map(readPureCuts);
  const [first, second] = steps;
  if (steps.length === 1) return first;
  const joins = steps.length === 2 && first !== null && second !== null && !first.letters && second.pattern === null;
  return joins ? { pattern: first.pattern, letters: second.letters } : null;
}

type Behavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous';
const BEHAVIORS: readonly Behavior[] = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];

function readBehavior(json: unknown, where: string): Behavior {
  return BEHAVIORS.find((name) => name === json) ?? unsupported(where, json, BEHAVIORS);
}

/** A stretch of text that the pattern matched, or that lies between matches. */
interface Stretch {
  start: number;
  end: number;
  match: boolean;
}

function stretches(text: string, pattern: RegExp, invert: boolean): Stretch[] {
  const out: Stretch[] = [];
  let at = 0;
  let matched = false;
  for (const found of text.matchAll(pattern)) {
    const end = found.index + found[0].length;
    // Oniguruma takes no empty match right behind a match; JavaScript does.
    if (matched && end === found.index && found.index === at) continue;
    if (found.index > at) out.push({ start: at, end: found.index, match: invert });
    out.push({ start: found.index, end, match: !invert });
    at = end;
    matched = true;
  }
  if (at < text.length) out.push({ start: at, end: text.length, match: invert });
  return out;
}

function splitter(pattern: RegExp, behavior: Behavior, invert: boolean): PreTokenize {
  return ({ text, first }) =>
    joinStretches(stretches(text, pattern, invert), behavior)
      .filter(({ start, end }) => end > start)
      .map(({ start, end }) => ({ text: text.slice(start, end), first: first && start === 0 }));
}

function joinStretches(all: Stretch[], behavior: Behavior): Stretch[] {
  if (behavior === 'Isolated') return all;
  if (behavior === 'Removed') return all.filter((stretch) => !stretch.match);
  const out: Stretch[] = [];
  let lastMatch = false;
  for (const stretch of behavior === 'MergedWithNext' ? all.toReversed() : all) {
    const last = out.at(-1);
    const joins = behavior === 'Contiguous' ? last !== undefined && stretch.match === lastMatch : stretch.match && !lastMatch;
    if (joins && last !== undefined) {
      last.start = Math.min(last.start, stretch.start);
      last.end = Math.max(last.end, stretch.end);
    } else {
      out.push({ ...stretch });
    }
    lastMatch = stretch.match;
  }
  return behavior === 'MergedWithNext' ? out.reverse() : out;
}

function byteLevel(addPrefixSpace: boolean, useRegex: boolean): PreTokenize {
  const pattern = compilePattern(GPT2);
  return ({ text, first }) => {
    const full = addPrefixSpace && !text.startsWith(' ') ? ` ${text}` : text;
    const cut = useRegex ? stretches(full, pattern, false) : [{ start: 0, end: full.length }];
    return cut.map(({ start, end }) => ({ text: textToByteLetters(full.slice(start, end)), first: first && start === 0 }));
  };
}

function metaspace(spec: Readonly<Record<string, unknown>>, where: string): PreTokenize {
  const mark = asString(spec.replacement, `${where}.replacement`);
  const schemes = ['first', 'never', 'always'];
  const scheme = spec.prepend_scheme ?? (asBoolean(spec.add_prefix_space, `${where}.add_prefix_space`, true) ? 'always' : 'never');
  if (typeof scheme !== 'string' || !schemes.includes(scheme)) unsupported(`${where}.prepend_scheme`, scheme, schemes);
  const split = splitter(compileLiteral(mark), 'MergedWithNext', false);
  const cuts = asBoolean(spec.split, `${where}.split`, true);
  return ({ text, first }) => {
    // With a pattern the engine builds the result at once; replaceAll joins a rope of pieces.
    const marked = text.replace(/ /g, () => mark);
    const prepends = !marked.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && first));
    const full = { text: prepends ? mark + marked : marked, first };
    return cuts ? split(full) : [full];
  };
}
