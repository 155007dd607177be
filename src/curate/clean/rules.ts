/**
 * The rules by which a document goes, as data: a name, what is measured, on which side of a threshold it goes, and the
 * threshold in each rule set. Where one number cannot serve both, there are two: for scripts with spaces and for those
 * without (words are characters there). Rules are asked in the order of this table, cheap ones first, and the first
 * that fires names the reason `clean.<name>`. A new rule is a row.
 */
import type { Doc } from '../../data/doc.ts';
import { SCRIPTS, type ScriptName } from './classes.ts';
import type { Repetition } from './repetition.ts';
import type { Scan } from './scan.ts';

export const RULE_SETS = ['web', 'book', 'code-doc', 'dialogue'] as const;
export type RuleSet = (typeof RULE_SETS)[number];

/** A limit; null: the rule is off. */
export interface Threshold {
  readonly spaced: number | null;
  readonly unspaced: number | null;
}

/** All that a rule may look at. Expensive things are computed when first asked for. */
export interface Measured {
  readonly doc: Doc;
  readonly scan: Scan;
  readonly repetition: Repetition;
  /** Characters before the edits. */
  readonly before: number;
  readonly invisible: number;
  readonly broken: number;
  readonly hiddenInstructions: number;
  readonly masked: number;
  readonly scripts: readonly ScriptName[];
  /** Null where no stop words are known for the document's language. */
  readonly stopWords: number | null;
  duplicateLines(): { count: number; characters: number };
  duplicateParagraphs(): { count: number; characters: number };
  codeShare(): number;
  /** Share of the samples in a wanted language; null where none is asked for or nothing can be told. */
  languageShare(): number | null;
  blockedWords(): number;
  blockedLinks(): number;
  blockedHost(): boolean;
}

export interface Rule {
  readonly name: string;
  /** For the report. */
  readonly about: string;
  /** `min`: goes below the threshold; `max`: goes above it. */
  readonly side: 'min' | 'max';
  /** Null: the rule does not apply to this document. */
  readonly measure: (m: Measured) => number | null;
  readonly defaults: Readonly<Record<RuleSet, Threshold>>;
}

type Limit = number | null | readonly [spaced: number | null, unspaced: number | null];

const threshold = (limit: Limit): Threshold =>
  typeof limit === 'object' && limit !== null ? { spaced: limit[0], unspaced: limit[1] } : { spaced: limit, unspaced: limit };

function rule(name: string, side: 'min' | 'max', about: string, measure: Rule['measure'], web: Limit, book: Limit, codeDoc: Limit, dialogue: Limit): Rule {
  return {
    name,
    about,
    side,
    measure,
    defaults: { web: threshold(web), book: threshold(book), 'code-doc': threshold(codeDoc), dialogue: threshold(dialogue) },
  };
}

const share = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);
const visible = ({ scan }: Measured): number => scan.characters - scan.classes[1] - scan.classes[2];
/** The share of fewer lines than this says nothing. */
const MIN_LINES = 4;
const lineShare = (part: number, { scan }: Measured): number | null => (scan.lines.total < MIN_LINES ? null : part / scan.lines.total);
/** A stray character or two are no reason, however short the text. */
const MIN_DAMAGE = 5;
/** A shorter text may well do without any of them: a poem, a caption. */
const MIN_STOP_WORDS = 50;
const MIN_STOP_CHARACTERS = 200;
const letters = ({ scan }: Measured): number => {
  let sum = 0;
  for (let script = 16; script < 32; script++) sum += scan.classes[script];
  return sum;
};

const nGrams = (kind: 'top' | 'duplicate', n: number, web: Limit, book: Limit, codeDoc: Limit, dialogue: Limit): Rule =>
  rule(
    `${kind}-${n}-grams`,
    'max',
    kind === 'top' ? `share of the characters in the most frequent run of ${n} words` : `share of the characters in runs of ${n} words that were there before`,
    // A few characters of a short text, a refrain say, are soon a large share.
    ({ repetition, scan }) => (scan.unspaced && scan.words < 100 ? null : kind === 'top' ? repetition.topShare(n) : repetition.duplicateShare(n)),
    web,
    book,
    codeDoc,
    dialogue,
  );

/** Thresholds in the order web, book, code-doc, dialogue; Gopher and C4 say where a number is from a paper. */
export const RULES: readonly Rule[] = [
  rule(
    'not-finite',
    'max',
    'scores of the record that are no finite numbers',
    ({ doc }) => Object.values(doc.scores ?? {}).filter((score) => !Number.isFinite(score)).length,
    0,
    0,
    0,
    0,
  ),
  rule('empty', 'min', 'letters, digits and marks in all', visible, 1, 1, 1, 1),
  rule(
    'empty-turn',
    'max',
    'turns of a chat without text',
    ({ doc }) => (doc.messages ?? []).filter(({ content }) => content.trim() === '').length,
    0,
    0,
    0,
    0,
  ),
  rule('blocked-host', 'max', 'the document comes from a host on the list', (m) => (m.blockedHost() ? 1 : 0), 0, 0, 0, 0),
  rule('blocked-links', 'max', 'links to hosts on the list', (m) => m.blockedLinks(), 0, 0, 0, 0),
  rule('blocked-words', 'max', 'finds of words on the list', (m) => m.blockedWords(), 0, 0, 0, 0),
  rule(
    'broken-text',
    'max',
    'share of replacement characters and lone surrogates, before they were removed',
    (m) => (m.broken < MIN_DAMAGE ? 0 : share(m.broken, m.before)),
    0.005,
    0.005,
    0.005,
    0.005,
  ),
  rule(
    'invisible-text',
    'max',
    'share of zero-width, bidirectional and tag characters, before they were removed',
    (m) => (m.invisible < MIN_DAMAGE ? 0 : share(m.invisible, m.before)),
    0.02,
    0.02,
    0.02,
    0.02,
  ),
  rule(
    'hidden-instructions',
    'max',
    'hidden parts that give orders to a reading model (they are removed in any case)',
    (m) => m.hiddenInstructions,
    null,
    null,
    null,
    null,
  ),
  rule('personal-data', 'max', 'masked personal data for 100 words', (m) => share(100 * m.masked, m.scan.words), 20, 20, 20, null),
  rule('few-characters', 'min', 'characters', ({ scan }) => scan.characters, [100, 60], [40, 10], [100, 50], 2),
  rule('many-characters', 'max', 'characters', ({ scan }) => scan.characters, 1_000_000, null, null, 200_000),
  rule(
    'few-words',
    'min',
    'words, marks not counted; characters in scripts without spaces (Gopher: 50)',
    ({ scan }) => scan.words,
    [50, 50],
    [8, 8],
    [20, 30],
    1,
  ),
  rule('many-words', 'max', 'words (Gopher: 100,000)', ({ scan }) => scan.words, [100_000, 500_000], null, null, null),
  rule(
    'short-words',
    'min',
    'mean characters a word (Gopher: 3)',
    ({ scan }) => share(scan.wordCharacters, scan.words),
    [3, null],
    [2.5, null],
    [2.5, null],
    [2, null],
  ),
  rule('long-words', 'max', 'mean characters a word (Gopher: 10)', ({ scan }) => share(scan.wordCharacters, scan.words), [10, 6], [10, 6], [14, 8], [14, 10]),
  rule(
    'encoded',
    'max',
    'share of the characters in words of 40 characters or more: encoded data',
    ({ scan }) => share(scan.longWordCharacters, scan.characters),
    0.15,
    0.1,
    0.3,
    0.3,
  ),
  rule(
    'few-letters',
    'min',
    'share of letters among what is not a space',
    (m) => share(letters(m) + m.scan.classes[7], visible(m)),
    [0.6, 0.5],
    [0.6, 0.5],
    [0.4, 0.4],
    [0.3, 0.3],
  ),
  rule('digits', 'max', 'share of digits among what is not a space', (m) => share(m.scan.classes[3], visible(m)), 0.3, 0.3, 0.3, 0.5),
  rule(
    'punctuation',
    'max',
    'share of punctuation among what is not a space',
    (m) => share(m.scan.classes[4], visible(m)),
    [0.25, 0.3],
    [0.2, 0.35],
    [0.4, 0.45],
    0.6,
  ),
  rule(
    'symbols',
    'max',
    'share of symbols (currency, maths, pictures) among what is not a space',
    (m) => share(m.scan.classes[5], visible(m)),
    0.1,
    0.1,
    0.2,
    0.3,
  ),
  rule('hash-marks', 'max', 'hash marks a word (Gopher: 0.1)', ({ scan }) => share(scan.hashes, scan.tokens), 0.1, 0.1, 0.15, null),
  rule('ellipses', 'max', 'ellipses a word (Gopher: 0.1)', ({ scan }) => share(scan.ellipses, scan.tokens), 0.1, 0.1, 0.1, null),
  rule('bullet-lines', 'max', 'share of lines that begin with a bullet (Gopher: 0.9)', (m) => lineShare(m.scan.bulletLines, m), 0.9, 0.9, null, null),
  rule('ellipsis-lines', 'max', 'share of lines that end in an ellipsis (Gopher: 0.3)', (m) => lineShare(m.scan.ellipsisLines, m), 0.3, 0.3, 0.3, null),
  rule('stopped-lines', 'min', 'share of lines that end in a stop, quote or bracket', (m) => lineShare(m.scan.stoppedLines, m), [0.12, 0.03], null, null, null),
  rule(
    'few-letter-words',
    'min',
    'share of words and marks with a letter (Gopher: 0.8)',
    ({ scan }) => share(scan.letterWords, scan.tokens),
    [0.6, 0.6],
    [0.55, 0.55],
    [0.35, 0.35],
    [0.3, 0.3],
  ),
  rule(
    'few-stop-words',
    'min',
    'different stop words of the language (Gopher: 2)',
    ({ stopWords, scan }) => (scan.words < (scan.unspaced ? MIN_STOP_CHARACTERS : MIN_STOP_WORDS) ? null : stopWords),
    2,
    [2, 1],
    [2, 1],
    null,
  ),
  rule('few-sentences', 'min', 'sentences (C4: 5)', ({ scan }) => scan.sentences, [3, 1], null, null, null),
  rule('lorem-ipsum', 'max', 'filler text (C4)', ({ scan }) => (/lorem ipsum/i.test(scan.text) ? 1 : 0), 0, 0, null, null),
  rule('curly-brackets', 'max', 'opening curly brackets for 100 words (C4: 0)', ({ scan }) => share(100 * scan.curly, scan.words), 4, 10, null, null),
  rule('code', 'max', 'share of lines that look like a program', (m) => m.codeShare(), 0.4, 0.4, null, null),
  rule(
    'script',
    'min',
    'share of letters in the wanted scripts',
    (m) => {
      const all = letters(m);
      if (m.scripts.length === 0 || all === 0) return null;
      return m.scripts.reduce((sum, name) => sum + m.scan.classes[SCRIPTS[name]], 0) / all;
    },
    0.7,
    0.7,
    0.7,
    0.7,
  ),
  rule('language', 'min', 'share of samples in a wanted language', (m) => m.languageShare(), 0.5, 0.5, 0.5, 0.5),
  rule('duplicate-lines', 'max', 'share of lines that were there before (Gopher: 0.3)', (m) => lineShare(m.duplicateLines().count, m), 0.3, 0.3, 0.85, 0.85),
  rule(
    'duplicate-line-characters',
    'max',
    'share of characters in such lines (Gopher: 0.2)',
    (m) => share(m.duplicateLines().characters, m.scan.characters),
    0.2,
    0.2,
    0.6,
    0.6,
  ),
  rule(
    'duplicate-paragraphs',
    'max',
    'share of paragraphs that were there before (Gopher: 0.3)',
    (m) => (m.scan.paragraphs.count < MIN_LINES ? null : m.duplicateParagraphs().count / m.scan.paragraphs.count),
    0.3,
    0.3,
    0.7,
    0.7,
  ),
  rule(
    'duplicate-paragraph-characters',
    'max',
    'share of characters in such paragraphs (Gopher: 0.2)',
    (m) => share(m.duplicateParagraphs().characters, m.scan.characters),
    0.2,
    0.2,
    0.5,
    0.5,
  ),
  nGrams('top', 2, [0.2, 0.25], [0.25, 0.3], 0.2, 0.5),
  nGrams('top', 3, [0.18, 0.22], [0.22, 0.28], 0.18, 0.5),
  nGrams('top', 4, [0.16, 0.22], [0.2, 0.28], 0.18, 0.5),
  nGrams('duplicate', 5, [0.15, 0.5], [0.15, 0.7], 0.6, 0.6),
  nGrams('duplicate', 6, [0.14, 0.46], [0.14, 0.65], 0.6, 0.6),
  nGrams('duplicate', 7, [0.13, 0.42], [0.13, 0.6], 0.6, 0.6),
  nGrams('duplicate', 8, [0.12, 0.38], [0.12, 0.56], 0.6, 0.6),
  nGrams('duplicate', 9, [0.11, 0.35], [0.11, 0.53], 0.6, 0.6),
  nGrams('duplicate', 10, [0.1, 0.32], [0.1, 0.5], 0.6, 0.6),
];

export const reasonOf = (name: string): string => `clean.${name}`;

/** Every reason for which a document may go, with one line on each. */
export const CLEAN_REASONS: Readonly<Record<string, string>> = Object.fromEntries(
  RULES.map(({ name, side, about }) => [reasonOf(name), `${side === 'min' ? 'too low' : 'too high'}: ${about}`]),
);

/** Every count of an edit, with one line on each. Edits count also in documents that go afterwards. */
export const CLEAN_TALLIES: Readonly<Record<string, string>> = {
  'clean.unicode': 'texts whose Unicode form was normalised',
  'clean.mojibake': 'characters repaired that had been read in a wrong encoding',
  'clean.controls': 'control characters removed',
  'clean.surrogates': 'lone surrogates removed',
  'clean.replacement': 'replacement characters (U+FFFD) removed',
  'clean.zero-width': 'zero-width and tag characters removed',
  'clean.bidi': 'bidirectional controls removed',
  'clean.spaces': 'unusual spaces made plain',
  'clean.hidden-instruction': 'hidden parts removed that gave orders to a reading model',
  'clean.hidden-text': 'other comments and hidden elements removed',
  'clean.instruction-in-sight': 'orders to a reading model in plain sight (left as they are)',
  'clean.tags': 'HTML tags removed',
  'clean.entities': 'texts whose HTML entities were resolved',
  'clean.space': 'texts whose spaces and empty lines were put in order',
  'clean.boilerplate-line': 'lines of menus, notices and buttons removed',
  'clean.page-number': 'page numbers removed',
  'clean.c4-line': 'lines removed by the rules of C4',
  'clean.email': 'e-mail addresses masked',
  'clean.phone': 'telephone numbers masked',
  'clean.id': 'identity numbers masked',
  'clean.card': 'bank card numbers masked',
  'clean.ip': 'network addresses masked',
  'clean.simplified': 'texts turned from traditional to simplified characters',
  'clean.language': 'documents whose language was found and noted',
};
